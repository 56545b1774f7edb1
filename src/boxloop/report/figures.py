"""Draw the figures of a report as SVG, with matplotlib.

The colours are those of Okabe and Ito (2008), safe for colour-blind people; lines differ in markers
and dashes too.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from boxloop.campaign.results import CampaignResults
from boxloop.core.edits import EDITS
from boxloop.report import tables

BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
)
EDIT_COLORS = {
    "kept": GREEN,
    "moved": SKY,
    "relabeled": PURPLE,
    "removed": ORANGE,
    "added": VERMILLION,
}
LINES = (BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE)
MARKERS = "os^Dv*"

# A fixed salt makes the ids in the file, and so the file, reproducible.
STYLE: Any = {
    "svg.hashsalt": "boxloop",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def to_svg(figure: Figure) -> bytes:
    """Render a figure as SVG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _start(height: float = 3.4) -> tuple[Figure, Axes]:
    # Without pyplot, which would look for a window system and keep the figure in memory.
    figure = Figure(figsize=(6.4, height), layout="constrained")
    return figure, figure.subplots()


def saving(campaign: CampaignResults) -> bytes:
    """Draw the savings in WT (solid) and WB (dashed) at each IoU against images labeled."""
    rows = tables.saving(campaign)
    images = [row["images"] for row in rows]
    with mpl.rc_context(STYLE):
        figure, axes = _start()
        for i, iou in enumerate(campaign.iou_thresholds):
            color, marker = LINES[i % len(LINES)], MARKERS[i % len(MARKERS)]
            for measure, dashes, what in (("wt", "-", "time"), ("wb", "--", "boxes")):
                values = [row[f"{measure}_reduction_iou_{iou:g}"] for row in rows]
                label = f"{what} ({measure.upper()[0]}$_{measure.upper()[1]}$), IoU {iou:g}"
                axes.plot(images, values, dashes, color=color, marker=marker, label=label)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(xlabel="images labeled so far", ylabel="work saved so far")
        _percent(axes)
        axes.set_xlim(left=0)
        axes.legend()
        return to_svg(figure)


def edits(campaign: CampaignResults, iou: float) -> bytes:
    """Draw stacked bars of each batch's edits."""
    rows = tables.edits(campaign)
    names = [row["batch"] for row in rows]
    counts = {kind: [row[f"{kind}_iou_{iou:g}"] for row in rows] for kind in EDITS}
    with mpl.rc_context(STYLE):
        figure, axes = _start()
        _stack(axes, names, counts)
        axes.set(xlabel="batch", ylabel="boxes")
        return to_svg(figure)


def one_batch_edits(counts: Mapping[str, Mapping[str, int]]) -> bytes:
    """Draw stacked bars of one batch's edits, one bar per IoU threshold.

    Args:
        counts: by the name of the IoU threshold, then by kind of edit.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _start()
        by_kind = {kind: [row[kind] for row in counts.values()] for kind in EDITS}
        _stack(axes, [f"IoU {name}" for name in counts], by_kind)
        axes.set_ylabel("boxes")
        return to_svg(figure)


def precision(campaign: CampaignResults) -> bytes:
    """Draw mAP on the next batch against the images trained on (paper, figure 3)."""
    rows = tables.precision(campaign)
    names = {"map": "mAP 0.50:0.95", "map_50": "mAP at IoU 0.50", "map_75": "mAP at IoU 0.75"}
    with mpl.rc_context(STYLE):
        figure, axes = _start()
        for i, (name, label) in enumerate(names.items()):
            points = [(r["trained_on_images"], r[name]) for r in rows if r[name] is not None]
            axes.plot(
                [x for x, _ in points],
                [y for _, y in points],
                color=LINES[i],
                marker=MARKERS[i],
                label=label,
            )
        axes.set(xlabel="images the detector was trained on", ylabel="mAP on the next batch")
        axes.set_xlim(left=0)
        axes.set_ylim(0, 1)
        axes.legend()
        return to_svg(figure)


def what_if(campaign: CampaignResults, shown_at: float) -> bytes:
    """Draw the savings in WT against the review's score threshold."""
    rows = tables.what_if(campaign)
    with mpl.rc_context(STYLE):
        figure, axes = _start()
        for i, iou in enumerate(campaign.iou_thresholds):
            axes.plot(
                [row["score_threshold"] for row in rows],
                [row[f"wt_reduction_iou_{iou:g}"] for row in rows],
                color=LINES[i % len(LINES)],
                marker=MARKERS[i % len(MARKERS)],
                label=f"time (W$_T$), IoU {iou:g}",
            )
        axes.axvline(shown_at, color="#555555", linestyle=":", label="review.score_threshold")
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(xlabel="score threshold of the review", ylabel="work saved")
        _percent(axes)
        axes.legend()
        return to_svg(figure)


def losses(curves: Mapping[str, Sequence[tuple[int, float]]]) -> bytes:
    """Draw a training's loss curves, by the loss's name, against optimiser steps."""
    with mpl.rc_context(STYLE):
        figure, axes = _start()
        for i, (name, points) in enumerate(curves.items()):
            axes.plot(
                [step for step, _ in points],
                [value for _, value in points],
                color=LINES[i % len(LINES)],
                linewidth=1.6 if i == 0 else 0.9,
                label=name,
            )
        axes.set(xlabel="optimiser step", ylabel="training loss")
        axes.set_ylim(bottom=0)
        if curves:
            axes.legend()
        return to_svg(figure)


def _stack(axes: Axes, names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> None:
    bottom = [0] * len(names)
    for kind, values in counts.items():
        axes.bar(
            range(len(names)),
            values,
            bottom=bottom,
            color=EDIT_COLORS[kind],
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


def _percent(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
