"""The tables for people, of rows that are written down here."""

import pytest

from boxloop.params import Params
from boxloop.study.grid import Approach, Grid
from boxloop.study.report import points
from boxloop.study.tables import entries, text_tables

APPROACHES = [Approach("random", None), Approach("temporal", None), Approach("similar", "plain")]
PARAMS = Params.model_validate({"train": {"detector": "fasterrcnn_resnet50_fpn", "epochs": 1}})


def row(approach, saved, *, seed=0, label=""):
    return {
        "class": label,
        "approach": approach,
        "detector": "ssd",
        "seed": seed,
        "iou": 0.5,
        "shown": 1,
        "wt_reduction": saved,
        "wb_reduction": saved / 2,
    }


def grid_of(labels=(), paper=None):
    params = {(approach, "ssd"): PARAMS for approach in APPROACHES}
    return Grid(APPROACHES, ["ssd"], (0.5,), labels, (0, 1), paper, params)


def tables(rows, labels=(), paper=None):
    grid = grid_of(labels, paper)
    return text_tables(entries(rows, grid), grid)


def bold(table):
    return {table.rows[i][j] for i, j in table.best}


def test_the_best_is_marked_also_where_an_approach_is_not_done_yet():
    rows = [
        row(name, saved, seed=seed)
        for name, saved in (("temporal", 0.25), ("similar-plain", 0.5))
        for seed in (0, 1)
    ]
    saved, differences = tables(rows)[:2]
    assert [r[0] for r in saved.rows] == ["temporal", "similar-plain"]
    assert saved.rows[1][1] == "50.00 ± 0.00"
    assert saved.best == {(1, 1)}
    assert "**50.00 ± 0.00**" in saved.markdown()
    assert differences.rows == ()


def test_no_best_is_marked_of_one_seed_or_of_different_numbers_of_seeds():
    alone = [row("temporal", 0.25), row("similar-plain", 0.5)]
    assert tables(alone)[0].best == frozenset()
    assert "no winner" in tables(alone)[0].note
    more = [*alone, row("similar-plain", 0.75, seed=1)]
    assert tables(more)[0].best == frozenset()
    assert tables([*more, row("temporal", 0.25, seed=1)])[0].best == {(1, 1)}


def test_differences_are_to_random_on_the_same_seeds():
    rows = [row("random", 0.125), row("temporal", 0.25), row("temporal", 0.75, seed=1)]
    differences = tables(rows)[1]
    assert differences.rows == (("temporal", "+12.50"),)
    assert "One seed" in differences.note


@pytest.mark.parametrize("paper", [None, "voc2007"])
def test_of_one_class_at_a_time_the_best_of_each_class_and_measure_is_marked(paper):
    saved = {"random": (0.5, 0.125), "temporal": (0.25, 0.75)}
    labels = ["aeroplane", "bird"]
    rows = [
        row(name, values[i], label=label, seed=seed)
        for i, label in enumerate(labels)
        for name, values in saved.items()
        for seed in (0, 1)
    ]
    table, differences = tables(rows, labels, paper)
    assert [r[0] for r in table.rows] == [*labels, "average"]
    assert bold(table) == {f"{best} ± 0.00" for best in ("50.00", "25.00", "75.00", "37.50")}
    assert table.head.count("paper") == (6 if paper else 0)
    assert differences.rows[0][1:3] == ("-25.00 [-25.00, -25.00]", "-12.50 [-12.50, -12.50]")


def test_a_class_called_average_is_not_their_average():
    saved = {"average": 0.25, "bird": 0.75}
    rows = [row("random", value, label=label) for label, value in saved.items()]
    table, _ = tables(rows, list(saved))
    assert [r[:2] for r in table.rows] == [
        ("average", "25.00"),
        ("bird", "75.00"),
        ("average of 2 classes", "50.00"),
    ]


def test_each_class_has_a_metric_of_its_own_whatever_it_is_called():
    saved = {"猫": 0.25, "狗": 0.75, "a/b": 0.5, "a:b": 1.0}
    rows = [row("random", value, label=label) for label, value in saved.items()]
    found = points(entries(rows, grid_of(list(saved))))
    of_time = [value for name, value in found.items() if name.startswith("wt_reduction")]
    assert of_time == [*saved.values(), 0.625]  # the last is their average
