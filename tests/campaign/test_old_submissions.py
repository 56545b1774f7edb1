"""What people submitted with an older version counts as it did then."""

import json
import shutil
from pathlib import Path

import pytest

from boxloop import pipeline
from boxloop.campaign import artifacts, export, submissions
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import ArtifactError
from boxloop.params import Params

OLD = Path(__file__).parents[1] / "fixtures" / "campaign-0.1.0"
PARAMS = {
    "dataset": {"format": "folder", "classes": ["cat", "dog"]},
    "features": {"network": "resnet18", "weights": "none", "input_size": 64, "device": "cpu"},
    "order": {"strategy": "temporal"},
    "batch": {"size": 4},
    "train": {
        "weights": "none",
        "input_size": [64, 64],
        "steps": 1,
        "batch_size": 2,
        "device": "cpu",
    },
    "propose": {"score_floor": 0.01, "device": "cpu"},
    "review": {"annotator": "fiftyone", "score_threshold": 0.02},
    "iterations": {"b00": {"previous": "empty"}, "b01": {"previous": "b00"}},
}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """A campaign of today's with the old submissions, through all of its stages."""
    root = tmp_path_factory.mktemp("campaign")
    shutil.copytree(OLD / "reviews", root / "reviews")
    content = {**PARAMS, "dataset": {**PARAMS["dataset"], "path": str(OLD / "images")}}
    made = Campaign(CampaignPaths(root), Params.model_validate(content), say=lambda _: None)
    for stage in (pipeline.dataset, pipeline.features, pipeline.order, pipeline.batch):
        stage(made)
    pipeline.start(made)
    for turn in ("b00", "b01"):
        for stage in (pipeline.train, pipeline.propose, pipeline.review):
            stage(made, turn)
        pipeline.merge(made, turn)
        pipeline.account(made, turn)
    return made


def test_every_submission_is_read():
    found = submissions.read(OLD / "reviews")
    assert [(s.reviewer, len(s.boxes)) for s in found] == [
        ("bob", 2),
        ("cy", 2),
        ("bob", 1),
        ("ada", 4),
    ]


def test_the_labels_are_the_same(campaign):
    old = json.loads((OLD / "labeled.json").read_text())
    new = artifacts.read_labeled(campaign.paths.labeled("b01"))
    assert (list(new.classes), list(new.batches)) == (old["classes"], old["batches"])
    assert list(new.boxes) == list(old["boxes"])
    for image_id, boxes in new.boxes.items():
        rows = zip(boxes.ids.tolist(), boxes.labels.tolist(), boxes.xyxy.tolist(), strict=True)
        assert [dict(zip(("id", "label", "xyxy"), row, strict=True)) for row in rows] == (
            old["boxes"][image_id]
        )


def test_its_labeled_set_is_made_anew_not_read():
    with pytest.raises(ArtifactError, match="labeled.json is JSON, as boxloop 0.1 .*'dvc repro'"):
        artifacts.read_labeled(OLD / "labeled.json")


def test_the_edits_are_those_that_were_made(campaign):
    old = json.loads((OLD / "workload.json").read_text())
    new = json.loads(campaign.paths.workload("b01").read_text())
    for name in ("edits", "ledgers", "objects", "seconds", "timed_images", "reviewer", "revision"):
        assert new[name] == old[name], name


def test_they_were_trained_on(campaign):
    log = artifacts.read_training(campaign.paths.training("b01"))
    assert (log.images, log.boxes, log.steps) == (4, 8, 1)


def test_they_can_be_exported(campaign, tmp_path):
    export.export(campaign.paths, campaign.params, tmp_path / "out", format_="coco", images="copy")
    files = (tmp_path / "out").rglob("*.json")
    annotations = next(path for path in files if not path.name.startswith("."))
    content = json.loads(annotations.read_text())
    assert (len(content["images"]), len(content["annotations"])) == (8, 19)
