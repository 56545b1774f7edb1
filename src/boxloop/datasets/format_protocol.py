"""The interface of a dataset format: a reader and, optionally, a writer.

A format is a module (or any object) that is registered in :data:`boxloop.params.registry.FORMATS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from boxloop.core.types import BoxesByImage, ImageRef
from boxloop.datasets.cleaning import Dataset
from boxloop.datasets.file_listing import within
from boxloop.datasets.images import Progress
from boxloop.errors import DatasetError
from boxloop.params import DatasetParams
from boxloop.params.registry import FORMATS


class Format(Protocol):
    """A format that can be read.

    Attributes:
        KEYS: the optional keys of ``dataset`` that it understands: split, annotations, images.
    """

    KEYS: Sequence[str]

    def load(self, params: DatasetParams, root: Path, progress: Progress | None) -> Dataset:
        """Read the dataset at ``root``; its faults are logged, see :mod:`.cleaning`.

        Raises:
            DatasetError: it cannot be used.
        """
        ...


class WritableFormat(Format, Protocol):
    """A format that labels can be exported to.

    Attributes:
        IMAGES: name of its folder of images.
        SPLITS: whether it writes the sides of a split apart; no, where it is not there.
    """

    IMAGES: str
    SPLITS: bool

    def write(self, folder: Path, content: ExportContent) -> None:
        """Write everything but the images into an empty ``folder``."""
        ...


def writable_formats() -> dict[str, WritableFormat]:
    """Return the formats that labels can be exported to, by name."""
    formats: dict[str, Any] = {name: FORMATS.get(name) for name in sorted(FORMATS)}
    return {name: format_ for name, format_ in formats.items() if hasattr(format_, "write")}


@dataclass(frozen=True)
class ExportContent:
    """The content of an export, whatever its format.

    Attributes:
        classes: in the campaign's order; all of them, used or not.
        images: in the order of labeling.
        names: file name by image id, below the folder of images.
        boxes: by image id; scored where they are proposals.
        about: one line that says what it is.
        tag: of the file of proposals; None where the boxes are labels.
        incomplete: classes that an image may hold without a box, by image id.
        sides: ids by side, "train" and "val", each image on one of them; none without a split.
    """

    classes: tuple[str, ...]
    images: tuple[ImageRef, ...]
    names: dict[str, PurePosixPath]
    boxes: BoxesByImage
    about: str
    tag: str | None = None
    incomplete: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def side(self, name: str) -> ExportContent:
        """Return the part of it that is on one side."""
        chosen = set(self.sides[name])
        return replace(self, images=tuple(i for i in self.images if i.id in chosen), sides={})


def file_names(images: Sequence[ImageRef]) -> dict[str, PurePosixPath]:
    """Name each exported image by its id and its file's suffix.

    So a reader finds the same ids, whatever folders the images come from.

    Raises:
        DatasetError: an id cannot be a file name.
    """
    names = {}
    for image in images:
        name = PurePosixPath(image.id + PurePosixPath(image.path).suffix)
        # Judged as text: an id with ".." or a leading "/" would lead to another place.
        if not name.name or within(Path("x"), str(name)) != Path("x") / name:
            raise DatasetError(f"image {image.id!r} has an id that cannot be a file name")
        names[image.id] = name
    if len(set(names.values())) < len(names):
        raise DatasetError("two images would have the same file name: their ids differ too little")
    return names
