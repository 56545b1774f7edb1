"""The YOLO layout: per image a text file, per box a line.

A line is ``class cx cy width height``, the numbers in fractions of the image's size.
``dataset.path`` is

- a folder with ``data.yaml`` (or the YAML file itself) as Ultralytics reads it: ``names``, and
  ``train``, ``val``, ``test``, each a folder, a .txt list of images, or a list of these; or
- a plain folder with ``images/``, ``labels/`` and ``classes.txt``.

The label file of ``images/a/b.jpg`` is ``labels/a/b.txt``; an image without one has no objects,
which is the format's own convention. A line with more than five columns is the outline of an
object, of which the bounding box is taken. ``dataset.split`` picks one of the splits; without it
all are read. Temporal order is the natural order of the paths. An id is the path without the
folder ``images`` and without the ending.

Paths in data.yaml stay in the dataset's folder. Exports often say ``../train/images`` for
``train/images``, or give the folder that the set lay in on another machine: leading ``../`` is
dropped, and a ``path`` that is not in the dataset's folder is taken for that folder.

Names of classes in data.yaml are taken as they are written: ``no`` is the class "no" and ``1e-3``
the class "1e-3", where YAML 1.1, which Ultralytics reads, has False and YAML 1.2 has 0.001.

An export has ``data.yaml``, ``images/`` and ``labels/``. Its numbers have 12 digits, which is less
than a millionth of a pixel off; an image without objects has an empty label file.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from boxloop.core.types import Boxes, ImageRef
from boxloop.datasets.annotations import AnnotatedBox, Annotation, read_columns, to_float
from boxloop.datasets.cleaning import Dataset, build_dataset, probe_refs
from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.datasets.file_listing import (
    exists,
    ids_of,
    list_images,
    natural_key,
    read_text,
    require_folder,
    within,
)
from boxloop.datasets.format_protocol import ExportContent
from boxloop.datasets.images import SUFFIXES, Progress
from boxloop.errors import DatasetError
from boxloop.params import DatasetParams, read_yaml

KEYS: tuple[str, ...] = ("split",)

IMAGES = "images"

_YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_SPLITS = ("train", "val", "test")
_NOTHING: tuple[Any, ...] = (None, "", "~", "null", "Null", "NULL", [])


def load(params: DatasetParams, root: Path, progress: Progress | None = None) -> Dataset:
    """Read a YOLO folder, with or without data.yaml.

    Raises:
        DatasetError: the layout is not YOLO's, the split does not exist, no image is usable, no
            image has a label file, or a class is unknown.
    """
    log = FaultLog()
    if root.is_file() and root.suffix.lower() in (".yaml", ".yml"):
        data_yaml: Path | None = root
        root = root.parent
    else:
        require_folder(root)
        data_yaml = next((root / name for name in _YAML_NAMES if (root / name).is_file()), None)
    if data_yaml is not None:
        classes, images = _from_data_yaml(data_yaml, root, params.split, log)
    else:
        classes, images = _from_folders(root, params.split)
    images = sorted(set(images), key=lambda path: (natural_key(path), path))
    if not images and not log.faults:
        raise DatasetError(f"{root} holds no image file where its layout says they are")
    ids = ids_of([_replace_images(path) for path in images])
    if len(set(ids)) < len(ids):  # images/a/b.jpg beside a/images/b.jpg
        ids = ids_of(images)
    refs = probe_refs(
        [(id_, root / path) for id_, path in zip(ids, images, strict=True)], log, progress
    )
    path_of = dict(zip(ids, images, strict=True))
    labels = {ref.id: root / _label_path(path_of[ref.id]) for ref in refs}
    if refs and not any(path.is_file() for path in labels.values()):
        first = refs[0]
        raise DatasetError(
            f"none of the {len(refs)} images of {root} has a label file: {first.path} needs"
            f" {labels[first.id]}; format 'folder' reads images without labels"
        )
    annotations = {ref.id: _read(labels[ref.id], ref, classes, log) for ref in refs}
    return build_dataset(params, refs, annotations, list(dict.fromkeys(classes.values())), log)


# --- which classes and images ---------------------------------------------------------------------


def _from_folders(root: Path, split: str | None) -> tuple[dict[int, str], list[PurePosixPath]]:
    base = root / IMAGES
    listing = next(
        (f for f in (root / "classes.txt", root / "labels" / "classes.txt") if f.is_file()), None
    )
    if listing is None or not base.is_dir():
        raise DatasetError(
            f"{root} is not a YOLO set: it needs data.yaml, or images/, labels/ and classes.txt"
        )
    names = [line.strip() for line in read_text(listing).splitlines() if line.strip()]
    if split is not None:
        base = base / split
        if not base.is_dir():
            raise DatasetError(f"dataset.split '{split}': {base} does not exist")
    return dict(enumerate(names)), _list_images(base, root)


def _list_images(folder: Path, root: Path) -> list[PurePosixPath]:
    """List the images below ``folder``, relative to ``root``."""
    inside = PurePosixPath(folder.relative_to(root).as_posix())
    return [inside / path for path in list_images(folder)]


def _from_data_yaml(
    data_yaml: Path, root: Path, split: str | None, log: FaultLog
) -> tuple[dict[int, str], list[PurePosixPath]]:
    try:
        # "base" leaves every scalar a text.
        content = read_yaml(read_text(data_yaml), "base")
    except ValueError as error:
        raise DatasetError(f"{data_yaml} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise DatasetError(f"{data_yaml} must hold 'names' and 'train', 'val' or 'test'")
    names = _read_names(content.get("names"), data_yaml)
    present = [key for key in _SPLITS if content.get(key) not in _NOTHING]
    if split is not None:
        if content.get(split) in _NOTHING or split in ("names", "nc", "path"):
            known = ", ".join(present) or "none"
            raise DatasetError(f"dataset.split '{split}' is not in {data_yaml} (known: {known})")
        present = [split]
    if not present:
        raise DatasetError(f"{data_yaml} has none of the keys {', '.join(_SPLITS)}")
    base = root
    if isinstance(content.get("path"), str):
        said = within(root, content["path"])
        base = said if said is not None and said.is_dir() else root
    images: list[PurePosixPath] = []
    absent = []
    for key in present:
        value = content[key]
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str):
                raise DatasetError(f"{data_yaml}: {key} must be a path, or a list of paths")
            place = _resolve(item, key, base, root, data_yaml)
            if not exists(place):
                absent.append(f"{data_yaml}: {key} '{item}' does not exist (looked for {place})")
            elif place.is_dir():
                images += _list_images(place, root)
            elif place.suffix.lower() == ".txt":
                images += _read_image_list(place, base, root, log)
            else:
                what = "neither a folder nor a .txt list of images"
                raise DatasetError(f"{data_yaml}: {key} '{place}' is {what}")
    # Exports list splits that they do not hold, so one that was not asked for may be missing.
    if absent and (split is not None or not images):
        raise DatasetError(absent[0])
    return names, images


def _read_names(value: Any, data_yaml: Path) -> dict[int, str]:
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not value:
        raise DatasetError(f"{data_yaml} needs 'names', a list of the classes")
    try:
        # 010 is 8 to some readers of YAML, and 10 to others.
        odd = [key for key in value if str(int(key)) != str(key)]
        names = {int(key): name.strip() for key, name in value.items() if not odd}
    except (ValueError, TypeError, AttributeError):
        names = {0: ""}
    if len(names) < len(value) or not all(names.values()):
        raise DatasetError(
            f"{data_yaml}: 'names' must map numbers to names, each once: 0, 1, 2, ..."
        )
    return dict(sorted(names.items()))


def _resolve(item: str, key: str, base: Path, root: Path, data_yaml: Path) -> Path:
    while (place := within(base, item)) is None and item.startswith("../"):
        item = item.removeprefix("../")
    if place is None:
        raise DatasetError(f"{data_yaml}: {key} '{item}' leads outside the dataset's folder {root}")
    return place


def _read_image_list(file: Path, base: Path, root: Path, log: FaultLog) -> list[PurePosixPath]:
    """Read a .txt list of images; ``./`` starts from the file's own folder."""
    found = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        name = line.strip()
        if not name:
            continue
        start = file.parent if name.startswith("./") else base
        path = within(root, (start / name).relative_to(root).as_posix()) if name[0] != "/" else None
        if path is None:
            detail = f"line {number}: '{name}' leads outside the dataset's folder"
            log.add(FaultKind.PATH_OUTSIDE_DATASET, file, detail)
        elif not name.lower().endswith(SUFFIXES):
            detail = f"line {number}: '{name}' is not an image file"
            log.add(FaultKind.UNREADABLE_IMAGE, file, detail)
        else:
            found.append(PurePosixPath(path.relative_to(root).as_posix()))
    return found


# --- where the labels are and what they say -------------------------------------------------------


def _replace_images(path: PurePosixPath, *folder: str) -> PurePosixPath:
    """Replace the last folder ``images``, if there is one, by another or by none."""
    places = [i for i, part in enumerate(path.parts[:-1]) if part == IMAGES]
    if not places:
        return path
    return PurePosixPath(*path.parts[: places[-1]], *folder, *path.parts[places[-1] + 1 :])


def _label_path(path: PurePosixPath) -> PurePosixPath:
    """Return the path of an image's label file, as Ultralytics finds it."""
    return _replace_images(path, "labels").with_suffix(".txt")


def _read(file: Path, image: ImageRef, classes: dict[int, str], log: FaultLog) -> Annotation | None:
    if not exists(file):
        return Annotation(file, [])
    lines = read_columns(file, image.id, log)
    if lines is None:
        return None
    boxes = []
    for place, columns in lines:
        numbers = [to_float(column) for column in columns]
        label = classes.get(int(numbers[0])) if numbers[0].is_integer() else None
        if len(columns) != 5 and (len(columns) < 7 or len(columns) % 2 == 0):
            detail = f"{place}: has {len(columns)} columns instead of 5"
            log.add(FaultKind.MALFORMED_ANNOTATION, file, detail, image.id)
        elif label is None:
            detail = f"{place}: has no known class {columns[0]!r} (there are {len(classes)})"
            log.add(FaultKind.UNKNOWN_CLASS, file, detail, image.id)
        else:
            x1, y1, x2, y2 = _corners(numbers[1:])
            corners = (x1 * image.width, y1 * image.height, x2 * image.width, y2 * image.height)
            boxes.append(AnnotatedBox(label, corners, place, " ".join(columns[1:])))
    return Annotation(file, boxes)


def _corners(numbers: list[float]) -> tuple[float, float, float, float]:
    """Return x1, y1, x2, y2 of a box (cx, cy, w, h) or outline (x, y, ...)."""
    if len(numbers) == 4:
        cx, cy, width, height = numbers
        return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2
    xs, ys = numbers[0::2], numbers[1::2]
    if any(value != value for value in numbers):  # min and max would overlook NaN
        return (float("nan"),) * 4
    return min(xs), min(ys), max(xs), max(ys)


# --- export ---------------------------------------------------------------------------------------


def write(folder: Path, content: ExportContent) -> None:
    """Write data.yaml and one text file per image."""
    numbers = {name: i for i, name in enumerate(content.classes)}
    for image in content.images:
        path = folder / _label_path(PurePosixPath(IMAGES) / content.names[image.id])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_lines(content.boxes[image.id], image, numbers), encoding="utf-8")
    # Quoted: YAML 1.1 takes a class called "no" for false.
    names = {i: DoubleQuotedScalarString(name) for name, i in numbers.items()}
    with (folder / "data.yaml").open("w", encoding="utf-8") as file:
        file.write("# Every image is in both lists: split them as you need.\n")
        # No `path`: readers then start from the folder of this file.
        YAML().dump({"train": IMAGES, "val": IMAGES, "names": names}, file)


def _lines(boxes: Boxes, image: ImageRef, numbers: dict[str, int]) -> str:
    lines = []
    for label, (x1, y1, x2, y2) in zip(boxes.labels.tolist(), boxes.xyxy.tolist(), strict=True):
        values = (
            (x1 + x2) / 2 / image.width,
            (y1 + y2) / 2 / image.height,
            (x2 - x1) / image.width,
            (y2 - y1) / image.height,
        )
        lines.append(f"{numbers[label]} " + " ".join(f"{value:.12g}" for value in values) + "\n")
    return "".join(lines)
