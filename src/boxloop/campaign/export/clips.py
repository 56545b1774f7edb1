"""Find the clips among the images of a campaign: what shows the same moments is never split.

Datasets do not say which images are frames of one video, or one photograph twice. Taken together is

- what is the same file, or one picture in several versions (Roboflow's ``NAME.rf.DIGITS.jpg``);
- neighbours in the order of the dataset that look nearly alike: the distance of their features is
  less than half of what two images of the set are usually apart;
- images of one folder whose names differ in the last number only (``clip7_001``, ``clip7_002``),
  where at least half of the neighbours in that count look nearly alike. So a whole clip stays
  together over its cuts, and the photographs ``IMG_0001``, ``IMG_0002``, ... do not become one.

Without features, names alone are judged: what stands before the last number must name a clip, by a
number of its own or a word such as "frame".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import numpy as np

from boxloop.core.types import FeatureTable, Floats, ImageRef

Clip = tuple[str, ...]
"""Ids of images that belong together."""

_NEAR = 0.5
"""Of the usual distance: the demo's frames are up to 0.5 apart, and its stills 0.57 or more."""

_PAIRS = 2_000
_VERSION = re.compile(r"[._](jpe?g|png|bmp|webp)\.rf\.[0-9a-z]+$", re.IGNORECASE)
_COUNTED = re.compile(r"(?P<start>.*?)(?P<number>\d{1,18})", re.DOTALL)
_NAMES_A_CLIP = re.compile(r"\d|(frame|frm|clip|shot|video|scene|seq|cam)[^a-z]*$", re.IGNORECASE)


def find_clips(images: Sequence[ImageRef], features: FeatureTable | None) -> list[Clip]:
    """Divide images into clips; an image that is in none with others is one of its own.

    Args:
        images: in the order of the dataset.
        features: of these images and maybe others; None where they are not known.

    Returns:
        Every image once, in the order of ``images`` within and among clips.
    """
    groups = _Groups(len(images))
    for same in _by(image.digest for image in images).values():
        groups.join(same)
    counted = _by_name(images)
    for by_number in counted:
        for same in by_number.values():
            groups.join(same)
    # Of each number the first image stands for its versions.
    runs = [[rows[0] for _, rows in sorted(by_number.items())] for by_number in counted]
    vectors = _vectors(images, features)
    if vectors is None:
        for run in runs:
            start, _ = _split_name(images[run[0]])
            if _NAMES_A_CLIP.search(PurePosixPath(start).name):
                groups.join(run)
    else:
        near = _NEAR * _usual_distance(vectors)
        rows = list(range(len(images)))
        steps = _steps(vectors, rows)
        for row in np.flatnonzero(steps < near).tolist():
            groups.join((row, row + 1))
        for run in runs:
            steps = _steps(vectors, run)
            if len(steps) and np.median(steps) < near:
                groups.join(run)
    clips = _by(groups.of(row) for row in range(len(images)))
    return [tuple(images[row].id for row in rows) for rows in clips.values()]


def merge(clips: Iterable[Clip], keys: dict[str, str]) -> list[Clip]:
    """Merge clips that share a key, such as the folder of their images.

    Args:
        clips: every image once.
        keys: of each image.
    """
    ids = [image_id for clip in clips for image_id in clip]
    rows = {image_id: row for row, image_id in enumerate(ids)}
    groups = _Groups(len(ids))
    for clip in clips:
        groups.join([rows[image_id] for image_id in clip])
    for same in _by(keys[image_id] for image_id in ids).values():
        groups.join(same)
    merged = _by(groups.of(row) for row in range(len(ids)))
    return [tuple(ids[row] for row in group) for group in merged.values()]


def _vectors(images: Sequence[ImageRef], features: FeatureTable | None) -> Floats | None:
    if features is None or features.vectors.size == 0:
        return None
    ids = [image.id for image in images]
    if not set(ids) <= set(features.image_ids):
        return None
    return features.subset(ids).vectors.astype(np.float64)


def _usual_distance(vectors: Floats) -> float:
    pairs = np.random.default_rng(0).integers(0, len(vectors), (2, _PAIRS))
    first, second = pairs[:, pairs[0] != pairs[1]]
    distances = np.linalg.norm(vectors[first] - vectors[second], axis=1)
    return float(np.median(distances)) if len(distances) else 0.0


def _steps(vectors: Floats, rows: Sequence[int]) -> Floats:
    """Return the distances (n - 1,) from each of n images to the next."""
    steps: Floats = np.linalg.norm(vectors[rows[1:]] - vectors[rows[:-1]], axis=1)
    return steps


def _by_name(images: Sequence[ImageRef]) -> list[dict[int, list[int]]]:
    """Return the rows of images by number, of each group of names that differ in it only."""
    found: dict[str, dict[int, list[int]]] = {}
    for row, image in enumerate(images):
        start, number = _split_name(image)
        found.setdefault(start, {}).setdefault(number, []).append(row)
    return list(found.values())


def _split_name(image: ImageRef) -> tuple[str, int]:
    """Return folder and name without the last number, and that; all and -1 where there is none."""
    path = PurePosixPath(image.path)
    stem = _VERSION.sub("", path.stem)
    match = _COUNTED.fullmatch(stem)
    # No name can have a slash: what follows it here is no other name's start.
    folder = path.parent.as_posix()
    return (f"{folder}//{stem}", -1) if match is None else (
        f"{folder}/{match['start']}", int(match["number"])
    )  # fmt: skip


def _by(keys: Iterable[object]) -> dict[object, list[int]]:
    """Return the places of equal keys, in the order of their first ones."""
    found: dict[object, list[int]] = {}
    for place, key in enumerate(keys):
        found.setdefault(key, []).append(place)
    return found


class _Groups:
    """Rows that are joined into groups (union-find)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def of(self, row: int) -> int:
        """Return the row that stands for a row's group."""
        while self._parent[row] != row:
            self._parent[row] = self._parent[self._parent[row]]
            row = self._parent[row]
        return row

    def join(self, rows: Sequence[int]) -> None:
        for row in rows[1:]:
            first, second = sorted((self.of(rows[0]), self.of(row)))
            self._parent[second] = first
