"""The training loop of the torch detectors."""

from __future__ import annotations

import math
import time

import torch
from torch import nn
from torch.utils.data import DataLoader

from boxloop import distributed
from boxloop.errors import DivergedError, ParamsError
from boxloop.models import devices
from boxloop.models.batch_norm import batch_norms, measured_anew
from boxloop.models.detectors.base import TrainingLog, TrainProgress
from boxloop.models.detectors.dataset import Drawn, Draws, LabeledSamples
from boxloop.models.loss_rows import LossRows
from boxloop.params import TrainParams

GRADIENT_NORM = 10.0
"""Gradients are scaled down to this L2 norm where they exceed it."""

LOG_ROWS = 1000
"""The log keeps at most this many rows."""

NORM_IMAGES = 1024
"""Images from which the statistics of batch norm are measured after training."""

LEAST_WORKERS = {"cuda": 2}
"""Processes that augment images at least, by the device: a GPU is faster than one of them, while on
a CPU they would take cores from the model."""

Target = dict[str, torch.Tensor]


def train_model(
    model: nn.Module,
    samples: LabeledSamples,
    params: TrainParams,
    device: torch.device,
    *,
    least_batch: int = 1,
    preparing_seconds: float = 0.0,
    initial_weights: str = "none",
    progress: TrainProgress | None = None,
) -> TrainingLog:
    """Trains a model of torchvision's detection interface in place.

    On the CPU the same samples, parameters, thread count and initial weights give the same bits.
    On a CUDA device the forward pass runs in bfloat16 where the device has it, else in float16
    with a scaled loss. Processes that work together share every batch; gradients and the logged
    losses are means over them, and all end with the same model.

    Args:
        model: in training mode, ``model(images, targets)`` returns its losses by name; images are
            (3, h, w) uint8, targets have ``boxes`` (n, 4) in pixels and ``labels`` (n,).
        samples: the labeled images; at least one.
        params: of the training.
        device: where the model is.
        least_batch: the smallest batch that the model's batch norm can be trained on.
        preparing_seconds: time that making ``samples`` took, for the log.
        initial_weights: for the log.
        progress: told after every step.

    Raises:
        DivergedError: the loss became NaN or infinite; the model is then of no use.
        ParamsError: the processes cannot share a batch.
    """
    batch = max(params.batch_size, least_batch)
    world = distributed.world()
    _check_share(batch, world.size, least_batch)
    steps = params.steps or math.ceil((params.epochs or 1) * len(samples) / batch)
    loader = DataLoader(
        samples,
        batch_size=batch // world.size,
        sampler=Draws(
            len(samples),
            steps * batch,
            params.seed,
            batch=batch,
            rank=world.rank,
            size=world.size,
        ),
        num_workers=max(params.workers, LEAST_WORKERS.get(device.type, 0)),
        collate_fn=_collate,
        pin_memory=device.type == "cuda",
    )
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = _optimizer(trainable, params)
    schedule = _schedule(optimizer, params, steps)
    precision = devices.precision(device)
    scaler = torch.amp.GradScaler(device.type, enabled=precision is torch.float16)
    rows = LossRows(steps, LOG_ROWS)
    waited = 0.0

    model.train()
    learner = distributed.averaging(model, device)
    with devices.reproducible(params.seed + world.rank, device):
        batches = iter(loader)
        begin = time.perf_counter()
        for step in range(1, steps + 1):
            asked = time.perf_counter()
            images, targets = _moved(next(batches), device)
            waited += time.perf_counter() - asked
            with torch.autocast(device.type, precision, enabled=precision is not None):
                losses: dict[str, torch.Tensor] = learner(images, targets)
                parts = torch.stack([value.float() for value in losses.values()])
                total = parts.sum()
            told = distributed.mean(parts.detach().clone()).tolist()
            loss = sum(told)
            rate = float(optimizer.param_groups[0]["lr"])
            if not math.isfinite(loss):
                raise _diverged(f"the loss became {loss}", step, steps, rate, params)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(total).backward()  # type: ignore[no-untyped-call]
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(trainable, GRADIENT_NORM)
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
            rows.add(
                step,
                {"total": loss, **dict(zip(losses, told, strict=True))},
                learning_rate=rate,
                seconds=time.perf_counter() - begin,
            )
            if progress is not None:
                progress(step, steps, loss)
        # At most a quarter of the images that were trained on, so that the time does not show.
        if world.leads:
            settle_norms(model, samples, batch, device, images=min(NORM_IMAGES, steps * batch // 4))
        distributed.as_leader(model.buffers())
        seconds = time.perf_counter() - begin
    if not all(bool(t.isfinite().all()) for t in model.state_dict().values()):
        raise _diverged("the weights became NaN or infinite", steps, steps, rate, params)
    model.eval()
    return TrainingLog(
        steps=steps,
        epochs=steps * batch / len(samples),
        images=len(samples),
        boxes=sum(len(boxes) for boxes in samples.boxes),
        batch_size=batch,
        losses=tuple(rows.rows),
        seconds=seconds,
        images_per_second=steps * batch / seconds,
        wait_fraction=waited / seconds,
        preparing_seconds=preparing_seconds,
        parameters=sum(p.numel() for p in trainable),
        device=str(device) if world.size == 1 else f"{world.size} x {device.type}",
        initial_weights=initial_weights,
    )


def settle_norms(
    model: nn.Module,
    samples: LabeledSamples,
    batch_size: int,
    device: torch.device,
    *,
    images: int = NORM_IMAGES,
) -> None:
    """Measures the statistics of batch norm anew, with the weights as they are now.

    See :func:`boxloop.models.batch_norm.measured_anew`; here over training images without
    augmentation, as in inference. On the demo set, 150 steps of SSDlite saved 0 % of the work
    without it, 42 % with it.

    Args:
        model: changed in place; left in training mode.
        samples: the labeled images.
        batch_size: as in training.
        device: where the model is.
        images: how many of them to use, at random; at least one full batch is.
    """
    if not batch_norms(model):
        return
    order = torch.randperm(len(samples)).tolist()[: max(1, images)]
    # Every batch is full, as in training: the last one starts over with the first images.
    order = [order[i % len(order)] for i in range(-(-len(order) // batch_size) * batch_size)]
    with measured_anew(model):
        for start in range(0, len(order), batch_size):
            drawn = [samples.plain(index) for index in order[start : start + batch_size]]
            model(*_moved(_collate(drawn), device))


def _check_share(batch: int, processes: int, least: int) -> None:
    if batch % processes or batch // processes < least:
        raise ParamsError(
            f"{processes} processes cannot share a batch of {batch} images: set train.batch_size to"
            f" a multiple of {processes}, at least {processes * least}, or change --processes"
        )


def _diverged(what: str, step: int, steps: int, rate: float, params: TrainParams) -> DivergedError:
    return DivergedError(
        f"training diverged: {what} at step {step} of {steps} (learning rate {rate:.3g});"
        f" nothing was written: lower train.learning_rate (now {params.learning_rate:g}), or raise"
        f" train.batch_size (now {params.batch_size})"
    )


def _collate(batch: list[Drawn]) -> tuple[list[torch.Tensor], list[Target]]:
    images = [drawn.image for drawn in batch]
    return images, [{"boxes": drawn.boxes, "labels": drawn.labels} for drawn in batch]


def _moved(
    batch: tuple[list[torch.Tensor], list[Target]], device: torch.device
) -> tuple[list[torch.Tensor], list[Target]]:
    if device.type == "cpu":
        return batch
    images = [image.to(device, non_blocking=True) for image in batch[0]]
    targets = [
        {name: value.to(device, non_blocking=True) for name, value in target.items()}
        for target in batch[1]
    ]
    return images, targets


def _optimizer(parameters: list[nn.Parameter], params: TrainParams) -> torch.optim.Optimizer:
    # Biases and the scales of norm layers are vectors; decay is for the weights of layers alone.
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": params.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if params.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=params.learning_rate, fused=True)
    return torch.optim.SGD(groups, lr=params.learning_rate, momentum=0.9, fused=True)


def _schedule(
    optimizer: torch.optim.Optimizer, params: TrainParams, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """one_cycle is that of Smith and Topin 2019 (arXiv:1708.07120), without cycled momentum."""
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
