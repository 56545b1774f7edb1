"""The numbers that the paper publishes, from ``paper.csv``, as they are printed there.

Table 3 does not say at which IoU it was counted; its rows have none. The W_B of Dis (SimNet) with
SSD on VOC, 2.15, is printed so, and looks like a slip.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources

from boxloop.params import SIMNET, Params
from boxloop.study.grid import Approach

AVERAGE = "average"
"""Name of the mean over all classes in Table 3."""

SIZES: Mapping[str, tuple[int, int | None]] = {
    "voc2007": (9963, 30638),
    "kitti": (7481, 40570),
    "indoor": (2213, None),
}
"""Images and objects of the paper's datasets; of Indoor it gives "about 4595" objects."""

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
    if approach.strategy == "random":
        return "shuffle"
    if approach.features is None:
        return approach.strategy
    weights = params.features.weights
    if weights == SIMNET:
        return f"{approach.strategy}-simnet"
    # Features of random weights are none of the paper's.
    return f"{approach.strategy}-imagenet" if weights.startswith("IMAGENET") else None
