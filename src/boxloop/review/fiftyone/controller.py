"""Track one session's progress, check its boxes, and submit them.

The App's panel calls it, and so do the tests; it needs no FiftyOne.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boxloop.campaign import submissions
from boxloop.campaign.at_work import changing
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.second_looks import time_of
from boxloop.core.rechecking import as_reviewed
from boxloop.core.types import Boxes, Corrections
from boxloop.core.workload import BatchWorkload, Totals, find_cost_model, total
from boxloop.errors import UserError
from boxloop.params import EMPTY, AccountParams
from boxloop.review.fiftyone.below import count_kept
from boxloop.review.fiftyone.live_cost import all_seconds, panel_extras
from boxloop.review.fiftyone.live_workload import OtherBatches, ReviewedWorkload, pending, summarize
from boxloop.review.fiftyone.looks import noted, writer
from boxloop.review.fiftyone.qa import marked
from boxloop.review.fiftyone.trial_results import Planted, hints, settle, trial_lines
from boxloop.review.validation import Problem, RawBox, check_image

if TYPE_CHECKING:
    from boxloop.review.fiftyone.review_dataset import ReviewDataset, ReviewedImage
    from boxloop.review.fiftyone.shown_proposals import ShownProposals

KIND = "fiftyone"
AUTOSAVE_SECONDS = 3.0
"""The App writes edits to the database at most this long after they were made."""

NOT_REVIEWED = "is not marked as reviewed yet"

_MARGIN_SECONDS = 0.5
_MOST_FIRST_SECONDS = 60.0
_SLACK_SECONDS = 5.0


class ReviewController:
    """The state of one session, and what its reviewer can do."""

    def __init__(
        self,
        dataset: ReviewDataset,
        folder: Path,
        *,
        others: OtherBatches,
        account: AccountParams,
        versions: Mapping[str, str],
        known: Callable[[], Sequence[Corrections]],
        idle_seconds: float,
        on_submit: Callable[[str], None] = print,
    ) -> None:
        """Start with nothing submitted.

        Args:
            dataset: where the boxes are edited.
            folder: the journal, to which the submission goes.
            others: workloads of the other batches.
            account: how the workload is counted.
            versions: of the programs that take part.
            known: returns what people have submitted up to now; the same list while it is the same.
            idle_seconds: a longer pause is cut off at this length.
            on_submit: called with the summary, once, when the batch is submitted.
        """
        self.dataset = dataset
        self.assignment = dataset.assignment
        self.submitted: str | None = None  # the summary
        self._folder, self._paths = folder, CampaignPaths(folder.parent)
        self._others = others
        self._account = account
        self._versions = versions
        self._known = known
        self._idle_seconds = idle_seconds
        self._add = writer(self.assignment)
        self._on_submit = on_submit
        self._lock = threading.Lock()
        self._last_activity = 0.0
        self._left = _MOST_FIRST_SECONDS  # active seconds that may still count
        self._submission_failed = False
        # Time and boxes of what is in the journal, where not all that was to be submitted is.
        self._appended: dict[str, tuple[str, Boxes]] = {}
        self._read: tuple[object, list[ReviewedImage]] | None = None
        self._checks: dict[str, _Check] = {}
        self._colleagues: tuple[Sequence[Corrections], dict[str, ReviewedWorkload]] | None = None

    # --- while people work ------------------------------------------------------------------------

    def images(self) -> list[ReviewedImage]:
        """Return every image as it is now; cached until something changes."""
        version = self.dataset.version()
        if self._read is None or self._read[0] != version:
            self._read = (version, self.dataset.read())
        return self._read[1]

    def set_reviewed(self, sample_ids: Iterable[str], reviewed: bool = True) -> None:
        """Set images as reviewed, or as not."""
        with self._lock:
            own = {image.sample_id for image in self.images()}
            self.dataset.set_reviewed([i for i in sample_ids if i in own], reviewed)
            self._read = None

    def add_seconds(self, seconds: Mapping[str, float]) -> None:
        """Add active seconds by sample id, at most those since the last call."""
        now = time.monotonic()
        with self._lock:
            own = {image.sample_id for image in self.images()}
            if self._last_activity:  # one slack, however many windows send
                self._left = min(self._left, _SLACK_SECONDS) + now - self._last_activity
            self._last_activity = now
            valid = {}
            for sample_id, value in seconds.items():
                if sample_id in own and _is_number(value) and min(value, self._left) > 0:
                    valid[sample_id] = float(min(value, self._left))
                    self._left -= valid[sample_id]
            if valid:
                self.dataset.add_seconds(valid)
                self._read = None

    def next_waiting(self, sample_id: str | None) -> str | None:
        """Return the next image to review, cyclically; None if none waits."""
        images = self.images()
        ids = [image.sample_id for image in images]
        start = ids.index(sample_id) + 1 if sample_id in ids else 0
        rotated = images[start:] + images[:start]
        waiting = (i.sample_id for i in rotated if not i.reviewed and i.sample_id != sample_id)
        return next(waiting, None)

    def overview(self) -> dict[str, Any]:
        """Return everything that the App's panel shows, ready for JSON."""
        with self._lock:
            images = self.images()
        done = [image for image in images if image.reviewed]
        checks = {image.image_id: self._check(image) for image in done}
        workloads = {i: c.workload for i, c in checks.items() if c.workload is not None}
        own = ReviewedWorkload.sum(workloads.values(), self._account.iou_thresholds)
        so_far = self._so_far(workloads) if workloads else {}
        checked = images if self._submission_failed else done
        faults = [fault for image in checked for fault in self._own_faults(image)]
        assignment = self.assignment
        return {
            "batch": assignment.batch,
            "title": assignment.title,
            "reviewer": assignment.reviewer,
            "part": str(assignment.part) if assignment.part.of > 1 else None,
            "redo": assignment.redo and not assignment.qa,
            "shown": f"{assignment.shown_title}: {assignment.shown}." if assignment.shown else "",
            "idle_seconds": self._idle_seconds,
            "classes": list(assignment.classes),
            "samples": [[i.sample_id, i.image_id, i.reviewed] for i in images],
            "reviewed": len(done),
            "edits": asdict(own.edits),
            "objects": own.objects,
            "seconds": sum(image.seconds for image in images),
            "saved": [
                {"iou": iou, "wt": totals.wt_reduction, "wb": totals.wb_reduction}
                for iou, totals in so_far.items()
            ],
            "first_batch": self._others.first,
            "blank": not assignment.wanted
            and all(item.proposals.detector == EMPTY for item in assignment.items),
            "wanted": list(assignment.wanted),
            "faults": _listed(faults, images),
            "hints": _listed(hints(image.shown.item for image in images), images),
            "about": assignment.about,
            "notes": _listed(noted(assignment), images),
            "notes_title": assignment.notes_title,
            "submitted": self.submitted,
            **panel_extras(images, workloads, own, self._others, self._account),
        }

    # --- the submission ---------------------------------------------------------------------------

    def submit(self) -> dict[str, Any]:
        """Check the boxes and, where all are valid, write them to the journal.

        Returns:
            ``{"summary": text}``, or ``{"faults": [...]}`` with everything that has to be put
            right first; nothing was written then.

        Raises:
            UserError: the journal cannot be read or written; the boxes are in the database still.
        """
        self._wait_for_autosave()
        with self._lock, self._journal_kept_as_it_is():
            if self.submitted is not None:
                return {"summary": self.submitted, "faults": []}
            images = self.dataset.read()
            with self._kept_for_later():
                faults = self._all_faults(images)
            if faults:
                self._submission_failed = True
                return {"faults": _listed(faults, images)}
            boxes, workloads, planted = {}, {}, {}
            for image in images:
                check, item, i = self._check(image), image.shown.item, image.image_id
                assert check.boxes is not None  # it has no faults
                assert check.workload is not None
                boxes[i], workloads[i] = check.boxes, check.workload
                if item.planted:
                    boxes[i], planted[i] = settle(item, check.boxes, self.assignment.reviewer)
                    before = item.start if self.assignment.qa else item.counted
                    workloads[i] = self._workload(before, boxes[i])
            so_far = self._so_far(workloads)
            groups = defaultdict(list)
            for image in images:
                groups[self.assignment.source_of(image.shown.item)].append(image)
            for group in groups.values():
                self._append(marked(self._corrections(group, boxes, planted), self.assignment))
            summary = summarize(
                self.assignment,
                ReviewedWorkload.sum(workloads.values(), self._account.iou_thresholds),
                sum(image.seconds for image in images),
                so_far,
                pending(self.assignment, self._known(), boxes, self._paths.images),
                count_kept(images),
            )
            items = [image.shown.item for image in images]
            self.submitted = "\n".join([summary, *trial_lines(self.assignment, items, planted)])
            self._on_submit(self.submitted)
            return {"summary": self.submitted, "faults": []}

    def _append(self, corrections: Corrections) -> None:
        """Add to the journal, unless an attempt that broke off later has done so already."""
        own = self._appended
        if all(i in own and own[i][1] == boxes for i, boxes in corrections.boxes.items()):
            return
        with self._kept_for_later():
            made = self._add(self._folder, corrections)
        for image_id, boxes in corrections.boxes.items():
            own[image_id] = (time_of(made, image_id), boxes)

    @contextmanager
    def _journal_kept_as_it_is(self) -> Iterator[None]:
        """Keep other sessions and imports from submitting between the check and the writing."""
        with ExitStack() as stack:
            with self._kept_for_later():
                stack.enter_context(changing(self._paths, lambda text: None))
            yield

    @contextmanager
    def _kept_for_later(self) -> Iterator[None]:
        """Say of an error with the journal where that is, and what to do."""
        try:
            yield
        except (UserError, OSError) as error:
            raise UserError(
                f"The batch is not submitted: {error}. No box is lost. Put that right (free space"
                f" on the disk, or let your account write to {self._folder.resolve()}) while this"
                " session stays open, then press 'Submit batch' again."
            ) from None

    def _wait_for_autosave(self) -> None:
        """Wait until the App has stored all edits made before now."""
        most = AUTOSAVE_SECONDS + _MARGIN_SECONDS
        deadline = time.monotonic() + most
        while (now := time.monotonic()) < deadline:
            since_activity = now - self._last_activity if self._last_activity else most
            if min(self.dataset.idle_seconds(), since_activity) >= most:
                return
            time.sleep(min(deadline - now, 0.25))

    def _all_faults(self, images: Sequence[ReviewedImage]) -> list[Problem]:
        known = submissions.latest(self._known())
        faults = []
        for image in images:
            other = known.get(image.image_id)
            base = image.shown.item.base
            now = base if other is None else time_of(other, image.image_id)
            mine = {now if base.startswith(f"{now} ") else base}  # a third look tells two times
            if image.image_id in self._appended:
                mine.add(self._appended[image.image_id][0])
            if other is not None and now not in mine:
                message = (
                    f"was submitted by {other.reviewer or 'somebody'} while you worked on it: end"
                    f" this session and start '{self.assignment.command}' again"
                )
                faults.append(Problem(image.image_id, None, message))
            else:
                faults += self._own_faults(image)
        return faults

    def _own_faults(self, image: ReviewedImage) -> list[Problem]:
        waiting = [] if image.reviewed else [Problem(image.image_id, None, NOT_REVIEWED)]
        return waiting + self._check(image).faults

    def _check(self, image: ReviewedImage) -> _Check:
        check = self._checks.get(image.image_id)
        if check is None or check.raw != image.boxes or check.shown is not image.shown:
            item = image.shown.item
            boxes, faults = check_image(item.image, image.boxes, self.assignment.classes)
            workload = None
            if boxes is not None:
                workload = self._workload(self.assignment.counted_from(item), boxes)
            check = _Check(image.shown, image.boxes, boxes, faults, workload)
            self._checks[image.image_id] = check
        return check

    def _workload(self, offered: Boxes, final: Boxes) -> ReviewedWorkload:
        return ReviewedWorkload.of(offered, final, self._account.iou_thresholds)

    def _corrections(
        self, images: Sequence[ReviewedImage], boxes: Mapping[str, Boxes], planted: Planted
    ) -> Corrections:
        items = {image.image_id: image.shown.item for image in images}
        first = images[0].shown.item
        shown = {i: item.proposals.boxes[i] for i, item in items.items()}
        batch = self.assignment.batch_of(images[0].image_id)
        return Corrections(
            proposals=replace(first.proposals, batch=batch, boxes=shown),
            score_threshold=first.score_threshold,
            annotator=KIND,
            boxes={i: boxes[i] for i in items},
            reviewer=self.assignment.reviewer,
            seconds=all_seconds(images, self.assignment),
            finished=submissions.timestamp(),
            versions=dict(self._versions),
            digests={i: item.image.digest for i, item in items.items()},
            classes=self.assignment.classes,
            changes=self.assignment.changes,
            blind=tuple(i for i, item in items.items() if item.blind),
            planted={i: planted[i] for i in items if i in planted},
        )

    # --- workload ---------------------------------------------------------------------------------

    def _so_far(self, own: Mapping[str, ReviewedWorkload]) -> dict[float, Totals]:
        """Return the campaign's totals including these images, by IoU threshold.

        Images of the batch that others submitted count, too. Empty where a batch before this one
        is not known.
        """
        others = self._others
        if not (others.first or others.before):
            return {}
        workloads = {**self._by_colleagues(), **own}
        batch = ReviewedWorkload.sum(workloads.values(), self._account.iou_thresholds)
        this = BatchWorkload(
            batch=self.assignment.batch,
            annotator=KIND,
            detector="",
            images=len(workloads),
            objects=batch.objects,
            score_threshold=0.0,
            ledgers={(0.0, iou): ledger for iou, ledger in batch.judged.items()},
            average_precision={},
        )
        batches = [*others.before, this, *others.after]
        model = find_cost_model(self._account.cost_model)
        ious = self._account.iou_thresholds
        return {iou: total(batches, iou, cost_model=model) for iou in ious}

    def _by_colleagues(self) -> dict[str, ReviewedWorkload]:
        """Return the batch's submitted images, by the newest submission of each."""
        known = self._known()
        if self._colleagues is None or self._colleagues[0] is not known:
            batch = set(self.assignment.batch_images)
            workloads = {}
            for image_id, source in submissions.latest(known).items():
                if image_id in batch and image_id not in source.given:
                    offered = source.counted_on(image_id)
                    final = as_reviewed(source.part([image_id])).boxes[image_id]
                    workloads[image_id] = self._workload(offered, final)
            self._colleagues = (known, workloads)
        return self._colleagues[1]


@dataclass(frozen=True)
class _Check:
    """Result of checking an image; valid as long as its boxes are these."""

    shown: ShownProposals
    raw: tuple[RawBox, ...]
    boxes: Boxes | None
    faults: list[Problem]
    workload: ReviewedWorkload | None


def _listed(faults: Sequence[Problem], images: Sequence[ReviewedImage]) -> list[dict[str, Any]]:
    samples = {image.image_id: image.sample_id for image in images}
    return [
        {"sample": samples[f.image_id], "image": f.image_id, "message": f.message} for f in faults
    ]


def _is_number(value: object) -> bool:
    # NaN and infinity are none that a clock could have measured.
    valid = isinstance(value, int | float) and not isinstance(value, bool)
    return valid and abs(value) < 1e9  # type: ignore[arg-type]
