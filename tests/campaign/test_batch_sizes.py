"""When a running campaign hears of other sizes."""

import re
from dataclasses import replace

import pytest

from boxloop.campaign import artifacts
from boxloop.campaign.batch_sizes import advise, listed
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.standing import Step, Turn
from boxloop.core.batch_plan import TURN_SECONDS, Prices, follow, plan
from boxloop.core.edits import Ledger
from boxloop.core.forecast import observe
from boxloop.core.training_log import Seen
from boxloop.core.workload import BatchWorkload
from boxloop.params import Params, chain, check
from builders_campaign import training_log

ADDED = (0, 70, 35, 23, 17, 14)
"""Of 100 objects in a batch of 20 images: half where twice as many are labeled."""


def turns(coming, submitted=0, added=ADDED):
    """Batches that are done, and those to come."""
    found = []
    for k, count in enumerate(added):
        counts = {(0.5, 0.5): Ledger(added=count or 100), (0.5, 0.7): Ledger(added=count or 100)}
        done = BatchWorkload(f"b{k:02}", "fiftyone", "fcos", 20, 100, 0.5, counts, {})
        found.append(Turn(done.batch, Step.DONE, images=20, workload=done))
    for k, size in enumerate(coming, len(added)):
        step, sent = (Step.REVIEW, submitted) if k == len(added) else (Step.TRAIN, 0)
        found.append(Turn(f"b{k:02}", step, images=size, submitted=sent))
    return found


def params(count=12, annotator="fiftyone"):
    return check(Params, {"review": {"annotator": annotator}, "iterations": chain(count)}, "p.yaml")


def campaign(folder, seconds, seen=None):
    """Write the logs of three trainings."""
    paths = CampaignPaths(folder)
    paths.training("b01").parent.mkdir(parents=True)
    for k in (1, 2, 3):
        log = replace(training_log(k, params()), seconds=seconds, preparing_seconds=0.0, seen=seen)
        artifacts.write_training(paths.training(f"b{k:02}"), log)
    return paths


def sizes_in(said):
    return [int(n) for n in re.search(r"sizes: \[([\d, ]+)\]", said)[1].split(",")]


def test_one_large_batch_should_be_cut_and_the_lines_to_write_are_told(tmp_path):
    said = advise(campaign(tmp_path, 60.0), turns([2000]), params())
    assert said.startswith("Other sizes of the batches to come would pay: ")
    assert " in place of 2000 are expected to take " in said
    assert "with 1.0 min of waiting for each" in said
    sizes = sizes_in(said)
    assert sizes[:6] == [20] * 6
    assert sum(sizes) == 2120
    assert len(sizes) > 8
    assert f"and {len(sizes)} turns under 'iterations'" in said


def test_many_small_batches_should_be_joined_where_trainings_are_long(tmp_path):
    said = advise(campaign(tmp_path, 3600.0), turns([10] * 30), params())
    assert len(sizes_in(said)) < 12


def test_a_batch_that_is_begun_stays(tmp_path):
    sizes = sizes_in(advise(campaign(tmp_path, 60.0), turns([70, 2000], submitted=3), params()))
    assert sizes[6] == 70
    assert sum(sizes) == 2190


def test_who_need_not_wait_should_cut_smaller(tmp_path):
    rows = turns([2000])
    seen = Seen("b02", ("img00",), 20)
    slow = campaign(tmp_path / "waiting", 300.0)
    ahead = campaign(tmp_path / "ahead", 300.0, seen)
    waiting, at_once = (sizes_in(advise(paths, rows, params())) for paths in (slow, ahead))
    assert len(at_once) > len(waiting)


def with_given(rows, key, images):
    """The same turns; labels of some images of a batch were given."""
    left = {"images": 20 - images, "objects": 5 * (20 - images)}
    given = {"given_images": images, "given_objects": 5 * images}
    return [
        replace(turn, workload=replace(turn.workload, **left, **given)) if turn.key == key else turn
        for turn in rows
    ]


def test_images_that_came_with_labels_count_among_those_learned_from(tmp_path):
    rows = turns([2000])
    sizes = sizes_in(advise(campaign(tmp_path, 60.0), rows, params(), 500))
    trend = follow(observe([row.workload for row in rows[:-1]], [100, *ADDED[1:]], 500))
    assert sizes[:6] == [20] * 6
    assert tuple(sizes[6:]) == plan(2000, Prices(5 * 35.0, 60.0 + TURN_SECONDS), trend, 620)


def test_measured_time_counts_beside_a_batch_whose_labels_were_given(tmp_path):
    """Boxes that take a tenth of a second each are not worth another training."""
    rows = [
        replace(t, workload=replace(t.workload, seconds=0.1, timed_images=20)) if t.workload else t
        for t in turns([2000])
    ]
    paths = campaign(tmp_path, 60.0)
    assert advise(paths, with_given(turns([2000]), "b03", 20), params())
    assert advise(paths, rows, params()) == ""
    assert advise(paths, with_given(rows, "b03", 20), params()) == ""


@pytest.mark.parametrize("given", [5, 20])
@pytest.mark.parametrize("key", ["b00", "b03"])
def test_finished_batches_stay_as_they_are_where_labels_were_given(tmp_path, key, given):
    rows = with_given(turns([70, 2000], submitted=3), key, given)
    sizes = sizes_in(advise(campaign(tmp_path, 60.0), rows, params()))
    assert sizes[:7] == [*[20] * 6, 70]
    assert sum(sizes) == 2190


@pytest.mark.parametrize(
    ("coming", "annotator", "seconds"),
    [
        ([], "fiftyone", 60.0),
        ([20, 30], "fiftyone", 60.0),  # there is little to win
        ([2000], "simulated", 60.0),  # nobody waits
        ([2000], "fiftyone", None),  # nothing was trained
    ],
    ids=["done", "good", "simulated", "untrained"],
)
def test_nothing_is_said(tmp_path, coming, annotator, seconds):
    paths = CampaignPaths(tmp_path) if seconds is None else campaign(tmp_path, seconds)
    assert advise(paths, turns(coming), params(annotator=annotator)) == ""


def test_nothing_is_said_before_anything_is_labeled(tmp_path):
    paths = campaign(tmp_path, 60.0)
    assert advise(paths, turns([2000], added=()), params()) == ""
    assert advise(paths, [], params()) == ""


def test_nothing_is_said_where_a_batch_was_not_accounted_at_the_iou_threshold(tmp_path):
    """As where ``account`` has been changed, and ``dvc repro`` has not followed."""
    other = {"account": {"iou_thresholds": [0.3]}, **params().model_dump(exclude={"account"})}
    paths = campaign(tmp_path, 60.0)
    assert advise(paths, turns([2000]), check(Params, other, "p.yaml")) == ""


def test_sizes_in_words():
    assert listed([30]) == "30"
    assert listed([20, 20, 20, 30, 20]) == "3 x 20, 30, 20"
