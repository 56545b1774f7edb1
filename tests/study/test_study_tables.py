"""The tables for people, of rows that are written down here."""

import pytest
from scipy import stats

from boxloop.params import Params
from boxloop.study.grid import Approach, Grid
from boxloop.study.report import points
from boxloop.study.tables import entries, text_tables

APPROACHES = [Approach("random", None), Approach("temporal", None), Approach("similar", "plain")]
PARAMS = Params.model_validate({"train": {"detector": "fasterrcnn_resnet50_fpn", "epochs": 1}})


def row(approach, saved, *, seed=0, label="", detector="ssd", iou=0.5):
    return {
        "class": label,
        "approach": approach,
        "detector": detector,
        "seed": seed,
        "iou": iou,
        "shown": 1,
        "wt_reduction": saved,
        "wb_reduction": saved / 2,
    }


def grid_of(labels=(), paper=None, *, detectors=("ssd",), ious=(0.5,), seeds=(0, 1)):
    params = {(approach, name): PARAMS for approach in APPROACHES for name in detectors}
    return Grid(APPROACHES, detectors, ious, labels, seeds, paper, params)


def tables(rows, labels=(), paper=None, **axes):
    grid = grid_of(labels, paper, **axes)
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
    assert saved.note.startswith("Mean of 2 seeds, ± half of the 95 % interval (Student's t).")
    assert [r[0] for r in saved.rows] == ["temporal", "similar-plain"]
    assert saved.rows[1][1] == "50.00 ± 0.00"
    assert saved.best == {(1, 1)}
    assert "**50.00 ± 0.00**" in saved.markdown()
    assert differences.rows == ()


def test_no_best_is_marked_of_one_seed_or_of_different_numbers_of_seeds():
    alone = [row("temporal", 0.25), row("similar-plain", 0.5)]
    assert tables(alone)[0].best == frozenset()
    assert tables(alone)[0].note.startswith("Mean of 1 of 2 seeds, so nothing is known")
    assert "no winner" in tables(alone)[0].note
    more = [*alone, row("similar-plain", 0.75, seed=1)]
    assert tables(more)[0].best == frozenset()
    assert tables([*alone, row("temporal", 0.75, seed=1)])[0].best == frozenset()
    assert "Mean of 1 to 2 of 2 seeds, " in tables(more)[0].note
    assert tables([*more, row("temporal", 0.25, seed=1)])[0].best == {(1, 1)}


def test_differences_are_to_random_on_the_same_seeds():
    rows = [row("random", 0.125), row("temporal", 0.25), row("temporal", 0.75, seed=1)]
    differences = tables(rows)[1]
    assert differences.rows == (("temporal", "+12.50"),)
    assert "One seed" in differences.note


def test_a_star_marks_an_interval_that_leaves_zero_out():
    both = [("random", 0.1, 0.2), ("temporal", 0.6, 0.71), ("similar-plain", 0.6, 0.1)]
    rows = [row(name, x, seed=seed) for name, *saved in both for seed, x in enumerate(saved)]
    differences = tables(rows)[1]
    half = stats.t.ppf(0.975, 1) * 0.5  # of 50 and 51 points
    starred = f"+50.50 [+{50.5 - half:.2f}, +{50.5 + half:.2f}] *"
    assert differences.rows[0] == ("temporal", starred)
    assert not differences.rows[1][1].endswith("*")
    assert "over 2 common seeds, with its 95 % interval" in differences.note
    assert "Of 2 comparisons without any true difference, about 0.1 would" in differences.note
    assert "Fewer than 3 seeds" in differences.note
    assert "Fewer than 3 seeds" in tables(rows)[0].note
    third = [row(name, saved, seed=2) for name, saved, _ in both]
    assert not any("Fewer" in table.note for table in tables(rows + third, seeds=(0, 1, 2)))


def test_the_best_is_that_of_its_detector_and_iou_threshold():
    places = [(detector, iou) for detector in ("ssd", "fcos") for iou in (0.5, 0.7)]
    rows = [
        row(name, saved / (n + 1), seed=seed, detector=detector, iou=iou)
        for n, (detector, iou) in enumerate(places)
        for name, saved in (("temporal", 0.25), ("similar-plain", 0.5))
        for seed in (0, 1)
    ]
    saved, *_ = tables(rows, detectors=["ssd", "fcos"], ious=(0.5, 0.7))
    assert saved.head[1:] == tuple(f"{detector}, IoU {iou}" for detector, iou in places)
    assert saved.best == {(1, 1), (1, 2), (1, 3), (1, 4)}


def test_the_average_of_the_classes_is_of_the_seeds_that_all_have():
    rows = [row("random", 0.5, label="a", seed=seed) for seed in (0, 1)]
    table, _ = tables([*rows, row("random", 0.25, label="b", seed=1)], ["a", "b"])
    assert [r[1] for r in table.rows] == ["50.00 ± 0.00", "25.00", "37.50"]


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
    assert table.note.endswith(" The paper's values are means of five runs.") == bool(paper)
    assert table.note.startswith("Mean of 2 seeds")
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


def test_a_class_with_a_bar_stays_in_its_column():
    rows = [row("random", 0.4, label=name) for name in ("cat|dog", "cup")]
    table = tables(rows, labels=["cat|dog", "cup"], seeds=(0,))[0]
    lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
    assert "| cat&#124;dog |" in table.markdown()
