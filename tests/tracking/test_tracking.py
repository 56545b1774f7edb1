"""Against a real MLflow store: a sqlite file per test, copied from one that is made once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from boxloop.campaign import artifacts, digests
from boxloop.campaign.paths import CampaignPaths, workspace_of
from boxloop.core.types import Boxes, Corrections, ImageSet
from boxloop.core.workload import account
from boxloop.errors import ArtifactError, TrackingError
from boxloop.files import file_digest, read_json, write_json
from boxloop.models.average_precision import average_precision
from boxloop.params import Params
from boxloop.tracking import store_uri
from boxloop.tracking.mlflow_store import Store, open_store
from boxloop.tracking.track_turn import BATCH_TAG, CAMPAIGN_TAG, track
from boxloop.tracking.turn_record import read_turn
from builders_campaign import build_campaign, small_params

MUTATING = (
    "create",
    "log_params",
    "log_points",
    "log_inputs",
    "log_file",
    "set_tags",
    "finish",
    "reopen",
    "delete",
)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose mlflow.db has its tables, and nothing in them."""
    folder = tmp_path_factory.mktemp("store")
    os.environ.pop(store_uri.URI_VARIABLE, None)
    with open_store(folder, "unused", lambda _: None):
        pass
    return folder / "mlflow.db"


@pytest.fixture
def workspace(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(store_uri.URI_VARIABLE, raising=False)
    folder = tmp_path / "campaign"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


def quiet(_: str) -> None:
    pass


def track_all(paths: CampaignPaths, params: Params, keys: list[str] | None = None) -> None:
    for key in keys or list(params.iterations):
        track(paths, params, key, paths.tracked(key), say=quiet)


def client_of(paths: CampaignPaths) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(store_uri.store_uri(paths.root))


def runs_of(paths: CampaignPaths) -> tuple[list[Any], list[Any]]:
    """The parents and the children that are not deleted, by name."""
    client = client_of(paths)
    experiment = client.get_experiment_by_name("boxloop")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    runs = sorted(runs, key=lambda run: str(run.info.run_name))
    parents = [run for run in runs if CAMPAIGN_TAG in run.data.tags]
    children = [run for run in runs if BATCH_TAG in run.data.tags]
    assert len(parents) + len(children) == len(runs)
    return parents, children


def history(paths: CampaignPaths, run: Any, name: str) -> list[tuple[int, float]]:
    return sorted(
        (m.step, m.value) for m in client_of(paths).get_metric_history(run.info.run_id, name)
    )


def everything(paths: CampaignPaths) -> dict[str, Any]:
    """All there is in the store, by run id."""
    parents, children = runs_of(paths)
    return {
        run.info.run_id: (
            run.info.status,
            run.data.params,
            {name: history(paths, run, name) for name in run.data.metrics},
            {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.source")},
        )
        for run in parents + children
    }


def amend(paths: CampaignPaths, key: str, params: Params) -> None:
    """A person takes one box of the batch away again; merge and account follow."""
    before = artifacts.read_corrections(paths.corrections(key))
    boxes = dict(before.boxes)
    first = next(iter(boxes))
    boxes[first] = Boxes.build(boxes[first].xyxy[:-1], boxes[first].labels[:-1].tolist())
    after = Corrections(before.proposals, before.score_threshold, before.annotator, boxes)
    artifacts.write_corrections(paths.corrections(key), after)
    precision = average_precision(after.proposals.boxes, boxes)
    workload = account(
        after, params.account.iou_thresholds, params.account.score_thresholds, precision
    )
    artifacts.write_workload(paths.workload(key), workload)


# --- what is logged -------------------------------------------------------------------------------


def test_a_finished_campaign_is_one_parent_with_a_child_per_iteration(workspace: Path) -> None:
    params = small_params(3)
    paths = build_campaign(workspace, params)
    track_all(paths, params)
    (parent,), children = runs_of(paths)
    assert parent.info.status == "FINISHED"
    assert f"{1 - 8 / 15:.1%}".replace("%", " %") + " saved" in parent.info.run_name
    assert [child.info.run_name for child in children] == ["b00", "b01", "b02"]
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert {child.info.status for child in children} == {"FINISHED"}
    # By hand, of the table in builders_campaign: N = 5, 11, 15 and WT = 5, 8, 8 (IoU 0.5).
    assert dict(history(paths, parent, "wt_reduction/iou_0.5")) == pytest.approx(
        {2: 0.0, 4: 1 - 8 / 11, 6: 1 - 8 / 15}
    )
    assert dict(history(paths, parent, "wb_reduction/iou_0.7")) == pytest.approx(
        {2: 0.0, 4: 1 - 11 / 11, 6: 1 - 11 / 15}
    )
    assert parent.data.params["order.strategy"] == "dissimilar"
    assert parent.data.params["train.steps"] == "4"
    assert "46.7 %" in parent.data.tags["mlflow.note.content"]


def test_a_child_holds_its_training_its_edits_and_its_files(workspace: Path) -> None:
    params = small_params(2)
    paths = build_campaign(workspace, params)
    os.utime(paths.training("b01"), (1_700_000_004, 1_700_000_004))  # after its 4 seconds
    track_all(paths, params)
    _, (first, second) = runs_of(paths)
    assert history(paths, second, "loss/total") == [(1, 4.0), (2, 2.0), (3, 1.0), (4, 0.5)]
    times = [
        m.timestamp
        for m in client_of(paths).get_metric_history(second.info.run_id, "loss/bbox_regression")
    ]
    assert sorted(times) == [(1_700_000_000 + step) * 1000 for step in (1, 2, 3, 4)]
    metrics = second.data.metrics
    assert metrics["train/images_per_second"] == 16.0
    assert metrics["train/wait_fraction"] == 0.25
    assert metrics["edits/kept_iou_0.7"] == 3
    assert metrics["edits/moved_iou_0.7"] == 1
    assert metrics["edits/additions_iou_0.7"] == 3
    assert metrics["edits/removals_iou_0.5"] == 2
    workload = artifacts.read_workload(paths.workload("b01"))
    assert metrics["proposals/map"] == pytest.approx(workload.average_precision["map"])
    assert history(paths, second, "wt_reduction/iou_0.5") == [(4, pytest.approx(3 / 11))]
    assert second.data.params["batch"] == "b01"
    assert second.data.params["detector.digest"] == file_digest(paths.detector("b01"))
    inputs = {i.dataset.name: i.dataset.digest for i in second.inputs.dataset_inputs}
    assert inputs["labeled-b00"] == file_digest(paths.labeled("b00"))[:32]
    assert inputs["images"] == file_digest(paths.images)[:32]
    client = client_of(paths)
    copied = Path(client.download_artifacts(second.info.run_id, "checkpoint/b01.pt"))
    assert copied.read_bytes() == paths.detector("b01").read_bytes()
    figures = [f.path for f in client.list_artifacts(second.info.run_id, "figures")]
    assert figures == ["figures/edits.svg", "figures/losses.svg"]
    # The empty detector was not trained: no curve, and no zeros that pass for measurements.
    assert not any(name.startswith(("loss/", "train/")) for name in first.data.metrics)
    assert [f.path for f in client.list_artifacts(first.info.run_id, "figures")] == [
        "figures/edits.svg"
    ]


def test_the_parent_runs_until_the_last_iteration_and_knows_its_commit(workspace: Path) -> None:
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *command], cwd=workspace, check=True)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=workspace, check=True, capture_output=True, text=True
    ).stdout.strip()
    params = small_params(2)
    paths = build_campaign(workspace, params, done=1)
    track_all(paths, params, ["b00"])
    (parent,), (child,) = runs_of(paths)
    assert parent.info.status == "RUNNING"
    assert child.data.tags["mlflow.source.git.commit"] == commit
    build_campaign(workspace, params)
    track_all(paths, params, ["b01"])
    (parent,), _ = runs_of(paths)
    assert parent.info.status == "FINISHED"


def test_checkpoints_stay_out_where_params_say_so(workspace: Path) -> None:
    params = small_params(1, track={"checkpoints": False})
    paths = build_campaign(workspace, params)
    track_all(paths, params)
    _, (child,) = runs_of(paths)
    names = [f.path for f in client_of(paths).list_artifacts(child.info.run_id)]
    assert names == ["figures", "record"]


def simnet_log(paths: CampaignPaths, *losses: float) -> None:
    rows = [{"step": i, "loss": x, "time": 1.0 * i} for i, x in enumerate(losses, start=1)]
    write_json(paths.simnet_log, {"format": "boxloop/simnet@1", "steps": len(rows), "losses": rows})


def test_simnets_loss_is_a_curve_of_the_campaign(workspace: Path) -> None:
    params = small_params(2, features={"weights": "simnet"})
    paths = build_campaign(workspace, params)
    with pytest.raises(ArtifactError, match=r"simnet\.json does not exist"):
        track_all(paths, params)
    simnet_log(paths, *(8.0 / step for step in range(1, 9)))
    track_all(paths, params)
    (parent,), _ = runs_of(paths)
    assert history(paths, parent, "simnet/loss") == [(step, 8.0 / step) for step in range(1, 9)]
    assert parent.data.params["simnet.epochs"] == "25"
    assert "dissimilar (SimNet)" in parent.info.run_name
    before = everything(paths)
    track_all(paths, params)
    assert everything(paths) == before
    # Trained again, with another result: MLflow would keep both curves in one run.
    simnet_log(paths, 5.0, 4.0)
    track_all(paths, params)
    (parent,), children = runs_of(paths)
    assert history(paths, parent, "simnet/loss") == [(1, 5.0), (2, 4.0)]
    assert len(children) == 2


def test_without_simnet_its_parameters_are_of_no_matter(workspace: Path) -> None:
    params = small_params(2)
    paths = build_campaign(workspace, params)
    track_all(paths, params)
    (parent,), _ = runs_of(paths)
    assert not [name for name in parent.data.params if name.startswith("simnet")]
    other = small_params(2, simnet={"epochs": 3})
    dataset = digests.dataset_digest(paths)
    assert digests.campaign_fingerprint(params, dataset) == digests.campaign_fingerprint(
        other, dataset
    )
    asked = {"features": {"weights": "simnet"}}
    assert digests.campaign_fingerprint(
        small_params(2, **asked), dataset
    ) != digests.campaign_fingerprint(small_params(2, simnet={"epochs": 3}, **asked), dataset)


# --- once, and only once --------------------------------------------------------------------------


def test_tracking_again_changes_nothing(workspace: Path) -> None:
    params = small_params(2)
    paths = build_campaign(workspace, params)
    track_all(paths, params)
    before, outs = everything(paths), [paths.tracked(k).read_bytes() for k in params.iterations]
    track_all(paths, params, ["b01", "b00"])
    assert everything(paths) == before
    assert [paths.tracked(k).read_bytes() for k in params.iterations] == outs


def test_changed_params_make_a_second_parent_and_leave_the_first(workspace: Path) -> None:
    params = small_params(2)
    paths = build_campaign(workspace, params)
    track_all(paths, params)
    before = everything(paths)
    changed = small_params(2, train={"steps": 9, "weights": "none"})
    track_all(paths, changed)
    parents, children = runs_of(paths)
    assert len(parents) == 2
    assert len(children) == 4
    after = everything(paths)
    assert {run_id: after[run_id] for run_id in before} == before
    new = next(p for p in parents if p.info.run_id not in before)
    assert new.data.params["train.steps"] == "9"


def test_a_new_title_or_name_is_no_new_campaign(workspace: Path) -> None:
    params = small_params(1)
    paths = build_campaign(workspace, params)
    track_all(paths, params)
    renamed = small_params(1, track={"campaign": "second name"}, report={"title": "other"})
    track_all(paths, renamed)
    (parent,), (_,) = runs_of(paths)
    assert parent.info.run_name.startswith("second name:")


def test_one_more_iteration_continues_the_same_campaign(workspace: Path) -> None:
    paths = build_campaign(workspace, small_params(3), done=2)
    track_all(paths, small_params(2))
    (parent,), _ = runs_of(paths)
    assert parent.info.status == "FINISHED"
    build_campaign(workspace, small_params(3))
    track_all(paths, small_params(3), ["b02"])
    (longer,), children = runs_of(paths)
    assert longer.info.run_id == parent.info.run_id
    assert len(children) == 3
    assert [step for step, _ in history(paths, longer, "labeled/images")] == [2, 4, 6]
    # And back: what params.yaml no longer lists goes.
    track_all(paths, small_params(2), ["b01"])
    (shorter,), children = runs_of(paths)
    assert [child.info.run_name for child in children] == ["b00", "b01"]
    assert [step for step, _ in history(paths, shorter, "labeled/images")] == [2, 4]


def test_amended_labels_replace_runs_without_doubled_points(workspace: Path) -> None:
    params = small_params(3)
    paths = build_campaign(workspace, params)
    track_all(paths, params)
    amend(paths, "b01", params)
    track_all(paths, params, ["b01"])
    (parent,), children = runs_of(paths)
    assert parent.info.status == "RUNNING"  # b02's run is not what the files say any more
    assert len(children) == 3
    track_all(paths, params, ["b02"])
    (parent,), children = runs_of(paths)
    assert parent.info.status == "FINISHED"
    assert [child.info.run_name for child in children] == ["b00", "b01", "b02"]
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert history(paths, parent, "labeled/objects") == [(2, 5.0), (4, 10.0), (6, 14.0)]


def kill_at(call: int, task: Callable[[], None]) -> int:
    """Runs a task in a process of its own that gets SIGKILL at a certain write to the store."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(method: Callable[..., Any]) -> Callable[..., Any]:
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                nonlocal count
                count += 1
                if count == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return method(*args, **kwargs)

            return wrapper

        for name in MUTATING:
            setattr(Store, name, counted(getattr(Store, name)))
        try:
            task()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


@pytest.mark.parametrize("call", [1, 2, 4, 7, 11, 15, 18])
def test_a_kill_at_any_write_is_repaired_by_the_next_run(
    workspace: Path, empty_store: Path, call: int
) -> None:
    params = small_params(2)
    paths = build_campaign(workspace, params)
    track_all(paths, params)
    amend(paths, "b00", params)
    # Another copy of the store: sqlite forbids that a process goes on with a parent's connection.
    copy = workspace.parent / "copy"
    shutil.copytree(workspace, copy)
    other = CampaignPaths(copy)
    killed = kill_at(call, lambda: track_all(other, params))
    assert killed == signal.SIGKILL
    track_all(other, params)
    (parent,), own = runs_of(other)
    assert {c.data.tags["mlflow.parentRunId"] for c in own} == {parent.info.run_id}
    assert sorted(c.info.run_name for c in own) == ["b00", "b01"]
    assert {c.info.status for c in own} == {"FINISHED"}
    assert history(other, parent, "labeled/objects") == [(2, 4.0), (4, 10.0)]
    for child in own:
        for name in child.data.metrics:
            steps = [step for step, _ in history(other, child, name)]
            assert len(steps) == len(set(steps)), name


def test_processes_that_make_the_store_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """As ``dvc exp run --run-all --jobs`` does; each in a copy, all with the workspace's store."""
    code = (
        "import sys, pathlib; from builders_campaign import build_campaign, small_params;"
        "from boxloop.tracking.track_turn import track;"
        "p = small_params(1, order={'strategy': sys.argv[2]});"
        "l = build_campaign(pathlib.Path(sys.argv[1]), p);"
        "track(l, p, 'b00', l.tracked('b00'))"
    )
    environment = {k: v for k, v in os.environ.items() if k != store_uri.URI_VARIABLE}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    processes = []
    for strategy in ("similar", "random"):
        copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / strategy
        copy.mkdir(parents=True)
        command = [sys.executable, "-c", code, str(copy), strategy]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
    assert [process.wait() for process in processes] == [0, 0]
    parents, children = runs_of(CampaignPaths(tmp_path))
    assert {p.data.params["order.strategy"] for p in parents} == {"similar", "random"}
    assert len(children) == 2


# --- where it goes --------------------------------------------------------------------------------


def test_disabled_tracking_writes_its_out_and_no_store(tmp_path: Path) -> None:
    params = small_params(1, track={"enabled": False})
    paths = build_campaign(tmp_path, params)
    track_all(paths, params)
    assert not (tmp_path / "mlflow.db").exists()
    assert read_json(paths.tracked("b00"))["enabled"] is False


def test_a_server_that_does_not_answer_is_one_sentence_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(store_uri.URI_VARIABLE, "http://ada:secret@127.0.0.1:9")
    params = small_params(1)
    paths = build_campaign(tmp_path, params)
    begun = time.monotonic()
    with pytest.raises(TrackingError, match=r"MLflow at http://127\.0\.0\.1:9 cannot") as caught:
        track_all(paths, params)
    assert time.monotonic() - begun < 30
    assert "secret" not in str(caught.value)
    assert "track.enabled" in str(caught.value)
    assert not paths.tracked("b00").exists()


def test_a_store_that_is_no_database_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(store_uri.URI_VARIABLE, raising=False)
    params = small_params(1)
    paths = build_campaign(tmp_path, params)
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(TrackingError, match=r"mlflow\.db cannot be written to"):
        track_all(paths, params)


def test_a_deleted_experiment_is_said_with_the_way_out(workspace: Path) -> None:
    params = small_params(1)
    paths = build_campaign(workspace, params)
    track_all(paths, params)
    client = client_of(paths)
    client.delete_experiment(client.get_experiment_by_name("boxloop").experiment_id)
    with pytest.raises(TrackingError, match="mlflow experiments restore"):
        track_all(paths, params)


def test_a_folder_that_moved_keeps_its_runs_and_says_where_artifacts_go(workspace: Path) -> None:
    params = small_params(1)
    track_all(build_campaign(workspace, params), params)
    moved = workspace.rename(workspace.with_name("moved"))
    paths, said = CampaignPaths(moved), list[str]()
    track(paths, params, "b00", paths.tracked("b00"), say=said.append)
    assert len(runs_of(paths)[1]) == 1
    assert any("keeps its artifacts in" in line and "campaign/mlartifacts" in line for line in said)


def test_an_earlier_batch_that_is_not_accounted_is_named(workspace: Path) -> None:
    params = small_params(2)
    paths = build_campaign(workspace, params)
    paths.workload("b00").unlink()
    with pytest.raises(ArtifactError, match=r"workload/b00\.json"):
        track_all(paths, params, ["b01"])


def test_a_temporary_dvc_experiment_belongs_to_its_workspace(tmp_path: Path) -> None:
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmpab12"
    assert workspace_of(copy) == tmp_path.resolve()
    assert workspace_of(tmp_path / "exps" / "a") == (tmp_path / "exps" / "a").resolve()


def test_the_fingerprint_is_the_same_everywhere_and_the_identity_only_in_a_store_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprints, own, shared = set(), set(), set()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        params = small_params(2)
        dataset = digests.dataset_digest(build_campaign(folder, params))
        fingerprint = digests.campaign_fingerprint(params, dataset)
        fingerprints.add(fingerprint)
        monkeypatch.delenv(store_uri.URI_VARIABLE, raising=False)
        own.add(store_uri.campaign_identity(fingerprint, folder))
        monkeypatch.setenv(store_uri.URI_VARIABLE, "http://127.0.0.1:9")
        shared.add(store_uri.campaign_identity(fingerprint, folder))
    assert len(fingerprints) == len(own) == 1
    assert len(shared) == 2


def test_the_fingerprint_tells_datasets_apart(tmp_path: Path) -> None:
    params = small_params(1)
    paths = build_campaign(tmp_path, params)
    before = digests.dataset_digest(paths)
    images = artifacts.read_images(paths.images)
    repainted = replace(images.images[0], digest="0" * 64)
    artifacts.write_images(paths.images, ImageSet((repainted, *images.images[1:]), images.classes))
    assert digests.dataset_digest(paths) != before


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://ada:secret@host:5000/x", "http://host:5000/x"),
        ("postgresql://u:p@ss@db/x", "postgresql://db/x"),
        ("sqlite:////a/mlflow.db", "sqlite:////a/mlflow.db"),
        ("https://host", "https://host"),
    ],
)
def test_addresses_are_shown_without_passwords(uri: str, shown: str) -> None:
    assert store_uri.shown_uri(uri) == shown


def test_people_s_edits_and_seconds_are_metrics(tmp_path: Path) -> None:
    params = small_params(2)
    by_people = build_campaign(tmp_path / "people", params, annotator="fiftyone")
    record = read_turn(by_people, params, "b01")
    values = {point.name: point.value for point in record.points}
    assert values["batch/review_seconds"] == 20
    assert values["measured_hours"] == pytest.approx(40 / 3600)
    assert values["batch/revision"] == 1
    # By id every move counts; at IoU 0.5 the same one does not (see builders_campaign).
    kinds = ("kept", "moved", "relabeled", "removed", "added")
    assert [values[f"edits/{kind}"] for kind in kinds] == [3, 1, 1, 1, 1]
    assert [values[f"edits/{kind}_iou_0.5"] for kind in kinds] == [4, 0, 1, 1, 1]
    assert record.params["reviewer"] == "ada"
    simulated = build_campaign(tmp_path / "simulated", params)
    names = {point.name for point in read_turn(simulated, params, "b01").points}
    assert {"measured_hours", "batch/revision", "edits/kept"}.isdisjoint(names)
