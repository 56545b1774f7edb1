"""The KITTI object benchmark: ``training/image_2`` and ``training/label_2``.

A line of a label file has 15 columns, or 16 with a score; column 1 is the class and columns 5 to 8
are left, top, right and bottom in pixels counted from 0 (the benchmark's readme). ``DontCare``
regions are no objects and are left out. Temporal order is the natural order of the files.
"""

from __future__ import annotations

from pathlib import Path

from boxloop.datasets.annotations import AnnotatedBox, Annotation, read_columns, to_float
from boxloop.datasets.cleaning import Dataset, build_dataset, probe_refs
from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.datasets.file_listing import ids_of, list_files, list_images, require_folder
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


def load(params: DatasetParams, root: Path, progress: Progress | None = None) -> Dataset:
    """Read a KITTI folder: ``root`` holds ``training/image_2``, or ``image_2`` itself.

    Raises:
        DatasetError: the layout is not KITTI's, no image is usable, or a class is not one of the 8.
    """
    require_folder(root)
    base = root / "training" if (root / "training" / "image_2").is_dir() else root
    for name in ("image_2", "label_2"):
        if not (base / name).is_dir():
            raise DatasetError(
                f"{base} has no folder '{name}': dataset.path must hold training/image_2 and"
                " training/label_2"
            )
    images = list_images(base / "image_2")
    if not images:
        raise DatasetError(f"{base / 'image_2'} holds no image file")
    log = FaultLog()
    pictured = {image.with_suffix(".txt") for image in images}
    for label in list_files(base / "label_2", (".txt",)):
        if label not in pictured:
            log.add(FaultKind.MISSING_IMAGE, base / "label_2" / label, "labels no image in image_2")
    labels = {}
    candidates = []
    for image_id, image in zip(ids_of(images), images, strict=True):
        path = base / "image_2" / image
        file = base / "label_2" / image.with_suffix(".txt")
        if not file.is_file():
            detail = f"has no label file {file.as_posix()}"
            log.add(FaultKind.MISSING_ANNOTATION, path, detail, image_id)
            continue
        candidates.append((image_id, path))
        labels[image_id] = file
    refs = probe_refs(candidates, log, progress)
    annotations = {ref.id: _read(labels[ref.id], ref.id, log) for ref in refs}
    return build_dataset(params, refs, annotations, CLASSES, log)


def _read(file: Path, image_id: str, log: FaultLog) -> Annotation | None:
    lines = read_columns(file, image_id, log)
    if lines is None:
        return None
    boxes = []
    for place, columns in lines:
        if columns[0] == "DontCare":
            log.left_out["DontCare regions"] += 1
        elif len(columns) not in _COLUMNS:
            detail = f"{place}: has {len(columns)} columns instead of 15"
            log.add(FaultKind.MALFORMED_ANNOTATION, file, detail, image_id)
        else:
            x1, y1, x2, y2 = (to_float(column) for column in columns[4:8])
            said = " ".join(columns[4:8])
            boxes.append(AnnotatedBox(columns[0], (x1, y1, x2, y2), place, said))
    return Annotation(file, boxes)
