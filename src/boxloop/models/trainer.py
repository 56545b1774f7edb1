"""The training loop of detectors and of SimNet."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from boxloop import distributed
from boxloop.core.training_log import LossRows, StepLoss
from boxloop.errors import DivergedError
from boxloop.models import devices
from boxloop.models.batch_norm import recalibrate_batch_norm
from boxloop.models.progress import StepProgress
from boxloop.params import SimNetParams, TrainParams

MAX_GRADIENT_NORM = 10.0
"""Gradients are scaled down to this L2 norm where they exceed it."""

MOMENTUM = 0.9
"""Momentum of SGD."""

Batch = tuple[Any, ...]
"""Tensors of one step, also in lists and dicts."""

ComputeLosses = Callable[[nn.Module, Batch], Mapping[str, torch.Tensor]]
"""Computes a batch's losses by name; they are scalars, and their sum is minimised."""


@dataclass(frozen=True)
class FitResult:
    """Losses and times of a training.

    Attributes:
        losses: rows of ``step`` (1-based), ``total``, the losses by name, ``learning_rate`` and
            ``time`` (seconds since the first step began). A row is the mean over the steps since
            the row before it.
        seconds: of all steps, and of the recalibration of batch norm.
        waited: seconds of these in which the model waited for its next batch.
        parameters: numbers in the model that training could change.
        device: where it was computed, for example "cuda:0" or "2 x cuda".
    """

    losses: tuple[dict[str, float], ...]
    seconds: float
    waited: float
    parameters: int
    device: str


def fit(
    model: nn.Module,
    compute_losses: ComputeLosses,
    batches: Iterable[Batch],
    params: TrainParams | SimNetParams,
    device: torch.device,
    *,
    steps: int,
    seed: int,
    calibration: Iterable[Batch],
    decay_vectors: bool,
    unused_parameters: bool = False,
    gradient_scale: float = 1.0,
    subject: str = "training",
    remedy: str,
    progress: StepProgress | None = None,
) -> FitResult:
    """Train a model in place, and leave it in evaluation mode.

    On the CPU the same model, batches, parameters and thread count give the same bits. On a CUDA
    device the forward pass runs in bfloat16 where the device has it, else in float16 with a scaled
    loss. Of processes that work together each takes its share of every batch; gradients and the
    logged losses are means over them, and all end with the same model.

    Args:
        model: on ``device``.
        compute_losses: the forward pass of one step, by the model that it is given.
        batches: at least ``steps`` of them.
        params: optimizer, schedule, learning rate and weight decay.
        device: where to compute.
        steps: optimiser steps.
        seed: of what the model draws while it is trained.
        calibration: arguments of the model, of the batches that batch norm is recalibrated with.
        decay_vectors: whether biases and the parameters of norm layers decay as well.
        unused_parameters: whether the losses do not depend on some of the parameters.
        gradient_scale: factor of the gradients; for losses whose gradients are to be summed over
            the processes, their number.
        subject: what is trained, for the error.
        remedy: what to change where the loss diverges, for the error.
        progress: called after every step.

    Raises:
        DivergedError: the loss or the weights became NaN or infinite; the model is of no use.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = build_optimizer(trainable, params, decay_vectors=decay_vectors)
    schedule = build_schedule(optimizer, params, steps)
    precision = devices.precision(device)
    scaler = torch.amp.GradScaler(device.type, enabled=precision is torch.float16)
    rows: list[dict[str, float]] = []
    loss_rows = LossRows(steps)
    world = distributed.world()
    waited, rate = 0.0, params.learning_rate

    def diverged(what: str, step: int) -> DivergedError:
        return DivergedError(
            f"{subject} diverged: {what} at step {step} of {steps} (learning rate {rate:.3g});"
            f" nothing was written: {remedy}"
        )

    model.train()
    learner = distributed.wrap_ddp(model, device, unused_parameters=unused_parameters)
    with devices.reproducible(seed, device):
        iterator = iter(batches)
        begin = time.perf_counter()
        for step in range(1, steps + 1):
            asked = time.perf_counter()
            batch = devices.move(next(iterator), device)
            waited += time.perf_counter() - asked
            with torch.autocast(device.type, precision, enabled=precision is not None):
                losses = compute_losses(learner, batch)
                parts = torch.stack([value.float() for value in losses.values()])
                total = parts.sum()
            means = distributed.all_reduce_mean(parts.detach().clone()).tolist()
            loss = StepLoss(sum(means), dict(zip(losses, means, strict=True)))
            rate = float(optimizer.param_groups[0]["lr"])
            if not math.isfinite(loss):
                raise diverged(f"the loss became {loss}", step)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(total * gradient_scale).backward()  # type: ignore[no-untyped-call]
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(trainable, MAX_GRADIENT_NORM)
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
            if (row := loss_rows.add(step, loss)) is not None:
                elapsed = round(time.perf_counter() - begin, 3)
                rows.append({"step": step, **row, "learning_rate": rate, "time": elapsed})
            if progress is not None:
                progress(step, steps, loss)
        if world.is_main:
            recalibrate_batch_norm(model, calibration, device)
        distributed.broadcast(model.buffers())
        seconds = time.perf_counter() - begin
    if not all(bool(t.isfinite().all()) for t in model.state_dict().values()):
        raise diverged("the weights became NaN or infinite", steps)
    model.eval()
    return FitResult(
        losses=tuple(rows),
        seconds=seconds,
        waited=waited,
        parameters=sum(p.numel() for p in trainable),
        device=str(device) if world.size == 1 else f"{world.size} x {device.type}",
    )


def build_optimizer(
    parameters: list[nn.Parameter], params: TrainParams | SimNetParams, *, decay_vectors: bool
) -> torch.optim.Optimizer:
    """Build the optimizer that ``params`` names.

    Parameters of one dimension (biases, and the scales of norm layers) decay with
    ``decay_vectors`` only.
    """
    decayed = [p for p in parameters if decay_vectors or p.ndim > 1]
    others = [p for p in parameters if not decay_vectors and p.ndim <= 1]
    groups = [
        {"params": chosen, "weight_decay": decay}
        for chosen, decay in ((decayed, params.weight_decay), (others, 0))
        if chosen
    ]
    if params.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=params.learning_rate, fused=True)
    return torch.optim.SGD(groups, lr=params.learning_rate, momentum=MOMENTUM, fused=True)


def build_schedule(
    optimizer: torch.optim.Optimizer, params: TrainParams | SimNetParams, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Build the learning rate schedule that ``params`` names.

    one_cycle is that of Smith and Topin 2019 (arXiv:1708.07120), without cycled momentum.
    """
    if params.schedule == "one_cycle":
        total = steps + 1  # torch steps the schedule once more than the optimiser
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=params.learning_rate,
            total_steps=total,
            pct_start=max(0.2, 2 / total),  # torch divides by zero where the rise takes one step
            cycle_momentum=False,
        )
    if params.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
