"""Choose the images that are not complete for a class, of all batches, to be looked through for it.

They open with the labels that they have, as in a redo, and with the class's boxes that the latest
detector proposes. What is submitted belongs to their batches: the boxes drawn count as added there,
those proposals as kept, moved, relabeled or removed, and the time as time spent there. Labels that
were given stay given, as nobody was asked to check them: what is found beside them counts apart, as
a second look.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import replace

from boxloop.campaign import artifacts, later, screening, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.boxes import join
from boxloop.core.completeness import Incomplete
from boxloop.core.types import ImageSet, Proposals
from boxloop.errors import UserError
from boxloop.params import EMPTY
from boxloop.review.fiftyone.assignment import Assignment, Item, Part, submitted_item


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
    batch_of = artifacts.read_batch_of(map(paths.batch, keys))
    place = {image_id: number for number, image_id in enumerate(batch_of)}
    missing = [i for i, classes in found.incomplete.items() if wanted in classes]
    missing.sort(key=lambda image_id: place.get(image_id, len(place)))
    chosen = part.share(missing)
    if not chosen:
        raise UserError(f"no image is left to review for '{wanted}': 'boxloop status' says more")
    by_id, known = images.by_id(), submissions.latest(found.submissions)
    items = [submitted_item(by_id[i], known[i]) for i in chosen]
    offered = later.read(paths, wanted)
    return Assignment(
        later.session_name(wanted),
        images.classes,
        tuple(_with_proposals(item, offered) for item in items),
        tuple(missing),
        reviewer,
        part,
        redo=True,
        shown="" if offered is None else later.in_words(offered, wanted),
        wanted=_all_missing(images, found.incomplete, missing, wanted),
        batches={i: batch_of.get(i, known[i].batch) for i in chosen},
        given={i: known[i] for i in chosen if i in known[i].given},
    )


def _with_proposals(item: Item, offered: Proposals | None) -> Item:
    """Return an image with proposals added to its labels; those at a box of their class are not."""
    image_id = item.image.id
    if offered is None or image_id not in offered.boxes:
        return item
    before = item.proposals.boxes[image_id]
    new = later.name(later.not_boxed(offered.boxes[image_id], item.start), offered.batch, before)
    proposals = replace(item.proposals, boxes={image_id: join(before, new)})
    return replace(item, proposals=proposals, start=join(item.start, replace(new, scores=None)))


def _all_missing(
    images: ImageSet, incomplete: Incomplete, chosen: Iterable[str], wanted: str
) -> tuple[str, ...]:
    """Return the class, and all others that these images are not complete for either."""
    others = {name for image_id in chosen for name in incomplete[image_id]} - {wanted}
    return (wanted, *(name for name in images.classes if name in others))


def known_to_dvc(paths: CampaignPaths, assignment: Assignment) -> list[str]:
    """Return the batches of a session that DVC takes for done, in their order.

    None where the class was listed after the last ``dvc repro``: the next one takes all of it over.
    """
    start = paths.labeled(EMPTY)
    if not start.exists() or artifacts.read_labeled(start).classes != assignment.classes:
        return []
    keys = dict.fromkeys(assignment.batches.values())
    return [key for key in keys if paths.corrections(key).exists()]
