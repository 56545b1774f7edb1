"""A campaign that people label, through the real dvc: whatever happens to it, no label is lost.

The submissions go into the journal as `boxloop review` writes them, only without the App.
"""

import json
import re
import shutil
from pathlib import Path

import pytest
from campaigns import TINY, init, repro, run

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.ahead import AheadPaths, seen_by
from boxloop.campaign.dvc import bring_into_dvc
from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import UserError
from boxloop.params import load_params
from builders_reviews import submit

# Slow as a whole: its campaign alone takes most of a minute, and is made once for all of these.
pytestmark = pytest.mark.slow

SETTINGS = (
    *(
        o
        for o in TINY
        if not o.startswith(("dataset.demo", "batch=", "train.steps", "train.input"))
    ),
    "dataset.demo={images: 8, video_fraction: 0.5, size: [48, 48], seed: 0}",
    "batch={size: 4}",
    "train.steps=1",
    "train.input_size=[48, 48]",
    "review.annotator=fiftyone",
    "track.enabled=false",
)
BY = 0.5
"""Pixels by which the labels of these people differ from the truth, so that they can be told."""


def geometry(table):
    return {
        name: sorted(zip(b.labels.tolist(), b.xyxy.tolist(), strict=True))
        for name, b in table.items()
    }


def labels(folder):
    """The labels that the detectors of a campaign are trained on."""
    return geometry(artifacts.read_labeled(folder / "data/labeled/b01.parquet").boxes)


def pending(done):
    """The sentence of a stage that waits for a person."""
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith("boxloop: ")]
    assert len(sentences) == 1, done.stderr
    return sentences[0]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """Both batches labeled, the second in two parts; committed to git and to DVC."""
    folder = init(tmp_path_factory.mktemp("people") / "campaign", *SETTINGS, batches=2)
    said = [pending(run(folder, "dvc", "repro", check=False))]
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "-m", "begun")
    shutil.copytree(folder, folder.with_name("begun"))
    submit(folder, "b00", by=BY)
    said.append(pending(run(folder, "dvc", "repro", check=False)))
    ids = artifacts.read_batch(folder / "data/batches/b01.json").image_ids
    submit(folder, "b01", ids[:3], by=BY, reviewer="Zoë B.")
    said.append(pending(run(folder, "dvc", "repro", "finish@b01", check=False)))
    said.append(run(folder, "boxloop", "status").stdout)
    submit(folder, "b01", ids[3:], by=BY)
    repro(folder)
    (folder / "said.json").write_text(json.dumps(said))
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "-m", "labeled")
    return folder


@pytest.fixture
def copy(campaign, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(campaign, folder)
    return folder


def test_the_loop_stops_at_a_person_and_goes_on_from_there(campaign):
    first, second, third, status = json.loads((campaign / "said.json").read_text())
    assert "batch b00 waits for its review, 4 images: 'boxloop review b00' opens them" in first
    assert "batch b01 waits for its review, 4 images" in second
    assert "batch b01 waits for its review: 3 of 4 images are submitted" in third
    assert "3 of 4 images submitted" in status
    assert "Next: boxloop review b01" in status
    assert labels(campaign) == geometry(
        {
            image_id: boxes
            for entry in submissions.read(campaign / "reviews")
            for image_id, boxes in entry.boxes.items()
        }
    )
    done = artifacts.read_corrections(campaign / "data/corrections/b01.json")
    assert done.reviewer == "Zoë B., ada"
    assert "up to date" in repro(campaign).stdout


def test_the_journal_is_for_git_to_keep(campaign):
    tracked = run(campaign, "git", "ls-files", "reviews").stdout.splitlines()
    assert len(tracked) == 3
    assert any(name.endswith("-zoe-b.json") for name in tracked)


def test_what_only_a_simulation_can_tell_is_missing_quietly(campaign):
    """No what-if table: a person's labels depend on what was shown."""
    run(campaign, "dvc", "plots", "show", "--out", "plots")
    assert "saving" in (campaign / "plots" / "index.html").read_text()
    metrics = json.loads((campaign / "metrics.json").read_text())
    assert metrics["measured_hours"] == pytest.approx(8 * 10 / 3600)


def test_labels_stay_when_the_stage_is_forced(copy):
    before = labels(copy)
    corrections = {p.name: p.read_bytes() for p in (copy / "data/corrections").iterdir()}
    for key in ("b00", "b01"):
        repro(copy, "--single-item", "--force", f"finish@{key}")
    assert {p.name: p.read_bytes() for p in (copy / "data/corrections").iterdir()} == corrections
    (copy / "data/corrections/b01.json").unlink()
    repro(copy, "--single-item", "finish@b01")
    assert (copy / "data/corrections/b01.json").read_bytes() == corrections["b01.json"]
    assert labels(copy) == before


def test_another_order_moves_labels_between_batches_and_asks_for_none(copy):
    before = labels(copy)
    batches = [artifacts.read_batch(copy / f"data/batches/b0{i}.json").image_ids for i in (0, 1)]
    params = copy / "params.yaml"
    text = params.read_text()
    assert "strategy: dissimilar" in text
    params.write_text(text.replace("strategy: dissimilar", "strategy: temporal"))
    repro(copy, "finish@b01")
    now = [artifacts.read_batch(copy / f"data/batches/b0{i}.json").image_ids for i in (0, 1)]
    assert set(now[0]) not in (set(batches[0]), set(batches[1]))
    assert labels(copy) == before
    assert len(submissions.read(copy / "reviews")) == 3


def test_labels_that_dvc_alone_holds_survive_another_order_too(copy):
    """As in a clone in which nobody committed reviews/: `dvc pull` brings the corrections."""
    before = labels(copy)
    shutil.rmtree(copy / "reviews")
    params = copy / "params.yaml"
    params.write_text(params.read_text().replace("strategy: dissimilar", "strategy: temporal"))
    said = repro(copy, "finish@b01").stdout
    assert labels(copy) == before
    assert "are kept in reviews" in said
    params.write_text(params.read_text().replace("strategy: temporal", "strategy: dissimilar"))
    repro(copy, "finish@b01")
    assert labels(copy) == before


def test_a_simulated_annotator_passes_over_no_person(copy):
    before = labels(copy)
    params = copy / "params.yaml"
    text = params.read_text()
    assert "annotator: fiftyone" in text
    params.write_text(text.replace("annotator: fiftyone", "annotator: simulated"))
    refused = run(copy, "dvc", "repro", "finish@b00", check=False)
    assert "holds labels made by 'fiftyone'" in refused.stderr
    shutil.rmtree(copy / "data/corrections")
    refused = run(copy, "dvc", "repro", "finish@b00", check=False)
    assert "people labeled 4 of the 4 images of b00 (see reviews/)" in refused.stderr
    params.write_text(text)
    repro(copy, "finish@b01")
    assert labels(copy) == before


def test_a_redo_reaches_what_dvc_takes_for_done(copy):
    before = labels(copy)
    image_id = artifacts.read_batch(copy / "data/batches/b01.json").image_ids[0]
    submit(copy, "b01", [image_id], by=2 * BY, reviewer="bob", seconds=25.0)
    assert "up to date" in repro(copy, "finish@b01").stdout
    text = run(copy, "boxloop", "status").stdout
    assert "dvc repro --single-item --force finish@b01" in text
    bring_into_dvc(copy, "b01")
    redone = artifacts.read_corrections(copy / "data/corrections/b01.json")
    assert redone.revision == 2
    assert redone.reviewer == "bob, Zoë B., ada"
    assert "--single-item" not in run(copy, "boxloop", "status").stdout
    repro(copy)
    after = labels(copy)
    assert {k for k in after if after[k] != before[k]} == {image_id}
    page = (copy / "data/report/report.html").read_text()
    assert "redone" in page
    assert "bob" in page


def test_what_dvc_cannot_take_over_is_safe_all_the_same(copy):
    (copy / "data/proposals/b01.json").unlink()
    with pytest.raises(UserError, match=r"labels of b01 are safe in reviews/, but DVC did not"):
        bring_into_dvc(copy, "b01")
    assert len(submissions.read(copy / "reviews")) == 3


def test_everything_forced(copy):
    before = labels(copy)
    repro(copy, "--force")
    assert labels(copy) == before
    assert len(submissions.read(copy / "reviews")) == 3


def test_everything_but_the_journal_deleted(copy):
    before = labels(copy)
    shutil.rmtree(copy / "data")
    shutil.rmtree(copy / ".dvc" / "cache")
    shutil.rmtree(copy / ".boxloop", ignore_errors=True)
    repro(copy)
    assert labels(copy) == before


@pytest.mark.parametrize("committed", [True, False])
def test_experiments_in_the_workspace(copy, committed):
    if not committed:
        # Two thirds of the journal are known to git, one is not.
        image_id = artifacts.read_batch(copy / "data/batches/b01.json").image_ids[0]
        submit(copy, "b01", [image_id], by=2 * BY)
        bring_into_dvc(copy, "b01")
        repro(copy)
    before, entries = labels(copy), submissions.read(copy / "reviews")
    run(copy, "dvc", "exp", "run", "-S", "order.strategy=random", "-S", "propose.score_floor=0.02")
    assert labels(copy) == before
    assert submissions.read(copy / "reviews") == entries


@pytest.mark.parametrize("committed", [True, False])
def test_experiments_in_a_copy_of_the_workspace(copy, committed):
    """They read labels that only the workspace has, and change nothing in it."""
    before = labels(copy)
    if not committed:
        run(copy, "git", "rm", "--quiet", "-r", "--cached", "reviews")
        run(copy, "git", "commit", "--quiet", "-m", "the journal is not committed")
        image_id = artifacts.read_batch(copy / "data/batches/b01.json").image_ids[0]
        submit(copy, "b01", [image_id], by=2 * BY)
        bring_into_dvc(copy, "b01")
        repro(copy)
        assert labels(copy) != before
        before = labels(copy)
    files = {p: p.read_bytes() for p in [*copy.glob("reviews/*"), *copy.glob("data/*/*.json")]}
    run(
        *(copy, "dvc", "exp", "run", "--temp", "--name", "other"),
        *("-S", "order.strategy=random", "-S", "train.seed=7"),
    )
    assert {p: p.read_bytes() for p in files} == files
    assert labels(copy) == before
    run(copy, "dvc", "exp", "apply", "other")
    assert labels(copy) == before
    assert [p for p in copy.glob("reviews/*") if p not in files] == []


def test_an_experiment_from_before_a_redo_does_not_hide_the_redo(copy):
    """`dvc exp apply` takes files out of reviews/ that were committed after the experiment."""
    run(copy, "dvc", "exp", "run", "--name", "early", "-S", "propose.score_floor=0.02")
    run(copy, "git", "checkout", ".")
    run(copy, "dvc", "checkout", "--force")
    image_id = artifacts.read_batch(copy / "data/batches/b00.json").image_ids[0]
    redone = submit(copy, "b00", [image_id], by=2 * BY, reviewer="bob")
    bring_into_dvc(copy, "b00")
    repro(copy)
    run(copy, "git", "add", "--all")
    run(copy, "git", "commit", "--quiet", "-m", "redone")
    after = labels(copy)
    assert "Take note" not in run(copy, "boxloop", "status").stdout
    run(copy, "dvc", "exp", "apply", "early")
    status = run(copy, "boxloop", "status").stdout
    assert f"1 file in reviews/ that is not there now ({redone.name})" in status
    way, known = next_commands(copy)
    assert (way, known) == (f"git checkout HEAD -- reviews/{redone.name}", "boxloop status")
    run(copy, *way.split())
    status = run(copy, *known.split()).stdout
    assert redone.exists()
    assert "latest commit" not in status
    for command in next_commands(copy):
        run(copy, *command.split())
    assert labels(copy) == after


def test_a_clone_with_dvc_s_files_alone(campaign, tmp_path):
    folder = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(campaign), str(folder))
    (folder / ".dvc/config.local").write_text(f"[cache]\n    dir = {campaign}/.dvc/cache\n")
    shutil.rmtree(folder / "reviews")
    run(folder, "dvc", "checkout")
    repro(folder, "--force", "finish@b01")
    assert labels(folder) == labels(campaign)
    assert CampaignPaths(folder).corrections("b01").exists()


def test_what_was_trained_while_a_batch_was_corrected_is_taken_over(copy):
    """b00 is labeled anew in two parts; the second detector learns from the first of them."""
    for made in (*(copy / "reviews").glob("b00-*"), copy / "data/corrections/b00.json"):
        made.unlink()
    paths, params = CampaignPaths(copy), load_params(copy / "params.yaml")
    ids = artifacts.read_batch(paths.batch("b00")).image_ids
    submit(copy, "b00", ids[:2], by=2 * BY)
    run(copy, "boxloop", "ahead", "b00")
    made_ahead = AheadPaths.of(paths, "b01").detector.read_bytes()
    submit(copy, "b00", ids[2:], by=2 * BY)
    said = repro(copy, "learn@b01").stdout
    assert "b01: trained while b00 was corrected, on 2 of the 4 images of b00" in said
    assert paths.detector("b01").read_bytes() == made_ahead
    assert seen_by(paths, params.iterations)["b01"].images == ids[:2]
    assert "Stage 'learn@b01' didn't change, skipping" in repro(copy, "learn@b01").stdout


# --- labels that come by git ----------------------------------------------------------------------

TEAM = Path(__file__).parents[2] / "docs" / "team.md"


def commands_of_a_merge():
    """The lines of docs/team.md that settle the conflicts of a merge."""
    [block] = re.findall(r"```bash\n(git checkout --ours.*?)```", TEAM.read_text(), re.DOTALL)
    return [line.partition("#")[0].strip() for line in block.splitlines()]


def next_commands(folder):
    """What `boxloop status` says is next."""
    last = run(folder, "boxloop", "status").stdout.splitlines()[-1]
    return last.removeprefix("Next: ").partition("   (")[0].split(", then ")


def reviewers(folder):
    paths = sorted((folder / "data/corrections").iterdir())
    return [artifacts.read_corrections(path).reviewer for path in paths]


def test_two_people_label_the_same_batch_and_merge_before_the_campaign_is_finished(
    campaign, tmp_path
):
    folders = {"ann": tmp_path / "ann", "bob": tmp_path / "bob"}
    for name, folder in folders.items():
        shutil.copytree(campaign.with_name("begun"), folder)
        submit(folder, "b00", by=BY if name == "ann" else 2 * BY, reviewer=name)
        assert "batch b01 waits" in pending(run(folder, "dvc", "repro", check=False))
        run(folder, "git", "add", "--all")
        run(folder, "git", "commit", "--quiet", "-m", name)
    own, other = folders.values()
    merged = run(own, "git", "pull", "--no-rebase", str(other), check=False)
    assert "CONFLICT" in merged.stdout + merged.stderr
    for line in commands_of_a_merge():
        done = run(own, "env", "GIT_EDITOR=true", "bash", "-c", line, check=False)
        # There is none before the campaign is finished, as the page says.
        assert done.returncode == 0 or "metrics.json" in line, f"{line}\n{done.stderr}"
    assert run(own, "git", "status", "--porcelain").stdout == ""
    assert "<<<<<<<" not in (own / "dvc.lock").read_text()
    assert reviewers(own) == ["ann"]  # whose labels DVC takes for done
    takes_over, goes_on = next_commands(own)
    assert takes_over == "dvc repro --single-item --force finish@b00"
    run(own, *takes_over.split())
    assert reviewers(own) == ["bob"]
    assert "batch b01 waits" in pending(run(own, *goes_on.split(), check=False))
    assert next_commands(own) == ["boxloop review b01"]


def test_newer_labels_of_several_batches_come_to_a_finished_campaign(copy):
    for key in ("b00", "b01"):
        submit(copy, key, by=2 * BY, reviewer="fay")
    assert "up to date" in repro(copy).stdout
    takes_over, goes_on = next_commands(copy)
    assert takes_over == "dvc repro --single-item --force finish@b00 finish@b01"
    run(copy, *takes_over.split())
    assert reviewers(copy) == ["fay", "fay"]
    run(copy, *goes_on.split())
    assert "Every batch is done" in run(copy, "boxloop", "status").stdout
    paths = sorted((copy / "data/corrections").iterdir())
    first, second = (artifacts.read_corrections(path).boxes for path in paths)
    assert labels(copy) == geometry({**first, **second})


@pytest.mark.parametrize(("kind", "new"), [("merge", "box"), ("rename", "orb")])
def test_a_class_change_that_git_takes_back_leaves_people_s_labels(copy, kind, new):
    before = labels(copy)
    run(copy, "boxloop", "classes", kind, "ball", new)
    repro(copy)
    assert labels(copy) != before
    run(copy, "git", "add", "--all")
    run(copy, "git", "commit", "--quiet", "-m", "changed")
    run(copy, "git", "revert", "--no-edit", "HEAD")
    told = next_commands(copy)
    assert told == ["dvc repro --single-item --force dataset", "dvc repro"]
    for command in told:
        run(copy, *command.split())
    assert labels(copy) == before
    assert "Every batch is done" in run(copy, "boxloop", "status").stdout
