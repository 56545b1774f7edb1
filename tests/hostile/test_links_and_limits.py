"""Links that lead to themselves, names that no file can have, numbers without an end."""

import os

import pytest

from boxloop.campaign.watching import find_unwatched
from boxloop.params import DatasetParams, load_params
from boxloop.study.spec import load_spec
from builders_hostile import build, contents, refusal, run, soon
from builders_program import run_program
from builders_study import study_file

LONG = "x" * 300


def test_reviews_that_are_a_link_to_themselves(tmp_path, monkeypatch):
    paths = build(tmp_path)
    monkeypatch.chdir(tmp_path)
    os.symlink("reviews", "reviews")
    before = contents(tmp_path)
    message = refusal(lambda: run("review", "b01")(paths))
    assert "reviews cannot be looked into" in message
    assert contents(tmp_path) == before


def test_a_dataset_that_is_a_link_to_itself_is_nothing_to_watch(tmp_path):
    os.symlink("loop", tmp_path / "loop")
    params = DatasetParams(format="folder", path="loop", classes=("cat",))
    with soon():
        assert find_unwatched(tmp_path, params) == []
    about = DatasetParams(format="yolo", path="loop/data.yaml")
    with soon():
        assert find_unwatched(tmp_path, about) == []


PARAMS = {
    "turn": (f"iterations: {{{LONG}: {{previous: empty}}}}", "up to 100 letters"),
    "experiment": ("track: {experiment: ''}", "track.experiment: must not be blank"),
    "campaign": ("track: {campaign: '  '}", "track.campaign: must not be blank"),
}


@pytest.mark.parametrize("name", PARAMS)
def test_params_are_refused(tmp_path, name):
    content, words = PARAMS[name]
    (tmp_path / "params.yaml").write_text(content)
    assert words in refusal(lambda: load_params(tmp_path / "params.yaml"), tmp_path)


STUDIES = {
    "turns": ({"turns": 10**9}, "turns: input should be less than or equal to 100000"),
    "features": ({"features": {LONG: {}}}, "up to 100 letters"),
    "detectors": ({"detectors": {LONG: {}}}, "up to 100 letters"),
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_refused(tmp_path, name):
    change, words = STUDIES[name]
    file = study_file(tmp_path, **change)
    assert words in refusal(lambda: load_spec(file), tmp_path)


def test_a_new_campaign_of_endless_turns_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with soon():
        code, said = run_program(monkeypatch, capsys, "init", "new", "--batches", str(10**12))
    assert code == 2
    assert "--batches" in said
    assert not (tmp_path / "new").exists()
