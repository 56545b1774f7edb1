"""Logs of trainings as JSON."""

import json
import subprocess
import sys
from dataclasses import fields

import pytest

from boxloop.models.training_log import SimNetLog, TrainingLog

ROWS = ({"step": 1, "loss": 2.5, "learning_rate": 0.1, "time": 0.25},)
COMMON = {
    "steps": 1,
    "epochs": 1.5,
    "images": 3,
    "losses": ROWS,
    "seconds": 0.5,
    "images_per_second": 6.0,
    "wait_fraction": 0.1,
    "preparing_seconds": 0.2,
    "device": "cpu",
    "initial_weights": "none",
}
LOGS = [
    TrainingLog(**COMMON, boxes=4, batch_size=2, parameters=10),
    TrainingLog.of_nothing(),
    SimNetLog(**COMMON, network="resnet18", halves="left_right", input_size=64),
]


@pytest.mark.parametrize("log", LOGS)
def test_a_log_survives_json(log):
    content = json.loads(json.dumps(log.to_json(), allow_nan=False))
    assert set(content) == {field.name for field in fields(log)}
    assert type(log).from_json(content) == log


@pytest.mark.parametrize("log", LOGS)
def test_missing_and_unknown_fields_are_named(log):
    content = log.to_json()
    del content["device"]
    with pytest.raises(ValueError, match="missing or unknown fields: device, loss$"):
        type(log).from_json({**content, "loss": 1})


def test_no_images_no_numbers():
    log = TrainingLog.of_nothing()
    assert {value for value in log.to_json().values() if isinstance(value, int | float)} == {0}
    assert (log.losses, log.device, log.initial_weights) == ((), "cpu", "none")


def test_logs_are_read_without_torch():
    code = "import boxloop.models.training_log, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "numpy"} & set(done.stdout.split())
