"""The data that flows between stages: frozen dataclasses, validated on construction.

Conventions, everywhere in boxloop:

- a box is ``(x1, y1, x2, y2)`` in pixels of the upright image (EXIF rotation applied), with
  ``0 <= x1 < x2 <= width`` and ``0 <= y1 < y2 <= height``; x2 and y2 are exclusive edges, so a box
  over the whole image is ``(0, 0, width, height)``;
- a label is the name of a class, never its index;
- "proposals" are a detector's boxes that are shown to a person for review, not the region proposals
  inside a two-stage detector.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from boxloop.core.box_set import NOTHING as NOTHING
from boxloop.core.box_set import Boxes as Boxes
from boxloop.core.box_set import Floats as Floats
from boxloop.core.box_set import Strings as Strings
from boxloop.core.box_set import require as _require
from boxloop.core.decision import Decision as Decision
from boxloop.core.feature_table import FeatureTable as FeatureTable
from boxloop.core.planted import PlantedError as PlantedError
from boxloop.core.planted import as_shown, check_planted
from boxloop.core.recheck import Recheck as Recheck
from boxloop.core.uses import CropUse as CropUse
from boxloop.core.uses import Neighbour as Neighbour
from boxloop.core.uses import NeighbourUse as NeighbourUse

BoxesByImage = Mapping[str, Boxes]

SIMULATED = "simulated"
"""The annotator that corrects by ground truth; all others are people."""

BY_IMAGE = ("seconds", "submitted", "digests", "offered", "planted", "decided", "rechecked")
"""What corrections hold by image, besides the boxes."""


@dataclass(frozen=True)
class ImageRef:
    """One image of the campaign, by reference to its file.

    Attributes:
        id: unique in the campaign; a file name without its ending, usually.
        path: POSIX path, absolute or relative to the folder that boxloop runs in.
        width: pixels, after EXIF rotation.
        height: pixels, after EXIF rotation.
        digest: of the file's bytes and how they are read, in hex, which shows changed pixels
            downstream; nearly always their SHA-256.
    """

    id: str
    path: str
    width: int
    height: int
    digest: str

    def __post_init__(self) -> None:
        _require(bool(self.id), "an image needs an id")
        sides = 0 < self.width <= 1_000_000 and 0 < self.height <= 1_000_000
        _require(sides, f"{self.id}: size must be positive, and at most 1,000,000 pixels")
        # As PurePosixPath(path).name tells, which takes longer than reading the rest of an image.
        named = any(part not in ("", ".") for part in self.path.split("/"))
        named = named and "\0" not in self.path
        _require(named, f"{self.id}: path must name a file")


@dataclass(frozen=True)
class ImageSet:
    """All images of a campaign, in their temporal order (the dataset's file order).

    Attributes:
        images: with unique ids; the ``temporal`` strategy keeps their order.
        classes: names of the classes, in the dataset's order; unique, at least one.
        changes: the entries of the renamed and merged classes that were there when they were read.
    """

    images: tuple[ImageRef, ...]
    classes: tuple[str, ...]
    changes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(len(self.images) > 0, "an image set needs at least one image")
        _require(len(self.by_id()) == len(self.images), "image ids must be unique")
        _require(len(self.classes) > 0, "an image set needs at least one class")
        _require(len(set(self.classes)) == len(self.classes), "classes must be unique")

    def __len__(self) -> int:
        return len(self.images)

    def by_id(self) -> dict[str, ImageRef]:
        """Return the images by their ids."""
        return {image.id: image for image in self.images}

    def subset(self, image_ids: Sequence[str]) -> tuple[ImageRef, ...]:
        """Return the images of these ids, in the order of ``image_ids``.

        Raises:
            ValueError: an id is not among the images.
        """
        table = self.by_id()
        for image_id in image_ids:
            _require(image_id in table, f"image {image_id} is not among the dataset's images")
        return tuple(table[image_id] for image_id in image_ids)


@dataclass(frozen=True)
class Ordering:
    """All image ids in the order in which they are to be labeled."""

    image_ids: tuple[str, ...]
    strategy: str
    seed: int
    query_size: int
    linkage: str

    def __post_init__(self) -> None:
        _require(len(set(self.image_ids)) == len(self.image_ids), "image ids must be unique")


@dataclass(frozen=True)
class Batch:
    """Images that are labeled together, in their order.

    Attributes:
        id: the batch's id.
        image_ids: its images.
        given: digest of the proposals that were imported for it, if any were.
        labels: boxes that some of its images have already, to be shown as their proposals; every
            image that is listed has at least one.
        neighbours: by image id, of those that have a near one; of the second batch also those
            within the first.
    """

    id: str
    image_ids: tuple[str, ...]
    given: str | None = None
    labels: BoxesByImage = field(default_factory=dict)
    neighbours: Mapping[str, Neighbour] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(len(self.image_ids) > 0, f"batch {self.id} has no image")
        _require(len(set(self.image_ids)) == len(self.image_ids), "image ids must be unique")
        foreign = set(self.labels) - set(self.image_ids)
        _require(not foreign, f"{min(foreign, default='')} has labels, but is not in {self.id}")
        bare = sorted(image_id for image_id, boxes in self.labels.items() if not len(boxes))
        _require(not bare, f"{min(bare, default='')} has labels, but no box")

    @property
    def unlabeled(self) -> tuple[str, ...]:
        """The images that have no labels yet, in their order."""
        return tuple(image_id for image_id in self.image_ids if image_id not in self.labels)


@dataclass(frozen=True)
class FittedThreshold:
    """A score threshold that was chosen for one batch, and what is expected of it.

    Attributes:
        iou_threshold: IoU from which a proposal counts as right.
        score: proposals that score less are not shown; ``NOTHING`` shows none.
        expected_saving: fraction of the time (WT) to draw every box of the batch from scratch that
            the best threshold would have saved on what was judged; 0 where nothing is shown (1 less
            the price of an added box), None where nothing was known.
        found: what it was judged by, in words: "held-out part of b00", "b01, b02", "prior".
    """

    iou_threshold: float
    score: float
    expected_saving: float | None
    found: str

    def __post_init__(self) -> None:
        _require(0 <= self.score <= 1, f"a score threshold lies in [0, 1], got {self.score:g}")
        saving = self.expected_saving
        _require(0 < self.iou_threshold <= 1, "an IoU threshold lies in (0, 1]")
        _require(saving is None or saving <= 1, "no more than all of the time can be saved")


@dataclass(frozen=True)
class Proposals:
    """A detector's boxes on one batch, to be reviewed.

    Attributes:
        batch: the batch's id.
        detector: architecture that made them: "empty" proposes nothing, "file" were imported,
            "labels" were there before, and "zero-shot NAME" is the foundation model of
            ``propose.first``; several are joined by ", ".
        checkpoint: digest of the checkpoint, or of the file, that they come from.
        score_floor: boxes that score less were not stored.
        boxes: by image id, in the batch's order, every image of the batch; all scored.
        thresholds: those fitted for the batch, one per IoU; none where the threshold is a number.
        neighbours: what other images' labels changed in them; None where they are as they came.
        crops: the same boxes with classes by labeled crops; None where those were not looked at.
        changes: of imported ones, the entries of the renamed and merged classes that their names
            follow, or in older files how many; None where that is not known.
    """

    batch: str
    detector: str
    checkpoint: str
    score_floor: float
    boxes: BoxesByImage
    thresholds: tuple[FittedThreshold, ...] = ()
    neighbours: NeighbourUse | None = None
    crops: CropUse | None = None
    changes: int | tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _require(0 <= self.score_floor <= 1, "a score floor lies in [0, 1]")
        for image_id, boxes in self.boxes.items():
            _require(boxes.scores is not None, f"{image_id}: proposals need scores")

    def origin(self, score: float) -> tuple[object, ...]:
        """Return what images have in common that were shown in one way, from this score on."""
        return self.detector, self.checkpoint, self.score_floor, score, self.thresholds

    def fitted(self, iou_threshold: float) -> FittedThreshold | None:
        """Return the threshold that was fitted for an IoU; None where none was."""
        return next((f for f in self.thresholds if f.iou_threshold == iou_threshold), None)


@dataclass(frozen=True)
class Corrections:
    """The reviewed boxes of one batch, with the proposals that they came from.

    Attributes:
        proposals: all of the detector's proposals, stored here so that the accounting stays right
            when a later run makes new ones.
        score_threshold: proposals that score less were not shown.
        annotator: kind of annotator: "simulated", "fiftyone", ...
        boxes: the final boxes by image id, in the batch's order, every image of the batch.
        reviewer: who did it, where known.
        seconds: active seconds by image id, where measured; a redo adds to the earlier ones.
        finished: ISO 8601 time (UTC) of a person's last submission; None for a simulated annotator.
        versions: versions of the programs used.
        submitted: ISO 8601 time by image id, for images submitted before ``finished``.
        revision: 1 for images submitted once, plus 1 for each submission that repeats an image.
        digests: of the files that a person saw (SHA-256 of the bytes, in hex) by image id, where
            known.
        classes: names that a person could choose from; none where not known.
        offered: the same by image id, where they were others than ``classes``.
        changes: entries of the renamed and merged classes that the names here follow; of older
            files how many, and 0 where nothing tells.
        given: images whose boxes are labels that were imported and trusted: nobody reviewed them
            here, and they count apart.
        blind: images that were shown without proposals, to tell what people find without help.
        planted: by image id, the errors that were planted among its proposals; ``proposals`` are
            the detector's all the same.
        decided: by image id, how a third person came to ``boxes``, where two differed.
        rechecked: the second look that an image had since its review, by image id.

    Raises:
        ValueError: final boxes and proposals are of different images; seconds, times, digests,
            classes, ``given``, ``blind`` or ``planted`` are of other images; an error is planted on
            no proposal; or the revision is below 1.
    """

    proposals: Proposals
    score_threshold: float
    annotator: str
    boxes: BoxesByImage
    reviewer: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    finished: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    submitted: Mapping[str, str] = field(default_factory=dict)
    revision: int = 1
    digests: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    offered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    changes: int | tuple[str, ...] = 0
    given: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()
    planted: Mapping[str, tuple[PlantedError, ...]] = field(default_factory=dict)
    decided: Mapping[str, Decision] = field(default_factory=dict)
    rechecked: Mapping[str, Recheck] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(0 <= self.score_threshold <= 1, "a score threshold lies in [0, 1]")
        _require(
            set(self.boxes) == set(self.proposals.boxes),
            f"corrections of {self.batch} must cover exactly the images of its proposals",
        )
        for name in (*BY_IMAGE, "given", "blind"):
            foreign = set(getattr(self, name)) - set(self.boxes)
            _require(
                not foreign, f"{name}: {min(foreign, default='')} is not among the images corrected"
            )
        _require(all(value >= 0 for value in self.seconds.values()), "seconds cannot be negative")
        _require(self.revision >= 1, f"revision must be at least 1, got {self.revision}")
        both = set(self.blind) & set(self.planted)
        _require(not both, f"{min(both, default='')} cannot be blind and have planted errors")
        for image_id, errors in self.planted.items():
            check_planted(self.proposals.boxes[image_id], errors)

    @property
    def batch(self) -> str:
        """The batch's id."""
        return self.proposals.batch

    @property
    def by_person(self) -> bool:
        """Whether a person made them, not the simulated annotator."""
        return self.annotator != SIMULATED

    def counted(self) -> dict[str, Boxes]:
        """Return the detector's proposals that the work is counted against.

        Those at or above the threshold, without what was planted; none on a blind image.
        """
        return {image_id: self.counted_on(image_id) for image_id in self.proposals.boxes}

    def counted_on(self, image_id: str) -> Boxes:
        """Return the same of one image."""
        threshold = NOTHING if image_id in self.blind else self.score_threshold
        return self.proposals.boxes[image_id].above(threshold)

    def shown(self) -> dict[str, Boxes]:
        """Return what people really had before them, with the errors that were planted."""
        return {k: as_shown(b, self.planted.get(k, ())) for k, b in self.counted().items()}

    @property
    def missed(self) -> list[str]:
        """The images with planted errors that were missed and not looked at again since."""
        errors = self.planted.items()
        return [k for k, found in errors if any(error.state == "missed" for error in found)]

    def reviewed(self) -> Corrections:
        """Return the part that was reviewed here: without the images whose labels were given."""
        return self.part([k for k in self.boxes if k not in self.given]) if self.given else self

    def part(self, image_ids: Iterable[str]) -> Corrections:
        """Return the corrections of some images alone, in the order of ``image_ids``."""
        ids = list(image_ids)
        tables: dict[str, Any] = {
            name: {i: getattr(self, name)[i] for i in ids if i in getattr(self, name)}
            for name in ("boxes", *BY_IMAGE)
        }
        for name in ("given", "blind"):
            tables[name] = tuple(i for i in ids if i in getattr(self, name))
        offered = replace(self.proposals, boxes={i: self.proposals.boxes[i] for i in ids})
        return replace(self, proposals=offered, **tables)


@dataclass(frozen=True)
class LabeledSet:
    """All reviewed boxes so far.

    Attributes:
        classes: names of the classes, in the dataset's order; unique.
        batches: ids of the batches it is made of, oldest first.
        boxes: by image id; an image without objects has an entry without boxes.
        incomplete: classes that could not be chosen when an image was reviewed, by image id: it may
            hold objects of them that have no box. Complete images have no entry.
    """

    classes: tuple[str, ...]
    batches: tuple[str, ...]
    boxes: BoxesByImage
    incomplete: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(len(set(self.classes)) == len(self.classes), "classes must be unique")

    def __len__(self) -> int:
        return len(self.boxes)
