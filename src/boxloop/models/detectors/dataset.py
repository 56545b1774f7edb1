"""Labeled images on their way into a detector: at its input size, randomly drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.utils.data import Dataset, Sampler

from boxloop import distributed
from boxloop.core.types import ImageRef, LabeledSet
from boxloop.errors import ArtifactError
from boxloop.models.detectors.transforms import Augment
from boxloop.models.image_loader import ahead, read_resized, resized

MEMORY_BUDGET = 2 * 2**30
"""Bytes of decoded training images to keep in memory, on one machine."""


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
        """(height, width) that an image of this size gets."""
        if not self.keep_aspect:
            return self.sides
        shorter, longer = self.sides
        scale = min(shorter / min(height, width), longer / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))


class Drawn(NamedTuple):
    """One training image as the model takes it.

    Attributes:
        image: (3, h, w) uint8.
        boxes: (n, 4) float32, pixels of ``image``.
        labels: (n,) int64, 1 is the first class (0 is background).
    """

    image: torch.Tensor
    boxes: torch.Tensor
    labels: torch.Tensor


class LabeledSamples(Dataset[Drawn]):
    """The images of a labeled set with their boxes.

    Decoded images stay in memory where all of them fit into :data:`MEMORY_BUDGET`.
    """

    def __init__(
        self,
        labeled: LabeledSet,
        images: Sequence[ImageRef],
        classes: Sequence[str],
        size: InputSize,
        augment: Augment,
        *,
        budget: int | None = None,
    ) -> None:
        """Reads nothing yet, unless the images fit into ``budget`` bytes.

        Without one, it is this process's part of :data:`MEMORY_BUDGET`.

        Raises:
            ArtifactError: an image of ``labeled`` is not among ``images``, or a label is not among
                ``classes``.
        """
        by_id = {image.id: image for image in images}
        index = {name: number for number, name in enumerate(classes, start=1)}
        self.size, self.augment = size, augment
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
            self.refs.append(by_id[image_id])
            self.boxes.append(torch.tensor(boxes.xyxy, dtype=torch.float32).reshape(-1, 4))
            self.labels.append(
                torch.tensor([index[name] for name in boxes.labels.tolist()], dtype=torch.int64)
            )
        # A crop of an image that was shrunk before would be blurred: keep more pixels for it.
        self.detail = 2 if any(name == "iou_crop" for name, _ in augment.steps) else 1
        self.cache: list[torch.Tensor] | None = None
        budget = MEMORY_BUDGET // distributed.world().local_size if budget is None else budget
        needed = 3 * sum(h * w for h, w in map(self._kept_size, self.refs))
        if needed <= budget:
            self.cache = list(ahead(self._read, self.refs))

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, key: tuple[int, int]) -> Drawn:
        """The image at an index, as changed by the draw of a number."""
        index, draw = key
        return self._at_input_size(*self.augment(*self._kept(index), draw))

    def plain(self, index: int) -> Drawn:
        """The image at an index, unchanged."""
        return self._at_input_size(*self._kept(index))

    def _kept(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        ref = self.refs[index]
        pixels = self._read(ref) if self.cache is None else self.cache[index]
        boxes = _rescaled(self.boxes[index], (ref.height, ref.width), tuple(pixels.shape[-2:]))
        return pixels, boxes, self.labels[index]

    def _at_input_size(
        self, image: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor
    ) -> Drawn:
        before = (image.shape[-2], image.shape[-1])
        after = self.size.of(*before)
        return Drawn(resized(image, after), _rescaled(boxes, before, after), labels)

    def _kept_size(self, ref: ImageRef) -> tuple[int, int]:
        height, width = self.size.of(ref.height, ref.width)
        return (
            min(height * self.detail, max(height, ref.height)),
            min(width * self.detail, max(width, ref.width)),
        )

    def _read(self, ref: ImageRef) -> torch.Tensor:
        return read_resized(ref, self._kept_size(ref))


def _rescaled(boxes: torch.Tensor, before: tuple[int, ...], after: tuple[int, ...]) -> torch.Tensor:
    if before == after:
        return boxes
    y, x = after[0] / before[0], after[1] / before[1]
    return boxes * torch.tensor([x, y, x, y], dtype=boxes.dtype)


class Draws(Sampler[tuple[int, int]]):
    """(index, number of the draw): each pass over the images in a new random order.

    Passes follow one another without a seam, so that every batch is full: batch norm cannot train
    on a last batch of one image. Of processes that work together each takes its share of every
    batch, so that a step sees the same images however many there are.
    """

    def __init__(
        self,
        images: int,
        draws: int,
        seed: int,
        *,
        batch: int = 1,
        rank: int = 0,
        size: int = 1,
    ) -> None:
        """What one process takes of ``draws`` draws out of ``images`` images.

        Args:
            images: how many there are.
            draws: of all processes.
            seed: of the order.
            batch: draws of a step, of all processes; a multiple of ``size``.
            rank: number of the process.
            size: number of processes.
        """
        self.images, self.draws, self.seed = images, draws, seed
        self.batch, self.rank, self.size = batch, rank, size

    def __len__(self) -> int:
        return self.draws // self.size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        share = self.batch // self.size
        for draw in self._all():
            if draw[1] % self.batch // share == self.rank:
                yield draw

    def _all(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(self.seed)
        for start in range(0, self.draws, self.images):
            order = torch.randperm(self.images, generator=generator).tolist()
            for offset, index in enumerate(order[: self.draws - start]):
                yield index, start + offset
