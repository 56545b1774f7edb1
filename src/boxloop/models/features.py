"""Feature vectors of images by a classification network (paper, section 3.1)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from boxloop import distributed
from boxloop.core.types import FeatureTable, ImageRef
from boxloop.errors import ArtifactError, WeightsError
from boxloop.models import backbones, devices
from boxloop.models.backbone import Backbone, Start
from boxloop.models.checkpoint import SimNetCheckpoint, read_simnet
from boxloop.models.image_loader import resized_batches
from boxloop.models.progress import ItemProgress
from boxloop.params import SIMNET, FeaturesParams

Vectors = NDArray[np.float32]


def extract(
    images: Sequence[ImageRef],
    params: FeaturesParams,
    progress: ItemProgress | None = None,
    *,
    simnet: SimNetCheckpoint | Path | None = None,
) -> FeatureTable:
    """Compute one vector per image, the input of the network's classifying layer.

    Every image is squashed to a square of ``params.input_size`` pixels and normalised as the
    weights ask for; see :class:`boxloop.models.backbone.Backbone`. Processes that work together
    take whole batches each, so that the vectors do not depend on their number.

    Args:
        images: at least one.
        params: the seed draws the weights where they are "none".
        progress: called after every batch.
        simnet: a trained SimNet or its file, used where the weights are "simnet".

    Returns:
        Vectors (N, D) in the order of ``images``; of several processes, the main one has them
        all, and the others have those of their share.

    Raises:
        ParamsError: there is no such network, or it cannot take images of this size.
        WeightsError: the weights cannot be had, do not fit, or give numbers that are not finite.
        ArtifactError: SimNet is not trained, or its file is damaged, or of another network or input
            size.
        DatasetError: an image cannot be read.
    """
    backbone = load_network(params, simnet)
    world = distributed.world()
    share = world.share(len(images), params.batch_size)
    mine = images[share.start : share.stop]

    def report(done: int) -> None:
        if progress is not None:
            progress(min(done * world.size, len(images)), len(images))

    vectors = compute_vectors(backbone, mine, params, report)
    vectors = distributed.gather_rows(vectors, len(images), params.batch_size)
    held = images if world.is_main else mine
    unite(held, vectors)
    return FeatureTable(tuple(image.id for image in held), vectors)


def load_network(params: FeaturesParams, simnet: SimNetCheckpoint | Path | None) -> Backbone:
    """Load the network on its device.

    Raises:
        ParamsError, WeightsError, ArtifactError: as :func:`extract` does.
    """
    size = (params.input_size, params.input_size)
    if params.weights == SIMNET:
        if simnet is None:
            raise ArtifactError(
                "features.weights is simnet: name the file that 'boxloop simnet' wrote, as in"
                " --simnet data/simnet.pt"
            )
        if isinstance(simnet, Path):
            simnet = read_simnet(simnet, params.network, params.input_size)
        start = Start(simnet.origin, simnet.state, simnet.mean, simnet.std)
    else:
        start = backbones.start(params.network, params.weights, section="features")
    backbone = backbones.build(params.network, start, [size], seed=params.seed)
    return backbone.to(devices.pick(params.device))


def compute_vectors(
    backbone: Backbone,
    images: Sequence[ImageRef],
    params: FeaturesParams,
    report: Callable[[int], None],
) -> Vectors:
    """Compute vectors (n, D) of these images, batch by batch from the first one on.

    Args:
        backbone: of :func:`load_network`.
        images: n of them; (0, 0) comes of none.
        params: the same.
        report: called with the number of images done, after every batch.

    Raises:
        WeightsError: the weights give numbers that are not finite.
        DatasetError: an image cannot be read.
    """
    device, size = devices.pick(params.device), (params.input_size, params.input_size)
    batches = resized_batches(images, lambda _: size, params.batch_size, device)
    rows: list[Vectors] = []
    done = 0
    for vectors in _compute(backbone, batches, device):
        bad = ~np.isfinite(vectors).all(axis=1)
        if bad.any():
            name = images[done + int(bad.argmax())].id
            raise WeightsError(
                f"features.weights: {params.network} with '{params.weights}' gives numbers that are"
                f" not finite for image {name}: use other weights"
            )
        rows.append(vectors)
        done += len(vectors)
        report(done)
    # More processes than batches leave some with nothing to do.
    return np.concatenate(rows) if rows else np.empty((0, 0), dtype=np.float32)


def unite(images: Sequence[ImageRef], vectors: Vectors) -> None:
    """Give identical files the vector of the first of them, in place.

    A batch of another size is computed in another order, and differs in the last digits: files
    that are the same would have a distance, and come in the order of these digits.
    """
    first: dict[str, int] = {}
    for row, image in enumerate(images):
        same = first.setdefault(image.digest, row)
        if same != row:
            vectors[row] = vectors[same]


def _compute(
    backbone: Backbone, batches: Iterable[list[torch.Tensor]], device: torch.device
) -> Iterator[Vectors]:
    """Compute the vectors (B, D) of every batch.

    A CUDA device computes in half precision where it has it, and a batch while the next one is on
    its way.
    """
    precision = devices.precision(device)
    ahead = 1 if device.type == "cuda" else 0
    computed: deque[torch.Tensor] = deque()
    for batch in batches:
        pixels = torch.stack(devices.move(batch, device))
        half = torch.autocast(device.type, precision, enabled=precision is not None)
        with torch.inference_mode(), half:
            computed.append(backbone(pixels).float())
        if len(computed) > ahead:
            yield computed.popleft().cpu().numpy()
    for vectors in computed:
        yield vectors.cpu().numpy()
