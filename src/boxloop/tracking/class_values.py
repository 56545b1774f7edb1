"""What MLflow shows of the classes: three groups of charts, with one chart per class.

A class's numbers are metrics of the batch's run, so that MLflow draws them over the turns. Where
there are many classes, only those with the most objects are shown; the report has all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from boxloop.campaign.artifacts import read_images
from boxloop.campaign.by_class import read_class_batch
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import CampaignResults
from boxloop.core.edits import Ledger

MOST = 20
"""Classes to show: each has three charts."""

_UNFIT = re.compile(r"[^\w.\- ]")


def class_values(paths: CampaignPaths, campaign: CampaignResults) -> dict[str, float]:
    """Return the metrics by class of the last finished batch.

    Returns:
        ``class_ap_50/NAME`` of its proposals, and at the first IoU threshold ``class_edits/NAME``,
        boxes added and removed, and ``class_saved/NAME``, the fraction of the time to draw the
        class's boxes that was saved. Nothing where there is one class only, whose numbers are the
        batch's.

    Raises:
        ArtifactError: the batch's corrections are missing or damaged.
    """
    classes = read_images(paths.images).classes
    if len(classes) < 2:
        return {}
    iou = campaign.iou_thresholds[0]
    batch = read_class_batch(paths, campaign.workloads[-1], (iou,), classes)
    objects, edits = batch.ledgers[iou].objects, batch.ledgers[iou].edits
    chosen = sorted(classes, key=lambda name: -objects.get(name, 0))[:MOST]
    names = metric_names(tuple(name for name in classes if name in chosen))
    values: dict[str, float] = {}
    for label, name in names.items():
        own = edits.get(label, Ledger())
        values[f"class_edits/{name}"] = own.additions + own.removals
        if drawn := objects.get(label, 0):
            values[f"class_saved/{name}"] = 1 - campaign.cost_model.cost(own) / drawn
        if label in batch.precision:
            values[f"class_ap_50/{name}"] = batch.precision[label]
    return values


def metric_names(classes: tuple[str, ...]) -> Mapping[str, str]:
    """Return what MLflow can call each class: others than letters, digits, _-. and blank become _.

    Names that would be the same after that end with a number.
    """
    names: dict[str, str] = {}
    for label in classes:
        plain = _UNFIT.sub("_", label)[:100].strip(" .") or "_"
        name, number = plain, 1
        while name.casefold() in {other.casefold() for other in names.values()}:
            number += 1
            name = f"{plain}_{number}"
        names[label] = name
    return names
