"""Brings the files of a campaign and the terms of a session together: what is there to review?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from boxloop import journal, storage
from boxloop.annotators.fiftyone.work import Part, Work, plan
from boxloop.annotators.fiftyone.worth import Others, Prices
from boxloop.datasets.images import read_image
from boxloop.errors import ArtifactError, UserError
from boxloop.layout import Layout
from boxloop.params import Params
from boxloop.types import Corrections, ImageRef
from boxloop.workload import BatchWorkload, account

SHOWN_BY_BROWSERS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif"}


@dataclass(frozen=True)
class Terms:
    """What a reviewer asked for.

    Attributes:
        batch: key of the batch.
        reviewer: who does it.
        part: "1/2", or None for the whole batch.
        redo: whether submitted images are opened again.
    """

    batch: str
    reviewer: str
    part: str | None = None
    redo: bool = False


def submissions(layout: Layout, params: Params) -> list[Corrections]:
    """All that people submitted: the journal, and what DVC brought back without one."""
    known = journal.read(*layout.journals)
    paths = [layout.corrections(key) for key in params.iterations]
    held = [storage.read_corrections(path) for path in paths if path.exists()]
    return [*[item for item in held if item.by_person], *known]


class Submissions:
    """All that people submitted, read anew only where a file has changed: the App asks often."""

    def __init__(self, layout: Layout, params: Params) -> None:
        """Takes the campaign."""
        self._layout = layout
        self._params = params
        self._files: object = None
        self._known: list[Corrections] = []

    def __call__(self) -> list[Corrections]:
        """The same list while nothing has changed."""
        folders = [*self._layout.journals, self._layout.corrections("_").parent]
        paths = [path for folder in folders for path in journal.submission_files(folder)]
        files = [(path, *_stamp(path)) for path in paths]
        if files != self._files:
            self._known, self._files = submissions(self._layout, self._params), files
        return self._known


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()  # it is just being replaced
    return found.st_mtime_ns, found.st_size, found.st_ino


def plan_work(layout: Layout, params: Params, terms: Terms) -> Work:
    """The images of a session.

    Raises:
        UserError: there is no such batch, it is submitted (or, for a redo, is not), or it has no
            proposals yet.
    """
    key = terms.batch
    if key not in params.iterations:
        known = ", ".join(params.iterations)
        raise UserError(f"there is no batch {key}: params.yaml lists {known} under iterations")
    path = layout.proposals(key)
    if not path.exists():
        raise UserError(f"batch {key} has no proposals yet: 'dvc repro' makes them")
    proposals, image_set = storage.read_proposals(path), storage.read_images(layout.images)
    with storage.faults_of(path):
        images = {ref.id: ref for ref in image_set.subset(list(proposals.boxes))}
    work = plan(
        proposals,
        images,
        image_set.classes,
        journal.latest(submissions(layout, params)),
        score_threshold=params.review.score_threshold,
        reviewer=terms.reviewer,
        part=Part.parse(terms.part),
        redo=terms.redo,
    )
    if not work.items:
        raise UserError(_nothing_to_do(work))
    return work


def _nothing_to_do(work: Work) -> str:
    share = f"part {work.part} of batch {work.batch}" if work.part.of > 1 else f"batch {work.batch}"
    if not work.part.share(work.batch_images):
        return f"{share} has no image: the batch has {len(work.batch_images)}"
    if work.redo:
        return f"{share} was not submitted yet: leave --redo out"
    part = f" --part {work.part}" if work.part.of > 1 else ""
    return (
        f"{share} is submitted already: 'boxloop review {work.batch}{part} --redo' opens it again,"
        " with its labels"
    )


def other_batches(
    layout: Layout, params: Params, key: str, known: Sequence[Corrections], *, redo: bool
) -> Others:
    """The workloads of the other batches.

    What people submitted counts as it is now, not as DVC last saw it: a stage of an earlier batch
    may be still to come.

    Args:
        layout: where the campaign's files are.
        params: names the iterations and the thresholds.
        key: of the session's batch.
        known: all submissions.
        redo: whether batches after it may be done.
    """
    keys = list(params.iterations)
    place = keys.index(key)
    before = [_workload(layout, params, other, known) for other in keys[:place]]
    after = [_workload(layout, params, other, known) for other in keys[place + 1 :] if redo]
    return Others(
        first=place == 0,
        before=tuple(w for w in before if w is not None) if None not in before else (),
        after=tuple(w for w in itertools.takewhile(bool, after) if w is not None),
    )


def _workload(
    layout: Layout, params: Params, key: str, known: Sequence[Corrections]
) -> BatchWorkload | None:
    """The workload of a batch that is done; None where it is not, or not known here."""
    ious = params.account.iou_thresholds
    proposals = layout.proposals(key)
    if proposals.exists():
        offered = storage.read_proposals(proposals)
        if not journal.missing(known, offered.boxes):
            return account(journal.assemble(known, offered), ious, (), {})
    path = layout.workload(key)
    if not path.exists():
        return None
    workload = storage.read_workload(path)
    usable = all((workload.score_threshold, iou) in workload.ledgers for iou in ious)
    return workload if usable else None


def prices(params: Params) -> Prices:
    """Thresholds and T of the campaign."""
    return Prices(params.account.iou_thresholds, params.account.seconds_per_box)


def display_files(layout: Layout, work: Work) -> Mapping[str, Path]:
    """The file that the App shows for each image; a copy where browsers cannot read the format.

    Raises:
        ArtifactError: an image's file is gone.
    """
    return {item.image.id: _display(layout, item.image) for item in work.items}


def _display(layout: Layout, image: ImageRef) -> Path:
    path = layout.root / image.path
    if not path.is_file():
        raise ArtifactError(f"{path} (image {image.id}) is gone: bring it back, or run 'dvc repro'")
    if path.suffix.lower() in SHOWN_BY_BROWSERS:
        return path
    copy = layout.state / "display" / f"{image.digest}.png"
    if not copy.exists():
        from PIL import Image

        with storage.atomic_path(copy) as temporary:
            Image.fromarray(read_image(path)).save(temporary, format="PNG")
    return copy


def versions() -> dict[str, str]:
    """Of the programs that take part in a review."""
    return {name: version(name) for name in ("boxloop", "fiftyone")}
