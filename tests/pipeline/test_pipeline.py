"""One tiny campaign through the real dvc, mlflow and training, looked at from all sides."""

import json
import re
import shlex
import shutil
import sqlite3
from pathlib import Path

import pytest
from campaigns import TINY, init, repro, run, snapshot

from boxloop.campaign import artifacts
from boxloop.core.workload import total
from boxloop.files import file_digest
from boxloop.params import BatchParams, DatasetParams, DemoParams, Params, read_yaml

IGNORED_BY_THE_RUN_CACHE = {"size", "nfiles", "isexec"}


def keys_in(value):
    """Keys at any depth."""
    if isinstance(value, dict):
        yield from value
        value = value.values()
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        for part in value:
            yield from keys_in(part)


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    folder = init(tmp_path_factory.mktemp("campaigns") / "tiny", *TINY)
    folder.joinpath("repro.log").write_text(repro(folder).stdout)
    return folder


def test_everything_is_labeled_with_the_truth(campaign):
    labeled = artifacts.read_labeled(campaign / "data/labeled/b02.parquet")
    truth = artifacts.read_truth(campaign / "data/truth.json")
    assert labeled.batches == ("b00", "b01", "b02")
    assert len(labeled) == 24
    for image_id, boxes in labeled.boxes.items():
        assert boxes.xyxy.tolist() == truth[image_id].xyxy.tolist()
        assert boxes.labels.tolist() == truth[image_id].labels.tolist()


def test_a_second_run_has_nothing_to_do(campaign):
    before = snapshot(campaign)
    assert "Data and pipelines are up to date." in repro(campaign).stdout
    assert snapshot(campaign) == before


def test_metrics_follow_from_the_workload_files(campaign):
    metrics = json.loads((campaign / "metrics.json").read_text())
    loads = [artifacts.read_workload(campaign / f"data/workload/b{i:02d}.json") for i in range(3)]
    for iou in (0.5, 0.7):
        totals, key = total(loads, iou), str(iou)
        assert metrics["added"][key] == totals.added
        assert metrics["removed"][key] == totals.removed
        n, first = metrics["objects"], metrics["first_batch_objects"]
        wt = first + totals.added + totals.removed / 2
        assert metrics["wt_reduction"][key] == pytest.approx(1 - wt / n)
        wb = first + totals.added + totals.removed
        assert metrics["wb_reduction"][key] == pytest.approx(1 - wb / n)
    assert metrics["images"] == 24


def test_the_detectors_did_propose(campaign):
    """Otherwise the checks above would hold for a loop that never closes."""
    for batch in ("b01", "b02"):
        offered = artifacts.read_proposals(campaign / f"data/proposals/{batch}.json")
        assert offered.detector == "ssdlite320_mobilenet_v3_large"
        assert sum(map(len, offered.boxes.values())) > 0
        digest = file_digest(campaign / f"data/detectors/{batch}.pt")
        assert offered.checkpoint == digest


def test_a_checkpoint_says_what_it_was_trained_on(campaign):
    import torch

    content = torch.load(campaign / "data/detectors/b01.pt", weights_only=True)
    assert content["labeled_digest"] == file_digest(campaign / "data/labeled/b00.parquet")
    assert content["classes"] == list(artifacts.read_images(campaign / "data/images.json").classes)


def test_mlflow_holds_one_campaign_with_a_run_per_iteration(campaign):
    with sqlite3.connect(campaign / "mlflow.db") as database:
        runs = database.execute(
            "select count(*) from runs where lifecycle_stage = 'active'"
        ).fetchone()
        names = database.execute(
            "select value from tags where key = 'mlflow.parentRunId' group by run_uuid"
        ).fetchall()
    assert runs == (4,)
    assert len(names) == 3
    assert len(set(names)) == 1


def test_dvc_shows_metrics_and_plots(campaign):
    shown = json.loads(run(campaign, "dvc", "metrics", "show", "--json").stdout)
    assert "wt_reduction" in str(shown)
    run(campaign, "dvc", "plots", "show", "--out", "plots")
    page = (campaign / "plots" / "index.html").read_text()
    assert "saving" in page
    assert "images" in page
    assert "steps_so_far" in page


def test_git_is_not_littered(campaign):
    status = run(campaign, "git", "status", "--porcelain", "--untracked-files=all").stdout
    paths = {line[3:] for line in status.splitlines()}
    assert paths <= {
        *(".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitignore"),
        *("dvc.lock", "dvc.yaml", "deliver/dvc.yaml", "params.yaml", "metrics.json"),
        *("repro.log", "plots/index.html"),
        *(p for p in paths if p.startswith("plots/")),
    }


def test_status_says_that_all_is_done(campaign):
    text = run(campaign, "boxloop", "status").stdout
    assert "24 of 24 images are labeled" in text
    assert "in 3 of 3 batches" in text
    assert "Every batch is done" in text


def test_simnet_is_not_trained_where_nothing_asks_for_it(campaign):
    assert (campaign / "data/simnet.pt").read_bytes() == b""
    assert json.loads((campaign / "data/simnet.json").read_text())["steps"] == 0


def test_other_sizes_are_not_taken_from_an_earlier_run(campaign, tmp_path):
    """DVC's run cache does not look at parameters that are called ``size``."""
    folder = tmp_path / "copy"
    shutil.copytree(campaign, folder)
    params = folder / "params.yaml"
    text = params.read_text()
    assert re.search(r"^ +size: 8$", text, re.MULTILINE)
    params.write_text(re.sub(r"^( +)size: 8$", r"\1size: 6", text, flags=re.MULTILINE))
    repro(folder, "batch")
    batches = [artifacts.read_batch(folder / f"data/batches/b{i:02d}.json") for i in range(3)]
    assert [len(batch.image_ids) for batch in batches] == [6, 6, 6]
    params.write_text(re.sub(r"(size:\s+- )64(\s+- )64", r"\g<1>48\g<2>56", text))
    repro(folder, "dataset")
    image = artifacts.read_images(folder / "data/images.json").images[0]
    assert (image.height, image.width) == (48, 56)


def test_every_stage_with_a_parameter_called_size_stays_out_of_the_run_cache(campaign):
    pipeline = read_yaml((campaign / "dvc.yaml").read_text())["stages"]
    params = Params(dataset=DatasetParams(demo=DemoParams()), batch=BatchParams(size=1))
    content = params.model_dump()
    found = set()
    for name, stage in pipeline.items():
        stage = stage.get("do", stage)
        # A single key, such as features.network, stands for its section.
        sections = [content[watched.partition(".")[0]] for watched in stage.get("params", [])]
        if any(key in IGNORED_BY_THE_RUN_CACHE for key in keys_in(sections)):
            found.add(name)
            options = [v for out in stage["outs"] if isinstance(out, dict) for v in out.values()]
            assert {"persist": True} in options, name
    assert found == {"dataset", "batch", "start"}


@pytest.mark.slow
def test_another_review_threshold_reruns_the_accounting_but_trains_nothing(campaign, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(campaign, folder)
    params = folder / "params.yaml"
    params.write_text(params.read_text().replace("score_threshold: 0.05", "score_threshold: 0.9"))
    out = repro(folder).stdout
    assert "Running stage 'finish@b01'" in out
    assert "the detector is kept" in out
    assert "steps on" not in out
    labeled = "data/labeled/b02.parquet"
    before = artifacts.read_labeled(campaign / labeled)
    after = artifacts.read_labeled(folder / labeled)
    assert {k: b.xyxy.tolist() for k, b in after.boxes.items()} == {
        k: b.xyxy.tolist() for k, b in before.boxes.items()
    }


@pytest.mark.slow
def test_without_tracking_a_changed_parameter_reaches_every_turn_too(campaign, tmp_path):
    folder, turns = tmp_path / "copy", ("b00", "b01", "b02")
    shutil.copytree(campaign, folder)
    params = folder / "params.yaml"

    def change(old, new):
        assert params.read_text().count(old) == 1
        params.write_text(params.read_text().replace(old, new))
        out = repro(folder).stdout
        assert [f"Running stage 'finish@{turn}'" in out for turn in turns] == [True] * 3
        assert "steps on" not in out
        return out

    assert change("enabled: true", "enabled: false").count("not tracked") == 3
    change("score_threshold: 0.05", "score_threshold: 0.9")
    for turn in turns[1:]:
        workload = artifacts.read_workload(folder / f"data/workload/{turn}.json")
        assert workload.score_threshold == 0.9
    before = snapshot(folder)
    assert "Data and pipelines are up to date." in repro(folder).stdout
    assert snapshot(folder) == before
    assert change("enabled: false", "enabled: true").count(": tracked;") == 3


@pytest.mark.slow
def test_the_model_is_a_stage_that_a_plain_run_leaves_out(campaign):
    assert not (campaign / "model").exists()
    (campaign / "deliver").mkdir()
    recipe = Path(__file__).parents[2] / "recipes/deliver.yaml"
    shutil.copyfile(recipe, campaign / "deliver/dvc.yaml")
    assert "Running stage 'deliver/dvc.yaml:deliver'" in repro(campaign, "deliver/dvc.yaml").stdout
    about = json.loads((campaign / "model" / "model.json").read_text())
    assert (about["images"], about["batches"]) == (24, ["b00", "b01", "b02"])
    assert "up to date" in repro(campaign, "deliver/dvc.yaml").stdout
    assert "up to date" in repro(campaign).stdout


def on_another_machine(campaign, place):
    """A clone that docs/team.md's commands make of a campaign, and what the last of them says."""
    guide = (Path(__file__).parents[2] / "docs/team.md").read_text()
    (commands,) = re.findall(r"^```bash\n(git clone ADDRESS campaign .*?)^```", guide, re.M | re.S)
    place.joinpath("there").mkdir()
    commands = commands.replace("ADDRESS", shlex.quote(str(campaign)))
    said = run(place / "there", "sh", "-ec", commands).stdout
    return place / "there/campaign", said


@pytest.mark.slow
def test_a_clone_of_a_campaign_that_is_not_done_goes_on_where_it_is(tmp_path):
    folder = init(tmp_path / "begun", *TINY)
    run(folder, "dvc", "remote", "add", "--default", "store", str(tmp_path / "remote"))
    repro(folder, "finish@b00")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "b00 is labeled")
    run(folder, "dvc", "push")
    clone, status = on_another_machine(folder, tmp_path)
    assert "8 of 24 images are labeled" in status
    labeled = "data/labeled/b00.parquet"
    assert (clone / labeled).read_bytes() == (folder / labeled).read_bytes()
    assert "didn't change, skipping" in repro(clone, "finish@b00").stdout


@pytest.mark.slow
def test_a_clone_pulls_labels_model_and_report_from_the_remote(campaign, tmp_path):
    """After the test before this one, which delivers."""
    run(campaign, "dvc", "remote", "add", "--default", "store", str(tmp_path / "remote"))
    run(campaign, "git", "add", "--all")
    run(campaign, "git", "commit", "--quiet", "--message", "labeled and delivered")
    run(campaign, "dvc", "push")
    clone, status = on_another_machine(campaign, tmp_path)
    assert snapshot(clone) == snapshot(campaign)
    for name in ("model/model.json", "model/detector.pt", "data/report/report.html"):
        assert (clone / name).read_bytes() == (campaign / name).read_bytes(), name
    assert "Every batch is done" in status
    assert "up to date" in run(clone, "dvc", "status").stdout
    # One commit is there to compare, and it differs from itself in nothing.
    head, *rows = run(clone, "boxloop", "experiments").stdout.splitlines()
    assert re.split("  +", head) == ["Experiment", "WT 0.5", "WT 0.7", "WB 0.5", "WB 0.7", "mAP"]
    assert [row.split()[0] for row in rows][:-1] == ["workspace"]  # and the branch, as git calls it
