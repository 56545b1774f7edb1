"""Tell the class of a box by the labeled crops that look most like what is in it.

Few labels are enough to find objects, but not to teach a detector many classes. The vectors of a
network of ImageNet tell crops apart without being trained: the class of a box is that of the
nearest labeled ones (k nearest neighbours; weighed by similarity as in Wu et al. 2018,
arXiv:1805.01978, section 3.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from boxloop.core.threshold import FITTED_TO_NOTHING
from boxloop.core.types import Boxes, BoxesByImage, CropUse, ImageRef, Proposals
from boxloop.datasets.images import read_image
from boxloop.errors import ArtifactError
from boxloop.files import BAD_ARCHIVE, atomic_path
from boxloop.models import bundled, devices
from boxloop.models.features import Vectors, load_network
from boxloop.models.image_loader import prefetch, resize
from boxloop.models.progress import ItemProgress
from boxloop.params import FeaturesParams

_SIDE = 96
"""Pixels of a crop's side: 224 tell classes no better on the sets that were tried."""

_MARGIN = 0.1
"""What is shown around a box, as a fraction of its longer side."""

_NEAREST = 10
"""Labeled crops that vote."""

_TEMPERATURE = 0.05
"""By what similarity fades: a crop that is less alike by this counts 1 / e of the other."""

LEAST = 0.15
"""Score from which a detector's box is looked at. Most boxes score less, and are not shown in the
end whatever they are."""

MOST = 200
"""Labeled crops of a class that are looked at; of more a part is drawn."""

_BATCH = 64
_SEED = 0

_MADE_BY = f"{bundled.NETWORK} {bundled.SHA256[:12]}, {_SIDE} pixels, margin {_MARGIN:g}"
"""What two vectors must share to be compared."""


def least_score(score: float) -> float:
    """Return from which detector's score on a box may reach a score once crops were looked at."""
    return min(score, max(LEAST, score**2))


def with_crops(
    proposals: Proposals,
    labeled: BoxesByImage,
    known: Sequence[ImageRef],
    images: Sequence[ImageRef],
    device: str = "auto",
    progress: ItemProgress | None = None,
) -> Proposals:
    """Return proposals with the same boxes by labeled crops beside them, of which none is used yet.

    Args:
        proposals: with the detector's own classes.
        labeled: a person's boxes by image id; without any, ``proposals`` are returned as they are.
        known: covers every image of ``labeled``.
        images: those that ``proposals`` are for.
        device: what computes the vectors.
        progress: called with (images done, images in all).

    Raises:
        DatasetError: an image cannot be read.
        WeightsError: the network's weights are not installed.
    """
    if not any(map(len, labeled.values())):
        return proposals
    classifier = CropClassifier(labeled, known, device)
    other = classifier.classify(images, proposals.boxes, progress)
    return replace(proposals, crops=CropUse(False, None, FITTED_TO_NOTHING, other))


class CropClassifier:
    """Tells classes by labeled crops.

    Vectors are those of :data:`boxloop.models.bundled.NETWORK`, less their mean over the labeled
    crops, at unit length; similarity is their cosine.
    """

    def __init__(
        self, labeled: BoxesByImage, images: Sequence[ImageRef], device: str = "auto"
    ) -> None:
        """Look at the labeled crops.

        Args:
            labeled: a person's boxes by image id; at least one box.
            images: covers every image of ``labeled``.
            device: what computes the vectors.

        Raises:
            DatasetError: an image cannot be read.
            ParamsError: this machine has no such device.
            WeightsError: the network's weights are not installed.
        """
        self._begin(device)
        chosen = _some_of_each_class(labeled)
        refs = [ref for ref in images if ref.id in chosen]
        vectors = np.concatenate([v for _, v in self._vectors(refs, chosen)])
        self._labels = np.concatenate([chosen[ref.id].labels for ref in refs])
        self._mean = vectors.mean(axis=0)
        self._known = _unit(vectors - self._mean)

    def _begin(self, device: str) -> None:
        params = FeaturesParams(
            network=bundled.NETWORK, weights=bundled.NAME, input_size=_SIDE, device=device
        )
        self._backbone = load_network(params, None)
        self._device = devices.pick(device)

    def save(self, path: Path) -> None:
        """Write what the labeled crops look like, from which no image can be drawn again.

        Vectors are stored in half precision, which no vote was seen to depend on.
        """
        rows = {
            "vectors": self._known.astype(np.float16),
            "labels": self._labels.astype(np.str_),
            "mean": self._mean,
            "made_by": np.array(_MADE_BY),
        }
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **rows)

    @classmethod
    def load(cls, path: Path, classes: Sequence[str], device: str = "auto") -> CropClassifier:
        """Read what :meth:`save` wrote.

        Args:
            path: of the file.
            classes: those that its crops may have.
            device: what computes the vectors.

        Raises:
            ArtifactError: the file is missing, damaged, of other classes or of another network.
            ParamsError: this machine has no such device.
            WeightsError: the network's weights are not installed.
        """
        again = "'boxloop deliver' writes it anew"
        try:
            with np.load(path, allow_pickle=False) as content:
                vectors, labels, mean = (content[name] for name in ("vectors", "labels", "mean"))
                made_by = str(content["made_by"])
        except FileNotFoundError:
            raise ArtifactError(f"{path} is missing: {again}") from None
        except (*BAD_ARCHIVE, KeyError):
            raise ArtifactError(f"{path} is damaged: {again}") from None
        if made_by != _MADE_BY:
            raise ArtifactError(f"{path} is by {made_by}, where {_MADE_BY} is at hand: {again}")
        if vectors.shape != (len(labels), *mean.shape) or labels.dtype.kind != "U":
            raise ArtifactError(f"{path} holds tables that do not fit each other: {again}")
        other = sorted(set(labels.tolist()) - set(classes))
        if other:
            raise ArtifactError(
                f"{path} has the class {other[0]}, which the model has not: {again}"
            )
        made = cls.__new__(cls)
        made._begin(device)
        made._known, made._labels, made._mean = vectors.astype(np.float32), labels, mean
        return made

    def classify(
        self,
        images: Sequence[ImageRef],
        boxes: BoxesByImage,
        progress: ItemProgress | None = None,
    ) -> dict[str, Boxes]:
        """Return boxes with the classes of the labeled crops most like them.

        The score becomes the root of its product with the share of the votes for that class, so
        that it still tells how sure it is that a box is right as a whole. Boxes that score less
        than :data:`LEAST` are left as they are.

        Args:
            images: of ``boxes``.
            boxes: a detector's, scored.
            progress: called with (images done, images in all).

        Raises:
            DatasetError: an image cannot be read.
        """
        found = dict(boxes)
        chosen = {image_id: own.select(_looked_at(own)) for image_id, own in boxes.items()}
        refs = [ref for ref in images if len(chosen[ref.id])]
        for done, (ref, vectors) in enumerate(self._vectors(refs, chosen), 1):
            own, part = boxes[ref.id], _looked_at(boxes[ref.id])
            assert own.scores is not None
            named, shares = self._vote(_unit(vectors - self._mean))
            labels, scores = own.labels.astype(object), own.scores.copy()
            labels[part] = named
            scores[part] = np.round(np.sqrt(own.scores[part] * shares), 5)
            found[ref.id] = Boxes(own.xyxy, labels.astype(np.str_), own.ids, scores)
            if progress is not None:
                progress(done, len(refs))
        return found

    def _vote(self, vectors: Vectors) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
        """Return (n,) the class of each vector (n, D), and its share of the votes."""
        similar = vectors.astype(np.float64) @ self._known.astype(np.float64).T
        nearest = np.argsort(-similar, axis=1, kind="stable")[:, :_NEAREST]
        near = np.take_along_axis(similar, nearest, axis=1)
        weights = np.exp((near - near[:, :1]) / _TEMPERATURE)
        names, codes = np.unique(self._labels, return_inverse=True)
        votes = np.zeros((len(vectors), len(names)))
        np.add.at(votes, (np.arange(len(vectors))[:, None], codes[nearest]), weights)
        best = votes.argmax(axis=1)
        shares = votes.max(axis=1) / votes.sum(axis=1)
        return names[best], shares

    def _vectors(
        self, images: Sequence[ImageRef], boxes: Mapping[str, Boxes]
    ) -> Iterator[tuple[ImageRef, Vectors]]:
        """Yield the vectors (n, D) of the n boxes of each image, all of which have some."""
        crops = prefetch(lambda ref: _crops(ref, boxes[ref.id]), images)
        for ref, pixels in zip(images, crops, strict=True):
            parts = []
            for part in torch.split(pixels, _BATCH):
                precision = devices.precision(self._device)
                half = torch.autocast(self._device.type, precision, enabled=precision is not None)
                with torch.inference_mode(), half:
                    parts.append(self._backbone(part.to(self._device)).float().cpu())
            yield ref, torch.cat(parts).numpy()


def _looked_at(boxes: Boxes) -> NDArray[np.bool_]:
    assert boxes.scores is not None
    return np.asarray(boxes.scores >= LEAST)


def _some_of_each_class(labeled: BoxesByImage) -> dict[str, Boxes]:
    """Return at most ``MOST`` boxes of each class, drawn from all; images without any are left out.

    What is drawn depends on the labels alone.
    """
    places = [(i, row) for i, boxes in labeled.items() for row in range(len(boxes))]
    labels = np.concatenate([boxes.labels for boxes in labeled.values()])
    rank = np.random.default_rng(_SEED).permutation(len(places))
    kept: dict[str, list[int]] = {}
    for name in np.unique(labels):
        of_class = np.flatnonzero(labels == name)
        for place in sorted(of_class[np.argsort(rank[of_class])][:MOST].tolist()):
            image_id, row = places[place]
            kept.setdefault(image_id, []).append(row)
    return {i: labeled[i].select(np.array(sorted(kept[i]))) for i in labeled if i in kept}


def _crops(image: ImageRef, boxes: Boxes) -> torch.Tensor:
    """Cut (n, 3, side, side) uint8 out of an image; what lies beyond its border is black."""
    pixels = torch.from_numpy(read_image(Path(image.path), image.digest)).permute(2, 0, 1)
    height, width = pixels.shape[-2:]
    crops = []
    for x1, y1, x2, y2 in boxes.xyxy.tolist():
        margin = _MARGIN * max(x2 - x1, y2 - y1)
        left, top = int(np.floor(x1 - margin)), int(np.floor(y1 - margin))
        right, bottom = int(np.ceil(x2 + margin)), int(np.ceil(y2 + margin))
        inside = pixels[:, max(0, top) : min(height, bottom), max(0, left) : min(width, right)]
        around = (max(0, -left), max(0, right - width), max(0, -top), max(0, bottom - height))
        crops.append(resize(functional.pad(inside, around), (_SIDE, _SIDE)))
    return torch.stack(crops)


def _unit(vectors: Vectors) -> Vectors:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Vectors = vectors / np.maximum(length, np.finfo(np.float32).tiny)
    return found
