"""Where a VOC set keeps its images and annotations, and which belong together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.datasets.file_listing import composed, walk, within
from boxloop.datasets.images import SUFFIXES
from boxloop.errors import DatasetError

IMAGES, ANNOTATIONS = "JPEGImages", "Annotations"

_IMAGE_NAMES = ("jpegimages", "images", "image", "imgs", "img", "pictures", "photos")
_ANNOTATION_NAMES = ("annotations", "annotation", "xmls", "xml", "labels", "label")


@dataclass(frozen=True)
class Folders:
    """The folders of a VOC set.

    Attributes:
        base: the set's own folder, which may hold ``ImageSets``.
        images: that of the images.
        annotations: that of the XML files, which may be the same.
    """

    base: Path
    images: Path
    annotations: Path


def find_folders(root: Path) -> Folders:
    """Find the folders of a set in ``root``, or of the only set below it.

    Folders of other names than VOC's are taken, too, and images and XML files side by side, as
    LabelImg saves them. Where no folder of XML files has a usual name, and none lies beside its
    image, the folder that holds most of them is taken.

    Raises:
        DatasetError: there is no such set, or several.
    """
    bases = {path.parent for depth in ("*", "*/*") for path in root.glob(f"{depth}/{IMAGES}")}
    if (root / IMAGES).is_dir():
        bases = {root}
    if len(bases) > 1:
        raise DatasetError(
            f"{root} holds several VOC folders: set dataset.path to one of"
            f" {', '.join(path.as_posix() for path in sorted(bases))}"
        )
    base = next(iter(bases), root)
    with os.scandir(base) as entries:
        folders = sorted(Path(entry.path) for entry in entries if entry.is_dir())
    images = next(_named(folders, _IMAGE_NAMES), base)
    annotations = next(filter(_count_xml, _named(folders, _ANNOTATION_NAMES)), None)
    if annotations is None:
        alone = images == base or _side_by_side(images)
        most = images if alone else max(folders, key=_count_xml)
        annotations = most if _count_xml(most) else None
    if annotations is None and (base / ANNOTATIONS).is_dir():
        annotations = base / ANNOTATIONS  # an empty one
    if annotations is not None:
        return Folders(base, images, annotations)
    if images == base:
        raise DatasetError(
            f"{root} has no folder '{IMAGES}': dataset.path must hold {ANNOTATIONS} and {IMAGES},"
            " or images and XML files side by side"
        )
    raise DatasetError(
        f"{base} has no folder '{ANNOTATIONS}': use format 'folder' for images without any"
    )


def _named(folders: Sequence[Path], names: Sequence[str]) -> Iterator[Path]:
    """Yield the folders of these names, whatever their case, in the order of the names."""
    for name in names:
        yield from (folder for folder in folders if folder.name.lower() == name)


def _count_xml(folder: Path) -> int:
    return sum(name.lower().endswith(".xml") for name in walk(folder))


def _side_by_side(folder: Path) -> bool:
    """Whether an XML file has the name of a picture beside it."""
    names = set(walk(folder))
    stems = {_stem(PurePosixPath(name)) for name in names if name.lower().endswith(SUFFIXES)}
    return any(name.lower().endswith(".xml") and composed(name[:-4]) in stems for name in names)


class Pairs:
    """Which image belongs to which annotation; each to one at most."""

    def __init__(
        self,
        folders: Folders,
        images: Sequence[PurePosixPath],
        annotated: Iterable[str],
        log: FaultLog,
    ) -> None:
        """Index the images, which are naturally sorted, by path and by name.

        ``annotated`` are the paths of the annotation files without their suffix.
        """
        self._folders, self._log, self._images = folders, log, images
        self._annotated = {composed(stem) for stem in annotated}
        self._whole = {composed(image.as_posix()): image for image in images}
        self._by_path: dict[str, list[PurePosixPath]] = {}
        self._by_name: dict[str, list[PurePosixPath]] = {}
        for image in images:
            stem = _stem(image)
            self._by_path.setdefault(stem, []).append(image)
            self._by_name.setdefault(stem.rpartition("/")[2], []).append(image)
        self._owner: dict[PurePosixPath, Path] = {}
        self._rivals: set[PurePosixPath] = set()

    def take(self, image_id: str, filename: str, file: Path) -> PurePosixPath | None:
        """Return the image that an annotation describes; None where there is none, which is logged.

        Args:
            image_id: path of the annotation file without its suffix.
            filename: the image's name that it gives.
            file: the annotation file.
        """
        name = composed(PurePosixPath(filename.replace("\\", "/")).name)
        found = self._find(image_id, filename, name)
        if not found:
            if filename and within(self._folders.images, filename) is None:
                kind = FaultKind.PATH_OUTSIDE_DATASET
                detail = f"<filename> '{filename}' leads outside the dataset's folder"
            else:
                kind, where = FaultKind.MISSING_IMAGE, self._folders.images.name
                detail = f"describes an image {image_id} that {where} does not hold"
            self._log.add(kind, file, detail, image_id)
            return None
        exact = [image for image in found if composed(image.name) == name]
        image = (exact or found)[0]
        if image in self._owner:
            detail = f"describes {image}, as {self._owner[image].name} does"
            self._log.add(FaultKind.DUPLICATE_ID, file, detail, image_id)
            return None
        self._owner[image] = file
        for other in found:
            own = (
                composed(other.as_posix()) in self._annotated
            )  # as "a.png.xml", beside "a.jpg.xml"
            if other != image and other not in self._rivals and not own:
                why = "names" if exact else "does not tell it from"
                detail = f"has no annotation of its own: {file.name} {why} {image.name}"
                self._log.add(FaultKind.MISSING_ANNOTATION, self._folders.images / other, detail)
                self._rivals.add(other)
        return image

    def _find(self, image_id: str, filename: str, name: str) -> list[PurePosixPath]:
        """Find images by the annotation's own name, else by the one that it gives."""
        whole = self._whole.get(composed(image_id))  # of "a.png.xml", beside "a.jpg.xml"
        if whole is not None and composed(whole.name) == name:
            return [whole]
        if own := self._by_path.get(composed(image_id)):
            return own
        stem = _stem(PurePosixPath(name))
        beside = (PurePosixPath(image_id).parent / stem).as_posix()
        for table, key in (
            (self._by_path, _stem(PurePosixPath(filename))),
            (self._by_path, composed(beside)),
            (self._by_name, stem),
            (self._by_name, composed(PurePosixPath(image_id).name)),
        ):
            found = [i for i in table.get(key, []) if _stem(i) not in self._annotated]
            if len({image.parent for image in found}) == 1:
                return found
        return []

    def holds(self, image_id: str) -> bool:
        """Return whether there is an image of this name, without its suffix."""
        return composed(image_id) in self._by_path

    def take_bare(self, image_id: str) -> PurePosixPath | None:
        """Return the image of this name, which no annotation describes; None where there is none.

        Args:
            image_id: path of the image without its suffix.
        """
        own = [i for i in self._by_path.get(composed(image_id), []) if i not in self._owner]
        return own[0] if own and composed(image_id) not in self._annotated else None

    def bare(self) -> list[PurePosixPath]:
        """Return the images that no annotation describes, in their order."""
        return [
            image
            for image in self._images
            if image not in self._owner
            and image not in self._rivals
            and _stem(image) not in self._annotated
        ]


def _stem(path: PurePosixPath) -> str:
    """Return a path without an image's suffix, its letters composed."""
    text = composed(path.as_posix())
    return text.rpartition(".")[0] if text.lower().endswith(SUFFIXES) else text
