"""Read labels of a campaign's images from a COCO file, a VOC folder or a YOLO folder.

The images need not lie beside them: whose labels they are follows from file names. Boxes are
checked and clipped as those of a dataset, and whatever is left out is counted or named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from boxloop.core.types import Boxes, ImageRef
from boxloop.datasets.annotations import Annotation, to_float
from boxloop.datasets.cleaning import clean
from boxloop.datasets.exif import turn_boxes
from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.datasets.file_listing import list_files, read_text
from boxloop.datasets.formats import coco, voc
from boxloop.datasets.formats.yolo_labels import read_labels as read_yolo
from boxloop.datasets.formats.yolo_layouts import find_classes, find_exif
from boxloop.datasets.images import read_orientation
from boxloop.errors import DatasetError
from boxloop.review.external.file_names import FileNames, Match, pair
from boxloop.review.external.import_coco import list_names
from boxloop.review.validation import printable


@dataclass
class LabelFile:
    """What a file or folder says of a campaign's images.

    Attributes:
        boxes: by image id, in the order of the images; each has at least one.
        bare: images that it lists without any box: nobody may have looked at them.
        unknown: names of images that are not the campaign's.
        left_out: number of boxes or images that were not taken, by reason.
        exif: for which pixels the boxes of photos are that EXIF data turn, where it says that.
        log: faults of single boxes and files.
    """

    boxes: dict[str, Boxes] = field(default_factory=dict)
    bare: list[str] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    exif: str | None = None
    log: FaultLog = field(default_factory=FaultLog)


def read_label_file(
    source: Path,
    images: Sequence[ImageRef],
    classes: Sequence[str],
    *,
    names: Path | None = None,
    exif: str | None = None,
    usual_exif: str | None = None,
) -> LabelFile:
    """Read labels, by the images of the campaign.

    Args:
        source: a COCO file, a folder of VOC's XML files, or a YOLO folder, with or without images.
        images: all images of the campaign.
        classes: its classes; boxes of others are left out, and counted.
        names: a data.yaml or classes.txt that YOLO's numbers count, whatever the folder says.
        exif: for which pixels the boxes of photos are that EXIF data turn, whatever else says it.
        usual_exif: the same where the source does not say it, as ``dataset.exif``.

    Raises:
        DatasetError: it cannot be read, holds no labels of these images or classes, or does not say
            whose labels or which classes they are.
    """
    found = LabelFile()
    listed = _read(source, images, names, found)
    labels = {box.label for annotation in listed.values() for box in annotation.boxes}
    if not listed:
        if found.log.faults and not found.unknown:
            first, *more = found.log.faults
            rest = f" (and {len(more)} more at fault)" if more else ""
            raise DatasetError(
                f"{source} has no labels that can be read: {first.file}: {first.detail}{rest}"
            )
        others = list_names(sorted(found.unknown)) or "no image"
        raise DatasetError(f"{source} has none of the campaign's images, but {others}")
    if labels and labels.isdisjoint(classes):
        raise DatasetError(
            f"{source} has the classes {list_names(sorted(map(printable, labels)))}, and the"
            f" campaign has {list_names(classes)}: rename them in the file, or say by --names which"
            " classes a YOLO folder's numbers count"
        )
    boxes = _clean(_turned(listed, found.log, exif or found.exif or usual_exif), classes, found)
    found.bare = [ref.id for ref in images if ref.id in boxes and not len(boxes[ref.id])]
    found.boxes = {ref.id: boxes[ref.id] for ref in images if len(boxes.get(ref.id, ()))}
    return found


def _read(
    source: Path, images: Sequence[ImageRef], names: Path | None, found: LabelFile
) -> dict[ImageRef, Annotation]:
    if not source.exists():
        raise DatasetError(f"{source} does not exist")
    if source.suffix.lower() in (".yaml", ".yml") and source.is_file():
        names, source = names or source, source.parent
    if not source.is_dir():
        return _read_coco(source, images, found)
    if list_files(source, (".xml",)):
        return _read_voc(source, images, found)
    if list_files(source, (".txt",)):
        return _read_yolo(source, images, names, found)
    jsons = list_files(source, (".json",))
    hint = f": name the file, for example {source / jsons[0]}" if jsons else ""
    raise DatasetError(f"{source} holds neither VOC's XML files nor YOLO's texts{hint}")


def _read_coco(
    file: Path, images: Sequence[ImageRef], found: LabelFile
) -> dict[ImageRef, Annotation]:
    known, listed = FileNames(images), coco.read_listed(file, found.log)
    image_of = pair({place: known.match(name) for place, (name, _) in listed.items()}, file)
    result: dict[ImageRef, Annotation] = {}
    for place, (name, annotation) in listed.items():
        image = image_of[place]
        if image is None:
            found.unknown.add(printable(name))
        else:
            result[image] = annotation(image)
    return result


def _read_voc(
    folder: Path, images: Sequence[ImageRef], found: LabelFile
) -> dict[ImageRef, Annotation]:
    known = FileNames(images)
    matches: dict[str, Match] = {}
    names: dict[str, str] = {}
    annotations: dict[str, Annotation] = {}
    for path in list_files(folder, (".xml",)):
        place = path.as_posix()
        read = voc.read_file(folder / path, path.with_suffix("").as_posix(), found.log)
        if read is None:
            continue
        names[place], annotation = read
        match = known.match_text(path)
        if len(match.images) != 1 and names[place]:
            match = known.match_beside(names[place], path)
        elif len(match.images) > 1:
            match = Match(match.name)
        matches[place] = match
        if match.images:
            annotations[place] = annotation
    result: dict[ImageRef, Annotation] = {}
    for place, image in pair(matches, folder).items():
        if image is None:
            found.unknown.add(printable(place if matches[place].images else names[place] or place))
        else:
            result[image] = annotations[place]
    return result


def _read_yolo(
    folder: Path, images: Sequence[ImageRef], names: Path | None, found: LabelFile
) -> dict[ImageRef, Annotation]:
    files = [path.as_posix() for path in list_files(folder, ("",))]
    numbered = find_classes(folder, files, found.log, names)
    if numbered is None:
        raise DatasetError(
            f"{folder} says nowhere which classes its numbers count: say so by --names, with a"
            " data.yaml or a classes.txt"
        )
    found.exif = find_exif(folder, files)
    known, described = FileNames(images), list[tuple[Path, ImageRef]]()
    texts = list_files(folder, (".txt",))
    for place, image in pair({t.as_posix(): known.match_text(t) for t in texts}, folder).items():
        if image is None:
            if _is_label(folder / place):
                found.unknown.add(printable(place))
            continue
        described.append((folder / place, image))
    read = read_yolo(described, *numbered, found.log)
    return {image: annotation for image, annotation in read.items() if annotation is not None}


def _is_label(file: Path) -> bool:
    """Return whether a text looks like YOLO's labels, which others in the folder do not."""
    rows = [line.split() for line in read_text(file).splitlines()]
    numbers = [to_float(value) for row in rows for value in row]
    return all(len(row) != 1 for row in rows) and all(value == value for value in numbers)


def _turned(
    listed: Mapping[ImageRef, Annotation], log: FaultLog, exif: str | None
) -> dict[ImageRef, Annotation]:
    """Return the labels of the upright images."""
    for image, annotation in listed.items():
        if len(annotation.boxes) and (orientation := read_orientation(Path(image.path))) != 1:
            log.turned[image.id] = orientation
    return turn_boxes(listed, log.turned, exif, "say by --exif")


def _clean(
    listed: Mapping[ImageRef, Annotation], classes: Sequence[str], found: LabelFile
) -> dict[str, Boxes]:
    """Return the boxes by image, without images whose labels are of another size."""
    rows = []
    for image, annotation in listed.items():
        if annotation.size not in (None, (image.width, image.height)) and len(annotation.boxes):
            width, height = annotation.size or (0, 0)
            detail = f"declares {width}x{height} pixels, but {image.path} has"
            found.log.add(
                FaultKind.SIZE_MISMATCH,
                annotation.file,
                f"{detail} {image.width}x{image.height}: its boxes are not taken",
                image.id,
            )
            continue
        kept = []
        for box in annotation.boxes:
            if box.label in classes:
                kept.append(box)
            else:
                name = printable(box.label)
                found.left_out[f"boxes of class {name}, which the campaign does not have"] += 1
        rows.append((image, replace(annotation, boxes=kept).of_classes(classes)))
    boxes = clean(rows, found.log, known=classes, wanted=classes)
    # Counted as what the file left out on purpose, such as crowd regions.
    found.left_out.update(found.log.left_out)
    return {image_id: _without_doubles(some, found) for image_id, some in boxes.items()}


def _without_doubles(boxes: Boxes, found: LabelFile) -> Boxes:
    """Return the boxes without exact doubles of one class, which no person could submit."""
    first: dict[tuple[object, ...], int] = {}
    for i, (label, xyxy) in enumerate(zip(boxes.labels.tolist(), boxes.xyxy.tolist(), strict=True)):
        first.setdefault((label, *xyxy), i)
    if len(first) == len(boxes):
        return boxes
    found.left_out["boxes that are another one's double, of its class"] += len(boxes) - len(first)
    return boxes.select(np.array(list(first.values())))
