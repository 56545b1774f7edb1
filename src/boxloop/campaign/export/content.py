"""Collect what is exported: all labels, or the proposals of one batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from boxloop.campaign import (
    artifacts,
    class_changes,
    merged,
    newer,
    outside,
    pixels,
    screening,
    submissions,
)
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.thresholds import shown_from
from boxloop.core.labeled_set import turns_of
from boxloop.core.types import SIMULATED, LabeledSet
from boxloop.datasets.format_protocol import ExportContent, file_names
from boxloop.errors import ArtifactError, ParamsError, UserError
from boxloop.files import file_digest
from boxloop.params import GIVEN, Params
from boxloop.terminal import counted

TREATMENTS = ("keep", "mark", "skip")
"""What an export can do with images that were reviewed before a class was added."""


def collect_labels(paths: CampaignPaths, params: Params) -> ExportContent:
    """Collect the newest labeled set, made of every batch up to its own.

    Raises:
        UserError: nothing is labeled yet.
        ArtifactError: a file is missing or damaged, the labeled set is not what the corrections
            say, because they changed after it was made, people have submitted newer labels, or an
            image is gone or another one than was labeled.
    """
    labeled, path = _newest(paths, list(params.iterations))
    images = artifacts.read_images(paths.images)
    if images.classes != labeled.classes:
        raise ArtifactError(merged.of_other_classes(path, paths.images))
    keys = turns_of(labeled.batches)
    made = {key: artifacts.read_corrections(paths.corrections(key)) for key in keys}
    pixels.require_same(paths, labeled, made, images.by_id())
    kinds: dict[str, list[str]] = {}
    reviewers: dict[str, None] = {}
    imported = 0
    newer.require_newest(paths, labeled, path, made, images)
    for key, corrections in made.items():
        imported += len(corrections.given)
        kinds.setdefault(corrections.annotator, []).append(key)
        if corrections.reviewer:  # of a batch, all names in one
            reviewers |= dict.fromkeys(corrections.reviewer.split(", "))
    about = f"batches {', '.join(labeled.batches)}"
    if reviewers:
        about += f", reviewed by {', '.join(reviewers)}"
    if GIVEN in labeled.batches:
        about += f"; {GIVEN}: labels that the dataset came with, not checked by a person"
    if imported:
        about += (
            f"; {counted(imported)}: labels that were imported and trusted, not checked by a person"
        )
    if SIMULATED in kinds:
        about += (
            f"; {', '.join(kinds[SIMULATED])}: the boxes are the dataset's own, handed back by"
            " the simulated annotator, and were not checked by a person"
        )
    note = outside.left_out(paths, params, labeled, "this export")
    if note is not None:
        about += f"; {note}"
    refs = artifacts.subset_of(images, list(labeled.boxes), path)
    incomplete = labeled.incomplete
    return ExportContent(
        images.classes, refs, file_names(refs), labeled.boxes, about, incomplete=incomplete
    )


def treat_incomplete(content: ExportContent, how: str) -> ExportContent:
    """Keep images that are not complete for a class, mark them, or leave them out.

    Args:
        content: labels.
        how: one of :data:`TREATMENTS`.

    Returns:
        Content that says so in ``about``; the same where all images are complete.

    Raises:
        UserError: no image would be left.
    """
    count = len(content.incomplete)
    if not count:
        return content
    names = {name for missing in content.incomplete.values() for name in missing}
    which = ", ".join(name for name in content.classes if name in names)
    of = f"{count} of {len(content.images)} images"
    if how == "mark":
        about = f"{content.about}; {of} are marked as not complete for {which}"
        return replace(content, about=about)
    if how == "keep":
        about = f"{content.about}; {of} may hold {which} without a box"
        return replace(content, about=about, incomplete={})
    refs = tuple(ref for ref in content.images if ref.id not in content.incomplete)
    if not refs:
        raise UserError(
            f"no image is complete for {which}: 'boxloop status' says how to review them, or export"
            " with --incomplete keep"
        )
    return replace(
        content,
        images=refs,
        names={ref.id: content.names[ref.id] for ref in refs},
        boxes={ref.id: content.boxes[ref.id] for ref in refs},
        about=f"{content.about}; {of} are left out, because they are not complete for {which}",
        incomplete={},
    )


def collect_proposals(paths: CampaignPaths, params: Params, key: str) -> ExportContent:
    """Collect the proposals of a batch that are shown, by ``review.score_threshold``.

    Images whose labels were imported and trusted, and count today, are left out: they need no
    review.

    Raises:
        ParamsError: there is no such batch.
        ArtifactError: a file is missing or damaged.
    """
    require_batch(params, key)
    images = artifacts.read_images(paths.images)
    proposals = class_changes.read_proposals(paths, key, images)
    threshold = shown_from(params.review, proposals, paths.proposals(key))
    restored = map(paths.corrections, params.iterations)
    known = submissions.latest(screening.read(paths.journals, restored, images).submissions)
    given = {image_id for image_id, item in known.items() if image_id in item.given}
    open_ = [i for i in proposals.boxes if i not in given] or list(proposals.boxes)
    boxes = {image_id: proposals.boxes[image_id].above(threshold) for image_id in open_}
    refs = artifacts.subset_of(images, list(boxes), paths.proposals(key))
    about = f"proposals for batch {key} by {proposals.detector}, from score {threshold:g}: "
    done = sum(image_id in known for image_id in open_)
    about += (
        f"{done} of these images are labeled already, and import-corrections needs --redo for them"
        if done
        else "not checked by anyone yet"
    )
    tag = proposals_tag(paths, key)
    return ExportContent(images.classes, refs, file_names(refs), boxes, about, tag)


def proposals_tag(paths: CampaignPaths, key: str) -> str:
    """Return a tag that changes whenever the proposals of a batch do."""
    return file_digest(paths.proposals(key))[:8]


def require_batch(params: Params, key: str) -> None:
    """Raise a ParamsError for a batch that params.yaml does not list."""
    if key not in params.iterations:
        raise ParamsError(
            f"there is no batch {key!r}: params.yaml lists {', '.join(params.iterations)}"
        )


def _newest(paths: CampaignPaths, keys: list[str]) -> tuple[LabeledSet, Path]:
    for i in reversed(range(len(keys))):
        path = paths.labeled(keys[i])
        if path.exists():
            labeled = artifacts.read_labeled(path)
            if turns_of(labeled.batches) == keys[: i + 1]:
                return labeled, path
    raise UserError(
        f"nothing is labeled yet in {paths.images.parent}: 'dvc repro' says what comes first"
    )
