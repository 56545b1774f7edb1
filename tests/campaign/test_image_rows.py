"""What a campaign knows of each image, against plain loops over its files."""

import json

import numpy as np
import pytest

from boxloop.campaign import artifacts
from boxloop.campaign.image_rows import LATER, REVIEWED, WAITING, read_rows
from boxloop.core.types import FeatureTable, LabeledSet, Ordering
from boxloop.errors import UserError
from boxloop.params import GIVEN
from builders_campaign import build_campaign, small_params, swap_pixels

KINDS = ("kept", "moved", "relabeled", "removed", "added")


def counts(rows, batch):
    return [sum(getattr(r.edits, kind) for r in rows if r.batch == batch) for kind in KINDS]


def test_every_image_once_in_its_order_with_its_edits(tmp_path):
    paths = build_campaign(tmp_path, small_params())
    rows = read_rows(paths, small_params())
    order = json.loads(paths.order.read_text())["image_ids"]
    assert [r.image.id for r in rows] == order
    assert [r.position for r in rows] == list(range(1, len(order) + 1))
    assert {r.status for r in rows} == {REVIEWED}
    # The edits that the builder's own table lists.
    assert counts(rows, "b00") == [0, 0, 0, 0, 5]
    assert counts(rows, "b01") == [4, 0, 1, 1, 1]
    assert counts(rows, "b02") == [4, 0, 0, 0, 0]
    for row in rows:
        stored = json.loads(paths.corrections(row.batch).read_text())
        final = stored["boxes"][row.image.id]
        assert row.labels.xyxy.tolist() == [box["xyxy"] for box in final]
        offered = stored["proposals"]["boxes"][row.image.id]
        assert row.proposals.scores.tolist() == [
            box["score"] for box in offered if box["score"] >= 0.5
        ]
        assert row.truth is not None
        assert row.saved is None if row.batch == "b00" else row.saved <= len(final)
    # Drawing three boxes, against relabeling one and removing one (1.5 + 0.5).
    assert rows[2].saved == 3 - 2.0


def test_a_campaign_that_goes_on(tmp_path):
    paths = build_campaign(tmp_path, small_params(), done=1, through="proposals")
    rows = read_rows(paths, small_params())
    assert [r.status for r in rows] == [REVIEWED] * 2 + [WAITING] * 2 + [LATER] * 2
    assert [r.missing_classes for r in rows] == [()] * 2 + [("cat", "dog")] * 4
    assert [r.labels is None for r in rows] == [False] * 2 + [True] * 4
    assert [None if r.proposals is None else len(r.proposals) for r in rows[2:]] == [
        4,
        2,
        None,
        None,
    ]


def dated(paths, key):
    """Has the proposals of a batch tell of which pixels they are, as those of a stage do."""
    made = artifacts.read_proposals(paths.proposals(key))
    digests = {ref.id: ref.digest for ref in artifacts.read_images(paths.images).images}
    artifacts.write_proposals(paths.proposals(key), made, {i: digests[i] for i in made.boxes})


def told(rows):
    return [(r.status, r.proposals is not None, r.labels is not None, r.outdated) for r in rows]


def test_boxes_are_not_put_on_pixels_that_they_were_not_made_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = build_campaign(tmp_path, small_params(), done=1, through="proposals")
    fresh = (WAITING, True, False, False)
    dated(paths, "b01")
    assert told(read_rows(paths, small_params()))[2:4] == [fresh, fresh]
    swap_pixels("img02", "img04")
    rows = read_rows(paths, small_params())
    assert told(rows)[2:] == [
        (LATER, False, False, True),
        fresh,
        *[(LATER, False, False, False)] * 2,
    ]


def test_boxes_of_the_simulation_are_left_out_where_the_dataset_has_others_now(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    paths = build_campaign(tmp_path, small_params())
    dated(paths, "b01")
    swap_pixels("img02", None)  # without any boxes before and now, as far as the truth tells
    truth = artifacts.read_truth(paths.truth)
    artifacts.write_truth(paths.truth, {**truth, "img04": truth["img00"]})
    rows = read_rows(paths, small_params())
    assert [r.image.id for r in rows if r.outdated] == ["img02", "img04"]
    assert {r.labels for r in rows if r.outdated} == {None}
    # Of b02 nothing tells for which pixels its proposals were made, as in older files.
    assert told(rows)[2::2] == [(LATER, False, False, True), (WAITING, True, False, True)]


def test_trusted_labels_are_left_out_where_the_dataset_has_others_now(tmp_path):
    params = small_params(dataset={"labels": "trusted"}, review={"annotator": "fiftyone"})
    paths = build_campaign(tmp_path, params, done=0, through="batch")
    truth = artifacts.read_truth(paths.truth)
    own = {i: truth[i] for i in ("img00", "img01")}
    artifacts.write_labeled(paths.labeled("empty"), LabeledSet(("cat", "dog"), (GIVEN,), own))
    assert told(read_rows(paths, params))[:2] == [(GIVEN, False, True, False)] * 2
    artifacts.write_truth(paths.truth, {**truth, "img01": truth["img00"]})
    first, second = read_rows(paths, params)[:2]
    assert told([first, second]) == [(GIVEN, False, True, False), (LATER, False, False, True)]


def test_people_s_time_and_names(tmp_path):
    paths = build_campaign(tmp_path, small_params(), annotator="fiftyone")
    rows = read_rows(paths, small_params())
    assert {(r.reviewer, r.seconds) for r in rows} == {("ada", 10.0)}


def test_distances_are_those_that_chose_the_images(tmp_path):
    paths = build_campaign(tmp_path, small_params())
    ids = tuple(f"img{i:02d}" for i in range(6))
    vectors = np.array([[0], [4], [1], [10], [6], [2]], dtype=np.float32)
    artifacts.write_features(paths.features, FeatureTable(ids, vectors))
    for strategy, expected in (("dissimilar", [None, None, 1, 6, 2, 1]), ("random", [None] * 6)):
        artifacts.write_order(paths.order, Ordering(ids, strategy, 0, 2, "single"))
        assert [r.distance for r in read_rows(paths, small_params())] == expected


def test_without_an_order(tmp_path):
    paths = build_campaign(tmp_path, small_params())
    paths.order.unlink()
    with pytest.raises(
        UserError, match=r"order.json does not exist, which 'dvc repro batch' makes"
    ):
        read_rows(paths, small_params())
