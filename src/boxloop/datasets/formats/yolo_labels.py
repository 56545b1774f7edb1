"""The label files of a YOLO set: where they are, and what their lines say."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from boxloop.core.types import ImageRef
from boxloop.datasets.annotations import AnnotatedBox, Annotation, read_columns, to_float
from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.datasets.file_listing import composed, index_texts, read_text
from boxloop.errors import DatasetError

IMAGES, LABELS = "images", "labels"

_IMAGE_FOLDERS = ("images", "jpegimages", "image", "imgs", "img")
_LABEL_FOLDERS = ("labels", "Labels", "LABELS", "label")
_NO_LABELS = ("classes", "train", "val", "valid", "validation", "test", "trainval", "notes")
_SLACK = 0.01  # of its diagonal a corner may be off
_UPRIGHT, _ROTATED, _OUTLINE = "upright box", "rotated box", "outline"


class Labels:
    """Label files by image.

    That of ``images/a/b.jpg`` is ``labels/a/b.txt``, as Ultralytics finds it; where there is none,
    it is looked for in folders of similar names, and beside the image.
    """

    def __init__(self, root: Path, names: Iterable[str]) -> None:
        """Index the texts among all files of a set, which are relative to ``root``."""
        self._root = root
        self._texts, self._twins = index_texts(names)
        self._folders: dict[str, list[str]] = {}
        self._real: dict[str, str] = {}

    def find(self, image: str) -> str | None:
        """Return the label file of an image, relative to the root; None where it has none."""
        start, slash, name = image.rpartition("/")
        text = f"{_stem(name)}.txt"
        folders = self.folders(start + slash)
        for folder in folders:
            if (found := self._texts.get(composed(folder + text))) is not None:
                return found
        # In a folder that a link leads to, files are listed under one of their names only.
        usual = folders[0] + text
        return usual if os.path.lexists(self._root / usual) else None

    def places(self, image: str) -> list[str]:
        """Return where the label file of an image may lie, the usual place first."""
        start, slash, name = image.rpartition("/")
        return [f"{folder}{_stem(name)}.txt" for folder in self.folders(start + slash)]

    def folders(self, start: str) -> list[str]:
        """Return the folders that may hold the labels of a folder's images; all with a slash."""
        if start not in self._folders:
            self._folders[start] = list(dict.fromkeys(_label_folders(start)))
        return self._folders[start]

    def others(self, images: Iterable[str], listed: Iterable[str]) -> list[str]:
        """Return the images that are not among the listed ones, by whatever link."""
        every = set(listed)
        rest = sorted(set(images) - every)
        known = {self._identity(image) for image in every} if rest else set()
        return [image for image in rest if self._identity(image) not in known]

    def log_orphans(
        self, images: Iterable[str], found: Iterable[str], log: FaultLog, within: set[str] | None
    ) -> None:
        """Log label files without an image, and those of images that have another one.

        Args:
            images: all images of the set, also those that are not read.
            found: the label files of those that are read.
            log: where they are named.
            within: the folders to look into, each with its slash; None for all.
        """
        rest = {name: key for key, name in self._texts.items()}
        for name in found:
            rest.pop(name, None)
        rest |= dict.fromkeys(self._twins, "")
        if within is not None:
            rest = {n: key for n, key in rest.items() if "".join(n.rpartition("/")[:2]) in within}
        if not rest:
            return
        used = {self._identity(place) for image in images for place in self.places(image)}
        for name, key in sorted(rest.items()):
            if (not key or self._identity(key) not in used) and self._is_label(name):
                log.add(FaultKind.MISSING_IMAGE, self._root / name, "labels no image")

    def _identity(self, name: str) -> tuple[str, str]:
        """Return what two names of one file have in common, whichever links lead to its folder."""
        folder, _, bare = name.rpartition("/")
        if folder not in self._real:
            self._real[folder] = os.path.realpath(self._root / folder)
        return self._real[folder], composed(bare)

    def _is_label(self, name: str) -> bool:
        parts = name.split("/")
        if _stem(parts[-1]).lower() in _NO_LABELS:
            return False
        try:
            lines = [line.split() for line in read_text(self._root / name).splitlines()]
        except DatasetError:
            return LABELS in parts[:-1]
        rows = [line for line in lines if line]
        if not rows:
            return LABELS in parts[:-1]
        return all(len(row) >= 5 and to_float(row[1]) == to_float(row[1]) for row in rows)


def _stem(name: str) -> str:
    bare, dot, _ = name.rpartition(".")
    return bare if dot and bare else name


def _label_folders(start: str) -> Iterator[str]:
    parts = start.split("/")[:-1]
    official = [i for i, part in enumerate(parts) if part == IMAGES]
    similar = [i for i, part in enumerate(parts) if part.lower() in _IMAGE_FOLDERS]
    if official:
        yield "".join(f"{p}/" for p in _replaced(parts, official[-1], LABELS))
    else:
        yield "".join(f"{p}/" for p in parts)
    for label in _LABEL_FOLDERS if similar else ():
        yield "".join(f"{p}/" for p in _replaced(parts, similar[-1], label))
    if official:
        yield "".join(f"{p}/" for p in parts)


def _replaced(parts: Sequence[str], at: int, name: str) -> list[str]:
    return [*parts[:at], name, *parts[at + 1 :]]


def drop_without_labels(
    parts: Mapping[str, Sequence[PurePosixPath]],
    labels: Mapping[PurePosixPath, str | None],
    root: Path,
    log: FaultLog,
) -> set[PurePosixPath]:
    """Return the images that cannot be labeled by the files there are; log them.

    An image without a label file has no objects, but not in a part where no image has one while
    others have; nor does a label file belong to two images.
    """
    dropped: set[PurePosixPath] = set()
    if any(labels.values()):
        for part, images in parts.items():
            if not any(labels[image] for image in images):
                for image in images:
                    detail = f"has no label file, as all {len(images)} images of '{part}'"
                    log.add(FaultKind.MISSING_ANNOTATION, root / image, detail)
                dropped |= set(images)
    owner: dict[str, PurePosixPath] = {}
    for image, file in labels.items():
        if file is not None and image not in dropped and owner.setdefault(file, image) != image:
            detail = f"has no label file of its own: {file} is that of {owner[file]}"
            log.add(FaultKind.MISSING_ANNOTATION, root / image, detail)
            dropped.add(image)
    return dropped


def read_labels(
    files: Sequence[tuple[Path, ImageRef]],
    classes: Mapping[int, str],
    keypoints: int,
    log: FaultLog,
) -> dict[ImageRef, Annotation | None]:
    """Read label files, in which four corners mean the same throughout.

    A rectangle that does not stand upright is a rotated box, and set aside, or by chance the
    outline of an object, of which the enclosing box is taken: as it is an outline where most lines
    that are no upright boxes have another shape. (Boxes cut off by the image are no rectangles.)

    Args:
        files: each label file and the image that it describes.
        classes: name by number.
        keypoints: how many numbers follow the four of each box; where there are none, a line of
            more than five columns is an outline.
        log: where faults are named.

    Returns:
        What is read of each image; None where its file cannot be read, which is logged.
    """
    before = len(log.faults)

    def read(outlines: bool) -> dict[ImageRef, Annotation | None]:
        return {
            image: _read(file, image, classes, keypoints, outlines, log) for file, image in files
        }

    found = read(outlines=False)
    if any(fault.kind is FaultKind.ROTATED_BOX for fault in log.faults[before:]):
        shapes = Counter(
            _shape([to_float(column) for column in columns[1:]], image)
            for file, image in files
            for _, columns in read_columns(file, image.id, FaultLog()) or ()
            if _fits(len(columns), keypoints)
        )
        if shapes[_OUTLINE] > shapes[_ROTATED]:
            del log.faults[before:]
            found = read(outlines=True)
    return found


def _read(
    file: Path,
    image: ImageRef,
    classes: Mapping[int, str],
    keypoints: int,
    outlines: bool,
    log: FaultLog,
) -> Annotation | None:
    lines = read_columns(file, image.id, log)
    if lines is None:
        return None
    boxes: list[AnnotatedBox] = []
    rejected: list[str | None] = []
    for place, columns in lines:
        numbers = [to_float(column) for column in columns]
        label = classes.get(int(numbers[0])) if numbers[0].is_integer() else None
        if not _fits(len(columns), keypoints):
            rejected.append(None)  # where columns are missing, the first one may be any
            log.add(FaultKind.MALFORMED_ANNOTATION, file, f"{place}: {_misfit(columns)}", image.id)
        elif label is None:
            rejected.append(None)
            detail = f"{place}: has no known class {columns[0]!r} (there are {len(classes)})"
            log.add(FaultKind.UNKNOWN_CLASS, file, detail, image.id)
        elif not keypoints and not outlines and _shape(numbers[1:], image) == _ROTATED:
            rejected.append(label)
            detail = f"{place} ({label}): is a rotated box, and boxloop's boxes are upright"
            log.add(FaultKind.ROTATED_BOX, file, detail, image.id)
        else:
            x1, y1, x2, y2 = _corners(numbers[1:5] if keypoints else numbers[1:])
            corners = (x1 * image.width, y1 * image.height, x2 * image.width, y2 * image.height)
            boxes.append(AnnotatedBox(label, corners, place, " ".join(columns[1:])))
    return Annotation(file, boxes, relative=True, rejected=rejected)


def _fits(columns: int, keypoints: int) -> bool:
    if keypoints:
        return columns in (5, 5 + keypoints)
    return columns == 5 or (columns >= 7 and columns % 2 == 1)


def _misfit(columns: Sequence[str]) -> str:
    text = f"has {len(columns)} columns instead of 5"
    if len(columns) == 1 and "," in columns[0]:
        return f"{text}: blanks separate them, not commas"
    if len(columns) == 6:
        return f"{text}: take out the score"
    return f"{text}; poses need kpt_shape in data.yaml" if len(columns) > 6 else text


def _shape(numbers: Sequence[float], image: ImageRef) -> str:
    """Return which shape corners have, where they are four: an upright box, a rotated one, ..."""
    if len(numbers) != 8:
        return _UPRIGHT if len(numbers) == 4 else _OUTLINE
    corners = np.reshape(numbers, (4, 2)) * (image.width, image.height)
    if not np.isfinite(corners).all():
        return _OUTLINE
    diagonals = corners[2] - corners[0], corners[3] - corners[1]
    slack = _SLACK * max(math.hypot(*diagonal) for diagonal in diagonals)
    middles = (corners[0] + corners[2]) / 2 - (corners[1] + corners[3]) / 2
    lengths = math.hypot(*diagonals[0]) - math.hypot(*diagonals[1])
    if math.hypot(*middles) > slack or abs(lengths) > slack:
        return _OUTLINE
    sides = corners[1] - corners[0], corners[3] - corners[0]
    thin = min(math.hypot(*side) for side in sides) <= slack
    return _UPRIGHT if thin or min(abs(sides[0])) <= slack else _ROTATED


def _corners(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    """Return x1, y1, x2, y2 of a box (cx, cy, w, h) or outline (x, y, ...)."""
    if len(numbers) == 4:
        cx, cy, width, height = numbers
        return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2
    xs, ys = numbers[0::2], numbers[1::2]
    if any(value != value for value in numbers):  # min and max would overlook NaN
        return (float("nan"),) * 4
    return min(xs), min(ys), max(xs), max(ys)
