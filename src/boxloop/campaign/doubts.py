"""Search a campaign's finished batches for likely label errors.

Each batch is held against the proposals that were made for it: their detector had seen the batches
before it, and none of its labels. The first batch, which has none, has those of its held-out part,
where a threshold was fitted by it. Detectors of later turns were trained on a batch's labels, its
errors included, and have no say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from boxloop.campaign import artifacts, class_changes, pixels, screening, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core import doubts
from boxloop.core.completeness import Incomplete
from boxloop.core.doubts import Doubt
from boxloop.core.existing import is_existing
from boxloop.core.types import Boxes, Corrections, ImageRef, ImageSet
from boxloop.errors import UserError
from boxloop.params import EMPTY, Params


@dataclass(frozen=True)
class Suspect:
    """An image whose labels are likely to hold an error.

    Attributes:
        rank: from 1, the worst.
        image: the image.
        batch: that it was labeled in.
        doubt: the worst of the image's.
        labels: the image's labels.
        proposals: of the detector that had not seen them.
    """

    rank: int
    image: ImageRef
    batch: str
    doubt: Doubt
    labels: Boxes
    proposals: Boxes

    @property
    def reason(self) -> str:
        """What speaks against the labels, in words."""
        doubt, name = self.doubt, "" if self.doubt.label is None else self._label()
        if doubt.kind == "overlooked":
            return f"no label where a {self._proposal()} is proposed, {self._place()}"
        if doubt.kind == "misplaced":
            return (
                f"{name} lies beside the proposal of its class: IoU {doubt.iou:.2f} with a"
                f" {self._proposal()}, {self._place()}"
            )
        if doubt.kind == "mislabeled":
            return f"{name} looks like a {self._proposal()}, IoU {doubt.iou:.2f}, {self._place()}"
        seen = "" if doubt.proposal is None else f", at most a {self._proposal()}"
        return f"no object is seen where {name} is{seen}, {self._place()}"

    def _label(self) -> str:
        assert self.doubt.label is not None
        return f"the label '{self.labels.labels[self.doubt.label]}'"

    def _proposal(self) -> str:
        assert self.doubt.proposal is not None
        assert self.proposals.scores is not None
        place = self.doubt.proposal
        return f"'{self.proposals.labels[place]}' (score {self.proposals.scores[place]:.2f})"

    @property
    def place(self) -> tuple[float, float, float, float]:
        """The box in question, x1, y1, x2, y2 in pixels: the label, or the proposal without one."""
        doubt = self.doubt
        if doubt.label is not None:
            row = self.labels.xyxy[doubt.label]
        else:
            row = self.proposals.xyxy[doubt.proposal]
        x1, y1, x2, y2 = row.tolist()
        return x1, y1, x2, y2

    def _place(self) -> str:
        x1, y1, x2, y2 = self.place
        return f"at ({x1:.0f}, {y1:.0f}) to ({x2:.0f}, {y2:.0f})"


def find_suspects(paths: CampaignPaths, params: Params, count: int) -> list[Suspect]:
    """Find the images whose labels are most likely to hold an error, the worst first.

    Images that had a second look with the labels that they have now are not among them, nor those
    of other pixels than were labeled.

    Args:
        paths: of the campaign.
        params: name the batches.
        count: the most images to return.

    Raises:
        UserError: no batch is finished that proposals were made for, or all images of those are
            others now than were labeled.
        ArtifactError: a file is damaged.
    """
    if not paths.images.exists():
        raise UserError("no batch is finished yet: 'dvc repro' begins the campaign")
    images = artifacts.read_images(paths.images)
    keys = [key for key in params.iterations if paths.corrections(key).exists()]
    known = screening.read(paths.journals, map(paths.corrections, keys), images)
    newest = submissions.latest(known.submissions)
    by_id, batch_of, labels = images.by_id(), dict[str, str](), dict[str, Boxes]()
    apart = set[str]()  # whose labels are of other pixels, or which are gone
    for key in keys:
        made = artifacts.read_corrections(paths.corrections(key))
        others = pixels.of_other_pixels(made.digests, by_id)  # as the batch's proposals are, too
        for image_id, boxes in made.boxes.items():
            if image_id in others or image_id not in by_id:
                apart.add(image_id)
                continue
            # As people left it last, which DVC may not know yet.
            newer = newest.get(image_id)
            labels[image_id] = boxes if newer is None else newer.boxes[image_id]
            batch_of[image_id] = key
    found: dict[str, tuple[Doubt, Boxes]] = {}
    judged, left_out = False, 0
    for proposals in _out_of_sample(paths, params, keys, images, known.incomplete):
        own = {i: labels[i] for i in proposals if i in labels}
        judged, left_out = judged or bool(own), left_out + len(apart & proposals.keys())
        for doubt in doubts.worst_of_images(doubts.find(own, proposals)):
            if doubt.image not in found or doubt.chance > found[doubt.image][0].chance:
                found[doubt.image] = doubt, proposals[doubt.image]
    if not judged and left_out:
        raise UserError(
            "every image whose labels could be held against proposals has other pixels now than"
            " were labeled, or is gone: run 'dvc repro', which says what waits for a person"
        )
    if not judged:
        raise UserError(
            "no finished batch has proposals that its labels could be held against: such batches"
            " begin with the second"
        )
    worst = sorted(found.values(), key=lambda row: (-row[0].chance, row[0].image))
    worst = [row for row in worst if not _is_looked_at(newest, row[0].image)]
    return [
        Suspect(rank, by_id[d.image], batch_of[d.image], d, labels[d.image], boxes)
        for rank, (d, boxes) in enumerate(worst[:count], 1)
    ]


def _out_of_sample(
    paths: CampaignPaths,
    params: Params,
    finished: Iterable[str],
    images: ImageSet,
    incomplete: Incomplete,
) -> Iterator[dict[str, Boxes]]:
    """Yield boxes by image id, of one detector at a time, that was not trained on their labels.

    Labels that images had before are no second opinion. Classes are called as they are today; those
    that could not be chosen on an image say nothing of it.
    """
    changes = class_changes.read(*paths.journals)
    offers = [artifacts.read_proposals(p) for p in map(paths.proposals, finished) if p.exists()]
    logs = [
        artifacts.read_training(p) for p in map(paths.training, params.iterations) if p.exists()
    ]
    offers += [log.held_out for log in logs if log.held_out is not None]
    for offered in offers:
        if offered.detector == EMPTY:
            continue
        named = class_changes.as_today(offered, changes, images).boxes
        named = {i: b for i, b in named.items() if not is_existing(b)}
        yield {i: _speaking(b, images.classes, incomplete.get(i, ())) for i, b in named.items()}


def _speaking(boxes: Boxes, classes: Sequence[str], unseen: Sequence[str]) -> Boxes:
    known = set(classes) - set(unseen)
    keep = np.array([name in known for name in boxes.labels.tolist()], bool)
    return boxes if keep.all() else boxes.select(keep)


def _is_looked_at(newest: Mapping[str, Corrections], image_id: str) -> bool:
    """Tell whether an image was or will be looked at again for another reason.

    Somebody looked for errors, a third person decided on it, or a planted error was missed.
    """
    made = newest.get(image_id)
    if made is None:
        return False
    return image_id in made.rechecked or image_id in made.decided or image_id in made.missed
