"""What `boxloop status` says of a delivered model."""

import json

import pytest

from boxloop.campaign.delivered import STAGE, model_line
from boxloop.campaign.status import status_text
from boxloop.files import file_digest
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
