"""Brings the files of a campaign and the terms of a session together: what is there to review?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from boxloop import journal, storage
from boxloop.annotators.fiftyone.desk import Prices
from boxloop.annotators.fiftyone.work import Part, Work, plan
from boxloop.datasets.images import read_image
from boxloop.errors import ArtifactError, UserError
from boxloop.layout import Layout
from boxloop.params import Params
from boxloop.types import Corrections, ImageRef
from boxloop.workload import BatchWorkload

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


def previous_workloads(layout: Layout, params: Params, key: str) -> list[BatchWorkload]:
    """The workloads of the batches before one; none where one of them is not accounted yet."""
    keys = list(params.iterations)
    paths = [layout.workload(other) for other in keys[: keys.index(key)]]
    if not all(path.exists() for path in paths):
        return []
    workloads = [storage.read_workload(path) for path in paths]
    ious = params.account.iou_thresholds
    usable = all((w.score_threshold, iou) in w.ledgers for w in workloads for iou in ious)
    return workloads if usable else []


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
