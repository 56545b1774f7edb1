"""Detectors, trained on labeled images to propose boxes for others.

Adding one takes a file that offers a ``FACTORY`` (see ``Detector`` and ``DetectorFactory`` in
``base.py``) and one line in ``boxloop.params.registry``. Nothing heavy is imported before
a detector is made.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from boxloop.core.completeness import complete_images
from boxloop.core.training_log import TrainingLog
from boxloop.core.types import ImageRef, LabeledSet
from boxloop.errors import ArtifactError, IncompleteError, ParamsError
from boxloop.models.detectors import promises
from boxloop.models.detectors.base import Detector
from boxloop.models.detectors.empty import read_empty
from boxloop.models.progress import StepProgress
from boxloop.params import EMPTY, FITTED, TrainParams
from boxloop.params.registry import DETECTORS

if TYPE_CHECKING:
    from boxloop.models.checkpoint import DetectorCheckpoint

_AT_HAND = ("fcos_efficientnet_lite0", "in1k")
"""A detector and weights that are there, which is known without importing torch for seconds."""

_USUAL_SIDE = 64
"""Pixels that every detector can take."""


def names() -> tuple[str, ...]:
    """Return the names of the detectors, the empty one last."""
    return tuple(sorted(DETECTORS, key=lambda name: name == EMPTY))


def create(params: TrainParams, classes: Sequence[str], previous: Path | None = None) -> Detector:
    """Create a detector, to be trained.

    Args:
        params: names the architecture and where its weights come from.
        classes: names of the campaign's classes, in the dataset's order.
        previous: the checkpoint of the iteration before; with ``params.warm_start`` the weights
            come from it, unless it is the empty detector's.

    Raises:
        ParamsError: there is no such architecture, or it is not the one of ``previous``.
        DetectorError: its code makes no such detector.
        WeightsError: the weights cannot be had or do not fit.
        ArtifactError: ``previous`` is missing or damaged, or has other classes.
    """
    factory = DETECTORS.get(params.detector)
    if params.warm_start and previous is not None and read_empty(previous) is None:
        checkpoint = _read(previous)
        if checkpoint.architecture != EMPTY:
            if checkpoint.architecture != params.detector:
                raise ParamsError(
                    f"train.warm_start cannot continue {previous}, a {checkpoint.architecture},"
                    f" as a {params.detector}: set warm_start to false or keep the detector"
                )
            if checkpoint.classes != tuple(classes):
                raise ArtifactError(
                    f"{previous} knows the classes {', '.join(checkpoint.classes)}, but the labeled"
                    f" set has {', '.join(classes)}: set train.warm_start to false"
                )
            given = (checkpoint, params.device, params)
            return promises.make(factory, "restore", params.detector, classes, *given)
    return promises.make(factory, "create", params.detector, classes, params, tuple(classes))


def load(path: Path, device: str = "auto") -> Detector:
    """Load the detector that was saved at ``path``.

    Args:
        path: the checkpoint.
        device: as :func:`boxloop.models.devices.pick` takes it.

    Raises:
        ArtifactError: the checkpoint is missing, damaged or of an unknown architecture.
        ParamsError: this machine has no such device.
    """
    if (empty := read_empty(path)) is not None:
        return empty
    checkpoint = _read(path)
    if checkpoint.architecture not in DETECTORS:
        raise ArtifactError(
            f"{path} is of the architecture {checkpoint.architecture}, which this version lacks"
        )
    factory, name = DETECTORS.get(checkpoint.architecture), checkpoint.architecture
    return promises.make(factory, "restore", name, checkpoint.classes, checkpoint, device)


def train(
    params: TrainParams,
    labeled: LabeledSet,
    images: Sequence[ImageRef],
    *,
    previous: Path | None = None,
    progress: StepProgress | None = None,
) -> tuple[Detector, TrainingLog]:
    """Create a detector and train it; without labeled images, the empty one.

    See :func:`create` for ``params`` and ``previous``, and :meth:`.base.Detector.train` for the
    others; their errors are raised here as well. A detector that cannot leave a class out of its
    losses is trained on the images that are complete for all classes, see :func:`left_out`.

    Raises:
        IncompleteError: there is no such image.
    """
    if len(labeled) == 0:
        # What is misspelled is told now, not after a person has labeled the first batch.
        DETECTORS.require(params.detector)
        if not _is_usual(params):
            factory = DETECTORS.get(params.detector)
            check = getattr(factory, "check", None)
            if check is not None:
                check(params)
            promises.require_factory(factory, "create", params.detector)
        params = params.model_copy(update={"detector": EMPTY, "warm_start": False})
    detector = create(params, labeled.classes, previous)
    if left_out(detector, labeled):
        whole = complete_images(labeled)
        if len(whole) == 0:
            missing = sorted({name for names in labeled.incomplete.values() for name in names})
            raise IncompleteError(
                f"none of the {len(labeled)} labeled images is complete for {', '.join(missing)},"
                f" and {params.detector} cannot leave a class out of its training: review them with"
                f" 'boxloop review --for {shlex.quote(missing[0])}', or choose another"
                " train.detector"
            )
        labeled = whole
    return detector, promises.train(detector, labeled, images, params, progress)


def left_out(detector: Detector, labeled: LabeledSet) -> int:
    """Return how many images a detector is not trained on, because it would learn what is wrong.

    Those that are not complete for some class, where it cannot leave that class out.
    """
    if detector.name == EMPTY or getattr(detector, "masks_classes", False):
        return 0
    return len(labeled.incomplete)


def _is_usual(params: TrainParams) -> bool:
    """Tell parameters that need no check by the detector, which has to be imported for it."""
    if DETECTORS.is_loaded(params.detector):
        return False
    named = (params.detector, params.weights)
    own = DETECTORS.code_of(params.detector) is None and params.detector != "transformers"
    at_hand = named == _AT_HAND or (own and params.weights == "none")
    short, long = params.input_size or (_USUAL_SIDE, _USUAL_SIDE)
    return at_hand and params.zoom in (FITTED, 1) and _USUAL_SIDE <= short <= long


def _read(path: Path) -> DetectorCheckpoint:
    from boxloop.models.checkpoint import read_detector  # torch takes seconds to import

    return read_detector(path)
