"""Read where each turn of a campaign stands, from its files alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

from boxloop.campaign import (
    artifacts,
    class_changes,
    class_names,
    crop_classes,
    existing,
    given,
    merged,
    neighbours,
    old_classes,
    screening,
)
from boxloop.campaign.claims import Claim, claims_of
from boxloop.campaign.class_changes import ClassChange
from boxloop.campaign.newer import in_words
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.quick_reading import Made, read_boxes, read_claims, read_made
from boxloop.campaign.schemas import fault_of
from boxloop.campaign.submissions import named_as_today, submission_files
from boxloop.core.existing import asked_model
from boxloop.core.types import Batch, FittedThreshold, ImageSet
from boxloop.core.workload import BatchWorkload
from boxloop.errors import ArtifactError, MergeConflictError, NewerFormatError
from boxloop.params import EMPTY, FITTED, Params

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
        submitted: images of it whose labels by people count today.
        mended: what neighbours' labels changed in its proposals, in words.
        classes: why they have the classes of labeled crops, in words.
        missed: images of it with planted errors that were missed, and are not looked at again.
        rechecked: whether images of it had a second look.
        newer: images of it whose labels in the journal are newer than what was put together.
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
    classes: str = ""
    missed: int = 0
    rechecked: bool = False
    newer: int = 0


class Standing:
    """Read where each turn stands, and note what is wrong with its files.

    Attributes:
        notes: sentences about what is wrong, each once.
        stale: whether one of them tells of what 'dvc repro' brings up to date.
        behind: whether 'dvc repro' has to run before people go on, wherever they are.
        damaged: files that cannot be read.
        newer: whether a newer boxloop wrote one of these.
        renamed: what is to be put together anew because classes have changed.
        outdated: the batch whose labeled set is older than what it is made of; empty where none is.
        images: number of images; None where it is not known.
        turns: where each turn stands.
        given: number of images that came with labels, where those are trusted.
        outside: number of images that people labeled, and that are in no batch.
        incomplete: images that are not complete for a class, by class.
    """

    def __init__(self, paths: CampaignPaths, params: Params) -> None:
        self._paths, self._params = paths, params
        self.notes: list[str] = []
        self.stale = False
        self.behind = False
        self.damaged: set[Path] = set()
        self.newer = False
        self.renamed, self.outdated = old_classes.Renamed(), ""
        images = self._read(paths.images, artifacts.read_images)
        self._image_set = images
        self.images = None if images is None else len(images)
        self._now = None if images is None else {ref.id: ref.digest for ref in images.images}
        # Images that are not complete for a class, by class.
        self.incomplete: dict[str, list[str]] = {}
        for line in class_names.stale(paths, params.dataset, images):
            self._note(line)
            self.behind = True
        self._batches = {key: self._read_batch(key) for key in params.iterations}
        self._made = {path: self._read(path, read_made) for path in self._corrections()}
        self._back: list[str] = []
        self._missed: dict[str, bool] = {}  # whether planted errors are in an image's labels
        self._counting: frozenset[str] | None = None  # images whose labels by people count today
        # When people submitted each image last, of what counts.
        self._journal = {} if images is None else self._read_journal(images)
        self.turns = [self._turn(key) for key in params.iterations]
        trusted = params.dataset.labels == "trusted"
        labels = self._read(paths.labeled(EMPTY), artifacts.read_labeled) if trusted else None
        self.given = 0 if labels is None else len(labels)
        inside = {i for batch in self._batches.values() if batch for i in batch.image_ids}
        inside |= {*labels.boxes} if labels is not None else set()
        self.outside = len((self._counting or frozenset()) & {*(self._now or ())} - inside)
        self._note_unshown(images)

    def _note_unshown(self, images: ImageSet | None) -> None:
        """Note imported boxes that nobody is shown: their pixels are not in the dataset now."""

        def say(line: str) -> None:
            self._note(line.replace(f"{self._paths.root.as_posix()}/", ""), stale=False)

        if images is None:
            return
        # The stages name what is damaged here.
        with suppress(ArtifactError):
            existing.by_turn(self._paths, self._params, {}, say)
        for turn in self.turns:
            batch = self._batches[turn.key]
            if batch is not None and batch.given is not None and turn.step <= Step.REVIEW:
                with suppress(ArtifactError):
                    given.read(self._paths, batch, 0.0, images, say)

    def _read_batch(self, key: str) -> Batch | None:
        path = self._paths.batch(key)
        batch = self._read(path, artifacts.read_batch)
        if batch is not None and self._now is not None and not set(batch.image_ids) <= {*self._now}:
            self._note(
                f"{self._name(path)} lists images that are not in {self._name(self._paths.images)}"
                " now: 'dvc repro' cuts the batches anew"
            )
            self.behind = True
        return batch

    def _corrections(self) -> list[Path]:
        """List what was put together of any batch, listed today or not: its labels count."""
        folder = self._paths.corrections(EMPTY).parent
        try:
            return submission_files(folder)
        except ArtifactError as error:
            self.note_damage(folder, error)
            return []

    def _read_journal(self, images: ImageSet) -> dict[str, datetime]:
        try:
            files = submission_files(self._paths.reviews)
        except ArtifactError as error:
            self.note_damage(self._paths.reviews, error)
            return {}
        changes = self._read(self._paths.reviews, class_changes.read) or ()
        claims = [
            claim
            for path in files
            for claim in self._read(path, lambda path: read_claims(path, changes)) or []
        ]
        # A sentence that sends people to a batch names the one that the image is in today.
        keys = {i: key for key, batch in self._batches.items() if batch for i in batch.image_ids}
        claims = [replace(claim, batch=keys.get(claim.image_id, claim.batch)) for claim in claims]
        listed = self._params.dataset.classes or images.classes
        newest = max((claim.when for claim in claims), default=None)
        if line := class_changes.unfinished(changes, listed, newest):
            self._note(line, stale=False)
        verdict = screening.judge(claims, images)
        self.incomplete = screening.by_class(verdict.incomplete, images.classes)
        for note in verdict.notes:
            line = note.replace(f"{self._paths.root.as_posix()}/", "")
            self._note(line, stale=note not in verdict.lasting)
        self._counting = self._judge_all(claims, changes, images)
        result: dict[str, datetime] = {}
        for claim in claims:
            if (claim.file, claim.image_id) not in verdict.dropped:
                image_id = verdict.renamed.get((claim.file, claim.image_id), claim.image_id)
                if claim.when >= result.get(image_id, claim.when):
                    self._missed[image_id] = claim.missed
                result[image_id] = max(claim.when, result.get(image_id, claim.when))
        return result

    def _judge_all(
        self, claims: list[Claim], changes: Sequence[ClassChange], images: ImageSet
    ) -> frozenset[str]:
        """Return the images whose labels count today, with what DVC holds, as a stage does."""
        known = list(claims)
        made = {path: item.by_people for path, item in self._made.items() if item is not None}
        for path, held in made.items():
            if held is not None:
                known += claims_of(path, named_as_today(held, changes), in_journal=False)
        verdict = screening.judge(known, images)
        self._back = old_classes.taken_back(self._paths, verdict.hidden, made, changes)
        kept = {(c.file, c.image_id) for c in known} - verdict.dropped
        return frozenset(verdict.renamed.get(row, row[1]) for row in kept)

    def _is_of_today(self, batch: Batch, made: Made) -> bool:
        """Return whether corrections are of a batch's images as they are, and count."""
        if made.images != set(batch.image_ids):
            return False
        if self._counting is None or self._now is None or made.by_people is None:
            return True
        now = self._now
        return self._counting >= made.images and all(
            now.get(image_id) == digest for image_id, digest in made.by_people.digests.items()
        )

    def _note(self, line: str, *, stale: bool = True) -> None:
        self.stale = self.stale or stale
        if line not in self.notes:
            self.notes.append(line)

    def _name(self, path: Path) -> str:
        """Return a path as the person at the terminal would type it."""
        return path.relative_to(self._paths.root).as_posix()

    def _read(self, path: Path, reader: Callable[[Path], _T]) -> _T | None:
        """Read a file; None where it is missing, or damaged, which is noted."""
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # it may be there, in a folder that cannot be entered
            reason = f"{path.parent} cannot be looked into ({error.strerror or error})"
            self.note_damage(path, ArtifactError(f"{reason}: get access to it (chmod, chown)"))
            return None
        try:
            return reader(path)
        except (NewerFormatError, MergeConflictError) as error:
            self.note_damage(path, error)
        except ArtifactError as error:
            tool = (
                "git checkout"
                if self._paths.reviews in (path, path.parent)
                else "dvc checkout --force"
            )
            way = f"'{tool} {self._name(path)}' brings the last good one back"
            self.note_damage(path, error, f"; {way}")
        return None

    def note_damage(self, path: Path, error: ArtifactError, way: str = "") -> None:
        """Note a file, or a folder of files, that cannot be read, and the way out."""
        fault = fault_of(error) if way else str(error)
        self._note(f"{fault}{way}".replace(f"{self._paths.root.as_posix()}/", ""))
        self.damaged.add(path)
        self.newer = self.newer or isinstance(error, NewerFormatError)

    def _turn(self, key: str) -> Turn:
        paths = self._paths
        batch = self._batches[key]
        if batch is None:
            return Turn(key, Step.BATCH, damaged=paths.batch(key) in self.damaged)
        offered = self._read(paths.proposals(key), lambda path: read_boxes(path, "proposals"))
        made = self._made.get(paths.corrections(key))
        workload = self._read(paths.workload(key), artifacts.read_workload)
        for path, content in (
            (paths.proposals(key), None if offered is None else offered["boxes"]),
            (paths.corrections(key), None if made is None else made.images),
        ):
            if content is not None:
                self._check_images(key, batch, path, content)
        newer = 0 if made is None else self._check_newest(key, made.times)
        proposed = offered is not None and set(offered["boxes"]) == set(batch.image_ids)
        told = None if offered is None else offered.get("digests")
        now, told = self._now or {}, told if isinstance(told, dict) else {}
        if any(now.get(image_id, digest) != digest for image_id, digest in told.items()):
            self._note(
                f"{self._name(paths.proposals(key))} is for other pixels than its images have now:"
                " 'dvc repro' proposes anew"
            )
            proposed = False
        if made is not None and not self._is_of_today(batch, made):
            made = workload = None  # its batch waits, as one that nobody has reviewed does
        reviewed = None if made is None else made.reviewed
        if workload is not None and not self._is_current(workload, batch, reviewed):
            workload = None
        present = (
            paths.detector(key).is_file(),
            proposed,
            made is not None,
            paths.labeled(key).is_file(),
            workload is not None,
            False,
        )
        step = Step(Step.TRAIN + present.index(False))
        files = {paths.proposals(key), paths.corrections(key), paths.workload(key)}
        submitted = len({*batch.image_ids} & (self._counting or set()))
        damaged = bool(files & self.damaged)
        return Turn(
            key,
            step,
            len(batch.image_ids),
            None if made is None else made.objects,
            workload,
            self._fitted(key, offered),
            damaged,
            submitted,
            "" if offered is None else str(offered.get("detector", "")),
            neighbours.recorded(None if offered is None else offered.get("neighbours")),
            crop_classes.recorded(None if offered is None else offered.get("crops")),
            sum(self._missed.get(image_id, False) for image_id in batch.image_ids),
            rechecked=made is not None and made.rechecked,
            newer=newer,
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

    def _check_newest(self, key: str, times: Mapping[str, datetime]) -> int:
        """Count images with newer labels in the journal, and note them: DVC does not watch it."""
        newer = sum(self._journal.get(image_id, when) > when for image_id, when in times.items())
        if newer:
            self._note(in_words(self._paths, key, newer, len(times)))
        return newer

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
        counted = (workload.batch, workload.labeled_images)
        total_objects = workload.objects + workload.given_objects
        if counted == (batch.id, len(batch.image_ids)) and objects in (None, total_objects):
            return True
        self._note(f"{name} is of other corrections than are there now: 'dvc repro' counts again")
        return False

    def check_labeled(self) -> None:
        """Look into the newest labeled set: it must be made of all batches up to its own.

        And into these: classes may have been renamed since.
        """
        keys = list(self._params.iterations)
        files = {key: self._made.get(self._paths.corrections(key)) for key in keys}
        made = {k: m.by_people for k, m in files.items() if m is not None and m.by_people}
        # One that waits for a person stops all that would be made anew after it.
        reviewed = [turn.key for turn in takewhile(lambda t: t.objects is not None, self.turns)]
        some = {key: made[key] for key in reviewed if key in made}
        lines, self.outdated = merged.check(self._paths, keys, made)
        if self._image_set is not None:
            self.renamed = old_classes.check(self._paths, keys, some, self._image_set, self._back)
        for line in (*self.renamed.lines, *lines):
            self._note(line.replace(f"{self._paths.root.as_posix()}/", ""))
