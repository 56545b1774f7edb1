"""Callbacks that models report their progress to."""

from __future__ import annotations

from collections.abc import Callable

from boxloop.core.training_log import StepProgress as StepProgress

ItemProgress = Callable[[int, int], None]
"""Called after a batch with the images done and the images in all."""
