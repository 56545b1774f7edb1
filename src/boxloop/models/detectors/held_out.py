"""Let several processes propose together, and propose for images held out of a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from boxloop import distributed
from boxloop.core.evidence import CANDIDATES
from boxloop.core.labeled_set import split
from boxloop.core.one_per_place import at_one_place, one_per_place
from boxloop.core.types import Boxes, ImageRef, LabeledSet, Proposals
from boxloop.errors import DivergedError, IncompleteError
from boxloop.models import detectors
from boxloop.models.detectors import promises
from boxloop.models.detectors.base import Detector
from boxloop.models.progress import ItemProgress, StepProgress
from boxloop.params import TrainParams

FEWEST = 6
"""Images of the first batch from which on some are held out: fewer would tell nothing."""


def propose_together(
    detector: Detector,
    images: Sequence[ImageRef],
    *,
    score_floor: float,
    batch_size: int,
    progress: ItemProgress | None = None,
) -> dict[str, Boxes] | None:
    """Propose boxes for images, each process for its share of them.

    Returns:
        All boxes by image id, in the order of ``images``; None in all processes but the main one.
    """
    world, total = distributed.world(), len(images)
    share = world.share(total, batch_size)
    own = promises.propose(
        detector,
        images[share.start : share.stop],
        score_floor=score_floor,
        batch_size=batch_size,
        progress=progress and (lambda done, _: progress(min(done * world.size, total), total)),
    )
    parts = distributed.gather(own)
    if not world.is_main:
        return None
    return {image_id: found for part in parts for image_id, found in part.items()}


def holds_out(params: TrainParams, labeled: LabeledSet) -> bool:
    """Return whether images are held out: only of the first batch, before all other evidence."""
    return params.held_out > 0 and len(labeled.batches) == 1 and len(labeled) >= FEWEST


def propose_for_held_out(
    params: TrainParams,
    labeled: LabeledSet,
    images: Sequence[ImageRef],
    *,
    previous: Path | None = None,
    progress: StepProgress | None = None,
) -> Proposals | None:
    """Train a detector on a part of a labeled set, and propose for the rest of it.

    Nothing is known of a detector's scores before the first batch that it proposes for. One of the
    same parameters tells, on labeled images that it has not seen.

    Args:
        params: of the training; the share to hold out, and the seed that chooses it, are there.
        labeled: the first batch, see :func:`holds_out`.
        images: covers every image of ``labeled``.
        previous: as :func:`boxloop.models.detectors.create` takes it.
        progress: called after every step.

    Returns:
        Proposals down to the lowest candidate threshold; None where that training diverged (the
        real one may not), and in all processes but the main one.
    """
    rest, held = split(labeled, params.held_out, params.seed)
    by_id = {ref.id: ref for ref in images}
    try:
        detector, _ = detectors.train(
            params, rest, [by_id[i] for i in rest.boxes], previous=previous, progress=progress
        )
    except (DivergedError, IncompleteError):
        return None
    refs, floor = [by_id[i] for i in held.boxes], CANDIDATES[0]
    boxes = propose_together(detector, refs, score_floor=floor, batch_size=params.batch_size)
    if boxes is None:
        return None
    boxes = one_per_place(boxes, at_one_place(rest.boxes.values()))
    name = f"held-out part of {', '.join(labeled.batches)}"
    return Proposals(name, detector.name, "", floor, boxes)
