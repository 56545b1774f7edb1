"""The PASCAL VOC layout: ``Annotations/``, ``JPEGImages/``, ``ImageSets/Main/<split>.txt``.

Pixels are counted from 1 and a box includes its last pixel (VOC2007 devkit, section on
annotations), so ``xmin=1, xmax=10`` becomes the exclusive edges 0 and 10. Sets that count from 0
are off by a pixel at most, which is clipped without a word. Difficult objects are included.

With ``dataset.split`` the images and their temporal order are those of the split file; a file of
one class (``aeroplane_train.txt``) gives the images that it does not mark with -1. Without it, they
are all images that have an annotation, in natural order.
"""

from __future__ import annotations

import posixpath
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from defusedxml import ElementTree

from boxloop.datasets.cleaning import Annotation, Dataset, RawBox, finish, probe_refs, to_float
from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.datasets.file_listing import (
    list_files,
    list_images,
    natural_key,
    read_text,
    require_folder,
    within,
)
from boxloop.datasets.images import Progress
from boxloop.errors import DatasetError
from boxloop.params import DatasetParams

KEYS: tuple[str, ...] = ("split",)
"""The optional keys of ``dataset`` that this format understands."""

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_EDGES = ("xmin", "ymin", "xmax", "ymax")


def load(params: DatasetParams, root: Path, progress: Progress | None = None) -> Dataset:
    """Reads a VOC folder, or a folder that holds exactly one (``VOCdevkit/VOC2007``).

    Raises:
        DatasetError: the layout is not VOC's, the split does not exist, no image is usable, or a
            class occurs nowhere.
    """
    base = _find_base(require_folder(root))
    images = _by_id(list_images(base / "JPEGImages"))
    files = _by_id(list_files(base / "Annotations", (".xml",)))
    log = FaultLog()
    named = _split_ids(base, params.split, log) if params.split is not None else None
    if named is None:
        named = list(files)
        bare = len(images.keys() - files.keys())
        if bare:
            log.left_out["images without an annotation"] = bare
    elements: dict[str, tuple[Element, Path]] = {}
    candidates = []
    for image_id in named:
        if image_id not in files:
            file = base / "Annotations" / f"{image_id}.xml"
            detail = f"does not exist, but the image is listed in {params.split}.txt"
            log.add(FaultKind.MISSING_ANNOTATION, file, detail, image_id)
            continue
        file = base / "Annotations" / files[image_id]
        element = _parse(file, image_id, log)
        if element is None:
            continue
        image = images.get(image_id) or _by_filename(element, base, images, file, image_id, log)
        if image is not None:
            elements[image_id] = element, file
            candidates.append((image_id, base / "JPEGImages" / image))
    refs = probe_refs(candidates, log, progress)
    annotations = {ref.id: _read(*elements.pop(ref.id), ref.id, log) for ref in refs}
    names = {row.label for annotation in annotations.values() for row in annotation.rows}
    return finish(params, refs, annotations, sorted(names), log)


def _find_base(root: Path) -> Path:
    if (root / "JPEGImages").is_dir():
        base = root
    else:
        nested = sorted(
            {path.parent for depth in ("*", "*/*") for path in root.glob(f"{depth}/JPEGImages")}
        )
        if len(nested) > 1:
            raise DatasetError(
                f"{root} holds several VOC folders: set dataset.path to one of"
                f" {', '.join(path.as_posix() for path in nested)}"
            )
        if not nested:
            raise DatasetError(
                f"{root} has no folder 'JPEGImages': dataset.path must hold Annotations and"
                " JPEGImages"
            )
        base = nested[0]
    if not (base / "Annotations").is_dir():
        raise DatasetError(
            f"{base} has no folder 'Annotations': use format 'folder' for images without any"
        )
    return base


def _by_id(paths: list[PurePosixPath]) -> dict[str, PurePosixPath]:
    """Files by their path without the ending; of two with the same id (a.jpg, a.png) the first."""
    index: dict[str, PurePosixPath] = {}
    for path in paths:
        index.setdefault(path.with_suffix("").as_posix(), path)
    return index


def _split_ids(base: Path, split: str, log: FaultLog) -> list[str]:
    file = base / "ImageSets" / "Main" / f"{split}.txt"
    if not file.is_file():
        known = sorted((path.stem for path in file.parent.glob("*.txt")), key=natural_key)
        plain = [name for name in known if "_" not in name] or known
        hint = f"known: {', '.join(plain[:10])}" if known else f"{file.parent} has no .txt file"
        raise DatasetError(f"dataset.split '{split}': {file} does not exist ({hint})")
    lines = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    columns = [line.rsplit(None, 1) for line in lines]
    # A file of one class marks every image; ids with blanks in them are left alone elsewhere.
    if lines and all(len(column) == 2 and column[1] in ("-1", "0", "1") for column in columns):
        lines = [image_id for image_id, flag in columns if flag != "-1"]
    if not lines:
        raise DatasetError(f"{file} names no image")
    ids: dict[str, None] = {}
    for number, image_id in enumerate(lines, start=1):
        if image_id in ids:
            log.add(FaultKind.DUPLICATE_ID, file, f"lists {image_id} more than once", image_id)
        elif within(base, image_id) is None:
            detail = f"entry {number}: '{image_id}' leads outside the dataset's folder"
            log.add(FaultKind.PATH_OUTSIDE_DATASET, file, detail)
        else:
            ids[image_id] = None
    return list(ids)


def _parse(file: Path, image_id: str, log: FaultLog) -> Element | None:
    """The root element; None where the file is not to be used, which is logged."""
    try:
        element: Element = ElementTree.fromstring(file.read_bytes())
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    except (SyntaxError, ValueError, LookupError) as error:
        # Entities and other means to blow up a parser are refused by defusedxml (a ValueError).
        why = f"is not XML that boxloop reads: {' '.join(str(error).split())}"
    else:
        if element.tag == "annotation":
            return element
        why = f"is not a VOC annotation: its root is <{element.tag}>"
    log.add(FaultKind.MALFORMED_ANNOTATION, file, why, image_id)
    return None


def _by_filename(
    element: Element,
    base: Path,
    images: dict[str, PurePosixPath],
    file: Path,
    image_id: str,
    log: FaultLog,
) -> PurePosixPath | None:
    """The image that ``<filename>`` names, for sets whose annotations are named differently."""
    name = (element.findtext("filename") or "").strip()
    if name and within(base / "JPEGImages", name) is None:
        detail = f"<filename> '{name}' leads outside the dataset's folder"
        log.add(FaultKind.PATH_OUTSIDE_DATASET, file, detail, image_id)
        return None
    image = images.get(posixpath.splitext(name)[0])
    if image is None:
        detail = f"describes an image {image_id} that JPEGImages does not hold"
        log.add(FaultKind.MISSING_IMAGE, file, detail, image_id)
    return image


def _read(element: Element, file: Path, image_id: str, log: FaultLog) -> Annotation:
    rows = []
    for number, item in enumerate(element.findall("object"), start=1):
        label = (item.findtext("name") or "").strip()
        bounds = item.find("bndbox")
        if not label or bounds is None:
            missing = "<name>" if not label else "<bndbox>"
            detail = f"object {number}: has no {missing}"
            log.add(FaultKind.MALFORMED_ANNOTATION, file, detail, image_id)
            continue
        texts = [(bounds.findtext(edge) or "").strip() for edge in _EDGES]
        x1, y1, x2, y2 = (to_float(text) for text in texts)
        said = " ".join(f"{edge}={text}" for edge, text in zip(_EDGES, texts, strict=True))
        rows.append(RawBox(label, (x1, y1, x2, y2), f"object {number}", said))
    width = to_float(element.findtext("size/width"))
    height = to_float(element.findtext("size/height"))
    size = (int(width), int(height)) if 0 < width < 1e9 and 0 < height < 1e9 else None
    return Annotation(file, rows, size, first_pixel=1)
