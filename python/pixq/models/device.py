"""Choosing the device that PyTorch computes on."""

from __future__ import annotations

import os

import torch

from pixq.errors import PixqError

__all__ = ["choose_device"]


def choose_device(name: str) -> torch.device:
    """The device with a name: `cpu`, `cuda`, `cuda:1`, or `auto`, which is the first GPU if there is one.

    Raises
    ------
    PixqError
        If there is no such device.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        return choose_device("cuda") if _cuda() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise PixqError(f"there is no device {name!r}; choose auto, cpu, cuda or cuda:0") from None
    if device.type not in ("cpu", "cuda"):
        raise PixqError(f"pixq does not train on {name!r}; choose auto, cpu, cuda or cuda:0")
    if device.type == "cuda" and not _cuda():
        raise PixqError(f"there is no device {name!r}, because PyTorch finds no GPU; choose cpu")
    if device.index is not None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise PixqError(f"several processes can't share {name!r}; choose cuda, so that each takes its own GPU")
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda" and device.index >= torch.cuda.device_count():
        raise PixqError(f"there is no device {name!r}; there are {torch.cuda.device_count()} GPUs, from cuda:0")
    return device


def _cuda() -> bool:
    # A CUDA build warns if there is no driver, which is all that is asked here.
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cuda.is_available()
