"""The training loop against plain loops over numbers."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from boxloop.core import training_log
from boxloop.errors import DivergedError
from boxloop.models.trainer import build_optimizer, fit
from boxloop.params import SimNetParams, TrainParams

CPU = torch.device("cpu")
KINDS = {
    "train": lambda **changes: TrainParams(steps=1, **changes),
    "simnet": lambda **changes: SimNetParams(**changes),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_optimizer = pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
every_schedule = pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])


def batches(steps, scale=1.0):
    """Inputs (4, 3) and targets (4, 2) of each step."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        yield (
            scale * torch.randn(4, 3, generator=generator),
            scale * torch.randn(4, 2, generator=generator),
        )


def compute_losses(model, batch):
    inputs, targets = batch
    error = (model(inputs) - targets).square()
    return {"first": error[:, 0].sum(), "second": error[:, 1].sum()}


def linear():
    torch.manual_seed(1)
    return nn.Linear(3, 2)


def run(model, params, steps, *, scale=1.0, decay_vectors=False, **options):
    return fit(
        model,
        compute_losses,
        batches(steps, scale),
        params,
        CPU,
        steps=steps,
        seed=0,
        calibration=(),
        decay_vectors=decay_vectors,
        remedy="do less",
        **options,
    )


# --- the learning rate ----------------------------------------------------------------------------


def rates_by_formula(schedule, top, steps):
    """One cycle: half a cosine from top / 25 up to top, another down to top / 250,000."""
    if schedule == "constant":
        return [top] * steps
    if schedule == "cosine":
        return [top * (1 + math.cos(math.pi * t / steps)) / 2 for t in range(steps)]
    highest = max(0.2, 2 / (steps + 1)) * (steps + 1) - 1
    rates = []
    for t in range(steps):
        if t <= highest:
            begin, end, passed = top / 25, top, t / highest
        else:
            begin, end, passed = top, top / 250_000, (t - highest) / (steps - highest)
        rates.append(end + (begin - end) * (1 + math.cos(math.pi * passed)) / 2)
    return rates


@every_kind
@every_optimizer
@every_schedule
@pytest.mark.parametrize("steps", [1, 2, 4, 30])
def test_learning_rates_are_those_of_the_schedule(kind, optimizer, schedule, steps):
    params = KINDS[kind](optimizer=optimizer, schedule=schedule, learning_rate=0.02)
    found = run(linear(), params, steps)
    rates = [row["learning_rate"] for row in found.losses]
    assert rates == pytest.approx(rates_by_formula(schedule, 0.02, steps), rel=1e-9)
    assert (len(set(rates)) == 1) == (schedule == "constant" or steps == 1)


# --- the update -----------------------------------------------------------------------------------


def by_plain_loops(params, steps, scale, decay_vectors):
    """Weights, bias and losses after so many steps, with momentum 0.9 or Adam's 0.9 and 0.999."""
    model = linear()
    values = [p.detach().double().numpy().copy() for p in (model.weight, model.bias)]
    first, second = ([np.zeros_like(v) for v in values] for _ in range(2))
    rates = rates_by_formula(params.schedule, params.learning_rate, steps)
    losses = []
    for t, (inputs, targets) in enumerate(batches(steps, scale), start=1):
        x, y = inputs.double().numpy(), targets.double().numpy()
        gradients = [np.zeros((2, 3)), np.zeros(2)]
        loss = 0.0
        for row in range(4):
            for out in range(2):
                error = values[0][out] @ x[row] + values[1][out] - y[row, out]
                loss += error**2
                gradients[0][out] += 2 * error * x[row]
                gradients[1][out] += 2 * error
        losses.append(loss)
        norm = math.sqrt(sum((g**2).sum() for g in gradients))
        if norm > 10:
            gradients = [g * 10 / norm for g in gradients]
        rate = rates[t - 1]
        for i, gradient in enumerate(gradients):
            decay = params.weight_decay if i == 0 or decay_vectors else 0.0
            if params.optimizer == "sgd":
                first[i] = 0.9 * first[i] + gradient + decay * values[i]
                values[i] -= rate * first[i]
            else:
                values[i] -= rate * decay * values[i]
                first[i] = 0.9 * first[i] + 0.1 * gradient
                second[i] = 0.999 * second[i] + 0.001 * gradient**2
                mean, square = first[i] / (1 - 0.9**t), second[i] / (1 - 0.999**t)
                values[i] -= rate * mean / (np.sqrt(square) + 1e-8)
    return values, losses


@every_kind
@every_optimizer
@every_schedule
@pytest.mark.parametrize("scale", [0.3, 20.0])  # of gradients below and above the largest norm
@pytest.mark.parametrize("decay_vectors", [False, True])
def test_weights_are_those_of_plain_loops(kind, optimizer, schedule, scale, decay_vectors):
    steps = 5
    params = KINDS[kind](
        optimizer=optimizer, schedule=schedule, learning_rate=0.02, weight_decay=0.5
    )
    model = linear()
    found = run(model, params, steps, scale=scale, decay_vectors=decay_vectors)
    (weight, bias), losses = by_plain_loops(params, steps, scale, decay_vectors)
    np.testing.assert_allclose(model.weight.detach().numpy(), weight, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.bias.detach().numpy(), bias, rtol=1e-4, atol=1e-6)
    assert [row["total"] for row in found.losses] == pytest.approx(losses, rel=1e-4)
    assert not model.training


@every_kind
def test_gradients_are_clipped(kind):
    """One step of SGD is as long as the rate times the largest norm, however large the loss."""
    params = KINDS[kind](optimizer="sgd", schedule="constant", learning_rate=0.01, weight_decay=0.0)
    moved = []
    for scale in (1e2, 1e4):
        model = linear()
        before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
        run(model, params, 1, scale=scale)
        after = torch.cat([p.detach().flatten() for p in model.parameters()])
        moved.append(float((after - before).norm()))
    assert moved == pytest.approx([0.1, 0.1], rel=1e-3)


def test_gradient_scale_is_a_factor_of_the_gradients_alone():
    params = TrainParams(
        steps=1, optimizer="sgd", schedule="constant", learning_rate=0.01, weight_decay=0.0
    )
    moved, totals = [], []
    for gradient_scale in (1.0, 3.0):
        model = linear()
        before = model.weight.detach().clone()
        found = run(model, params, 1, scale=0.1, gradient_scale=gradient_scale)
        moved.append(model.weight.detach() - before)
        totals.append(found.losses[0]["total"])
    torch.testing.assert_close(moved[1], 3 * moved[0], rtol=1e-4, atol=1e-7)
    assert totals[0] == totals[1]


def test_parameters_that_are_frozen_stay():
    model = linear()
    model.bias.requires_grad_(False)
    before = model.bias.clone()
    found = run(model, SimNetParams(learning_rate=0.1), 3)
    assert torch.equal(model.bias, before)
    assert found.parameters == 6


@every_kind
def test_biases_and_norms_decay_only_where_asked(kind):
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))
    for decay_vectors, expected in ((False, {4: 0.5, 1: 0}), (True, {4: 0.5, 1: 0.5})):
        optimizer = build_optimizer(
            list(model.parameters()), KINDS[kind](weight_decay=0.5), decay_vectors=decay_vectors
        )
        groups = [(p, g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]]
        assert len(groups) == 4
        assert {p.ndim: decay for p, decay in groups} == expected


# --- the log, progress, and what diverges ---------------------------------------------------------


def test_rows_have_the_sum_and_each_loss():
    found = run(linear(), SimNetParams(), 3)
    for number, row in enumerate(found.losses, start=1):
        assert list(row) == ["step", "total", "first", "second", "learning_rate", "time"]
        assert row["step"] == number
        assert row["total"] == pytest.approx(row["first"] + row["second"], abs=2e-6)
    times = [row["time"] for row in found.losses]
    assert times == sorted(times)
    assert 0 <= found.waited <= found.seconds
    assert (found.parameters, found.device) == (8, "cpu")


def test_rows_of_a_long_training_are_means(monkeypatch):
    full = run(linear(), SimNetParams(), 10).losses
    monkeypatch.setattr(training_log, "MAX_LOSS_ROWS", 4)
    short = run(linear(), SimNetParams(), 10).losses
    assert [row["step"] for row in short] == [3, 6, 9, 10]
    for row, begin in zip(short, (0, 3, 6, 9), strict=True):
        part = full[begin : int(row["step"])]
        for name in ("total", "first", "second"):
            assert row[name] == pytest.approx(np.mean([r[name] for r in part]), abs=2e-6)


def test_progress_is_called_after_every_step():
    calls = []
    found = run(linear(), SimNetParams(), 3, progress=lambda *values: calls.append(values))
    assert [(step, steps) for step, steps, _ in calls] == [(1, 3), (2, 3), (3, 3)]
    assert [loss for *_, loss in calls] == pytest.approx([r["total"] for r in found.losses])


def test_a_loss_that_is_not_finite_names_the_step_and_the_way_out():
    model = linear()
    with torch.no_grad():
        model.bias[0] = torch.inf
    with pytest.raises(
        DivergedError,
        match=r"^training diverged: the loss became inf at step 1 of 2"
        r" \(learning rate 0\.25\); nothing was written: do less$",
    ):
        run(model, TrainParams(steps=1, schedule="constant", learning_rate=0.25), 2)
    assert not torch.are_deterministic_algorithms_enabled()


def test_weights_that_are_not_finite_are_noticed_at_the_end():
    model = linear()
    model.register_buffer("spare", torch.tensor(torch.nan))
    with pytest.raises(DivergedError, match="^Toy's training diverged: the weights became NaN"):
        run(model, SimNetParams(), 1, subject="Toy's training")
