"""The folder of a delivered model: what is in it, and how it finds boxes on images.

``boxloop deliver`` writes it, ``boxloop predict`` and :func:`load_model` use it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from boxloop.core.class_thresholds import ClassThreshold
from boxloop.core.names import require_classes
from boxloop.core.one_per_place import one_per_place
from boxloop.core.types import NOTHING, Boxes, ImageRef
from boxloop.datasets.images import Probe, or_error, peek_image, probe_images
from boxloop.errors import ArtifactError, DatasetError, ParamsError
from boxloop.files import file_digest, read_json, temporary_folder, writing_temporary
from boxloop.models import detectors
from boxloop.models.detectors import promises
from boxloop.models.detectors.base import Detector
from boxloop.params.arguments import require_path, require_text

if TYPE_CHECKING:
    from boxloop.models.crop_classifier import CropClassifier

DESCRIPTION, CHECKPOINT, ONNX, CARD = "model.json", "detector.pt", "model.onnx", "README.md"
CROPS = "crops.npz"
"""Names of the files in the folder."""

KINDS = ("f1", "least-wt")
"""What a threshold may be called; a number is one for all classes."""

_AT_ONCE = {"cpu": 4, "cuda": 64}
"""Batches that are proposed for in one call, by kind of device: a GPU's readers start slowly."""


_Count = Annotated[int, Field(ge=0, le=2**53)]
_Fraction = Annotated[float, Field(ge=0, le=1)]


class ModelFile(BaseModel):
    """The content of ``model.json``.

    Attributes:
        format: "boxloop/model@1".
        boxloop: version that wrote it.
        campaign: name of the campaign.
        detector: architecture.
        classes: names of the classes, in the order of the model's outputs.
        checkpoint: SHA-256 of ``detector.pt``.
        steps: of its training.
        batches: that it was trained on.
        images: number of images that it was trained on.
        boxes: number of boxes.
        score_floor: lowest score that the thresholds, and the ONNX graph, know of.
        iou_threshold: at which the thresholds were judged.
        thresholds: one row per class.
        onnx: SHA-256 of ``model.onnx``; None where there is none.
        onnx_missing: why there is none.
        made_of: digests of all that the training depends on, by name.
        apart: pairs of classes whose objects may be at one place; of other boxes at one place the
            best is kept. None, as in older files, keeps them all.
        crops: SHA-256 of ``crops.npz``, by which boxes get the classes of the labeled crops most
            like them; None where they have the detector's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal["boxloop/model@1"]
    boxloop: str
    campaign: str
    detector: str
    classes: tuple[str, ...]
    checkpoint: str
    steps: _Count
    batches: tuple[str, ...]
    images: _Count
    boxes: _Count
    score_floor: _Fraction
    iou_threshold: _Fraction
    thresholds: tuple[ClassThreshold, ...]
    onnx: str | None = None
    onnx_missing: str | None = None
    made_of: Mapping[str, str] = {}
    apart: tuple[tuple[str, str], ...] | None = None
    crops: str | None = None

    @model_validator(mode="after")
    def _a_threshold_per_class(self) -> ModelFile:
        require_classes(self.classes)
        if Counter(self.classes) != dict.fromkeys((row.label for row in self.thresholds), 1):
            raise ValueError("it must have one row of thresholds for each of its classes")
        for row in self.thresholds:
            if not (0 <= row.f1 <= NOTHING and 0 <= row.least_wt <= NOTHING):
                raise ValueError(f"the thresholds of '{row.label}' must lie in 0 to {NOTHING:g}")
        return self

    def scores(self, threshold: str | float) -> dict[str, float]:
        """Return from which score on boxes count, by class.

        Raises:
            ParamsError: the threshold is neither one of :data:`KINDS` nor a number from 0 to 1.
        """
        if threshold in KINDS:
            name = str(threshold).replace("-", "_")
            return {row.label: float(getattr(row, name)) for row in self.thresholds}
        try:
            number = float(threshold)
        except (TypeError, ValueError):
            number = -1.0
        if not 0 <= number <= 1:
            raise ParamsError(
                f"--threshold must be {', '.join(KINDS)} or a number from 0 to 1, got {threshold}"
            )
        return dict.fromkeys(self.classes, number)


def read_description(folder: Path) -> ModelFile:
    """Read ``model.json``.

    Raises:
        ArtifactError: the folder holds no delivered model, or a damaged one.
    """
    path = folder / DESCRIPTION
    if not path.exists():
        raise ArtifactError(
            f"{folder} holds no delivered model: 'boxloop deliver' makes one, in the folder of a"
            " campaign"
        )
    content = json.dumps(read_json(path))  # of JSON, strict types let lists pass for tuples
    try:
        return ModelFile.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = f"at {'.'.join(map(str, first['loc'])) or 'its top'}"
        why = first["ctx"]["error"] if first["type"] == "value_error" else first["msg"].lower()
        raise ArtifactError(f"{path}, {place}: {why}; 'boxloop deliver' writes it anew") from None


class Model:
    """A delivered model, loaded.

    Attributes:
        about: the content of its ``model.json``.
    """

    def __init__(
        self, about: ModelFile, detector: Detector, crops: CropClassifier | None = None
    ) -> None:
        """Take over what :func:`load_model` read."""
        self.about = about
        self._detector, self._crops = detector, crops

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its classes."""
        return self.about.classes

    def predict(
        self,
        images: Sequence[str | Path | bytes],
        *,
        threshold: str | float = "f1",
        batch_size: int = 16,
    ) -> list[Boxes]:
        """Find boxes on images.

        Args:
            images: files, or the bytes of files.
            threshold: from which score on boxes count: "f1" and "least-wt" are by class and come
                with the model; a number is for all classes.
            batch_size: images that the detector sees at once.

        Returns:
            Scored boxes of each image, the highest score first.

        Raises:
            DatasetError: an image is missing or damaged.
            ParamsError: ``images`` is no list of images, there is no such threshold, or
                ``batch_size`` is no whole number of at least 1.
            UserError: temporary files, for those that are given as bytes, find no room.
        """
        if isinstance(images, str | bytes | Path) or not isinstance(images, Iterable):
            raise ParamsError(
                f"predict takes a list of images, got {images!r:.100}: write [image] for one"
            )
        with ExitStack() as until_done:
            paths, folder = [], None
            for number, image in enumerate(images):
                if not isinstance(image, str | bytes | PathLike):
                    raise ParamsError(
                        f"image {number} is neither a path nor the bytes of a file, but"
                        f" {image!r:.100}: name its file"
                    )
                if not isinstance(image, bytes):
                    paths.append(Path(image))
                    continue
                folder = folder or until_done.enter_context(temporary_folder())
                paths.append(folder / str(number))
                with writing_temporary():
                    paths[-1].write_bytes(image)
            found = []
            for path, result in self.find(paths, threshold=threshold, batch_size=batch_size):
                if isinstance(result, DatasetError):
                    inside = path.parent == folder
                    said = str(result).replace(str(path), f"image {path.name}")
                    raise DatasetError(said if inside else str(result))
                found.append(result[1])
            return found

    def find(
        self, paths: Iterable[Path], *, threshold: str | float = "f1", batch_size: int = 16
    ) -> Iterator[tuple[Path, tuple[Probe, Boxes] | DatasetError]]:
        """Find boxes on any number of images, a few at a time.

        Yields:
            Each path, in order, with size and boxes, or what is wrong with the file.

        Raises:
            ParamsError: as :meth:`predict` does.
        """
        scores, source = self.about.scores(threshold), iter(paths)
        while some := list(islice(source, self.at_once(batch_size))):
            yield from zip(some, self._find(some, scores, batch_size), strict=True)

    def at_once(self, batch_size: int) -> int:
        """Return how many images :meth:`find` works on together.

        Raises:
            ParamsError: ``batch_size`` is no whole number of at least 1.
        """
        whole = isinstance(batch_size, Integral) and not isinstance(batch_size, bool)
        if not whole or batch_size < 1:
            raise ParamsError(
                f"batch_size must be a whole number of at least 1, got {batch_size!r:.100}"
            )
        device = getattr(getattr(self._detector, "device", None), "type", "cpu")
        return batch_size * _AT_ONCE.get(device, 4)

    def _find(
        self, paths: Sequence[Path], scores: Mapping[str, float], batch_size: int
    ) -> list[tuple[Probe, Boxes] | DatasetError]:
        from boxloop.models.image_loader import prefetch

        found = list(prefetch(partial(or_error, peek_image), paths))
        floor = min(scores.values(), default=NOTHING)
        try:
            boxes = self._propose(paths, found, floor, batch_size)
        except DatasetError:
            # Which of them it was: each is decoded, and the rest is proposed for again.
            good = [i for i, item in enumerate(found) if isinstance(item, Probe)]
            for i, item in zip(good, probe_images([paths[i] for i in good]), strict=True):
                found[i] = item
            boxes = self._propose(paths, found, floor, batch_size)
        return [
            (item, _reach(boxes[i], scores)) if isinstance(item, Probe) else item
            for i, item in enumerate(found)
        ]

    def _propose(
        self,
        paths: Sequence[Path],
        found: Sequence[Probe | DatasetError],
        floor: float,
        batch_size: int,
    ) -> dict[int, Boxes]:
        refs = [
            ImageRef(str(i), path.as_posix(), item.width, item.height, item.digest)
            for i, (path, item) in enumerate(zip(paths, found, strict=True))
            if isinstance(item, Probe)
        ]
        if not refs:
            return {}
        if self._crops is not None:
            from boxloop.models.crop_classifier import least_score

            floor = least_score(floor)
        boxes = promises.propose(self._detector, refs, score_floor=floor, batch_size=batch_size)
        apart = None if self.about.apart is None else frozenset(map(frozenset, self.about.apart))
        if apart is not None:
            boxes = one_per_place(boxes, apart)
        if self._crops is not None:
            boxes = self._crops.classify(refs, boxes)
            # Classes that may be at one place may have become the same.
            boxes = one_per_place(boxes, apart or frozenset(), own=True)
            boxes = {key: _best_first(value) for key, value in boxes.items()}
        return {int(key): value for key, value in boxes.items()}


def load_model(folder: str | Path, *, device: str = "auto") -> Model:
    """Load a model that ``boxloop deliver`` wrote.

    Args:
        folder: ``model/`` of a campaign, or a copy of it.
        device: "auto", "cpu", "cuda", "cuda:<index>" or "mps".

    Raises:
        ArtifactError: it holds no delivered model, or a damaged one.
        ParamsError: this machine has no such device.
    """
    require_path("folder", folder)
    require_text("device", device)
    about = read_description(Path(folder))
    checkpoint, crops = Path(folder) / CHECKPOINT, Path(folder) / CROPS
    for path, digest, what in (
        (checkpoint, about.checkpoint, "checkpoint"),
        (crops, about.crops, "file of crops"),
    ):
        if digest is not None and file_digest(path) != digest:
            raise ArtifactError(
                f"{path} is not the {what} that {DESCRIPTION} beside it describes: 'boxloop"
                " deliver' writes both anew"
            )
    detector = detectors.load(checkpoint, device)
    if tuple(detector.classes) != about.classes:
        raise ArtifactError(
            f"{Path(folder) / DESCRIPTION} is for the classes {', '.join(about.classes)}, but"
            f" {CHECKPOINT} beside it for {', '.join(detector.classes)}: 'boxloop deliver' writes"
            " both anew"
        )
    if about.crops is None:
        return Model(about, detector)
    from boxloop.models.crop_classifier import CropClassifier

    return Model(about, detector, CropClassifier.load(crops, about.classes, device))


def _best_first(boxes: Boxes) -> Boxes:
    assert boxes.scores is not None
    return boxes.select(np.argsort(-boxes.scores, kind="stable"))


def _reach(boxes: Boxes, scores: Mapping[str, float]) -> Boxes:
    """Return the boxes that reach the threshold of their class."""
    least = np.array([scores[label] for label in boxes.labels.tolist()], np.float64)
    if boxes.scores is None:
        return boxes
    return boxes.select((boxes.scores >= least) & (least < NOTHING))
