"""Forecasts, held against campaigns that were run to their end."""

import csv
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boxloop.core.edits import Ledger
from boxloop.core.forecast import COST, Interval, Trend, forecast, forecast_precision, observe
from boxloop.core.workload import BatchWorkload, CostModel

CAMPAIGNS = Path(__file__).parent / "campaigns.csv"


def batch(key, images, objects, added, removed, iou=0.5, precision=None, seconds=None):
    return BatchWorkload(
        key,
        "simulated",
        "fcos",
        images,
        objects,
        0.5,
        {(0.5, iou): Ledger(added=added, removed=removed)},
        {} if precision is None else {"map_50": precision},
        seconds=seconds,
        timed_images=None if seconds is None else images,
    )


def stored():
    found = defaultdict(list)
    with CAMPAIGNS.open() as file:
        for row in csv.DictReader(file):
            iou = float(row["iou"])
            counts = (int(row[name]) for name in ("images", "objects", "added", "removed"))
            found[row["campaign"], iou].append(
                batch(row["batch"], *counts, iou, float(row["map_50"]))
            )
    return dict(found)


def holds(interval, value):
    return interval.low <= value <= interval.high


def cost(workload, iou):
    ledger = workload.ledger(iou)
    return ledger.additions + ledger.removals / 2


def test_the_intervals_hold_what_they_say_on_all_stored_campaigns():
    held = defaultdict(list)
    for (_, iou), batches in stored().items():
        for done in range(1, len(batches)):
            past, coming = batches[:done], batches[done:]
            ahead = forecast(past, [b.images for b in coming], iou, seconds_per_box=35)
            left = sum(cost(b, iou) for b in coming)
            spent = batches[0].objects + sum(cost(b, iou) for b in past[1:])
            held["wt left"].append(holds(ahead.wt, left))
            held["seconds"].append(holds(ahead.seconds, 35 * left))
            saved = 1 - (spent + left) / sum(b.objects for b in batches)
            held["saved"].append(holds(ahead.saved, saved))
            for expected, real in zip(ahead.batches, coming, strict=True):
                held["objects"].append(holds(expected.objects, real.objects))
                held["added"].append(holds(expected.added, real.ledger(iou).additions))
                held["removed"].append(holds(expected.removed, real.ledger(iou).removals))
                held["wt of a batch"].append(holds(expected.wt, cost(real, iou)))
            better = forecast_precision(past)
            if better is not None and iou == 0.5:
                held["AP"].append(holds(better.next, coming[0].average_precision["map_50"]))
    shares = {name: float(np.mean(rows)) for name, rows in held.items()}
    assert len(stored()) == 68
    assert len(shares) == 8
    assert all(0.7 <= share <= 0.9 for share in shares.values()), shares


def test_the_filter_is_conditioning_of_a_normal_distribution():
    """Level and slope as one long vector of all steps, conditioned on what was observed."""
    n, values, variances = [30, 70, 120], [-1.0, -1.4, -1.3], [0.02, 0.01, 0.03]
    trend = Trend(COST, list(zip(n, values, variances, strict=True)))
    # x = (level at 30, slope, step to 70, step to 120, step to 200)
    gaps = [math.log(b / a) for a, b in ((30, 70), (70, 120), (120, 200))]
    mean = np.array([COST.level[0], COST.slope[0], 0, 0, 0])
    spread = [COST.level[1], COST.slope[1], *(COST.wandering * math.sqrt(g) for g in gaps)]
    prior = np.diag(np.square(spread))
    level = np.array(
        [
            [1, 0, 0, 0, 0],
            [1, -gaps[0], 1, 0, 0],
            [1, -gaps[0] - gaps[1], 1, 1, 0],
            [1, -sum(gaps), 1, 1, 1],
        ]
    )
    seen = level[:3]
    noise = np.diag(np.array(variances) + COST.noise**2)
    gain = prior @ seen.T @ np.linalg.inv(seen @ prior @ seen.T + noise)
    mean = mean + gain @ (np.array(values) - seen @ mean)
    covariance = prior - gain @ seen @ prior
    wanted = level[3] @ mean, math.sqrt(level[3] @ covariance @ level[3])
    drawn = trend.draw([200], np.random.default_rng(1))[:, 0]
    error = 5 / math.sqrt(len(drawn))
    assert drawn.mean() == pytest.approx(wanted[0], abs=error * wanted[1])
    assert drawn.std() == pytest.approx(wanted[1], rel=error)


def test_what_is_known_well_narrows_what_is_expected():
    first = batch("b00", 50, 500, 500, 0)
    rows = [batch(f"b{k:02}", 50, 500, 100, 50) for k in range(1, 8)]
    early = forecast([first], [50] * 8, 0.5, seconds_per_box=35)
    late = forecast([first, *rows], [50], 0.5, seconds_per_box=35)
    assert holds(late.batches[0].added, 100)
    assert holds(late.batches[0].removed, 50)
    assert holds(late.wt, 125)
    spread = {
        k: math.log(f.batches[-1].wt.high / f.batches[-1].wt.low)
        for k, f in {"early": early, "late": late}.items()
    }
    assert spread["late"] < spread["early"] / 2


def test_a_forecast_is_the_same_every_time():
    done = [batch("b00", 20, 80, 80, 0), batch("b01", 20, 85, 20, 10)]
    once, again = (forecast(done, [20, 30], 0.5, seconds_per_box=35) for _ in range(2))
    assert once == again


def test_time_is_measured_where_people_were():
    """Half a minute to look at an image, and a minute for each unit of WT."""
    edits = [(20, 80, 0), (20, 30, 20), (30, 20, 10), (40, 10, 4)]
    done = [
        batch(f"b{k:02}", images, 80, a, r, seconds=30 * images + 60 * (a + r / 2))
        for k, (images, a, r) in enumerate(edits)
    ]
    ahead = forecast(done, [1000], 0.5, seconds_per_box=1e6)
    assert ahead.measured
    assert ahead.seconds.median == pytest.approx(30 * 1000 + 60 * ahead.wt.median, rel=0.05)
    unmeasured = forecast([*done, batch("b04", 20, 80, 9, 9)], [10], 0.5, seconds_per_box=7)
    assert not unmeasured.measured
    assert unmeasured.seconds.median == pytest.approx(7 * unmeasured.wt.median)


def test_what_is_submitted_of_a_batch_is_no_work_left_and_counts_in_what_is_saved():
    done = [batch(f"b{k:02}", 20, 80, a, 8, seconds=600 + 9 * a) for k, a in enumerate((80, 30))]

    def ahead(**options):
        return forecast(done, [40, 60], 0.5, seconds_per_box=35, **options)

    whole, none, half, rest = (
        ahead(), ahead(submitted=[0, 0]), ahead(submitted=[20, 30]), ahead(submitted=[40, 0])
    )  # fmt: skip
    assert none == whole
    assert half.wt.median == pytest.approx(whole.wt.median / 2)
    assert half.seconds.median == pytest.approx(whole.seconds.median / 2)
    assert rest.wt.median == pytest.approx(whole.batches[1].wt.median)
    assert half.saved == rest.saved == whole.saved
    assert half.batches == whole.batches


def test_drawing_alone_says_nothing_of_looking():
    ahead = forecast([batch("b00", 20, 80, 80, 0, seconds=800)], [50], 0.5, seconds_per_box=1)
    assert ahead.seconds.median == pytest.approx(10 * ahead.wt.median, rel=0.1)


def test_another_cost_model_has_its_price():
    done = [batch("b00", 20, 80, 80, 0), *(batch(f"b{k:02}", 20, 80, 20, 0) for k in (1, 2, 3))]
    paper = forecast(done, [20], 0.5, seconds_per_box=35)
    dear = forecast(done, [20], 0.5, seconds_per_box=35, cost_model=CostModel(added=2.0))
    assert dear.wt.median > 1.5 * paper.wt.median


@pytest.mark.parametrize(
    ("done", "coming"),
    [([], [10]), ([("b00", 10, 40, 40, 0)], []), ([("b00", 10, 0, 0, 0)], [10])],
    ids=["nothing is done", "nothing is left", "no object"],
)
def test_where_nothing_can_be_said(done, coming):
    assert forecast([batch(*row) for row in done], coming, 0.5, seconds_per_box=35) is None


def test_batches_without_objects_are_passed_over():
    done = [batch("b00", 10, 40, 40, 0), batch("b01", 10, 0, 0, 3), batch("b02", 10, 30, 5, 1)]
    ahead = forecast(done, [10, 10], 0.5, seconds_per_box=35)
    assert len(ahead.batches) == 2
    assert 0 <= ahead.wt.low <= ahead.wt.median <= ahead.wt.high


def given(workload):
    """The same batch, had all of its labels been imported and trusted."""
    return replace(
        workload,
        images=0,
        objects=0,
        ledgers=dict.fromkeys(workload.ledgers, Ledger()),
        average_precision={},
        given_images=workload.images,
        given_objects=workload.objects,
    )


def test_images_whose_labels_were_given_taught_the_detector():
    first = batch("b00", 30, 60, 60, 0)
    rest = [batch("b01", 30, 60, 9, 9, precision=0.5), batch("b02", 30, 60, 7, 7, precision=0.6)]
    ahead = forecast([given(first), *rest], [30, 30], 0.5, seconds_per_box=10)
    drawn = forecast([first, *rest], [30, 30], 0.5, seconds_per_box=10)
    assert ahead.batches == drawn.batches
    assert ahead.saved.median > drawn.saved.median
    assert forecast_precision([given(first), *rest]) == forecast_precision([first, *rest])
    part = replace(first, images=10, given_images=20, given_objects=40)
    assert observe([part, *rest], [0, 9, 7]) == observe([first, *rest], [0, 9, 7])
    assert [n for n, _, _ in observe([given(first), *rest], [0, 9, 7])] == [30, 60]


def test_images_that_came_with_labels_taught_the_first_detector():
    """So the first batch was proposed for, too, and 60 images more teach less."""
    done = [batch(f"b{k:02}", 30, 60, 20, 10, precision=0.5) for k in range(2)]
    assert [n for n, _, _ in observe(done, [25, 25])] == [30]
    assert [n for n, _, _ in observe(done, [25, 25], 600)] == [600, 630]
    asked = replace(done[0], detector="zero-shot owlv2")  # which has learned from none of them
    assert [n for n, _, _ in observe([asked, done[1]], [25, 25], 600)] == [630]
    bare, trusted = (
        forecast(done, [60, 60], 0.5, seconds_per_box=1, before=n).batches for n in (0, 600)
    )
    fall, slight = (math.log(a.wt.median / b.wt.median) for a, b in (bare, trusted))
    assert 0 < slight < fall / 3
    assert forecast_precision(done) is None
    better = forecast_precision(done, 600)
    assert better.batch == "b01"
    assert 0 < better.gain < 0.05


def test_time_is_measured_where_a_batch_took_none_because_its_labels_were_given():
    first = batch("b00", 20, 80, 80, 0)
    rest = [
        batch("b01", 20, 80, 30, 20, seconds=30 * 20 + 60 * 40),
        batch("b02", 40, 80, 10, 4, seconds=30 * 40 + 60 * 12),
    ]
    ahead = forecast([given(first), *rest], [1000], 0.5, seconds_per_box=1e6)
    assert ahead.measured
    assert ahead.seconds.median == pytest.approx(30 * 1000 + 60 * ahead.wt.median, rel=0.05)
    one = forecast([given(first), rest[0]], [50], 0.5, seconds_per_box=1e6)
    assert one.measured
    assert one.seconds.median == pytest.approx(75 * one.wt.median, rel=0.1)
    assert not forecast([first, *rest], [10], 0.5, seconds_per_box=7).measured
    untimed = replace(rest[0], seconds=None, timed_images=None)
    assert not forecast([given(first), untimed], [10], 0.5, seconds_per_box=7).measured


def test_what_nothing_was_learned_for_is_no_observation():
    none = batch("b00", 0, 0, 0, 0)
    rest = [batch(f"b{k:02}", 30, 60, 9, 9, precision=0.5) for k in (1, 2)]
    assert [n for n, _, _ in observe([none, *rest], [0, 9, 9])] == [30]
    assert forecast_precision([none, *rest]) is None


def test_precision_levels_off():
    first = batch("b00", 50, 500, 500, 0)
    flat = [batch(f"b{k:02}", 50, 500, 9, 9, precision=0.8) for k in range(1, 7)]
    rising = [batch(f"b{k:02}", 50, 500, 9, 9, precision=0.4 + 0.08 * k) for k in range(1, 7)]
    assert forecast_precision([first, flat[0]]) is None
    level, steep = forecast_precision([first, *flat]), forecast_precision([first, *rising])
    assert holds(level.next, 0.8)
    assert level.gain < 0.01 < steep.gain


def test_an_interval_of_draws():
    interval = Interval.of(np.arange(101.0))
    assert (interval.low, interval.median, interval.high) == pytest.approx((10, 50, 90))
