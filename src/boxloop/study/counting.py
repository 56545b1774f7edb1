"""The functions of ``import boxloop`` that count edits, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from boxloop.core.edits import Ledger
from boxloop.core.types import SIMULATED, Boxes, BoxesByImage, Corrections, Proposals
from boxloop.core.workload import (
    PAPER,
    BatchWorkload,
    CostModel,
    Totals,
    compare_all,
    find_cost_model,
    total,
)
from boxloop.core.workload import account as account_batch
from boxloop.core.workload import compare as compare_image
from boxloop.params import EMPTY, FILE, AccountParams, ReviewParams, check
from boxloop.params.arguments import plain, require, require_list, require_mapping
from boxloop.params.section import Fraction


def compare(
    shown: Proposals | BoxesByImage | Boxes,
    final: BoxesByImage | Boxes,
    *,
    iou_threshold: float = 0.5,
) -> Ledger:
    """Count the fewest edits that lead from proposals to the final boxes.

    Args:
        shown: proposals of one image, or by image id; as shown, so cut them at a score threshold
            with :meth:`Boxes.above` first.
        final: the right boxes of the same images.
        iou_threshold: IoU from which a proposal counts as right.

    Raises:
        ParamsError: ``iou_threshold`` cannot be used.
        ValueError: one is of one image and the other by image id, or there are proposals of images
            without final boxes.
    """
    iou_threshold = _iou(iou_threshold, "compare")
    shown = shown.boxes if isinstance(shown, Proposals) else shown
    if isinstance(shown, Boxes) or isinstance(final, Boxes):
        if isinstance(shown, Boxes) and isinstance(final, Boxes):
            return compare_image(shown, final, iou_threshold)
        raise ValueError("compare takes the boxes of one image twice, or boxes by image id twice")
    _require_boxes("shown", shown)
    _require_final(shown, final)
    return compare_all(shown, final, lambda a, b: compare_image(a, b, iou_threshold))


def account(
    proposals: Proposals | BoxesByImage,
    final: BoxesByImage,
    *,
    iou_thresholds: Sequence[float] = (0.5, 0.7),
    score_threshold: float = 0.0,
) -> BatchWorkload:
    """Count the fewest edits of one batch, as :func:`boxloop.simulate` does.

    Args:
        proposals: of :func:`boxloop.propose`, or scored boxes by image id; none for a batch that
            was labeled from scratch.
        final: the right boxes of all images of the batch.
        iou_thresholds: IoU from which a proposal counts as right.
        score_threshold: proposals that score less were not shown.

    Returns:
        What :func:`workload` adds up.

    Raises:
        ParamsError: a threshold cannot be used.
        ValueError: there are proposals of images without final boxes, or without scores.
    """
    from boxloop.models.average_precision import average_precision

    given = {"iou_thresholds": iou_thresholds, "score_threshold": score_threshold}
    params = check(_AccountParams, plain(given), "account")
    if not isinstance(proposals, Proposals):
        _require_boxes("proposals", proposals)
        detector = FILE if any(map(len, proposals.values())) else EMPTY
        proposals = Proposals("proposed", detector, "", 0.0, proposals)
    _require_final(proposals.boxes, final)
    empty = Boxes.empty(scored=True)
    shown = {image_id: proposals.boxes.get(image_id, empty) for image_id in final}
    offered = replace(proposals, boxes=shown, thresholds=(), neighbours=None)
    made = Corrections(offered, params.score_threshold, SIMULATED, final)
    return account_batch(made, params.iou_thresholds, (), average_precision(shown, final))


def workload(
    batches: Sequence[BatchWorkload],
    *,
    iou_threshold: float = 0.5,
    cost_model: CostModel | str | None = None,
) -> Totals:
    """Add up WB and WT over the batches of a campaign (paper, section 3.4).

    Args:
        batches: in the order in which they were labeled, the first one from scratch; of
            :func:`account`, of ``boxloop.pipeline.account``, or those of a
            :class:`boxloop.Simulation`.
        iou_threshold: one of those that were accounted.
        cost_model: prices the edits of all batches after the first, or the name of one that does,
            as for ``account.cost_model`` of params.yaml; the paper's unless given.

    Raises:
        ParamsError: ``iou_threshold`` is not one, or there is no cost model of that name.
        ValueError: ``iou_threshold`` is none of them, or ``cost_model`` is no cost model.
    """
    model = PAPER if cost_model is None else cost_model
    if isinstance(model, str):
        model = find_cost_model(model)
    known = isinstance(model, CostModel)
    require(known, "cost_model", model, "a CostModel or the name of one")
    require_list("batches", batches, BatchWorkload, "workloads of account")
    iou_threshold, listed = _iou(iou_threshold, "workload"), list(batches)
    if listed:
        listed[0].ledger(iou_threshold)  # refuses a threshold that was not counted
    return total(listed, iou_threshold, cost_model=model)


class _AccountParams(AccountParams):
    score_threshold: Fraction = 0.0


def _iou(threshold: float, name: str) -> float:
    return check(ReviewParams, plain({"iou_threshold": threshold}), name).iou_threshold


def _require_boxes(name: str, boxes: BoxesByImage) -> None:
    require_mapping(name, boxes, Boxes, "boxes by image id")


def _require_final(shown: BoxesByImage, final: BoxesByImage) -> None:
    """Refuse proposals that no final boxes are there for: they would not be counted."""
    _require_boxes("final", final)
    for image_id, boxes in shown.items():
        if len(boxes) and image_id not in final:
            raise ValueError(
                f"there are proposals of {image_id}, and no final boxes: give those of all images"
                " that have proposals, Boxes.empty() where an image has none"
            )
