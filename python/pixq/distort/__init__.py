"""Well-defined distortions at five levels each, as image-quality datasets have them, for demos, tests and ladders.

And patches with lost pixels that two methods filled in, as pixel interpolation leaves them. No person has scored what
this package makes: see `synthetic_quality` and `visibility`.
"""

from pixq.distort.apply import distort, synthetic_quality
from pixq.distort.interpolation import Triplet, make_triplets, write_triplets
from pixq.distort.kinds import DISTORTIONS, LEVELS, Distortion, Image
from pixq.distort.references import read_references
from pixq.distort.tree import write_tree
from pixq.distort.visibility import synthetic_class, visibility

__all__ = [
    "DISTORTIONS",
    "LEVELS",
    "Distortion",
    "Image",
    "Triplet",
    "distort",
    "make_triplets",
    "read_references",
    "synthetic_class",
    "synthetic_quality",
    "visibility",
    "write_tree",
    "write_triplets",
]
