"""What all models share: from bytes to nine channels, and from features to a score."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from pixq.errors import PixqError
from pixq.models.heads import Members, Ordinal, PatchScores, Regression
from pixq.models.spec import ModelSpec

__all__ = ["CHANNELS", "CHUNK", "NineChannels", "PatchModel"]

#: Reference, distorted and absolute difference; each has red, green and blue.
CHANNELS = 9


class NineChannels(nn.Module):
    """Turns two uint8 patches into nine channels: reference, distorted and their absolute difference.

    Each channel of 0 to 255 is multiplied by `scale` and `shift` is added. Both are buffers, so they are in every
    checkpoint and every export: training and inference can't differ. The result lies in memory as channels-last,
    as NumPy's (n, height, width, 3) does: nothing is transposed.

    Examples
    --------
    >>> black, white = torch.zeros(1, 5, 5, 3, dtype=torch.uint8), torch.full((1, 5, 5, 3), 255, dtype=torch.uint8)
    >>> [round(channel, 3) for channel in NineChannels()(black, white)[0, ::3, 0, 0].tolist()]
    [0.0, 1.0, 1.0]
    """

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.full((CHANNELS,), 1.0 / 255.0))
        self.register_buffer("shift", torch.zeros(CHANNELS))

    def forward(self, reference: Tensor, distorted: Tensor) -> Tensor:
        """(n, height, width, 3) uint8 twice to (n, 9, height, width) float32."""
        r, d = reference.float(), distorted.float()
        stack = torch.cat([r, d, (r - d).abs()], dim=-1)
        return (stack * self.scale + self.shift).permute(0, 3, 1, 2)


class PatchModel(nn.Module):
    """A model of patch pairs: uint8 in, scores out.

    Parameters
    ----------
    spec
        The recipe's `[model]`.
    body
        Turns nine channels (n, 9, height, width) into features (n, `body.features`), or, if it has `members`, into
        `PatchScores`. A body may have `make_kernel`, which gives a `TinyKernel` that computes it on a CPU.

    Examples
    --------
    >>> from pixq.models import build
    >>> model = build(ModelSpec(name="tiny"))
    >>> patches = torch.randint(0, 256, (2, 7, 20, 20, 3), dtype=torch.uint8)
    >>> model.quality(model(patches[0], patches[1])).shape
    torch.Size([7])
    """

    def __init__(self, spec: ModelSpec, body: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        self.channels = NineChannels()
        self.body = body
        self.head: Regression | Ordinal | Members
        self.weigh = None
        if isinstance(getattr(body, "members", None), int):
            if spec.head != "regression" or spec.link != "identity":
                raise PixqError(f"{spec.name} has its own head; set model.head=regression and model.link=identity")
            self.head = Members(int(body.members))  # type: ignore[arg-type]
        else:
            features: int = body.features  # type: ignore[assignment]
            self.head = Ordinal(features, spec.cuts) if spec.head == "ordinal" else Regression(features, spec.link)
            self.weigh = nn.Linear(features, 1) if spec.pooling == "learned" else None
        self.kernel = None
        make_kernel = getattr(body, "make_kernel", None)
        if make_kernel is not None and isinstance(self.head, Regression) and self.weigh is None:
            self.kernel = make_kernel()
            # Looked up once: walking through the modules takes a tenth of a step.
            self._weights = [*body.parameters(), *self.head.parameters()]
        self.to(memory_format=torch.channels_last)

    def forward(self, reference: Tensor, distorted: Tensor, shown: Tensor | None = None) -> PatchScores:
        """Score patch pairs.

        Parameters
        ----------
        reference, distorted
            uint8 (n, height, width, 3) on the model's device, 0 to 255.
        shown
            In training, for a body with `hidden` numbers: float32 (items, hidden), the factor that dropout gives to
            each, 0 if it is hidden. It is drawn with the batch, so that it depends on no generator's state.
        """
        if self.kernel is not None and self._on_core(reference):
            raw = self.kernel.score(reference, distorted, self.channels.scale, self.channels.shift, self._weights)
            return PatchScores(self.head.linked(raw), torch.ones_like(raw))  # type: ignore[operator]
        channels = self.channels(reference, distorted)
        if isinstance(self.head, Members):
            scores: PatchScores = self.body(channels, shown)
            return scores
        features = self.body(channels)
        if self.weigh is None:
            weight = features.new_ones((features.shape[0], 1), dtype=torch.float32)
        else:
            # Above 0, so that a bag of patches always has a weighted mean.
            weight = nn.functional.softplus(self.weigh(features).float()) + 1e-3
        return PatchScores(self.head(features).float(), weight)

    def _on_core(self, reference: Tensor) -> bool:
        """Whether the core computes the model: on a CPU, unless PyTorch's own layers are traced or exported."""
        traced = torch.compiler.is_compiling()
        lowered = torch.is_autocast_enabled("cpu") or self.channels.scale.dtype != torch.float32
        return reference.device.type == "cpu" and not traced and not lowered

    def quality(self, scores: PatchScores) -> Tensor:
        """Quality (n,) from 0 to 1, which means that nobody notices."""
        return self.head.quality(scores.raw)

    @property
    def hidden(self) -> int:
        """The number of inputs per item that dropout can hide; 0 for most models."""
        return int(getattr(self.body, "hidden", 0)) if self.spec.dropout > 0.0 else 0

    @torch.no_grad()
    def calibrate(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Let a body that needs it set its scales from training patches, given as `forward` takes them."""
        if (calibrate := getattr(self.body, "calibrate", None)) is not None:
            calibrate(self.channels(reference, distorted) for reference, distorted in pairs)


#: Patches scored at a time. It is fixed, so that sums do not depend on the machine.
CHUNK = 256
