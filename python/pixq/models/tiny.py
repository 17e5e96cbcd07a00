"""TinyPatchRegressor, the model of the Jianjin008 report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pixq._core import TinyTape, tiny_score
from pixq.models.spec import ModelSpec

__all__ = ["Tiny", "TinyKernel"]


class Tiny(nn.Module):
    """3x3 convolution to 32, 1x1 to 16, 3x3 to 8, global average.

    With the head's linear layer these are 4,417 weights, 4,321 without normalisation, as in the notebooks.
    Nothing is padded: every feature is of real pixels.
    """

    features = 8

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.norm = spec.norm == "group"

        def norm(channels: int, groups: int) -> nn.Module:
            return nn.GroupNorm(groups, channels) if spec.norm == "group" else nn.Identity()

        self.layers = nn.Sequential(
            nn.Conv2d(9, 32, 3),
            norm(32, 8),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 16, 1),
            norm(16, 4),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 8, 3),
            nn.ReLU(inplace=True),
        )

    def make_kernel(self) -> TinyKernel:
        """The kernel that computes this network with a linear layer after it."""
        return TinyKernel(norm=self.norm)

    def forward(self, channels: Tensor) -> Tensor:
        """(n, 9, height, width), at least 5x5, to features (n, 8)."""
        features: Tensor = self.layers(channels).mean(dim=(2, 3))
        return features


class TinyKernel:
    """The same network and its gradients, computed by the core on a CPU, which is several times as fast.

    PyTorch's layers hold the weights, serve other devices and exports, and are what tests compare this with. The order
    of sums does not depend on the number of threads.

    Parameters
    ----------
    norm
        Whether the network has its GroupNorm layers.
    """

    def __init__(self, *, norm: bool) -> None:
        self.norm = norm
        # Tapes whose backward pass is done. A tape holds one forward pass, so one that waits for its backward is
        # not here.
        self._free: list[TinyTape] = []

    def score(
        self, reference: Tensor, distorted: Tensor, scale: Tensor, shift: Tensor, weights: Sequence[Tensor]
    ) -> Tensor:
        """The linear layer's output, float32 (n, 1).

        Parameters
        ----------
        reference, distorted
            uint8 (n, height, width, 3) on the CPU.
        scale, shift
            float32 (9,): see `NineChannels`.
        weights
            All weights of the network and of its linear layer, in the order of `parameters()`.
        """
        # Checked here, because inside of `forward` gradients are always off, and `needs_input_grad` does not
        # know of no_grad.
        keep = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        score: Tensor = _Score.apply(self, keep, reference, distorted, scale, shift, *weights)
        return score

    def tape(self) -> TinyTape:
        """A tape for one forward pass and its gradient."""
        return self._free.pop() if self._free else TinyTape(norm=self.norm)


class _Score(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        kernel: TinyKernel,
        keep: bool,
        reference: Tensor,
        distorted: Tensor,
        scale: Tensor,
        shift: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        flat = torch.cat([weight.reshape(-1) for weight in weights])
        out = torch.empty(reference.shape[0])
        arrays = (flat.numpy(), reference.contiguous().numpy(), distorted.contiguous().numpy())
        options: dict[str, Any] = {"scale": scale.numpy(), "shift": shift.numpy(), "out": out.numpy()}
        if keep and any(ctx.needs_input_grad):
            ctx.kernel, ctx.tape = kernel, kernel.tape()
            ctx.shapes = [weight.shape for weight in weights]
            ctx.tape.forward(*arrays, **options)
        else:
            tiny_score(*arrays, norm=kernel.norm, **options)
        return out[:, None]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.tape is None:
            raise RuntimeError("the backward pass of tiny has already been taken; score the patches again")
        sizes = [shape.numel() for shape in ctx.shapes]
        flat = torch.empty(sum(sizes))
        ctx.tape.backward(grads[0].reshape(-1).contiguous().numpy(), flat.numpy())
        ctx.kernel._free.append(ctx.tape)
        ctx.tape = None
        parts = zip(flat.split(sizes), ctx.shapes, strict=True)  # type: ignore[no-untyped-call]
        return (None, None, None, None, None, None, *(part.view(shape) for part, shape in parts))
