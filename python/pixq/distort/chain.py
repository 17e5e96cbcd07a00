"""Several distortions one after the other, each with its own parameter."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pixq.distort.apply import check_image, generator
from pixq.distort.kinds import DISTORTIONS, Image
from pixq.errors import PixqError, unknown

__all__ = ["Chain", "Link", "parse_chain"]


@dataclass(frozen=True)
class Link:
    """A kind of distortion, and its parameter."""

    kind: str
    value: float


@dataclass(frozen=True)
class Chain:
    """Distortions in the order in which they are applied.

    Parameters
    ----------
    links
        At least one.
    """

    links: tuple[Link, ...]

    def __str__(self) -> str:
        return ",".join(f"{link.kind}:{link.value:g}" for link in self.links)

    def apply(self, image: Image, seed: int, *, name: str = "") -> Image:
        """Distort uint8 RGB (height, width, 3); random kinds draw anew for each seed, name, kind and place.

        Raises
        ------
        PixqError
            If the image is something else.
        """
        check_image(image, "image")
        for place, link in enumerate(self.links):
            # Levels are 1 to 5, so that none draws the same numbers.
            image = DISTORTIONS[link.kind].apply(image, link.value, generator(seed, name, link.kind, 100 + place))
        return image


def parse_chain(text: str) -> Chain:
    """Parse `KIND:PARAMETER,KIND:PARAMETER...`, as in `gaussian_blur:2,jpeg:40`.

    Raises
    ------
    PixqError
        If the text is something else, or a parameter lies outside of the kind's levels and what changes nothing.

    Examples
    --------
    >>> print(parse_chain("gaussian_blur:2,jpeg:40"))
    gaussian_blur:2,jpeg:40
    """
    links = []
    for part in text.split(","):
        kind, _, number = part.strip().partition(":")
        if kind not in DISTORTIONS:
            raise unknown("distortion", kind, DISTORTIONS)
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        distortion = DISTORTIONS[kind]
        ends = (distortion.unchanged, *distortion.values)
        if not min(ends) <= value <= max(ends) or (distortion.whole and value != int(value)):
            what = "a whole number" if distortion.whole else "a number"
            raise PixqError(
                f"--chain is {text!r}; give {kind} {what} from {min(ends):g} to {max(ends):g} ({distortion.unit})"
            )
        links.append(Link(kind, value))
    return Chain(tuple(links))
