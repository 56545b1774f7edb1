"""Logs of trainings."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boxloop.core.types import Proposals


MAX_LOSS_ROWS = 1000
"""Rows of losses at most; of a longer training, a row is the mean over several steps."""


class StepLoss(float):
    """The loss of an optimiser step, which also tells what it is the sum of.

    Attributes:
        parts: the losses by name.
    """

    parts: Mapping[str, float]

    def __new__(cls, total: float, parts: Mapping[str, float]) -> StepLoss:
        """Return the total with its parts."""
        loss = super().__new__(cls, total)
        loss.parts = parts
        return loss


StepProgress = Callable[[int, int, float], None]
"""Called after an optimiser step with the steps done, the steps in all and the loss, which may be a
:class:`StepLoss`."""


class LossRows:
    """Makes rows of losses out of steps, so that a training's log and its run agree to the digit.

    A row is the mean over the steps since the row before it.
    """

    def __init__(self, steps: int) -> None:
        """Begin the rows of a training of so many steps."""
        self._steps, self._steps_per_row = steps, math.ceil(steps / MAX_LOSS_ROWS)
        self._pending: dict[str, list[float]] = {}  # losses of the steps since the last row

    def add(self, step: int, loss: float) -> dict[str, float] | None:
        """Take down a step (1-based), and return the row that ends with it, if one does.

        Returns:
            The ``total``, and of a :class:`StepLoss` its parts by name.
        """
        parts = loss.parts if isinstance(loss, StepLoss) else {}
        for name, value in {"total": float(loss), **parts}.items():
            self._pending.setdefault(name, []).append(value)
        if step % self._steps_per_row and step != self._steps:
            return None
        row = {name: round(sum(values) / len(values), 6) for name, values in self._pending.items()}
        self._pending.clear()
        return row


_LOSS = re.compile(r"[\w :/.-]{1,200}", re.ASCII)

_MOST_STEPS, _MOST_SECONDS = 2**53, 1e9
"""Beyond what a log can be of: a billion seconds are thirty years."""


@dataclass(frozen=True)
class _Log:
    """What the logs of all trainings have in common.

    Attributes:
        steps: optimiser steps.
        epochs: passes over the images; a fraction where ``train.steps`` was set.
        images: images that were trained on.
        losses: rows of ``step`` (1-based), the losses by name, ``learning_rate`` and ``time``
            (seconds since the first step began). A row is the mean over the steps since the row
            before it; there are at most 1,000 rows.
        seconds: of all steps, and of the recalibration of batch norm after them.
        images_per_second: images of all steps by ``seconds``.
        wait_fraction: share of ``seconds`` in which the model waited for its next images.
        preparing_seconds: time to decode and resize the images before the first step.
        device: where it was computed, for example "cpu", "cuda:0" or "2 x cuda".
        initial_weights: where the training started from, in words.
    """

    steps: int
    epochs: float
    images: int
    losses: tuple[Mapping[str, float], ...]
    seconds: float
    images_per_second: float
    wait_fraction: float
    preparing_seconds: float
    device: str
    initial_weights: str

    def __post_init__(self) -> None:
        for row in self.losses:
            if not {"step", "time"} <= row.keys():
                raise ValueError(f"a row of losses needs step and time, got {', '.join(row)}")
            odd = next((name for name in row if not _LOSS.fullmatch(name)), None)
            if odd is not None:
                raise ValueError(
                    f"a row of losses has a column {odd[:100]!a}: one is named by up to 200"
                    " letters, digits, blanks and _ - . : /"
                )
            if not (0 <= row["step"] < _MOST_STEPS and 0 <= row["time"] < _MOST_SECONDS):
                raise ValueError(
                    f"a row of losses has step {row['step']:g} and time {row['time']:g}, and no"
                    " training has that"
                )


@dataclass(frozen=True)
class Seen:
    """What a training had seen of the batch before its turn, where that was not all of it.

    Attributes:
        batch: key of that batch; of those before it, everything was seen.
        images: those of its images that were learned from; of the others no label was known.
        of: images of the batch.
    """

    batch: str
    images: tuple[str, ...]
    of: int

    def __post_init__(self) -> None:
        if not len(set(self.images)) == len(self.images) < self.of:
            raise ValueError(
                f"{len(self.images)} images of {self.batch}, which has {self.of}, cannot have been"
                " seen: fewer are, each once"
            )

    def in_words(self) -> str:
        """Say in a few words which labels were seen."""
        return f"{len(self.images)} of the {self.of} images of {self.batch}"


@dataclass(frozen=True)
class TrainingLog(_Log):
    """Log of a detector's training.

    Rows of ``losses`` have each component of the loss under its own name, and their sum as
    ``total``. Images without a box count in ``images``.

    Attributes:
        boxes: boxes of the images.
        batch_size: images per step.
        parameters: numbers in the model that training could change.
        held_out: what another detector, trained on the rest of the images, proposed for some of
            them; its batch says of what. None where none were held out.
        made_of: digests, by name, of what the detector was made of, and of itself.
        zoom: how many times images were enlarged beyond the detector's input size, which it was
            trained on windows of.
        seen: which images of the last batch were learned from, where not all of them were: while
            people corrected it, or in a simulation of that.
    """

    boxes: int
    batch_size: int
    parameters: int
    held_out: Proposals | None = None
    made_of: Mapping[str, str] = field(default_factory=dict)
    seen: Seen | None = None
    zoom: float = 1.0

    @property
    def enlarged(self) -> str:
        """Say how much images were enlarged, as an addition to their number; else nothing."""
        return "" if self.zoom == 1 else f" enlarged {self.zoom:g} times"

    @classmethod
    def of_nothing(cls) -> TrainingLog:
        """Return the log of a training on no images."""
        return cls(0, 0.0, 0, (), 0.0, 0.0, 0.0, 0.0, "cpu", "none", 0, 0, 0)


@dataclass(frozen=True)
class SimNetLog(_Log):
    """Log of SimNet's training.

    Rows of ``losses`` have one ``loss``. Byte-identical images count once in ``images``.

    Attributes:
        network: torchvision's name of the backbone.
        halves: "left_right" or "top_bottom".
        input_size: side in pixels of the square images that the halves were cut from.
    """

    network: str
    halves: str
    input_size: int
