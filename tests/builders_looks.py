"""A tiny campaign, and people who review it and look again in an order drawn by chance."""

import math
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from boxloop.campaign import artifacts, class_changes, class_editing, later
from boxloop.core.types import Batch, Boxes, ImageSet, Proposals
from boxloop.errors import ArtifactError, UserError
from boxloop.params import load_params
from boxloop.review.external.import_labels import import_labels
from boxloop.review.fiftyone import session_inputs
from boxloop.review.fiftyone.controller import ReviewController
from boxloop.review.fiftyone.session_inputs import ALSO, DISAGREEMENTS, ReviewRequest
from boxloop.review.fiftyone.shown_proposals import ShownProposals, dumps, loads
from boxloop.review.validation import RawBox, check_image
from builders_sessions import A, campaign, images, scored

BATCHES = {"b00": images(2, ()), "b01": images(6, first=2)}
SHARES = (("b00", None), ("b00", "1/2"), ("b01", None), ("b01", None), ("b01", "2/2"))
PEOPLE = ("ann", "bob", "eve", "kim")
LOOKS = {  # what a person can ask `boxloop review` for
    "review": {},
    "redo": {"redo": True},
    "planted": {"redo": True, "planted": True},
    "qa": {"qa": 4},
    "also": {"look": ALSO},
    "also, again": {"look": ALSO, "redo": True},
    "disagreements": {"look": DISAGREEMENTS},
    "for car": {"wanted": "car"},
}
CLASSES = {"add": ("car",), "rename": ("dog", "hound"), "merge": ("dog", "cat")}
DRAWN = ((45, 50, 65, 70), (70, 50, 90, 75), (5, 66, 30, 79), (35, 33, 55, 48))


def content(boxes):
    """What boxes say, whatever their order and ids are."""
    rows = zip(boxes.labels.tolist(), boxes.xyxy.round(3).tolist(), strict=True)
    return sorted((label, tuple(xyxy)) for label, xyxy in rows)


class Team:
    """People who work on one campaign; their steps are printed, which pytest shows of a failure.

    ``labels`` is the content of what a person submitted last, by image id.
    """

    def __init__(self, root, seed):
        self._chance = random.Random(seed)
        self._done = Counter()
        review = {"annotator": "fiftyone", "score_threshold": 0.5, "seed": seed}
        review |= {"blind_fraction": 0.3, "plant_fraction": 0.3}
        self.paths = campaign(root, BATCHES, params={"review": review})
        for key, table in BATCHES.items():
            artifacts.write_batch(self.paths.batch(key), Batch(key, tuple(table)))
        self._file = root / "params.yaml"
        self.params = load_params(self._file)
        self.labels = {}
        if self._chance.choice([True, False]):
            self._trust_labels("img02")

    def steps(self, count):
        """Reviews all images, then takes so many steps by chance; yields the kind of each."""
        for share in (("b00", None), ("b01", "1/2"), ("b01", "2/2")):
            assert self._can_take("review", *share)
            yield "review"
        for _ in range(count):
            kinds = self._chance.sample([*LOOKS, *CLASSES], len(LOOKS) + len(CLASSES))
            kinds.sort(key=self._done.__getitem__)  # what was done least comes first
            yield next(kind for kind in kinds if self._can_take(kind, *self._chance.choice(SHARES)))

    def _can_take(self, kind, batch, part):
        """Takes a step, unless it is refused."""
        reviewer = self._chance.choice(PEOPLE)
        print(f"{kind} ({reviewer}, {batch}, part {part}):", end=" ")
        try:
            if kind in CLASSES:
                self._edit_classes(kind, *CLASSES[kind])
            else:
                request = ReviewRequest(batch, reviewer, part, **LOOKS[kind])
                assignment = session_inputs.read_assignment(self.paths, self.params, request)
        except ArtifactError:  # no refusal: a file does not fit
            raise
        except UserError:
            print("refused")
            return False
        if kind in LOOKS:
            self._look(assignment, is_label=request.look != ALSO)
        self._done[kind] += 1
        return True

    def _look(self, assignment, is_label):
        """Has a person take a whole session, with all but the App and its database."""
        paths, params = self.paths, self.params
        known = session_inputs.known_submissions(paths, params, assignment)
        key, redo = assignment.batch, assignment.redo
        done = [_finish(item, assignment.classes, self._chance) for item in assignment.items]
        database = {"read": lambda: done, "version": lambda: 0, "idle_seconds": lambda: math.inf}
        controller = ReviewController(
            SimpleNamespace(assignment=assignment, **database),
            paths.reviews,
            others=session_inputs.other_batches(paths, params, key, known(), redo=redo),
            account=params.account,
            versions=session_inputs.versions(),
            known=known,
            idle_seconds=params.review.idle_seconds,
            on_submit=lambda summary: print(*(image.image_id for image in done)),
        )
        controller.overview()
        assert not controller.submit()["faults"]
        if is_label:
            self.labels |= {image.image_id: content(image.final) for image in done}

    def _trust_labels(self, image_id):
        """Takes the label of one image from elsewhere, a cat at A, so that nobody reviews it."""
        file = Path(artifacts.read_images(self.paths.images).by_id()[image_id].path)
        labels = self.paths.root / "labels"
        labels.mkdir()
        (labels / "classes.txt").write_text("cat\n")
        (labels / f"{file.stem}.txt").write_text("0 0.2 0.25 0.2 0.25\n")
        import_labels(self.paths, self.params, self._file, labels, use="trusted")
        self.labels[image_id] = content(Boxes.build([A], ["cat"]))
        print(f"trusted labels of {image_id}")

    def _edit_classes(self, kind, *names):
        """Does what `boxloop classes` does, and to proposals what the next stages do."""
        if kind == "add":
            class_editing.add(self.paths, self._file, *names, self._read_images)
            table = {i: scored([("car", DRAWN[0], 0.8)]) for ids in BATCHES.values() for i in ids}
            path = later.proposals_file(self.paths, "car")
            artifacts.write_proposals(path, Proposals("b01", "ssd", "1" * 64, 0.5, table))
        else:
            class_editing.change(self.paths, self._file, kind, *names, self._read_images)
            self._rename(class_changes.read(*self.paths.journals)[-1])
        print(*names)

    def _rename(self, change):
        for path in map(self.paths.proposals, BATCHES):
            before = artifacts.read_proposals(path)
            boxes = class_changes.rename(before.boxes, [change])
            artifacts.write_proposals(path, replace(before, boxes=boxes))
        for image_id, rows in self.labels.items():
            self.labels[image_id] = sorted((change.name(label), xyxy) for label, xyxy in rows)

    def _read_images(self, params):
        self.params, before = params, artifacts.read_images(self.paths.images)
        artifacts.write_images(self.paths.images, ImageSet(before.images, params.dataset.classes))


def _finish(item, classes, chance):
    """What a ``ReviewedImage`` is, whose module needs FiftyOne; ``final`` are its checked boxes."""
    shown = loads(dumps(ShownProposals.of(item)), item.image)
    boxes = _edit(shown, classes, chance)
    _, problems = check_image(item.image, boxes, classes)
    refused = {problem.box_id for problem in problems}
    boxes = tuple(box for box in boxes if box.id not in refused)
    final, _ = check_image(item.image, boxes, classes)
    name, seconds = item.image.id, chance.choice([0.0, 1.0, 2.5, 7.0])
    state = {"sample_id": f"sample of {name}", "reviewed": True, "seconds": seconds}
    return SimpleNamespace(image_id=name, shown=shown, boxes=boxes, final=final, **state)


def _edit(shown, classes, chance):
    """Deletes, relabels and moves a tenth of the boxes each; draws one, or asks for weak ones."""
    boxes = []
    for box in _raw(shown.item.start):
        edit, (left, top, right, bottom) = chance.random(), box.xyxy
        if edit < 0.1:
            box = replace(box, label=chance.choice(classes))
        elif edit < 0.2:
            box = replace(box, xyxy=(left, max(0, top - chance.choice([1, 3])), right, bottom))
        boxes += [box] if edit < 0.9 else []
    if chance.random() < 0.4:
        name = f"drawn{chance.randrange(10**9)}"
        boxes.append(RawBox(name, chance.choice(classes), chance.choice(DRAWN)))
    return boxes + (_raw(shown.below) if chance.random() < 0.3 else [])


def _raw(boxes):
    rows = zip(boxes.ids.tolist(), boxes.labels.tolist(), boxes.xyxy.tolist(), strict=True)
    return [RawBox(name, label, tuple(xyxy)) for name, label, xyxy in rows]
