"""Whole campaigns by simulated people on disk: what they submitted, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from simulated_campaign import play

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import NOTHING, Batch, Boxes, Corrections, ImageRef, ImageSet, Proposals
from boxloop.core.workload import account
from boxloop.params import Params

CLASSES = ("cup", "ball", "box")


def scenes(count: int, seed: int = 0) -> tuple[ImageSet, dict[str, Boxes]]:
    """Images of 160 x 120 pixels with about three objects that do not overlap, and the truth."""
    rng = np.random.default_rng(seed)
    refs, truth = [], {}
    for n in range(count):
        image_id = f"i{n:03d}"
        refs.append(ImageRef(image_id, f"data/images/{image_id}.png", 160, 120, f"{n:064x}"))
        cells = rng.permutation(6)[: rng.integers(1, 6)]
        corners = np.array([[50 * (c % 3) + 6, 55 * (c // 3) + 6] for c in cells], float)
        sides = rng.uniform(12, 38, (len(cells), 2))
        labels = rng.choice(CLASSES, len(cells)).tolist()
        truth[image_id] = Boxes.build(np.hstack([corners, corners + sides]), labels)
    return ImageSet(tuple(refs), CLASSES), truth


def played(
    people: Mapping[str, Mapping[str, object]],
    *,
    batches: Sequence[int] = (10, 60, 60, 60),
    seed: int = 0,
    **options: float,
) -> tuple[ImageSet, dict[str, Boxes], list[Corrections]]:
    """Images, truth, and what people submitted in a campaign of them."""
    images, truth = scenes(sum(batches), seed)
    chances = {"blind_fraction": 0.2, "plant_fraction": 0.1, **options}
    return images, truth, play(images, truth, people, batches=batches, seed=seed, **chances)


def sizes(images: ImageSet) -> dict[str, tuple[int, int]]:
    """Sizes of images by id, as :func:`boxloop.campaign.trust.first_looks` wants them."""
    return {ref.id: (ref.width, ref.height) for ref in images.images}


def written(
    paths: CampaignPaths,
    params: Params,
    images: ImageSet,
    truth: Mapping[str, Boxes] | None,
    submitted: Sequence[Corrections],
) -> None:
    """Writes the journal, and all that the report reads, as the stages do."""
    artifacts.write_images(paths.images, images)
    artifacts.write_truth(paths.truth, truth)
    for item in submitted:
        submissions.append(paths.reviews, item)
    for key in params.iterations:
        mine = [item for item in submitted if item.batch == key]
        ids = tuple(dict.fromkeys(image_id for item in mine for image_id in item.boxes))
        artifacts.write_batch(paths.batch(key), Batch(key, ids))
        empty = {i: Boxes.empty(scored=True) for i in ids}
        whole = submissions.assemble(mine, Proposals(key, "noise", "", NOTHING, empty))
        artifacts.write_corrections(paths.corrections(key), whole)
        ious = params.account.iou_thresholds
        artifacts.write_workload(paths.workload(key), account(whole, ious, (), {}))
