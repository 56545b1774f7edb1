"""The ledgers by class and by person, and one's own prices, as people read them."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from boxloop.campaign.by_class import read_by_class
from boxloop.campaign.by_person import PersonBatch, read_by_person
from boxloop.campaign.own_costs import own_cost_lines
from boxloop.campaign.results import read_results
from boxloop.campaign.status import status_text
from boxloop.core.edits import EDITS, Ledger
from boxloop.core.own_costs import price
from boxloop.core.types import NOTHING
from boxloop.core.workload import BatchWorkload
from boxloop.errors import ParamsError
from boxloop.files import read_json
from boxloop.params import Params, check
from boxloop.params.account import CostsParams
from boxloop.report import class_tables, person_tables, tables
from boxloop.report.build import write_report
from builders_campaign import build_campaign, small_params

COSTS = {
    "kept": 1.0,
    "moved": 6.0,
    "relabeled": 4.0,
    "removed": 2.0,
    "added": 10.0,
    "image": 3.0,
}


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_classes_as_text_and_as_csv(tmp_path: Path) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params)
    found = read_by_class(paths, params, read_results(paths, params))
    text = class_tables.class_text(found)
    assert max(map(len, text.splitlines())) <= 80
    lines = [line.split() for line in text.splitlines()]
    assert ["cat", "9", "5", "0", "0", "0", "4", "55.6", "%", "55.6", "%", "1.00"] in [
        line[:12] for line in lines
    ]
    assert "Relabeled most: cat to dog (1)" in text
    rows = rows_of(class_tables.class_table(found))
    assert [row["class"] for row in rows] == ["cat", "dog"]
    assert sum(float(row["wt_iou_0.5"]) for row in rows) == 8
    assert sum(int(row["wb_iou_0.5"]) for row in rows) == 9
    batches = rows_of(class_tables.class_batch_table(found))
    assert [(row["batch"], row["class"]) for row in batches][2:4] == [
        ("b01", "cat"),
        ("b01", "dog"),
    ]
    assert [row["mistaken_iou_0.5"] for row in batches] == ["0", "0", "1", "0", "0", "0"]
    for kind in EDITS:
        column = f"{kind}_iou_0.5"
        assert sum(int(r[column]) for r in batches) == sum(int(r[column]) for r in rows)


def test_of_a_class_without_objects_no_saving_is_told(tmp_path: Path) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params)
    found = read_by_class(paths, params, read_results(paths, params))
    found = replace(found, classes=(*found.classes, "bird"))
    bird = rows_of(class_tables.class_table(found))[-1]
    assert (bird["class"], bird["objects"], bird["wt_iou_0.5"]) == ("bird", "0", "0.0")
    assert bird["wt_reduction_iou_0.5"] == bird["wb_reduction_iou_0.7"] == ""
    metrics = class_tables.to_metrics(found)["by_class"]
    assert set(metrics["cat"]) - set(metrics["bird"]) >= {"wt_reduction", "wb_reduction"}
    assert metrics["bird"]["wb"] == {"0.5": 0, "0.7": 0}


def test_every_number_of_a_class_is_its_own(tmp_path: Path) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params)
    found = read_by_class(paths, params, read_results(paths, params))
    never = replace(found.thresholds["dog"], least_wt=NOTHING)
    found = replace(found, classes=(*found.classes, "bird"))
    found = replace(found, thresholds={**found.thresholds, "dog": never})
    # Objects, kept, moved, relabeled, removed, added; saved of WB and WT; AP and threshold.
    assert [" ".join(row) for row in class_tables.class_rows(found, 0.7)] == [
        "cat 9 4 1 0 0 4 33.3 % 38.9 % 1.00 0.5",
        "dog 6 3 0 1 1 2 16.7 % 33.3 % 1.00 none",
        "bird 0 0 0 0 0 0 - - - -",
    ]
    text = class_tables.class_text(found)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "all 15 8 0 1 1 6 40.0 % 46.7 % 1.00" in lines
    assert "AP is that of the proposals for b02 at IoU 0.5" in text
    columns = ("images", "objects", "first_batch_objects", "ap_50", "pays_from")
    cat, dog, _ = rows_of(class_tables.class_table(found))
    assert [cat[name] for name in columns] == ["6", "9", "3", "1.0", "0.5"]
    assert [dog[name] for name in columns] == ["6", "6", "2", "1.0", str(NOTHING)]
    batches = rows_of(class_tables.class_batch_table(found))
    assert [(row["images"], row["objects"]) for row in batches[3:6]] == [
        ("2", "4"), ("2", "2"), ("0", "0")
    ]  # fmt: skip
    precision = [float(row["ap_50"]) for row in batches[::3]]
    assert precision == pytest.approx([0.0, 91 / 101, 1.0])  # of the cats; of 101 recalls


def test_the_pairs_that_are_mistaken_most_are_named(tmp_path: Path) -> None:
    params = small_params(1)
    paths = build_campaign(tmp_path, params)
    found = read_by_class(paths, params, read_results(paths, params))
    assert class_tables.mistaken_line(found, 0.5) == ""
    (batch,) = found.batches
    mistaken = {("cat", name): n for n, name in enumerate("abcdefg", start=1)}
    for pairs, end in ((5, "a (1)"), (7, "c (3), 2 more pairs")):
        some = dict(list(mistaken.items())[:pairs])
        ledgers = {0.5: replace(batch.ledgers[0.5], mistaken=some)}
        line = class_tables.mistaken_line(
            replace(found, batches=(replace(batch, ledgers=ledgers),)), 0.5
        )
        assert line.startswith("Relabeled most: cat to ")
        assert line.count(" to ") == 5
        assert line.endswith(f" to {end}")


def test_long_names_of_classes_and_people_fold(tmp_path: Path) -> None:
    long = "a very long [red]name of something that is to be found in images"
    row = PersonBatch(long, "b00", 1000, 12000, Ledger(added=3000), 9e5, 1000, 3000, 1000, 980)
    text = person_tables.person_text([row, row])
    assert max(map(len, text.splitlines())) <= 80
    assert "[red]" in "".join(text.split())
    assert "300.0" in text
    assert "980" in text


def test_metrics_hold_classes_on_request_only(tmp_path: Path) -> None:
    paths = build_campaign(tmp_path, small_params(2))
    plain = tables.metrics(read_results(paths, small_params(2)))
    asked = small_params(2, report={"by_class": True}, account={"costs": COSTS})
    write_report(paths, asked, paths.metrics, paths.report)
    more = read_json(paths.metrics)
    assert {k: v for k, v in more.items() if k in plain} == plain
    assert set(more) - set(plain) == {"by_class", "costs"}
    assert more["by_class"]["dog"]["relabeled"] == {"0.5": 1, "0.7": 1}
    assert sum(row["wt"]["0.5"] for row in more["by_class"].values()) == 5 + 1.5 + 0.5 + 1
    page = (paths.report / "report.html").read_text()
    assert "By your own seconds per edit" in page
    assert "Relabeled most: cat to dog (1)" in page


def test_ones_own_prices_are_those_of_a_plain_loop() -> None:
    ledger = Ledger(kept=5, moved=4, relabeled=3, removed=2, added=1)
    first = BatchWorkload("b00", "simulated", "empty", 2, 7, 0.5, {(0.5, 0.5): Ledger(added=7)}, {})
    later = BatchWorkload("b01", "simulated", "ssd", 4, 13, 0.5, {(0.5, 0.5): ledger}, {})
    own = price([first, later], 0.5, CostsParams(**COSTS))
    seconds = 7 * 10 + (5 * 1 + 4 * 6 + 3 * 4 + 2 * 2 + 1 * 10) + 6 * 3
    assert own.seconds == seconds
    assert own.scratch == 20 * 10 + 6 * 3
    assert own.reduction == pytest.approx(1 - seconds / 218)
    assert price([], 0.5, CostsParams(**COSTS)).reduction == 0.0


def test_prices_of_the_paper_give_the_papers_saving(tmp_path: Path) -> None:
    t = 35.0
    paper = {"kept": 0.0, "moved": 1.5 * t, "relabeled": 1.5 * t, "removed": t / 2, "added": t}
    params = small_params(3, account={"costs": paper})
    results = read_results(build_campaign(tmp_path, params), params)
    own = tables.metrics(results)["costs"]
    for iou in ("0.5", "0.7"):
        assert own["reduction"][iou] == pytest.approx(results.totals(float(iou)).wt_reduction)
        assert own["hours"][iou] == pytest.approx(tables.metrics(results)["hours"][iou])


def test_status_prices_where_there_is_a_table(tmp_path: Path) -> None:
    params = small_params(3, account={"costs": COSTS})
    paths = build_campaign(tmp_path, params)
    seconds = 50 + (4 + 4 + 2 + 10) + 4 + 6 * 3
    assert (
        f"by account.costs: 1 min {seconds - 60} s where drawing takes 2 min 48 s"
        in status_text(paths, params)
    )
    assert "account.costs" not in status_text(paths, small_params(3))
    assert own_cost_lines([], Params().account) == []


def test_what_people_did_as_text_and_csv(tmp_path: Path) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params, annotator="fiftyone")
    rows = read_by_person(paths, read_results(paths, params))
    text = person_tables.person_text(rows)
    # 5 drawn, and in b01 one moved, relabeled, removed and added: 9 edits in 60 s.
    line = next(line.split() for line in text.splitlines() if line.split()[:2] == ["ada", "6"])
    assert line == ["ada", "6", "15", "9", "10.0", "6.7", "540", "6/6", "(61-100", "%)"]
    assert [row["batch"] for row in rows_of(person_tables.person_table(rows))] == [
        "b00",
        "b01",
        "b02",
    ]
    assert person_tables.person_text(()) == "No batch that people reviewed is done yet."


def test_people_batch_by_batch() -> None:
    edits = Ledger(kept=1, moved=2, relabeled=3, removed=4, added=5)
    ada = PersonBatch("ada", "b00", 2, 9, edits, 30.0, 1, 3, 4, 2, kept_below=1)
    bob = PersonBatch("bob", "b01", 7, 8, Ledger(added=1))
    assert "Batch by batch" not in person_tables.person_text([ada, bob])
    text = person_tables.person_text([ada, bob, replace(ada, batch="b02")])
    over_time = text.partition("Batch by batch")[2].splitlines()
    cells = [line.split() for line in over_time]
    ours = ["2", "9", "14", "30.0", "10.0", "360", "2/4"]
    assert [row for row in cells if row[:1] in (["ada"], ["bob"])] == [
        ["ada", "b00", *ours],
        ["ada", "b02", *ours],
        ["bob", "b01", "7", "8", "1", "-", "-", "-", "-"],
    ]
    (sentence,) = person_tables.below_lines([ada])
    assert sentence.startswith("Of 5 boxes added, 1 was taken from proposals below")
    (row,) = rows_of(person_tables.person_table([ada]))
    assert " ".join(f"{name}={value}" for name, value in row.items()) == (
        "reviewer=ada batch=b00 images=2 objects=9 kept=1 moved=2 relabeled=3 removed=4 added=5"
        " kept_below=1 timed_images=1 timed_edits=3 seconds=30.0 first=4 right=2"
    )


@pytest.mark.parametrize(
    ("costs", "sentence"),
    [
        ({**COSTS, "added": 0}, "account.costs.added"),
        ({**COSTS, "kept": -1}, "account.costs.kept"),
        ({**COSTS, "drawn": 1}, "'account.costs.drawn' is not a known key"),
        ({k: v for k, v in COSTS.items() if k != "moved"}, "account.costs.moved is missing"),
        (35, "account.costs"),
    ],
)
def test_a_table_that_says_too_little_is_refused(costs: object, sentence: str) -> None:
    with pytest.raises(ParamsError, match=sentence):
        check(Params, {"account": {"costs": costs}}, "params.yaml")


def test_prices_are_no_parameter_of_what_is_trained_and_absent_where_not_set() -> None:
    stages = YAML(typ="safe").load(Path(__file__).parents[2] / "dvc.yaml")["stages"]
    stages = {name: stage.get("do", stage) for name, stage in stages.items()}
    priced = {
        name
        for name, stage in stages.items()
        for key in stage.get("params", ())
        if "account.costs".startswith(key)
    }
    assert priced == {"start", "report"}
    dumped = small_params(2).model_dump(mode="json")
    assert "costs" not in dumped["account"]
    assert "by_class" not in dumped["report"]
    mine = small_params(2, account={"costs": COSTS})
    assert mine.model_dump(mode="json")["account"]["costs"] == COSTS
