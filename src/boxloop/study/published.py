"""Look up the numbers printed in the paper (``paper.csv``).

Table 3 does not say at which IoU it was counted; its rows have none. The W_B of Dis (SimNet) with
SSD on VOC, 2.15, is printed so, and looks like a misprint.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from boxloop.errors import DatasetError
from boxloop.params import SIMNET, Params
from boxloop.study.grid import Approach
from boxloop.study.spec import BASELINE

AVERAGE = "average"
"""Name of the mean over all classes in Table 3."""

_DETECTORS: Mapping[str, str] = {
    "fasterrcnn_resnet50_fpn": "frcnn",
    "ssd300_mobilenet_v2": "ssd",
}
"""The paper's detectors, by what they are called here; the numbers of others are none of its."""


@dataclass(frozen=True)
class DatasetSize:
    """The size of a whole dataset.

    Attributes:
        images: of all its parts together.
        objects: those called difficult included; None where the paper gives no exact number.
        classes: number of classes.
    """

    images: int
    objects: int | None
    classes: int

    def __str__(self) -> str:
        objects = "" if self.objects is None else f"{self.objects:,} objects in "
        return f"{objects}{self.images:,} images, of {self.classes} classes"


SIZES: Mapping[str, DatasetSize] = {
    "voc2007": DatasetSize(9963, 30638, 20),
    "kitti": DatasetSize(7481, 40570, 8),
    "indoor": DatasetSize(2213, None, 7),  # with "about 4595" objects
}
"""The paper's datasets, from its section 4."""


def check_size(name: str, found: DatasetSize) -> str | None:
    """Compare a dataset with the size that the paper gives.

    Args:
        name: of the paper's dataset that the study claims to use.
        found: size of the dataset that was read.

    Returns:
        A note where it is another dataset or a part, so that the published numbers are of other
        data; else None.

    Raises:
        DatasetError: it has as many images, but not as many objects or classes.
    """
    wanted = SIZES[name]
    if found.images != wanted.images:
        return (
            f"the paper's {name} has {wanted}, and this dataset {found}: the published numbers are"
            " of other data"
        )
    objects = found.objects if wanted.objects is None else wanted.objects
    if (found.objects, found.classes) != (objects, wanted.classes):
        raise DatasetError(
            f"the dataset has as many images as the paper's {name}, but {found}, where there are"
            f" {wanted}: get its annotations anew, or take 'paper: {name}' out of the study"
        )
    return None


_Key = tuple[str, str, str, str, str, str]


@cache
def _values() -> dict[_Key, float]:
    text = resources.files("boxloop.study").joinpath("paper.csv").read_text(encoding="utf-8")
    return {
        (r["dataset"], r["class"], r["approach"], r["detector"], r["iou"], r["measure"]): float(
            r["percent"]
        )
        for r in csv.DictReader(text.splitlines())
    }


def published(
    dataset: str | None,
    approach: Approach,
    params: Params,
    measure: str,
    iou: float,
    label: str | None = None,
) -> float | None:
    """Return the percentage that the paper gives; None where it gives none.

    Args:
        dataset: its name in the paper, if it is there.
        approach: the ordering.
        params: of the campaign; its feature weights and detector are used.
        measure: "wt" or "wb".
        iou: threshold.
        label: a class of Table 3, or "average".
    """
    detector = _DETECTORS.get(params.train.detector)
    name = _approach(approach, params)
    if dataset is None or name is None or detector is None:
        return None
    place = ("", f"{iou:g}") if label is None else (label, "")
    return _values().get((dataset, place[0], name, detector, place[1], measure))


def _approach(approach: Approach, params: Params) -> str | None:
    if approach.strategy == BASELINE:
        return "shuffle"
    if approach.features is None:
        return approach.strategy
    if params.features.weights == SIMNET:
        return f"{approach.strategy}-simnet"
    # Features of random weights are none of the paper's.
    return f"{approach.strategy}-imagenet" if params.features.of_imagenet else None
