"""The statistics of batch norm, measured anew after a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The model's layers of batch norm."""
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


@contextmanager
def measured_anew(model: nn.Module) -> Iterator[None]:
    """What runs through the model inside becomes the statistics of its batch norm.

    During training they are running averages that lag behind the weights; a short training from
    scratch ends with averages so stale that the model is of no use outside training. This is the
    "precise batch norm" of Wu and Johnson 2021 (arXiv:2105.07576, section 3): the plain mean over
    batches, with the weights as they are now. Pass full batches, of the images that the model is
    for.

    Args:
        model: changed in place; in training mode inside and afterwards, without gradients inside.
    """
    norms = batch_norms(model)
    momenta = [norm.momentum for norm in norms]
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch then takes the plain mean over batches
    try:
        with torch.no_grad():
            yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
