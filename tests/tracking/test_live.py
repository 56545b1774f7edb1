"""A training in MLflow while it runs: written by another process, completed by `finish`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from boxloop.campaign import artifacts
from boxloop.campaign.digests import training_digest
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.training_log import StepLoss
from boxloop.params import Params
from boxloop.tracking import live, store_uri
from boxloop.tracking.machine_load import MachineLoad, read_gpus
from boxloop.tracking.mlflow_store import PARENT, open_store
from boxloop.tracking.track_turn import BATCH_TAG, LIVE_TAG
from boxloop.tracking.turn_record import Point
from builders_campaign import build_campaign, small_params, training_log
from builders_tracking import history, runs_of, track_all

MADE_OF = {"images": "0", "labeled": "1", "params": "2"}

TRAINING = """
import sys, time
from pathlib import Path
from boxloop.campaign.paths import CampaignPaths
from boxloop.params import Params
from boxloop.tracking.live import following
params = Params.model_validate_json(sys.argv[2])
with following(CampaignPaths(Path(sys.argv[1])), params, "b01", {made_of}, patience=0.0) as follow:
    for step in range(1, 4):
        follow(step, 4, 8 / 2**step)
        time.sleep(0.1)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def time_for_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the writer, of a low priority, takes long for what it does in a second."""
    monkeypatch.setattr(live, "_LAST_WORDS", 240.0)


@pytest.fixture
def halfway(workspace: Path) -> tuple[CampaignPaths, Params]:
    """A campaign whose first turn is tracked, and whose second one is trained and not labeled."""
    params = small_params(2)
    paths = build_campaign(workspace, params, done=1)
    track_all(paths, params, ["b00"])
    return paths, params


def trained(paths: CampaignPaths, params: Params) -> None:
    """The second turn is done; its log tells what it was trained by."""
    build_campaign(paths.root, params)
    log = replace(training_log(1, params), made_of={**MADE_OF, "detector": "3"})
    artifacts.write_training(paths.training("b01"), log)


def follow_to_the_end(paths: CampaignPaths, params: Params, losses: list[float]) -> None:
    with live.following(paths, params, "b01", MADE_OF, patience=0.0) as follow:
        for step, loss in enumerate(losses, start=1):
            parts = {"classification": 0.75 * loss, "bbox_regression": 0.25 * loss}
            follow(step, len(losses), StepLoss(loss, parts))
        wait_for_live(paths)  # a training that goes on until the writer has begun


def test_the_run_that_was_watched_is_the_run_that_stays(
    halfway: tuple[CampaignPaths, Params],
) -> None:
    paths, params = halfway
    follow_to_the_end(paths, params, [4.0, 2.0, 1.0, 0.5])
    _, (_, watched) = runs_of(paths)
    assert watched.data.tags[BATCH_TAG] == "b01"
    assert history(paths, watched, "loss/total") == [(1, 4.0), (2, 2.0), (3, 1.0), (4, 0.5)]
    assert history(paths, watched, "loss/bbox_regression") == [
        *((step, 2.0 / 2**step) for step in range(1, 5))
    ]
    load = [name for name in watched.data.metrics if name.startswith("system/")]
    assert "system/cpu_utilization_percentage" in load
    trained(paths, params)
    track_all(paths, params, ["b01"])
    track_all(paths, params, ["b01"])
    (parent,), (_, done) = runs_of(paths)
    assert (parent.info.status, done.info.status) == ("FINISHED", "FINISHED")
    assert done.info.run_id == watched.info.run_id
    for name in done.data.metrics:
        steps = [step for step, _ in history(paths, done, name)]
        assert len(steps) == len(set(steps)), name
    assert history(paths, done, "loss/total") == [(1, 4.0), (2, 2.0), (3, 1.0), (4, 0.5)]
    assert history(paths, done, "loss/bbox_regression") == [
        *((step, 2.0 / 2**step) for step in range(1, 5))
    ]
    assert set(load) <= set(done.data.metrics)


@pytest.mark.parametrize(("loss", "stays"), [(2.0, True), (3.0, False)])
def test_a_run_that_was_half_completed_is_completed_unless_it_contradicts(
    halfway: tuple[CampaignPaths, Params], loss: float, stays: bool
) -> None:
    paths, params = halfway
    trained(paths, params)
    (parent,), _ = runs_of(paths)
    with open_store(paths.root, "boxloop", lambda _: None) as store:
        tags = {PARENT: parent.info.run_id, BATCH_TAG: "b01"}
        watched = store.create("b01", {**tags, LIVE_TAG: training_digest(MADE_OF)}, 0)
        # As after a kill of `finish` in the middle: some of the parameters and points are there.
        store.log_params(watched, {"batch": "b01"})
        store.log_points(watched, [Point("loss/total", loss, 2, 0), Point("system/x", 1.0, 1, 0)])
    track_all(paths, params, ["b01"])
    _, (_, done) = runs_of(paths)
    assert (done.info.run_id == watched) is stays
    assert ("system/x" in done.data.metrics) is stays
    assert history(paths, done, "loss/total") == [(1, 4.0), (2, 2.0), (3, 1.0), (4, 0.5)]


@pytest.mark.slow
def test_a_killed_training_ends_its_run_and_leaves_no_second_one(
    halfway: tuple[CampaignPaths, Params],
) -> None:
    paths, params = halfway
    code = TRAINING.replace("{made_of}", repr(MADE_OF))
    command = [sys.executable, "-c", code, str(paths.root), params.model_dump_json()]
    training = subprocess.Popen(command)
    try:
        running = wait_for_live(paths)
        assert running.info.status == "RUNNING"
    finally:
        os.kill(training.pid, signal.SIGKILL)
        training.wait()
    until = time.monotonic() + 240
    while wait_for_live(paths).info.status != "KILLED":
        assert time.monotonic() < until
        time.sleep(0.1)
    # Labels changed in the meantime: the run is of another training, and is replaced.
    trained(paths, params)
    log = artifacts.read_training(paths.training("b01"))
    artifacts.write_training(paths.training("b01"), replace(log, made_of={"labeled": "9"}))
    track_all(paths, params, ["b01"])
    _, (_, done) = runs_of(paths)
    assert done.info.run_id != running.info.run_id
    assert LIVE_TAG not in done.data.tags


def wait_for_live(paths: CampaignPaths) -> object:
    until = time.monotonic() + 240
    while True:
        found = [run for run in runs_of(paths)[1] if LIVE_TAG in run.data.tags]
        if found:
            [run] = found
            return run
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.slow
def test_a_server_that_is_not_there_stops_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params, done=1)
    monkeypatch.setenv(store_uri.URI_VARIABLE, "http://127.0.0.1:9")
    writers, popen = list[subprocess.Popen[bytes]](), subprocess.Popen

    def start(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        writers.append(popen(*arguments, **options))  # type: ignore[call-overload]
        writers[-1].send_signal(signal.SIGSTOP)  # whoever waited for it would wait for good
        return writers[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    with live.following(paths, params, "b01", MADE_OF, patience=0.0) as follow:
        for step in range(1, 100_001):
            follow(step, 100_000, 1.0)
        assert len(writers) == 1
        writers[0].send_signal(signal.SIGCONT)
    assert "the training goes on, unseen by MLflow: MLflow at http://127.0.0.1:9" in (
        capfd.readouterr().err
    )


@pytest.mark.parametrize(
    ("track", "enabled", "patience"),
    [({"live": False}, True, 0), ({"enabled": False}, True, 0), ({}, False, 0), ({}, True, 60)],
)
def test_where_nobody_watches_nothing_is_started(
    tmp_path: Path,
    track: dict[str, object],
    enabled: bool,
    patience: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", start)
    paths, params = CampaignPaths(tmp_path), small_params(2, track=track)
    with live.following(
        paths, params, "b01", MADE_OF, enabled=enabled, patience=patience
    ) as follow:
        for step in range(1, 100):
            follow(step, 100, 1.0)


def test_following_imports_no_mlflow_and_no_torch() -> None:
    code = "import boxloop.tracking.live, sys; print({'mlflow', 'torch'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_the_load_of_a_machine_with_two_gpus_one_of_which_tells_less() -> None:
    assert read_gpus("37, 5012, 210.5\n[N/A], 3, [N/A]\n") == {
        "gpu_0_utilization_percentage": 37.0,
        "gpu_0_memory_usage_megabytes": 5012.0,
        "gpu_0_power_usage_watts": 210.5,
        "gpu_1_memory_usage_megabytes": 3.0,
    }
    values = MachineLoad(os.getpid()).sample()
    assert values["system/process_memory_usage_megabytes"] > 10
