"""Images without annotations: every image file below a folder.

The classes are those of ``dataset.classes``. Temporal order is the natural order of the paths; an
id is the path without its ending. Pictures of formats that are not read are named and counted.
"""

from __future__ import annotations

from pathlib import Path

from boxloop.core.types import ImageSet
from boxloop.datasets.class_names import check_class_names
from boxloop.datasets.cleaning import Dataset, probe_refs, require_images
from boxloop.datasets.faults import FaultLog
from boxloop.datasets.file_listing import ids_of, list_images, require_folder
from boxloop.datasets.images import Progress
from boxloop.errors import DatasetError
from boxloop.params import DatasetParams

KEYS: tuple[str, ...] = ()


def load(params: DatasetParams, root: Path, progress: Progress | None = None) -> Dataset:
    """Read all images below ``root``; the truth is None.

    Raises:
        DatasetError: the folder is missing, holds no usable image, or no class is named.
    """
    if not params.classes:
        raise DatasetError("format 'folder' has no annotations: list dataset.classes")
    check_class_names(params.classes, "dataset.classes")
    log = FaultLog()
    found = list_images(require_folder(root), log)
    if not found and not log.faults:
        raise DatasetError(f"{root} holds no image file")
    candidates = [(id_, root / path) for id_, path in zip(ids_of(found), found, strict=True)]
    refs = probe_refs(candidates, log, progress)
    require_images(refs, str(root), log)
    images = ImageSet(tuple(refs), params.classes)
    return Dataset(images, None, tuple(log.faults), dict(log.left_out))
