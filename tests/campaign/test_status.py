from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.outlook import outlook_lines
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import first_batch_in_words
from boxloop.campaign.status import status_text
from boxloop.core.types import Batch, Boxes, LabeledSet
from boxloop.errors import ArtifactError
from boxloop.files import read_json, write_json
from boxloop.params import Params
from builders_campaign import CLASSES, build_campaign, small_params
from builders_reviews import submission


def rows_of(text: str) -> dict[str, str]:
    """The state of each batch, in words."""
    lines = text.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("Batch"))
    rows = [line.split(maxsplit=3) for line in lines[begin + 1 :] if line.startswith("b")]
    return {row[0]: row[3] for row in rows}


def test_nothing_run_yet(tmp_path: Path) -> None:
    text = status_text(CampaignPaths(tmp_path), small_params(3))
    assert text == "Nothing has been run yet.\n\nNext: dvc repro"


def test_a_clone_before_its_data_is_pulled_is_told_to_pull(tmp_path: Path) -> None:
    """'dvc repro' would train all detectors anew."""
    paths, params = CampaignPaths(tmp_path), small_params(3)
    lock = "schema: '2.0'\nstages:\n  dataset:\n    cmd: boxloop dataset\n"
    (tmp_path / "dvc.lock").write_text(lock)
    assert status_text(paths, params) == "Nothing has been run yet.\n\nNext: dvc repro"
    outs = "    outs:\n    - path: data/images.json\n      hash: md5\n      md5: abc\n"
    (tmp_path / "dvc.lock").write_text(lock + outs)
    assert status_text(paths, params) == (
        "Nothing is here of what dvc.lock lists, as in a new clone.\n\nNext: dvc pull"
        " --allow-missing   (brings what was pushed; without that, dvc repro makes it anew)"
    )


def test_submissions_of_a_campaign_that_has_nothing_else_are_told(tmp_path: Path) -> None:
    params = people_params()
    made = build_campaign(tmp_path / "made", params, done=1, through="proposals")
    paths = CampaignPaths(tmp_path / "clone")
    file = submit_some(made, "b01", ["img03"], 1)
    paths.reviews.mkdir(parents=True)
    file.rename(paths.reviews / file.name)
    assert status_text(paths, params) == (
        "Nothing has been run here yet. reviews/ holds 1 submission of people: the labels count"
        " once their batches are there.\n\nNext: dvc repro"
    )
    file = paths.reviews
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "nowhere")
    assert "- reviews cannot be looked into (it is a link" in status_text(paths, params)


def test_images_without_batches_are_a_beginning(tmp_path: Path) -> None:
    params = small_params(1)
    paths = build_campaign(tmp_path, params, done=0)
    paths.batch("b00").unlink()
    text = status_text(paths, params)
    assert rows_of(text) == {"b00": "no images assigned yet"}
    assert text.startswith("0 of 2 images are labeled")
    assert "Next: dvc repro" in text


@pytest.mark.parametrize(
    ("through", "state", "next_words"),
    [
        ("batch", "training is next", "goes on with 'train' of b01"),
        ("detector", "detector is trained, proposing is next", "'propose' of b01"),
        ("proposals", "proposals wait for review", "goes on with the review of b01"),
        ("corrections", "reviewed, merging is next", "'merge' of b01"),
        ("labeled", "labeled, accounting is next", "'account' of b01"),
    ],
)
def test_every_phase_of_a_turn(tmp_path: Path, through: str, state: str, next_words: str) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params, done=1, through=through)
    text = status_text(paths, params)
    assert rows_of(text) == {
        "b00": "done",
        "b01": state,
        "b02": "waits for the batch before it",
    }
    assert next_words in text.splitlines()[-1]
    reviewed = through in ("corrections", "labeled")
    assert text.startswith(
        "4 of 6 images are labeled, with 11 objects, in 2 of 3 batches."
        if reviewed
        else "2 of 6 images are labeled, with 5 objects, in 1 of 3 batches."
    )
    assert "Nothing is saved yet" in text
    assert "Take note" not in text


def test_what_is_saved_so_far(tmp_path: Path) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params, done=2)
    text = status_text(paths, params)
    # N = 11; WT = 8 and WB = 9 at IoU 0.5, 9.5 and 11 at 0.7 (see builders_campaign).
    assert "IoU 0.5   27.3 % of the time (WT),  18.2 % of the boxes (WB)" in text
    assert "IoU 0.7   13.6 % of the time (WT),   0.0 % of the boxes (WB)" in text


def test_a_finished_campaign_names_its_results(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    assert status_text(paths, params).splitlines()[-1].startswith("Next: dvc repro")
    write_json(paths.metrics, {})
    last = status_text(paths, params).splitlines()[-1]
    assert last.startswith("Every batch is done.")
    assert "report.html" in last


def test_images_in_no_batch_are_counted(tmp_path: Path) -> None:
    paths = build_campaign(tmp_path, small_params(3))
    write_json(paths.metrics, {})
    text = status_text(paths, small_params(2))
    # The newest labeled set is of b02, which params.yaml no longer lists: nothing to note.
    assert "Take note" not in text
    assert "2 images are in no batch" in text


@pytest.mark.parametrize("name", ["batch", "proposals", "corrections", "workload", "labeled"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "other@1"}', "\udcff"])
def test_damaged_files_are_named_and_stop_nothing(tmp_path: Path, name: str, content: str) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    path: Path = getattr(paths, name)("b01")
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    text = status_text(paths, params)
    note = next(line for line in text.splitlines() if line.startswith("- "))
    assert path.relative_to(tmp_path).as_posix() in note
    assert str(tmp_path) not in text
    assert text.splitlines()[-1].startswith("Next: ")
    assert rows_of(text)["b00"] == "done"


def test_a_damaged_review_is_never_to_be_made_anew(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    paths.corrections("b01").write_text("{", encoding="utf-8")
    text = status_text(paths, params)
    assert rows_of(text)["b01"] == "has a damaged file, see below"
    assert "dvc checkout --force data/corrections/b01.json" in text
    assert text.splitlines()[-1] == "Next: bring the damaged files back, then dvc repro"


def test_labels_outlive_a_detector_that_is_trained_anew(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    paths.detector("b01").unlink()
    text = status_text(paths, params)
    assert text.startswith("4 of 4 images are labeled")
    assert rows_of(text)["b01"] == "labeled; the step 'train' is due again"
    assert "'train' of b01" in text.splitlines()[-1]


def test_corrections_of_other_images_than_the_batch_are_noted(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    artifacts.write_batch(paths.batch("b01"), Batch("b01", ("img02", "img00")))
    text = status_text(paths, params)
    assert (
        "- data/corrections/b01.json is of other images than data/batches/b01.json lists now"
        " (1 of 2 are in both)" in text
    )


def test_a_workload_of_other_corrections_is_noted_and_not_counted(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    workload = read_json(paths.workload("b01"))
    write_json(paths.workload("b01"), {**workload, "objects": 7})
    text = status_text(paths, params)
    assert rows_of(text)["b01"] == "labeled, accounting is next"
    assert "data/workload/b01.json is of other corrections" in text
    assert "Nothing is saved yet" in text


def test_an_iou_that_was_not_accounted_is_noted(tmp_path: Path) -> None:
    paths = build_campaign(tmp_path, small_params(1))
    text = status_text(paths, small_params(1, account={"iou_thresholds": [0.6]}))
    assert "data/workload/b00.json was not accounted at IoU 0.6" in text


def test_a_labeled_set_of_other_batches_is_noted(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    paths.labeled("b01").write_bytes(paths.labeled("b00").read_bytes())
    assert "data/labeled/b01.parquet is not made of batches b00, b01" in status_text(paths, params)


def test_labeled_sets_that_are_older_than_an_earlier_batch_are_noted_and_come_first(
    tmp_path: Path,
) -> None:
    """As after a redo, of which DVC finishes its own batch alone; a later one waits for people."""
    params = people_params(3)
    paths = build_campaign(tmp_path, params, done=2, through="proposals", annotator="fiftyone")
    assert "Next: boxloop review b02" in status_text(paths, params)
    redone = artifacts.read_labeled(paths.labeled("b00"))
    fewer = {**redone.boxes, "img01": Boxes.empty()}
    artifacts.write_labeled(
        paths.labeled("b00"), replace(redone, boxes=fewer), paths.labeled("empty")
    )
    text = status_text(paths, params)
    assert (
        "- data/labeled/b01.parquet is older than data/labeled/b00.parquet, of which it is made:"
        " 'dvc repro' merges them again" in text
    )
    assert text.splitlines()[-1] == "Next: dvc repro   (brings everything up to date)"


def test_it_answers_without_heavy_libraries() -> None:
    code = (
        "import sys; import boxloop.campaign.status;"
        "print([m for m in ('torch', 'mlflow', 'matplotlib', 'scipy', 'dvc') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert result.stdout.strip() == "[]"


def test_without_its_images_a_finished_campaign_is_to_be_run_again(tmp_path: Path) -> None:
    params = small_params(1)
    paths = build_campaign(tmp_path, params, done=1)
    paths.metrics.write_text("{}")
    assert "Every batch is done" in status_text(paths, params)
    paths.images.unlink()
    assert "Next: dvc repro" in status_text(paths, params)


# --- people ---------------------------------------------------------------------------------------


def people_params(batches: int = 2) -> Params:
    return small_params(batches, review={"annotator": "fiftyone"})


def submit_some(paths: CampaignPaths, key: str, image_ids: list[str], second: int) -> Path:
    proposals = artifacts.read_proposals(paths.proposals(key))
    truth = artifacts.read_truth(paths.truth)
    finished = f"2024-01-01T13:00:{second:02d}.000000+00:00"
    return submissions.append(
        paths.reviews, submission(proposals, truth, image_ids, finished=finished)
    )


def test_a_batch_that_waits_for_a_person_is_named_with_the_command(tmp_path: Path) -> None:
    params = people_params()
    paths = build_campaign(tmp_path, params, done=1, through="proposals", annotator="fiftyone")
    text = status_text(paths, params)
    assert rows_of(text)["b01"] == "proposals wait for review"
    assert text.splitlines()[-1] == "Next: boxloop review b01   (2 images wait for a person)"
    submit_some(paths, "b01", ["img03"], 1)
    text = status_text(paths, params)
    assert rows_of(text)["b01"] == "1 of 2 images submitted"
    assert text.splitlines()[-1] == "Next: boxloop review b01   (1 image waits for a person)"
    submit_some(paths, "b01", ["img02"], 2)
    text = status_text(paths, params)
    assert rows_of(text)["b01"] == "2 of 2 images submitted"
    assert text.splitlines()[-1] == "Next: dvc repro   (takes over the labels of b01)"


def test_a_redo_that_dvc_does_not_know_of_is_noted(tmp_path: Path) -> None:
    params = people_params()
    paths = build_campaign(tmp_path, params, annotator="fiftyone")
    assert "Take note" not in status_text(paths, params)
    submit_some(paths, "b01", ["img03"], 1)
    text = status_text(paths, params)
    assert (
        "- reviews/ holds newer labels of 1 of the 2 images in data/corrections/b01.json:"
        " 'dvc repro --single-item --force finish@b01' brings them in" in text
    )


def test_what_the_corrections_hold_already_is_not_noted(tmp_path: Path) -> None:
    params = people_params()
    paths = build_campaign(tmp_path, params, annotator="fiftyone")
    held = artifacts.read_corrections(paths.corrections("b00"))
    submissions.append(paths.reviews, held, kept=True)
    assert "Take note" not in status_text(paths, params)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "other@1"}', None])
def test_a_damaged_submission_is_named_and_git_has_it(tmp_path: Path, content: str | None) -> None:
    params = people_params()
    paths = build_campaign(tmp_path, params, done=1, through="proposals", annotator="fiftyone")
    path = submit_some(paths, "b01", ["img03"], 1)
    text = path.read_text().replace("2024-01-01T13", "long ago") if content is None else content
    path.write_text(text)
    text = status_text(paths, params)
    assert f"'git checkout reviews/{path.name}' brings the last good one back" in text
    assert text.splitlines()[-1] == "Next: bring the damaged files back, then dvc repro"


def test_a_conflict_of_a_merge_in_a_submission_is_named(tmp_path: Path) -> None:
    params = people_params()
    paths = build_campaign(tmp_path, params, done=1, through="proposals", annotator="fiftyone")
    path = submit_some(paths, "b01", ["img03"], 1)
    path.write_text(f"{{\n<<<<<<< HEAD\n{path.read_text()}\n=======\n}}\n>>>>>>> theirs\n")
    text = status_text(paths, params)
    assert (
        f"- reviews/{path.name} cannot be read, as a merge left a conflict in line 2 (<<<<<<<):"
        f" keep one side of it, as 'git checkout --ours reviews/{path.name}' does; both hold"
        f" labels, so keep the other one in a file beside it: 'git -C reviews show :3:./{path.name}"
        f" > reviews/{path.stem}-theirs.json'\n" in text
    )
    assert text.splitlines()[-1] == "Next: bring the damaged files back, then dvc repro"


def test_labels_of_other_pixels_are_said_and_wait_for_a_person(tmp_path: Path) -> None:
    params = people_params()
    paths = build_campaign(tmp_path, params, done=1, through="proposals", annotator="fiftyone")
    proposals = artifacts.read_proposals(paths.proposals("b01"))
    made = submission(proposals, artifacts.read_truth(paths.truth))
    known = artifacts.read_images(paths.images).by_id()
    digests = {"img02": "other pixels", "img03": known["img03"].digest}
    path = submissions.append(paths.reviews, replace(made, digests=digests))
    text = status_text(paths, params)
    assert rows_of(text)["b01"] == "1 of 2 images submitted"
    assert f"- reviews/{path.name} labels other pixels than are now in image img02," in text
    assert text.splitlines()[-1] == "Next: boxloop review b01   (1 image waits for a person)"


@pytest.mark.parametrize(
    ("changes", "said", "up_to_date"),
    [
        ({"versions": {"boxloop": "999.0.0"}}, "newer than this one, and counts for", True),
        ({"digests": {}, "boxes": {"gone": []}}, "labels image gone, not among", True),
        ({"digests": {"img03": "other pixels"}}, "labels other pixels than", False),
    ],
)
def test_a_note_that_nothing_has_to_clear_does_not_keep_a_campaign_from_being_done(
    tmp_path: Path, changes: dict[str, object], said: str, up_to_date: bool
) -> None:
    paths = build_campaign(tmp_path, people_params(3), annotator="fiftyone")
    write_json(paths.metrics, {})
    path = submit_some(paths, "b01", ["img03"], 1)
    corrected = read_json(paths.corrections("b01"))
    write_json(paths.corrections("b01"), corrected | {"finished": "2024-01-01T14:00:00+00:00"})
    content = read_json(path) | changes
    content["proposals"]["boxes"] = {image_id: [] for image_id in content["boxes"]}
    content["seconds"] = dict.fromkeys(content["boxes"], 1.0)
    path.write_text(json.dumps(content))
    text = status_text(paths, people_params(2))
    assert said in text
    assert text.splitlines()[-1].startswith("2 images are in no batch: ") is up_to_date
    assert ("brings everything up to date" in text) is not up_to_date


def test_submissions_that_cannot_be_looked_into_are_no_empty_folder(tmp_path: Path) -> None:
    params = people_params()
    paths = build_campaign(tmp_path, params, done=1, through="proposals", annotator="fiftyone")
    paths.reviews.symlink_to(tmp_path / "a disk that is not there")
    text = status_text(paths, params)
    assert "reviews cannot be looked into (it is a link to what is not there)" in text
    assert text.splitlines()[-1] == "Next: bring the damaged files back, then dvc repro"


ODD = [None, 3, 0.5, True, [], ["q"], [3], {}, {"a": 3}, {"a": ["q"]}]


@pytest.mark.parametrize(
    "place",
    [
        ("batch",),
        ("digests",),
        ("digests", "img03"),
        ("digests", "not an image"),
        ("classes",),
        ("classes", 0),
        ("offered",),
        ("offered", "img03"),
        ("versions",),
        ("versions", "boxloop"),
        ("boxes",),
        ("boxes", "img03"),
        ("boxes", "img03", 0),
        ("boxes", "img03", 0, "label"),
        ("planted",),
        ("planted", "img03"),
        ("changes",),
    ],
)
def test_a_submission_with_odd_content_is_no_failure(
    tmp_path: Path, place: tuple[str | int, ...]
) -> None:
    params = people_params()
    paths = build_campaign(tmp_path, params, done=1, through="proposals", annotator="fiftyone")
    path = submit_some(paths, "b01", ["img03"], 1)
    good = read_json(path) | {
        "classes": ["cat", "dog"],
        "digests": {"img03": "", "not an image": ""},
    }
    good |= {"offered": {"img03": ["cat"]}, "planted": {"img03": []}, "changes": 0}
    odd_label = {**good["boxes"]["img03"][0], "label": "neither a cat nor a dog"}
    good["boxes"] = {"img03": [*good["boxes"]["img03"], odd_label], "not an image": []}
    for value in ODD:
        content = json.loads(json.dumps(good))
        part = content
        for key in place[:-1]:
            part = part[key]
        part[place[-1]] = value
        path.write_text(json.dumps(content))
        assert status_text(paths, params).splitlines()[-1].startswith("Next: ")


BOX = {"id": "t0", "label": "cat", "xyxy": [2, 2, 12, 12]}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("digests", {"img03": 3}),
        ("versions", {"boxloop": 3}),
        ("classes", [3]),
        ("batch", None),
        ("seconds", {"img03": -5}),
        ("boxes", {"img03": [BOX, BOX]}),
        ("boxes", {"img03": [BOX | {"xyxy": [12, 2, 2, 12]}]}),
        ("reviewer", 3),
        ("finished", None),
        ("planted", {"img03": [{}]}),
        ("blind", ["not an image"]),
        ("rechecked", {}),
    ],
)
@pytest.mark.parametrize("look", [False, True])
def test_what_other_commands_refuse_is_named_and_comes_first(
    tmp_path: Path, place: str, value: object, *, look: bool
) -> None:
    params = people_params()
    paths = build_campaign(tmp_path, params, done=1, through="proposals", annotator="fiftyone")
    path = submit_some(paths, "b01", ["img03"], 1)
    if look:
        proposals = artifacts.read_proposals(paths.proposals("b01"))
        own = submission(proposals, artifacts.read_truth(paths.truth), ["img03"], reviewer="bob")
        path = submissions.append(paths.reviews, own, look=True)
    path.write_text(json.dumps(read_json(path) | {place: value}))
    with pytest.raises(ArtifactError):
        submissions.read_files(paths.reviews, look=look)
    text = status_text(paths, params)
    assert f"- reviews/{path.name}" in text
    assert f"'git checkout reviews/{path.name}'" in text
    assert text.splitlines()[-1] == "Next: bring the damaged files back, then dvc repro"


def test_a_submission_that_is_a_link_to_nothing_is_damaged(tmp_path: Path) -> None:
    params = people_params()
    paths = build_campaign(tmp_path, params, done=1, through="proposals", annotator="fiftyone")
    path = submit_some(paths, "b01", ["img03"], 1)
    path.unlink()
    path.symlink_to("a disk that is not there")
    text = status_text(paths, params)
    assert f"'git checkout reviews/{path.name}' brings the last good one back" in text
    assert text.splitlines()[-1] == "Next: bring the damaged files back, then dvc repro"


def test_a_submission_of_a_format_to_come_needs_the_boxloop_that_wrote_it(tmp_path: Path) -> None:
    params = people_params()
    paths = build_campaign(tmp_path, params, done=1, through="proposals", annotator="fiftyone")
    path = submit_some(paths, "b01", ["img03"], 1)
    path.write_text(json.dumps(read_json(path) | {"format": "boxloop/corrections@99"}))
    text = status_text(paths, params)
    assert (
        f"- reviews/{path.name} is of format boxloop/corrections@99, which a newer boxloop wrote:"
        " install that version\n" in text
    )
    assert text.splitlines()[-1].startswith("Next: install the boxloop that wrote the newer files")


def test_the_simulated_annotator_is_never_sent_to_the_app(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params, done=1, through="proposals")
    assert "boxloop review" not in status_text(paths, params)


def test_a_cell_of_a_study_is_not_for_dvc(tmp_path: Path) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path / "cells" / "random.seed0", params)
    assert "study" not in status_text(paths, params)
    (tmp_path / "study.json").write_text("{}")
    text = status_text(paths, params)
    assert "'boxloop report' makes a page of it" in text
    assert "dvc" not in text
    paths.workload("b02").unlink()
    assert f"Next: the study in {tmp_path} goes on with this cell" in status_text(paths, params)


FITTED = {"score_threshold": "fitted"}


def shown(text: str) -> list[str]:
    lines = text.splitlines()
    begin = lines.index("Proposals, by the fitted score threshold:")
    return lines[begin + 1 : lines.index("", begin)]


def test_what_is_shown_by_a_fitted_threshold(tmp_path: Path) -> None:
    params = small_params(3, review=FITTED)
    paths = build_campaign(tmp_path, params, done=2, through="proposals")
    fitted = artifacts.read_proposals(paths.proposals("b02")).fitted(0.5)
    assert fitted is not None
    assert fitted.found == "b01"
    first, second = shown(status_text(paths, params))
    # By hand, of the table in builders_campaign: 6 objects and 3 units of T.
    nothing_known = "shown from a score of 0.5, because nothing is known of it yet"
    assert first == f"  b01: {nothing_known}; it saved 50.0 %"
    saving = f"{100 * (fitted.expected_saving or 0):.1f} %"
    words = f"which should save {saving} of the time, judged by b01"
    assert second == f"  b02: shown from a score of {fitted.score:g}, {words}"
    fixed = small_params(3, review={"score_threshold": 0.3})
    assert "fitted" not in status_text(paths, fixed)


def test_damaged_thresholds_are_named(tmp_path: Path) -> None:
    params = small_params(2, review=FITTED)
    for damage in ([{"score": 3}], [5], 5):
        paths = build_campaign(tmp_path / str(damage), params)
        content = read_json(paths.proposals("b01"))
        write_json(paths.proposals("b01"), {**content, "thresholds": damage})
        text = status_text(paths, params)
        assert "data/proposals/b01.json, at thresholds: not those that boxloop writes" in text
        assert rows_of(text)["b01"] == "done"


def test_a_review_s_iou_that_is_not_accounted_has_no_saving(tmp_path: Path) -> None:
    params = small_params(2, review={**FITTED, "iou_threshold": 0.6})
    paths = build_campaign(tmp_path, params)
    (line,) = shown(status_text(paths, params))
    assert line == "  b01: shown from a score of 0.5, because nothing is known of it yet"


def test_the_work_ahead_counts_images_that_came_with_labels(tmp_path: Path) -> None:
    params = small_params(4, dataset={"labels": "trusted"}, review={"annotator": "fiftyone"})
    paths = build_campaign(tmp_path, params, done=3)
    came = {f"came{i:02d}": Boxes.build([(0, 0, 10, 10)], ["cat"]) for i in range(40)}
    labeled = [artifacts.read_labeled(paths.labeled(f"b0{i}")) for i in range(3)]
    for key, of in [
        ("empty", LabeledSet(CLASSES, (), {})),
        *zip(params.iterations, labeled, strict=False),
    ]:
        artifacts.write_labeled(paths.labeled(key), replace(of, boxes={**came, **of.boxes}))
    done = [artifacts.read_workload(paths.workload(f"b0{i}")) for i in range(3)]
    wanted = outlook_lines(done, [2], params, 40)
    assert wanted != outlook_lines(done, [2], params)
    assert "\n".join(wanted) in status_text(paths, params)


def test_the_work_ahead_is_less_by_what_is_submitted(tmp_path: Path) -> None:
    params = people_params()
    paths = build_campaign(tmp_path, params, done=1, through="proposals", annotator="fiftyone")
    done = [artifacts.read_workload(paths.workload("b00"))]
    sizes = [len(artifacts.read_batch(paths.batch(key)).image_ids) for key in params.iterations]
    submit_some(paths, "b01", ["img03"], 1)
    (wanted,) = outlook_lines(done, sizes[1:], params, 0, [1, *[0] * (len(sizes) - 2)])
    assert "of which 1 image is labeled" in wanted
    assert wanted in status_text(paths, params)


def test_how_the_first_batch_counts(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params, done=1)
    drawn = artifacts.read_workload(paths.workload("b00"))
    assert "the first batch is labeled from scratch." in status_text(paths, params)
    corrected = replace(drawn, detector="zero-shot")
    assert first_batch_in_words(corrected) == "counts as drawn from scratch"
    given = replace(drawn, images=0, objects=0, given_images=2, given_objects=5)
    assert first_batch_in_words(given) == "counts nowhere: its labels were given"
