"""The ledger by person, from a journal of several people."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxloop import pipeline
from boxloop.campaign import artifacts, class_changes, submissions
from boxloop.campaign.by_person import PersonBatch, by_person, read_by_person, same_boxes
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.class_changes import ClassChange
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import CampaignResults, read_results
from boxloop.core.boxes import join
from boxloop.core.edits import Ledger
from boxloop.core.types import Boxes, Recheck
from boxloop.params import Params
from boxloop.report.person_tables import person_table, person_text
from builders import any_boxes
from builders_campaign import build_campaign, small_params
from builders_reviews import submit


def campaign(folder: Path, *submitted: dict[str, Any]) -> tuple[CampaignPaths, CampaignResults]:
    """Two batches, b00 with img00 and img01 and b01 with img02 and img03, as people submit them."""
    params: Params = small_params(2, review={"annotator": "fiftyone"})
    paths = build_campaign(folder, params, annotator="fiftyone")
    for key in params.iterations:
        paths.corrections(key).unlink()
    for day, options in enumerate(submitted, start=1):
        submit(folder, finished=f"2026-01-{day:02d}T12:00:00+00:00", **options)
    for key in params.iterations:
        pipeline.review(Campaign(paths, params), key)
        pipeline.account(Campaign(paths, params), key)
    return paths, read_results(paths, params)


def test_two_people_and_one_image_that_was_wrong_at_first(tmp_path: Path) -> None:
    paths, results = campaign(
        tmp_path,
        {"key": "b00", "image_ids": ["img00"], "reviewer": "ada", "seconds": 30.0},
        {"key": "b00", "image_ids": ["img01"], "reviewer": "bob", "seconds": 60.0, "by": 1.0},
        {"key": "b01", "reviewer": "bob", "seconds": 10.0},
        # ada looks again: img01 is put right, img02 was right.
        {"key": "b00", "image_ids": ["img01"], "reviewer": "ada", "seconds": 70.0},
        {"key": "b01", "image_ids": ["img02"], "reviewer": "ada", "seconds": 15.0},
    )
    rows = read_by_person(paths, results)
    assert [(row.reviewer, row.batch) for row in rows] == [
        ("ada", "b00"), ("bob", "b00"), ("ada", "b01"), ("bob", "b01")
    ]  # fmt: skip
    ada, bob = by_person(rows)
    # ada's are img00 and img01 (3 and 2 drawn), and img02; only img00 was submitted once.
    assert (ada.images, ada.objects, ada.edits.added) == (3, 8, 5)
    assert (ada.timed_images, ada.seconds, ada.timed_edits) == (1, 30.0, 3)
    assert (ada.first, ada.right) == (1, 1)
    assert ada.seconds_per_edit == 10.0
    assert ada.edits_per_hour == 360.0
    # bob's is img03; of the three that he was first to submit, img01 was not right.
    assert (bob.images, bob.objects, bob.timed_images, bob.seconds) == (1, 3, 1, 10.0)
    assert (bob.first, bob.right) == (3, 2)
    assert bob.first_time_right == pytest.approx(2 / 3)
    low, high = bob.right_interval() or (0, 0)
    assert 0 < low < 2 / 3 < high < 1
    for workload in results.workloads:
        own = [row.edits for row in rows if row.batch == workload.batch]
        assert sum(own, Ledger()) == workload.edits
        images = [row.images for row in rows if row.batch == workload.batch]
        assert sum(images) == workload.images


def test_right_at_first_stays_right_when_a_class_is_renamed(tmp_path: Path) -> None:
    """The corrections have the old name until 'dvc repro', also where two people share a batch."""
    paths, results = campaign(
        tmp_path,
        {"key": "b00", "reviewer": "ada"},
        {"key": "b01", "image_ids": ["img02"], "reviewer": "bob"},
        {"key": "b01", "image_ids": ["img03"], "reviewer": "ada"},
    )
    before = read_by_person(paths, results)
    assert [row.first_time_right for row in before] == [1.0] * 3
    images = artifacts.read_images(paths.images)
    names = tuple("kitten" if name == "cat" else name for name in images.classes)
    artifacts.write_images(paths.images, replace(images, classes=names))
    change = ClassChange("rename", "cat", "kitten", datetime.now(UTC))
    class_changes.append(paths.reviews, change, names)
    assert read_by_person(paths, results) == before


def test_boxes_taken_from_below_the_threshold_are_told_from_drawn_ones(tmp_path: Path) -> None:
    paths, results = campaign(tmp_path, {"key": "b00"}, {"key": "b01"})
    [before] = by_person(read_by_person(paths, results))
    assert before.kept_below == 1  # a stored proposal that was not shown
    made = artifacts.read_corrections(paths.corrections("b01"))
    below = Boxes(np.array([[1.0, 1, 9, 9]]), np.array(["cup"]), np.array(["p99"]))
    offered = join(made.proposals.boxes["img02"], replace(below, scores=np.array([0.01])))
    proposals = replace(made.proposals, boxes={**made.proposals.boxes, "img02": offered})
    final = {**made.boxes, "img02": join(made.boxes["img02"], below)}
    taken = replace(made, proposals=proposals, boxes=final)
    artifacts.write_corrections(paths.corrections("b01"), taken)
    file = json.loads(paths.corrections("b01").read_text())
    assert sum(edits.get("kept_below", 0) for edits in file["edits"].values()) == 2
    [after] = by_person(read_by_person(paths, results))
    assert (after.kept_below, after.edits.added) == (2, before.edits.added + 1)
    assert "2 were taken from proposals below" in " ".join(person_text([after]).split())
    [row] = csv.DictReader(io.StringIO(person_table([after])))
    assert row["kept_below"] == "2"
    # Where nothing was proposed to the person, nothing was taken.
    artifacts.write_corrections(paths.corrections("b01"), replace(taken, blind=tuple(final)))
    assert by_person(read_by_person(paths, results))[0].kept_below == 0


def test_second_looks_leave_an_image_to_who_reviewed_it(tmp_path: Path) -> None:
    paths, results = campaign(
        tmp_path,
        {"key": "b00", "reviewer": "ada", "seconds": 30.0},
        {"key": "b01", "reviewer": "bob", "seconds": 10.0},
    )
    known = submissions.latest(submissions.read(paths.reviews))["img02"]
    before, fixed = known.boxes["img02"], known.boxes["img02"].select(np.array([0]))
    look = Recheck(before, "bob", "kim", 3.0)
    part = replace(known.part(["img02"]), boxes={"img02": fixed}, rechecked={"img02": look})
    submissions.append(paths.reviews, replace(part, reviewer="kim", finished="2026-02-01T00:00"))
    params: Params = small_params(2, review={"annotator": "fiftyone"})
    pipeline.review(Campaign(paths, params), "b01")
    pipeline.account(Campaign(paths, params), "b01")
    after = read_results(paths, params)
    assert after.workloads == results.workloads
    ada, bob = by_person(read_by_person(paths, after))
    assert (bob.images, bob.timed_images, bob.seconds) == (2, 2, 20.0)
    assert bob.edits == after.workloads[1].edits
    # kim had to change one of the images.
    assert (ada.first, ada.right, bob.first, bob.right) == (2, 2, 2, 1)


def test_a_script_recounts_it_from_the_journal_alone(tmp_path: Path) -> None:
    paths, results = campaign(
        tmp_path,
        {"key": "b00", "image_ids": ["img00"], "reviewer": "ada", "seconds": 12.0},
        {"key": "b00", "image_ids": ["img01"], "reviewer": "bob", "by": 2.0},
        {"key": "b00", "image_ids": ["img01"], "reviewer": "bob", "seconds": 44.0},
        {"key": "b01", "reviewer": "bob", "seconds": 21.0},
    )
    history: dict[str, list[dict[str, Any]]] = defaultdict(list)
    files = [json.loads(path.read_text()) for path in (tmp_path / "reviews").glob("*.json")]
    for file in sorted(files, key=lambda file: str(file["finished"])):
        for image_id in file["boxes"]:
            history[image_id].append(file)

    def table(file: dict[str, Any], image_id: str) -> list[Any]:
        return sorted((box["label"], box["xyxy"]) for box in file["boxes"][image_id])

    seconds: dict[str, float] = defaultdict(float)
    edits, first, right = (
        defaultdict[str, int](int),
        defaultdict[str, int](int),
        defaultdict[str, int](int),
    )
    for image_id, files in history.items():
        begun, final = files[0], files[-1]
        first[begun["reviewer"]] += 1
        right[begun["reviewer"]] += table(begun, image_id) == table(final, image_id)
        if len(files) == 1:
            seconds[final["reviewer"]] += final["seconds"][image_id]
            limit, after = final["score_threshold"], {b["id"]: b for b in final["boxes"][image_id]}
            for box in final["proposals"]["boxes"][image_id]:
                if box["score"] >= limit:
                    end = after.pop(box["id"], None)
                    same = end is not None and end["label"] == box["label"]
                    edits[final["reviewer"]] += not (same and end["xyxy"] == box["xyxy"])
            edits[final["reviewer"]] += len(after)
    people = by_person(read_by_person(paths, results))
    assert [row.reviewer for row in people] == ["ada", "bob"]
    for row in people:
        name = row.reviewer
        assert (row.seconds, row.timed_edits) == (seconds[name], edits[name])
        assert (row.first, row.right) == (first[name], right[name])
    assert (right["bob"], first["bob"]) == (2, 3)


def test_a_simulation_has_nobody_and_people_without_a_name_are_one(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path / "simulated", params)
    assert read_by_person(paths, read_results(paths, params)) == ()
    paths, results = campaign(
        tmp_path / "people",
        {"key": "b00", "reviewer": None, "seconds": None},
        {"key": "b01", "reviewer": None, "seconds": None},
    )
    [row] = by_person(read_by_person(paths, results))
    assert (row.reviewer, row.images, row.timed_images) == ("not named", 4, 0)
    assert row.seconds_per_edit is row.edits_per_hour is row.seconds_per_image is None


def test_what_the_journal_does_not_hold_is_of_whom_the_corrections_name(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params, annotator="fiftyone")
    [row] = by_person(read_by_person(paths, read_results(paths, params)))
    assert (row.reviewer, row.images, row.first, row.right) == ("ada", 4, 4, 4)
    assert (row.timed_images, row.seconds) == (4, 40.0)


def test_what_the_journal_holds_an_older_submission_of_is_not_of_that_one_s_person(
    tmp_path: Path,
) -> None:
    paths, results = campaign(
        tmp_path,
        {"key": "b00", "reviewer": "ada", "by": 1.0},
        {"key": "b01", "reviewer": "ada"},
        {"key": "b00", "reviewer": "bob"},
    )
    before = by_person(read_by_person(paths, results))
    max((tmp_path / "reviews").glob("b00-*.json")).unlink()
    ada, bob = by_person(read_by_person(paths, results))
    assert [ada, bob] == list(before)
    assert (ada.images, ada.first, ada.right) == (2, 4, 2)
    assert (bob.images, bob.first, bob.timed_images) == (2, 0, 0)


def test_labels_that_are_newer_than_the_corrections_wait(tmp_path: Path) -> None:
    paths, results = campaign(tmp_path, {"key": "b00"}, {"key": "b01"})
    before = read_by_person(paths, results)
    submit(tmp_path, "b00", by=1.0, finished="2026-02-01T12:00:00+00:00", reviewer="bob")
    assert read_by_person(paths, results) == before


def test_nothing_was_right_at_first_where_nothing_was_first() -> None:
    assert PersonBatch("ada", "b00").right_interval() is None
    assert PersonBatch("ada", "b00").first_time_right is None
    low, high = PersonBatch("ada", "b00", first=10, right=10).right_interval() or (0, 0)
    assert (round(low, 2), high) == (0.72, 1.0)


@given(any_boxes(scored=False), st.randoms())
def test_the_same_boxes_are_the_same_in_any_order_and_by_any_id(item: Boxes, random: Any) -> None:
    order = list(range(len(item)))
    random.shuffle(order)
    other = Boxes.build(item.xyxy[order] + 0.001, item.labels[order].tolist(), prefix="x")
    assert same_boxes(item, other)
    assert same_boxes(item, other) == same_boxes(other, item)
    if len(item):
        assert not same_boxes(item, other.select(np.arange(1, len(item))))
        moved = np.array([*other.xyxy[:1] + 0.5, *other.xyxy[1:]])
        assert not same_boxes(item, Boxes(moved, other.labels, other.ids))


def test_same_boxes_take_room_by_their_number_not_by_all_their_pairs() -> None:
    item = Boxes.build(np.array([[0.0, 0.0, 9.0, 9.0]] * 1000), ["cat"] * 1000)
    tracemalloc.start()
    assert same_boxes(item, item)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6
