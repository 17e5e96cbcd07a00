"""Optional dependencies: import one, or say how to install it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pixq.errors import PixqError

__all__ = ["require"]


#: The extra of pixq that installs a package.
_EXTRA_OF = {
    **dict.fromkeys(("torch", "tensorboard", "safetensors", "scipy", "matplotlib", "sklearn"), "train"),
    **dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "onnx"),
    **dict.fromkeys(("python_multipart", "starlette", "uvicorn"), "serve"),
    "jinja2": "report",
    "jwt": "prolific",
    "pillow_heif": "heif",
    "pillow_jxl": "jxl",
    "piq": "baselines",
    **dict.fromkeys(("flip_evaluator", "pycvvdp", "ssimulacra2"), "rivals"),
    "playwright": "rehearsal",
    "pyarrow": "parquet",
    "sqlalchemy": "study",
    "timm": "pretrained",
}
#: The name on PyPI, where it differs from the module's.
_PACKAGE_OF = {
    "flip_evaluator": "flip-evaluator",
    "jwt": "PyJWT",
    "pycvvdp": "cvvdp",
    "sklearn": "scikit-learn",
}


def require(package: str, module: str | None = None, *, extra: str | None = None) -> Any:
    """Import `module` (`package` by default), which needs `package`; `extra` overrides the extra that installs it.

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
        extra = extra or _EXTRA_OF.get(package, package)
        name = _PACKAGE_OF.get(package, package)
        raise PixqError(f"{name} is not installed; install it with: pip install 'pixq[{extra}]'") from None
    return import_module(module or package)
