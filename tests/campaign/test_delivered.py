"""What `boxloop status` says of a delivered model."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from boxloop.campaign import artifacts, class_changes
from boxloop.campaign.class_changes import ClassChange
from boxloop.campaign.delivered import STAGE, model_line
from boxloop.campaign.status import status_text
from boxloop.files import file_digest, write_text
from builders_campaign import build_campaign, small_params


@pytest.fixture
def paths(tmp_path):
    return build_campaign(tmp_path, small_params(2))


def deliver(paths, key):
    paths.model.mkdir(exist_ok=True)
    made_of = {"labeled": file_digest(paths.labeled(key))}
    (paths.model / "model.json").write_text(json.dumps({"made_of": made_of}))


def test_where_nothing_is_asked_for_nothing_is_said(paths):
    assert model_line(paths, "b01") == ""


def test_a_stage_that_has_not_run_is_named(paths):
    (paths.root / STAGE).parent.mkdir()
    (paths.root / STAGE).write_text("stages: {}\n")
    assert "'dvc repro deliver/dvc.yaml' trains one on everything" in model_line(paths, "b01")


def test_a_model_of_other_labels_is_told_from_one_of_all(paths):
    deliver(paths, "b00")
    assert model_line(paths, "b01").endswith("'boxloop deliver' delivers anew.")
    deliver(paths, "b01")
    assert "model/ holds a model of everything labeled." in status_text(paths, small_params(2))
    (paths.model / "model.json").write_text("{")
    assert (
        model_line(paths, "b01") == "model/ holds no whole model: 'boxloop deliver' delivers one."
    )


@pytest.mark.parametrize("annotator", ["simulated", "fiftyone"])
def test_a_finished_campaign_whose_classes_changed_goes_on(tmp_path, annotator):
    """As between ``boxloop classes rename`` and ``dvc repro``, when export and deliver refuse."""
    params = small_params(2, review={"annotator": annotator})
    paths = build_campaign(tmp_path / "c", params, annotator=annotator)
    deliver(paths, "b01")
    write_text(paths.metrics, "{}")
    assert "Next: " not in status_text(paths, params)
    change = ClassChange("rename", "cat", "lynx", datetime.now(UTC))
    entry = class_changes.append(paths.reviews, change, ("lynx", "dog"))
    images = artifacts.read_images(paths.images)
    today = replace(images, classes=("lynx", "dog"), changes=(entry.name,))
    artifacts.write_images(paths.images, today)
    said = status_text(paths, params)
    sentence = "data/labeled/b01.parquet has other classes than data/images.json: 'dvc repro'"
    assert f"- {sentence} brings them together" in said
    assert "model/ is of classes that have changed: after 'dvc repro' 'boxloop deliver'" in said
    assert said.endswith("Next: dvc repro   (brings everything up to date)")
