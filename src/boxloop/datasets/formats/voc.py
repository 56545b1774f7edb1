"""The PASCAL VOC layout: ``Annotations/``, ``JPEGImages/``, ``ImageSets/Main/<split>.txt``.

Folders called ``images`` and ``annotations`` or the like are taken, too, and images and XML files
side by side in one folder, as LabelImg and Roboflow save them. An annotation is that of the image
of its own name; ``<filename>`` decides between several, or finds one where there is none.

Pixels are counted from 1 and a box includes its last pixel (VOC2007 devkit, section on
annotations), so ``xmin=1, xmax=10`` becomes the exclusive edges 0 and 10. Sets that count from 0
are off by a pixel at most, which is clipped without a word. Difficult objects are included.

With ``dataset.split`` the images and their temporal order are those of the split file; a file of
one class (``aeroplane_train.txt``) gives the images that it does not mark with -1. Without it, they
are all images that have an annotation, in natural order. Where there are no split files, a split is
the folder of that name. Images without an annotation are taken in, as images without boxes, where
``dataset.labels`` says that people label what is not labeled yet.

An export rounds edges to whole pixels, by half a pixel at most. A box that would be less than two
pixels wide or high becomes two, because many readers (boxloop's too) take ``xmin = xmax`` for
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from defusedxml.ElementTree import fromstring

from boxloop.core.types import Boxes, ImageRef
from boxloop.datasets.annotations import (
    MOST_DEGREES_OFF,
    AnnotatedBox,
    Annotation,
    from_upright,
    to_float,
    to_size,
)
from boxloop.datasets.cleaning import Dataset, build_dataset, probe_refs
from boxloop.datasets.faults import UNLABELED, FaultKind, FaultLog
from boxloop.datasets.file_listing import (
    composed,
    describe_irregular,
    ids_of,
    list_files,
    list_images,
    natural_key,
    read_text,
    regular,
    require_folder,
    within,
)
from boxloop.datasets.format_protocol import ExportContent
from boxloop.datasets.formats.voc_layout import IMAGES, Folders, Pairs, find_folders
from boxloop.datasets.images import SUFFIXES, Progress
from boxloop.errors import DatasetError
from boxloop.files import MOST_TEXT, read_bytes, write_text
from boxloop.params import DatasetParams

KEYS: tuple[str, ...] = ("split",)

SPLITS = True

__all__ = ["IMAGES", "KEYS", "SPLITS", "load", "write"]

_LISTS = Path("ImageSets") / "Main"
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_MARKS = "'difficult' or 'truncated' marks; their objects are kept"
_LEAST_SIDE = 2  # pixels, of an exported box


def load(params: DatasetParams, root: Path, progress: Progress | None = None) -> Dataset:
    """Read a VOC folder, or a folder that holds exactly one (``VOCdevkit/VOC2007``).

    Raises:
        DatasetError: the layout is not VOC's, the split does not exist, no image is usable, or a
            class occurs nowhere.
    """
    log = FaultLog()
    folders = find_folders(require_folder(root))
    listed = list_files(folders.annotations, (".xml",))
    files = {path.with_suffix("").as_posix(): folders.annotations / path for path in listed}
    pairs = Pairs(folders, list_images(folders.images, log), files, log)
    split = params.split
    named = list(files) if split is None else _split_ids(folders, split, files, pairs, log)
    elements: dict[str, tuple[Element, Path]] = {}
    candidates = []
    for image_id in named:
        bare = pairs.take_bare(image_id) if params.takes_unlabeled else None
        if bare is not None:
            candidates.append((image_id, folders.images / bare))
            continue
        if image_id not in files:
            file = folders.annotations / f"{image_id}.xml"
            detail = f"does not exist, but the image is listed in {params.split}.txt"
            log.add(FaultKind.MISSING_ANNOTATION, file, detail, image_id)
            continue
        file = files[image_id]
        element = _parse(file, image_id, log)
        if element is None:
            continue
        image = pairs.take(image_id, (element.findtext("filename") or "").strip(), file)
        if image is not None:
            elements[image_id] = element, file
            candidates.append((image_id, folders.images / image))
    if params.takes_unlabeled and not _lists(folders, params.split):
        candidates = _with_unlabeled(candidates, folders, pairs.bare(), params.split)
    elif params.split is None and (left := len(pairs.bare())):
        log.left_out[UNLABELED] = left
    refs = probe_refs(candidates, log, progress)
    annotations = {
        ref.id: _read(*elements.pop(ref.id), ref.id, log)
        if ref.id in elements
        else Annotation(folders.annotations, ())
        for ref in refs
    }
    names = {box.label for annotation in annotations.values() for box in annotation.boxes}
    return build_dataset(params, refs, annotations, sorted(names), log)


def _with_unlabeled(
    candidates: Sequence[tuple[str, Path]],
    folders: Folders,
    bare: Sequence[PurePosixPath],
    split: str | None,
) -> list[tuple[str, Path]]:
    """Return ids and files with those of images without an annotation, in natural order."""
    inside = [i for i in bare if split is None or i.is_relative_to(split)]
    added = zip(ids_of(inside), (folders.images / image for image in inside), strict=True)
    return sorted([*candidates, *added], key=lambda item: natural_key(item[0]))


def read_file(file: Path, image_id: str, log: FaultLog) -> tuple[str, Annotation] | None:
    """Read an annotation file, wherever its image is.

    Returns:
        The ``<filename>`` that it gives, which may be empty, and the boxes; None where it is no
        annotation, which is logged.
    """
    element = _parse(file, image_id, log)
    if element is None:
        return None
    return (element.findtext("filename") or "").strip(), _read(element, file, image_id, log)


def _lists(folders: Folders, split: str | None) -> bool:
    """Whether a file lists the images of a split."""
    return split is not None and (folders.base / _LISTS).is_dir()


def _split_ids(
    folders: Folders, split: str, files: Collection[str], pairs: Pairs, log: FaultLog
) -> list[str]:
    """Return the ids that a split lists; without ``ImageSets``, those of the folder of its name."""
    main = folders.base / _LISTS
    file = main / f"{split}.txt"
    if not regular(file):
        inside = [image_id for image_id in files if image_id.startswith(f"{split}/")]
        if inside and not main.is_dir():
            return inside
        known = sorted((path.stem for path in main.glob("*.txt")), key=natural_key)
        plain = [name for name in known if "_" not in name] or known
        hint = f"known: {', '.join(plain[:10])}" if known else f"{main} has no .txt file"
        raise DatasetError(f"dataset.split '{split}': {file} does not exist ({hint})")
    known_as = {composed(image_id): image_id for image_id in files}

    def find(entry: str) -> str | None:
        return _find_id(entry, known_as, pairs)

    lines = [line for line in read_text(file).splitlines() if line.strip()]
    columns = [line.rsplit(None, 1) for line in lines]
    # A file of one class marks every image; names of images may end in a number, too.
    if lines and all(len(column) == 2 and column[1] in ("-1", "0", "1") for column in columns):
        whole = sum(find(line) is not None for line in lines)
        if not whole or whole < sum(find(image_id) is not None for image_id, _ in columns):
            lines = [image_id for image_id, flag in columns if flag != "-1"]
    if not lines:
        raise DatasetError(f"{file} names no image")
    ids: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        image_id = find(line) or line.strip()
        if image_id in ids:
            log.add(FaultKind.DUPLICATE_ID, file, f"lists {image_id} more than once", image_id)
        elif within(folders.base, image_id) is None:
            detail = f"entry {number}: '{image_id}' leads outside the dataset's folder"
            log.add(FaultKind.PATH_OUTSIDE_DATASET, file, detail)
        else:
            ids[image_id] = None
    return list(ids)


def _find_id(entry: str, known_as: Mapping[str, str], pairs: Pairs) -> str | None:
    """Return the id that an entry of a list means; None where nothing has that name.

    Few names begin or end with blanks, and some entries have the ending of the image's file.
    """
    for name in (entry, entry.strip()):
        names = (name, name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name)
        annotated = (known_as[key] for key in map(composed, names) if key in known_as)
        if found := next(annotated, None) or next(filter(pairs.holds, names), None):
            return found
    return None


def _parse(file: Path, image_id: str, log: FaultLog) -> Element | None:
    """Return the root element; log any other file than a VOC annotation."""
    try:
        element: Element | None = (
            fromstring(read_bytes(file, 16 * MOST_TEXT)) if regular(file) else None
        )
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    except (SyntaxError, ValueError, LookupError, RecursionError) as error:
        # Entities and other means to blow up a parser are refused by defusedxml (a ValueError).
        why = f"is not XML that boxloop reads: {' '.join(str(error).split())}"
    else:
        if element is None:
            why = describe_irregular(file)
        elif element.tag == "annotation":
            return element
        else:
            why = f"is not a VOC annotation: its root is <{element.tag}>"
    log.add(FaultKind.MALFORMED_ANNOTATION, file, why, image_id)
    return None


def _read(element: Element, file: Path, image_id: str, log: FaultLog) -> Annotation:
    boxes, rejected = [], list[str | None]()
    for number, item in enumerate(element.findall("object"), start=1):
        label = (item.findtext("name") or "").strip()
        bounds = item.findall("bndbox")
        if not label or len(bounds) != 1 or len(item.findall("name")) != 1:
            detail = f"object {number}: {_misfit(item, label, len(bounds))}"
            log.add(FaultKind.MALFORMED_ANNOTATION, file, detail, image_id)
            rejected.append(label if len(item.findall("name")) == 1 and label else None)
            continue
        if degrees := _rotation(item):
            detail = (
                f"object {number} ({label}): is rotated by {degrees:g} degrees, and boxloop's boxes"
                " are upright"
            )
            log.add(FaultKind.ROTATED_BOX, file, detail, image_id)
            rejected.append(label)
            continue
        if any((item.findtext(mark) or "0").strip() != "0" for mark in ("difficult", "truncated")):
            log.left_out[_MARKS] += 1
        texts = [(bounds[0].findtext(edge) or "").strip() for edge in _EDGES]
        x1, y1, x2, y2 = (to_float(text) for text in texts)
        said = " ".join(f"{edge}={text}" for edge, text in zip(_EDGES, texts, strict=True))
        boxes.append(AnnotatedBox(label, (x1, y1, x2, y2), f"object {number}", said))
    size = to_size(element.findtext("size/width"), element.findtext("size/height"))
    return Annotation(file, boxes, size, first_pixel=1, rejected=rejected)


def _misfit(item: Element, label: str, bounds: int) -> str:
    if not label:
        return "has no <name>"
    if item.find("robndbox") is not None:
        return "has a <robndbox>, which is rotated, and boxloop's boxes are upright"
    if not bounds:
        return "has no <bndbox>"
    return f"has more than one {'<bndbox>' if bounds > 1 else '<name>'}"


def _rotation(item: Element) -> float:
    """Return the degrees by which a box is rotated, as CVAT writes them; 0 for an upright one."""
    for attribute in item.iterfind("attributes/attribute"):
        if attribute.findtext("name") == "rotation":
            degrees = from_upright(to_float((attribute.findtext("value") or "").strip()))
            return degrees if degrees > MOST_DEGREES_OFF else 0.0
    return 0.0


# --- export ---------------------------------------------------------------------------------------


def write(folder: Path, content: ExportContent) -> None:
    """Write one XML file per image, the list of the images, and one of each side of a split."""
    for image in content.images:
        path = folder / "Annotations" / f"{image.id}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        tree = ElementTree(_to_xml(image, content.names[image.id], content.boxes[image.id]))
        tree.write(path, encoding="utf-8", xml_declaration=True)
    lists = {"trainval": tuple(image.id for image in content.images), **content.sides}
    for name, image_ids in lists.items():
        listing = "".join(f"{image_id}\n" for image_id in image_ids)
        write_text(folder / "ImageSets" / "Main" / f"{name}.txt", listing)


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
