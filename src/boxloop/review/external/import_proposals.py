"""Take another program's predictions as the proposals of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from boxloop.campaign import artifacts, given
from boxloop.campaign.by_pixels import digests_of
from boxloop.campaign.export.content import require_batch
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.box_validation import REFUSE, REPAIR, Defect, inspect
from boxloop.core.types import Boxes, ImageRef
from boxloop.errors import ArtifactError, DatasetError, ProtectedLabelsError
from boxloop.params import Params
from boxloop.review.external.import_coco import list_names
from boxloop.review.external.predictions import PredictedBox, Predictions, read_predictions
from boxloop.review.people import read_submissions
from boxloop.review.validation import MOST_BOXES, printable
from boxloop.terminal import counted

_SUBMITTABLE = replace(REPAIR, least_side=REFUSE.least_side)
"""Boxes are clipped, and large enough for a person to submit them as they are."""


@dataclass(frozen=True)
class GivenProposals:
    """What was taken from a file of predictions.

    Attributes:
        batch: its key.
        images: number of images of the batch.
        without: those of them that the file says nothing of.
        boxes: number of boxes taken.
        left_out: number of rows of the file that were not, by reason.
        clipped: number of the boxes taken that reached more than a pixel beyond their image, by
            image.
        path: where they are kept.
        unscored: whether no row had a score.
        doubts: what contradicts the classes that YOLO's numbers were taken for.
    """

    batch: str
    images: int
    without: tuple[str, ...]
    boxes: int
    left_out: Mapping[str, int]
    clipped: Mapping[str, int]
    path: Path
    unscored: bool
    doubts: tuple[str, ...] = ()

    def summary(self) -> str:
        """Summarize the import in a few lines for the terminal."""
        images = counted(self.images - len(self.without))
        lines = [f"{self.batch}: {counted(self.boxes, 'box')} on {images}"]
        if self.without:
            count = len(self.without)
            lines.append(
                f"Not in the file, so nothing is proposed there: {list_names(self.without)}"
                f" ({count} of {self.images} images)"
            )
        lines += [f"Left out, {what}: {count}" for what, count in sorted(self.left_out.items())]
        if self.clipped:
            boxes = counted(sum(self.clipped.values()), "box")
            lines.append(
                f"Clipped, as they reach more than a pixel beyond their image: {boxes} on"
                f" {counted(len(self.clipped))}, {next(iter(self.clipped))} for one"
            )
        lines += [f"Note: {doubt}" for doubt in self.doubts]
        if self.unscored:
            lines.append("No box has a score, so each counts as certain and is shown")
        lines.append(f"Kept in {self.path}, which git should keep too, as params.yaml names it")
        lines.append("Next: dvc repro")
        return "\n".join(lines)


def import_proposals(
    paths: CampaignPaths,
    params: Params,
    params_file: Path,
    batch: str,
    source: Path,
    *,
    listing: Path | None = None,
    names: Path | None = None,
    field: str = "predictions",
) -> GivenProposals:
    """Have a batch begin with another program's boxes in place of the detector's.

    They go through the same threshold, review and accounting. The boxes of other batches' images
    are left out, as are those of classes that the campaign does not have.

    Args:
        paths: of the campaign.
        params: its parameters.
        params_file: its params.yaml, which will name the proposals.
        batch: its key.
        source: see :func:`~boxloop.review.external.predictions.read_predictions`, as for the rest.
        listing: the COCO file that the results count in.
        names: what YOLO's numbers count.
        field: of a FiftyOne dataset.

    Raises:
        ParamsError: there is no such batch.
        DatasetError: the predictions cannot be read, or are none of this batch's.
        ArtifactError: a file of the campaign is missing or damaged.
        ProtectedLabelsError: people have reviewed a part of the batch already.
    """
    require_batch(params, batch)
    path = paths.batch(batch)
    if not path.exists():
        raise ArtifactError(
            f"{path} does not exist, so {batch} has no images yet: run 'dvc repro batch' first"
        )
    item, images = artifacts.read_batch(path), artifacts.read_images(paths.images)
    if batch in {s.batch for s in read_submissions(paths, [batch])}:
        raise ProtectedLabelsError(
            f"{source} was not taken in: {batch} is reviewed already, at least in part, and its"
            " edits are counted against the proposals that were shown; import for a later batch"
        )
    found = read_predictions(
        source, images.images, images.classes, listing=listing, names=names, field_name=field
    )
    _require_some(found, source, item.image_ids, batch)
    left_out = Counter(found.left_out)
    left_out["images that are not the campaign's"] = len(found.unknown)
    refs = {ref.id: ref for ref in artifacts.subset_of(images, item.image_ids, path)}
    clipped: Counter[str] = Counter()
    boxes = {
        image_id: _boxes(ref, found.boxes.get(image_id, ()), images.classes, left_out, clipped)
        for image_id, ref in refs.items()
    }
    rows = sum(map(len, found.boxes.values()))
    left_out["boxes of other batches"] = sum(
        len(rows) for image_id, rows in found.boxes.items() if image_id not in refs
    )
    _require_classes(found, refs, boxes, source, images.classes)
    return GivenProposals(
        batch,
        len(refs),
        tuple(image_id for image_id in refs if image_id not in found.boxes),
        sum(map(len, boxes.values())),
        {what: count for what, count in left_out.items() if count},
        {image_id: count for image_id, count in clipped.items() if count},
        given.keep(paths, params_file, item, boxes, digests_of(images, boxes)),
        unscored=rows > 0 and found.unscored >= rows,
        doubts=tuple(found.doubts),
    )


def _require_some(found: Predictions, source: Path, image_ids: Sequence[str], batch: str) -> None:
    if found.boxes.keys() & set(image_ids):
        return
    if found.boxes:
        raise DatasetError(f"{source} has no image of batch {batch}")
    names = list_names(sorted(found.unknown)) or "no image"
    raise DatasetError(f"{source} has none of the campaign's images, but {names}")


def _require_classes(
    found: Predictions,
    refs: Mapping[str, ImageRef],
    boxes: Mapping[str, Boxes],
    source: Path,
    classes: Sequence[str],
) -> None:
    """Refuse predictions for other classes altogether."""
    labels = {row.label for image_id in refs for row in found.boxes.get(image_id, ())}
    if labels and labels.isdisjoint(classes):
        raise DatasetError(
            f"{source} is for the classes {list_names(sorted(map(printable, labels)))}, and the"
            f" campaign has {list_names(classes)}: rename them in the file, or say by --names"
            " which classes its numbers count"
        )


def _boxes(
    ref: ImageRef,
    rows: Sequence[PredictedBox],
    classes: Sequence[str],
    left_out: Counter[str],
    clipped: Counter[str],
) -> Boxes:
    """Return the usable boxes of an image, clipped to it, the best score first."""
    kept = []
    for row in rows:
        if row.label in classes:
            kept.append(row)
        else:
            name = printable(row.label)
            left_out[f"boxes of class {name}, which the campaign does not have"] += 1
    corners = [row.xyxy for row in kept]
    checked = inspect(corners, ref.width, ref.height, _SUBMITTABLE)
    with_area = inspect(corners, ref.width, ref.height, REPAIR).usable
    left_out["boxes without an area inside their image"] += int((~with_area).sum())
    thin = with_area & ~checked.usable
    left_out["boxes less than a pixel wide or high inside their image"] += int(thin.sum())
    best = np.flatnonzero(checked.usable).tolist()
    best.sort(key=lambda i: -kept[i].score)
    first: dict[tuple[object, ...], int] = {}
    for i in best:
        first.setdefault((kept[i].label, *checked.clipped[i].tolist()), i)
    left_out["boxes that are another one's double, of its class"] += len(best) - len(first)
    usable = list(first.values())
    left_out[f"boxes beyond the {MOST_BOXES} best of their image"] += len(usable[MOST_BOXES:])
    usable = usable[:MOST_BOXES]
    clipped[ref.id] += sum(checked.defects[i] is Defect.OVERHANG for i in usable)
    if not usable:
        return Boxes.empty(scored=True)
    return Boxes(
        checked.clipped[usable],
        np.array([kept[i].label for i in usable], dtype=np.str_),
        np.array([f"p{place}" for place in range(len(usable))], dtype=np.str_),
        np.array([kept[i].score for i in usable], dtype=np.float64),
    )
