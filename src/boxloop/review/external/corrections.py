"""Import images of a batch that were corrected in another program."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from boxloop import __version__
from boxloop.campaign import artifacts, class_changes, submissions
from boxloop.campaign.export import handed_out
from boxloop.campaign.export.content import proposals_tag, require_batch
from boxloop.campaign.missed import review_command
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.thresholds import shown_from
from boxloop.core.edits import Ledger, diff
from boxloop.core.names import fault_of_reviewer
from boxloop.core.types import Boxes, Corrections, ImageSet, Proposals
from boxloop.datasets.formats.coco import tag_id
from boxloop.errors import ArtifactError, DatasetError, ParamsError, ProtectedLabelsError, UserError
from boxloop.params import Params
from boxloop.review.external.import_coco import (
    ReviewedImage,
    list_names,
    read_coco_corrections,
)
from boxloop.review.external.listed_classes import find_classes
from boxloop.review.external.pairing import (
    assign_ids,
    pair_again,
    pair_by_id,
    rounding_tolerance,
)
from boxloop.review.external.starts import Start, start_of
from boxloop.review.external.stored_size import is_upright
from boxloop.review.fiftyone.session_registry import require_closed
from boxloop.review.people import read_submissions
from boxloop.review.validation import Problem, check_image, format_problems
from boxloop.terminal import counted

KIND = "import"
"""Kind of annotator of what was corrected in another program."""

_SAID = (
    *("annotator", "reviewer", "score_threshold", "boxes", "seconds", "digests", "classes"),
    *("blind", "planted", "rechecked", "decided", "given"),
)
"""Fields by which a submission is the same as another one, whenever each was made."""


@dataclass(frozen=True)
class ImportResult:
    """What was submitted by an import, and its files in the journal."""

    submissions: tuple[Corrections, ...]  # one for each way in which images were shown
    paths: tuple[Path, ...]
    missing: int  # number of images of the batch that nobody has submitted yet
    known_to_dvc: bool  # whether DVC takes a batch for done of which images were submitted again
    notes: tuple[str, ...]  # what a person should know, one sentence each

    @property
    def batch(self) -> str:
        """The batch of all of it."""
        return self.submissions[0].batch

    def summary(self) -> str:
        """Summarize the import in a few lines for the terminal."""
        final = {i: boxes for item in self.submissions for i, boxes in item.boxes.items()}
        shown = {i: boxes for item in self.submissions for i, boxes in item.counted().items()}
        e, batch = sum((diff(shown[i], final[i]) for i in final), Ledger()), self.batch
        bare = sum(len(boxes) == 0 for boxes in final.values())
        without = f" ({bare} without boxes)" if bare else ""
        lines = [
            f"{batch}: {counted(len(final))}{without}; of the proposals {e.kept} kept, {e.moved}"
            f" moved, {e.relabeled} relabeled, {e.removed} removed;"
            f" {counted(e.added, 'box')} added",
            *self.notes,
            f"Kept in {' and '.join(map(str, self.paths))}",
        ]
        if self.missing:
            lines.append(
                f"Still missing of {batch}: {counted(self.missing)}. Import them too, or"
                f" 'boxloop review {batch}'"
            )
        else:
            lines.append(f"{batch} is complete. Next: dvc repro")
        return "\n".join(lines)


def import_file(
    paths: CampaignPaths,
    params: Params,
    file: Path,
    *,
    batch: str | None = None,
    reviewer: str | None = None,
    redo: bool = False,
) -> ImportResult:
    """Check a file of corrections (COCO's JSON) and submit it; all of it, or nothing.

    Every image that the file lists counts as reviewed. Where ``batch`` is given, only images of
    that one are taken; a ``redo`` may submit images again that were submitted before.

    Raises:
        ParamsError: there is no such batch, or the campaign is simulated.
        DatasetError: the file cannot be read, fits no batch, or is at fault; nothing was written.
        ProtectedLabelsError: an image was submitted before, and ``redo`` is not set; or a planted
            error is in its labels.
        SessionError: an image is open in a review session.
        ArtifactError: a file of the campaign is missing or damaged.
        UserError: the journal cannot be written to; nothing was submitted.
    """
    if not params.review.asks_people:
        raise ParamsError(
            "review.annotator is 'simulated', which takes no person's labels: set it to 'fiftyone'"
            " in params.yaml first"
        )
    reviewer = None if reviewer is None else reviewer.strip()
    why = None if reviewer is None else fault_of_reviewer(reviewer)
    if why is not None:
        raise UserError(f"--reviewer {reviewer!a:.100} {why}: give another name")
    changes = class_changes.read(*paths.journals)
    images = artifacts.read_images(paths.images)
    found = read_coco_corrections(file, images.images)
    key, chosen = _select_batch(paths, params, file, found, batch)
    wanted = {item.image.id for item in chosen}
    require_closed(paths.state / "sessions", wanted)
    handed_out.require_same(paths, file, key, [item.image for item in chosen])
    offered = _read_proposals(paths, key, wanted, images)
    known = read_submissions(paths, [key])
    before = submissions.latest(known)
    redone = [i for i in offered.boxes if i in wanted and i in before]
    if redone and not redo:
        raise ProtectedLabelsError(
            f"{list_names(redone)} of {key} {'were' if len(redone) > 1 else 'was'} submitted"
            " before: --redo replaces those labels (the old ones stay in reviews/)"
        )
    missed = [i for i in redone if i in before[i].missed]
    if missed:
        raise ProtectedLabelsError(
            f"{list_names(missed)} of {key} {'have' if len(missed) > 1 else 'has'} a planted error"
            " that was missed, and a file does not tell whether it is mended:"
            f" {review_command(key)} opens these images first"
        )
    boxes = _require_valid(file, chosen, images)
    complete_for, unlisted = find_classes(file, chosen, images.classes)
    threshold = shown_from(params.review, offered, paths.proposals(key))
    starts = [start_of(i, offered, threshold, before.get(i)) for i in offered.boxes if i in wanted]
    final, notes = _pair(paths, offered, starts, chosen, boxes, key)
    left_out = len(found) - len(chosen)
    if left_out:
        notes.append(f"Left out: {counted(left_out)} of other batches")
    outlines = sum(item.outlines for item in chosen)
    if outlines:
        notes.append(f"Not looked at: the outlines or masks of {counted(outlines, 'box')}")
    notes += unlisted
    groups = defaultdict[object, list[Start]](list)
    for start in starts:
        groups[start.way, complete_for[start.image_id]].append(start)
    digests = {item.image.id: item.image.digest for item in chosen}
    followed = class_changes.followed(changes, params.dataset.classes, images.classes)
    made = [
        Corrections(
            replace(group[0].proposals, boxes={s.image_id: s.offered for s in group}),
            group[0].score_threshold,
            KIND,
            {s.image_id: final[s.image_id] for s in group},
            reviewer=reviewer,
            # A redo keeps the time that was spent before; none is measured here.
            seconds={s.image_id: s.seconds for s in group if s.seconds is not None},
            finished=submissions.timestamp(),
            versions={"boxloop": __version__},
            digests={s.image_id: digests[s.image_id] for s in group},
            classes=complete_for[group[0].image_id],
            changes=followed,
            blind=tuple(s.image_id for s in group if s.blind),
            planted={s.image_id: s.planted for s in group if s.planted},
        )
        for group in groups.values()
    ]
    # An import that was killed between two of them goes on: what it submitted is no second time.
    left = [item for item in made if not _is_held(item, before)]
    return ImportResult(
        tuple(made),
        _submit(paths.reviews, left or made, file),
        len(submissions.missing([*known, *made], offered.boxes)),
        bool(redone) and paths.corrections(key).exists(),
        tuple(notes),
    )


def _is_held(made: Corrections, before: Mapping[str, Corrections]) -> bool:
    """Tell whether the submission that counts for these images says the very same of them."""
    held = {id(item): item for i in made.boxes if (item := before.get(i)) is not None}
    if len(held) != 1:
        return False
    [known] = held.values()
    return known.boxes.keys() == made.boxes.keys() and all(
        getattr(known, name) == getattr(made, name) for name in _SAID
    )


def _submit(folder: Path, made: Sequence[Corrections], file: Path) -> tuple[Path, ...]:
    """Add submissions to the journal: all of them, or none."""
    written: list[Path] = []
    try:
        for item in made:
            written.append(submissions.append(folder, item))
    except BaseException as error:
        # Nobody was told of them yet, and ``file`` has what they say.
        try:
            for path in written:
                path.unlink(missing_ok=True)
        except OSError:
            raise UserError(
                f"a part of {file} is in {folder} and could not be taken back: import the file"
                f" once more ({str(error) or type(error).__name__})"
            ) from None
        raise
    return tuple(written)


def _select_batch(
    paths: CampaignPaths, params: Params, file: Path, found: list[ReviewedImage], key: str | None
) -> tuple[str, list[ReviewedImage]]:
    """Return the batch's key, and the file's images of that batch."""
    if key is not None:
        require_batch(params, key)
    if not found:
        raise DatasetError(f"{file} lists no image: export the images too, not the boxes alone")
    batch_of = artifacts.read_batch_of(map(paths.batch, params.iterations))
    counts = Counter(batch_of.get(item.image.id) for item in found)
    present = [k for k in params.iterations if counts[k]]
    homeless = [item.image.id for item in found if item.image.id not in batch_of]
    waiting = f"{counted(len(homeless))} of no batch yet"
    if key is None:
        if not present:
            raise DatasetError(f"{file} has {waiting}: {_way_to_batches(paths, params)}")
        if homeless or len(present) != 1:
            parts = [f"{counted(counts[k])} of {k}" for k in present]
            parts += [waiting] if homeless else []
            raise DatasetError(
                f"{file} has {' and '.join(parts)}: say by --batch which ones to take"
            )
        key = present[0]
    chosen = [item for item in found if batch_of.get(item.image.id) == key]
    if not chosen:
        if not present:
            way = _way_to_batches(paths, params)
            raise DatasetError(f"{file} has no image of batch {key}, but {waiting}: {way}")
        raise DatasetError(f"{file} has no image of batch {key}, but of {', '.join(present)}")
    return key, chosen


def _way_to_batches(paths: CampaignPaths, params: Params) -> str:
    """Return how images come into a batch that are in none."""
    if all(paths.batch(key).exists() for key in params.iterations):
        return "list more iterations in params.yaml, then 'dvc repro'"
    return "run 'dvc repro', which makes those that params.yaml lists"


def _read_proposals(
    paths: CampaignPaths, key: str, image_ids: set[str], images: ImageSet
) -> Proposals:
    """Read the proposals of a batch, which must have these images."""
    path = paths.proposals(key)
    if not path.exists():
        raise ArtifactError(
            f"{path} does not exist, and corrections are accounted against proposals: run 'dvc"
            " repro' until the batch waits for its review"
        )
    proposals = class_changes.read_proposals(paths, key, images)
    absent = sorted(image_ids - set(proposals.boxes))
    if absent:
        raise ArtifactError(
            f"{path} has no image {absent[0]}, which {paths.batch(key)} lists: run 'dvc repro'"
        )
    return proposals


def _require_valid(
    file: Path, chosen: Sequence[ReviewedImage], images: ImageSet
) -> dict[str, Boxes]:
    """Return the boxes by image id; refuse the file with a list of every problem."""
    problems: list[Problem] = []
    result = {}
    for item in chosen:
        image = item.image
        if item.size is not None and not is_upright(item):
            message = (
                f"the file says {item.size[0]:g}x{item.size[1]:g} pixels, but the upright image has"
                f" {image.width}x{image.height}: correct it on the very image, not on a scaled or"
                " turned one"
            )
            problems.append(Problem(image.id, None, message))
            continue
        boxes, found = check_image(image, item.boxes, images.classes)
        problems += item.problems + found
        if boxes is not None:
            result[image.id] = boxes
    if problems:
        counted = "1 thing is" if len(problems) == 1 else f"{len(problems)} things are"
        raise DatasetError(
            f"{file} was not taken in, because {counted} wrong in it:\n{format_problems(problems)}"
        )
    return result


def _pair(
    paths: CampaignPaths,
    today: Proposals,
    starts: Sequence[Start],
    chosen: Sequence[ReviewedImage],
    boxes: Mapping[str, Boxes],
    key: str,
) -> tuple[dict[str, Boxes], list[str]]:
    """Give the boxes the ids of their proposals; return notes as well."""
    prefix = tag_id(proposals_tag(paths, key), "")
    # An id without the prefix is of other proposals, and names none of these.
    named = {
        item.image.id: [
            name.removeprefix(prefix) if name and name.startswith(prefix) else None
            for name in item.proposal_ids
        ]
        for item in chosen
    }
    # The ids that the tool was given are those of today's proposals.
    believed = [s for s in starts if s.shown == today.boxes[s.image_id].above(s.score_threshold)]
    by_id = {
        s.image_id: (s.shown, pair_by_id(s.shown, boxes[s.image_id], named[s.image_id]))
        for s in believed
    }
    if not any(pairs for _, pairs in by_id.values()):
        by_id = {}
    pairs = {
        s.image_id: by_id.get(s.image_id) or pair_again(s.labels, s.shown, boxes[s.image_id])
        for s in starts
    }
    notes = []
    unlike = [i for i in pairs.keys() - {s.image_id for s in believed} if any(named[i])]
    if unlike:
        notes.append(
            f"By geometry is told what was kept, moved and relabeled of {counted(len(unlike))}:"
            f" they count against what was shown first, not against {paths.proposals(key)}"
        )
    elif not by_id and any(name is not None for item in chosen for name in item.proposal_ids):
        notes.append(
            f"The file was made from other proposals than {paths.proposals(key)} has now: what"
            " was kept, moved and relabeled is told by geometry"
        )
    origins = [known for known, _ in pairs.values()]
    tolerance = rounding_tolerance(origins, boxes.values())
    final = {
        s.image_id: assign_ids(
            pairs[s.image_id][0],
            boxes[s.image_id],
            pairs[s.image_id][1],
            taken=[*s.offered.ids.tolist(), *s.labels.ids.tolist()],
            tolerance=tolerance,
        )
        for s in starts
    }
    return final, notes
