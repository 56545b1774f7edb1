"""What every importer hands back, and what all of them share: probing, cleaning, class choice.

What can be set aside (an image, a box) is set aside and said; what makes the whole set unusable is
one :class:`~boxloop.errors.DatasetError`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from boxloop.core.types import Boxes, ImageRef, ImageSet
from boxloop.datasets.faults import Fault, FaultKind, FaultLog, is_control
from boxloop.datasets.file_listing import exists
from boxloop.datasets.images import Probe, Progress, probe_images
from boxloop.errors import DatasetError
from boxloop.params import DatasetParams

_SLACK = 1.0  # pixels; a box that overhangs by less is rounding, and is clipped without a word
_LEAST_SIDE = 0.01  # pixels; below this there is nothing to see, and areas lose their digits


@dataclass(frozen=True)
class Dataset:
    """A dataset as the loop uses it.

    Attributes:
        images: every usable image, in temporal order, with the classes.
        truth: the boxes of every image (an image may have none); None without annotations.
        faults: what was set aside or repaired.
        left_out: how many of what were left out on purpose, which is no fault.
    """

    images: ImageSet
    truth: dict[str, Boxes] | None
    faults: tuple[Fault, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RawBox:
    """A box as an annotation file gives it, before any check.

    Attributes:
        label: name of the class.
        corners: x1, y1, x2, y2 in pixels; NaN where the file has no number there.
        place: where in the file ("object 3", "line 12").
        said: the file's own words for the coordinates.
    """

    label: str
    corners: tuple[float, float, float, float]
    place: str
    said: str


@dataclass(frozen=True)
class Annotation:
    """What an annotation file says about one image.

    Attributes:
        file: the annotation file.
        rows: its boxes.
        size: the (width, height) that it declares, if it does.
        first_pixel: number of the first pixel; where it is 1 (VOC), the edges are inclusive.
    """

    file: Path
    rows: Sequence[RawBox]
    size: tuple[int, int] | None = None
    first_pixel: int = 0


def to_float(value: object) -> float:
    """The number that ``value`` (text or a JSON number) stands for; NaN where it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def clean(
    annotation: Annotation,
    image: ImageRef,
    log: FaultLog,
    *,
    known: Collection[str],
    wanted: Collection[str],
) -> Boxes:
    """Makes valid boxes of one image's rows; what cannot be made valid is set aside and logged.

    Args:
        annotation: the rows, in pixels.
        image: its size bounds the boxes.
        log: takes the faults and the count of boxes of unwanted classes.
        known: classes that may occur.
        wanted: classes to keep.
    """
    kept: list[tuple[float, float, float, float]] = []
    labels: list[str] = []
    for row in annotation.rows:
        if row.label in known and row.label not in wanted:
            log.left_out["boxes of classes that dataset.classes does not list"] += 1
            continue
        kind, why, box = _judge(row, image, annotation.first_pixel, known)
        if kind is not None:
            detail = f"{row.place} ({row.label}): {row.said} {why}"
            log.add(kind, annotation.file, detail, image.id)
        if box is not None:
            kept.append(box)
            labels.append(row.label)
    return Boxes.build(kept, labels)


def _judge(
    row: RawBox, image: ImageRef, first_pixel: int, known: Collection[str]
) -> tuple[FaultKind | None, str, tuple[float, float, float, float] | None]:
    """(kind of fault or None, what is wrong, the usable box or None)."""
    if row.label not in known:
        return FaultKind.UNKNOWN_CLASS, f"is of a class that is none of {', '.join(known)}", None
    x1, y1, x2, y2 = row.corners
    if not all(math.isfinite(value) for value in row.corners):
        return FaultKind.NOT_A_NUMBER, "is not four finite numbers", None
    if x2 < x1 or y2 < y1:
        return FaultKind.MALFORMED_ANNOTATION, "is inverted: its end lies before its start", None
    # Judged on the file's own numbers: with inclusive edges, equal ones would pass as one pixel.
    if x2 - x1 < _LEAST_SIDE or y2 - y1 < _LEAST_SIDE:
        return FaultKind.ZERO_SIZE_BOX, "has no width or no height", None
    x1, y1 = x1 - first_pixel, y1 - first_pixel
    box = (
        max(0.0, x1),
        max(0.0, y1),
        min(x2, float(image.width)),
        min(y2, float(image.height)),
    )
    size = f"{image.width}x{image.height}"
    if box[2] - box[0] < _LEAST_SIDE or box[3] - box[1] < _LEAST_SIDE:
        return FaultKind.BOX_OUTSIDE_IMAGE, f"lies outside the image ({size})", None
    overhang = max(-x1, -y1, x2 - image.width, y2 - image.height)
    if overhang > _SLACK:
        return FaultKind.BOX_CLIPPED, f"reaches {overhang:g} px beyond the image ({size})", box
    return None, "", box


def probe_refs(
    candidates: Sequence[tuple[str, Path]], log: FaultLog, progress: Progress | None = None
) -> list[ImageRef]:
    """Decodes the images of ``(id, path)`` pairs; those that cannot be used are logged.

    A missing file, a damaged one, one whose name is not valid Unicode or not one line, and a second
    one of the same id are set aside.
    """
    usable: dict[str, Path] = {}
    for image_id, path in candidates:
        if image_id in usable:
            detail = f"has the id {image_id} of another image, {usable[image_id].as_posix()}"
            log.add(FaultKind.DUPLICATE_ID, path, detail, image_id)
        elif any(is_control(char) for char in str(path)):
            detail = "its name is not valid UTF-8, or holds a line break or the like: rename it"
            log.add(FaultKind.UNREADABLE_IMAGE, path, detail)
        elif not exists(path):
            log.add(FaultKind.MISSING_IMAGE, path, "does not exist", image_id)
        else:
            usable[image_id] = path
    refs = []
    probes = probe_images(list(usable.values()), progress)
    for (image_id, path), probe in zip(usable.items(), probes, strict=True):
        if isinstance(probe, Probe):
            refs.append(
                ImageRef(image_id, path.as_posix(), probe.width, probe.height, probe.digest)
            )
        else:
            detail = str(probe).removeprefix(f"{path} ")
            log.add(FaultKind.UNREADABLE_IMAGE, path, detail, image_id)
    return refs


def chosen_classes(params: DatasetParams, known: Sequence[str], where: str) -> tuple[str, ...]:
    """``dataset.classes``, or all known ones where it is not set.

    Raises:
        DatasetError: it names a class that the data does not have, or there is none at all.
    """
    if not known:
        raise DatasetError(f"{where} names no class at all: is it the right folder or file?")
    for name in known:
        if any(is_control(char) for char in name):
            raise DatasetError(f"{where} has a class {name!a}: a name is one line of valid text")
    if params.classes is None:
        return tuple(known)
    if not params.classes:
        raise DatasetError("dataset.classes is empty: list at least one class, or leave it out")
    strange = [name for name in params.classes if name not in known]
    if strange:
        raise DatasetError(
            f"dataset.classes names '{strange[0]}', which does not occur in {where}"
            f" (known: {', '.join(known)})"
        )
    return params.classes


def finish(
    params: DatasetParams,
    refs: Sequence[ImageRef],
    annotations: Mapping[str, Annotation],
    known: Sequence[str],
    log: FaultLog,
) -> Dataset:
    """Cleans every image's boxes and puts the dataset together.

    Args:
        params: for the choice of classes.
        refs: the readable images in temporal order; one without an annotation is set aside
            (its fault was logged by the importer).
        annotations: by image id.
        known: classes of the data, in the dataset's order.
        log: faults so far; those of the boxes are added.

    Raises:
        DatasetError: no image is left, or ``dataset.classes`` names an unknown class.
    """
    usable = [ref for ref in refs if ref.id in annotations]
    require_images(usable, params.path, log)
    classes = chosen_classes(params, known, params.path)
    truth = {}
    for ref in usable:
        annotation = annotations[ref.id]
        if annotation.size is not None and annotation.size != (ref.width, ref.height):
            log.add(
                FaultKind.SIZE_MISMATCH,
                annotation.file,
                f"declares {annotation.size[0]}x{annotation.size[1]} pixels,"
                f" but the upright image has {ref.width}x{ref.height}",
                ref.id,
            )
        truth[ref.id] = clean(annotation, ref, log, known=known, wanted=classes)
    return Dataset(
        ImageSet(tuple(usable), classes),
        truth,
        tuple(log.faults),
        dict(sorted(log.left_out.items())),
    )


def require_images(refs: Sequence[ImageRef], where: str, log: FaultLog) -> None:
    """Refuses a dataset without a usable image, giving the first reason.

    Raises:
        DatasetError: ``refs`` is empty.
    """
    if refs:
        return
    reason = ""
    if log.faults:
        first = log.faults[0]
        reason = f"; the first of {len(log.faults)} faults: {first.file} {first.detail}"
    raise DatasetError(f"{where} has no usable image{reason}")
