"""Distortions of images at five levels each, like those of image-quality datasets, for demos, tests and ladders.

Also patches with dead pixels that two interpolation methods filled in. Scores made by this package don't come from
people: see `synthetic_quality` and `visibility`. To add a distortion, see `pixq.distort.kinds`.
"""

from pixq.distort.apply import distort, synthetic_quality
from pixq.distort.chain import Chain, parse_chain
from pixq.distort.interpolation import Triplet, make_triplets, write_triplets
from pixq.distort.kinds import DISTORTIONS, LEVELS, Distortion, Image
from pixq.distort.references import find_references, read_references
from pixq.distort.tree import write_tree
from pixq.distort.visibility import synthetic_class, visibility

__all__ = [
    "DISTORTIONS",
    "LEVELS",
    "Chain",
    "Distortion",
    "Image",
    "Triplet",
    "distort",
    "find_references",
    "make_triplets",
    "parse_chain",
    "read_references",
    "synthetic_class",
    "synthetic_quality",
    "visibility",
    "write_tree",
    "write_triplets",
]
