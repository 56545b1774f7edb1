"""Where a campaign stands, told from its files alone and at once: no torch, no MLflow, no DVC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.submissions import parse_time, submission_files, take_over
from boxloop.core.types import SIMULATED, Batch
from boxloop.core.workload import BatchWorkload, find_cost_model, total
from boxloop.errors import ArtifactError
from boxloop.files import read_json
from boxloop.params import Params
from boxloop.terminal import percent

_T = TypeVar("_T")


class Step(IntEnum):
    """The stage that is due in a turn of the loop, in the order in which they run."""

    BATCH = 0
    TRAIN = 1
    PROPOSE = 2
    REVIEW = 3
    MERGE = 4
    ACCOUNT = 5
    DONE = 6


_IN_WORDS = {
    Step.BATCH: "no images assigned yet",
    Step.TRAIN: "training is next",
    Step.PROPOSE: "detector is trained, proposing is next",
    Step.REVIEW: "proposals wait for review",
    Step.MERGE: "reviewed, merging is next",
    Step.ACCOUNT: "labeled, accounting is next",
    Step.DONE: "done",
}


@dataclass(frozen=True)
class Turn:
    """Where one iteration stands.

    Attributes:
        key: of the iteration.
        step: the stage that is due.
        images: images of its batch; None where it has no batch yet.
        objects: its final boxes; None where it is not reviewed.
        workload: its edits; None where they are not accounted.
        damaged: whether one of its files cannot be read.
        submitted: images of it that people have submitted.
    """

    key: str
    step: Step
    images: int | None = None
    objects: int | None = None
    workload: BatchWorkload | None = None
    damaged: bool = False
    submitted: int = 0


def status_text(paths: CampaignPaths, params: Params) -> str:
    """Which stage every iteration is at, what is saved so far, and the next command.

    A missing or damaged file is no failure here: it is named, with the way out.

    Args:
        paths: where the campaign's files are.
        params: names the iterations.
    """
    notes = _Notes(paths)
    images = notes.read(paths.images, artifacts.read_images)
    journal = _journal(paths, notes)
    turns = [_turn(paths, params, key, journal, notes) for key in params.iterations]
    if images is None and not notes.lines and all(t.step is Step.BATCH for t in turns):
        return "Nothing has been run yet.\n\nNext: dvc repro"
    _check_labeled(paths, turns, notes)
    known = None if images is None else len(images)
    parts = [_summary(turns, known), _table(turns), _saved(turns, params)]
    if notes.lines:
        parts.append("Take note:\n" + "\n".join(f"- {line}" for line in notes.lines))
    if notes.damaged:
        parts.append("Next: bring the damaged files back, then dvc repro")
    else:
        stale = bool(notes.lines) or images is None
        people = params.review.annotator != SIMULATED
        parts.append(_next(paths, turns, known, stale=stale, people=people))
    return "\n\n".join(part for part in parts if part)


class _Notes:
    """What was found wrong, and the readers that find it."""

    def __init__(self, paths: CampaignPaths) -> None:
        self._paths = paths
        self.lines: list[str] = []

        self.damaged: set[Path] = set()

    def add(self, line: str) -> None:
        """Notes a sentence, once."""
        if line not in self.lines:
            self.lines.append(line)

    def name(self, path: Path) -> str:
        """A path as the person at the terminal would type it."""
        return path.relative_to(self._paths.root).as_posix()

    def read(self, path: Path, reader: Callable[[Path], _T]) -> _T | None:
        """What a file holds; None where it is missing, or damaged, which is noted."""
        if not path.exists():
            return None
        try:
            return reader(path)
        except ArtifactError as error:
            tool = "git checkout" if path.parent == self._paths.reviews else "dvc checkout --force"
            fault = str(error).removeprefix(f"{self._paths.root.as_posix()}/")
            self.add(f"{fault}; '{tool} {self.name(path)}' brings the last good one back")
            self.damaged.add(path)
            return None


_Content = dict[str, Any]
"""A file that holds boxes, read without the full check that its own stage makes: a campaign's files
may be large, and status is to answer at once."""


def _content(path: Path, kind: str) -> _Content:
    content = read_json(path)
    wanted = f"boxloop/{kind}@1"
    if not isinstance(content, dict) or content.get("format") != wanted:
        raise ArtifactError(f"{path} is not a file of format {wanted}")
    boxes = content.get("boxes")
    if not isinstance(boxes, dict) or not all(isinstance(v, list) for v in boxes.values()):
        raise ArtifactError(f"{path}, at boxes: must hold a list for each image")
    return content


def _times(path: Path) -> tuple[_Content, dict[str, datetime]]:
    """A file of corrections, and when each of its images was submitted (a simulation: never)."""
    content = _content(path, "corrections")
    finished, submitted = content.get("finished"), content.get("submitted", {})
    try:
        moments = {i: submitted.get(i, finished) for i in content["boxes"]}
        times = {i: parse_time(text) for i, text in moments.items() if text is not None}
    except (AttributeError, TypeError, ValueError):
        raise ArtifactError(f"{path}, at finished or submitted: must hold times") from None
    return content, times


def _journal(paths: CampaignPaths, notes: _Notes) -> dict[str, datetime]:
    """When each image was submitted last, by people."""
    newest: dict[str, datetime] = {}
    for path in submission_files(paths.reviews):
        for image_id, when in (notes.read(path, _times) or ({}, {}))[1].items():
            newest[image_id] = max(when, newest.get(image_id, when))
    return newest


def _turn(
    paths: CampaignPaths, params: Params, key: str, journal: Mapping[str, datetime], notes: _Notes
) -> Turn:
    batch = notes.read(paths.batch(key), artifacts.read_batch)
    if batch is None:
        return Turn(key, Step.BATCH, damaged=paths.batch(key) in notes.damaged)
    offered = notes.read(paths.proposals(key), lambda path: _content(path, "proposals"))
    made = notes.read(paths.corrections(key), _times)
    workload = notes.read(paths.workload(key), artifacts.read_workload)
    proposals = None if offered is None else offered["boxes"]
    corrections = None if made is None else made[0]["boxes"]
    for path, boxes in ((paths.proposals(key), proposals), (paths.corrections(key), corrections)):
        _check_images(batch, path, paths.batch(key), boxes, notes)
    if made is not None:
        _check_newest(paths, key, made[1], journal, notes)
    objects = None if corrections is None else sum(map(len, corrections.values()))
    if workload is not None:
        workload = _checked(workload, paths, params, batch, objects, notes)
    present = (
        paths.detector(key).is_file(),
        proposals is not None,
        corrections is not None,
        paths.labeled(key).is_file(),
        workload is not None,
    )
    step = Step(Step.TRAIN + (present.index(False) if False in present else len(present)))
    files = {paths.proposals(key), paths.corrections(key), paths.workload(key)}
    damaged = bool(files & notes.damaged)
    submitted = sum(image_id in journal for image_id in batch.image_ids)
    return Turn(key, step, len(batch.image_ids), objects, workload, damaged, submitted)


def _check_newest(
    paths: CampaignPaths,
    key: str,
    made: Mapping[str, datetime],
    journal: Mapping[str, datetime],
    notes: _Notes,
) -> None:
    """Whether the journal has grown since DVC ran the stage: it does not watch that folder."""
    newer = sum(image_id in journal and journal[image_id] > when for image_id, when in made.items())
    if newer:
        notes.add(
            f"{notes.name(paths.reviews)}/ holds newer labels of {newer} of the {len(made)} images"
            f" in {notes.name(paths.corrections(key))}: '{take_over(key)}' brings them in"
        )


def _check_images(
    batch: Batch, path: Path, batch_path: Path, boxes: dict[str, Any] | None, notes: _Notes
) -> None:
    if boxes is None or set(boxes) == set(batch.image_ids):
        return
    shared = len(set(boxes) & set(batch.image_ids))
    notes.add(
        f"{notes.name(path)} is of other images than {notes.name(batch_path)} lists now"
        f" ({shared} of {len(batch.image_ids)} are in both): 'dvc repro' goes through them again"
    )


def _checked(
    workload: BatchWorkload,
    paths: CampaignPaths,
    params: Params,
    batch: Batch,
    objects: int | None,
    notes: _Notes,
) -> BatchWorkload | None:
    """The workload, or None (and a note) where it is not about the files that are there."""
    name = notes.name(paths.workload(batch.id))
    missing = [
        iou
        for iou in params.account.iou_thresholds
        if (workload.score_threshold, iou) not in workload.ledgers
    ]
    if missing:
        notes.add(f"{name} was not accounted at IoU {missing[0]:g}: 'dvc repro' does that")
        return None
    stale = workload.images != len(batch.image_ids) or objects not in (None, workload.objects)
    if workload.batch != batch.id or stale:
        notes.add(f"{name} is of other corrections than are there now: 'dvc repro' counts again")
        return None
    return workload


def _check_labeled(paths: CampaignPaths, turns: list[Turn], notes: _Notes) -> None:
    """Looks into the newest labeled set: it must be made of all batches up to its own."""
    keys = [turn.key for turn in turns]
    newest = next((key for key in reversed(keys) if paths.labeled(key).exists()), None)
    if newest is None:
        return
    content = notes.read(paths.labeled(newest), read_json)
    if content is None:
        return
    batches = content.get("batches") if isinstance(content, dict) else None
    expected = keys[: keys.index(newest) + 1]
    if batches != expected:
        notes.add(
            f"{notes.name(paths.labeled(newest))} is not made of batches {', '.join(expected)}:"
            " 'dvc repro' merges them again"
        )


# --- what the person reads ------------------------------------------------------------------------


def _summary(turns: list[Turn], images: int | None) -> str:
    reviewed = [turn for turn in turns if turn.objects is not None]
    labeled = sum(turn.images or 0 for turn in reviewed)
    objects = sum(turn.objects or 0 for turn in reviewed)
    of_all = "" if images is None else f" of {images}"
    return (
        f"{labeled}{of_all} images are labeled, with {objects} objects,"
        f" in {len(reviewed)} of {len(turns)} batches."
    )


def _table(turns: list[Turn]) -> str:
    width = max(5, *(len(turn.key) for turn in turns))
    lines = [f"{'Batch':<{width}}  Images  Objects  State"]
    begun = True
    for turn in turns:
        images = "-" if turn.images is None else str(turn.images)
        objects = "-" if turn.objects is None else str(turn.objects)
        if turn.damaged:
            state = "has a damaged file, see below"
        elif turn.objects is not None and Step.BATCH < turn.step <= Step.REVIEW:
            # A changed parameter has the detector trained anew; the labels stay.
            state = f"labeled; the stage '{turn.step.name.lower()}' is due again"
        elif turn.step is Step.REVIEW and turn.submitted:
            state = f"{turn.submitted} of {turn.images} images submitted"
        elif turn.step is Step.TRAIN and not begun:
            state = "waits for the batch before it"
        else:
            state = _IN_WORDS[turn.step]
        lines.append(f"{turn.key:<{width}}  {images:>6}  {objects:>7}  {state}")
        begun = begun and turn.step is Step.DONE
    return "\n".join(lines)


def _saved(turns: list[Turn], params: Params) -> str:
    workloads = []
    for turn in turns:
        if turn.workload is None:
            break
        workloads.append(turn.workload)
    if not workloads:
        return ""
    if len(workloads) == 1:
        return "Nothing is saved yet: the first batch is labeled from scratch."
    lines = [f"Saved so far, by {len(workloads)} batches:"]
    model = find_cost_model(params.account.cost_model)
    for iou in params.account.iou_thresholds:
        t = total(workloads, iou, cost_model=model)
        lines.append(
            f"  IoU {iou:<4g} {percent(t.wt_reduction):>7} of the time (WT),"
            f" {percent(t.wb_reduction):>7} of the boxes (WB)"
        )
    return "\n".join(lines)


def _next(
    paths: CampaignPaths, turns: list[Turn], images: int | None, *, stale: bool, people: bool
) -> str:
    due = next((turn for turn in turns if turn.step is not Step.DONE), None)
    if paths.study is not None:
        if due is not None or stale:
            return f"Next: the study in {paths.study} goes on with this cell"
        return (
            "Every batch is done. 'boxloop report . metrics.json data/report' makes a page of it."
        )
    if due is not None:
        waiting = (due.images or 0) - due.submitted
        if due.step is Step.REVIEW and people and waiting:
            images_wait = f"{waiting} image{'s wait' if waiting > 1 else ' waits'}"
            return f"Next: boxloop review {due.key}   ({images_wait} for a person)"
        review = "takes over the labels" if people else "goes on with the review"
        words = {
            Step.BATCH: "prepares the batches",
            Step.REVIEW: f"{review} of {due.key}",
        }.get(due.step, f"goes on with '{due.step.name.lower()}' of {due.key}")
        return f"Next: dvc repro   ({words})"
    if stale or not paths.metrics.exists():
        return "Next: dvc repro   (brings everything up to date)"
    line = f"Every batch is done. Results: {paths.report / 'report.html'}"
    rest = (images or 0) - sum(turn.images or 0 for turn in turns)
    if rest > 0:
        line += (
            f"\n{rest} images are in no batch: list more iterations in params.yaml, then dvc repro"
        )
    return line
