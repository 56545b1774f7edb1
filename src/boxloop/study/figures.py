"""Draw the figures of a study: savings by ordering, figures 2 and 3 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from boxloop.core.types import ImageRef
from boxloop.datasets.images import as_jpeg, read_image
from boxloop.errors import DatasetError
from boxloop.report.figures import as_svg, look
from boxloop.report.tables import Row
from boxloop.study.grid import Grid
from boxloop.study.results import select
from boxloop.study.statistics import mean
from boxloop.study.tables import MEASURES, Entry

PRECISIONS = {
    "voc_map": "VOC mAP at IoU 0.5 (all points)",
    "voc07_map": "VOC 2007 mAP at IoU 0.5 (11 points)",
    "map": "COCO mAP, IoU 0.50:0.95",
}
"""Measures of figure 3, by column of precision.csv."""

_SIDE = 160
_GAP = 4


@as_svg
def saving(
    axes: Axes, rows: Sequence[Row], items: Sequence[Entry], grid: Grid, measure: str
) -> None:
    """Draw percent saved by approach: the mean, its interval, a tick for every seed."""
    items = [e for e in items if e.measure == measure and not e.label]
    columns = [(d, iou) for d in grid.detectors for iou in grid.ious]
    assert isinstance(axes.figure, Figure)
    axes.figure.set_figheight(1.2 + 0.16 * len(grid.approaches) * (len(columns) + 1))
    for i, (detector, iou) in enumerate(columns):
        color, marker = look(i).values()
        offset = 0.8 * ((i + 1) / (len(columns) + 1) - 0.5)
        mine = [e for e in items if e.detector == detector and e.iou == iou]
        places = [grid.approaches.index(e.approach) + offset for e in mine]
        axes.errorbar(
            [e.mean.mean for e in mine],
            places,
            xerr=[e.mean.half or 0.0 for e in mine],
            fmt=marker,
            color=color,
            capsize=3,
            label=f"{detector}, IoU {iou:g}",
        )
        for e, place in zip(mine, places, strict=True):
            seeds = select(rows, shown=1, iou=iou, detector=detector, approach=e.approach.name)
            values = [100 * r[f"{measure}_reduction"] for r in seeds]
            axes.plot(values, [place] * len(values), "|", color=color, markersize=5)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(grid.approaches)), [a.name for a in grid.approaches])
    axes.set_ylim(len(grid.approaches) - 0.5, -0.5)
    axes.set_xlabel(f"{MEASURES[measure]} saved, %")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0))


@as_svg
def precision(axes: Axes, rows: Sequence[Row], grid: Grid, detector: str, column: str) -> None:
    """Draw mAP on the test set against images labeled, with intervals over the seeds."""
    for i, approach in enumerate(grid.approaches):
        mine = select(rows, detector=detector, approach=approach.name)
        if not mine:
            continue
        sizes = sorted({row["labeled_images"] for row in mine})
        means = [mean([r[column] for r in select(mine, labeled_images=size)]) for size in sizes]
        axes.plot(sizes, [m.mean for m in means], label=approach.name, **look(i))
        if all(m.half is not None for m in means):
            low = [m.mean - (m.half or 0.0) for m in means]
            high = [m.mean + (m.half or 0.0) for m in means]
            color = look(i)["color"]
            axes.fill_between(sizes, low, high, color=color, alpha=0.15, linewidth=0)
    axes.set(xlabel="labeled images", ylabel=PRECISIONS[column])
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend()


def samples(images: Sequence[ImageRef]) -> bytes:
    """Draw images side by side as JPEG; an unreadable one is grey."""
    width = len(images) * (_SIDE + _GAP) - _GAP
    strip = Image.new("RGB", (width, _SIDE), "white")
    for i, ref in enumerate(images):
        try:
            picture = Image.fromarray(read_image(Path(ref.path)))
        except DatasetError:
            picture = Image.new("RGB", (_SIDE, _SIDE), "#dddddd")
        picture = ImageOps.contain(picture, (_SIDE, _SIDE))
        left = i * (_SIDE + _GAP) + (_SIDE - picture.width) // 2
        strip.paste(picture, (left, (_SIDE - picture.height) // 2))
    return as_jpeg(strip)
