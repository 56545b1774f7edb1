"""The training of SimNet."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import tee
from typing import Any

import torch
from torch import nn

from boxloop import distributed
from boxloop.core.types import ImageRef
from boxloop.errors import DatasetError, DivergedError, ParamsError
from boxloop.models import backbones, devices
from boxloop.models.backbones import Backbone
from boxloop.models.batch_norm import batch_norms, measured_anew
from boxloop.models.image_loader import ahead, read_resized
from boxloop.models.loss_rows import LossRows
from boxloop.models.simnet.checkpoint import SimNet
from boxloop.models.simnet.loss import lifted_structure_loss
from boxloop.models.simnet.pairs import batches_per_epoch, cut, epoch, half_size, labels, part
from boxloop.params import FeaturesParams, SimNetParams

GRADIENT_NORM = 10.0
"""Gradients are scaled down to this L2 norm where they exceed it."""

MEMORY_BUDGET = 2 * 2**30
"""Bytes of decoded images to keep in memory, on one machine.

Where they do not fit, each epoch reads them again."""

NORM_IMAGES = 1024
"""Images at most from which the statistics of batch norm are measured after training."""

Progress = Callable[[int, int, float], None]
"""Called after a step with the steps done, the steps in all and the loss."""


@dataclass(frozen=True)
class SimNetLog:
    """How the training went.

    Attributes:
        network: torchvision's name of the backbone.
        initial_weights: where the training started from.
        halves: "left_right" or "top_bottom".
        input_size: side in pixels of the square images that the halves were cut from.
        images: different images; byte-identical copies count once.
        epochs: passes over them.
        steps: optimiser steps.
        losses: rows of ``step``, ``loss``, ``learning_rate`` and ``time``, one per step; from 1,000
            steps on a row is the mean over several (:class:`boxloop.models.loss_rows.LossRows`).
        seconds: of all steps, and of measuring batch norm anew after them.
        images_per_second: ``images * epochs / seconds``.
        wait_fraction: share of ``seconds`` in which the network waited for its next images.
        preparing_seconds: time to decode and resize the images before the first step.
        device: where it was computed, for example "cpu" or "cuda:0".
    """

    network: str
    initial_weights: str
    halves: str
    input_size: int
    images: int
    epochs: int
    steps: int
    losses: tuple[dict[str, float], ...]
    seconds: float
    images_per_second: float
    wait_fraction: float
    preparing_seconds: float
    device: str

    def to_json(self) -> dict[str, Any]:
        """As plain dicts, lists, strings and numbers."""
        return {**asdict(self), "losses": list(self.losses)}


def train(
    images: Sequence[ImageRef],
    params: SimNetParams,
    features: FeaturesParams,
    progress: Progress | None = None,
) -> tuple[SimNet, SimNetLog]:
    """Trains the backbone that the features are to come from, on the halves of all images.

    On the CPU the same images, parameters and thread count give the same bits. On a CUDA device the
    forward pass runs in bfloat16 where the device has it, else in float16 with a scaled loss.
    Processes that work together share every batch, and all end with the same network.

    Args:
        images: at least two different ones.
        params: of the training.
        features: names the network and the size of its images.
        progress: told after every step.

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
    source = _Source(different, side)
    preparing = time.perf_counter() - begin
    with devices.reproducible(params.seed, device):
        begin = time.perf_counter()
        rows, waited = _optimise(backbone, source, params, device, progress)
        if world.leads:
            _settle_norms(backbone, source, params, device)
        distributed.as_leader(backbone.buffers())
        seconds = time.perf_counter() - begin
    state = backbone.network.state_dict()
    steps = int(rows[-1]["step"])
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise _diverged("the weights became NaN or infinite", steps, steps, params)
    trained = SimNet(
        network=features.network,
        input_size=side,
        halves=params.halves,
        initial_weights=params.weights,
        steps=steps,
        mean=start.mean,
        std=start.std,
        state=state,
    )
    log = SimNetLog(
        network=features.network,
        initial_weights=params.weights,
        halves=params.halves,
        input_size=side,
        images=len(different),
        epochs=params.epochs,
        steps=steps,
        losses=tuple(rows),
        seconds=seconds,
        images_per_second=len(different) * params.epochs / seconds,
        wait_fraction=waited / seconds,
        preparing_seconds=preparing,
        device=str(device) if world.size == 1 else f"{world.size} x {device.type}",
    )
    return trained, log


class _Source:
    """The images as squares of ``side`` pixels, from memory where all of them fit there."""

    def __init__(self, images: Sequence[ImageRef], side: int) -> None:
        self._images, self._size = images, (side, side)
        budget = MEMORY_BUDGET // distributed.world().local_size
        fits = len(images) * 3 * side * side <= budget
        self._kept = list(ahead(self._read, images)) if fits else None

    def __len__(self) -> int:
        return len(self._images)

    def batches(self, plan: Iterable[list[int]], depth: int) -> Iterator[torch.Tensor]:
        """(B, 3, side, side) uint8 for each list of indices, read ``depth`` images ahead."""
        if self._kept is not None:
            kept = self._kept
            yield from (torch.stack([kept[i] for i in batch]) for batch in plan)
            return
        planned, wanted = tee(plan)
        refs = (self._images[i] for batch in planned for i in batch)
        decoded = ahead(self._read, refs, depth=depth)
        for batch in wanted:
            yield torch.stack([next(decoded) for _ in batch])

    def _read(self, image: ImageRef) -> torch.Tensor:
        return read_resized(image, self._size)


def _optimise(
    backbone: Backbone,
    source: _Source,
    params: SimNetParams,
    device: torch.device,
    progress: Progress | None,
) -> tuple[list[dict[str, float]], float]:
    """All steps; returns the rows of the log and the seconds spent waiting for images."""
    steps = params.epochs * batches_per_epoch(len(source), params.batch_size)
    trainable = [p for p in backbone.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trainable, lr=params.learning_rate, weight_decay=params.weight_decay, fused=True
    )
    # That of Smith and Topin 2019 (arXiv:1708.07120); torch steps it once more than the optimiser.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=params.learning_rate,
        total_steps=steps + 1,
        pct_start=max(0.2, 2 / (steps + 1)),
        cycle_momentum=False,
    )
    precision = devices.precision(device)
    scaler = torch.amp.GradScaler(device.type, enabled=precision is torch.float16)
    loss_of = lifted_structure_loss(params.margin)
    generator = torch.Generator().manual_seed(params.seed)
    world = distributed.world()
    plan = (
        part(batch, world.rank, world.size)
        for _ in range(params.epochs)
        for batch in epoch(len(source), params.batch_size, generator)
    )
    batches = source.batches(plan, depth=2 * params.batch_size)
    rows, waited = LossRows(steps), 0.0
    backbone.train()
    # The classifying layer runs, and nothing comes of it.
    learner = distributed.averaging(backbone, device, unused=True)
    begin = time.perf_counter()
    for step in range(1, steps + 1):
        asked = time.perf_counter()
        images = next(batches).to(device, non_blocking=True)
        waited += time.perf_counter() - asked
        rate = float(optimizer.param_groups[0]["lr"])
        with torch.autocast(device.type, precision, enabled=precision is not None):
            vectors = learner(cut(images, params.halves))
        own = labels(len(images)) + world.rank * len(images)
        total = loss_of(vectors.float(), own.to(device))
        # With a process for each part, the library multiplies the loss by their number, because
        # gradients are averaged over them.
        loss = float(total.detach()) / world.size
        if not math.isfinite(loss):
            raise _diverged(f"the loss became {loss}", step, steps, params)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(total).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(trainable, GRADIENT_NORM)
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        seconds = time.perf_counter() - begin
        rows.add(step, {"loss": loss}, learning_rate=rate, seconds=seconds)
        if progress is not None:
            progress(step, steps, loss)
    return rows.rows, waited


def _settle_norms(
    backbone: Backbone, source: _Source, params: SimNetParams, device: torch.device
) -> None:
    """Measures the statistics of batch norm on whole images, which the features come from."""
    if not batch_norms(backbone):
        return
    order = torch.randperm(len(source)).tolist()[:NORM_IMAGES]
    count = -(-len(order) // params.batch_size)
    # Every batch is full: the last one starts over with the first images.
    full = [order[i % len(order)] for i in range(count * params.batch_size)]
    plan = [full[i : i + params.batch_size] for i in range(0, len(full), params.batch_size)]
    with measured_anew(backbone):
        for images in source.batches(plan, depth=2 * params.batch_size):
            backbone(images.to(device))


def _diverged(what: str, step: int, steps: int, params: SimNetParams) -> DivergedError:
    return DivergedError(
        f"SimNet's training diverged: {what} at step {step} of {steps}; nothing was written: lower"
        f" simnet.learning_rate (now {params.learning_rate:g})"
    )
