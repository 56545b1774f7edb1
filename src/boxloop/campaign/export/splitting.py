"""Split exported images into two sides, for training and for validation, and cut no clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from boxloop.campaign.export.clips import Clip, merge
from boxloop.core.types import ImageRef
from boxloop.errors import ParamsError, UserError

BY_BATCH, RANDOM, GROUP = "by-batch", "random", "group"
SPLITS = (BY_BATCH, RANDOM, GROUP)
"""How images are split: by the batch that they were labeled in, at random, by their folders."""

TRAIN, VAL = "train", "val"


@dataclass(frozen=True)
class Split:
    """How an export is split; see :func:`split`.

    Raises:
        ParamsError: there is no such way, or no side would have an image.
    """

    how: str
    val: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.how not in SPLITS:
            raise ParamsError(f"--split must be one of {', '.join(SPLITS)}, got {self.how!r}")
        if not 0 < self.val < 1:
            raise ParamsError(
                f"--val must be a fraction between 0 and 1, such as 0.2, got {self.val:g}"
            )


def split(
    wanted: Split,
    images: Sequence[ImageRef],
    clips: Sequence[Clip],
    batches: Mapping[str, str],
) -> tuple[dict[str, tuple[str, ...]], str]:
    """Split images into the sides "train" and "val".

    Args:
        wanted: how, and how large a fraction is for validation; at random, clips are drawn until
            no other fits. Of batches the last ones are taken, as many as come nearest to it.
        images: in the order of labeling.
        clips: of these images, each once; none gets to both sides. Where one has images of an
            earlier batch, all of it is for training.
        batches: the batch of each image.

    Returns:
        The ids of each side, in the order of ``images``; what a person should know, in a clause.

    Raises:
        UserError: one side would be empty; says why.
    """
    if len(clips) < 2:
        raise UserError(
            f"--split {wanted.how}: all {len(images)} images are one clip, which is never cut:"
            " where they are several clips, put the images of each in a folder of its own and run"
            " 'dvc repro', else leave --split out and keep another set for validation"
        )
    if wanted.how == BY_BATCH:
        chosen, note = _last_batches(wanted.val, images, clips, batches)
    else:
        groups = list(clips)
        if wanted.how == GROUP:
            folders = {image.id: PurePosixPath(image.path).parent.as_posix() for image in images}
            groups = merge(clips, folders)
        chosen, note = _draw(wanted, len(images), groups)
    train = tuple(image.id for image in images if image.id not in chosen)
    val = tuple(image.id for image in images if image.id in chosen)
    return {TRAIN: train, VAL: val}, note


def _draw(wanted: Split, count: int, groups: Sequence[Clip]) -> tuple[set[str], str]:
    what = "folders" if wanted.how == GROUP else "clips and single images"
    if len(groups) < 2:  # clips are more
        raise UserError(
            f"--split {GROUP}: all {count} images are of one folder, or of clips that lie in"
            f" several: take --split {RANDOM}"
        )
    order = np.random.default_rng(wanted.seed).permutation(len(groups))
    most, chosen = wanted.val * count, set[str]()
    number = 0
    for place in order.tolist():
        if len(chosen) + len(groups[place]) <= most + 1e-9:
            chosen.update(groups[place])
            number += 1
    if not chosen:
        smallest = min(range(len(groups)), key=lambda place: len(groups[place]))
        chosen, number = set(groups[smallest]), 1
    return chosen, f"val has {number} of {len(groups)} {what}, none of them cut"


def _last_batches(
    val: float, images: Sequence[ImageRef], clips: Sequence[Clip], batches: Mapping[str, str]
) -> tuple[set[str], str]:
    keys = list(dict.fromkeys(batches[image.id] for image in images))
    if len(keys) < 2:
        raise UserError(
            f"--split {BY_BATCH}: all images are of batch {keys[0]}: take --split {RANDOM}"
        )
    place = {key: number for number, key in enumerate(keys)}
    # A clip is as early as its earliest image.
    first = {i: min(place[batches[j]] for j in clip) for clip in clips for i in clip}
    sizes = {
        start: sum(first[image.id] >= start for image in images) for start in range(1, len(keys))
    }
    most = {start: size for start, size in sizes.items() if size}
    if not most:
        raise UserError(
            f"--split {BY_BATCH}: every image of the later batches is of a clip that {keys[0]} has"
            f" images of, and clips are never cut: take --split {RANDOM}"
        )
    start = min(most, key=lambda place: (abs(most[place] - val * len(images)), -place))
    chosen = {image.id for image in images if first[image.id] >= start}
    cut = sum(place[batches[image.id]] >= start for image in images) - len(chosen)
    note = f"val is of {', '.join(keys[start:])}"
    if cut:
        note += f", and {cut} more of their images are in train with earlier ones of their clips"
    return chosen, note
