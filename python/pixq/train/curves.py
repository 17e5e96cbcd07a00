"""Drawing the loss and rank correlation of each epoch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pixq.io.optional import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw", "png"]


def draw(metrics: Sequence[dict[str, Any]], best: int | None = None) -> Figure:
    """Loss of training and validation, and SRCC of patches and images, by epoch.

    Parameters
    ----------
    metrics
        The lines of `metrics.jsonl`.
    best
        The epoch whose weights were kept.

    Raises
    ------
    PixqError
        If matplotlib is not installed.
    """
    figure: Figure = require("matplotlib", "matplotlib.figure").Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [line["epoch"] for line in metrics]

    def curve(axes: Any, values: Sequence[float | None], label: str, style: str) -> None:
        known = [(epoch, value) for epoch, value in zip(epochs, values, strict=True) if value is not None]
        if known:
            axes.plot(*zip(*known, strict=True), style, label=label, markersize=3)

    losses = [(line["train"] or {}).get("loss") for line in metrics], [line["validation"]["loss"] for line in metrics]
    curve(left, losses[0], "training", "o-")
    curve(left, losses[1], "validation", "s-")
    curve(right, [line["validation"]["srcc"] for line in metrics], "patches", "o-")
    curve(right, [line["validation"]["image_srcc"] for line in metrics], "images", "s-")
    # A logarithmic scale has no 0, so it is linear if all losses are 0.
    scale = "log" if any(loss for loss in (*losses[0], *losses[1])) else "linear"
    left.set(xlabel="epoch", ylabel="loss", yscale=scale)
    right.set(xlabel="epoch", ylabel="SRCC on validation")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        if best is not None:
            axes.axvline(best, color="0.6", linewidth=1, label="kept")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120, metadata={"Software": None})
    return data.getvalue()
