"""Take labels that came later into a campaign: trusted as they are, or to be checked by people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from boxloop import __version__
from boxloop.campaign import artifacts, class_changes, existing, submissions
from boxloop.campaign.by_pixels import digests_of
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.existing import SURE, as_proposals
from boxloop.core.types import Boxes, BoxesByImage, Corrections, ImageSet, Proposals
from boxloop.datasets.exif import RAW, UPRIGHT
from boxloop.datasets.faults import Fault
from boxloop.errors import ArtifactError, DatasetError, ParamsError
from boxloop.files import file_digest
from boxloop.params import GIVEN, LABELS, Params
from boxloop.review.external.label_files import LabelFile, read_label_file
from boxloop.review.fiftyone.session_registry import require_closed
from boxloop.review.people import read_submissions
from boxloop.terminal import counted

TRUSTED, PROPOSED = "trusted", "proposed"

_EXAMPLES = 3


@dataclass(frozen=True)
class ImportedLabels:
    """What was taken from a file of labels.

    Attributes:
        use: "trusted" or "proposed".
        boxes: what was taken, by image id.
        images_of: number of them by batch; the key is empty for those that are in no batch yet.
        done: number of images whose labels were left alone, because they are labeled already.
        replaced: number of images whose labels were to be checked already, and are others now.
        without: classes of the campaign that have no box.
        found: the file's content.
        path: where it is kept.
    """

    use: str
    boxes: BoxesByImage
    images_of: Mapping[str, int]
    done: int
    replaced: int
    without: tuple[str, ...]
    found: LabelFile
    path: Path

    def summary(self) -> str:
        """Summarize the import in a few lines for the terminal."""
        count = sum(map(len, self.boxes.values()))
        lines = [
            f"Labels that are {self.use} from now on: {counted(count, 'box')} on"
            f" {counted(len(self.boxes))}"
        ]
        lines += [
            f"  {f'of {key}' if key else 'in no batch yet'}: {counted(number)}"
            for key, number in self.images_of.items()
        ]
        if self.without:
            lines.append(
                f"No box of: {', '.join(self.without)}. Where the file never had that class, its"
                " images may show such objects all the same"
            )
        if self.done:
            lines.append(f"Left alone, images that are labeled already: {self.done}")
        if self.replaced:
            lines.append(
                f"Images that had other labels to be checked, which these replace: {self.replaced}"
                " (the old ones stay in their file)"
            )
        lines += _what_was_left(self.found)
        named = "" if self.use == TRUSTED else ", as params.yaml names it"
        lines.append(f"Kept in {self.path}, which git should keep too{named}")
        lines.append("Next: dvc repro")
        return "\n".join(lines)


def _what_was_left(found: LabelFile) -> list[str]:
    """Say what of a file was not taken, and why."""
    lines = []
    if found.bare:
        lines.append(f"Not taken, images without a box: {len(found.bare)}")
    if found.unknown:
        names = ", ".join(sorted(found.unknown)[:_EXAMPLES])
        more = ", ..." if len(found.unknown) > _EXAMPLES else ""
        lines.append(
            f"Left out, images that are not the campaign's: {len(found.unknown)} ({names}{more})"
        )
    lines += [f"Left out, {what}: {count}" for what, count in sorted(found.left_out.items())]
    by_kind: dict[str, list[Fault]] = {}
    for fault in found.log.faults:
        by_kind.setdefault(fault.kind.value.replace("_", " "), []).append(fault)
    for kind, faults in by_kind.items():
        lines.append(f"At fault, {kind}: {len(faults)}")
        lines += [f"  {fault.file}: {fault.detail}" for fault in faults[:_EXAMPLES]]
        if len(faults) > _EXAMPLES:
            lines.append(f"  and {len(faults) - _EXAMPLES} more")
    return lines


def import_labels(
    paths: CampaignPaths,
    params: Params,
    params_file: Path,
    source: Path,
    *,
    use: str,
    names: Path | None = None,
    exif: str | None = None,
) -> ImportedLabels:
    """Take labels of images that nobody has labeled here yet.

    Trusted ones go to the journal: their images need no review, whatever batch they are in or come
    into, and are counted apart. Proposed ones are shown in place of the detector's boxes, from the
    first batch on that is not finished.

    Args:
        paths: of the campaign.
        params: its parameters.
        params_file: its params.yaml, which will name proposed labels.
        source: see :func:`~boxloop.review.external.label_files.read_label_file`.
        use: "trusted" or "proposed".
        names: what YOLO's numbers count.
        exif: "raw" or "upright": for which pixels boxes are where EXIF data turn a photo. None
            takes what the source says, else ``dataset.exif``, else its sizes.

    Raises:
        ParamsError: the use or ``exif`` is neither, or the campaign is simulated.
        DatasetError: the labels cannot be read, or none of them is to be taken; nothing was
            written.
        SessionError: an image to trust is open in a review session.
        ArtifactError: a file of the campaign is missing or damaged.
    """
    if use not in (TRUSTED, PROPOSED):
        raise ParamsError(f"--as {use!a:.50}: labels are {TRUSTED} or {PROPOSED}")
    if exif not in (None, RAW, UPRIGHT):
        raise ParamsError(f"--exif {exif!a:.50}: boxes are for {RAW} or {UPRIGHT} pixels")
    if not params.review.asks_people:
        raise ParamsError(
            "review.annotator is 'simulated', which has the labels of all images: set it to"
            " 'fiftyone' in params.yaml first"
        )
    if not paths.images.exists():
        raise ArtifactError(
            f"{paths.images} does not exist, so there are no images yet: run 'dvc repro batch'"
            " first"
        )
    images = artifacts.read_images(paths.images)
    found = read_label_file(
        source,
        images.images,
        images.classes,
        names=names,
        exif=exif,
        usual_exif=params.dataset.exif,
    )
    labeled = set(submissions.latest(read_submissions(paths, params.iterations)))
    labeled |= existing.of_dataset(params, paths.truth, "trusted").keys()
    boxes = {i: b for i, b in found.boxes.items() if i not in labeled}
    if not boxes:
        raise DatasetError(f"{source} was not taken in: {_why_nothing(found)}")
    batch_of = artifacts.read_batch_of(map(paths.batch, params.iterations))
    counts = Counter(batch_of.get(image_id, "") for image_id in boxes)
    replaced = 0
    if use == TRUSTED:
        require_closed(paths.state / "sessions", boxes.keys())
        path = _trust(paths, params, images, boxes, source)
    else:
        key = _first_open(params, batch_of, labeled)
        before = existing.by_turn(
            paths, params, existing.of_dataset(params, paths.truth, "proposed")
        )[key]
        replaced = sum(i in before and before[i] != b for i, b in boxes.items())
        path = existing.keep(paths, params, params_file, key, boxes, digests_of(images, boxes))
    present = {label for b in boxes.values() for label in b.labels.tolist()}
    return ImportedLabels(
        use,
        boxes,
        {key: counts[key] for key in (*params.iterations, "") if counts[key]},
        len(found.boxes) - len(boxes),
        replaced,
        tuple(name for name in images.classes if name not in present),
        found,
        path,
    )


def _why_nothing(found: LabelFile) -> str:
    if found.boxes:
        return f"all that it has boxes of is labeled already ({counted(len(found.boxes))})"
    rest = "; ".join(_what_was_left(found))
    return f"it has no usable box of the campaign's images{f' ({rest})' if rest else ''}"


def _first_open(params: Params, batch_of: Mapping[str, str], labeled: set[str]) -> str:
    """Return the first turn with images that nobody has labeled; the last where there is none."""
    open_ = {key for image_id, key in batch_of.items() if image_id not in labeled}
    begun = set(batch_of.values())
    keys = list(params.iterations)
    return next((key for key in keys if key in open_ or key not in begun), keys[-1])


def _trust(
    paths: CampaignPaths,
    params: Params,
    images: ImageSet,
    boxes: Mapping[str, Boxes],
    source: Path,
) -> Path:
    """Submit labels to the journal, as given; they are their own proposals, for a later redo."""
    offered = {image_id: as_proposals(b) for image_id, b in boxes.items()}
    final = {i: Boxes(b.xyxy, b.labels, b.ids) for i, b in offered.items()}
    digest = file_digest(source) if source.is_file() else ""
    changes = class_changes.read(*paths.journals)
    submission = Corrections(
        Proposals(GIVEN, LABELS, digest, 0.0, offered),
        SURE,
        GIVEN,
        final,
        finished=submissions.timestamp(),
        versions={"boxloop": __version__},
        digests=digests_of(images, boxes),
        classes=images.classes,
        changes=class_changes.followed(changes, params.dataset.classes, images.classes),
        given=tuple(boxes),
    )
    return submissions.append(paths.reviews, submission)
