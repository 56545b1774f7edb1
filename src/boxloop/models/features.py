"""Feature vectors of images by a classification network (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from boxloop import distributed
from boxloop.core.types import FeatureTable, ImageRef
from boxloop.errors import ArtifactError, WeightsError
from boxloop.models import backbones, devices
from boxloop.models.checkpoint import SimNetCheckpoint, read_simnet
from boxloop.models.image_loader import prefetch, read_resized
from boxloop.models.progress import ItemProgress
from boxloop.params import SIMNET, FeaturesParams


def extract(
    images: Sequence[ImageRef],
    params: FeaturesParams,
    progress: ItemProgress | None = None,
    *,
    simnet: SimNetCheckpoint | Path | None = None,
) -> FeatureTable:
    """Compute one vector per image, the input of the network's classifying layer.

    Every image is squashed to a square of ``params.input_size`` pixels and normalised as the
    weights ask for; see :class:`boxloop.models.backbones.Backbone`. Processes that work together
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
        ArtifactError: SimNet is not trained, or its file is damaged or of another network.
        DatasetError: an image cannot be read.
    """
    device = devices.pick(params.device)
    size = (params.input_size, params.input_size)
    if params.weights == SIMNET:
        if simnet is None:
            raise ArtifactError(
                "features.weights is simnet: name the file that 'boxloop simnet' wrote, as in"
                " --simnet data/simnet.pt"
            )
        trained = read_simnet(simnet, params.network) if isinstance(simnet, Path) else simnet
        start = backbones.Start(trained.origin, trained.state, trained.mean, trained.std)
    else:
        start = backbones.start(params.network, params.weights, section="features")
    backbone = backbones.build(params.network, start, [size], seed=params.seed).to(device)
    world = distributed.world()
    share = world.share(len(images), params.batch_size)
    mine = images[share.start : share.stop]
    decoded = prefetch(lambda image: read_resized(image, size), mine, depth=2 * params.batch_size)
    rows: list[np.ndarray[tuple[int, int], np.dtype[np.float32]]] = []
    for begin in range(0, len(mine), params.batch_size):
        count = min(params.batch_size, len(mine) - begin)
        batch = torch.stack([next(decoded) for _ in range(count)]).to(device)
        with torch.inference_mode():
            vectors = backbone(batch).float().cpu().numpy()
        bad = ~np.isfinite(vectors).all(axis=1)
        if bad.any():
            name = mine[begin + int(bad.argmax())].id
            raise WeightsError(
                f"features.weights: {params.network} with '{params.weights}' gives numbers that are"
                f" not finite for image {name}: use other weights"
            )
        rows.append(vectors)
        if progress is not None:
            progress(min((begin + count) * world.size, len(images)), len(images))
    # More processes than batches leave some with nothing to do.
    vectors = np.concatenate(rows) if rows else np.empty((0, 0), dtype=np.float32)
    vectors = distributed.gather_rows(vectors, len(images), params.batch_size)
    held = images if world.is_main else mine
    return FeatureTable(tuple(image.id for image in held), vectors)
