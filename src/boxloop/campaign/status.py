"""Tell where a campaign stands from its files alone: no torch, no MLflow, no DVC."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

from boxloop.campaign import (
    artifacts,
    class_changes,
    class_names,
    mending,
    neighbours,
    screening,
)
from boxloop.campaign.delivered import model_line
from boxloop.campaign.outlook import outlook_lines
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.quick_reading import read_boxes, read_claims, read_times
from boxloop.campaign.submissions import submission_files, take_over
from boxloop.campaign.thresholds import in_words
from boxloop.core.existing import asked_model
from boxloop.core.labeled_set import turns_of
from boxloop.core.threshold import NO_PROPOSALS
from boxloop.core.types import SIMULATED, Batch, FittedThreshold, ImageSet
from boxloop.core.workload import BatchWorkload, find_cost_model, total
from boxloop.errors import ArtifactError
from boxloop.params import EMPTY, FITTED, Params
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
        fitted: the threshold that its proposals are shown from, where it was fitted.
        detector: what made its proposals, where there are any.
        damaged: whether one of its files cannot be read.
        submitted: images of it that people have submitted.
        mended: what neighbours' labels changed in its proposals, in words.
    """

    key: str
    step: Step
    images: int | None = None
    objects: int | None = None
    workload: BatchWorkload | None = None
    fitted: FittedThreshold | None = None
    damaged: bool = False
    submitted: int = 0
    detector: str = ""
    mended: str = ""


def status_text(paths: CampaignPaths, params: Params) -> str:
    """Tell which stage every turn is at, what is saved so far, and the next command.

    A missing or damaged file is no failure here: it is named, with the way out.
    """
    found, cut = _Reader(paths, params), mending.find(paths)
    turns, known = found.turns, found.images
    if known is None and not found.notes and not cut and all(t.step is Step.BATCH for t in turns):
        return "Nothing has been run yet.\n\nNext: dvc repro"
    found.check_labeled()
    known = None if known is None else known - found.given
    parts = [_summary(turns, known, found.given), _table(turns)]
    parts += [_shown(turns, params), _mended(turns), _saved(turns, params), _ahead(turns, params)]
    parts.append(model_line(paths, _newest(turns)))
    notes = [*map(mending.in_words, cut), *found.notes]
    if notes:
        parts.append("Take note:\n" + "\n".join(f"- {line}" for line in notes))
    parts.append(screening.as_list(found.incomplete))
    if cut:
        parts.append(f"Next: {mending.COMMAND}, then dvc repro")
    elif found.damaged:
        parts.append("Next: bring the damaged files back, then dvc repro")
    else:
        stale = bool(found.notes) or known is None
        people = params.review.annotator != SIMULATED
        parts.append(_next(paths, turns, known, stale=stale, people=people))
    return "\n\n".join(part for part in parts if part)


class _Reader:
    """Read where each turn stands, and note what is wrong with its files.

    Attributes:
        notes: sentences about what is wrong, each once.
        damaged: files that cannot be read.
        images: number of images; None where it is not known.
        turns: where each turn stands.
        given: number of images that came with labels, where those are trusted.
        incomplete: images that are not complete for a class, by class.
    """

    def __init__(self, paths: CampaignPaths, params: Params) -> None:
        self._paths, self._params = paths, params
        self.notes: list[str] = []
        self.damaged: set[Path] = set()
        images = self._read(paths.images, artifacts.read_images)
        self.images = None if images is None else len(images)
        # Images that are not complete for a class, by class.
        self.incomplete: dict[str, list[str]] = {}
        for line in class_names.stale(paths, params.dataset, images):
            self._note(line)
        # When people submitted each image last, of what counts.
        self._journal = {} if images is None else self._read_journal(images)
        self.turns = [self._turn(key) for key in params.iterations]
        trusted = params.dataset.labels == "trusted"
        labels = self._read(paths.labeled(EMPTY), artifacts.read_labeled) if trusted else None
        self.given = 0 if labels is None else len(labels)

    def _read_journal(self, images: ImageSet) -> dict[str, datetime]:
        try:
            files = submission_files(self._paths.reviews)
        except ArtifactError as error:
            self._note(str(error))
            self.damaged.add(self._paths.reviews)
            return {}
        changes = self._read(self._paths.reviews, class_changes.read) or ()
        claims = [
            claim
            for path in files
            for claim in self._read(path, lambda path: read_claims(path, changes)) or []
        ]
        verdict = screening.judge(claims, images)
        self.incomplete = screening.by_class(verdict.incomplete, images.classes)
        for note in verdict.notes:
            self._note(note.replace(f"{self._paths.root.as_posix()}/", ""))
        result: dict[str, datetime] = {}
        for claim in claims:
            if (claim.file, claim.image_id) not in verdict.dropped:
                image_id = verdict.renamed.get((claim.file, claim.image_id), claim.image_id)
                result[image_id] = max(claim.when, result.get(image_id, claim.when))
        return result

    def _note(self, line: str) -> None:
        if line not in self.notes:
            self.notes.append(line)

    def _name(self, path: Path) -> str:
        """Return a path as the person at the terminal would type it."""
        return path.relative_to(self._paths.root).as_posix()

    def _read(self, path: Path, reader: Callable[[Path], _T]) -> _T | None:
        """Read a file; None where it is missing, or damaged, which is noted."""
        if not path.exists():
            return None
        try:
            return reader(path)
        except ArtifactError as error:
            tool = (
                "git checkout"
                if self._paths.reviews in (path, path.parent)
                else "dvc checkout --force"
            )
            fault = str(error).removeprefix(f"{self._paths.root.as_posix()}/")
            self._note(f"{fault}; '{tool} {self._name(path)}' brings the last good one back")
            self.damaged.add(path)
            return None

    def _turn(self, key: str) -> Turn:
        paths = self._paths
        batch = self._read(paths.batch(key), artifacts.read_batch)
        if batch is None:
            return Turn(key, Step.BATCH, damaged=paths.batch(key) in self.damaged)
        offered = self._read(paths.proposals(key), lambda path: read_boxes(path, "proposals"))
        made, times = self._read(paths.corrections(key), read_times) or (None, {})
        workload = self._read(paths.workload(key), artifacts.read_workload)
        for path, content in ((paths.proposals(key), offered), (paths.corrections(key), made)):
            if content is not None:
                self._check_images(key, batch, path, content["boxes"])
        self._check_newest(key, times)
        objects = None if made is None else sum(map(len, made["boxes"].values()))
        if workload is not None and not self._is_current(workload, batch, objects):
            workload = None
        present = (
            paths.detector(key).is_file(),
            offered is not None,
            made is not None,
            paths.labeled(key).is_file(),
            workload is not None,
            False,
        )
        step = Step(Step.TRAIN + present.index(False))
        files = {paths.proposals(key), paths.corrections(key), paths.workload(key)}
        submitted = sum(image_id in self._journal for image_id in batch.image_ids)
        damaged = bool(files & self.damaged)
        return Turn(
            key,
            step,
            len(batch.image_ids),
            objects,
            workload,
            self._fitted(key, offered),
            damaged,
            submitted,
            "" if offered is None else str(offered.get("detector", "")),
            neighbours.recorded(None if offered is None else offered.get("neighbours")),
        )

    def _fitted(self, key: str, offered: dict[str, Any] | None) -> FittedThreshold | None:
        """Return the threshold that was fitted for people, or for the simulated annotator."""
        review = self._params.review
        if offered is None:
            return None
        asked = asked_model(str(offered.get("detector"))) is not None
        if review.score_threshold != FITTED and not asked:
            return None
        try:
            rows = [FittedThreshold(**row) for row in offered.get("thresholds", [])]
            return next((f for f in rows if f.iou_threshold == review.iou_threshold), None)
        except (TypeError, ValueError):
            path = self._paths.proposals(key)
            self._note(f"{self._name(path)}, at thresholds: not those that boxloop writes")
            self.damaged.add(path)
            return None

    def _check_newest(self, key: str, times: Mapping[str, datetime]) -> None:
        """Note a journal that has grown since the stage: DVC does not watch that folder."""
        newer = sum(self._journal.get(image_id, when) > when for image_id, when in times.items())
        if newer:
            self._note(
                f"{self._name(self._paths.reviews)}/ holds newer labels of {newer} of the"
                f" {len(times)} images in {self._name(self._paths.corrections(key))}:"
                f" '{take_over(key)}' brings them in"
            )

    def _check_images(self, key: str, batch: Batch, path: Path, image_ids: Iterable[str]) -> None:
        given, wanted = set(image_ids), set(batch.image_ids)
        if given != wanted:
            self._note(
                f"{self._name(path)} is of other images than {self._name(self._paths.batch(key))}"
                f" lists now ({len(given & wanted)} of {len(wanted)} are in both): 'dvc repro' goes"
                " through them again"
            )

    def _is_current(self, workload: BatchWorkload, batch: Batch, objects: int | None) -> bool:
        """Return whether a workload is about the files that are there; note why not."""
        name = self._name(self._paths.workload(batch.id))
        for iou in self._params.account.iou_thresholds:
            if not workload.has(iou):
                self._note(f"{name} was not accounted at IoU {iou:g}: 'dvc repro' does that")
                return False
        counted = (workload.batch, workload.images + workload.given_images)
        total_objects = workload.objects + workload.given_objects
        if counted == (batch.id, len(batch.image_ids)) and objects in (None, total_objects):
            return True
        self._note(f"{name} is of other corrections than are there now: 'dvc repro' counts again")
        return False

    def check_labeled(self) -> None:
        """Look into the newest labeled set: it must be made of all batches up to its own."""
        keys = list(self._params.iterations)
        for i in reversed(range(len(keys))):
            path, expected = self._paths.labeled(keys[i]), keys[: i + 1]
            if path.exists():
                try:
                    batches = artifacts.labeled_batches(path)
                except ArtifactError as error:
                    # It names the file of the chain that is wrong, and the way out.
                    self._note(str(error).replace(f"{self._paths.root.as_posix()}/", ""))
                    return
                if turns_of(batches) != expected:
                    self._note(
                        f"{self._name(path)} is not made of batches {', '.join(expected)}:"
                        " 'dvc repro' merges them again"
                    )
                return


# --- what the person reads ------------------------------------------------------------------------


def _summary(turns: list[Turn], images: int | None, given: int) -> str:
    reviewed = [turn for turn in turns if turn.objects is not None]
    labeled = sum(turn.images or 0 for turn in reviewed)
    objects = sum(turn.objects or 0 for turn in reviewed)
    of_all = "" if images is None else f" of {images}"
    came = f" {given} more came with labels." if given else ""
    return (
        f"{labeled}{of_all} images are labeled, with {objects} objects,"
        f" in {len(reviewed)} of {len(turns)} batches.{came}"
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
            state = f"labeled; the step '{turn.step.name.lower()}' is due again"
        elif turn.step is Step.REVIEW and turn.submitted:
            state = f"{turn.submitted} of {turn.images} images submitted"
        elif turn.step is Step.TRAIN and not begun:
            state = "waits for the batch before it"
        else:
            state = _IN_WORDS[turn.step]
        lines.append(f"{turn.key:<{width}}  {images:>6}  {objects:>7}  {state}")
        begun = begun and turn.step is Step.DONE
    return "\n".join(lines)


def _shown(turns: list[Turn], params: Params) -> str:
    """Say from where on each batch's proposals are shown, and what that was expected to save."""
    lines = []
    for turn in turns:
        if turn.fitted is None or turn.fitted.found == NO_PROPOSALS:
            continue
        line = f"  {turn.key}: {in_words(turn.fitted, turn.detector)}"
        iou = params.review.iou_threshold
        if turn.workload is not None and turn.workload.has(iou):
            model = find_cost_model(params.account.cost_model)
            saved = turn.workload.saving(iou, model)
            line += f"; it saved {percent(saved)}"
        lines.append(line)
    return "\n".join(["Proposals, by the fitted score threshold:", *lines]) if lines else ""


def _mended(turns: list[Turn]) -> str:
    lines = [f"  {turn.key}: {turn.mended}" for turn in turns if turn.mended]
    return "\n".join(["Proposals, by labels of neighbours:", *lines]) if lines else ""


def _newest(turns: list[Turn]) -> str | None:
    """Return the last of the finished turns, which are the leading ones."""
    done = [turn.key for turn in itertools.takewhile(lambda t: t.step is Step.DONE, turns)]
    return done[-1] if done else None


def _saved(turns: list[Turn], params: Params) -> str:
    workloads = []
    for turn in turns:
        if turn.workload is None:
            break
        workloads.append(turn.workload)
    if not workloads:
        return ""
    if len(workloads) == 1:
        scratch = workloads[0].detector == EMPTY
        how = "is labeled from scratch" if scratch else "counts as drawn from scratch"
        return f"Nothing is saved yet: the first batch {how}."
    lines = [f"Saved so far, by {len(workloads)} batches:"]
    model = find_cost_model(params.account.cost_model)
    for iou in params.account.iou_thresholds:
        t = total(workloads, iou, cost_model=model)
        lines.append(
            f"  IoU {iou:<4g} {percent(t.wt_reduction):>7} of the time (WT),"
            f" {percent(t.wb_reduction):>7} of the boxes (WB)"
        )
    return "\n".join(lines)


def _ahead(turns: list[Turn], params: Params) -> str:
    done = [turn.workload for turn in takewhile(lambda turn: turn.workload, turns)]
    sizes = takewhile(bool, (turn.images for turn in turns[len(done) :]))
    return "\n".join(outlook_lines([w for w in done if w], [n for n in sizes if n], params))


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
