"""The training of SimNet."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from boxloop import distributed
from boxloop.core.training_log import SimNetLog
from boxloop.core.types import ImageRef
from boxloop.errors import DatasetError, ParamsError
from boxloop.models import backbones, devices
from boxloop.models.batch_norm import CALIBRATION_IMAGES, calibration_batches
from boxloop.models.checkpoint import SimNetCheckpoint
from boxloop.models.image_loader import ImageCache
from boxloop.models.progress import StepProgress
from boxloop.models.simnet.loss import lifted_structure_loss
from boxloop.models.simnet.pairs import (
    batches_per_epoch,
    draw_epoch,
    half_size,
    pair_labels,
    shard,
    split_halves,
)
from boxloop.models.trainer import Batch, fit
from boxloop.params import FeaturesParams, SimNetParams


def train(
    images: Sequence[ImageRef],
    params: SimNetParams,
    features: FeaturesParams,
    progress: StepProgress | None = None,
) -> tuple[SimNetCheckpoint, SimNetLog]:
    """Train the backbone of the features on the halves of all images.

    See :func:`boxloop.models.trainer.fit`; ``features`` names the network and its input size.

    Raises:
        ParamsError: there is no such network, or it cannot take halves of this size, or the
            processes cannot share a batch.
        WeightsError: the initial weights cannot be had or do not fit.
        DatasetError: an image cannot be read, or there are too few.
        DivergedError: the loss became NaN or infinite.
    """
    # A copy under another name would be pushed away from its twin.
    different = list({image.digest: image for image in images}.values())
    if len(different) < 2:
        raise DatasetError(
            "SimNet learns to tell images apart, and all of these are the same: give it at least 2"
            " different images, or set features.weights to something else than simnet"
        )
    device = devices.pick(params.device)
    world = distributed.world()
    if world.size > 1 and min(params.batch_size, len(different)) < 2 * world.size:
        raise ParamsError(
            f"{world.size} processes cannot share batches of"
            f" {min(params.batch_size, len(different))} images: raise simnet.batch_size, or lower"
            " --processes"
        )
    side = features.input_size
    start = backbones.start(features.network, params.weights, section="simnet")
    sizes = [(side, side), half_size(side, params.halves)]
    backbone = backbones.build(
        features.network, start, sizes, seed=params.seed, section="simnet"
    ).to(device)
    begin = time.perf_counter()
    cache = ImageCache(different, [(side, side)] * len(different))
    preparing = time.perf_counter() - begin
    steps = params.epochs * batches_per_epoch(len(different), params.batch_size)
    compute_loss = lifted_structure_loss(params.margin)

    def compute_losses(model: nn.Module, batch: Batch) -> Mapping[str, torch.Tensor]:
        (whole,) = batch
        vectors = model(split_halves(whole, params.halves))
        owners = pair_labels(len(whole)) + world.rank * len(whole)
        with torch.autocast(device.type, enabled=False):
            loss = compute_loss(vectors.float(), owners.to(device))
        # Of several processes, the library multiplies the loss by their number.
        return {"loss": loss / world.size}

    ahead = 2 * params.batch_size
    calibration = calibration_batches(len(different), params.batch_size, CALIBRATION_IMAGES)
    result = fit(
        backbone,
        compute_losses,
        ((whole,) for whole in cache.batches(_plan(len(different), params), ahead)),
        params,
        device,
        steps=steps,
        seed=params.seed,
        # Batches of whole images, which the features come from.
        calibration=((whole,) for whole in cache.batches(calibration, ahead)),
        decay_vectors=True,
        unused_parameters=world.size > 1 and backbone.has_unused_parameters((side, side)),
        gradient_scale=world.size,
        subject="SimNet's training",
        remedy=f"lower simnet.learning_rate (now {params.learning_rate:g})",
        progress=progress,
    )
    trained = SimNetCheckpoint(
        network=features.network,
        input_size=side,
        halves=params.halves,
        initial_weights=params.weights,
        steps=steps,
        mean=start.mean,
        std=start.std,
        state=backbone.network.state_dict(),
    )
    log = SimNetLog(
        steps=steps,
        epochs=params.epochs,
        images=len(different),
        # With one loss, the sum of the losses tells nothing more.
        losses=tuple({k: v for k, v in row.items() if k != "total"} for row in result.losses),
        seconds=result.seconds,
        images_per_second=len(different) * params.epochs / result.seconds,
        wait_fraction=result.waited / result.seconds,
        preparing_seconds=preparing,
        device=result.device,
        initial_weights=params.weights,
        network=features.network,
        halves=params.halves,
        input_size=side,
    )
    return trained, log


def _plan(images: int, params: SimNetParams) -> Iterator[list[int]]:
    """Draw this process's share of all batches of the training."""
    generator = torch.Generator().manual_seed(params.seed)
    world = distributed.world()
    for _ in range(params.epochs):
        for batch in draw_epoch(images, params.batch_size, generator):
            yield shard(batch, world.rank, world.size)
