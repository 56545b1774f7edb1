"""Choose the images that are not complete for a class, of all batches, to be looked through for it.

They open with the labels that they have, as in a redo. What is submitted belongs to their batches:
the boxes drawn count as added there, and the time as time spent there.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable

from boxloop.campaign import artifacts, screening, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.completeness import Incomplete
from boxloop.core.types import ImageSet
from boxloop.errors import UserError
from boxloop.params import EMPTY
from boxloop.review.fiftyone.assignment import Assignment, Part, submitted_item


def session_name(wanted: str) -> str:
    """Return what a session for a class is called where others have the key of their batch."""
    plain = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[:20]
    return f"for-{plain}-{hashlib.sha256(wanted.encode()).hexdigest()[:6]}"


def assign(
    paths: CampaignPaths, batches: Iterable[str], wanted: str, reviewer: str, part: Part
) -> Assignment:
    """Choose the images of a session for a class.

    Args:
        paths: of the campaign.
        batches: of the campaign, in their order.
        wanted: the class.
        reviewer: the person's name.
        part: of these images.

    Raises:
        UserError: there is no such class, or all that was reviewed is complete for it.
    """
    keys, images = list(batches), artifacts.read_images(paths.images)
    if wanted not in images.classes:
        raise UserError(
            f"'{wanted}' is no class of this campaign ({', '.join(images.classes)}): 'boxloop"
            f" classes add {shlex.quote(wanted)}' adds it"
        )
    found = screening.read(paths.journals, map(paths.corrections, keys), images)
    batch_of = _batches_of(paths, keys)
    place = {image_id: number for number, image_id in enumerate(batch_of)}
    missing = [i for i, classes in found.incomplete.items() if wanted in classes]
    missing.sort(key=lambda image_id: place.get(image_id, len(place)))
    chosen = part.share(missing)
    if not chosen:
        raise UserError(f"no image is left to review for '{wanted}': 'boxloop status' says more")
    by_id, known = images.by_id(), submissions.latest(found.submissions)
    return Assignment(
        session_name(wanted),
        images.classes,
        tuple(submitted_item(by_id[i], known[i]) for i in chosen),
        tuple(missing),
        reviewer,
        part,
        redo=True,
        wanted=_all_missing(images, found.incomplete, missing, wanted),
        batches={i: batch_of.get(i, known[i].batch) for i in chosen},
    )


def _all_missing(
    images: ImageSet, incomplete: Incomplete, chosen: Iterable[str], wanted: str
) -> tuple[str, ...]:
    """Return the class, and all others that these images are not complete for either."""
    others = {name for image_id in chosen for name in incomplete[image_id]} - {wanted}
    return (wanted, *(name for name in images.classes if name in others))


def _batches_of(paths: CampaignPaths, keys: Iterable[str]) -> dict[str, str]:
    """Return the batch of each image, in the order of labeling."""
    files = [paths.batch(key) for key in keys]
    found = [artifacts.read_batch(path) for path in files if path.exists()]
    return {image_id: batch.id for batch in found for image_id in batch.image_ids}


def known_to_dvc(paths: CampaignPaths, assignment: Assignment) -> list[str]:
    """Return the batches of a session that DVC takes for done, in their order.

    None where the class was listed after the last ``dvc repro``: the next one takes all of it over.
    """
    start = paths.labeled(EMPTY)
    if not start.exists() or artifacts.read_labeled(start).classes != assignment.classes:
        return []
    keys = dict.fromkeys(assignment.batches.values())
    return [key for key in keys if paths.corrections(key).exists()]
