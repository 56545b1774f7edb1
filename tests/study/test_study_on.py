"""A study on a scheduler of Dask with two workers, each a command of its own."""

import pytest
from typer.testing import CliRunner

import builders_jobs
from boxloop.cli import app
from builders_jobs import wait_for
from builders_study import TINY, bytes_of, finish, start, study_file

MORE = {**TINY["set"], "train": {**TINY["set"]["train"], "steps": 12, "warm_start": True}}


def test_on_excludes_jobs(tmp_path):
    command = ["study", str(study_file(tmp_path)), "--on", "tcp://host:8786", "--jobs", "2"]
    result = CliRunner().invoke(app, command)
    assert "--jobs is for this machine" in str(result.exception)
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_worker_that_is_killed_changes_nothing(tmp_path):
    path = study_file(tmp_path, set=MORE, turns=3)
    whole, out = tmp_path / "whole", tmp_path / "out"
    code, output = finish(start(path, whole))
    assert code == 0, output
    with builders_jobs.scheduler(tmp_path) as (file, workers):
        process = start(path, out, "--on", str(file))
        wait_for(lambda: len(list((out / "cells").glob("*/data/detectors/b01.pt"))) == 2)
        workers[0].kill()
        code, output = finish(process)
        # Then nothing is left to compute.
        again = finish(start(path, out, "--on", str(file)))
    assert code == 0, output
    assert "its worker was ended from outside; begun again" in output
    assert "turns of all cells: 12/12" in output
    assert bytes_of(out) == bytes_of(whole)
    assert again[0] == 0
    assert "4 done before, 0 to run" in again[1]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_features_on_workers_are_those_of_one_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sets = ["dataset.demo.images=12", "dataset.demo.size=[64, 64]", "features.input_size=32"]
    sets += ["features.network=resnet18", "features.weights=none", "features.batch_size=2"]
    given = [word for value in sets for word in ("--set", value)]

    def boxloop(*words):
        result = CliRunner().invoke(app, [*words, *given])
        assert result.exit_code == 0, result.output
        return result.output

    boxloop("dataset")
    boxloop("features", "--out", "alone.npz")
    with builders_jobs.scheduler(tmp_path) as (file, _):
        boxloop("features", "--out", "together.npz", "--on", str(file))
    assert (tmp_path / "together.npz").read_bytes() == (tmp_path / "alone.npz").read_bytes()
