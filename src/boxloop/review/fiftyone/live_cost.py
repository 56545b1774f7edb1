"""Tell what a session's batch has cost so far, against drawing its boxes by hand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from boxloop.core.workload import BatchWorkload, find_cost_model
from boxloop.params import EMPTY, AccountParams
from boxloop.review.fiftyone import below
from boxloop.review.fiftyone.live_workload import OtherBatches, ReviewedWorkload

if TYPE_CHECKING:
    from boxloop.review.fiftyone.assignment import Assignment
    from boxloop.review.fiftyone.review_dataset import ReviewedImage


def panel_extras(
    images: Sequence[ReviewedImage],
    counted: Collection[str],
    own: ReviewedWorkload,
    others: OtherBatches,
    account: AccountParams,
) -> dict[str, Any]:
    """Return what the panel shows of costs and scores, ready for JSON.

    Args:
        images: of the session, as they are now.
        counted: ids of those that are reviewed and without a fault.
        own: the workload of these.
        others: workloads of the other batches; none before the session's own where it is the first.
        account: prices the edits.
    """
    done = [image for image in images if image.image_id in counted]
    model = find_cost_model(account.cost_model)
    cost = [
        {"iou": iou, "wt": model.cost(ledger), "by_hand": own.objects}
        for iou, ledger in own.judged.items()
        if own.objects
    ]
    a_box = seconds_by_hand(others.before)
    spent = sum(image.seconds for image in done)
    return {
        "cost": [] if others.first else cost,
        "cost_seconds": {"spent": spent, "by_hand": a_box * own.objects, "a_box": a_box}
        if a_box is not None and own.objects and not others.first
        else None,
        "not_counted": sum(image.reviewed for image in images) - len(done),
        "kept_below": below.count_kept(done),
        "doubtful": below.doubtful_below(images),
        "shown_from": min(image.shown.item.score_threshold for image in images),
        "has_below": any(len(image.shown.below) for image in images),
    }


def all_seconds(images: Sequence[ReviewedImage], assignment: Assignment) -> dict[str, float]:
    """Return the seconds that each image took, with those of the submissions before.

    Without the images of which those were not measured, unless this session counts apart from them.
    """
    return {
        image.image_id: round(image.seconds + image.shown.item.seconds, 1)
        for image in images
        if image.shown.item.timed or assignment.counts_apart(image.image_id)
    }


def seconds_by_hand(before: Sequence[BatchWorkload]) -> float | None:
    """Return the seconds that a box took in the first batch, where all of them were drawn.

    None where that batch began with proposals, or no time was measured.
    """
    first = before[0] if before else None
    if first is None or first.detector != EMPTY or not first.objects:
        return None
    return first.measured_seconds / first.objects if first.measured_seconds else None
