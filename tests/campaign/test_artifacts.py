import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from boxloop.campaign import artifacts
from boxloop.core.edits import Ledger
from boxloop.core.evidence import sweep
from boxloop.core.training_log import SimNetLog, TrainingLog
from boxloop.core.types import (
    Batch,
    Boxes,
    FeatureTable,
    FittedThreshold,
    ImageRef,
    ImageSet,
    Ordering,
)
from boxloop.core.workload import account
from boxloop.errors import ArtifactError, UserError
from boxloop.files import atomic_path, write_json, write_text
from builders import any_boxes, boxes, corrections, proposals, proposed

REF = ImageRef("a", "images/a.png", 10, 20, "d")
SHOWN = {"a": proposed(("cat", 0, 0, 5, 5, 0.5)), "b": proposed()}
FINAL = {"a": boxes(("cat", 0, 0, 5.25, 5)), "b": Boxes.empty()}
MOVED = {"a": boxes(("cat", 0, 0, 5.25, 5), ("dog", 1, 1, 2, 2), prefix="p"), "b": Boxes.empty()}
BY_A_PERSON = replace(
    corrections(SHOWN, MOVED, annotator="fiftyone"),
    reviewer="Zoë",
    seconds={"a": 12.25},
    finished="2024-01-01T12:00:00.000001+00:00",
    submitted={"b": "2023-12-31T12:00:00.000000+00:00"},
    versions={"boxloop": "0.1.0"},
    revision=3,
)

TRAINED = {
    "steps": 1,
    "epochs": 1.5,
    "images": 3,
    "losses": ({"step": 1, "loss": 2.5, "learning_rate": 0.1, "time": 0.25},),
    "seconds": 0.5,
    "images_per_second": 6.0,
    "wait_fraction": 0.1,
    "preparing_seconds": 0.2,
    "device": "cpu",
    "initial_weights": "none",
}

ROUND_TRIPS = {
    "images": ImageSet((REF,), ("cat", "dög")),
    "truth": FINAL,
    "order": Ordering(("b", "a"), "similar", 3, 2, "single"),
    "batch": Batch("b00", ("b", "a")),
    "proposals": proposals(SHOWN),
    "corrections": corrections(SHOWN, FINAL),
    "workload": account(corrections(SHOWN, FINAL), (0.5, 0.7), (0.1, 0.5), {"map": 0.5}),
    "training": TrainingLog(**TRAINED, boxes=4, batch_size=2, parameters=10),
    "evidence": (sweep("b01", SHOWN, FINAL, (0.5, 0.7), 0.05),),
}

FITTED = (FittedThreshold(0.5, 0.4, 0.25, "b01"), FittedThreshold(0.7, 0.5, None, "prior"))


@pytest.mark.parametrize("kind", ROUND_TRIPS)
def test_what_is_written_is_read_back(tmp_path, kind):
    path, value = tmp_path / "sub" / "file.json", ROUND_TRIPS[kind]
    getattr(artifacts, f"write_{kind}")(path, value)
    assert getattr(artifacts, f"read_{kind}")(path) == value
    assert json.loads(path.read_text())["format"] == f"boxloop/{kind}@1"


def test_what_a_person_made_is_read_back(tmp_path):
    path = tmp_path / "file.json"
    artifacts.write_corrections(path, BY_A_PERSON)
    assert artifacts.read_corrections(path) == BY_A_PERSON
    counted = account(BY_A_PERSON, (0.5,), (), {"map": 0.5})
    artifacts.write_workload(tmp_path / "workload.json", counted)
    assert counted.edits == Ledger(moved=1, added=1)
    assert artifacts.read_workload(tmp_path / "workload.json") == counted


def test_the_edits_in_a_corrections_file_are_for_others_and_never_believed(tmp_path):
    path = tmp_path / "file.json"
    artifacts.write_corrections(path, BY_A_PERSON)
    content = json.loads(path.read_text())
    none = dict.fromkeys(("kept", "moved", "relabeled", "removed", "added"), 0)
    assert content["edits"] == {"a": {**none, "moved": 1, "added": 1}, "b": none}
    content["edits"]["a"]["removed"] = 99
    path.write_text(json.dumps(content))
    assert artifacts.read_corrections(path) == BY_A_PERSON


def test_files_from_before_people_reviewed_still_read(tmp_path):
    path = tmp_path / "file.json"
    artifacts.write_corrections(path, BY_A_PERSON)
    content = json.loads(path.read_text())
    old = {k: v for k, v in content.items() if k not in ("edits", "submitted", "revision")}
    path.write_text(json.dumps(old))
    assert artifacts.read_corrections(path) == replace(BY_A_PERSON, submitted={}, revision=1)
    counted = account(BY_A_PERSON, (0.5,), (), {})
    artifacts.write_workload(path := tmp_path / "workload.json", counted)
    content = json.loads(path.read_text())
    for key in ("edits", "timed_images", "reviewer", "revision"):
        del content[key]
    path.write_text(json.dumps(content))
    back = artifacts.read_workload(path)
    assert (back.edits, back.timed_images, back.measured_seconds) == (None, 2, 12.25)


def test_a_simulation_s_files_hold_nothing_about_people(tmp_path):
    """So a campaign of an earlier version is not run again because of keys that say nothing."""
    artifacts.write_corrections(tmp_path / "c.json", ROUND_TRIPS["corrections"])
    artifacts.write_workload(tmp_path / "w.json", ROUND_TRIPS["workload"])
    for name in ("c.json", "w.json"):
        content = json.loads((tmp_path / name).read_text())
        assert {"edits", "submitted", "revision", "timed_images"}.isdisjoint(content)


def test_a_file_that_must_be_new(tmp_path):
    path = tmp_path / "sub" / "file.json"
    artifacts.write_corrections(path, BY_A_PERSON, new=True)
    assert artifacts.read_corrections(path) == BY_A_PERSON
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        artifacts.write_corrections(path, ROUND_TRIPS["corrections"], new=True)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["file.json"]


@pytest.mark.parametrize("names", [True, False])
def test_a_name_that_is_taken_while_the_file_is_written(tmp_path, monkeypatch, names):
    """With and without file systems on which a file can have two names."""
    path = tmp_path / "file.json"
    if not names:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(95, "no")))

    def write():
        with atomic_path(path, new=True) as temporary:
            temporary.write_text("mine")
            path.write_text("theirs")

    with pytest.raises(FileExistsError):
        write()
    assert path.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["file.json"]


@pytest.mark.parametrize("kind", ROUND_TRIPS)
def test_every_damaged_file_is_one_sentence(tmp_path, kind):
    path, read = tmp_path / "file.json", getattr(artifacts, f"read_{kind}")
    with pytest.raises(ArtifactError, match="file.json does not exist"):
        read(path)
    getattr(artifacts, f"write_{kind}")(path, ROUND_TRIPS[kind])
    whole = path.read_text()
    content = json.loads(whole)
    damaged = [
        whole[: len(whole) // 2],
        "[]",
        json.dumps({**content, "surprise": 1}),
        json.dumps({**content, "format": "boxloop/other@9"}),
        json.dumps({k: v for k, v in content.items() if k == "format"}),
    ]
    for text in damaged:
        path.write_text(text)
        with pytest.raises(ArtifactError, match="file.json") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArtifactError, match="not UTF-8"):
        read(path)
    path.write_text("[" * 100_000)
    with pytest.raises(ArtifactError, match="nested too deeply"):
        read(path)


@pytest.mark.parametrize("kind", ROUND_TRIPS)
def test_a_file_of_another_kind_is_neither_read_nor_replaced(tmp_path, kind):
    """As happens where the arguments of a stage come in the wrong order."""
    path = tmp_path / "file.json"
    for other in ROUND_TRIPS.keys() - {kind}:
        getattr(artifacts, f"write_{other}")(path, ROUND_TRIPS[other])
        with pytest.raises(ArtifactError, match=f"format boxloop/{other}@1, where.*{kind}@1 is"):
            getattr(artifacts, f"read_{kind}")(path)
        with pytest.raises(ArtifactError, match=f"boxloop/{other} and was not replaced"):
            getattr(artifacts, f"write_{kind}")(path, ROUND_TRIPS[kind])
        assert getattr(artifacts, f"read_{other}")(path) == ROUND_TRIPS[other]
        path.unlink()


def test_only_files_of_the_same_kind_are_replaced(tmp_path):
    labels, foreign = tmp_path / "corrections.json", tmp_path / "params.yaml"
    artifacts.write_corrections(labels, ROUND_TRIPS["corrections"])
    foreign.write_text("order: {seed: 3}")
    before = labels.read_bytes()
    features = FeatureTable(("a",), np.eye(1, dtype=np.float32))
    with pytest.raises(ArtifactError, match="was not replaced"):
        artifacts.write_features(labels, features)
    with pytest.raises(ArtifactError, match=r"not one of boxloop's files and was not replaced"):
        artifacts.write_order(foreign, ROUND_TRIPS["order"])
    assert labels.read_bytes() == before
    assert foreign.read_text() == "order: {seed: 3}"
    artifacts.write_corrections(labels, corrections({"a": proposed()}, {"a": Boxes.empty()}))
    assert list(artifacts.read_corrections(labels).boxes) == ["a"]


@pytest.mark.parametrize("place", ["file.txt/a.json", "folder"])
def test_what_cannot_be_written_is_named_with_its_reason(tmp_path, place):
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=f"{place} cannot be written: ") as caught:
        write_json(tmp_path / place, {"x": 1})
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file.txt", "folder"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"xyxy": [0, 0, 0, 5]}, "real area"),
        ({"xyxy": [0, 0, float("nan"), 5]}, "finite"),
        ({"xyxy": [0, 0, float("inf"), 5]}, "boxes.a.0.xyxy.2: .*finite"),
        ({"xyxy": [0, 0, 5]}, "boxes.a.0.xyxy"),
        ({"score": 0.5}, "must not carry a score"),
    ],
)
def test_bad_boxes_are_named(tmp_path, row, message):
    path = tmp_path / "truth.json"
    good = {"id": "t0", "label": "cat", "xyxy": [0, 0, 5, 5]}
    path.write_text(json.dumps({"format": "boxloop/truth@1", "boxes": {"a": [{**good, **row}]}}))
    with pytest.raises(ArtifactError, match=message) as caught:
        artifacts.read_truth(path)
    assert "truth.json" in str(caught.value)


def test_proposals_without_scores_are_refused(tmp_path):
    path = tmp_path / "p.json"
    artifacts.write_proposals(path, proposals(SHOWN))
    path.write_text(path.read_text().replace(', "score": 0.5', ""))
    with pytest.raises(ArtifactError, match="image a, box p0: needs a score"):
        artifacts.read_proposals(path)


def test_a_simnet_log_holds_all_its_fields_or_says_that_nothing_was_trained(tmp_path):
    path = tmp_path / "simnet.json"
    own = {"network": "resnet18", "halves": "left_right", "input_size": 64}
    artifacts.write_simnet(path, SimNetLog(**TRAINED, **own))
    content = {"format": "boxloop/simnet@1", **TRAINED, **own}
    assert json.loads(path.read_text()) == {**content, "losses": list(TRAINED["losses"])}
    artifacts.write_simnet(path, None)
    assert json.loads(path.read_text()) == {
        "format": "boxloop/simnet@1",
        "steps": 0,
        "losses": [],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surprise": 1}, "at surprise: Extra inputs are not permitted"),
        ({"classes": 3}, "at classes: "),
        ({"classes": []}, "images.json: an image set needs at least one class"),
        ({"images": []}, "images.json: an image set needs at least one image"),
        ({"images": [{"id": "a"}]}, r"at images.0.path: Field required \(and 3 more\)"),
        (
            {"images": [{**vars(REF), "odd": 1}]},
            "at images.0.odd: Extra inputs are not permitted",
        ),
        (
            {"images": [{**vars(REF), "width": 0}]},
            r"images.json, at images\.0: a: size must be positive",
        ),
    ],
)
def test_the_first_wrong_place_of_a_plain_file_is_named(tmp_path, change, message):
    path = tmp_path / "images.json"
    artifacts.write_images(path, ROUND_TRIPS["images"])
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ArtifactError, match=message):
        artifacts.read_images(path)


@given(any_boxes(scored=True))
def test_boxes_survive_json_to_the_last_bit(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "p.json"
    exact = Boxes(value.xyxy / 3, value.labels, value.ids, value.scores)
    artifacts.write_proposals(path, proposals({"a": exact}))
    assert artifacts.read_proposals(path).boxes["a"] == exact


def test_no_truth(tmp_path):
    artifacts.write_truth(tmp_path / "t.json", None)
    assert artifacts.read_truth(tmp_path / "t.json") is None


def test_features_hold_two_plain_arrays(tmp_path):
    path = tmp_path / "features.npz"
    table = FeatureTable(("a", "b"), np.eye(2, dtype=np.float32))
    artifacts.write_features(path, table)
    with np.load(path, allow_pickle=False) as content:
        assert content["image_ids"].tolist() == ["a", "b"]
        assert content["vectors"].dtype == np.float32
    back = artifacts.read_features(path)
    assert back.image_ids == table.image_ids
    np.testing.assert_array_equal(back.vectors, table.vectors)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image_ids": np.array(["a"])}, "no array vectors"),
        ({"image_ids": np.array(["a"]), "vectors": np.zeros((2, 3))}, "must be"),
        ({"image_ids": np.array(["a"]), "vectors": np.full((1, 3), np.nan)}, "finite"),
        (
            {"image_ids": np.array([0x110000], "<u4").view("<U1"), "vectors": np.zeros((1, 3))},
            "image_ids are no texts",
        ),
        (
            {"image_ids": np.array([0xFFFFFFFF], ">u4").view(">U1"), "vectors": np.zeros((1, 3))},
            "image_ids are no texts",
        ),
        ({"image_ids": np.array(["a", "a"]), "vectors": np.zeros((2, 3))}, "unique"),
        ({"image_ids": np.array([1]), "vectors": np.zeros((1, 3))}, "strings"),
        ({"image_ids": np.array(["a"], object), "vectors": np.zeros((1, 3))}, "its header tells"),
        ({"image_ids": np.array(["a"]), "vectors": np.full((1, 3), 1e300)}, "finite"),
    ],
)
def test_bad_features_are_named(tmp_path, arrays, message):
    path = tmp_path / "features.npz"
    np.savez(path, **arrays)
    with pytest.raises(ArtifactError, match=message) as caught:
        artifacts.read_features(path)
    assert "features.npz" in str(caught.value)


def test_features_of_another_kind(tmp_path):
    path = tmp_path / "features.npz"
    path.write_text("not a zip")
    with pytest.raises(ArtifactError, match="not a readable"):
        artifacts.read_features(path)
    with path.open("wb") as file:
        np.save(file, np.zeros((2, 3)))
    with pytest.raises(ArtifactError, match="not a readable"):
        artifacts.read_features(path)


def test_damaged_compressed_features(tmp_path):
    path = tmp_path / "features.npz"
    np.savez_compressed(path, image_ids=np.array(["a"]), vectors=np.zeros((1, 9000), np.float32))
    whole = path.read_bytes()
    for place in range(0, len(whole) - 20, 16):
        path.write_bytes(whole[:place] + bytes(b ^ 0x5A for b in whole[place:][:20]))
        with pytest.raises(ArtifactError, match="readable"):
            artifacts.read_features(path)


def test_not_a_number_is_refused_everywhere(tmp_path):
    path = tmp_path / "c.json"
    artifacts.write_corrections(path, ROUND_TRIPS["corrections"])
    content = json.loads(path.read_text())
    for key, value in (("seconds", {"a": float("nan")}), ("score_threshold", float("inf"))):
        path.write_text(json.dumps({**content, key: value}))
        with pytest.raises(ArtifactError, match=f"at {key}.*finite"):
            artifacts.read_corrections(path)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")

    def fail_half_way():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_files_are_as_readable_as_the_umask_says(tmp_path):
    mask = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_nan_never_reaches_a_json_file(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(Path(tmp_path).iterdir()) == []


def test_batches_leave_no_stale_file(tmp_path):
    artifacts.write_batches(tmp_path, [Batch("b00", ("a",)), Batch("b01", ("b",))])
    artifacts.write_batches(tmp_path, [Batch("b00", ("a", "b"))])
    assert [p.name for p in tmp_path.iterdir()] == ["b00.json"]


def test_batches_spare_a_folder_of_other_files(tmp_path):
    labels = tmp_path / "b07.json"
    artifacts.write_corrections(labels, ROUND_TRIPS["corrections"])
    with pytest.raises(ArtifactError, match=r"b07.json is a file of format boxloop/corrections"):
        artifacts.write_batches(tmp_path, [Batch("b00", ("a",))])
    assert [p.name for p in tmp_path.iterdir()] == ["b07.json"]


def test_what_a_killed_writer_left_is_removed_by_the_next_but_not_a_live_one_s(tmp_path):
    old, young = tmp_path / ".a.json.abcdefg1.json", tmp_path / ".a.json.abcdefg2.json"
    other = tmp_path / ".b.json.abcdefg3.json"
    for path in (old, young, other):
        path.write_text("half")
    for path in (old, other):
        os.utime(path, (0, 0))
    write_text(tmp_path / "a.json", "whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == [young.name, other.name, "a.json"]


def test_a_loss_without_its_step_is_named(tmp_path):
    path = tmp_path / "b01.json"
    log = replace(TrainingLog.of_nothing(), losses=({"step": 1, "time": 0.5, "total": 2.0},))
    artifacts.write_training(path, log)
    assert artifacts.read_training(path) == log
    path.write_text(path.read_text().replace('"step"', '"stop"'))
    with pytest.raises(ArtifactError, match=r"b01\.json: .*needs step and time, got stop, time"):
        artifacts.read_training(path)


def test_fitted_thresholds_go_along_and_are_absent_where_there_are_none(tmp_path):
    path = tmp_path / "file.json"
    for name in ("proposals", "corrections", "workload"):
        write, read = (getattr(artifacts, f"{verb}_{name}") for verb in ("write", "read"))
        write(path, ROUND_TRIPS[name])
        assert "thresholds" not in path.read_text()
        path.unlink()
        made = replace(
            corrections(SHOWN, FINAL), proposals=replace(proposals(SHOWN), thresholds=FITTED)
        )
        value = {
            "proposals": made.proposals,
            "corrections": made,
            "workload": account(made, (0.5, 0.7), (), {}),
        }[name]
        write(path, value)
        assert read(path) == value
        path.unlink()
    row = {"iou_threshold": 0.5, "score": 0.4, "expected_saving": 0.25, "found": "b01"}
    artifacts.write_proposals(path, made.proposals)
    assert json.loads(path.read_text())["thresholds"][0] == row


def test_what_was_held_out_of_a_training_is_read_back(tmp_path):
    path, log = tmp_path / "file.json", ROUND_TRIPS["training"]
    artifacts.write_training(path, log)
    assert "held_out" not in path.read_text()
    held = replace(log, held_out=proposals(SHOWN, batch="held-out part of b00"))
    artifacts.write_training(path, held)
    assert artifacts.read_training(path) == held


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": [0.5, 0.4, 1.0]}, "scores of b01 must rise to 1"),
        ({"scores": [0.5, 1.0]}, "edits of b01 need a count per score threshold"),
        ({"objects": "many"}, "batches.0.objects"),
        ({"surprise": 1}, "batches.0.surprise: Extra inputs"),
    ],
)
def test_evidence_that_cannot_be_is_named(tmp_path, change, message):
    path = tmp_path / "file.json"
    artifacts.write_evidence(path, ROUND_TRIPS["evidence"])
    content = json.loads(path.read_text())
    content["batches"][0] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=message):
        artifacts.read_evidence(path)
