"""Build a dataset of readable images and valid boxes; log its faults.

A fault of one image or one box is logged; what makes the whole set unusable is one
:class:`~boxloop.errors.DatasetError`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from boxloop.core.box_columns import split_boxes
from boxloop.core.box_validation import REPAIR, Defect, Inspection, inspect
from boxloop.core.types import Boxes, ImageRef, ImageSet
from boxloop.datasets.annotations import AnnotatedBox, Annotation
from boxloop.datasets.class_names import check_class_names
from boxloop.datasets.exif import turn_boxes
from boxloop.datasets.faults import Fault, FaultKind, FaultLog, has_control
from boxloop.datasets.file_listing import Spellings, describe_irregular, exists, regular
from boxloop.datasets.images import Probe, Progress, probe_images
from boxloop.errors import DatasetError
from boxloop.params import DatasetParams

_FAULTS = {
    Defect.NOT_FINITE: (FaultKind.NOT_A_NUMBER, "is not four finite numbers"),
    Defect.INVERTED: (
        FaultKind.MALFORMED_ANNOTATION,
        "is inverted: its end lies before its start",
    ),
    Defect.TOO_SMALL: (FaultKind.ZERO_SIZE_BOX, "has no width or no height"),
    Defect.OUTSIDE: (FaultKind.BOX_OUTSIDE_IMAGE, "lies outside the image ({size})"),
    Defect.ON_RIM: (FaultKind.BOX_OUTSIDE_IMAGE, "lies outside the image ({size})"),
    Defect.OVERHANG: (FaultKind.BOX_CLIPPED, "reaches {overhang:g} px beyond the image ({size})"),
}
"""The kind of fault, and its words, for each defect."""


_TOGETHER = 1000
"""Images whose boxes are checked together: NumPy's calls take the time, not its numbers."""


@dataclass(frozen=True)
class Dataset:
    """A dataset as the loop uses it.

    Attributes:
        images: every usable image, in temporal order, with the classes.
        truth: the boxes of every image (an image may have none); None without annotations.
        faults: what was dropped or repaired.
        left_out: how many of what were left out on purpose, which is no fault.
    """

    images: ImageSet
    truth: dict[str, Boxes] | None
    faults: tuple[Fault, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


def clean(
    annotations: Sequence[tuple[ImageRef, Annotation]],
    log: FaultLog,
    *,
    known: Collection[str],
    wanted: Collection[str],
) -> dict[str, Boxes]:
    """Return the valid boxes by image; log the others, and count those of unwanted classes.

    An image that its annotation declares another size of is logged, too. One whose every box is
    dropped is not in the result: what it shows is unknown, which is not the same as nothing.
    """
    result: dict[str, Boxes] = {}
    for start in range(0, len(annotations), _TOGETHER):
        result |= _clean_some(annotations[start : start + _TOGETHER], log, known, wanted)
    return result


def _clean_some(
    annotations: Sequence[tuple[ImageRef, Annotation]],
    log: FaultLog,
    known: Collection[str],
    wanted: Collection[str],
) -> dict[str, Boxes]:
    rows: list[AnnotatedBox] = []
    places: list[tuple[int, int, int]] = []  # of each row: its image's size, its first pixel
    sizes = []
    for image, annotation in annotations:
        boxes = list(annotation.boxes)
        candidates = [b for b in boxes if b.label in wanted or b.label not in known]
        if len(candidates) < len(boxes):
            what = "boxes of classes that dataset.classes does not list"
            log.left_out[what] += len(boxes) - len(candidates)
        rows += candidates
        sizes.append(len(candidates))
        places += [(image.width, image.height, annotation.first_pixel)] * len(candidates)
    width, height, first_pixel = np.array(places, np.float64).reshape(-1, 3).T
    corners = [box.corners for box in rows]
    found = inspect(corners, width, height, REPAIR, first_pixel=first_pixel)
    usable, counts, begin = found.usable.tolist(), [], 0
    unknown: list[str] = []
    for (image, annotation), size in zip(annotations, sizes, strict=True):
        _check_size(annotation, image, log)
        for i in range(begin, begin + size):
            box, is_known = rows[i], rows[i].label in known
            usable[i] = usable[i] and is_known
            if found.defects[i] is not None or not is_known:
                kind, why = _judge(found, i, image) if is_known else _unknown(known)
                detail = f"{box.place} ({box.label}): {box.said} {why}"
                log.add(kind, annotation.file, detail, image.id)
        counts.append(sum(usable[begin : begin + size]))
        begin += size
        if not counts[-1] and (rejected := size + len(annotation.rejected)):
            detail = f"none of its boxes can be used ({rejected}), so it is not known what it shows"
            log.add(FaultKind.NO_USABLE_BOX, image.path, detail, image.id)
            unknown.append(image.id)
    labels = [box.label for box, is_usable in zip(rows, usable, strict=True) if is_usable]
    image_ids = [image.id for image, _ in annotations]
    boxes_of = split_boxes(image_ids, counts, found.clipped[np.array(usable, bool)], labels)
    for image_id in unknown:
        del boxes_of[image_id]
    return boxes_of


def _check_size(annotation: Annotation, image: ImageRef, log: FaultLog) -> None:
    if annotation.size is not None and annotation.size != (image.width, image.height):
        log.add(
            FaultKind.SIZE_MISMATCH,
            annotation.file,
            f"declares {annotation.size[0]}x{annotation.size[1]} pixels,"
            f" but the upright image has {image.width}x{image.height}",
            image.id,
        )


def _judge(found: Inspection, i: int, image: ImageRef) -> tuple[FaultKind, str]:
    """Return the kind of a box's defect, and its words."""
    defect = found.defects[i]
    assert defect is not None
    kind, words = _FAULTS[defect]
    size = f"{image.width}x{image.height}"
    return kind, words.format(size=size, overhang=found.overhang[i].max())


def _unknown(known: Collection[str]) -> tuple[FaultKind, str]:
    return FaultKind.UNKNOWN_CLASS, f"is of a class that is none of {', '.join(known)}"


def probe_refs(
    candidates: Sequence[tuple[str, Path]], log: FaultLog, progress: Progress | None = None
) -> list[ImageRef]:
    """Decode the images of ``(id, path)`` pairs; log those that cannot be used.

    Dropped are a missing file, a damaged one, one whose name is not valid Unicode or not one line,
    and a second one of the same id. Files of the same content are named and kept.
    """
    usable: dict[str, Path] = {}
    spellings = Spellings()
    for image_id, path in candidates:
        if image_id in usable:
            detail = f"has the id {image_id} of another image, {usable[image_id].as_posix()}"
            log.add(FaultKind.DUPLICATE_ID, path, detail, image_id)
        elif has_control(str(path)):
            detail = "its name is not valid UTF-8, or holds a line break or the like: rename it"
            log.add(FaultKind.UNREADABLE_IMAGE, path, detail)
        elif regular(path) or regular(path := spellings.find(path)):
            usable[image_id] = path
        else:
            kind = FaultKind.UNREADABLE_IMAGE if exists(path) else FaultKind.MISSING_IMAGE
            log.add(kind, path, describe_irregular(path), image_id)
    refs = []
    probes = probe_images(list(usable.values()), progress)
    for (image_id, path), probe in zip(usable.items(), probes, strict=True):
        if isinstance(probe, Probe):
            place = path.as_posix()
            refs.append(ImageRef(image_id, place, probe.width, probe.height, probe.digest))
            if probe.orientation != 1:
                log.turned[image_id] = probe.orientation
            if probe.more:
                detail = (
                    "holds several pages or frames: those after the first need files of their own"
                )
                log.add(FaultKind.FURTHER_PAGES, path, detail, image_id)
        else:
            detail = str(probe).removeprefix(f"{path} ")
            log.add(FaultKind.UNREADABLE_IMAGE, path, detail, image_id)
    _name_identical(refs, log)
    return refs


def _name_identical(refs: Sequence[ImageRef], log: FaultLog) -> None:
    first: dict[str, ImageRef] = {}
    for ref in refs:
        other = first.setdefault(ref.digest, ref)
        if other is not ref:
            log.add(
                FaultKind.IDENTICAL_IMAGE, ref.path, f"is the same file as {other.path}", ref.id
            )


def select_classes(params: DatasetParams, known: Sequence[str]) -> tuple[str, ...]:
    """Return ``dataset.classes``, or all known classes where it is not set.

    Raises:
        DatasetError: it names a class that the data does not have, or there is none at all.
    """
    where = params.path
    if not known:
        raise DatasetError(f"{where} names no class at all: is it the right folder or file?")
    check_class_names(known, where)
    if params.classes is None:
        return tuple(known)
    if not params.classes:
        raise DatasetError("dataset.classes is empty: list at least one class, or leave it out")
    strange = [name for name in params.classes if name not in known]
    if strange:
        raise DatasetError(
            f"dataset.classes names {strange[0]!r}, which does not occur in {where}"
            f" (known: {', '.join(known)})"
        )
    return params.classes


def build_dataset(
    params: DatasetParams,
    refs: Sequence[ImageRef],
    annotations: Mapping[str, Annotation | None],
    known: Sequence[str],
    log: FaultLog,
) -> Dataset:
    """Build the dataset of readable images and cleaned boxes.

    Images and ``known`` classes are in the dataset's order. An image without an annotation is
    dropped, as the reader has logged its fault.

    Raises:
        DatasetError: no image is left, ``dataset.classes`` names an unknown class, or it is not
            known for which pixels boxes are, see :mod:`.exif`.
    """
    usable = {ref: a for ref in refs if (a := annotations.get(ref.id)) is not None}
    require_images(list(usable), params.path, log)
    classes = select_classes(params, known)
    if params.classes is not None:
        # What is wrong with boxes of other classes says nothing of these.
        usable = {ref: annotation.of_classes(classes) for ref, annotation in usable.items()}
    upright = turn_boxes(usable, log.turned, params.exif)
    truth = clean(list(upright.items()), log, known=known, wanted=classes)
    images = [image for image in usable if image.id in truth]
    require_images(images, params.path, log)
    left_out = dict(sorted(log.left_out.items()))
    return Dataset(ImageSet(tuple(images), classes), truth, tuple(log.faults), left_out)


def require_images(refs: Sequence[ImageRef], where: str, log: FaultLog) -> None:
    """Raise a DatasetError with the first fault where there is no usable image."""
    if refs:
        return
    reason = ""
    if log.faults:
        first = log.faults[0]
        reason = f"; the first of {len(log.faults)} faults: {first.file} {first.detail}"
    raise DatasetError(f"{where} has no usable image{reason}")
