"""The stage at the back door: a model that is trained on everything labeled."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boxloop import __version__
from boxloop.campaign import artifacts, kept, outside
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.delivery import Labels, read_labels
from boxloop.campaign.digests import dataset_digest
from boxloop.campaign.export.folder import (
    DELIVERY,
    export_folder,
    require_replaceable,
    require_room,
)
from boxloop.core.completeness import only_judgeable
from boxloop.core.one_per_place import at_one_place, sorted_pairs
from boxloop.core.threshold import in_words
from boxloop.core.types import NOTHING, ImageRef
from boxloop.core.workload import find_cost_model
from boxloop.errors import ArtifactError
from boxloop.files import file_digest, write_json, write_text
from boxloop.pipeline.detecting import require_classes
from boxloop.terminal import counted, percent

if TYPE_CHECKING:
    from boxloop.core.class_thresholds import ClassThreshold
    from boxloop.models.detectors.base import Detector
    from boxloop.models.detectors.delivered import ModelFile

_COMPARED = 4
"""Images that ONNX is compared with torch on."""


def deliver(campaign: Campaign) -> ModelFile | None:
    """Train a detector on everything labeled, and write it to the folder ``model``.

    It is trained as that of a next turn would be. The folder also holds thresholds by class, a card
    (README.md) and, where the architecture allows it, an ONNX file; it is replaced as a whole, and
    the detector in it is kept while all that it was trained by stays the same. It goes to MLflow
    where ``track`` says that checkpoints do.

    Raises:
        UserError: nothing is labeled yet, or the folder cannot be written or holds what no delivery
            made.
        ArtifactError: what is labeled is for other classes than images.json has.
        TrackingError: MLflow cannot be written to; the folder is written then.
    """
    paths, params = campaign.paths, campaign.params
    [out] = campaign.choose("model")
    require_replaceable(out, DELIVERY)
    require_room(out)
    labels, image_set = read_labels(paths, params), artifacts.read_images(paths.images)
    source = paths.labeled(labels.newest)
    require_classes(image_set.classes, paths.images, labels.labeled.classes, source)
    refs = artifacts.subset_of(image_set, list(labels.labeled.boxes), source)
    made_of = kept.training_inputs(
        params.train, paths.images, source, paths.detector(labels.newest)
    )
    from boxloop import distributed
    from boxloop.models import detectors
    from boxloop.models.detectors import delivered, promises

    detector, before = _kept(out, made_of, params.propose.device)
    if detector is None and campaign.share_out():
        return None
    with distributed.join() if detector is None else nullcontext() as world:
        if detector is None:
            job = f"training on everything ({params.train.detector})"
            with campaign.reporting(job) as progress:
                detector, log = detectors.train(
                    params.train,
                    labels.labeled,
                    refs,
                    previous=paths.detector(labels.newest),
                    progress=lambda step, steps, loss: progress(step, steps, loss=loss),
                )
            steps = log.steps
        else:
            assert before is not None
            steps = before.steps
        if world is not None and not world.is_main:
            return None
    # Not before: several processes train.
    note = outside.left_out(paths, params, labels.labeled, "this model")
    if note is not None:
        campaign.say(note)
    thresholds = _thresholds(campaign, labels)
    with export_folder(out, DELIVERY) as folder:
        checkpoint = folder / delivered.CHECKPOINT
        if before is None:
            promises.save(detector, checkpoint, labeled_digest=made_of["labeled"])
        else:  # saved again, the same weights may lie otherwise in memory and in the file
            shutil.copyfile(out / delivered.CHECKPOINT, checkpoint)
        onnx, missing = _onnx(detector, folder, refs, params.propose.score_floor)
        old = None if before is None or before.crops is None else out / delivered.CROPS
        crops = _crops(campaign, folder, labels, refs, old) if labels.crops.used else None
        about = delivered.ModelFile(
            format="boxloop/model@1",
            boxloop=__version__,
            campaign=params.track.campaign,
            detector=detector.name,
            classes=labels.labeled.classes,
            checkpoint=file_digest(checkpoint),
            steps=steps,
            batches=labels.labeled.batches,
            images=len(labels.labeled),
            boxes=sum(map(len, labels.labeled.boxes.values())),
            score_floor=params.propose.score_floor,
            iou_threshold=params.review.iou_threshold,
            thresholds=thresholds,
            onnx=onnx,
            onnx_missing=missing,
            made_of=made_of,
            apart=sorted_pairs(at_one_place(labels.labeled.boxes.values())),
            crops=crops,
        )
        _write_card(campaign, folder, labels, thresholds, image_set.by_id(), about)
        write_text(folder / "classes.txt", "".join(f"{name}\n" for name in about.classes))
        write_json(folder / delivered.DESCRIPTION, about.model_dump(mode="json"))
    _track(campaign, out, labels, about, refs)
    return about


def _kept(
    out: Path, made_of: Mapping[str, str], device: str
) -> tuple[Detector | None, ModelFile | None]:
    """Load the detector that was delivered before, where a training would make it again."""
    from boxloop.models import detectors
    from boxloop.models.detectors import delivered

    try:
        before = delivered.read_description(out)
        checkpoint = out / delivered.CHECKPOINT
        same = kept.is_made_of(before.made_of, made_of)
        if same and before.checkpoint == file_digest(checkpoint):
            return detectors.load(checkpoint, device), before
    except ArtifactError:
        pass  # there is none yet, or it is damaged
    return None, None


def _thresholds(campaign: Campaign, labels: Labels) -> tuple[ClassThreshold, ...]:
    from boxloop.core.class_thresholds import fit_classes

    params = campaign.params
    return fit_classes(
        labels.evidence,
        labels.labeled.classes,
        params.review.iou_threshold,
        find_cost_model(params.account.cost_model),
        floor=params.propose.score_floor,
    )


def _onnx(
    detector: Detector, folder: Path, refs: Sequence[ImageRef], floor: float
) -> tuple[str | None, str | None]:
    """Write the ONNX file; return its digest, or why there is none."""
    from boxloop.models.detectors.delivered import ONNX
    from boxloop.models.detectors.onnx_export import export

    path = folder / ONNX
    missing = export(detector, path, refs[-_COMPARED:], score_floor=floor)
    return (file_digest(path), None) if missing is None else (None, missing)


def _crops(
    campaign: Campaign,
    folder: Path,
    labels: Labels,
    refs: Sequence[ImageRef],
    old: Path | None,
) -> str:
    """Write what the labeled crops look like; return the file's digest.

    The ``old`` file, which was made of the same labels, is kept where it can be used.
    """
    from boxloop.models.crop_classifier import CropClassifier
    from boxloop.models.detectors.delivered import CROPS

    device, path = campaign.params.propose.device, folder / CROPS
    try:
        if old is not None:
            CropClassifier.load(old, labels.labeled.classes, device)
            shutil.copyfile(old, path)
            return file_digest(path)
    except ArtifactError:
        pass  # it is damaged, or of another version
    campaign.say("looking at labeled crops")
    CropClassifier(labels.labeled.boxes, refs, device).save(path)
    return file_digest(path)


def _write_card(
    campaign: Campaign,
    folder: Path,
    labels: Labels,
    thresholds: tuple[ClassThreshold, ...],
    by_id: Mapping[str, ImageRef],
    about: ModelFile,
) -> None:
    from boxloop.models.average_precision import average_precision_by_class
    from boxloop.report.model_card import write_card

    paths, params, last = campaign.paths, campaign.params, labels.last
    precision: dict[str, dict[str, float]] = {}
    if last is not None:
        judgeable = only_judgeable(last, labels.labeled.classes)
        precision = average_precision_by_class(judgeable.proposals.boxes, judgeable.boxes)
    write_card(
        folder,
        paths,
        params,
        labels,
        thresholds,
        precision,
        by_id,
        {
            "campaign": about.campaign,
            "detector": f"{about.detector}, {about.steps} steps of {params.train.batch_size}",
            "trained on": f"{about.images} images, {about.boxes} boxes ({in_words(about.batches)})",
            "dataset": f"{dataset_digest(paths)} (images, classes and truth)",
            "images.json": about.made_of["images"],
            "labels": about.made_of["labeled"],
            "checkpoint": about.checkpoint,
            "boxloop": about.boxloop,
            **({"labeled crops": about.crops} if about.crops is not None else {}),
        },
        about.onnx_missing,
    )


def _track(
    campaign: Campaign, out: Path, labels: Labels, about: ModelFile, refs: Sequence[ImageRef]
) -> None:
    track = campaign.params.track
    if not (track.enabled and track.checkpoints):
        return
    from boxloop.tracking.track_model import track_model

    values: dict[str, Any] = {
        row.label: {"f1": row.f1, "least-wt": row.least_wt} for row in about.thresholds
    }
    track_model(
        campaign.paths,
        campaign.params,
        labels.newest,
        out,
        thresholds=values,
        example=_example(refs[0]),
        say=campaign.say,
    )


def _example(ref: ImageRef) -> bytes:
    """Return a small picture of an image, JPEG."""
    from PIL import Image

    from boxloop.datasets.images import as_jpeg, read_image

    picture = Image.fromarray(read_image(Path(ref.path)))
    picture.thumbnail((320, 320))
    return as_jpeg(picture)


def model_text(campaign: Campaign, about: ModelFile) -> str:
    """Say in a few lines what was delivered."""
    [out] = campaign.choose("model")
    lines = [
        f"{out}: {about.detector}, trained on {counted(about.images)} and"
        f" {counted(about.boxes, 'box')}",
        *(
            f"  {row.label}: f1 from {row.f1:g}, least-wt from {row.least_wt:g}"
            + (f" (saves {percent(row.saving)})" if row.saving and row.least_wt < NOTHING else "")
            for row in about.thresholds
        ),
    ]
    if about.crops is not None:
        lines.append("classes are those of the labeled crops most like a box, which saved more")
    if about.onnx_missing is not None:
        lines.append(f"no model.onnx, because {about.onnx_missing}")
    model = "" if str(out) == "model" else f" --model {shlex.quote(str(out))}"
    lines.append(f"to use it: boxloop predict IMAGES --out boxes.json{model}")
    return "\n".join(lines)
