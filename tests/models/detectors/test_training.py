"""The training of detectors on a model small enough to be followed by hand."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from boxloop.core import training_log
from boxloop.errors import DatasetError, DivergedError, ProcessError
from boxloop.models.detectors.dataset import InputSize, LabeledSamples
from boxloop.models.detectors.training import train_model
from boxloop.models.detectors.transforms import Augment
from builders_detectors import CLASSES, drawn, labeled, train_params

CPU = torch.device("cpu")


class Toy(nn.Module):
    """Learns the mean colour of its images; speaks the interface of torchvision's detectors."""

    def __init__(self, fail_at=None):
        super().__init__()
        self.norm = nn.BatchNorm2d(3, momentum=0.01)
        self.colour = nn.Parameter(torch.zeros(3))
        self.frozen = nn.Parameter(torch.ones(5), requires_grad=False)
        self.fail_at, self.calls, self.seen = fail_at, 0, []

    def forward(self, images, targets):
        self.calls += 1
        batch = torch.stack(images).float() / 255
        self.seen.append((len(images), [len(target["boxes"]) for target in targets]))
        self.norm(batch)
        loss = (batch.mean(dim=(0, 2, 3)) - self.colour).square().sum()
        if self.calls == self.fail_at:
            loss = loss * float("nan")
        return {"colour": loss, "nothing": self.colour.sum() * 0.0}


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    refs, truth = drawn(tmp_path_factory.mktemp("scenes"), 6, (40, 40))
    size = InputSize((40, 40), keep_aspect=False)
    return LabeledSamples(labeled(truth), refs, CLASSES, size, Augment((), 0))


def params(**changes):
    values = {"steps": 30, "batch_size": 4, "learning_rate": 0.05, "schedule": "constant"}
    return train_params("ssd300_mobilenet_v2", **{**values, **changes})


def test_learns_and_logs(samples):
    model = Toy()
    log = train_model(model, samples, params(), CPU, preparing_seconds=1.5, initial_weights="toy")
    mean = torch.stack([samples.plain(i).image.float() / 255 for i in range(6)]).mean((0, 2, 3))
    torch.testing.assert_close(model.colour.detach(), mean, atol=0.05, rtol=0)
    assert log.losses[-1]["total"] < 0.05 * log.losses[0]["total"]
    assert set(log.losses[0]) == {"step", "total", "colour", "nothing", "learning_rate", "time"}
    assert log.parameters == 9  # the frozen ones do not count
    assert (log.preparing_seconds, log.initial_weights) == (1.5, "toy")
    assert not model.training
    torch.testing.assert_close(model.frozen, torch.ones(5))


def test_vectors_do_not_decay(samples):
    plain, decayed = Toy(), Toy()
    train_model(plain, samples, params(weight_decay=0.0), CPU)
    train_model(decayed, samples, params(weight_decay=10.0), CPU)
    assert torch.equal(plain.colour, decayed.colour)


def test_every_batch_is_full_even_if_the_set_is_smaller(samples):
    model = Toy()
    train_model(model, samples, params(steps=3, batch_size=10), CPU)
    assert all(size == 10 for size, _ in model.seen)


def test_batch_norm_that_needs_company_gets_it(samples):
    model = Toy()
    log = train_model(model, samples, params(steps=2, batch_size=1), CPU, min_batch=2)
    assert log.batch_size == 2
    assert {size for size, _ in model.seen} == {2}


def test_batch_norm_is_recalibrated_after_training(samples):
    model = Toy()
    train_model(model, samples, params(batch_size=6), CPU)
    pixels = torch.stack([samples.plain(i).image.float() / 255 for i in range(6)])
    # One batch of all six images: with the running average of momentum 0.01 it would be far off.
    torch.testing.assert_close(model.norm.running_mean, pixels.mean((0, 2, 3)))
    torch.testing.assert_close(model.norm.running_var, pixels.var((0, 2, 3)), rtol=1e-4, atol=0)
    assert model.norm.momentum == 0.01


def test_long_trainings_log_means(samples, monkeypatch):
    monkeypatch.setattr(training_log, "MAX_LOSS_ROWS", 4)
    full = train_model(Toy(), samples, params(steps=4), CPU).losses
    short = train_model(Toy(), samples, params(steps=10), CPU).losses
    assert [row["step"] for row in full] == [1, 2, 3, 4]
    assert [row["step"] for row in short] == [3, 6, 9, 10]
    mean = sum(row["total"] for row in full[:3]) / 3
    assert short[0]["total"] == pytest.approx(mean, abs=2e-6)


@pytest.mark.parametrize(("steps", "batch_size", "batches"), [(2, 4, 1), (16, 4, 2), (60, 2, 3)])
def test_recalibration_sees_a_quarter_of_the_images_drawn(samples, steps, batch_size, batches):
    """Of 8, 64 and 120 draws: two images, and all six that there are, in full batches."""
    model = Toy()
    train_model(model, samples, params(steps=steps, batch_size=batch_size), CPU)
    assert model.calls - steps == batches
    assert {size for size, _ in model.seen} == {batch_size}


def test_nan_names_the_step_and_the_learning_rate(samples):
    with pytest.raises(DivergedError, match=r"became nan at step 3 of 30 \(learning rate 0\.05\)"):
        train_model(Toy(fail_at=3), samples, params(), CPU)
    assert not torch.are_deterministic_algorithms_enabled()


def test_weights_that_are_not_finite_are_noticed_at_the_end(samples):
    model = Toy()
    with torch.no_grad():
        model.frozen[0] = torch.inf
    with pytest.raises(DivergedError, match="weights became NaN or infinite"):
        train_model(model, samples, params(steps=1), CPU)


# --- processes that read images ---


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_one_sentence_whoever_reads_it(tmp_path, workers):
    refs, truth = drawn(tmp_path, 6, (40, 40))
    size = InputSize((40, 40), keep_aspect=False)
    streamed = LabeledSamples(labeled(truth), refs, CLASSES, size, Augment((), 0), budget=0)
    Path(refs[2].path).unlink()
    with pytest.raises(DatasetError, match=r"^[^\n]*image2\.png does not exist$"):
        train_model(Toy(), streamed, params(workers=workers), CPU)


@pytest.mark.parametrize("wait", [0.0, 0.5])
def test_a_killed_reader_is_one_sentence(samples, wait):
    """Noticed while its batch is waited for, and while the model computes."""

    def kill(step, steps, loss):
        if step == 3:
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)
            time.sleep(wait)

    sentence = (
        "^a process that reads images was killed, probably for memory; nothing was written: lower"
        r" train.workers \(now 2\)$"
    )
    with pytest.raises(ProcessError, match=sentence):
        train_model(Toy(), samples, params(workers=2, steps=400), CPU, progress=kill)
    assert multiprocessing.active_children() == []
    train_model(Toy(), samples, params(workers=2), CPU)
