"""Tell whether what a turn made is still what it would make, so that no training is repeated.

DVC runs a turn's stage again when anything that it reads has changed. A training takes much longer
than all else that the stage does, so its log says what it was made of.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from boxloop.campaign import artifacts, existing, pixels
from boxloop.campaign.digests import digest
from boxloop.core.types import Batch
from boxloop.errors import ArtifactError
from boxloop.files import EMPTY_DETECTOR, explained, file_digest, open_regular, read_bytes
from boxloop.params import TrainParams
from boxloop.params.registry import DETECTORS, Registry

DETECTOR = "detector"
_WEIGHTS = "weights"
_OF_A_NETWORK = ("*.json", "*.safetensors", "*.bin")
"""The files of a folder that a network is made of."""
_CHANGES = re.compile(rb'\n "changes": \[[^]]*\],')


def training_inputs(
    params: TrainParams, images: Path, labeled: Path, previous: Path
) -> dict[str, str]:
    """Return digests of everything that a training depends on, by name.

    Args:
        params: of the training.
        images: the file of all images.
        labeled: the labeled set.
        previous: the detector of the turn before, which counts where ``params.warm_start`` is set.

    Raises:
        ArtifactError: a file cannot be read.
    """
    made_of = {
        "images": _images_digest(images),
        "labeled": file_digest(labeled),
        "params": digest(params.model_dump(mode="json")),
    }
    if params.warm_start:
        made_of["previous"] = file_digest(previous)
    if (code := code_digest(DETECTORS, params.detector)) is not None:
        made_of["code"] = code
    weights = None if _goes_on(params, previous) else weights_digest(params.weights)
    if weights is not None:
        made_of[_WEIGHTS] = weights
    return made_of


def _images_digest(path: Path) -> str:
    """Return the digest of the images' file but for the changes of classes, which labels show."""
    with explained(path):
        return hashlib.sha256(_CHANGES.sub(b"", read_bytes(path), count=1)).hexdigest()


def is_made_of(made_of: Mapping[str, str], inputs: Mapping[str, str]) -> bool:
    """Return whether what a training was made of is what it would be made of now.

    The file of ``train.weights`` counts where both tell its digest: older logs do not, and it need
    not lie on every machine.
    """
    either = made_of.keys() ^ inputs.keys()
    return either <= {_WEIGHTS} and all(
        made_of[name] == inputs[name] for name in made_of.keys() & inputs.keys()
    )


def has_trained(log: Path, detector: Path, inputs: Mapping[str, str]) -> bool:
    """Return whether a detector is the one that its log is of, made of these ``inputs``."""
    try:
        made_of = artifacts.read_training(log).made_of
        return is_made_of(made_of, {**inputs, DETECTOR: file_digest(detector)})
    except ArtifactError:
        return False


def _goes_on(params: TrainParams, previous: Path) -> bool:
    """Tell whether a training goes on from the detector before, and so has no use for weights."""
    if not params.warm_start:
        return False
    with open_regular(previous) as file:
        return file.read(len(EMPTY_DETECTOR)) != EMPTY_DETECTOR


def code_digest(registry: Registry, name: str) -> str | None:
    """Return what stands for the code behind a name; None for boxloop's own, or where it is away.

    Raises:
        ArtifactError: its file cannot be read.
    """
    code = registry.code_of(name)
    return file_digest(code) if isinstance(code, Path) else code


def weights_digest(name: str) -> str | None:
    """Return the digest of a local file or folder of weights; None where it is a name, or away.

    Raises:
        ArtifactError: a file cannot be read.
    """
    weights = Path(os.path.expanduser(name))  # which leaves what is nobody's home as it is
    if weights.is_file():
        return file_digest(weights)
    if not weights.is_dir():
        return None
    parts = sorted(path for pattern in _OF_A_NETWORK for path in weights.glob(pattern))
    return digest([[path.name, file_digest(path)] for path in parts if path.is_file()])


def has_proposed(
    proposals: Path,
    detector: Path,
    batch: Batch,
    score_floor: float,
    origin: str | None = None,
    images: Path | None = None,
) -> bool:
    """Return whether the proposals for a batch are those of a detector, from this score floor on.

    Where a batch was given proposals, or images of it have labels, whether they are those; else
    where a foundation model makes them, whether they are of this ``origin``. Where they tell of
    which pixels they are, whether those are today's, by the file of all ``images``.

    ``propose.batch_size`` and ``propose.device`` do not count: they say how the same is computed.
    """
    try:
        made, digests = artifacts.read_dated_proposals(proposals)
        if images is not None and digests is not None:
            pixels.require_proposed(proposals, digests, artifacts.read_images(images))
        return (
            (made.batch, tuple(made.boxes)) == (batch.id, tuple(batch.image_ids))
            and made.score_floor == score_floor
            and made.checkpoint == existing.made_of(batch, detector, origin)
        )
    except ArtifactError:
        return False
