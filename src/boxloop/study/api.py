"""The functions of ``import boxloop``: the paper's steps in memory, for notebooks and scripts.

They take arrays and lists as well as boxloop's own types, and refuse what they cannot use with one
sentence: a :class:`~boxloop.errors.BoxloopError` or a ValueError. What counts edits is in
:mod:`boxloop.study.counting`. For campaigns on disk see ``boxloop.pipeline``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from boxloop.core import batching, ordering
from boxloop.core.types import (
    Batch,
    Boxes,
    BoxesByImage,
    FeatureTable,
    ImageRef,
    ImageSet,
    LabeledSet,
    Ordering,
    Proposals,
)
from boxloop.files import temporary_folder
from boxloop.params import (
    DatasetParams,
    FeaturesParams,
    OrderParams,
    Params,
    ProposeParams,
    SimNetParams,
    TrainParams,
    chain,
    check,
)
from boxloop.params.arguments import (
    is_list,
    plain,
    require,
    require_list,
    require_mapping,
    require_path,
    require_progress,
)
from boxloop.study.spec import Axes
from boxloop.terminal import Report, silent

if TYPE_CHECKING:
    from boxloop.core.training_log import TrainingLog
    from boxloop.datasets import Dataset
    from boxloop.models.detectors.base import Detector, Proposer
    from boxloop.study.simulate import Simulation


def load_dataset(
    path: str | Path, format: str, *, progress: Report | None = None, **options: Any
) -> Dataset:
    """Read a dataset from a folder.

    Args:
        path: the dataset's folder; for "demo", the folder to draw its scenes into.
        format: "voc", "coco", "yolo", "kitti", "folder" (images alone), or "demo".
        progress: called with (images read, images in all).
        **options: other keys of the section ``dataset`` of params.yaml, such as ``classes``,
            ``split``, or ``demo={"images": 60}``.

    Returns:
        Images, boxes (None without annotations) and faults.

    Raises:
        ParamsError: there is no such format or option.
        DatasetError: the dataset cannot be used.
    """
    from boxloop import datasets

    require_path("path", path)
    require_progress(progress)
    content = {"path": str(path), "format": format, **plain(options)}
    params = check(DatasetParams, content, "load_dataset")
    with temporary_folder() as empty:
        return datasets.load(params, Path(path) if format == "demo" else empty, progress)


def extract_features(
    images: Dataset | ImageSet | Sequence[ImageRef],
    *,
    progress: Report | None = None,
    **options: Any,
) -> FeatureTable:
    """Turn every image into a feature vector (paper, section 3.1).

    Args:
        images: of a dataset.
        progress: called with (images done, images in all).
        **options: keys of the section ``features`` of params.yaml: ``network``, ``weights``,
            ``input_size``, ``batch_size``, ``seed``, ``device``; with ``weights="simnet"`` also
            ``simnet``, a dict with keys of that section, to train SimNet on the images first.

    Returns:
        Vectors (N, D) float32, by image id.

    Raises:
        ParamsError, WeightsError, DatasetError: the features cannot be had.
    """
    from boxloop.study.simulate import extract_in_memory

    require_progress(progress)
    own = plain(options)
    simnet = check(SimNetParams, own.pop("simnet", {}), "extract_features, simnet")
    params = check(FeaturesParams, own, "extract_features")
    return extract_in_memory(_different(images), params, simnet, progress)


def order(
    features: FeatureTable | Any,
    strategy: str = "dissimilar",
    *,
    image_ids: Sequence[str] | None = None,
    seed: int = 0,
    query_size: int = 3,
    linkage: str = "single",
    progress: Report | None = None,
) -> Ordering:
    """Order images before any training (paper, section 3.2).

    Args:
        features: a table, or an array (N, D) of numbers, in temporal order.
        strategy: "similar", "dissimilar", "random" or "temporal".
        image_ids: N names for the rows of an array; their numbers unless given.
        seed: of the query list, or of the random order.
        query_size: images of the query list.
        linkage: distance to the list: "single", "average" or "complete".
        progress: called with (images ordered, N).

    Raises:
        ParamsError: there is no such strategy or linkage, or ``seed`` or ``query_size`` cannot be
            used.
        ValueError: the array has another shape or holds a number that is not finite.
    """
    require_progress(progress)
    given = {"strategy": strategy, "seed": seed, "query_size": query_size, "linkage": linkage}
    params = check(OrderParams, plain(given), "order")
    return ordering.order(_table(features, image_ids), **params.model_dump(), progress=progress)


def plan_batches(
    order: Ordering | Sequence[str],
    *,
    size: int | None = None,
    count: int | None = None,
    sizes: Sequence[int] | None = None,
) -> list[Batch]:
    """Cut an order into batches b00, b01, ...

    Args:
        order: of :func:`order`, or image ids.
        size: images of each batch; the last one takes what is left.
        count: number of batches, of sizes that differ by one at most.
        sizes: images of each batch; images beyond their sum are left out.

    Raises:
        ValueError: not exactly one of the three is given, one is less than 1, there are too few
            images, or one occurs twice.
    """
    ids = order.image_ids if isinstance(order, Ordering) else order
    require_list("order", ids, str, "image ids")
    _require_different("order", "image", ids)
    if (size is not None) + (count is not None) + (sizes is not None) != 1:
        raise ValueError("give exactly one of size, count and sizes")
    if size is not None:
        sizes = batching.sizes_by_size(len(ids), size)
    elif count is not None:
        sizes = batching.sizes_by_count(len(ids), count)
    require_list("sizes", sizes, object, "whole numbers")
    assert sizes is not None
    require(len(sizes) > 0 or len(ids) == 0, "sizes", sizes, "a list of at least one whole number")
    return batching.cut(ids, list(sizes), [f"b{i:02d}" for i in range(len(sizes))])


def train_detector(
    labeled: LabeledSet | BoxesByImage,
    images: Dataset | ImageSet | Sequence[ImageRef],
    *,
    classes: Sequence[str] | None = None,
    progress: Report | None = None,
    **options: Any,
) -> tuple[Detector, TrainingLog]:
    """Train a detector on labeled images (paper, section 3.3).

    Args:
        labeled: boxes by image id; on none at all, the detector proposes nothing.
        images: all images that ``labeled`` is of; others are ignored.
        classes: names of the classes; those of the dataset or of the labels unless given.
        progress: called with (steps done, steps in all, loss=...).
        **options: keys of the section ``train`` of params.yaml: ``detector``, ``weights``,
            ``steps`` or ``epochs``, ``input_size``, ...

    Returns:
        The detector, with ``propose`` and ``save``, and how its training went.

    Raises:
        ParamsError, WeightsError, ArtifactError, DatasetError, DivergedError: it cannot be trained.
        ValueError: a class is named twice.
    """
    from boxloop.models import detectors

    params = check(TrainParams, plain(options), "train_detector")
    require_progress(progress)
    if classes is not None:
        require_list("classes", classes, str, "texts")
        _require_different("classes", "class", classes)
    if not isinstance(labeled, LabeledSet):
        require_mapping("labeled", labeled, Boxes, "boxes by image id")
        known = classes or _classes(images) or sorted(_labels(labeled))
        labeled = LabeledSet(tuple(known), (), dict(labeled))
    table = {ref.id: ref for ref in _refs(images)}
    refs = [table[image_id] for image_id in labeled.boxes if image_id in table]
    tell = silent if progress is None else progress
    return detectors.train(
        params, labeled, refs, progress=lambda step, steps, loss: tell(step, steps, loss=loss)
    )


def propose(
    detector: Proposer,
    images: Dataset | ImageSet | Sequence[ImageRef],
    *,
    score_floor: float = 0.05,
    batch_size: int = 16,
    progress: Report | None = None,
) -> Proposals:
    """Let a detector offer boxes.

    Args:
        detector: of :func:`train_detector`, or of :func:`boxloop.load_zero_shot`.
        images: to find objects on.
        score_floor: boxes that score less are dropped.
        batch_size: images at once.
        progress: called with (images done, images in all).

    Raises:
        ParamsError: ``score_floor`` or ``batch_size`` cannot be used.
        ValueError: an image occurs twice.
        DetectorError: it is of one's own, and what it returns is not what detectors promise.
    """
    from boxloop.models.detectors import promises

    found = callable(getattr(detector, "propose", None))
    require(found, "detector", detector, "a detector, with propose()")
    require_progress(progress)
    given = {"score_floor": score_floor, "batch_size": batch_size}
    params = check(ProposeParams, plain(given), "propose")
    boxes = promises.propose(
        detector,
        _different(images),
        score_floor=params.score_floor,
        batch_size=params.batch_size,
        progress=progress,
    )
    return Proposals("proposed", detector.name, "", params.score_floor, boxes)


def simulate(
    dataset: Dataset,
    *,
    turns: int | None = None,
    params: Params | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    **sections: Mapping[str, Any],
) -> Simulation:
    """Run a whole campaign in memory, with the truth in place of people.

    Args:
        dataset: with annotations, of :func:`load_dataset`.
        turns: number of batches; those of ``params`` unless given.
        params: all parameters; defaults without it.
        progress: called with (what, done, in all).
        **sections: of params.yaml but ``dataset``, over ``params``:
            ``order={"strategy": "random"}``, ``batch={"size": 40}``,
            ``train={"steps": 100, "weights": "none"}``,
            ``review={"score_threshold": 0.3}`` instead of a threshold fitted to each batch, ...

    Returns:
        The order, the batches, and the workload after each of them.

    Raises:
        ParamsError: a section cannot be used.
        DatasetError: the dataset has no annotations.
    """
    from boxloop.datasets import Dataset
    from boxloop.study.simulate import run

    require(isinstance(dataset, Dataset), "dataset", dataset, "a dataset of load_dataset")
    require(isinstance(params, Params | None), "params", params, "Params or None")
    require_progress(progress)
    content = (params or Params()).model_dump(mode="json", exclude_unset=True)
    for name, changes in sections.items():
        require(isinstance(changes, Mapping), name, changes, "a dict with keys of that section")
        content[name] = {**content.get(name, {}), **plain(changes)}
    if turns is not None:
        turns = check(Axes, plain({"turns": turns}), "simulate").turns
        content["iterations"] = chain(turns or 1)
    return run(dataset, check(Params, content, "simulate"), progress)


def _refs(images: Any) -> Sequence[ImageRef]:
    refs = getattr(images, "images", images)
    refs = getattr(refs, "images", refs)
    what = "a dataset of load_dataset, its images, or a list of ImageRef"
    require(is_list(refs, ImageRef), "images", images, what)
    return tuple(refs)


def _different(images: Any) -> Sequence[ImageRef]:
    refs = _refs(images)
    _require_different("images", "image", [ref.id for ref in refs])
    return refs


def _require_different(name: str, kind: str, values: Sequence[str]) -> None:
    repeated = next((value for value, n in Counter(values).items() if n > 1), None)
    if repeated is not None:
        verb = "hold" if name.endswith("s") else "holds"
        raise ValueError(f"{name} {verb} one {kind} twice: {repeated}: name each of them once")


def _classes(images: Any) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(getattr(images, "images", images), "classes", ())
    return found


def _labels(boxes: BoxesByImage) -> set[str]:
    return {str(label) for item in boxes.values() for label in item.labels}


def _table(features: Any, image_ids: Sequence[str] | None) -> FeatureTable:
    if image_ids is not None:
        require_list("image_ids", image_ids, str, "texts")
    if isinstance(features, FeatureTable):
        return features if image_ids is None else features.subset(image_ids)
    try:
        if np.iscomplexobj(np.asarray(features)):
            raise TypeError  # NumPy would drop the imaginary parts
        vectors = np.asarray(features, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(
            "features must be a table, or an array (N, D) of numbers, none complex"
        ) from None
    if vectors.ndim != 2:
        raise ValueError(f"features must be (N, D), got {vectors.shape}")
    width = len(str(max(0, len(vectors) - 1)))
    ids = [f"{i:0{width}d}" for i in range(len(vectors))] if image_ids is None else image_ids
    return FeatureTable(tuple(ids), vectors)
