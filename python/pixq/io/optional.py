"""Optional dependencies: import one, or say how to install it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pixq.errors import PixqError

if TYPE_CHECKING:
    pass

__all__ = ["require"]


#: What to install for a package that is not there.
_EXTRA_OF = {
    **dict.fromkeys(("torch", "tensorboard", "safetensors", "scipy", "matplotlib"), "train"),
    **dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "onnx"),
    **dict.fromkeys(("python_multipart", "starlette", "uvicorn"), "serve"),
    "playwright": "rehearsal",
    "pyarrow": "parquet",
    "sqlalchemy": "study",
    "timm": "pretrained",
}


def require(package: str, module: str | None = None) -> Any:
    """Import `module` (`package` by default), which needs `package`.

    Raises
    ------
    PixqError
        If `package` is not installed; the message says what to install.
    """
    try:
        import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:
            raise
        extra = _EXTRA_OF.get(package, package)
        raise PixqError(f"{package} is not installed; install it with: pip install 'pixq[{extra}]'") from None
    return import_module(module or package)
