"""Logs of trainings."""

import subprocess
import sys
from dataclasses import asdict, replace

from boxloop.core.training_log import TrainingLog


def test_no_images_no_numbers():
    log = TrainingLog.of_nothing()
    content = asdict(log)
    assert content.pop("zoom") == 1  # which no image was enlarged by
    assert {value for value in content.values() if isinstance(value, int | float)} == {0}
    assert log.enlarged == ""
    assert replace(log, zoom=1.5).enlarged == " enlarged 1.5 times"
    assert (log.losses, log.device, log.initial_weights) == ((), "cpu", "none")


def test_logs_are_read_without_torch():
    code = "import boxloop.core.training_log, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "numpy"} & set(done.stdout.split())
