"""Well-defined distortions at five levels each, as image-quality datasets have them, for demos, tests and ladders.

No person has scored what this package makes: see `synthetic_quality`.
"""

from pixq.distort.apply import distort, synthetic_quality
from pixq.distort.kinds import DISTORTIONS, LEVELS, Distortion, Image
from pixq.distort.tree import write_tree

__all__ = ["DISTORTIONS", "LEVELS", "Distortion", "Image", "distort", "synthetic_quality", "write_tree"]
