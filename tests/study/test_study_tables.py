"""The tables for people, of rows that are written down here."""

import pytest

from boxloop.params import Params
from boxloop.study.grid import Approach, Grid
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


def tables(rows, labels=(), paper=None):
    params = {(approach, "ssd"): PARAMS for approach in APPROACHES}
    grid = Grid(APPROACHES, ["ssd"], (0.5,), labels, (0, 1), paper, params)
    return text_tables(entries(rows, grid), grid)


def bold(table):
    return {table.rows[i][j] for i, j in table.best}


def test_the_best_is_marked_also_where_an_approach_is_not_done_yet():
    rows = [row("temporal", 0.25), row("similar-plain", 0.5)]
    saved, differences = tables(rows)[:2]
    assert [r[0] for r in saved.rows] == ["temporal", "similar-plain"]
    assert saved.rows[1][1] == "50.00"
    assert saved.best == {(1, 1)}
    assert "**50.00**" in saved.markdown()
    assert differences.rows == ()


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
        row(name, values[i], label=label)
        for i, label in enumerate(labels)
        for name, values in saved.items()
    ]
    table, differences = tables(rows, labels, paper)
    assert [r[0] for r in table.rows] == [*labels, "average"]
    assert bold(table) == {"50.00", "25.00", "75.00", "37.50"}
    assert table.head.count("paper") == (6 if paper else 0)
    assert differences.rows[0][1:3] == ("-25.00", "-12.50")


def test_a_class_called_average_is_not_their_average():
    saved = {"average": 0.25, "bird": 0.75}
    rows = [row("random", value, label=label) for label, value in saved.items()]
    table, _ = tables(rows, list(saved))
    assert [r[:2] for r in table.rows] == [
        ("average", "25.00"),
        ("bird", "75.00"),
        ("average of 2 classes", "50.00"),
    ]
