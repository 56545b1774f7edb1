"""Read the boxes that another program's detector predicted, in the forms that they come in.

COCO's results (a list of boxes with scores), a COCO file whose annotations have scores, a folder of
YOLO's texts, and a FiftyOne dataset on disk. Whose image a row is follows from file names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boxloop.core.types import ImageRef
from boxloop.datasets.annotations import to_float, to_number
from boxloop.datasets.coco_json import is_id, parse_file, read_categories, read_images
from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.datasets.file_listing import list_files, read_text
from boxloop.datasets.formats.yolo_layouts import find_classes
from boxloop.datasets.yolo_names import CLASS_LISTS
from boxloop.errors import DatasetError
from boxloop.review.external.file_names import FileNames, Match, pair
from boxloop.review.validation import printable

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class PredictedBox:
    """A box of a file of predictions."""

    place: str  # in the file
    label: str  # name of the class, as the file has it
    xyxy: Corners  # pixels; NaN where the file has no number
    score: float  # 1 where the file has none


@dataclass
class Predictions:
    """What a file or folder predicts for the images of a campaign.

    Attributes:
        boxes: by image id; an image that the file lists without boxes has none.
        unknown: file names that are none of the campaign's images.
        left_out: number of rows of the file that were left out, by reason.
        unscored: number of rows without a score.
        doubts: what contradicts the classes that YOLO's numbers were taken for.
    """

    boxes: dict[str, list[PredictedBox]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    unscored: int = 0
    doubts: list[str] = field(default_factory=list)

    def add(self, image: ImageRef, *rows: PredictedBox) -> None:
        """Add boxes of an image, or that it has none."""
        self.boxes.setdefault(image.id, []).extend(rows)


def read_predictions(
    source: Path,
    images: Sequence[ImageRef],
    classes: Sequence[str],
    *,
    listing: Path | None = None,
    names: Path | None = None,
    field_name: str = "predictions",
) -> Predictions:
    """Read predictions, by the images of the campaign.

    Args:
        source: COCO's JSON, a folder of YOLO's texts, or the folder of a FiftyOne dataset.
        images: all images of the campaign.
        classes: its classes, in order; YOLO's numbers count them where the folder names none.
        listing: the COCO file whose image and category ids the results use.
        names: a data.yaml, or a text with a class on each line, that YOLO's numbers count, whatever
            the folder says.
        field_name: the field of a FiftyOne dataset that holds them.

    Raises:
        DatasetError: it cannot be read, or does not say whose boxes it holds.
    """
    found, known = Predictions(), FileNames(images)
    if source.is_dir() and (source / "samples.json").is_file():
        _read_fiftyone(source / "samples.json", known, found, field_name)
    elif source.is_dir():
        files = [path.as_posix() for path in list_files(source, ("",))]
        log = FaultLog()
        numbered = find_classes(source, files, log, names)
        # A blank line is none: a number without a name is refused where a box has it.
        doubtful = [fault for fault in log.faults if fault.kind is FaultKind.CLASS_NUMBERS]
        found.doubts += [f"{fault.file} {fault.detail}" for fault in doubtful]
        _read_yolo(source, known, numbered[0] if numbered else dict(enumerate(classes)), found)
    else:
        _read_coco(source, known, found, listing)
    return found


def _pair(
    matches: Mapping[str, Match], source: Path, found: Predictions
) -> dict[str, ImageRef | None]:
    """Return the image of each name, by its place; those of other images are noted."""
    image_of = pair(matches, source)
    for place, image in image_of.items():
        if image is None:
            found.unknown.add(printable(matches[place].name))
        else:
            found.add(image)
    return image_of


def _score(
    value: object, place: str, found: Predictions, read: Callable[[object], float] = to_number
) -> float:
    """Return a score, 1 where there is none; ``read`` makes a number of it, or NaN."""
    if value is None:
        found.unscored += 1
        return 1.0
    score = read(value)
    if not 0 <= score <= 1:
        hint = ": write percent as a fraction" if 1 < score <= 100 else ""
        text = "the text " if isinstance(value, str) and read is to_number else ""
        raise DatasetError(
            f"{place}: a score lies in 0 to 1, got {text}{printable(str(value))}{hint}"
        )
    return score


# --- COCO -----------------------------------------------------------------------------------------


def _read_coco(file: Path, known: FileNames, found: Predictions, listing: Path | None) -> None:
    content = parse_file(file)
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        listed = content if listing is None else parse_file(listing)
        rows, key = content["annotations"], "annotations"
    elif isinstance(content, list):
        listed, rows, key = {} if listing is None else parse_file(listing), content, ""
    else:
        raise DatasetError(
            f"{file} is no file of predictions: it must be COCO's list of results, or a COCO file"
            " with 'images', 'categories' and 'annotations'"
        )
    where = file if listing is None else listing
    if not isinstance(listed, dict):
        raise DatasetError(f"{where} is no COCO file: it has no 'images' and 'categories'")
    categories = read_categories(_list(listed, "categories", where), where)
    refs = _listed_images(_list(listed, "images", where), where, known, found)
    if not refs:
        refs = _named_images(rows, key, file, known, found)
    for number, row in enumerate(rows):
        place = f"{file}, {key}[{number}]"
        if not isinstance(row, dict):
            raise DatasetError(f"{place}: is not an object")
        image_id = row.get("image_id", row.get("file_name"))
        if not is_id(image_id, int, str) or image_id not in refs:
            raise DatasetError(
                f"{place}: image_id {printable(repr(image_id))} names no image: say by --images"
                " which COCO file it counts in, or give file names"
            )
        image = refs[image_id]
        label = _label_of(row, place, categories)
        bbox = row.get("bbox")
        if not isinstance(bbox, list) or len(bbox) != 4:
            raise DatasetError(f"{place}: 'bbox' is not four numbers (x, y, width, height)")
        x, y, width, height = map(to_number, bbox)
        score = _score(row.get("score"), place, found)
        if image is None:
            found.left_out["boxes of images that are not the campaign's"] += 1
        else:
            box = PredictedBox(f"{key}[{number}]", label, (x, y, x + width, y + height), score)
            found.add(image, box)


def _list(content: dict[str, Any], key: str, file: Path) -> list[Any]:
    """Return a list of a COCO file; an empty one where it has none."""
    value = content.get(key)
    if value is not None and not isinstance(value, list):
        raise DatasetError(f"{file}: '{key}' is no list: is it a COCO file?")
    return value or []


def _listed_images(
    entries: list[Any], file: Path, known: FileNames, found: Predictions
) -> dict[Hashable, ImageRef | None]:
    """Return the images of a COCO file by their ids in it; None for those of others."""
    rows = read_images(entries, file)
    matches = {place: known.match(name) for place, (_, name, _) in rows.items()}
    refs: dict[Hashable, ImageRef | None] = {}
    for place, image in _pair(matches, file, found).items():
        key, _, entry = rows[place]
        refs[key] = image
        size = to_number(entry.get("width")), to_number(entry.get("height"))
        if image is not None and min(size) > 0 and size != (image.width, image.height):
            raise DatasetError(
                f"{file}, {place}: declares {size[0]:g}x{size[1]:g} pixels, but {image.path}, as"
                f" it is shown, has {image.width}x{image.height}, so its boxes would lie"
                " elsewhere: predict on the campaign's own images"
            )
    return refs


def _named_images(
    rows: list[Any], key: str, file: Path, known: FileNames, found: Predictions
) -> dict[Hashable, ImageRef | None]:
    """Return the images of rows that name them, by these names."""
    places: dict[str, str] = {}
    for number, row in enumerate(rows):
        name = row.get("image_id", row.get("file_name")) if isinstance(row, dict) else None
        if isinstance(name, str):
            places.setdefault(name, f"{key}[{number}]")
    matches = {place: known.match(name) for name, place in places.items()}
    image_of = _pair(matches, file, found)
    return {name: image_of[place] for name, place in places.items()}


def _label_of(row: dict[str, Any], place: str, categories: dict[Hashable, str]) -> str:
    key = row.get("category_id")
    if is_id(key, int) and key in categories:
        return categories[key]
    for name in ("category_name", "category", "label", "class"):
        if isinstance(row.get(name), str) and row[name]:
            return str(row[name])
    raise DatasetError(
        f"{place}: category_id {printable(repr(key))} names no class: say by --images which COCO"
        " file has the categories"
    )


# --- YOLO -----------------------------------------------------------------------------------------


def _read_yolo(
    folder: Path, known: FileNames, names: Mapping[int, str], found: Predictions
) -> None:
    texts = [path for path in list_files(folder, (".txt",)) if path.name not in CLASS_LISTS]
    if not texts:
        raise DatasetError(
            f"{folder} holds no predictions: YOLO's are one .txt per image, a FiftyOne dataset has"
            " a samples.json"
        )
    matches = {path.as_posix(): known.match_text(path) for path in texts}
    for place, image in _pair(matches, folder, found).items():
        if image is None:
            continue
        for number, line in enumerate(read_text(folder / place).splitlines(), start=1):
            columns = line.split()
            if columns:
                where = f"{folder / place}, line {number}"
                found.add(image, _yolo_box(columns, where, image, names, found))


def _yolo_box(
    columns: Sequence[str],
    place: str,
    image: ImageRef,
    names: Mapping[int, str],
    found: Predictions,
) -> PredictedBox:
    if len(columns) not in (5, 6):
        raise DatasetError(
            f"{place}: has {len(columns)} columns, not 5 or 6 (class, x, y, width, height, and the"
            " score that Ultralytics writes with save_conf=True)"
        )
    number, *rest = (to_float(column) for column in columns)
    if number not in names:
        raise DatasetError(
            f"{place}: there is no class {printable(columns[0])}, but 0 to {max(names)}: say by"
            " --names which classes the numbers count"
        )
    x, y, w, h = rest[:4]
    scale = (image.width, image.height)
    corners = ((x - w / 2), (y - h / 2), (x + w / 2), (y + h / 2))
    x1, y1, x2, y2 = (value * scale[i % 2] for i, value in enumerate(corners))
    score = _score(columns[5] if len(columns) == 6 else None, place, found, to_float)
    return PredictedBox(place, names[int(number)], (x1, y1, x2, y2), score)


# --- FiftyOne -------------------------------------------------------------------------------------


def _read_fiftyone(file: Path, known: FileNames, found: Predictions, name: str) -> None:
    content = parse_file(file)
    samples = content.get("samples") if isinstance(content, dict) else None
    if not isinstance(samples, list):
        raise DatasetError(f"{file} has no list 'samples': export it as a FiftyOneDataset")
    matches: dict[str, Match] = {}
    for number, sample in enumerate(samples):
        path = sample.get("filepath") if isinstance(sample, dict) else None
        if not isinstance(path, str):
            raise DatasetError(f"{file}, samples[{number}]: has no 'filepath'")
        matches[f"samples[{number}]"] = known.match(path)
    image_of = _pair(matches, file, found)
    for number, sample in enumerate(samples):
        place = f"{file}, samples[{number}]"
        image = image_of[f"samples[{number}]"]
        value = sample.get(name)
        detections = value.get("detections") if isinstance(value, dict) else None
        if value is not None and not isinstance(detections, list):
            raise DatasetError(f"{place}: '{name}' holds no detections")
        if value is None and name not in sample:
            fields = [k for k, v in sample.items() if isinstance(v, dict) and "detections" in v]
            raise DatasetError(
                f"{place}: has no field '{name}', but {', '.join(fields) or 'none of detections'}:"
                " say by --field which one holds the predictions"
            )
        if image is None:
            found.left_out["boxes of images that are not the campaign's"] += len(detections or [])
            continue
        for i, row in enumerate(detections or []):
            found.add(image, _fiftyone_box(row, f"{place}, {name}[{i}]", image, found))


def _fiftyone_box(row: Any, place: str, image: ImageRef, found: Predictions) -> PredictedBox:
    label = row.get("label") if isinstance(row, dict) else None
    bbox = row.get("bounding_box") if isinstance(row, dict) else None
    if not isinstance(label, str) or not isinstance(bbox, list) or len(bbox) != 4:
        raise DatasetError(f"{place}: needs a 'label' and a 'bounding_box' of four numbers")
    x, y, w, h = map(to_number, bbox)
    corners = (x * image.width, y * image.height, (x + w) * image.width, (y + h) * image.height)
    return PredictedBox(place, label, corners, _score(row.get("confidence"), place, found))
