"""Where a patch's region of interest lies, and how a reference and a distorted patch become one."""

from __future__ import annotations

from dataclasses import dataclass

from pixq import ranges
from pixq._core import fusions
from pixq.errors import PixqError

__all__ = ["FUSIONS", "Fusion", "FusionKind", "PatchGeometry", "fusion_names"]


@dataclass(frozen=True)
class PatchGeometry:
    """A square patch with a square region of interest (RoI) in its centre.

    Parameters
    ----------
    size
        Rows and columns of the patch, in pixels.
    roi
        Rows and columns of the RoI, in pixels; `size - roi` must be even, so that the RoI is centred.

    Examples
    --------
    >>> PatchGeometry().roi_box
    (4, 4, 12, 12)
    """

    size: int = 20
    roi: int = 12

    def __post_init__(self) -> None:
        ranges.PATCH_SIZE.check(self.size, "the patch size")
        ranges.PATCH_SIZE.check(self.roi, "the size of the RoI")
        if self.roi > self.size or (self.size - self.roi) % 2:
            raise PixqError(
                f"a RoI of {self.roi} pixels can't be centred in a patch of {self.size}; give 1 to {self.size}, "
                f"{'even' if self.size % 2 == 0 else 'odd'}"
            )

    @property
    def roi_box(self) -> tuple[int, int, int, int]:
        """The RoI inside the patch: (y, x, height, width) in pixels."""
        start = (self.size - self.roi) // 2
        return start, start, self.roi, self.roi


@dataclass(frozen=True)
class FusionKind:
    """What a fusion shows outside and inside the region of interest.

    Parameters
    ----------
    name
        Its name.
    outside, inside
        `reference`, `distorted`, or `mean`: the mean of both that `alpha` weights.
    description
        What it gives, in a few words.
    """

    name: str
    outside: str
    inside: str
    description: str

    @property
    def takes_alpha(self) -> bool:
        """Whether `alpha` weights what the patch shows in its RoI."""
        return self.inside == "mean"


#: All fusions by name, from the table that the compiled core keeps.
FUSIONS = {row["name"]: FusionKind(**row) for row in fusions()}


def fusion_names(word: str = "or") -> str:
    """The names of all fusions in a sentence.

    Examples
    --------
    >>> fusion_names().split(", ")[:2]
    ['none', 'copy']
    """
    *others, last = FUSIONS
    return f"{', '.join(others)} {word} {last}"


@dataclass(frozen=True)
class Fusion:
    """How a reference patch and a distorted patch become one.

    `none` is the distorted patch as it is; `copy` is the distorted patch with the reference's RoI; `blend` is the
    distorted patch with `alpha * reference + (1 - alpha) * distorted` in the RoI, rounded half up; `paste` is the
    reference patch with the distorted RoI.

    Parameters
    ----------
    name
        One of `FUSIONS`.
    alpha
        The weight of the reference, 0 to 1, for a fusion that takes one.

    Examples
    --------
    >>> Fusion.parse("blend:0.25")
    Fusion(name='blend', alpha=0.25)
    >>> str(Fusion.parse("copy"))
    'copy'
    """

    name: str
    alpha: float | None = None

    def __post_init__(self) -> None:
        kind = FUSIONS.get(self.name)
        if kind is None:
            raise PixqError(f"unknown fusion {self.name!r}; choose {fusion_names()}")
        if (self.alpha is not None) != kind.takes_alpha:
            raise PixqError(f"fusion {self.name!r} {'needs' if kind.takes_alpha else 'takes no'} alpha")
        if self.alpha is not None:
            ranges.PROBABILITY.check(self.alpha, f"the alpha of a {self.name}")

    @classmethod
    def parse(cls, text: str) -> Fusion:
        """The fusion that a text such as `copy`, `blend` (alpha 0.5) or `blend:0.25` names."""
        name, colon, alpha = text.partition(":")
        if name not in FUSIONS or not FUSIONS[name].takes_alpha:
            if colon and name in FUSIONS:
                raise PixqError(f"fusion {text!r}: {name} takes no alpha; write just {name}")
            return cls(name)
        try:
            return cls(name, float(alpha) if colon else 0.5)
        except ValueError:
            raise PixqError(f"fusion {text!r}: {alpha!r} is not a number; write {name}:0.5, for example") from None

    @property
    def weights(self) -> tuple[float, float]:
        """The weight of the reference inside the RoI and outside of it.

        Examples
        --------
        >>> Fusion("copy").weights, Fusion("blend", 0.25).weights, Fusion("paste").weights
        ((1.0, 0.0), (0.25, 0.0), (0.0, 1.0))
        """
        kind = FUSIONS[self.name]
        inside, outside = (
            {"reference": 1.0, "distorted": 0.0, "mean": self.alpha or 0.0}[shown]
            for shown in (kind.inside, kind.outside)
        )
        return inside, outside

    def __str__(self) -> str:
        return self.name if self.alpha is None else f"{self.name}:{self.alpha}"
