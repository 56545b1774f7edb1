"""What a review session knows and does, whatever shows it: progress, counts, checks, submission.

The App's panel asks here, and so do the tests; nothing in it needs FiftyOne.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from boxloop.campaign import submissions
from boxloop.core.types import Boxes, Corrections, Proposals
from boxloop.core.workload import BatchWorkload, Totals, total
from boxloop.errors import UserError
from boxloop.review.fiftyone.live_summary import Summary, summary_text
from boxloop.review.fiftyone.live_workload import Others, Prices, Worth, added_up
from boxloop.review.fiftyone.review_states import Board, State
from boxloop.review.fiftyone.shown_proposals import Offer
from boxloop.review.validation import Fault, RawBox, check_image

T = TypeVar("T")

KIND = "fiftyone"
AUTOSAVE_SECONDS = 3.0
"""The App writes edits to the database at most this long after they were made."""

NOT_REVIEWED = "is not marked as reviewed yet"

_MARGIN_SECONDS = 0.5


class Desk:
    """One session at work."""

    def __init__(
        self,
        board: Board,
        folder: Path,
        *,
        others: Others,
        prices: Prices,
        versions: Mapping[str, str],
        known: Callable[[], Sequence[Corrections]],
        idle_seconds: float,
        on_submit: Callable[[str], None] = print,
    ) -> None:
        """Opens the desk.

        Args:
            board: where the boxes are edited.
            folder: the journal, to which the submission goes.
            others: workloads of the other batches.
            prices: thresholds and T.
            versions: of the programs that take part.
            known: gives what people have submitted up to now; the same list while it is the same.
            idle_seconds: a longer pause is cut off at this length.
            on_submit: is told the summary, once, when the batch is submitted.
        """
        self.board = board
        self.work = board.work
        self.submitted: Summary | None = None
        self._folder = folder
        self._others = others
        self._prices = prices
        self._versions = versions
        self._known = known
        self._idle_seconds = idle_seconds
        self._on_submit = on_submit
        self._lock = threading.Lock()
        self._last_activity = 0.0
        self._tried = False
        self._seen: tuple[object, list[State]] | None = None
        self._checked: dict[str, _Checked] = {}
        self._colleagues: tuple[Sequence[Corrections], dict[str, Worth]] | None = None

    # --- while people work ------------------------------------------------------------------------

    def states(self) -> list[State]:
        """Every image as it is now; read anew only where something changed."""
        version = self.board.version()
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, self.board.states())
        return self._seen[1]

    def mark(self, sample_ids: Iterable[str], *, reviewed: bool) -> None:
        """Marks images as reviewed, or as not."""
        with self._lock:
            own = {state.sample_id for state in self.states()}
            self.board.mark([i for i in sample_ids if i in own], reviewed=reviewed)
            self._seen = None

    def spend(self, seconds: Mapping[str, float]) -> None:
        """Adds active seconds, by sample id; no more than have passed since the last time."""
        now = time.monotonic()
        with self._lock:
            own = {state.sample_id for state in self.states()}
            left = 60.0 if not self._last_activity else now - self._last_activity + 5.0
            self._last_activity = now
            valid = {}
            for sample_id, value in seconds.items():
                if sample_id in own and _is_number(value) and value > 0 and left > 0:
                    valid[sample_id] = float(min(value, left))
                    left -= valid[sample_id]
            if valid:
                self.board.add_seconds(valid)
                self._seen = None

    def following(self, sample_id: str | None) -> str | None:
        """The next image that waits, after this one and round again; None where none waits."""
        states = self.states()
        ids = [state.sample_id for state in states]
        start = ids.index(sample_id) + 1 if sample_id in ids else 0
        turned = states[start:] + states[:start]
        waiting = (s.sample_id for s in turned if not s.reviewed and s.sample_id != sample_id)
        return next(waiting, None)

    def overview(self) -> dict[str, Any]:
        """Everything that the App's panel shows, ready for JSON."""
        with self._lock:
            states = self.states()
        done = [state for state in states if state.reviewed]
        sound = {s.image_id: c.worth for s in done if (c := self._check(s)).worth is not None}
        own = added_up(sound.values(), self._prices.iou_thresholds)
        so_far = self._so_far(sound) if sound else {}
        faults = [f for s in (states if self._tried else done) for f in self._own_faults(s)]
        return {
            "batch": self.work.batch,
            "reviewer": self.work.reviewer,
            "part": str(self.work.part) if self.work.part.of > 1 else None,
            "redo": self.work.redo,
            "idle_seconds": self._idle_seconds,
            "classes": list(self.work.classes),
            "samples": [[s.sample_id, s.image_id, s.reviewed] for s in states],
            "reviewed": len(done),
            "edits": asdict(own.edits),
            "objects": own.objects,
            "seconds": sum(state.seconds for state in states),
            "saved": [
                {"iou": iou, "wt": totals.wt_reduction, "wb": totals.wb_reduction}
                for iou, totals in so_far.items()
            ],
            "first_batch": self._others.first,
            "faults": self._listed(faults, states),
            "submitted": None if self.submitted is None else summary_text(self.submitted),
        }

    # --- the submission ---------------------------------------------------------------------------

    def submit(self) -> dict[str, Any]:
        """Checks the work and, where it is right, writes it to the journal.

        Returns:
            ``{"summary": text}``, or ``{"faults": [...]}`` with everything that has to be put
            right first; nothing was written then.
        """
        self._settle()
        with self._lock:
            if self.submitted is not None:
                return {"summary": summary_text(self.submitted), "faults": []}
            states = self.board.states()
            faults = self._all_faults(states)
            if faults:
                self._tried = True
                return {"faults": self._listed(faults, states)}
            drafts = [(state, _required(self._check(state).boxes)) for state in states]
            worths = {s.image_id: _required(self._check(s).worth) for s in states}
            own = added_up(worths.values(), self._prices.iou_thresholds)
            so_far = self._so_far(worths)
            for group in _by_source(drafts):
                submissions.append(self._folder, self._corrections(group, submissions.timestamp()))
            self.submitted = Summary(
                batch=self.work.batch,
                reviewer=self.work.reviewer,
                images=len(drafts),
                objects=own.objects,
                edits=own.edits,
                seconds=sum(state.seconds for state in states),
                so_far=so_far,
                waiting=self._waiting(),
                redo=self.work.redo,
            )
            text = summary_text(self.submitted)
            self._on_submit(text)
            return {"summary": text, "faults": []}

    def _settle(self) -> None:
        """Waits until the App has written what was edited before now, a moment ago or longer."""
        most = AUTOSAVE_SECONDS + _MARGIN_SECONDS
        deadline = time.monotonic() + most
        while (now := time.monotonic()) < deadline:
            since_activity = now - self._last_activity if self._last_activity else most
            if min(self.board.idle_seconds(), since_activity) >= most:
                return
            time.sleep(min(deadline - now, 0.25))

    def _all_faults(self, states: Sequence[State]) -> list[Fault]:
        known = submissions.latest(self._known())
        faults = []
        for state in states:
            item = state.offer.item
            other = known.get(state.image_id)
            moment = "" if other is None else _moment(other, state.image_id)
            if other is not None and moment != item.base:
                who = other.reviewer or "somebody"
                faults.append(
                    Fault(
                        state.image_id,
                        None,
                        f"was submitted by {who} while you worked on it: end this session and start"
                        f" 'boxloop review {self.work.batch}' again",
                    )
                )
            else:
                faults += self._own_faults(state)
        return faults

    def _own_faults(self, state: State) -> list[Fault]:
        waiting = [] if state.reviewed else [Fault(state.image_id, None, NOT_REVIEWED)]
        return waiting + self._check(state).faults

    def _check(self, state: State) -> _Checked:
        known = self._checked.get(state.image_id)
        if known is None or known.raw != state.boxes or known.offer is not state.offer:
            item = state.offer.item
            boxes, faults = check_image(item.image, state.boxes, self.work.classes)
            ious = self._prices.iou_thresholds
            worth = None if boxes is None else Worth.of(item.shown, boxes, ious)
            known = _Checked(state.offer, state.boxes, boxes, faults, worth)
            self._checked[state.image_id] = known
        return known

    def _listed(self, faults: Sequence[Fault], states: Sequence[State]) -> list[dict[str, Any]]:
        samples = {state.image_id: state.sample_id for state in states}
        return [
            {"sample": samples[f.image_id], "image": f.image_id, "message": f.message}
            for f in faults
        ]

    def _corrections(self, drafts: Sequence[tuple[State, Boxes]], finished: str) -> Corrections:
        first = drafts[0][0].offer.item
        offered = {s.image_id: s.offer.item.offer.boxes[s.image_id] for s, _ in drafts}
        proposals = replace(first.offer, batch=self.work.batch, boxes=offered)
        return Corrections(
            proposals=proposals,
            score_threshold=first.score_threshold,
            annotator=KIND,
            boxes={state.image_id: boxes for state, boxes in drafts},
            reviewer=self.work.reviewer,
            seconds={s.image_id: round(s.seconds + s.offer.item.seconds, 1) for s, _ in drafts},
            finished=finished or None,
            versions=dict(self._versions),
        )

    # --- what it comes to -------------------------------------------------------------------------

    def _so_far(self, own: Mapping[str, Worth]) -> dict[float, Totals]:
        """The campaign's totals, with these images and those that others submitted of the batch."""
        others, ious = self._others, self._prices.iou_thresholds
        if not (others.first or others.before):
            return {}  # a batch before this one is not known
        worths = {**self._by_colleagues(), **own}
        added = added_up(worths.values(), ious)
        this = BatchWorkload(
            batch=self.work.batch,
            annotator=KIND,
            detector="",
            images=len(worths),
            objects=added.objects,
            score_threshold=0.0,
            ledgers={(0.0, iou): ledger for iou, ledger in added.judged.items()},
            average_precision={},
        )
        batches, model = [*others.before, this, *others.after], self._prices.cost_model
        return {iou: total(batches, iou, cost_model=model) for iou in ious}

    def _by_colleagues(self) -> dict[str, Worth]:
        """The images of the batch that somebody submitted, by the newest submission of each."""
        known = self._known()
        if self._colleagues is None or self._colleagues[0] is not known:
            batch = set(self.work.batch_images)
            worths = {}
            for image_id, source in submissions.latest(known).items():
                if image_id in batch:
                    offered = source.proposals.boxes[image_id].above(source.score_threshold)
                    ious = self._prices.iou_thresholds
                    worths[image_id] = Worth.of(offered, source.boxes[image_id], ious)
            self._colleagues = (known, worths)
        return self._colleagues[1]

    def _waiting(self) -> int:
        return len(submissions.missing(self._known(), self.work.batch_images))


@dataclass(frozen=True)
class _Checked:
    """What came of checking an image; it holds as long as the boxes are these."""

    offer: Offer
    raw: tuple[RawBox, ...]
    boxes: Boxes | None
    faults: list[Fault]
    worth: Worth | None


def _required(value: T | None) -> T:
    if value is None:
        raise UserError("an image that did not pass its checks cannot be submitted")
    return value


def _is_number(value: object) -> bool:
    # NaN and infinity are none that a clock could have measured.
    valid = isinstance(value, int | float) and not isinstance(value, bool)
    return valid and abs(value) < 1e9  # type: ignore[arg-type]


def _moment(corrections: Corrections, image_id: str) -> str:
    return corrections.submitted.get(image_id) or corrections.finished or ""


def _by_source(
    drafts: Sequence[tuple[State, Boxes]],
) -> list[list[tuple[State, Boxes]]]:
    """Groups images by the detector and threshold that their proposals came from: mostly one."""
    groups: dict[tuple[Any, ...], list[tuple[State, Boxes]]] = {}
    for state, boxes in drafts:
        item = state.offer.item
        p: Proposals = item.offer
        key = (p.detector, p.checkpoint, p.score_floor, item.score_threshold)
        groups.setdefault(key, []).append((state, boxes))
    return list(groups.values())
