"""Compute digests of a campaign's dataset and parameters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from boxloop.campaign.artifacts import read_images, read_truth
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import BoxesByImage, ImageSet
from boxloop.params import Params, TrackParams

_COSMETIC = {"track", "report", "iterations"}


def digest(content: Any) -> str:
    """Return 32 hex digits of SHA-256 over canonical JSON; MLflow stores at most 36."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def dataset_digest(paths: CampaignPaths) -> str:
    """Return the digest of a dataset: image ids and pixels, classes, ground truth."""
    return content_digest(read_images(paths.images), read_truth(paths.truth))


def content_digest(images: ImageSet, truth: BoxesByImage | None) -> str:
    """Return :func:`dataset_digest` of a dataset in memory."""
    boxes: Mapping[str, Any] = {
        image_id: [b.xyxy.tolist(), b.labels.tolist()] for image_id, b in (truth or {}).items()
    }
    rows = [[image.id, image.digest] for image in images.images]
    return digest([rows, images.classes, None if truth is None else boxes])


def campaign_fingerprint(params: Params, dataset: str) -> str:
    """Return the digest of what a campaign's results depend on, equal on every machine.

    The number of iterations counts only where it decides the batch sizes; otherwise one more
    iteration continues the same campaign.
    Sections that change no result do not count, nor does ``simnet`` where it is not used.
    """
    content = params.model_dump(mode="json", exclude=_COSMETIC | params.unused)
    batch = params.batch
    if batch.size is None and batch.count is None and batch.sizes is None:
        content["batches"] = len(params.iterations)
    return digest([content, dataset])


def settings_digest(params: Params) -> str:
    """Return the digest of all parameters that turns are accounted and tracked by.

    A turn does not watch them itself: they reach it in the ``tracked`` file of the turn before.
    What a report alone looks at does not count, nor does one more iteration.
    """
    settings = params.model_dump(mode="json", exclude={"iterations", "report"})
    # Logged models are beside the runs: where nothing is said of them, nothing is tracked again.
    if settings["track"]["models"] == TrackParams().models:
        del settings["track"]["models"]
    return digest(settings)


def training_digest(made_of: Mapping[str, str]) -> str:
    """Return the digest of what a detector is trained by, equal before and after the training."""
    return digest({name: value for name, value in made_of.items() if name != "detector"})
