"""Brings the files of a campaign and the terms of a session together: what is there to review?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Corrections, ImageRef
from boxloop.core.workload import BatchWorkload, account, find_cost_model
from boxloop.datasets.images import read_image
from boxloop.errors import ArtifactError, UserError
from boxloop.files import atomic_path
from boxloop.params import Params
from boxloop.review.fiftyone.assignment import Part, Work, plan
from boxloop.review.fiftyone.live_workload import Others, Prices

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


def all_submissions(paths: CampaignPaths, params: Params) -> list[Corrections]:
    """All that people submitted: the journal, and what DVC brought back without one."""
    known = submissions.read(*paths.journals)
    files = [paths.corrections(key) for key in params.iterations]
    held = [artifacts.read_corrections(path) for path in files if path.exists()]
    return [*[item for item in held if item.by_person], *known]


class SubmissionCache:
    """All that people submitted, read anew only where a file has changed: the App asks often."""

    def __init__(self, paths: CampaignPaths, params: Params) -> None:
        """Takes the campaign."""
        self._paths = paths
        self._params = params
        self._files: object = None
        self._known: list[Corrections] = []

    def __call__(self) -> list[Corrections]:
        """The same list while nothing has changed."""
        folders = [*self._paths.journals, self._paths.corrections("_").parent]
        found = [path for folder in folders for path in submissions.submission_files(folder)]
        files = [(path, *_stamp(path)) for path in found]
        if files != self._files:
            self._known, self._files = all_submissions(self._paths, self._params), files
        return self._known


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()  # it is just being replaced
    return found.st_mtime_ns, found.st_size, found.st_ino


def plan_work(paths: CampaignPaths, params: Params, terms: Terms) -> Work:
    """The images of a session.

    Raises:
        UserError: there is no such batch, it is submitted (or, for a redo, is not), or it has no
            proposals yet.
    """
    key = terms.batch
    if key not in params.iterations:
        known = ", ".join(params.iterations)
        raise UserError(f"there is no batch {key}: params.yaml lists {known} under iterations")
    path = paths.proposals(key)
    if not path.exists():
        raise UserError(f"batch {key} has no proposals yet: 'dvc repro' makes them")
    proposals, image_set = artifacts.read_proposals(path), artifacts.read_images(paths.images)
    with artifacts.faults_of(path):
        images = {ref.id: ref for ref in image_set.subset(list(proposals.boxes))}
    work = plan(
        proposals,
        images,
        image_set.classes,
        submissions.latest(all_submissions(paths, params)),
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
    paths: CampaignPaths, params: Params, key: str, known: Sequence[Corrections], *, redo: bool
) -> Others:
    """The workloads of the other batches.

    What people submitted counts as it is now, not as DVC last saw it: a stage of an earlier batch
    may be still to come.

    Args:
        paths: where the campaign's files are.
        params: names the iterations and the thresholds.
        key: of the session's batch.
        known: all submissions.
        redo: whether batches after it may be done.
    """
    keys = list(params.iterations)
    place = keys.index(key)
    before = [_workload(paths, params, other, known) for other in keys[:place]]
    after = [_workload(paths, params, other, known) for other in keys[place + 1 :] if redo]
    return Others(
        first=place == 0,
        before=tuple(w for w in before if w is not None) if None not in before else (),
        after=tuple(w for w in itertools.takewhile(bool, after) if w is not None),
    )


def _workload(
    paths: CampaignPaths, params: Params, key: str, known: Sequence[Corrections]
) -> BatchWorkload | None:
    """The workload of a batch that is done; None where it is not, or not known here."""
    ious = params.account.iou_thresholds
    proposals = paths.proposals(key)
    if proposals.exists():
        offered = artifacts.read_proposals(proposals)
        if not submissions.missing(known, offered.boxes):
            return account(submissions.assemble(known, offered), ious, (), {})
    path = paths.workload(key)
    if not path.exists():
        return None
    workload = artifacts.read_workload(path)
    usable = all((workload.score_threshold, iou) in workload.ledgers for iou in ious)
    return workload if usable else None


def prices(params: Params) -> Prices:
    """Thresholds and T of the campaign."""
    account = params.account
    model = find_cost_model(account.cost_model)
    return Prices(account.iou_thresholds, account.seconds_per_box, model)


def display_files(paths: CampaignPaths, work: Work) -> Mapping[str, Path]:
    """The file that the App shows for each image; a copy where browsers cannot read the format.

    Raises:
        ArtifactError: an image's file is gone.
    """
    return {item.image.id: _display(paths, item.image) for item in work.items}


def _display(paths: CampaignPaths, image: ImageRef) -> Path:
    path = paths.root / image.path
    if not path.is_file():
        raise ArtifactError(f"{path} (image {image.id}) is gone: bring it back, or run 'dvc repro'")
    if path.suffix.lower() in SHOWN_BY_BROWSERS:
        return path
    copy = paths.state / "display" / f"{image.digest}.png"
    if not copy.exists():
        from PIL import Image

        with atomic_path(copy) as temporary:
            Image.fromarray(read_image(path)).save(temporary, format="PNG")
    return copy


def versions() -> dict[str, str]:
    """Of the programs that take part in a review."""
    return {name: version(name) for name in ("boxloop", "fiftyone")}
