"""Play whole campaigns with simulated people in seconds: no images, no detector to train.

The proposals are the truth as a detector would find it: boxes beside their place, wrong classes,
objects left out, small ones more often, and boxes where nothing is; better from batch to batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from simulated_people import SimulatedPerson

from boxloop.core.planting import Trials, choose
from boxloop.core.types import Boxes, BoxesByImage, Corrections, ImageRef, ImageSet, Proposals
from boxloop.params import EMPTY

_BEGIN = datetime(2024, 1, 1, 8, tzinfo=UTC)
_FLOOR = 0.05


def play(
    images: ImageSet,
    truth: BoxesByImage,
    people: Mapping[str, Mapping[str, object]],
    *,
    batches: Sequence[int],
    blind_fraction: float = 0.0,
    plant_fraction: float = 0.0,
    score_threshold: float = 0.3,
    seed: int = 0,
) -> list[Corrections]:
    """Label a set of images by simulated people, who share each batch.

    Args:
        images: of which the first are labeled.
        truth: of these, by id.
        people: fields of :class:`~simulated_people.Habits` by name: their faults.
        batches: number of images of each; nothing is proposed on the first.
        blind_fraction: of the images of a batch.
        plant_fraction: of the proposals that are shown.
        score_threshold: proposals that score less are not shown.
        seed: of everything that chance decides.

    Returns:
        What they submitted, oldest first: a submission for each batch and person, and another one
        of the images that were reopened because a planted error was missed.

    Raises:
        ValueError: there are fewer images than the batches need.
    """
    if sum(batches) > len(images):
        raise ValueError(f"{sum(batches)} images are needed, and there are {len(images)}")
    rng = np.random.default_rng(seed)
    ids = rng.permutation([image.id for image in images.images]).tolist()
    by_id, classes = images.by_id(), images.classes
    each = -(-sum(batches) // len(people))
    hands = [
        SimulatedPerson(name, truth, classes, each, **{"seed": seed, **faults})
        for name, faults in people.items()
    ]
    submitted, moment = list[Corrections](), _BEGIN
    for k, size in enumerate(batches):
        batch, ids = ids[:size], ids[size:]
        if k == 0:
            nothing = {i: Boxes.empty(scored=True) for i in batch}
            offered, trials = Proposals(f"b{k:02d}", EMPTY, "", _FLOOR, nothing), Trials()
        else:
            skill = 1 - 0.4 / k
            boxes = {i: propose(truth[i], by_id[i], classes, skill, rng) for i in batch}
            offered = Proposals(f"b{k:02d}", "noise", f"{k:064x}", _FLOOR, boxes)
            trials = choose(
                offered,
                score_threshold,
                by_id,
                classes,
                blind_fraction=blind_fraction,
                plant_fraction=plant_fraction,
                seed=seed,
            )
        for number, person in enumerate(hands):
            moment += timedelta(hours=1)
            part = {i: offered.boxes[i] for i in batch[number :: len(hands)]}
            finished = moment.isoformat(timespec="microseconds")
            own = replace(offered, boxes=part)
            made = person.review(own, by_id, score_threshold, finished, trials)
            submitted.append(made)
            if made.missed:
                later = (moment + timedelta(minutes=1)).isoformat(timespec="microseconds")
                submitted.append(person.mend(made.part(made.missed), later))
    return submitted


def propose(
    truth: Boxes, image: ImageRef, classes: Sequence[str], skill: float, rng: np.random.Generator
) -> Boxes:
    """Return what a detector could find in an image: boxes with scores, the highest first.

    Args:
        truth: of the image.
        image: its size.
        classes: names that a box can have.
        skill: in [0, 1]: of a perfect detector 1.
        rng: decides.
    """
    rows: list[tuple[list[float], str, float]] = []
    lacks, side = 1 - skill, min(image.width, image.height)
    ends = np.array([image.width, image.height, image.width, image.height], dtype=np.float64)
    for xyxy, label in zip(truth.xyxy.tolist(), truth.labels.tolist(), strict=True):
        width, height = xyxy[2] - xyxy[0], xyxy[3] - xyxy[1]
        lost = lacks * (0.9 if width * height < (side / 6) ** 2 else 0.5) + 0.1
        jitter = rng.normal(0, 0.03 + 0.1 * lacks, 4) * [width, height, width, height]
        confused = rng.random() < 0.05 + 0.25 * lacks
        name = str(rng.choice([c for c in classes if c != label])) if confused else label
        score = float(rng.beta(6, 2))
        if rng.random() >= lost:
            place = (np.array(xyxy) + jitter).clip(0, ends)
            if (place[2:] - place[:2]).min() >= 2:
                rows.append((place.tolist(), name, score))
    for _ in range(rng.poisson(0.2 + lacks)):
        x, y, size = (*rng.uniform(0, 0.7 * side, 2), rng.uniform(0.1, 0.3) * side)
        score = float(rng.beta(3, 4))
        rows.append(([x, y, x + size, y + size], str(rng.choice(list(classes))), score))
    rows.sort(key=lambda row: -row[2])
    return Boxes.build(
        [xyxy for xyxy, *_ in rows],
        [name for _, name, _ in rows],
        [score for *_, score in rows],
        prefix="p",
    )
