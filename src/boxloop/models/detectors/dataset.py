"""Training samples of a detector, and the order of their draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch.utils.data import Dataset

from boxloop.core.box_validation import REPAIR, Defect, inspect
from boxloop.core.types import Boxes, ImageRef, LabeledSet
from boxloop.errors import ArtifactError
from boxloop.models.detectors.transforms import Augment, cut_window
from boxloop.models.image_loader import ImageCache, resize


@dataclass(frozen=True)
class InputSize:
    """The size that images are brought to.

    Attributes:
        sides: (height, width) that every image is squashed to; with ``keep_aspect`` (shorter,
            longer side): the largest size with the image's own aspect ratio within both.
        keep_aspect: which of the two.
    """

    sides: tuple[int, int]
    keep_aspect: bool

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) of a resized image."""
        if not self.keep_aspect:
            return self.sides
        scale = self.scale(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def scale(self, height: int, width: int) -> float:
        """Return by what an image is enlarged where its aspect ratio is kept."""
        shorter, longer = self.sides
        return min(shorter / min(height, width), longer / max(height, width))

    def zoomed(self, factor: float) -> InputSize:
        """Return a size whose sides are ``factor`` times as long, rounded."""
        height, width = (max(1, round(side * factor)) for side in self.sides)
        return replace(self, sides=(height, width))


class Sample(NamedTuple):
    """One training image with its boxes, as the model takes them.

    Attributes:
        image: (3, h, w) uint8.
        boxes: (n, 4) float32, pixels of ``image``.
        labels: (n,) int64, 1 is the first class (0 is background).
        ignored: (classes + 1,) bool, the classes that the image is not complete for; None where
            every image of the training is complete.
    """

    image: torch.Tensor
    boxes: torch.Tensor
    labels: torch.Tensor
    ignored: torch.Tensor | None = None


class LabeledSamples(Dataset[Sample]):
    """Labeled images with their boxes, at a detector's input size; kept in memory if they fit."""

    def __init__(
        self,
        labeled: LabeledSet,
        images: Sequence[ImageRef],
        classes: Sequence[str],
        size: InputSize,
        augment: Augment,
        *,
        zoom: float = 1.0,
        budget: int | None = None,
    ) -> None:
        """Read all images, if they fit into ``budget`` bytes.

        With a ``zoom`` above 1 an image is enlarged that much beyond ``size``, and a sample is a
        window of it, of ``size``.

        Raises:
            ArtifactError: an image of ``labeled`` is not among ``images``, a label is not among
                ``classes``, or a box has no area inside its image.
            DatasetError: an image cannot be read.
        """
        by_id = {image.id: image for image in images}
        index = {name: number for number, name in enumerate(classes, start=1)}
        self.size, self.augment, self.zoom = size, augment, zoom
        self.refs: list[ImageRef] = []
        self.boxes: list[torch.Tensor] = []
        self.labels: list[torch.Tensor] = []
        for image_id, boxes in labeled.boxes.items():
            if image_id not in by_id:
                raise ArtifactError(f"the labeled set has an image '{image_id}' that is not known")
            unknown = sorted(set(boxes.labels.tolist()) - set(index))
            if unknown:
                raise ArtifactError(
                    f"the labeled set has a box of class '{unknown[0]}' in image '{image_id}', but"
                    f" the classes are {', '.join(classes)}"
                )
            self._require_learnable(by_id[image_id], boxes)
            self.refs.append(by_id[image_id])
            self.boxes.append(torch.tensor(boxes.xyxy, dtype=torch.float32).reshape(-1, 4))
            self.labels.append(
                torch.tensor([index[name] for name in boxes.labels.tolist()], dtype=torch.int64)
            )
        self.ignored: list[torch.Tensor] = []
        if labeled.incomplete:
            for image_id in labeled.boxes:
                missing = labeled.incomplete.get(image_id, ())
                self.ignored.append(torch.tensor([False, *(name in missing for name in classes)]))
        self.images = ImageCache(self.refs, [self._kept_size(r) for r in self.refs], budget=budget)

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Return an image, changed by the random draw of this number."""
        index, draw = key
        kept = self._kept(index, draw)
        changed = self.augment(kept.image, kept.boxes, kept.labels, draw)
        return self._at_input_size(Sample(*changed, kept.ignored))

    def plain(self, index: int) -> Sample:
        """Return the image at an index, or its first window, unchanged."""
        return self._at_input_size(self._kept(index, 0))

    def _require_learnable(self, image: ImageRef, boxes: Boxes) -> None:
        """Refuse boxes that the models of some libraries cannot be trained on, and others learn."""
        found = inspect(boxes.xyxy, image.width, image.height, REPAIR)
        before = (image.height, image.width)
        sized = _rescale(
            torch.tensor(boxes.xyxy, dtype=torch.float32).reshape(-1, 4),
            before,
            self.size.zoomed(self.zoom).of(*before),
        )
        vanish = (sized[:, 2:] <= sized[:, :2]).any(dim=1).tolist()
        for row, (defect, usable) in enumerate(zip(found.defects, found.usable, strict=True)):
            if usable and not vanish[row]:
                continue
            outside = defect in (Defect.OUTSIDE, Defect.ON_RIM)
            fault = "lies outside" if outside else "has no area to speak of in"
            corners = ", ".join(f"{side:g}" for side in boxes.xyxy[row].tolist())
            raise ArtifactError(
                f"the labeled set: the box {boxes.ids[row]} of image '{image.id}' ({corners})"
                f" {fault} its {image.width}x{image.height} pixels: put it right, or leave it out"
            )

    def _kept(self, index: int, draw: int) -> Sample:
        ref, pixels = self.refs[index], self.images[index]
        boxes = _rescale(self.boxes[index], (ref.height, ref.width), tuple(pixels.shape[-2:]))
        ignored = self.ignored[index] if self.ignored else None
        labels = self.labels[index]
        if self.zoom > 1:
            height, width = self.size.of(ref.height, ref.width)
            # As large as it was kept: with more pixels for a crop, the window has more as well.
            detail = pixels.shape[-1] / self.size.zoomed(self.zoom).of(ref.height, ref.width)[1]
            sides = (round(height * detail), round(width * detail))
            pixels, boxes, labels = cut_window(
                pixels, boxes, labels, sides, seed=self.augment.seed, draw=draw
            )
        return Sample(pixels, boxes, labels, ignored)

    def _kept_size(self, ref: ImageRef) -> tuple[int, int]:
        """Return the (height, width) of an image before it is changed."""
        height, width = self.size.zoomed(self.zoom).of(ref.height, ref.width)
        # A crop of an image that was shrunk before would be blurred: keep more pixels for it.
        detail = 2 if self.augment.crops else 1
        return (
            min(height * detail, max(height, ref.height)),
            min(width * detail, max(width, ref.width)),
        )

    def _at_input_size(self, sample: Sample) -> Sample:
        before = (sample.image.shape[-2], sample.image.shape[-1])
        after = self.size.of(*before)
        boxes = _rescale(sample.boxes, before, after)
        return Sample(resize(sample.image, after), boxes, sample.labels, sample.ignored)


def _rescale(boxes: torch.Tensor, before: tuple[int, ...], after: tuple[int, ...]) -> torch.Tensor:
    if before == after:
        return boxes
    y, x = after[0] / before[0], after[1] / before[1]
    scaled = boxes * torch.tensor([x, y, x, y], dtype=boxes.dtype)
    # Rounding leads some a little beyond the border.
    return torch.minimum(scaled, torch.tensor([*after[::-1]] * 2, dtype=boxes.dtype))


def draw_shared_batches(
    images: int, draws: int, seed: int, *, batch: int = 1, rank: int = 0, size: int = 1
) -> Iterator[tuple[int, int]]:
    """Draw indices, each pass over the images in a new random order.

    Passes follow one another without a seam, so that every batch is full: batch norm cannot train
    on a last batch of one image. Of processes that work together each takes its share of every
    batch, so that a step sees the same images however many there are.

    Args:
        images: how many there are.
        draws: of all processes.
        seed: of the order.
        batch: draws of a step, of all processes; a multiple of ``size``.
        rank: number of the process.
        size: number of processes.

    Yields:
        (index of the image, number of the draw).
    """
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, draws, images):
        order = torch.randperm(images, generator=generator).tolist()
        for draw, index in enumerate(order[: draws - start], start=start):
            if draw % batch // (batch // size) == rank:
                yield index, draw
