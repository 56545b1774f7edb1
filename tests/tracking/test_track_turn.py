"""Against a real MLflow store: what is logged of each iteration, once and only once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.types import Schema

from boxloop.campaign import artifacts, digests
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.edits import Ledger
from boxloop.core.training_log import SimNetLog
from boxloop.errors import ArtifactError
from boxloop.files import file_digest, read_json
from boxloop.tracking.mlflow_store import Store
from builders_campaign import build_campaign, small_params
from builders_tracking import amend, client_of, everything, history, runs_of, track_all

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
    "create_model",
    "finish_model",
    "link_model",
    "delete_model",
)


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


def test_a_loss_is_no_saving_and_names_are_shown_as_they_are(workspace: Path) -> None:
    params = small_params(2, track={"campaign": "our_first_<b> *x*|y"})
    paths = build_campaign(workspace, params)
    workload = json.loads(paths.workload("b01").read_text())
    for ledger in workload["ledgers"]:
        ledger["removed"] += 20
    paths.workload("b01").write_text(json.dumps(workload))
    track_all(paths, params)
    (parent,), _ = runs_of(paths)
    assert parent.info.run_name.startswith("our_first_<b> *x*|y: 63.6 % more work, dissimilar")
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith(r"**our\_first\_&lt;b&gt; \*x\*\|y**: dissimilar ordering, fcos\_eff")


def test_a_description_of_an_older_boxloop_is_added_and_a_person_s_is_kept(
    workspace: Path,
) -> None:
    params = small_params(2)
    paths = build_campaign(workspace, params)
    track_all(paths, params)
    _, (first, second) = runs_of(paths)
    client, note = client_of(paths), "mlflow.note.content"
    client.set_tag(first.info.run_id, note, "Mine.")
    client.delete_tag(second.info.run_id, note)
    track_all(paths, params)
    _, (same, again) = runs_of(paths)
    assert (same.info.run_id, again.info.run_id) == (first.info.run_id, second.info.run_id)
    assert same.data.tags[note] == "Mine."
    assert again.data.tags[note] == second.data.tags[note]


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
    assert "train/zoom" not in metrics
    assert metrics["edits/kept_iou_0.7"] == 3
    assert metrics["edits/moved_iou_0.7"] == 1
    assert metrics["edits/additions_iou_0.7"] == 3
    assert metrics["edits/removals_iou_0.5"] == 2
    note = second.data.tags["mlflow.note.content"].splitlines()
    assert note[2].split(" | ")[4:] == ["removed", "added", "additions (An)", "removals (Rn) |"]
    assert note[5] == "| 0.7 | 3 | 1 | 1 | 1 | 1 | 3 | 3 |"
    assert note[8].startswith("- `edits/additions_iou_0.5`: the paper's An, which is added + moved")
    assert not any("without an IoU" in line for line in note)  # nobody's hands: a simulation
    workload = artifacts.read_workload(paths.workload("b01"))
    assert metrics["proposals/map"] == pytest.approx(workload.average_precision["map"])
    assert history(paths, second, "wt_reduction/iou_0.5") == [(4, pytest.approx(3 / 11))]
    assert second.data.params["batch"] == "b01"
    assert second.data.params["detector.digest"] == file_digest(paths.detector("b01"))
    inputs = {i.dataset.name: i.dataset.digest for i in second.inputs.dataset_inputs}
    assert inputs["labeled-b00"] == file_digest(paths.labeled("b00"))[:32]
    assert inputs["images"] == file_digest(paths.images)[:32]
    datasets = {i.dataset.name: i.dataset for i in second.inputs.dataset_inputs}
    before = artifacts.read_labeled(paths.labeled("b00"))
    boxes = sum(map(len, before.boxes.values()))
    profile = json.loads(datasets["labeled-b00"].profile)
    assert profile == {"images": len(before.boxes), "objects": boxes}
    columns = json.loads(datasets["labeled-b00"].schema)["mlflow_colspec"]
    schema = Schema.from_json(json.dumps(columns))
    assert schema.input_names() == ["image", "label", "x1", "y1", "x2", "y2"]
    client = client_of(paths)
    copied = Path(client.download_artifacts(second.info.run_id, "checkpoint/b01.pt"))
    assert copied.read_bytes() == paths.detector("b01").read_bytes()
    # The empty detector was not trained: no curve, and no zeros that pass for measurements.
    assert not any(name.startswith(("loss/", "train/")) for name in first.data.metrics)


def test_how_much_images_were_enlarged_is_a_metric(workspace: Path) -> None:
    params = small_params(2)
    paths = build_campaign(workspace, params)
    log = artifacts.read_training(paths.training("b01"))
    artifacts.write_training(paths.training("b01"), replace(log, zoom=1.5))
    track_all(paths, params)
    _, (_, second) = runs_of(paths)
    assert second.data.metrics["train/zoom"] == 1.5


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
    assert names == ["record"]


def simnet_log(paths: CampaignPaths, *losses: float) -> None:
    rows = [{"step": i, "loss": x, "time": 1.0 * i} for i, x in enumerate(losses, start=1)]
    n, text = len(rows), ("cpu", "none", "resnet50", "left_right")
    log = SimNetLog(n, 1.0, 8, tuple(rows), 1.0 * n, 8.0, 0.0, 0.0, *text, 64)
    artifacts.write_simnet(paths.simnet_log, log)


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


def test_a_batch_of_given_labels_alone_keeps_the_campaign_s_run(workspace: Path) -> None:
    params = small_params(3)
    paths = build_campaign(workspace, params)
    made = artifacts.read_workload(paths.workload("b01"))
    given = replace(
        made,
        images=0,
        objects=0,
        ledgers=dict.fromkeys(made.ledgers, Ledger()),
        given_images=made.images,
        given_objects=made.objects,
    )
    artifacts.write_workload(paths.workload("b01"), given)
    track_all(paths, params, ["b00", "b01"])
    (before,), _ = runs_of(paths)
    track_all(paths, params)
    track_all(paths, params)
    (parent,), children = runs_of(paths)
    assert parent.info.run_id == before.info.run_id
    assert history(paths, parent, "labeled/images") == [(2, 2.0), (4, 2.0), (6, 4.0)]
    assert [history(paths, child, "labeled/images") for child in children] == [
        *([(2, 2.0)], [(4, 2.0)], [(6, 4.0)])
    ]
    assert read_json(paths.tracked("b02"))["images_labeled"] == 4


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


def test_turns_of_a_parent_that_was_deleted_by_itself_are_taken_over(workspace: Path) -> None:
    params = small_params(2)
    paths = build_campaign(workspace, params)
    track_all(paths, params)
    (parent,), before = runs_of(paths)
    client_of(paths).delete_run(parent.info.run_id)
    track_all(paths, params, ["b01"])
    (new,), children = runs_of(paths)
    assert [c.info.run_id for c in children] == [c.info.run_id for c in before]
    assert {c.data.tags["mlflow.parentRunId"] for c in children} == {new.info.run_id}
    assert new.info.status == "FINISHED"
    assert history(paths, new, "labeled/images") == [(2, 2.0), (4, 4.0)]


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


def test_an_earlier_batch_that_is_not_accounted_is_named(workspace: Path) -> None:
    params = small_params(2)
    paths = build_campaign(workspace, params)
    paths.workload("b00").unlink()
    with pytest.raises(ArtifactError, match=r"workload/b00\.json"):
        track_all(paths, params, ["b01"])
