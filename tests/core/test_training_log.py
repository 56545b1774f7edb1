"""Logs of trainings."""

import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from boxloop.core import training_log
from boxloop.core.training_log import LossRows, StepLoss, TrainingLog


def test_no_images_no_numbers():
    log = TrainingLog.of_nothing()
    content = asdict(log)
    assert content.pop("zoom") == 1  # which no image was enlarged by
    assert {value for value in content.values() if isinstance(value, int | float)} == {0}
    assert log.enlarged == ""
    assert replace(log, zoom=1.5).enlarged == " enlarged 1.5 times"
    assert (log.losses, log.device, log.initial_weights) == ((), "cpu", "none")


@pytest.mark.parametrize(
    ("steps", "ends"), [(1, [1]), (4, [1, 2, 3, 4]), (5, [2, 4, 5]), (10, [3, 6, 9, 10])]
)
def test_rows_are_means_of_the_steps_since_the_row_before(monkeypatch, steps, ends):
    monkeypatch.setattr(training_log, "MAX_LOSS_ROWS", 4)
    made, losses = LossRows(steps), [1 / step for step in range(1, steps + 1)]
    rows = {
        step: row
        for step, loss in enumerate(losses, start=1)
        if (row := made.add(step, StepLoss(loss, {"boxes": loss / 2}))) is not None
    }
    assert list(rows) == ends
    for begin, end in zip([0, *ends], ends, strict=False):
        mean = sum(losses[begin:end]) / (end - begin)
        assert rows[end] == {"total": round(mean, 6), "boxes": pytest.approx(mean / 2, abs=1e-6)}


def test_a_loss_without_parts_is_a_row_of_its_own():
    assert LossRows(1).add(1, 0.25) == {"total": 0.25}


def test_logs_are_read_without_torch():
    code = "import boxloop.core.training_log, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "numpy"} & set(done.stdout.split())
