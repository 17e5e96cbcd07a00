"""Would a person notice this local change in an image?"""

from pixq._core import __version__

__all__ = ["__version__"]
