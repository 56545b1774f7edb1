"""What the latest commit has in `reviews/`, and the folder has not, is told by real git."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from boxloop import pipeline
from boxloop.campaign import artifacts, submissions
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.status import status_text
from boxloop.files import write_json
from boxloop.params import Params
from builders_campaign import build_campaign, small_params

PARAMS: Params = small_params(2, review={"annotator": "fiftyone"})


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@t.t")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout


def run(folder: Path, command: str) -> None:
    subprocess.run(command, shell=True, cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "x")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """The top of the repository, which the campaign is a folder of."""
    return tmp_path / "photos of Zoë"


@pytest.fixture
def paths(top: Path) -> CampaignPaths:
    """A finished campaign of a person, committed."""
    paths = build_campaign(top / "campaign", PARAMS, annotator="fiftyone")
    now = artifacts.read_images(paths.images).by_id()
    for key in PARAMS.iterations:
        made = artifacts.read_corrections(paths.corrections(key))
        made = replace(made, digests={i: now[i].digest for i in made.boxes})
        artifacts.write_corrections(paths.corrections(key), made)
        submissions.append(paths.reviews, made, kept=True)
    write_json(paths.metrics, {})
    git(top, "init", "--quiet")
    commit(top)
    return paths


def told(paths: CampaignPaths) -> list[str]:
    """The notes of `boxloop status`."""
    return [line for line in status_text(paths, PARAMS).splitlines() if line.startswith("- ")]


def last(paths: CampaignPaths) -> str:
    return status_text(paths, PARAMS).splitlines()[-1]


def test_all_that_was_committed_is_there(paths: CampaignPaths) -> None:
    assert told(paths) == []
    assert last(paths).startswith("Every batch is done.")


def test_a_committed_submission_that_is_gone_is_told_and_brought_back(paths: CampaignPaths) -> None:
    file = submissions.submission_files(paths.reviews)[1]
    file.unlink()
    [note] = told(paths)
    assert note.startswith(
        f"- the latest commit has 1 file in reviews/ that is not there now ({file.name})"
    )
    other = submissions.submission_files(paths.reviews)[0]
    edited = f"{other.read_text()}\n"
    other.write_text(edited)
    command = f"git checkout HEAD -- reviews/{file.name}"
    assert last(paths) == f"Next: {command}, then boxloop status   (or commit the removal)"
    run(paths.root, command)
    assert file.exists()
    assert other.read_text() == edited
    assert told(paths) == []


def test_the_whole_folder_and_what_is_no_label_is_told(paths: CampaignPaths) -> None:
    write_json(paths.reviews / "20240101T120000000000Z-rename.classes.json.txt", {})
    for name in ("bob", "o'hara"):
        write_json(paths.reviews / f"b00-20240101T120000000000Z-{name}.look.json", {})
    commit(paths.root)
    for path in paths.reviews.iterdir():
        path.unlink()
    paths.reviews.rmdir()
    [note] = told(paths)
    assert "the latest commit has 4 files in reviews/ that are not there now (b00-" in note
    command = last(paths).partition("Next: ")[2].partition(", then boxloop status")[0]
    run(paths.root, command)
    assert len(list(paths.reviews.iterdir())) == 5  # and what is no label


def test_what_a_sparse_checkout_leaves_out_is_not_told(paths: CampaignPaths) -> None:
    git(paths.root, "sparse-checkout", "set", "data")
    assert not paths.reviews.exists()
    assert told(paths) == []


def test_a_conflict_comes_before_what_is_gone(paths: CampaignPaths) -> None:
    """Nothing may take one side of it; both hold labels."""
    first, second = submissions.submission_files(paths.reviews)
    name = paths.reviews / "b00-20240101T120000000000Z-bob.json"
    for branch, label in (("theirs", "cat"), ("ours", "dog")):
        git(paths.root, "checkout", "--quiet", "-b", branch, "HEAD" if label == "cat" else "HEAD~1")
        name.write_text(first.read_text().replace("cat", label) + " " * len(label))
        name.write_text(name.read_text() + label)
        commit(paths.root)
    second.unlink()
    merge = ("git", "-c", "user.name=t", "-c", "user.email=t@t.t", "merge", "--quiet", "theirs")
    assert subprocess.run(merge, cwd=paths.root, capture_output=True).returncode
    assert "git checkout HEAD" not in last(paths)
    assert any("both hold labels" in note for note in told(paths))


def test_what_was_taken_out_on_purpose_is_not_told(paths: CampaignPaths) -> None:
    submissions.submission_files(paths.reviews)[1].unlink()
    commit(paths.root)
    assert told(paths) == []
    git(paths.root, "rm", "--quiet", "-r", "--cached", "reviews")
    git(paths.root, "commit", "--quiet", "-m", "not for git")
    for path in paths.reviews.iterdir():
        path.unlink()
    assert told(paths) == []


def test_the_stage_tells_it_also_in_an_experiment_s_copy(
    paths: CampaignPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    file = submissions.submission_files(paths.reviews)[1]
    copy = CampaignPaths(paths.root / ".dvc/tmp/exps/x")
    subprocess.run(["cp", "-r", paths.root / "data", paths.reviews, _made(copy.root)], check=True)
    for place in (copy, paths):
        pipeline.review(Campaign(place, PARAMS), "b01")
    assert "latest commit" not in capsys.readouterr().out
    file.unlink()
    pipeline.review(Campaign(copy, PARAMS), "b01")  # the copy still has it
    assert "latest commit" not in capsys.readouterr().out
    (copy.reviews / file.name).unlink()
    for place in (copy, paths):
        pipeline.review(Campaign(place, PARAMS), "b01")
        said = capsys.readouterr().out
        assert (
            f"b01: the latest commit has 1 file in reviews/ that is not there now ({file.name})"
            in said
        )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("broken", ["no repository", "no commit", "damaged", "no git", "hangs"])
def test_nothing_is_told_where_git_does_not_answer(
    paths: CampaignPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    for path in submissions.submission_files(paths.reviews):
        path.unlink()
    repository = paths.root.parent / ".git"
    if broken in ("no repository", "no commit"):
        repository.rename(tmp_path / "elsewhere")
    if broken == "no commit":
        git(paths.root, "init", "--quiet")
    if broken == "damaged":
        (repository / "HEAD").write_text("{")
    if broken == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    if broken == "hangs":
        # What it starts keeps its output open for longer than anybody waits.
        fake_git(tmp_path, "sleep 6 & sleep 6", monkeypatch)
    start = time.monotonic()
    assert told(paths) == []
    assert time.monotonic() - start < 5


def test_git_is_asked_once_whatever_there_is(
    paths: CampaignPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_git(tmp_path, "echo asked >> ../asked; exit 1", monkeypatch)
    told(paths)
    assert (paths.root.parent / "asked").read_text() == "asked\n"


def fake_git(folder: Path, does: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = _made(folder / "bin") / "git"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
