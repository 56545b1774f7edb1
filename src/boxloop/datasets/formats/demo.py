"""The demo set: scenes that boxloop draws itself, see :mod:`boxloop.datasets.demo_scenes`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from boxloop.datasets.annotations import AnnotatedBox, Annotation
from boxloop.datasets.cleaning import Dataset, build_dataset, probe_refs
from boxloop.datasets.demo_scenes import CLASSES, draw_scenes
from boxloop.datasets.drawn_folder import OWN_FILE
from boxloop.datasets.faults import FaultLog
from boxloop.datasets.images import Progress
from boxloop.files import atomic_path
from boxloop.params import DatasetParams

KEYS: tuple[str, ...] = ()


def load(params: DatasetParams, drawn: Path, progress: Progress | None = None) -> Dataset:
    """Draw the set into ``drawn`` as PNG files and read it.

    ``params.path`` is not used. Images of an earlier, larger set are removed from ``drawn``.

    Raises:
        DatasetError: the images asked for are too small, or a class is not one of the four.
    """
    drawn.mkdir(parents=True, exist_ok=True)
    candidates, annotations = [], {}
    for scene in draw_scenes(params.demo):
        path = drawn / f"{scene.id}.png"
        with atomic_path(path) as temporary:
            Image.fromarray(scene.pixels).save(temporary, format="PNG", compress_level=1)
        candidates.append((scene.id, path))
        boxes = [
            AnnotatedBox(label, (x1, y1, x2, y2), "drawn", "")
            for label, (x1, y1, x2, y2) in zip(scene.labels, scene.xyxy.tolist(), strict=True)
        ]
        annotations[scene.id] = Annotation(path, boxes)
    current = {path for _, path in candidates}
    for path in drawn.iterdir():
        if OWN_FILE.fullmatch(path.name) and path not in current:
            path.unlink()
    log = FaultLog()
    refs = probe_refs(candidates, log, progress)
    return build_dataset(params, refs, annotations, CLASSES, log)
