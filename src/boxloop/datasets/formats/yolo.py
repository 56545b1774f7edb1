"""The YOLO layout: per image a text file, per box a line.

A line is ``class cx cy width height``, the numbers in fractions of the image's size.
``dataset.path`` is

- a folder with ``data.yaml`` (or the YAML file itself) as Ultralytics reads it: ``names``, and
  ``train``, ``val`` (or ``validation``), ``test``, each a folder, a .txt list of images, or a list
  of these;
- a folder with ``obj.data``, ``obj.names`` and lists of images, as Darknet and CVAT have it;
- a plain folder with ``images/``, ``labels/`` and ``classes.txt``; or
- a folder of pictures and texts side by side, with ``classes.txt``, as LabelImg saves.

The label file of ``images/a/b.jpg`` is ``labels/a/b.txt``, else ``images/a/b.txt``; an image
without one has no objects, which is the format's own convention. A line with more than five columns
is the outline of an object, of which the bounding box is taken, or a box with keypoints where
data.yaml has ``kpt_shape``. Four corners that are a rotated rectangle are set aside, unless most
of the set's outlines have another shape.
``dataset.split`` picks one of the splits; without it all are read. Temporal order is the natural
order of the paths. An id is the path without the folder ``images`` and without the ending; of
several such folders without the last one, or without that which ``ids_below`` in data.yaml names.

Paths stay in the dataset's folder, see :mod:`.yolo_paths`. What does not exist stops the reading,
but for a ``test`` that the folder does not hold; images that are not listed, and label files
without an image, are counted.

Names of classes in data.yaml are taken as they are written: ``no`` is the class "no" and ``1e-3``
the class "1e-3", where YAML 1.1, which Ultralytics reads, has False and YAML 1.2 has 0.001. Lines
of classes.txt are numbered from 0, blank ones too. Where it contradicts data.yaml or obj.data,
these count, and a fault says so.

An export has ``data.yaml``, ``images/`` and ``labels/``. Its numbers have 12 digits, which is less
than a millionth of a pixel off; an image without objects has an empty label file. Where images come
from folders that are called ``images``, ``ids_below`` has them keep their ids. Where EXIF data
turn an image, ``exif`` says that boxes are those of the upright one; ``dataset.exif`` goes before.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from boxloop.core.types import Boxes, ImageRef
from boxloop.datasets.annotations import Annotation
from boxloop.datasets.cleaning import Dataset, build_dataset, probe_refs
from boxloop.datasets.exif import UPRIGHT
from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.datasets.file_listing import exists, ids_of, natural_key, walk
from boxloop.datasets.format_protocol import ExportContent
from boxloop.datasets.formats.yolo_labels import Labels, drop_without_labels, read_labels
from boxloop.datasets.formats.yolo_layouts import IMAGES, find_layout
from boxloop.datasets.images import SUFFIXES, Progress, read_orientation
from boxloop.errors import DatasetError
from boxloop.params import DatasetParams

__all__ = ["IMAGES", "KEYS", "SPLITS", "load", "write"]

KEYS: tuple[str, ...] = ("split",)

SPLITS = True


def load(params: DatasetParams, root: Path, progress: Progress | None = None) -> Dataset:
    """Read a YOLO folder, with or without data.yaml.

    Raises:
        DatasetError: the layout is not YOLO's, a split or a folder of one does not exist, no image
            is usable, no image has a label file, or a class is unknown.
    """
    log = FaultLog()
    names = list(walk(root if root.is_dir() else root.parent)) if exists(root) else []
    layout = find_layout(root, params.split, names, log)
    root, labels = layout.root, Labels(layout.root, names)
    images = sorted(layout.images, key=lambda path: (natural_key(path), path))
    listed = [path.as_posix() for path in images]
    present = [name for name in names if name.lower().endswith(SUFFIXES)]
    layout.settle(labels.others(present, listed), log)
    if not images and not log.faults:
        raise DatasetError(f"{root} holds no image file where its layout says they are")
    files = {path: labels.find(name) for path, name in zip(images, listed, strict=True)}
    dropped = drop_without_labels(layout.parts, files, root, log)
    looked_at = None
    if not layout.whole:  # label files elsewhere are those of other splits
        starts = {"".join(name.rpartition("/")[:2]) for name in listed}
        looked_at = {folder for start in starts for folder in labels.folders(start)}
    found = [file for file in files.values() if file is not None]
    labels.log_orphans([*present, *listed], found, log, looked_at)
    ids = ids_of([_bare(path, layout.ids_below) for path in images])
    if len(set(ids)) < len(ids):  # images/a/b.jpg beside a/images/b.jpg
        ids = ids_of(images)
    image_of = {id_: image for id_, image in zip(ids, images, strict=True) if image not in dropped}
    refs = probe_refs([(id_, root / path) for id_, path in image_of.items()], log, progress)
    if refs and not any(files[image_of[ref.id]] for ref in refs):
        first = refs[0]
        place = root / labels.places(image_of[first.id].as_posix())[0]
        raise DatasetError(
            f"none of the {len(refs)} images of {root} has a label file: {first.path} needs"
            f" {place}; format 'folder' reads images without labels"
        )
    annotations: dict[str, Annotation | None] = {ref.id: Annotation(root, []) for ref in refs}
    described = [(root / file, ref) for ref in refs if (file := files[image_of[ref.id]])]
    found_in = read_labels(described, layout.classes, layout.keypoints, log)
    annotations |= {ref.id: annotation for ref, annotation in found_in.items()}
    for doubtful, detail in layout.doubts:
        log.add(FaultKind.CLASS_NUMBERS, doubtful, detail)
    known = list(dict.fromkeys(layout.classes.values()))
    params = params.model_copy(update={"exif": params.exif or layout.exif})
    return build_dataset(params, refs, annotations, known, log)


def _label_path(name: PurePosixPath) -> PurePosixPath:
    """Return where the label file of an exported image goes, so that readers find it."""
    return _replace_images(IMAGES / name, "labels").with_suffix(".txt")


def _bare(path: PurePosixPath, folder: str | None) -> PurePosixPath:
    """Return a path without the folder that ids start below, else without the last ``images``."""
    if folder and PurePosixPath(folder) in path.parents:
        return path.relative_to(folder)
    return _replace_images(path)


def _replace_images(path: PurePosixPath, *folder: str) -> PurePosixPath:
    """Replace the last folder ``images``, if there is one, by another or by none."""
    places = [i for i, part in enumerate(path.parts[:-1]) if part == IMAGES]
    if not places:
        return path
    return PurePosixPath(*path.parts[: places[-1]], *folder, *path.parts[places[-1] + 1 :])


# --- export ---------------------------------------------------------------------------------------


def write(folder: Path, content: ExportContent) -> None:
    """Write data.yaml and one text file per image; of a split also a list of each side."""
    numbers = {name: i for i, name in enumerate(content.classes)}
    for image in content.images:
        path = folder / _label_path(content.names[image.id])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_lines(content.boxes[image.id], image, numbers), encoding="utf-8")
    # Quoted: YAML 1.1 takes a class called "no" for false.
    names = {i: DoubleQuotedScalarString(name) for name, i in numbers.items()}
    lists = {"train": IMAGES, "val": IMAGES} | {side: f"{side}.txt" for side in content.sides}
    for side, image_ids in content.sides.items():
        # Readers take "./" for the folder of the list.
        lines = [f"./{IMAGES}/{content.names[image_id].as_posix()}\n" for image_id in image_ids]
        (folder / lists[side]).write_text("".join(lines), encoding="utf-8")
    with (folder / "data.yaml").open("w", encoding="utf-8") as file:
        if not content.sides:
            file.write("# Every image is in both lists: split them as you need.\n")
        nested = any(_replace_images(IMAGES / name) != name for name in content.names.values())
        below = {"ids_below": IMAGES} if nested else {}
        # No `path`: readers then start from the folder of this file.
        turned = any(read_orientation(Path(image.path)) != 1 for image in content.images)
        exif = {"exif": UPRIGHT} if turned else {}
        YAML().dump({**lists, **below, **exif, "names": names}, file)


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
