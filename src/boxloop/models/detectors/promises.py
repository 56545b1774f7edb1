"""Hold detectors to what ``base.py`` promises of them: all calls of their methods go through here.

A detector may be anybody's code. What it returns is checked where it returns it, before it is
written anywhere: later it would be blamed on the images or the files.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from boxloop.core.box_set import LATER
from boxloop.core.edits import PIXEL
from boxloop.core.names import fault_of_id, require_ids
from boxloop.core.training_log import TrainingLog
from boxloop.core.types import Boxes, ImageRef, LabeledSet
from boxloop.errors import ArtifactError, DetectorError
from boxloop.models.detectors.empty import read_empty
from boxloop.models.progress import ItemProgress, StepProgress
from boxloop.params import TrainParams

if TYPE_CHECKING:
    from boxloop.models.detectors.base import Detector, Proposer

_ROUNDED = 1e-5
"""By which a score may lie below the floor: 0.7 is 0.69999999 as float32."""

_LARGEST = sys.float_info.max
"""Some int are larger, and no file holds them."""

_COUNTS = ("steps", "images", "boxes", "batch_size", "parameters")
_SECONDS = ("seconds", "preparing_seconds")
_FACTORS = ("epochs", "images_per_second", "wait_fraction")
_TEXTS = ("device", "initial_weights")
"""What a log holds besides its losses, as its file takes it."""


def make(factory: Any, method: str, name: str, classes: Sequence[str], *given: Any) -> Detector:
    """Have a factory make a detector, which gets the name that finds its factory again.

    One factory may have several: ``module:FACTORY``, and that of an entry point.

    Args:
        factory: a :class:`boxloop.models.detectors.base.DetectorFactory`.
        method: "create" or "restore".
        name: what ``train.detector``, or the checkpoint, calls it.
        classes: that the detector is for.
        *given: what the method takes.

    Raises:
        DetectorError: the factory makes none, or one for other classes.
    """
    require_factory(factory, method, name)
    made = getattr(factory, method)(*given)
    if not callable(getattr(made, "propose", None)):
        _refuse(name, method, f"returned {_kind(made)}, which is no detector: it has no propose()")
    known = getattr(made, "classes", None)
    if not isinstance(known, list | tuple) or tuple(known) != tuple(classes):
        what = ", ".join(map(str, known)) if isinstance(known, list | tuple) else _kind(known)
        _refuse(
            name, method, f"returned a detector with the classes {what}, not {', '.join(classes)}"
        )
    if getattr(made, "name", None) != name:
        made.name = name
    detector: Detector = made
    return detector


def require_factory(factory: Any, method: str, name: str) -> None:
    """Refuse an object that makes no detectors.

    Raises:
        DetectorError: it lacks the ``method``, "create" or "restore".
    """
    if not callable(getattr(factory, method, None)):
        raise DetectorError(
            f"the detector {name} is {_kind(factory)} and no factory of detectors, because it has"
            f" no {method}(): docs/detectors.md shows one"
        )


def train(
    detector: Detector,
    labeled: LabeledSet,
    images: Sequence[ImageRef],
    params: TrainParams,
    progress: StepProgress | None = None,
) -> TrainingLog:
    """Train a detector; see :meth:`boxloop.models.detectors.base.Detector.train`.

    Raises:
        DetectorError: what it returns is no log that can be written.
    """
    if not callable(getattr(detector, "train", None)):
        _refuse(detector.name, "train", "is not there")
    log: Any = detector.train(labeled, images, params, progress)
    if not isinstance(log, TrainingLog):
        _refuse(detector.name, "train", f"returned {_kind(log)}, not a TrainingLog")
    sound = {
        **{name: _is_count(getattr(log, name)) for name in _COUNTS},
        **{name: _is_number(getattr(log, name), 0) for name in _FACTORS},
        **{name: _is_number(getattr(log, name), 0, 1e9) for name in _SECONDS},
        **{name: _is_line(getattr(log, name)) for name in _TEXTS},
        "zoom": _is_number(log.zoom, 1),
        "losses": all(_is_number(value) for row in log.losses for value in row.values()),
    }
    for name, fits in sound.items():
        if not fits:
            value = " ".join(repr(getattr(log, name)).split())[:60]
            _refuse(
                detector.name, "train", f"returned a TrainingLog whose {name} cannot be {value}"
            )
    return log


def propose(
    detector: Proposer,
    images: Sequence[ImageRef],
    *,
    score_floor: float,
    batch_size: int,
    progress: ItemProgress | None = None,
) -> dict[str, Boxes]:
    """Let a detector propose; see :meth:`boxloop.models.detectors.base.Proposer.propose`.

    Returns:
        By image id, in the order of ``images``: what it proposed.

    Raises:
        DetectorError: it left an image out, or its boxes are not what detectors promise.
    """
    found: Any = detector.propose(
        images, score_floor=score_floor, batch_size=batch_size, progress=progress
    )

    def refuse(what: str) -> NoReturn:
        _refuse(detector.name, "propose", f"returned {what}")

    if not isinstance(found, Mapping):
        refuse(f"{_kind(found)}, not a dict of Boxes by image id")
    missing = [image.path for image in images if image.id not in found]
    if missing:
        refuse(f"nothing for {len(missing)} of {len(images)} images, the first {missing[0]}")
    if len(found) != len(images):
        foreign = found.keys() - {image.id for image in images}
        refuse(f"boxes for an image that it was not asked for, {next(iter(foreign), '')!r}")
    rows = {image.id: found[image.id] for image in images}
    for image in images:
        boxes = rows[image.id]
        if not isinstance(boxes, Boxes):
            refuse(f"{_kind(boxes)} for {image.path}, not Boxes")
        if boxes.scores is None:
            refuse(f"boxes without scores for {image.path}")
    fault = _fault(images, list(rows.values()), set(detector.classes), score_floor)
    if fault is not None:
        refuse(fault)
    return rows


def save(detector: Detector, path: Path, *, labeled_digest: str) -> None:
    """Save a detector; see :meth:`boxloop.models.detectors.base.Detector.save`.

    Raises:
        DetectorError: it wrote nothing (the file is missing, or that of an older detector), or what
            cannot be loaded.
    """
    before = _state(path)
    detector.save(path, labeled_digest=labeled_digest)
    if _state(path) in (None, before):
        _refuse(detector.name, "save", f"wrote nothing to {path}")
    try:
        if read_empty(path) is None:
            from boxloop.models.checkpoint import read_detector  # torch takes seconds to import

            read_detector(path)
    except ArtifactError as error:
        path.unlink()  # or it would be taken for a training that is done
        why = str(error).rpartition(": ")[0] or str(error)  # without its way out
        _refuse(detector.name, "save", f"wrote what cannot be loaded ({why})")


def _fault(
    images: Sequence[ImageRef], rows: Sequence[Boxes], classes: set[str], floor: float
) -> str | None:
    """Say what is wrong with the boxes of images, all of which are looked at together."""
    if not rows:
        return None
    counts = [len(boxes) for boxes in rows]
    owner = np.repeat(np.arange(len(rows)), counts)
    sizes = np.array([(image.width, image.height) for image in images], np.float64)
    xyxy = np.concatenate([boxes.xyxy for boxes in rows])
    scores = np.concatenate([np.asarray(boxes.scores) for boxes in rows])
    beyond = (xyxy[:, :2] < -PIXEL).any(axis=1) | (xyxy[:, 2:] > sizes[owner] + PIXEL).any(axis=1)
    rising = np.zeros(len(scores), bool)
    rising[1:] = (scores[1:] > scores[:-1]) & (owner[1:] == owner[:-1])
    for wrong, what in (
        (beyond, "a box beyond the edge of"),
        (scores < floor - _ROUNDED, f"a box that scores less than the floor of {floor:g} for"),
        (rising, "boxes that are not sorted by score, the highest first, for"),
    ):
        if wrong.any():
            image = images[owner[int(np.argmax(wrong))]]
            return f"{what} {image.path} ({image.width}x{image.height} pixels)"
    labels = set().union(*(boxes.labels.tolist() for boxes in rows))
    odd = next(iter(sorted(labels - classes)), None)
    if odd is not None:
        return f"a box of the class {odd[:60]!r}, which is not among those of the detector"
    ids = set().union(*(boxes.ids.tolist() for boxes in rows))
    try:
        require_ids(ids)
    except ValueError as error:
        return f"a box with an id that cannot be: {error}"
    later = next((name for name in ids if name.startswith(LATER)), None)
    return later and f"a box with the id {later[:60]!r}, where p0, p1, ... are expected"


def _refuse(name: str, method: str, what: str) -> NoReturn:
    raise DetectorError(
        f"the detector {name} breaks its promise: its {method}() {what}; put its code right:"
        " boxloop/models/detectors/base.py says what each method must do"
    )


def _kind(value: Any) -> str:
    name = type(value).__name__
    return "None" if value is None else f"a{'n' * (name[0] in 'aeiouAEIOU')} {name}"


def _is_number(value: Any, least: float = -_LARGEST, most: float = _LARGEST) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and least <= value <= most  # NaN is within nothing


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value, 0, 2**53)


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and (not value or fault_of_id(value) is None)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
