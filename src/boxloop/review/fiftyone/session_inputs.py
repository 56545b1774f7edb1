"""Read from the campaign's files what a review session needs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from boxloop.campaign import artifacts, class_changes, crop_classes, neighbours, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.thresholds import in_words, shown_from
from boxloop.core.planting import choose
from boxloop.core.types import Corrections, ImageRef
from boxloop.core.workload import BatchWorkload, account
from boxloop.datasets.browsers import is_shown_as_read
from boxloop.datasets.images import digest_of, is_read_otherwise, read_bytes, read_image
from boxloop.errors import ArtifactError, UserError
from boxloop.files import atomic_path
from boxloop.params import FITTED, Params
from boxloop.review.fiftyone import looks, qa, wanted
from boxloop.review.fiftyone.assignment import Assignment, Look, Part, assign
from boxloop.review.fiftyone.live_workload import OtherBatches
from boxloop.review.people import read_submissions

ALSO, DISAGREEMENTS = "also", "disagreements"
"""What a request for a second, or a third, look is called."""

_MOST_THREADS = 8
_MOST_PARTS = 100  # that are looked at for a free one


@dataclass(frozen=True)
class ReviewRequest:
    """What a reviewer asked for; ``part`` is "1/2", or None for the whole batch.

    With ``wanted``, the images of any batch that are not complete for that class; with ``planted``,
    which is a redo, those whose planted errors were missed; with ``look`` ("also" or
    "disagreements"), a second or third look at the batch; with ``qa``, so many images of any batch
    whose labels are likely to hold errors.
    """

    batch: str
    reviewer: str
    part: str | None = None
    redo: bool = False
    wanted: str | None = None
    planted: bool = False
    look: str | None = None
    qa: int | None = None


class SubmissionCache:
    """All submissions of people, read again only where a file changed."""

    def __init__(self, paths: CampaignPaths, params: Params) -> None:
        """Read nothing yet; see :func:`~boxloop.review.people.read_submissions`."""
        self._paths = paths
        self._batches = params.iterations
        self._files: object = None
        self._submissions: list[Corrections] = []

    def __call__(self) -> list[Corrections]:
        """Return all submissions, oldest first: the same list while no file has changed."""
        folders = [*self._paths.journals, self._paths.corrections("_").parent]
        found = [path for folder in folders for path in submissions.submission_files(folder)]
        found += [path for folder in folders for path in class_changes.files(folder)]
        files = [(path, *_stamp(path)) for path in (*found, self._paths.images)]
        if files != self._files:
            self._submissions, self._files = read_submissions(self._paths, self._batches), files
        return self._submissions


def known_submissions(
    paths: CampaignPaths, params: Params, assignment: Assignment
) -> Callable[[], Sequence[Corrections]]:
    """Return what tells the submissions that a session's are to be held against."""
    look = assignment.look
    if look is not None and not look.third:
        return looks.known_looks(paths)
    return SubmissionCache(paths, params)


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return ()  # it is just being replaced
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def read_assignment(paths: CampaignPaths, params: Params, request: ReviewRequest) -> Assignment:
    """Choose the images of a session from the campaign's proposals and submissions.

    Raises:
        UserError: there is no such batch, it is submitted (or, for a redo, is not), or it has no
            proposals yet.
    """
    changes = class_changes.read(*paths.journals)
    made = _assign(paths, params, request)
    # What is renamed while the session is open is told by this from what was before.
    followed = class_changes.followed(changes, params.dataset.classes, made.classes)
    return replace(made, changes=followed)


def _assign(paths: CampaignPaths, params: Params, request: ReviewRequest) -> Assignment:
    key = request.batch
    if request.wanted is not None:
        share = Part.parse(request.part)
        return wanted.assign(paths, params.iterations, request.wanted, request.reviewer, share)
    if request.qa is not None:
        share = Part.parse(request.part)
        return qa.assign(paths, params, request.qa, request.reviewer, share)
    if key not in params.iterations:
        known = ", ".join(params.iterations)
        raise UserError(f"there is no batch {key}: params.yaml lists {known} under iterations")
    path = paths.proposals(key)
    if not path.exists():
        raise UserError(f"batch {key} has no proposals yet: 'dvc repro' makes them")
    image_set = artifacts.read_images(paths.images)
    proposals = class_changes.read_proposals(paths, key, image_set)
    refs = artifacts.subset_of(image_set, list(proposals.boxes), path)
    images = {ref.id: ref for ref in refs}
    if request.look is not None:
        look = Look(key, third=request.look == DISAGREEMENTS)
        share, who = Part.parse(request.part), request.reviewer
        classes = image_set.classes
        return looks.assign(paths, params, look, who, share, images, classes, redo=request.redo)
    submitted = submissions.latest(read_submissions(paths, params.iterations))
    if request.redo:  # what does not count any more can be opened all the same
        everything = read_submissions(paths, params.iterations, all_=True)
        submitted = {**submissions.latest(everything), **submitted}
    review, threshold = params.review, shown_from(params.review, proposals, path)
    trials = choose(
        proposals,
        threshold,
        images,
        image_set.classes,
        blind_fraction=review.blind_fraction,
        plant_fraction=review.plant_fraction,
        seed=review.seed,
    )
    assignment = assign(
        proposals,
        images,
        image_set.classes,
        submitted,
        score_threshold=threshold,
        reviewer=request.reviewer,
        part=Part.parse(request.part),
        redo=request.redo,
        planted=request.planted,
        trials=trials,
    )
    if not assignment.items:
        raise UserError(_why_empty(assignment))
    fitted = proposals.fitted(params.review.iou_threshold)
    if params.review.score_threshold == FITTED and fitted is not None and not request.redo:
        used = proposals.neighbours
        more = "" if used is None else f"; {neighbours.in_words(used)}"
        if whose := crop_classes.in_words(proposals.crops):
            more = f"; {whose}{more}"
        return replace(assignment, shown=in_words(fitted, proposals.detector) + more)
    return assignment


def free_part(
    paths: CampaignPaths, params: Params, request: ReviewRequest, of: int, taken: Collection[str]
) -> ReviewRequest | None:
    """Return the request with the first of so many parts that can be opened; None where none can.

    That has images which wait, and none of those that are taken.
    """
    for number in range(1, min(of, _MOST_PARTS) + 1):
        other = replace(request, part=f"{number}/{of}")
        try:
            items = read_assignment(paths, params, other).items
        except UserError:
            continue  # it is submitted
        if not any(item.image.id in taken for item in items):
            return other
    return None


def _why_empty(assignment: Assignment) -> str:
    part, batch = assignment.part, assignment.batch
    share = f"part {part} of batch {batch}" if part.of > 1 else f"batch {batch}"
    if not part.share(assignment.batch_images):
        return f"{share} has no image: the batch has {len(assignment.batch_images)}"
    if assignment.planted:
        return f"no planted error waits in {share}: 'boxloop status' says what comes next"
    if assignment.redo:
        return f"{share} was not submitted yet: leave --redo out"
    option = f" --part {part}" if part.of > 1 else ""
    return (
        f"{share} is submitted already: 'boxloop review {batch}{option} --redo' opens it again,"
        " with its labels"
    )


def other_batches(
    paths: CampaignPaths, params: Params, key: str, known: Sequence[Corrections], *, redo: bool
) -> OtherBatches:
    """Return the workloads of the other batches.

    What people submitted counts as it is now, not as DVC last saw it: a stage of an earlier batch
    may be still to come.

    Batches after this one count in a redo only.
    """
    keys = list(params.iterations)
    if key not in keys:  # a session for a class, which has images of any batch
        return OtherBatches(first=False)
    place = keys.index(key)
    before = [_workload(paths, params, other, known) for other in keys[:place]]
    after = [_workload(paths, params, other, known) for other in keys[place + 1 :] if redo]
    return OtherBatches(
        first=place == 0,
        before=tuple(w for w in before if w is not None) if None not in before else (),
        after=tuple(w for w in itertools.takewhile(bool, after) if w is not None),
    )


def _workload(
    paths: CampaignPaths, params: Params, key: str, known: Sequence[Corrections]
) -> BatchWorkload | None:
    """Return the workload of a finished batch; None where it is unknown."""
    ious = params.account.iou_thresholds
    if paths.proposals(key).exists():
        proposals = artifacts.read_proposals(paths.proposals(key))
        if not submissions.missing(known, proposals.boxes):
            return account(submissions.assemble(known, proposals), ious, (), {})
    path = paths.workload(key)
    if not path.exists():
        return None
    workload = artifacts.read_workload(path)
    usable = all(workload.has(iou) for iou in ious)
    return workload if usable else None


def display_files(paths: CampaignPaths, assignment: Assignment) -> Mapping[str, Path]:
    """Return the file that the App shows for each image.

    It is a copy where browsers show the file otherwise than boxloop reads it, or not at all.

    Raises:
        ArtifactError: an image's file is gone.
    """
    images = [item.image for item in assignment.items]
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        try:
            files = list(pool.map(partial(display_file, paths), images))
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C need not wait for the rest
    return {image.id: path for image, path in zip(images, files, strict=True)}


def require_same_pixels(paths: CampaignPaths, assignment: Assignment) -> None:
    """Refuse images whose files have changed since the dataset was read.

    Raises:
        ArtifactError: one has; labels of what is there now would be taken for those of what was.
    """
    for item in assignment.items:
        path = paths.root / item.image.path
        data = read_bytes(path)
        if digest_of(data) != item.image.digest:
            if is_read_otherwise(data, item.image.digest):
                raise ArtifactError(
                    f"{path} (image {item.image.id}) is turned by XMP alone, which 'boxloop"
                    " dataset' followed when it read it, and does no more: run 'dvc repro -f"
                    " dataset' and 'dvc repro', then review it"
                )
            raise ArtifactError(
                f"{path} (image {item.image.id}) has changed since 'boxloop dataset' read it: run"
                " 'dvc repro', then review it"
            )


def display_file(paths: CampaignPaths, image: ImageRef, *, to_draw: bool = True) -> Path:
    """Return the file that the App shows for an image; what it shows is what boxloop reads.

    Where nobody draws on it (``to_draw``), what is behind transparent pixels does not matter, nor
    whether the file is there: there may be very many.

    Raises:
        ArtifactError: the image's file is gone.
    """
    path = paths.root / image.path
    if not path.is_file():
        if not to_draw:
            return path
        raise ArtifactError(f"{path} (image {image.id}) is gone: bring it back, or run 'dvc repro'")
    shown = _shown_file(paths, image, to_draw=to_draw)
    if not shown.exists():
        from PIL import Image

        with atomic_path(shown) as temporary:
            pixels = Image.fromarray(read_image(path))
            pixels.save(temporary, format="PNG", compress_level=1)  # people wait for it
    return shown


def _shown_file(paths: CampaignPaths, image: ImageRef, *, to_draw: bool = True) -> Path:
    """Return the image's file, or where its copy is or will be."""
    path = paths.root / image.path
    if is_shown_as_read(path, on_white=to_draw):
        return path
    return paths.state / "display" / f"{image.digest}.png"


def batch_files(paths: CampaignPaths, assignment: Assignment) -> list[Path]:
    """Return the files that the App may show: those of the batch, which sessions share.

    Of images outside of this session, those that are there.
    """
    image_set = artifacts.read_images(paths.images)
    batch = set(assignment.batch_images)
    files = [_shown_file(paths, image) for image in image_set.images if image.id in batch]
    return [path for path in files if path.is_file()]


def versions() -> dict[str, str]:
    """Return the versions of the programs that take part in a review."""
    return {name: version(name) for name in ("boxloop", "fiftyone")}
