"""Which campaign this is, and which MLflow store it goes to."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boxloop.campaign.artifacts import read_images, read_truth
from boxloop.campaign.paths import CampaignPaths, workspace_of
from boxloop.core.types import BoxesByImage, ImageSet
from boxloop.params import Params

URI_VARIABLE = "MLFLOW_TRACKING_URI"
_COSMETIC = {"track", "report", "iterations"}


def digest(content: Any) -> str:
    """32 hex digits of SHA-256 over canonical JSON (MLflow stores digests of up to 36)."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def dataset_digest(paths: CampaignPaths) -> str:
    """Digest of what the dataset is: its images' ids and pixels, its classes and its truth."""
    return content_digest(read_images(paths.images), read_truth(paths.truth))


def content_digest(images: ImageSet, truth: BoxesByImage | None) -> str:
    """As :func:`dataset_digest`, of a dataset in memory."""
    boxes: Mapping[str, Any] = {
        image_id: [b.xyxy.tolist(), b.labels.tolist()] for image_id, b in (truth or {}).items()
    }
    rows = [[image.id, image.digest] for image in images.images]
    return digest([rows, images.classes, None if truth is None else boxes])


def campaign_fingerprint(params: Params, dataset: str) -> str:
    """Digest of what a campaign's results depend on, the same on every machine.

    The number of iterations counts only where it decides how the order is cut into batches:
    otherwise another iteration continues the same campaign.

    Args:
        params: all sections; ``track`` and ``report`` are left out, and ``simnet`` where it is not
            asked for.
        dataset: of :func:`dataset_digest`.
    """
    content = params.model_dump(mode="json", exclude=_COSMETIC | params.unused)
    batch = params.batch
    if batch.size is None and batch.count is None and batch.sizes is None:
        content["batches"] = len(params.iterations)
    return digest([content, dataset])


def campaign_identity(fingerprint: str, workspace: Path) -> str:
    """What tells a campaign from the others in its store.

    A store in the workspace has to tell parameters apart only, and may move with its folder. On a
    shared one, two people's (or two folders') runs of the same campaign stay apart too.
    """
    if not os.environ.get(URI_VARIABLE):
        return fingerprint
    return digest([fingerprint, platform.node(), workspace.as_posix()])


def store_uri(workspace: Path) -> str:
    """MLFLOW_TRACKING_URI where it is set, else a sqlite file in the workspace."""
    return os.environ.get(URI_VARIABLE) or f"sqlite:///{(workspace / 'mlflow.db').as_posix()}"


def shown_uri(uri: str) -> str:
    """A store's address without the user name and the password that it may hold."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.startswith("sqlite"):
        return uri
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def ui_hint(folder: Path) -> str:
    """How a person opens MLflow on what was tracked from this folder, in one line."""
    uri = os.environ.get(URI_VARIABLE)
    if uri and uri.startswith("http"):
        return f"open {shown_uri(uri)}"
    # One worker is enough for one person, and starts much faster than the default of four.
    command = "mlflow ui --workers 1 --backend-store-uri "
    if uri:
        # Not spelled out: it may hold a password, and the shell knows it.
        return f'{command}"${URI_VARIABLE}"'
    workspace = workspace_of(folder)
    if workspace == folder.resolve():
        return f"{command}sqlite:///mlflow.db"
    return command + store_uri(workspace)
