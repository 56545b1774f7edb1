"""The KITTI object benchmark: ``training/image_2`` and ``training/label_2``.

A line of a label file has 15 columns, or 16 with a score; column 1 is the class and columns 5 to 8
are left, top, right and bottom in pixels counted from 0 (the benchmark's readme). ``DontCare``
regions are no objects and are left out. Temporal order is the natural order of the files. An image
without a label file is a fault, unless ``dataset.labels`` says that people label what is not
labeled yet: then it is an image without boxes.

Labels of other classes in the same layout are read where ``dataset.classes`` names one of them; the
folders may then also be called ``images`` and ``labels``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from boxloop.datasets.annotations import AnnotatedBox, Annotation, read_columns, to_float
from boxloop.datasets.cleaning import Dataset, build_dataset, probe_refs
from boxloop.datasets.faults import FaultKind, FaultLog, has_control
from boxloop.datasets.file_listing import (
    composed,
    ids_of,
    index_texts,
    list_images,
    natural_key,
    require_folder,
    walk,
)
from boxloop.datasets.images import Progress
from boxloop.errors import DatasetError
from boxloop.params import DatasetParams

KEYS: tuple[str, ...] = ()

CLASSES = (
    "Car",
    "Van",
    "Truck",
    "Pedestrian",
    "Person_sitting",
    "Cyclist",
    "Tram",
    "Misc",
)

_COLUMNS = (15, 16)
_FOLDERS = (("image_2", "label_2"), ("images", "labels"), ("image", "label"), ("data", "labels"))
_MOST_NAMED = 20


def load(params: DatasetParams, root: Path, progress: Progress | None = None) -> Dataset:
    """Read a KITTI folder: ``root`` holds ``training/image_2``, or ``image_2`` itself.

    Raises:
        DatasetError: the layout is not KITTI's, no image is usable, or no label is of one of the 8
            classes and ``dataset.classes`` names no other.
    """
    log = FaultLog()
    image_folder, label_folder = _find_folders(require_folder(root))
    images = list_images(image_folder, log)
    if not images and not log.faults:
        raise DatasetError(f"{image_folder} holds no image file")
    texts, twins = index_texts(walk(label_folder))
    labels: dict[str, Path] = {}
    owner: dict[str, PurePosixPath] = {}
    candidates = []
    for image_id, image in zip(ids_of(images), images, strict=True):
        path = image_folder / image
        key = composed(image.with_suffix(".txt").as_posix())
        first = owner.setdefault(key, image)
        if key not in texts and params.takes_unlabeled:
            candidates.append((image_id, path))
            continue
        if key not in texts or first != image:
            place = (label_folder / image.with_suffix(".txt")).as_posix()
            why = f"has no label file {place}"
            if first != image:
                why = f"has no label file of its own: {place} is that of {first}"
            log.add(FaultKind.MISSING_ANNOTATION, path, why, image_id)
            continue
        candidates.append((image_id, path))
        labels[image_id] = label_folder / texts[key]
    for name in sorted([*twins, *(texts[key] for key in texts.keys() - owner)], key=natural_key):
        detail = f"labels no image in {image_folder.name}"
        log.add(FaultKind.MISSING_IMAGE, label_folder / name, detail)
    refs = probe_refs(candidates, log, progress)
    annotations = {
        ref.id: _read(labels[ref.id], ref.id, log)
        if ref.id in labels
        else Annotation(label_folder, ())
        for ref in refs
    }
    known = _find_classes(params, [a for a in annotations.values() if a is not None])
    return build_dataset(params, refs, annotations, known, log)


def _find_folders(root: Path) -> tuple[Path, Path]:
    """Return the folders of images and labels: KITTI's, or others of its layout."""
    bases = [root / "training", root]
    bases += [path for path in sorted(root.iterdir()) if path.is_dir() and path not in bases]
    for base in bases:
        for names in _FOLDERS:
            if all((base / name).is_dir() for name in names):
                return base / names[0], base / names[1]
    base = bases[0] if (bases[0] / "image_2").is_dir() else root
    missing = "label_2" if (base / "image_2").is_dir() else "image_2"
    raise DatasetError(
        f"{base} has no folder '{missing}': dataset.path must hold training/image_2 and"
        " training/label_2"
    )


def _find_classes(params: DatasetParams, annotations: Sequence[Annotation]) -> list[str]:
    """Return KITTI's classes and, where ``dataset.classes`` names others, all that occur.

    Raises:
        DatasetError: none of the labels is of a class of KITTI's, and there are no others.
    """
    found = {box.label: (a, box) for a in annotations for box in a.boxes}
    own = sorted(name for name in found if name not in CLASSES and not has_control(name))
    if set(params.classes or ()) - set(CLASSES):
        return [*CLASSES, *own]
    if own and not any(name in CLASSES for name in found):
        annotation, box = found[own[0]]
        raise DatasetError(
            f"{annotation.file}, {box.place}: '{box.label}' is none of KITTI's classes"
            f" ({', '.join(CLASSES)}), nor is any other label: list your own in dataset.classes,"
            f" here [{', '.join(own[:_MOST_NAMED])}]"
        )
    return list(CLASSES)


def _read(file: Path, image_id: str, log: FaultLog) -> Annotation | None:
    lines = read_columns(file, image_id, log)
    if lines is None:
        return None
    boxes, rejected = [], list[str | None]()
    for place, columns in lines:
        if columns[0] == "DontCare":
            log.left_out["DontCare regions"] += 1
        elif len(columns) not in _COLUMNS:
            detail = f"{place}: has {len(columns)} columns instead of 15"
            log.add(FaultKind.MALFORMED_ANNOTATION, file, detail, image_id)
            rejected.append(columns[0] if columns[0] in CLASSES else None)
        else:
            x1, y1, x2, y2 = (to_float(column) for column in columns[4:8])
            said = " ".join(columns[4:8])
            boxes.append(AnnotatedBox(columns[0], (x1, y1, x2, y2), place, said))
    return Annotation(file, boxes, rejected=rejected)
