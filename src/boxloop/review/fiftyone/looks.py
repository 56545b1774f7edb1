"""Second and third looks at images that are labeled: what they open, and what becomes of them.

A second person starts from the proposals that the first one saw, and sees none of their labels. A
third one starts from the boxes that both have, and those that only one has.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from boxloop.campaign import artifacts, screening, second_looks, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.second_looks import SECOND_ID, SecondLook, time_of
from boxloop.core.agreement import match_people
from boxloop.core.names import UNNAMED
from boxloop.core.planting import Trials
from boxloop.core.types import Boxes, Corrections, Decision, ImageRef, Proposals
from boxloop.errors import UserError
from boxloop.params import Params
from boxloop.review.fiftyone.assignment import (
    TWO_PEOPLE,
    Assignment,
    Item,
    Look,
    Part,
    new_item,
    submitted_item,
)
from boxloop.review.fiftyone.qa import still_offered
from boxloop.review.validation import Problem
from boxloop.terminal import counted

_AGREED, _DISPUTED = 1.0, 0.5
"""What the App shows as confidence of the boxes that a third person starts from; the disputed ones
carry a tag, too."""

_DATASET = re.compile(r"(second|third)-look-.+-[0-9a-f]{6}")


def session_name(look: Look, reviewer: str) -> str:
    """Return what a look is called where other sessions have the key of their batch.

    Nobody's session shares it: what was begun is one person's.
    """
    person = hashlib.sha256(reviewer.encode()).hexdigest()[:6]
    return f"{look.name}-look-{look.batch}-{person}"


def is_own(dataset: str) -> bool:
    """Return whether a dataset is of second or third looks, which no other session takes from."""
    return _DATASET.fullmatch(dataset) is not None


def assign(
    paths: CampaignPaths,
    params: Params,
    look: Look,
    reviewer: str,
    part: Part,
    images: Mapping[str, ImageRef],
    classes: tuple[str, ...],
    *,
    redo: bool,
) -> Assignment:
    """Choose the images of a second or a third look at a batch.

    Args:
        paths: of the campaign.
        params: tell from which IoU on two boxes are of one object.
        look: which, and of which batch.
        reviewer: the person's name.
        part: of the batch's images.
        images: of the batch, in their order.
        classes: of today.
        redo: whether to open this person's second looks again, with their boxes.

    Raises:
        UserError: no image is left for this person; says why.
    """
    today = artifacts.read_images(paths.images)
    restored = map(paths.corrections, params.iterations)
    labels = screening.read(paths.journals, restored, today)
    second = second_looks.read_second(paths, today, all_=redo)
    share = part.share(list(images))
    chosen = Assignment(
        session_name(look, reviewer),
        classes,
        (),
        tuple(share),
        reviewer,
        part,
        redo,
        batches=dict.fromkeys(share, look.batch),
        look=look,
    )
    if look.third:
        return _third(chosen, second_looks.of(labels, second), images, params)
    known, looked = map(submissions.latest, (labels.submissions, second.submissions))
    counting = {found.image_id for found in second_looks.of(labels, second).images}
    return _second(chosen, known, looked, counting, images)


def _second(
    chosen: Assignment,
    labels: Mapping[str, Corrections],
    looks: Mapping[str, Corrections],
    counting: Collection[str],
    images: Mapping[str, ImageRef],
) -> Assignment:
    items, mine, taken, waiting = [], 0, 0, 0
    for image_id in chosen.batch_images:
        label, other = labels.get(image_id), looks.get(image_id)
        if label is None or image_id in label.given or image_id in label.missed:
            waiting += 1
        elif chosen.reviewer in labelers(label, image_id):
            mine += 1
        elif chosen.redo:
            if other is not None and other.reviewer == chosen.reviewer:
                items.append(submitted_item(images[image_id], other))
        elif image_id in counting:
            taken += 1
        else:
            blind = Trials(frozenset(label.blind))
            item = new_item(images[image_id], label.proposals, label.score_threshold, blind)
            # One by whoever labeled the image since counts for nothing: this takes its place.
            base = "" if other is None else time_of(other, image_id)
            items.append(replace(item, base=base))
    if not items:
        raise UserError(_why_no_second(chosen, mine, taken, waiting))
    ids = tuple(item.image.id for item in items)
    return replace(chosen, items=tuple(items), batch_images=ids)


def _why_no_second(chosen: Assignment, mine: int, taken: int, waiting: int) -> str:
    name, reviewer = _place(chosen), chosen.reviewer
    if chosen.redo:
        return f"{reviewer} took no second look at {name}: leave --redo out"
    if taken:
        return (
            f"{name} has a second look already: '{chosen.command} --redo' opens what"
            f" {reviewer} submitted, 'boxloop status' says where two people differ"
        )
    if mine:
        return (
            f"{name} was labeled by {reviewer}: a second look needs another person"
            " (--reviewer NAME)"
        )
    if waiting:
        return f"{name} is not labeled by a person yet: leave --also out"
    return f"{name} has no image"


def _place(chosen: Assignment) -> str:
    batch = "" if chosen.look is None else chosen.look.batch
    return f"part {chosen.part} of {batch}" if chosen.part.of > 1 else batch


def labelers(label: Corrections, image_id: str) -> set[str]:
    """Return whose an image's labels are: of the first one, and of who looked again since."""
    decided, look = label.decided.get(image_id), label.rechecked.get(image_id)
    names = {label.reviewer if decided is None else decided.first_reviewer}
    names |= set() if look is None else {look.reviewer, *look.by.split(", ")}
    return {name or UNNAMED for name in names}


def _third(
    chosen: Assignment,
    looks: second_looks.Looks,
    images: Mapping[str, ImageRef],
    params: Params,
) -> Assignment:
    look = chosen.look
    assert look is not None
    if chosen.redo:
        raise UserError(
            f"--disagreements opens what is not decided yet: 'boxloop review {look.batch}"
            " --redo' opens its labels again"
        )
    iou, share = params.review.iou_threshold, set(chosen.batch_images)
    open_ = {found.image_id: found for found in looks.differing(iou) if found.image_id in share}
    own = [i for i, found in open_.items() if chosen.reviewer in found.people]
    again = [i for i in open_ if chosen.reviewer in open_[i].looked_again.split(", ")]
    items = {
        i: _to_decide(images[i], open_[i], iou)
        for i in chosen.batch_images
        if i in open_ and i not in own and i not in again
    }
    if items:
        return replace(
            chosen,
            items=tuple(item for item, _ in items.values()),
            batch_images=tuple(items),
            disputes={i: open_[i] for i in items},
            notes={i: words for i, (_, words) in items.items()},
            shown="those at 1 are both people's; keep, mend or delete those at 0.5",
        )
    if own:
        raise UserError(
            f"{chosen.reviewer} is one of the two who differ on {len(own)} images of"
            f" {_place(chosen)}: a third person decides (--reviewer NAME)"
        )
    if again:
        raise UserError(
            f"{chosen.reviewer} looked again at the labels of {counted(len(again))} of"
            f" {_place(chosen)} on which two people differ: another person decides (--reviewer"
            " NAME)"
        )
    seen = any(found.image_id in share for found in looks.images)
    raise UserError(
        f"no two people differ on {_place(chosen)}"
        if seen
        else f"{_place(chosen)} has no second look yet: 'boxloop review {look.batch} --also'"
        " takes one"
    )


@dataclass(frozen=True)
class _Start:
    """The boxes that a third person starts from: those of both people, then of either alone."""

    boxes: Boxes
    words: tuple[str, ...]


def _start(look: SecondLook, iou_threshold: float) -> _Start:
    first, second = look.standing, look.second
    found = match_people(first, second, iou_threshold)
    agreed = [i for i, j, _ in found.pairs if first.labels[i] == second.labels[j]]
    apart = [(i, j) for i, j, _ in found.pairs if first.labels[i] != second.labels[j]]
    one = [*found.first, *(i for i, _ in apart)]
    other = [*found.second, *(j for _, j in apart)]
    ids = [*first.ids[agreed].tolist(), *first.ids[one].tolist()]
    for name in second.ids[other].tolist():
        own = f"{SECOND_ID}{name}"
        while own in ids:  # the first person's, which an earlier third look named so
            own = f"{SECOND_ID}{own}"
        ids.append(own)
    boxes = Boxes(
        np.concatenate([first.xyxy[agreed], first.xyxy[one], second.xyxy[other]]),
        np.concatenate([first.labels[agreed], first.labels[one], second.labels[other]]),
        np.array(ids, dtype=np.str_),
        np.array([_AGREED] * len(agreed) + [_DISPUTED] * (len(one) + len(other))),
    )
    a, b = _holder(look), look.people[1]
    words = [f"{a} has {_box(first, i)}, {b} none" for i in found.first]
    words += [f"{b} has {_box(second, j)}, {a} none" for j in found.second]
    words += [f"{a} says {_box(first, i)}, {b} '{second.labels[j]}'" for i, j in apart]
    return _Start(boxes, tuple(words))


def _holder(look: SecondLook) -> str:
    """Return whose the label is that the second look stands against: who looked last."""
    return look.looked_again or look.people[0]


def _box(boxes: Boxes, place: int) -> str:
    x, y = boxes.xyxy[place, :2].tolist()
    return f"'{boxes.labels[place]}' at ({x:.0f}, {y:.0f})"


def _to_decide(
    image: ImageRef, look: SecondLook, iou_threshold: float
) -> tuple[Item, tuple[str, ...]]:
    start = _start(look, iou_threshold)
    label = look.label
    offered = label.proposals
    # Images whose labels came about in another way go to a submission of their own.
    way = (offered.detector, offered.checkpoint, offered.score_floor, offered.thresholds)
    key = repr((way, label.score_threshold, _holder(look), label.annotator))
    digest = hashlib.sha256(key.encode()).hexdigest()
    shown = Proposals(look.batch, TWO_PEOPLE, digest, 0.0, {image.id: start.boxes})
    base = f"{time_of(label, image.id)} {look.times[1]}"
    return Item(image, shown, 0.0, replace(start.boxes, scores=None), 0.0, base), start.words


def noted(assignment: Assignment) -> list[Problem]:
    """Return where two people differ on each image of a third look, in words."""
    rows = assignment.notes.items()
    return [Problem(image_id, None, words) for image_id, found in rows for words in found]


Add = Callable[[Path, Corrections], Corrections]
"""Adds to the journal in a folder what was submitted, and returns it as it is there."""


def writer(assignment: Assignment) -> Add:
    """Return what adds a session's submissions to the journal: labels, or a look at them."""
    look = assignment.look

    def add(folder: Path, made: Corrections) -> Corrections:
        if look is not None and not look.third:
            path = submissions.append(folder, made, look=True)
            return artifacts.read_corrections(path, look=True)
        label = made if look is None else decide(made, assignment.disputes)
        return artifacts.read_corrections(submissions.append(folder, label))

    return add


def decide(made: Corrections, disputes: Mapping[str, SecondLook]) -> Corrections:
    """Return what a third person submitted as labels, with the proposals of the first one.

    Args:
        made: with what the third person was shown as its proposals; of images whose labels came
            about in one way.
        disputes: of these images.
    """
    label = disputes[next(iter(made.boxes))].label
    about = {i: disputes[i] for i in made.boxes}
    first = {i: look.label for i, look in about.items()}
    return replace(
        made,
        proposals=replace(
            label.proposals,
            batch=made.batch,
            boxes={i: item.proposals.boxes[i] for i, item in first.items()},
        ),
        score_threshold=label.score_threshold,
        annotator=label.annotator,
        seconds={i: item.seconds[i] for i, item in first.items() if i in item.seconds},
        offered=still_offered(made, first),
        # How the image was first shown, and who looked at it again, stays on record.
        blind=tuple(i for i, item in first.items() if i in item.blind),
        planted={i: item.planted[i] for i, item in first.items() if i in item.planted},
        rechecked={i: item.rechecked[i] for i, item in first.items() if i in item.rechecked},
        decided={
            i: Decision(
                first=look.standing,
                shown=replace(made.proposals.boxes[i], scores=None),
                reviewer=made.reviewer or UNNAMED,
                first_reviewer=None if _holder(look) == UNNAMED else _holder(look),
                looks=look.times,
                seconds=made.seconds.get(i),
            )
            for i, look in about.items()
        },
    )


def known_looks(paths: CampaignPaths) -> Callable[[], Sequence[Corrections]]:
    """Return what reads the second looks of now."""

    def read() -> Sequence[Corrections]:
        return second_looks.read_second(paths, artifacts.read_images(paths.images)).submissions

    return read
