"""The PASCAL VOC layout: ``Annotations/``, ``JPEGImages/``, ``ImageSets/Main/<split>.txt``.

Pixels are counted from 1 and a box includes its last pixel (VOC2007 devkit, section on
annotations), so ``xmin=1, xmax=10`` becomes the exclusive edges 0 and 10. Sets that count from 0
are off by a pixel at most, which is clipped without a word. Difficult objects are included.

With ``dataset.split`` the images and their temporal order are those of the split file; a file of
one class (``aeroplane_train.txt``) gives the images that it does not mark with -1. Without it, they
are all images that have an annotation, in natural order.

An export rounds edges to whole pixels, by half a pixel at most. A box that would be less than two
pixels wide or high becomes two, because many readers (boxloop's too) take ``xmin = xmax`` for
nothing.
"""

from __future__ import annotations

import math
import posixpath
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from defusedxml.ElementTree import fromstring

from boxloop.core.types import Boxes, ImageRef
from boxloop.datasets.annotations import AnnotatedBox, Annotation, to_float, to_size
from boxloop.datasets.cleaning import Dataset, build_dataset, probe_refs
from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.datasets.file_listing import (
    list_files,
    list_images,
    natural_key,
    read_text,
    require_folder,
    within,
)
from boxloop.datasets.format_protocol import ExportContent
from boxloop.datasets.images import Progress
from boxloop.errors import DatasetError
from boxloop.files import MOST_TEXT, read_bytes, write_text
from boxloop.params import DatasetParams

KEYS: tuple[str, ...] = ("split",)

IMAGES = "JPEGImages"

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_LEAST_SIDE = 2  # pixels, of an exported box


def load(params: DatasetParams, root: Path, progress: Progress | None = None) -> Dataset:
    """Read a VOC folder, or a folder that holds exactly one (``VOCdevkit/VOC2007``).

    Raises:
        DatasetError: the layout is not VOC's, the split does not exist, no image is usable, or a
            class occurs nowhere.
    """
    base = _find_base(require_folder(root))
    images = _index(list_images(base / IMAGES))
    files = _index(list_files(base / "Annotations", (".xml",)))
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
            candidates.append((image_id, base / IMAGES / image))
    refs = probe_refs(candidates, log, progress)
    annotations = {ref.id: _read(*elements.pop(ref.id), ref.id, log) for ref in refs}
    names = {box.label for annotation in annotations.values() for box in annotation.boxes}
    return build_dataset(params, refs, annotations, sorted(names), log)


def _find_base(root: Path) -> Path:
    bases = {path.parent for depth in ("*", "*/*") for path in root.glob(f"{depth}/{IMAGES}")}
    if (root / IMAGES).is_dir():
        bases = {root}
    if len(bases) > 1:
        raise DatasetError(
            f"{root} holds several VOC folders: set dataset.path to one of"
            f" {', '.join(path.as_posix() for path in sorted(bases))}"
        )
    if not bases:
        raise DatasetError(
            f"{root} has no folder 'JPEGImages': dataset.path must hold Annotations and JPEGImages"
        )
    (base,) = bases
    if not (base / "Annotations").is_dir():
        raise DatasetError(
            f"{base} has no folder 'Annotations': use format 'folder' for images without any"
        )
    return base


def _index(paths: list[PurePosixPath]) -> dict[str, PurePosixPath]:
    """Index files by path without suffix; keep the first of equal ones."""
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
    """Return the root element; log any other file than a VOC annotation."""
    try:
        element: Element = fromstring(read_bytes(file, 16 * MOST_TEXT))
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    except (SyntaxError, ValueError, LookupError, RecursionError) as error:
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
    """Find the image by ``<filename>``, where the annotation's own name differs."""
    name = (element.findtext("filename") or "").strip()
    if name and within(base / IMAGES, name) is None:
        detail = f"<filename> '{name}' leads outside the dataset's folder"
        log.add(FaultKind.PATH_OUTSIDE_DATASET, file, detail, image_id)
        return None
    image = images.get(posixpath.splitext(name)[0])
    if image is None:
        detail = f"describes an image {image_id} that JPEGImages does not hold"
        log.add(FaultKind.MISSING_IMAGE, file, detail, image_id)
    return image


def _read(element: Element, file: Path, image_id: str, log: FaultLog) -> Annotation:
    boxes = []
    for number, item in enumerate(element.findall("object"), start=1):
        label = (item.findtext("name") or "").strip()
        bounds = item.find("bndbox")
        several = next((tag for tag in ("name", "bndbox") if len(item.findall(tag)) > 1), None)
        if not label or bounds is None or several is not None:
            missing = "<name>" if not label else "<bndbox>"
            said = f"has no {missing}" if several is None else f"has more than one <{several}>"
            detail = f"object {number}: {said}"
            log.add(FaultKind.MALFORMED_ANNOTATION, file, detail, image_id)
            continue
        texts = [(bounds.findtext(edge) or "").strip() for edge in _EDGES]
        x1, y1, x2, y2 = (to_float(text) for text in texts)
        said = " ".join(f"{edge}={text}" for edge, text in zip(_EDGES, texts, strict=True))
        boxes.append(AnnotatedBox(label, (x1, y1, x2, y2), f"object {number}", said))
    size = to_size(element.findtext("size/width"), element.findtext("size/height"))
    return Annotation(file, boxes, size, first_pixel=1)


# --- export ---------------------------------------------------------------------------------------


def write(folder: Path, content: ExportContent) -> None:
    """Write one XML file per image, and the list of the images."""
    for image in content.images:
        path = folder / "Annotations" / f"{image.id}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        tree = ElementTree(_to_xml(image, content.names[image.id], content.boxes[image.id]))
        tree.write(path, encoding="utf-8", xml_declaration=True)
    listing = "".join(f"{image.id}\n" for image in content.images)
    write_text(folder / "ImageSets" / "Main" / "trainval.txt", listing)


def _to_xml(image: ImageRef, name: PurePosixPath, boxes: Boxes) -> Element:
    root = Element("annotation")
    SubElement(root, "folder").text = IMAGES
    SubElement(root, "filename").text = name.as_posix()
    size = SubElement(root, "size")
    for key, value in (("width", image.width), ("height", image.height), ("depth", 3)):
        SubElement(size, key).text = str(value)
    SubElement(root, "segmented").text = "0"
    for label, xyxy in zip(boxes.labels.tolist(), boxes.xyxy.tolist(), strict=True):
        item = SubElement(root, "object")
        SubElement(item, "name").text = label
        for key, text in (("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")):
            SubElement(item, key).text = text
        bounds = SubElement(item, "bndbox")
        xmin, xmax = _to_inclusive(xyxy[0], xyxy[2], image.width)
        ymin, ymax = _to_inclusive(xyxy[1], xyxy[3], image.height)
        for key, value in zip(_EDGES, (xmin, ymin, xmax, ymax), strict=True):
            SubElement(bounds, key).text = str(value)
    indent(root)
    return root


def _to_inclusive(start: float, end: float, side: int) -> tuple[int, int]:
    """Return the first and last pixel, counted from 1, of exclusive edges."""
    first, last = math.floor(start + 0.5), math.floor(end + 0.5)
    least = min(_LEAST_SIDE, side)
    if last - first < least:
        first = min(max(math.floor((start + end - least) / 2 + 0.5), 0), side - least)
        last = first + least
    return first + 1, last
