"""The back door: a model of everything labeled, written whole or not at all."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from boxloop import pipeline
from boxloop.campaign import artifacts, submissions
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import ArtifactError, UserError
from boxloop.files import file_digest
from boxloop.models.detectors.delivered import load_model, read_description
from boxloop.params import Params
from builders_campaign import CLASSES, build_campaign, small_params
from builders_counting import done, install

TRAIN = {"detector": "counting_detector:FACTORY", "steps": 1}


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """Three finished batches, whose detectors nobody loads."""
    monkeypatch.chdir(tmp_path)
    install(tmp_path, monkeypatch)
    track, train = {"enabled": False}, {**TRAIN, "warm_start": False}
    build_campaign(tmp_path, small_params(3, train=train, track=track))
    params = small_params(3, train=train, track=track)
    return Campaign(CampaignPaths(), params, say=lambda _: None)


def changed(campaign, **sections):
    content = campaign.params.model_dump(mode="json")
    for name, values in sections.items():
        content[name] |= values
    return Campaign(campaign.paths, Params.model_validate(content), say=lambda _: None)


def test_it_is_trained_on_everything_and_described(campaign):
    about = pipeline.deliver(campaign)
    assert done() == ["trained"]
    folder = campaign.paths.model
    assert about == read_description(folder)
    assert (about.images, about.boxes, about.batches) == (6, 15, ("b00", "b01", "b02"))
    assert about.checkpoint == file_digest(folder / "detector.pt")
    assert about.made_of["labeled"] == file_digest(campaign.paths.labeled("b02"))
    assert (folder / "classes.txt").read_text().split() == list(CLASSES)
    # b01 and b02 were proposed for: all of b02's four boxes are right at 0.9.
    rows = {row.label: row for row in about.thresholds}
    assert 0.8 < rows["dog"].best_f1 <= 1
    assert {row.label: row.objects for row in about.thresholds} == {"cat": 6, "dog": 4}


def test_the_card_tells_what_a_person_asks(campaign):
    pipeline.deliver(campaign)
    folder = campaign.paths.model
    text = (folder / "README.md").read_text()
    workload = artifacts.read_workload(campaign.paths.workload("b02"))
    for words in (
        file_digest(campaign.paths.images),
        file_digest(campaign.paths.labeled("b02")),
        "6 images, 15 boxes (b00, b01, b02)",
        f"| b02 | 4 | {workload.average_precision['map']:.3f} |",
        "| cat | ",
        "![img04: 2 of 2 right, 0 to correct](images/hit-1.jpg)",
        "has no export",
    ):
        assert words in text, words
    assert (folder / "images" / "hit-1.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_what_is_printed_ends_with_the_way_to_use_it(campaign, tmp_path):
    about = pipeline.deliver(campaign)
    *_, last = pipeline.model_text(campaign, about).splitlines()
    assert last == "to use it: boxloop predict IMAGES --out boxes.json"
    elsewhere = replace(campaign, files={"model": tmp_path / "my model"})
    *_, last = pipeline.model_text(elsewhere, about).splitlines()
    assert last.endswith(f"--out boxes.json --model '{tmp_path}/my model'")


def test_a_second_time_trains_nothing_unless_something_changed(campaign):
    pipeline.deliver(campaign)
    before = {p: p.read_bytes() for p in campaign.paths.model.rglob("*") if p.is_file()}
    done()
    pipeline.deliver(campaign)
    assert done() == []
    assert {p: p.read_bytes() for p in campaign.paths.model.rglob("*") if p.is_file()} == before
    about = pipeline.deliver(changed(campaign, review={"iou_threshold": 0.7}))
    assert (done(), about.iou_threshold) == ([], 0.7)
    pipeline.deliver(changed(campaign, train={"seed": 1}))
    assert done() == ["trained"]


def test_another_file_of_weights_is_trained_from(campaign):
    campaign = changed(campaign, train={"weights": "own.pt"})
    for content, work in ((b"one", ["trained"]), (b"one", []), (b"another", ["trained"])):
        (campaign.paths.root / "own.pt").write_bytes(content)
        pipeline.deliver(campaign)
        assert done() == work


def test_in_the_middle_it_takes_what_is_there(campaign):
    for key in ("b01", "b02"):
        campaign.paths.workload(key).unlink()
    about = pipeline.deliver(campaign)
    assert about.batches == ("b00",)
    assert {(row.f1, row.best_f1) for row in about.thresholds} == {(0.5, None)}
    campaign.paths.workload("b00").unlink()
    with pytest.raises(UserError, match="nothing is labeled yet"):
        pipeline.deliver(campaign)


def test_labels_that_are_not_the_newest_are_delivered_by_no_model(campaign):
    """Neither where reviews/ holds newer ones, nor where nothing merged those of a batch."""
    paths, params = campaign.paths, campaign.params
    build_campaign(Path(), params, annotator="fiftyone")
    made = artifacts.read_corrections(paths.corrections("b00"))
    redone = replace(made.part(["img00"]), finished="2024-02-01T12:00:00+00:00")
    file = submissions.append(paths.reviews, redone)
    words = "reviews/ holds newer labels of 1 image than .*labeled/b02.parquet is made of"
    with pytest.raises(ArtifactError, match=words):
        pipeline.deliver(campaign)
    file.unlink()
    boxes = {**made.boxes, "img00": made.boxes["img00"].select([0])}
    artifacts.write_corrections(paths.corrections("b00"), replace(made, boxes=boxes))
    words = "labeled/b02.parquet is older than .*corrections/b00.json: run 'dvc repro' first"
    with pytest.raises(ArtifactError, match=words):
        pipeline.deliver(campaign)
    assert done() == []
    assert not paths.model.exists()


def test_labels_that_are_in_no_batch_are_told(campaign):
    """As after fewer iterations: the journal has them all the same."""
    paths, told = campaign.paths, []
    made = artifacts.read_corrections(paths.corrections("b02"))
    time = "2024-01-01T12:00:00+00:00"
    submissions.append(paths.reviews, replace(made, annotator="import", finished=time))
    pipeline.deliver(replace(campaign, say=told.append))
    assert not [line for line in told if "in no batch" in line]
    paths.workload("b02").unlink()
    paths.batch("b02").unlink()
    left = {k: turn for k, turn in campaign.params.iterations.items() if k != "b02"}
    fewer = campaign.params.model_copy(update={"iterations": left})
    pipeline.deliver(replace(campaign, params=fewer, say=told.append))
    sentence = "2 labeled images are in no batch, and not in this model: list more iterations"
    assert told.count(sentence) == 1


def test_a_class_that_came_since_is_not_left_out_of_the_model(campaign):
    image_set = artifacts.read_images(campaign.paths.images)
    more = replace(image_set, classes=(*image_set.classes, "box"))
    artifacts.write_images(campaign.paths.images, more)
    said = []
    for stage in (lambda: pipeline.deliver(campaign), lambda: pipeline.train(campaign, "b02")):
        with pytest.raises(ArtifactError, match="images.json has cat, dog, box: run") as error:
            stage()
        said.append(str(error.value))
    assert said[0] == said[1].replace("b01.parquet", "b02.parquet")  # each names the newest labels
    assert done() == []
    assert not campaign.paths.model.exists()


def test_a_folder_of_others_is_refused_before_anything_is_trained(campaign):
    folder = campaign.paths.model
    folder.mkdir()
    (folder / "thesis.docx").write_text("mine")
    with pytest.raises(UserError, match="model is not empty, and no delivery made what is in it"):
        pipeline.deliver(campaign)
    assert done() == []
    (folder / "thesis.docx").unlink()
    pipeline.deliver(campaign)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="notes.txt is not of the last delivery"):
        pipeline.deliver(campaign)


def test_what_fails_half_way_leaves_the_old_model(campaign, monkeypatch):
    pipeline.deliver(campaign)
    before = {p: p.read_bytes() for p in campaign.paths.model.rglob("*") if p.is_file()}
    (campaign.paths.root / "data/images/img05.png").unlink()  # of which a picture is drawn
    monkeypatch.setattr("boxloop.report.model_card._table", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pipeline.deliver(changed(campaign, train={"seed": 1}))
    assert {p: p.read_bytes() for p in campaign.paths.model.rglob("*") if p.is_file()} == before
    assert not list(campaign.paths.root.glob(".model.*"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder: (folder / "model.json").unlink(), "holds no delivered model"),
        (lambda folder: (folder / "detector.pt").write_bytes(b"x"), "is not the checkpoint that"),
        (
            lambda folder: (folder / "model.json").write_text('{"format": "boxloop/model@1"}'),
            "model.json, at boxloop: field required",
        ),
    ],
)
def test_a_damaged_model_is_one_sentence(campaign, change, sentence):
    pipeline.deliver(campaign)
    change(campaign.paths.model)
    with pytest.raises(ArtifactError, match=sentence):
        load_model(campaign.paths.model)


def test_json_says_what_the_docs_say(campaign):
    pipeline.deliver(campaign)
    content = json.loads((campaign.paths.model / "model.json").read_text())
    assert content["format"] == "boxloop/model@1"
    assert list(content["thresholds"][0]) == [
        *("label", "f1", "best_f1", "least_wt", "saving", "objects")
    ]
