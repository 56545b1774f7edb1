"""Draw the figures of a report as SVG, with matplotlib.

The colours are those of Okabe and Ito (2008), safe for colour-blind people; lines differ in markers
and dashes too.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from boxloop.campaign.results import CampaignResults
from boxloop.core.edits import EDITS
from boxloop.report import tables

_BLUE, _ORANGE, _GREEN, _VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
_SKY, _PURPLE = "#56B4E9", "#CC79A7"
_EDIT_COLORS = dict(zip(EDITS, (_GREEN, _SKY, _PURPLE, _ORANGE, _VERMILLION), strict=True))
_LINES = (_BLUE, _VERMILLION, _GREEN, _PURPLE, _SKY, _ORANGE)
_MARKERS = "os^Dv*"

# A fixed salt makes the ids in the file, and so the file, reproducible.
_STYLE: Any = {
    "svg.hashsalt": "boxloop",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "axes.axisbelow": True,
    "legend.frameon": False,
}

_P = ParamSpec("_P")

_NARROW = 0.1
"""Length of an axis up to which whole percent are too coarse for it."""


def as_svg(draw: Callable[Concatenate[Axes, _P], None]) -> Callable[_P, bytes]:
    """Make a function that draws on axes return an SVG; equal drawings give equal bytes."""

    @wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> bytes:
        with mpl.rc_context(_STYLE):
            # Without pyplot, which would look for a window system and keep the figure in memory.
            figure = Figure(figsize=(6.4, 3.4), layout="constrained")
            draw(figure.subplots(), *args, **kwargs)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
            return buffer.getvalue()

    return drawn


def look(i: int) -> dict[str, Any]:
    """Return the colour and the marker of the line number ``i``."""
    return {"color": _LINES[i % len(_LINES)], "marker": _MARKERS[i % len(_MARKERS)]}


@as_svg
def saving(axes: Axes, campaign: CampaignResults) -> None:
    """Draw the savings in WT (solid) and WB (dashed) at each IoU against images labeled."""
    rows = tables.saving(campaign)
    images = [row["images"] for row in rows]
    for i, iou in enumerate(campaign.iou_thresholds):
        for measure, dashes, what in (("wt", "-", "time"), ("wb", "--", "boxes")):
            values = [row[f"{measure}_reduction_iou_{iou:g}"] for row in rows]
            label = f"{what} ({measure.upper()[0]}$_{measure.upper()[1]}$), IoU {iou:g}"
            axes.plot(images, values, dashes, label=label, **look(i))
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel="images labeled so far", ylabel="work saved so far")
    percent_axis(axes)
    axes.set_xlim(left=0)
    axes.legend()


@as_svg
def edits(axes: Axes, campaign: CampaignResults, iou: float) -> None:
    """Draw stacked bars of each batch's edits."""
    rows = tables.edits(campaign)
    names = [row["batch"] for row in rows]
    counts = {kind: [row[f"{kind}_iou_{iou:g}"] for row in rows] for kind in EDITS}
    _stack(axes, names, counts)
    axes.set(xlabel="batch", ylabel="boxes")


@as_svg
def precision(axes: Axes, campaign: CampaignResults) -> None:
    """Draw mAP on the next batch against the images trained on (paper, figure 3)."""
    rows = tables.precision(campaign)
    names = {"map": "mAP 0.50:0.95", "map_50": "mAP at IoU 0.50", "map_75": "mAP at IoU 0.75"}
    for i, (name, label) in enumerate(names.items()):
        points = [(r["trained_on_images"], r[name]) for r in rows if r[name] is not None]
        axes.plot([x for x, _ in points], [y for _, y in points], label=label, **look(i))
    axes.set(xlabel="images the detector was trained on", ylabel="mAP on the next batch")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1)
    axes.legend()


@as_svg
def what_if(axes: Axes, campaign: CampaignResults, shown_at: float | None) -> None:
    """Draw the savings in WT against the review's score threshold; mark the one in use, if any."""
    rows = tables.what_if(campaign)
    for i, iou in enumerate(campaign.iou_thresholds):
        axes.plot(
            [row["score_threshold"] for row in rows],
            [row[f"wt_reduction_iou_{iou:g}"] for row in rows],
            label=f"time (W$_T$), IoU {iou:g}",
            **look(i),
        )
    if shown_at is not None:
        axes.axvline(shown_at, color="#555555", linestyle=":", label="review.score_threshold")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel="score threshold of the review", ylabel="work saved")
    if (lowest := what_if_cut(campaign)) is not None:
        axes.set_ylim(bottom=lowest)
    percent_axis(axes)
    axes.legend()


def what_if_cut(campaign: CampaignResults) -> float | None:
    """Return the saving below which :func:`what_if` draws nothing; None where it draws all.

    A low threshold can cost ten times the drawing, beside which all else would be one flat line: so
    losses beyond 100 % are left out, but the best of each line is always seen.
    """
    rows = tables.what_if(campaign)
    lines = [[row[f"wt_reduction_iou_{iou:g}"] for row in rows] for iou in campaign.iou_thresholds]
    best = min(max(line) for line in lines)
    lowest = -1.0 if best > -1 else math.floor(11 * best) / 10
    return lowest if min(map(min, lines)) < lowest else None


def _stack(axes: Axes, names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> None:
    bottom = [0] * len(names)
    for kind, values in counts.items():
        axes.bar(
            range(len(names)),
            values,
            bottom=bottom,
            color=_EDIT_COLORS[kind],
            edgecolor="white",
            linewidth=0.6,
            label=kind,
        )
        bottom = [low + value for low, value in zip(bottom, values, strict=True)]
    # At most 16 names fit.
    every = max(1, -(-len(names) // 16))
    axes.set_xticks(range(0, len(names), every), list(names)[::every])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(ncols=len(counts), loc="lower left", bbox_to_anchor=(0, 1.0))


def percent_axis(axes: Axes) -> None:
    """Label the y axis in percent, with decimals where whole ones would repeat."""
    low, high = axes.get_ylim()
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0 if high - low > _NARROW else None))
