"""Where a patch's region of interest lies, and how a reference and a distorted patch become one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pixq.errors import PixqError

__all__ = ["Fusion", "FusionName", "PatchGeometry"]

FusionName = Literal["none", "copy", "blend", "paste"]


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
        if not 1 <= self.size <= 4096:
            raise PixqError(f"the patch size is {self.size}; give 1 to 4096 pixels")
        if not 1 <= self.roi <= self.size or (self.size - self.roi) % 2:
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
class Fusion:
    """How the RoI of a reference and of a distorted patch are combined.

    `none` is the distorted patch as it is; `copy` the distorted patch with the reference's RoI; `blend` the distorted
    patch with `alpha * reference + (1 - alpha) * distorted` in the RoI, rounded half up; `paste` the reference patch
    with the distorted RoI. `alpha` is the weight of the reference, in [0, 1], and belongs to `blend` alone.

    Examples
    --------
    >>> Fusion.parse("blend:0.25")
    Fusion(name='blend', alpha=0.25)
    >>> str(Fusion.parse("copy"))
    'copy'
    """

    name: FusionName
    alpha: float | None = None

    def __post_init__(self) -> None:
        if self.name not in ("none", "copy", "blend", "paste"):
            raise PixqError(f"unknown fusion {self.name!r}; choose none, copy, blend or paste")
        if (self.alpha is not None) != (self.name == "blend"):
            raise PixqError(f"fusion {self.name!r} {'needs' if self.name == 'blend' else 'takes no'} alpha")
        if self.alpha is not None and not 0.0 <= self.alpha <= 1.0:
            raise PixqError(f"the alpha of a blend is {self.alpha}; give a number from 0 to 1")

    @classmethod
    def parse(cls, text: str) -> Fusion:
        """The fusion that `text` names: `none`, `copy`, `paste`, `blend` (alpha 0.5) or `blend:ALPHA`."""
        name, colon, alpha = text.partition(":")
        if name == "blend":
            try:
                return cls("blend", float(alpha) if colon else 0.5)
            except ValueError:
                raise PixqError(f"fusion {text!r}: {alpha!r} is not a number; write it as blend:0.5") from None
        if colon:
            raise PixqError(f"fusion {text!r}: only blend takes an alpha")
        return cls(name)  # type: ignore[arg-type]  # __post_init__ names an unknown one

    def __str__(self) -> str:
        return self.name if self.alpha is None else f"{self.name}:{self.alpha}"
