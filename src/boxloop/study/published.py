"""The numbers that the paper publishes, from ``paper.csv``, as they are printed there.

Table 3 does not say at which IoU it was counted; its rows have none. The W_B of Dis (SimNet) with
SSD on VOC, 2.15, is printed so, and looks like a slip.
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


@dataclass(frozen=True)
class Totals:
    """What a whole dataset holds.

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


TOTALS: Mapping[str, Totals] = {
    "voc2007": Totals(9963, 30638, 20),
    "kitti": Totals(7481, 40570, 8),
    "indoor": Totals(2213, None, 7),  # with "about 4595" objects
}
"""The paper's datasets, from its section 4."""


def check_totals(name: str, found: Totals) -> str | None:
    """Holds a dataset that is to be the paper's against the paper's totals.

    Args:
        name: what the study says that it is.
        found: in the dataset that was read.

    Returns:
        A note where it is another set, or a part: the published numbers then are of other data.

    Raises:
        DatasetError: it has all images of the paper's, but not its objects or classes.
    """
    wanted = TOTALS[name]
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
    """The percentage that the paper gives for such a campaign; None where it gives none.

    Args:
        dataset: its name in the paper, if it is there.
        approach: the ordering.
        params: tell by what weights the features were made, and which detector it is.
        measure: "wt" or "wb".
        iou: threshold.
        label: a class of Table 3, or "average".
    """
    detector = params.train.detector
    family = "frcnn" if detector.startswith("fasterrcnn") else "ssd"
    name = _approach(approach, params)
    if dataset is None or name is None:
        return None
    place = ("", f"{iou:g}") if label is None else (label, "")
    return _values().get((dataset, place[0], name, family, place[1], measure))


def _approach(approach: Approach, params: Params) -> str | None:
    if approach.strategy == BASELINE:
        return "shuffle"
    if approach.features is None:
        return approach.strategy
    weights = params.features.weights
    if weights == SIMNET:
        return f"{approach.strategy}-simnet"
    # Features of random weights are none of the paper's.
    return f"{approach.strategy}-imagenet" if weights.startswith("IMAGENET") else None
