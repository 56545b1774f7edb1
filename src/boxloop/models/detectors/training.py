"""The training of detectors that speak torchvision's detection interface."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from boxloop import distributed
from boxloop.core.training_log import TrainingLog
from boxloop.errors import DatasetError, ParamsError
from boxloop.models.batch_norm import CALIBRATION_IMAGES, calibration_batches
from boxloop.models.detectors.dataset import LabeledSamples, Sample, draw_shared_batches
from boxloop.models.image_loader import read_by_workers, reading_processes, told_if_killed
from boxloop.models.progress import StepProgress
from boxloop.models.trainer import Batch, fit
from boxloop.params import TrainParams

MOST_WORKERS = 8
"""Processes that augment images for a GPU at most, unless more are asked for: the light detectors
train at 500 images a second there. On a CPU they would take cores from the model."""


def workers(device: torch.device, asked: int) -> int:
    """Return how many processes augment images beside a training."""
    least = min(MOST_WORKERS, reading_processes()) if device.type == "cuda" else 0
    return max(asked, least)


def train_model(
    model: nn.Module,
    samples: LabeledSamples,
    params: TrainParams,
    device: torch.device,
    *,
    min_batch: int = 1,
    preparing_seconds: float = 0.0,
    initial_weights: str = "none",
    progress: StepProgress | None = None,
) -> TrainingLog:
    """Train a detector in place; see :func:`boxloop.models.trainer.fit`.

    Args:
        model: in training mode, ``model(images, targets)`` returns its losses by name; images are
            (3, h, w) uint8, targets have ``boxes`` (n, 4) in pixels and ``labels`` (n,). One whose
            losses may leave parameters out has a true ``unused_parameters``. One that takes no
            class for absent that is true in a target's ``ignored`` (classes + 1,) has a true
            ``masks_classes``; other targets have no such key.
        samples: the labeled images; at least one.
        params: of the training.
        device: where the model is.
        min_batch: the smallest batch that the model's batch norm can be trained on.
        preparing_seconds: time that making ``samples`` took, for the log.
        initial_weights: for the log.
        progress: called after every step.

    Raises:
        DatasetError: an image cannot be read.
        DivergedError: the loss became NaN or infinite; the model is of no use.
        ProcessError: a process that reads images was killed.
        ParamsError: the processes cannot share a batch.
    """
    batch = max(params.batch_size, min_batch)
    world = distributed.world()
    if batch % world.size or batch // world.size < min_batch:
        raise ParamsError(
            f"{world.size} processes cannot share a batch of {batch} images: set train.batch_size"
            f" to a multiple of {world.size}, at least {world.size * min_batch}, or change"
            " --processes"
        )
    steps = params.steps or math.ceil((params.epochs or 1) * len(samples) / batch)
    draws = draw_shared_batches(
        len(samples), steps * batch, params.seed, batch=batch, rank=world.rank, size=world.size
    )
    count = workers(device, params.workers)
    loader = DataLoader(
        _Told(samples),
        batch_size=batch // world.size,
        sampler=draws,
        num_workers=count,
        collate_fn=_collate,
        pin_memory=device.type == "cuda",
    )
    way = "lower train.input_size, or train.batch_size"
    if count == params.workers:
        way = f"lower train.workers (now {count})"
    with told_if_killed(way):
        result = fit(
            model,
            _losses,
            read_by_workers(loader, way),
            params,
            device,
            steps=steps,
            seed=params.seed + world.rank,
            calibration=_without_augmentation(samples, batch, steps * batch // 4),
            decay_vectors=False,
            unused_parameters=bool(getattr(model, "unused_parameters", False)),
            remedy=f"lower train.learning_rate (now {params.learning_rate:g}), or raise"
            f" train.batch_size (now {params.batch_size})",
            progress=progress,
        )
    return TrainingLog(
        steps=steps,
        epochs=steps * batch / len(samples),
        images=len(samples),
        losses=result.losses,
        seconds=result.seconds,
        images_per_second=steps * batch / result.seconds,
        wait_fraction=result.waited / result.seconds,
        preparing_seconds=preparing_seconds,
        device=result.device,
        initial_weights=initial_weights,
        boxes=sum(len(boxes) for boxes in samples.boxes),
        batch_size=batch,
        parameters=result.parameters,
    )


def _losses(model: nn.Module, batch: Batch) -> Mapping[str, torch.Tensor]:
    images, targets = batch
    losses: dict[str, torch.Tensor] = model(images, targets)
    return losses


class _Told(Dataset[Sample | DatasetError]):
    """Samples, or what is wrong with the image of one."""

    def __init__(self, samples: LabeledSamples) -> None:
        self._samples = samples

    def __getitem__(self, key: tuple[int, int]) -> Sample | DatasetError:
        try:
            return self._samples[key]
        except DatasetError as error:
            return error


def _collate(found: Sequence[Sample | DatasetError]) -> Batch | DatasetError:
    fault = next((item for item in found if isinstance(item, DatasetError)), None)
    return _batch([item for item in found if isinstance(item, Sample)]) if fault is None else fault


def _batch(samples: list[Sample]) -> Batch:
    targets = [{"boxes": sample.boxes, "labels": sample.labels} for sample in samples]
    for target, sample in zip(targets, samples, strict=True):
        if sample.ignored is not None:
            target["ignored"] = sample.ignored
    return [sample.image for sample in samples], targets


def _without_augmentation(samples: LabeledSamples, batch_size: int, limit: int) -> Iterator[Batch]:
    """Draw batches to recalibrate batch norm with, from at most ``limit`` images."""
    # A quarter of the images that were trained on, so that the time does not show.
    for batch in calibration_batches(len(samples), batch_size, min(CALIBRATION_IMAGES, limit)):
        yield _batch([samples.plain(index) for index in batch])
