"""Choose the images of a second look, and mark what it submits as one.

They are those that ``boxloop qa`` lists, of all batches, with the labels that they have. A second
look is told from a redo by what its submission holds: the labels that the review had ended with.
These go on to count for WB and WT, with their seconds; the difference is the second look's work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from boxloop.campaign import artifacts, screening, submissions
from boxloop.campaign.doubts import find_suspects
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.completeness import unseen
from boxloop.core.types import Corrections, Recheck
from boxloop.errors import UserError
from boxloop.params import Params
from boxloop.review.fiftyone.assignment import Assignment, Part, submitted_item

SESSION = "second-look"
"""What such a session is called where others have the key of their batch."""


def assign(
    paths: CampaignPaths, params: Params, count: int, reviewer: str, part: Part
) -> Assignment:
    """Choose the images of a second look, the worst first.

    Args:
        paths: of the campaign.
        params: its parameters.
        count: how many of the images that ``boxloop qa`` lists.
        reviewer: the person's name.
        part: of these images.

    Raises:
        UserError: there is nothing to look at, or nothing to hold it against.
    """
    images = artifacts.read_images(paths.images)
    restored = map(paths.corrections, params.iterations)
    known = submissions.latest(screening.read(paths.journals, restored, images).submissions)
    suspects = [s for s in find_suspects(paths, params, count) if s.image.id in known]
    listed = [suspect.image.id for suspect in suspects]
    batches = {suspect.image.id: suspect.batch for suspect in suspects}
    chosen = part.share(listed)
    if not chosen:
        raise UserError("no image is left for a second look: 'boxloop qa' lists them")
    by_id = images.by_id()
    return Assignment(
        SESSION,
        images.classes,
        tuple(submitted_item(by_id[i], known[i]) for i in chosen),
        tuple(listed),
        reviewer,
        part,
        redo=True,
        batches={i: batches[i] for i in chosen},
        qa={i: known[i] for i in chosen},
        notes={s.image.id: (s.reason,) for s in suspects if s.image.id in chosen},
    )


def marked(corrections: Corrections, assignment: Assignment) -> Corrections:
    """Return a submission as it goes to the journal: with what its second looks began with.

    The same where there are none; in a session for a class, those at labels that were given are.
    Seconds of the review stay what they were, and those of the
    second look are counted apart. Labels that were given stay so, and an image stays incomplete for
    a class that could not be chosen when it was reviewed: nobody was asked to look for that.
    """
    bases = assignment.qa or assignment.given
    again = [image_id for image_id in corrections.boxes if image_id in bases]
    if not again:
        return corrections
    looks = dict[str, Recheck]()
    seconds = {i: spent for i, spent in corrections.seconds.items() if i not in bases}
    for image_id in again:
        base = bases[image_id]
        before = base.rechecked.get(image_id)
        if image_id in base.seconds:
            seconds[image_id] = base.seconds[image_id]
        all_of_it = corrections.seconds.get(image_id, 0.0)
        by = assignment.reviewer
        if before is not None:
            by = ", ".join(dict.fromkeys([*before.by.split(", "), by]))
        looks[image_id] = Recheck(
            before=base.boxes[image_id] if before is None else before.before,
            reviewer=base.reviewer if before is None else before.reviewer,
            by=by,
            seconds=max(0.0, round(all_of_it - base.seconds.get(image_id, 0.0), 1)),
        )
    return replace(
        corrections,
        seconds=seconds,
        rechecked=looks,
        given=tuple(i for i in again if i in bases[i].given),
        offered=still_offered(corrections, assignment.qa) if assignment.qa else {},
    )


def still_offered(
    corrections: Corrections, before: Mapping[str, Corrections]
) -> dict[str, tuple[str, ...]]:
    """Return the classes that images were reviewed for, where those are not all of today's.

    Args:
        corrections: of a later look.
        before: what was submitted last of each of its images.
    """
    offered = {i: before[i].offered.get(i, before[i].classes) for i in corrections.boxes}
    today = corrections.classes
    return {i: names for i, names in offered.items() if unseen(today, names)}
