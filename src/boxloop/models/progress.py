"""Callbacks that models report their progress to."""

from __future__ import annotations

from collections.abc import Callable

ItemProgress = Callable[[int, int], None]
"""Called after a batch with the images done and the images in all."""

StepProgress = Callable[[int, int, float], None]
"""Called after an optimiser step with the steps done, the steps in all and the loss, which may be a
:class:`~boxloop.core.training_log.StepLoss`."""
