"""Foundation models of transformers, which find what texts name without any training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from boxloop.core.types import Boxes, ImageRef
from boxloop.errors import WeightsError
from boxloop.models import devices
from boxloop.models.detectors import suppression
from boxloop.models.detectors.postprocess import to_boxes
from boxloop.models.detectors.transformers import loading
from boxloop.models.detectors.transformers.asking import ASKED, Ask
from boxloop.models.image_loader import resized_batches
from boxloop.models.progress import ItemProgress
from boxloop.params import ZERO_SHOT, FirstParams

_NONE = "take propose.first out, and the first batch is drawn from scratch"
_WANTED = loading.Wanted(
    "propose.first.model",
    ["*.json", "*.txt"],
    "name a folder that save_pretrained wrote for a zero-shot detector and its processor (perhaps"
    " on another machine), or one on the Hugging Face hub, such as"
    f" IDEA-Research/grounding-dino-tiny or google/owlv2-base-patch16-ensemble, or {_NONE}",
)
_NMS_IOU = 0.5
"""IoU from which a box suppresses another one of its class: OWL-ViT offers every object often."""
_MOST = 300
"""Boxes of an image."""
_ROUNDING = 1e-5


class ZeroShotDetector:
    """A network that finds what phrases name.

    Attributes:
        name: stands for it in proposals.
        classes: names of the classes that it looks for.
    """

    def __init__(self, name: str, classes: Sequence[str], ask: Ask, device: torch.device) -> None:
        """Take over what asks a network on ``device`` for a phrase per class."""
        self.name, self.classes = name, tuple(classes)
        self._ask, self._device = ask, device

    def propose(
        self,
        images: Sequence[ImageRef],
        *,
        score_floor: float,
        batch_size: int,
        progress: ItemProgress | None = None,
    ) -> dict[str, Boxes]:
        """Propose boxes; see :meth:`boxloop.models.detectors.base.Detector.propose`.

        At most 300 of an image are kept, and none that overlaps a better one of its class.
        """
        result: dict[str, Boxes] = {}
        # Each architecture has a size of its own that it brings images to.
        for pixels in resized_batches(images, _full_size, batch_size, self._device):
            batch = images[len(result) : len(result) + len(pixels)]
            for image, found in zip(batch, self._detect(pixels, score_floor), strict=True):
                size = (image.height, image.width)
                result[image.id] = to_boxes(
                    found["boxes"].cpu().numpy(),
                    1 + found["labels"].cpu().numpy(),
                    found["scores"].cpu().numpy(),
                    input_size=size,
                    image_size=size,
                    classes=self.classes,
                    score_floor=score_floor,
                )
            if progress is not None:
                progress(len(result), len(images))
        return result

    def _detect(
        self, images: Sequence[torch.Tensor], score_floor: float
    ) -> list[dict[str, torch.Tensor]]:
        """Return boxes in pixels, labels from 0 on and scores of each image."""
        # In float32 on every device: these networks decode boxes in the type that they compute in,
        # and boxes in bfloat16 are off by pixels.
        with torch.inference_mode(), torch.autocast(self._device.type, enabled=False):
            answer = self._ask([i.to(self._device, non_blocking=True) for i in images])
            sizes = [(image.shape[-2], image.shape[-1]) for image in images]
            sides = torch.tensor([(w, h, w, h) for h, w in sizes]).to(answer.boxes)
            centre, size = answer.boxes[..., :2], answer.boxes[..., 2:]
            boxes = torch.cat([centre - size / 2, centre + size / 2], -1) * sides[:, None]
            keep = boxes.isfinite().all(-1) & (answer.scores >= score_floor - _ROUNDING)
            return suppression.detections(
                boxes[keep],
                answer.phrases[keep],
                answer.scores[keep],
                keep.nonzero()[:, 0],
                sizes,
                nms_threshold=_NMS_IOU,
                most=_MOST,
            )


def load(params: FirstParams, classes: Sequence[str], device: str = "auto") -> ZeroShotDetector:
    """Load the network that ``propose.first`` names, to look for classes.

    Args:
        params: names it, and says by which words each class is looked for.
        classes: names of the campaign's classes.
        device: as :func:`boxloop.models.devices.pick` takes it.

    Raises:
        ParamsError: transformers is not installed, the prompts do not fit the classes or the
            network, or this machine has no such device.
        WeightsError: the network cannot be had, or is none of these.
    """
    phrases = params.phrases(classes)
    transformers = loading.library("propose.first needs the library transformers", _NONE)
    chosen = devices.pick(device)
    folder = loading.find_folder(params.model, _WANTED)
    config = _read_config(transformers, folder, params.model)
    network, processor = _load(transformers, folder, config, params.model)
    network.to(chosen).eval()
    ask = ASKED[config.model_type](network, processor, list(phrases.values()))
    return ZeroShotDetector(f"{ZERO_SHOT}{config.model_type}", tuple(phrases), ask, chosen)


def _full_size(image: ImageRef) -> tuple[int, int]:
    return image.height, image.width


def _read_config(transformers: Any, folder: Path, origin: str) -> Any:
    """Return the config of a network that can be asked."""
    try:
        # Code beside the weights is never executed.
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # whatever the library makes of a foreign file
        raise _unusable(origin, error) from None
    if config.model_type in ASKED:
        return config
    if type(config) in transformers.MODEL_FOR_OBJECT_DETECTION_MAPPING:
        raise WeightsError(
            f"{_WANTED.key}: {origin} is a {config.model_type}, which knows the classes that it was"
            " trained for and no others ('train.detector: transformers' trains it on yours):"
            f" {_WANTED.ways_out}"
        )
    raise WeightsError(
        f"{_WANTED.key}: {origin} is a {config.model_type}, which finds no objects by text; those"
        f" that do: {', '.join(ASKED)}: {_WANTED.ways_out}"
    )


def _load(transformers: Any, folder: Path, config: Any, origin: str) -> tuple[Any, Any]:
    """Return the network, and the processor that reads images and texts for it."""
    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        network, told = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(
            folder, config=config, dtype=torch.float32, output_loading_info=True, **options
        )
        processor = transformers.AutoProcessor.from_pretrained(folder, **options)
        if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
            raise ValueError(f"a {type(processor).__name__} does not read both images and texts")
    except Exception as error:  # whatever the library makes of a foreign file
        raise _unusable(origin, error) from None
    missing, total = len(told["missing_keys"]), len(network.state_dict())
    # The library would fill them with random numbers, and nobody trains them here.
    if missing > total // 10:
        raise WeightsError(
            f"{_WANTED.key}: {origin} lacks {missing} of the {total} tensors of a"
            f" {config.model_type}: {_WANTED.ways_out}"
        )
    return network, processor


def _unusable(origin: str, error: Exception) -> WeightsError:
    reason = " ".join(str(error).split())[:200]
    return WeightsError(f"{_WANTED.key}: {origin} cannot be used ({reason}): {_WANTED.ways_out}")
