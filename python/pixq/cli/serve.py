"""`pixq serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq import ranges
from pixq.cli.number_options import number_in
from pixq.cli.options import AT_A_DESK, ON_BACKGROUNDS, PairOptions, ViewingOptions
from pixq.io.optional import require
from pixq.ranges import NumberRange
from pixq.scoring.scorer import load

__all__ = ["serve"]


def serve(
    run: Path | None = None,
    /,
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, number_in(ranges.PORT)] = 8008,
    calibration: str | None = None,
    device: str = "cpu",
    max_upload: Annotated[float, number_in(NumberRange(0, 4096, open_low=True))] = 64,
    open: Annotated[bool, Parameter(negative="")] = False,
    viewing: ViewingOptions = AT_A_DESK,
    images: PairOptions = ON_BACKGROUNDS,
) -> int:
    """Serve a page that says how many people would notice how two images differ, and where.

    Drop the images on it, see the map, flip between them. How people look at them can be changed on the page.

    Prints the page's address. Uploads stay in memory. Press Ctrl-C to stop.

    Parameters
    ----------
    run
        Directory of a finished run. Default: the model that comes with pixq.
    host
        Address to listen at. The default can only be reached from this machine.
    port
        Port to listen at; 0 for any free port.
    calibration
        Name of the run's calibration to use. Default: the only one.
    device
        cpu, cuda, cuda:0, or auto.
    max_upload
        The largest upload, in MiB per file.
    open
        Open the page in your browser.
    """
    for package in ("starlette", "python_multipart", "uvicorn"):
        require(package)
    from pixq.serve import service

    scorer = load(run, device, calibration=calibration, viewing=viewing.conditions)
    limit = max(round(max_upload * 2**20), 1)
    service.serve(
        scorer,
        host=host,
        port=port,
        open_page=open,
        about=service.describe_model(scorer),
        max_upload=limit,
        size=scorer.size,
        **images.given(),
    )
    return 0
