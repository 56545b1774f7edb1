"""The stage ``review``: corrections of one batch, by the truth or from the journal.

A person's labels are never replaced by a simulated annotator's, and never dropped: what the file
that is about to be replaced holds alone goes to the journal first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from boxloop.campaign import (
    artifacts,
    class_changes,
    old_classes,
    pixels,
    screening,
    submissions,
)
from boxloop.campaign.claims import claims_of, taken_back
from boxloop.campaign.class_changes import ClassChange
from boxloop.campaign.fitting import find_outside, require_fit
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.schemas import name_file
from boxloop.campaign.thresholds import shown_from
from boxloop.core.edits import PIXEL
from boxloop.core.types import SIMULATED, Corrections, ImageRef, ImageSet, Proposals
from boxloop.errors import ArtifactError, ProtectedLabelsError, ReviewPending, UserError
from boxloop.files import require_writable, write_text
from boxloop.params import ReviewParams
from boxloop.review import annotators
from boxloop.terminal import counted


def collect(
    paths: CampaignPaths,
    params: ReviewParams,
    images: Path,
    truth: Path,
    proposals: Path,
    out: Path,
    *,
    say: Callable[[str], object] = print,
) -> Corrections:
    """Writes the corrections of a batch; the same inputs give the same bytes.

    Args:
        paths: where the campaign's journal is.
        params: the review section.
        images: file of all images of the campaign.
        truth: file of the ground truth, for the simulated annotator.
        proposals: file of the batch's proposals.
        out: file of the corrections; other batches' lie beside it.
        say: told what a person may want to know.

    Raises:
        ReviewPending: people have not submitted some images of the batch; nothing was written.
        ProtectedLabelsError: labels of another annotator would be replaced; nothing was written.
        DatasetError: there is no truth to simulate with.
        ArtifactError: a file is missing or damaged, or does not fit the others.
    """
    _spare_journal(paths, out)
    require_writable(out, "boxloop/corrections")
    offered, digests = artifacts.read_dated_proposals(proposals)
    image_set = artifacts.read_images(images)
    if params.annotator == SIMULATED:  # people were shown what their submissions hold
        pixels.require_proposed(proposals, digests, image_set)
    refs = artifacts.subset_of(image_set, list(offered.boxes), proposals)
    require_fit(image_set, offered.boxes, proposals, PIXEL)
    table = {ref.id: ref for ref in refs}
    changes = class_changes.read(*paths.journals)
    offered = class_changes.as_today(offered, changes, image_set)
    before = artifacts.read_corrections(out) if out.exists() else None
    if before is not None and before.by_person:
        before = submissions.named_as_today(before, changes)
    journal = submissions.read_files(*paths.journals)
    known = [item for _, item in journal]
    if params.annotator == SIMULATED:
        _spare_people(offered, before, known, out)
        submitted: Sequence[Corrections] = ()
    else:
        old_classes.refuse(paths, changes, image_set.classes)
        holders = _holders(offered, before, out, changes, table)
        screened = screening.screen(journal, holders, image_set, offered)
        for note in screened.notes:
            say(f"{offered.batch}: {note}")
        submitted = screened.submissions
        _spare_simulation(offered, before, submitted, out)
    annotator = annotators.create(params, truth, submitted)
    threshold = shown_from(params, offered, proposals)
    try:
        with name_file(proposals):
            corrected = annotator.review(offered, table, threshold)
    except ReviewPending as waiting:
        try:
            write_text(paths.pending, f"{offered.batch}\n")
        except UserError as error:
            raise ReviewPending(f"{waiting}; but {error}") from None
        raise
    if corrected.by_person:
        _check_places(corrected, image_set)
    else:
        require_fit(image_set, corrected.boxes, truth)
    if before is not None and before.by_person:
        _keep(before, corrected, known, paths, say)
    artifacts.write_corrections(out, corrected)
    boxes = sum(map(len, corrected.boxes.values()))
    say(f"{corrected.batch}: {counted(boxes, 'box')} by {corrected.annotator}")
    return corrected


def _spare_journal(paths: CampaignPaths, out: Path) -> None:
    # Not `resolve`, which fails at a link to itself.
    if os.path.dirname(os.path.realpath(out)) in map(os.path.realpath, paths.journals):
        raise ProtectedLabelsError(
            f"{out} is among what people submitted, which nothing replaces: name another file to"
            " write, outside of that folder"
        )


def _spare_people(
    offered: Proposals, before: Corrections | None, known: Sequence[Corrections], out: Path
) -> None:
    if before is not None and before.by_person:
        raise ProtectedLabelsError(
            f"{out} holds labels made by '{before.annotator}', and '{SIMULATED}' does not"
            " replace them: set review.annotator back, or move that file to a safe place"
        )
    waiting = submissions.missing(known, offered.boxes)
    labeled = len(offered.boxes) - len(waiting)
    if labeled:
        raise ProtectedLabelsError(
            f"people labeled {labeled} of the {len(offered.boxes)} images of {offered.batch}"
            f" (see reviews/), and '{SIMULATED}' does not pass over that: set review.annotator"
            " back, or simulate in a folder of its own ('boxloop init')"
        )


def _spare_simulation(
    offered: Proposals, before: Corrections | None, submitted: Sequence[Corrections], out: Path
) -> None:
    """Simulated labels give way to a whole batch of people's only: the truth brings them back."""
    if before is None or before.by_person:
        return
    waiting = submissions.missing(submitted, offered.boxes)
    if waiting:
        pending = submissions.pending_text(offered.batch, len(offered.boxes), len(waiting))
        raise ProtectedLabelsError(
            f"{out} holds labels made by '{before.annotator}', and they stay until people have"
            f" labeled the whole batch: {pending}; or set review.annotator back"
        )


def _holders(
    offered: Proposals,
    before: Corrections | None,
    out: Path,
    changes: Sequence[ClassChange],
    images: Mapping[str, ImageRef],
) -> list[tuple[Path, Corrections]]:
    """The corrections that DVC brought back, which count as submissions.

    Another order, or another name, may have moved labeled images here from another batch; where the
    batch is of the same images as before, the others need not be read.
    """
    last = [] if before is None or not before.by_person else [(out, before)]
    if before is not None and last and set(before.boxes) == set(offered.boxes):
        is_same = (images[i].digest == digest for i, digest in before.digests.items())
        if all(is_same):
            return last
    others = [p for p in submissions.submission_files(out.parent) if p != out]
    return [*submissions.read_restored(others, changes), *last]


def _keep(
    before: Corrections,
    corrected: Corrections,
    known: Sequence[Corrections],
    paths: CampaignPaths,
    say: Callable[[str], object],
) -> None:
    """Brings labels into the journal that would be gone with the file that is replaced."""

    def of_these_pixels(item: Corrections, image_id: str) -> bool:
        own = before.digests.get(image_id)
        return image_id in item.boxes and own in (None, item.digests.get(image_id, own))

    def is_held(image_id: str) -> bool:
        found = [item for item in known if of_these_pixels(item, image_id)]
        other = submissions.latest(found).get(image_id)
        if other is None:
            return False
        if other.boxes[image_id] == before.boxes[image_id]:
            return True
        if submissions.submitted_at(other, image_id) > submissions.submitted_at(before, image_id):
            return True
        theirs, own = other.part([image_id]), before.part([image_id])
        both = [*claims_of(paths.reviews, theirs), *claims_of(paths.reviews, own, in_journal=False)]
        return bool(taken_back(both))

    leaving = [i for i in before.boxes if not of_these_pixels(corrected, i) and not is_held(i)]
    if leaving:
        kept = before.part(leaving)
        if kept.finished is None:
            kept = replace(kept, finished="1970-01-01T00:00:00.000000+00:00")
        # DVC deletes the copy that an experiment runs in.
        path = submissions.append(paths.journals[0], kept, kept=True)
        images = counted(len(leaving))
        say(f"{before.batch}: the labels of {images} that left it are kept in {path}")


def _check_places(corrected: Corrections, images: ImageSet) -> None:
    """Refuses labels that were made for other pixels."""
    if ref := find_outside(images, corrected.boxes):
        raise ArtifactError(
            f"the labels of image {ref.id} in reviews/ reach beyond its {ref.width}x{ref.height}"
            f" pixels: is {ref.path} another image now? Bring the one that was labeled back, or"
            f" label it anew ('boxloop review {corrected.batch} --redo')"
        )
