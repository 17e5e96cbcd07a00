"""A small model whose score can only fall as a distance grows, so that it is sane on unknown distortions."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from pixq.models.heads import PatchScores
from pixq.models.spec import ModelSpec

__all__ = ["Monotone", "Statistics"]

#: Luma, and the opponent channels H and M of MDSI (Nafchi et al. 2016), of red, green and blue.
_OPPONENT = ((0.299, 0.587, 0.114), (0.30, 0.04, -0.35), (0.34, -0.60, 0.17))

#: Grey levels of noise that hide a difference in each band, the finest first.
_NOISE = (1.0, 2.0, 4.0)


def _haar(image: Tensor) -> tuple[Tensor, Tensor]:
    """The half-size image, and the three bands of detail flattened: (n, 3, height, width) to those and (n, 3, k)."""
    a, b = image[..., 0::2, 0::2], image[..., 0::2, 1::2]
    c, d = image[..., 1::2, 0::2], image[..., 1::2, 1::2]
    detail = torch.stack([(a - b + c - d) / 4, (a + b - c - d) / 4, (a - b - c + d) / 4], dim=2)
    return (a + b + c + d) / 4, detail.flatten(2)


class Statistics(nn.Module):
    """Statistics of a patch pair, each with a meaning; nothing here is trained.

    `contexts` numbers describe the reference: contrast of three bands of its luma, mean luma, and saturation. More
    would identify the photograph. `distances` numbers, below 0.01 for identical patches, describe the difference:
    of each band and channel the contrast that was lost, and the energy of what is no multiple of the reference, as
    masked by the reference's own; the mean's shift up and down; the saturation that was lost, and the shift of chroma.
    """

    contexts, distances = 5, 27

    opponent: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("opponent", torch.tensor(_OPPONENT).T.contiguous(), persistent=False)

    def _bands(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """(n, 3, height, width), 0 to 255, to its means (n, 3), and fine, middle and coarse detail, each (n, 3, k)."""
        opponent = (image.permute(0, 2, 3, 1) @ self.opponent).permute(0, 3, 1, 2)
        half, fine = _haar(opponent)
        quarter, middle = _haar(half)
        mean = quarter.mean(dim=(2, 3))
        return mean, (fine, middle, quarter.flatten(2) - mean[..., None])

    def forward(self, reference: Tensor, distorted: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, height, width) twice, 0 to 255, to contexts (n, 5) and distances (n, 27)."""
        mean_r, bands_r = self._bands(reference)
        mean_d, bands_d = self._bands(distorted)
        context, distance = [], []
        for noise, r, d in zip(_NOISE, bands_r, bands_d, strict=True):
            floor = noise * noise
            rr, dd, rd = r.square().mean(dim=2), d.square().mean(dim=2), (r * d).mean(dim=2)
            context.append((rr[:, 0] + floor).log())
            # A gain of contrast costs nothing: people like it.
            distance.append((1 - (rd + floor) / (rr + floor)).clamp(0, 2))
            rest = (dd - rd * rd / (rr + 0.01)).clamp(min=0)
            distance.append((rest / (rr + floor)).log1p())
        shift = mean_d - mean_r
        chroma = mean_r[:, 1:].square().sum(dim=1)
        chroma_shift = (shift[:, 1:].square().sum(dim=1) + 1e-12).sqrt()
        kept = ((mean_r[:, 1:] * mean_d[:, 1:]).sum(dim=1) + 25) / (chroma + 25)
        context += [mean_r[:, 0] / 64, ((chroma + 1e-12).sqrt() + 4).log()]
        colour = torch.stack([(1 - kept).clamp(0, 3), chroma_shift / 32, (chroma_shift / 4).log1p()], dim=1)
        distance += [shift.clamp(min=0) / 32, (-shift).clamp(min=0) / 32, colour]
        return torch.stack(context, dim=1), torch.cat(distance, dim=1)


class Monotone(nn.Module):
    """An ensemble of small nets on `Statistics`, each with its own score and weight.

    A member's score is `top - sum_u V_u sigmoid(gain_u * (W_u . distance) + bias_u) + bend`: W and V are positive, so
    that the sum can only grow with a distance, gain and bias depend on the context alone, and `bend`, of both, is
    kept small. The weight that a patch has in an image's score depends on the context alone, too.
    """

    UNITS, HIDDEN, BEND_HIDDEN, WEIGH_HIDDEN = 16, 4, 16, 4
    #: The largest share of quality that is not monotone.
    BEND = 0.2

    hidden = Statistics.distances

    context_mean: Tensor
    context_scale: Tensor
    distance_scale: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.statistics = Statistics()
        contexts, distances = Statistics.contexts, Statistics.distances
        self.members = members = spec.members
        self.register_buffer("context_mean", torch.zeros(contexts))
        self.register_buffer("context_scale", torch.ones(contexts))
        self.register_buffer("distance_scale", torch.ones(distances))
        # W and V are the softplus of `rise` and `cost`.
        self.rise = nn.Parameter(torch.randn(members * self.UNITS, distances) * 0.7 - 3.5)
        self.cost = nn.Parameter(torch.full((members, self.UNITS), -2.5))
        self.look = nn.Linear(contexts, self.HIDDEN * members)
        self.modulate = nn.Parameter(torch.randn(members, self.HIDDEN, 2 * self.UNITS) * 0.05)
        self.bias = nn.Parameter(torch.randn(members, self.UNITS) * 0.5 - 1)
        self.top = nn.Parameter(torch.full((members,), 0.85))
        self.bend_in = nn.Linear(contexts + distances, self.BEND_HIDDEN * members)
        self.bend_out = nn.Parameter(torch.zeros(members, self.BEND_HIDDEN))
        self.learned = spec.pooling == "learned"
        if self.learned:
            self.weigh_in = nn.Linear(contexts, self.WEIGH_HIDDEN * members)
            self.weigh_out = nn.Parameter(torch.zeros(members, self.WEIGH_HIDDEN))

    def _measure(self, channels: Tensor) -> tuple[Tensor, Tensor]:
        reference, distorted = channels[:, 0:3] * 255.0, channels[:, 3:6] * 255.0
        statistics: tuple[Tensor, Tensor]
        if torch.is_autocast_enabled(channels.device.type):
            # Half a grey level, to which bf16 rounds luma, is as much as the finest distances tell.
            with torch.autocast(channels.device.type, enabled=False):
                statistics = self.statistics(reference, distorted)
        else:
            statistics = self.statistics(reference, distorted)
        return statistics

    def _of(self, values: Tensor) -> Tensor:
        """(n, members * k) to (n, members, k)."""
        return values.view(values.shape[0], self.members, values.shape[1] // self.members)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Set the scales of the statistics from batches of training patches, nine channels (n, 9, height, width).

        They are buffers, so they are saved with the weights.
        """
        count, sums = 0, [torch.zeros(0)] * 3
        for channels in batches:
            context, distance = self._measure(channels)
            batch = [context.double().sum(dim=0), context.double().square().sum(dim=0), distance.double().sum(dim=0)]
            sums = [a + b for a, b in zip(sums, batch, strict=True)] if count else batch
            count += len(context)
        mean = sums[0] / count
        self.context_mean.copy_(mean)
        self.context_scale.copy_((sums[1] / count - mean.square()).clamp(min=0).sqrt() + 1e-3)
        self.distance_scale.copy_(sums[2] / count + 0.01)

    def forward(self, channels: Tensor, shown: Tensor | None = None) -> PatchScores:
        """(n, 9, height, width), both multiples of 4, to scores: raw and weight (n, members).

        A 0 in `shown` (images, distances) hides a distance in all patches of an image, which follow one another.
        """
        context, distance = self._measure(channels)
        c = ((context - self.context_mean) / self.context_scale).clamp(-3, 3)
        d = distance / self.distance_scale
        if shown is not None:
            d = d * shown.repeat_interleave(d.shape[0] // shown.shape[0], dim=0)
        gain, bias = torch.einsum("nmh,mhu->nmu", self._of(self.look(c).tanh()), self.modulate).chunk(2, dim=2)
        rise = self._of(functional.linear(d, functional.softplus(self.rise)))
        fall = (torch.sigmoid(rise * gain.exp() + bias + self.bias) * functional.softplus(self.cost)).sum(dim=2)
        bend = (self._of(self.bend_in(torch.cat([c, d], dim=1)).tanh()) * self.bend_out).sum(dim=2)
        raw = self.top - fall + self.BEND * bend.tanh()
        if not self.learned:
            return PatchScores(raw, torch.ones_like(raw))
        weigh = (self._of(self.weigh_in(c).relu()) * self.weigh_out).sum(dim=2)
        # softplus(0.54) is 1: at first all patches count the same. Above 0, so that a bag has a weighted mean.
        return PatchScores(raw, functional.softplus(weigh + 0.54) + 1e-3)
