"""Train and propose beside torchvision's own way of doing it, in one run.

    python benchmarks/detectors.py [--images FOLDER] [--steps 20] [--device auto] [DETECTOR ...]

The other side is what torchvision's references/detection does: its own model class with the same
layers and the same trainable weights (batch norm frozen as torchvision freezes it), images decoded,
flipped and resized as floats at every use, AdamW, a loop over a DataLoader without workers on a CPU
and with as many as boxloop takes on a GPU. Prints images per second of both, torchvision's by the
median over steps, and the ratio. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.models.detection import FCOS
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms import v2

from boxloop.core.types import Boxes, ImageRef, LabeledSet
from boxloop.files import file_digest
from boxloop.models import detectors, devices
from boxloop.models.detectors import fcos_efficientnet_lite0
from boxloop.models.detectors.training import workers
from boxloop.params import TrainParams

CLASSES = ("a", "b", "c")
DEFAULT = ("fcos_efficientnet_lite0", "ssdlite320_mobilenet_v3_large", "ssd300_mobilenet_v2")


class Files(Dataset[Any]):
    """Images and boxes as torchvision's references read them: anew at every use."""

    def __init__(self, refs: list[ImageRef], truth: dict[str, Boxes]) -> None:
        self.refs, self.truth = refs, truth
        self.transform = v2.Compose(
            [v2.ToImage(), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)]
        )

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        ref = self.refs[index]
        image = Image.open(ref.path).convert("RGB")
        boxes = self.truth[ref.id]
        xyxy = tv_tensors.BoundingBoxes(
            torch.tensor(boxes.xyxy, dtype=torch.float32),
            format="XYXY",
            canvas_size=(ref.height, ref.width),
        )
        labels = torch.tensor([CLASSES.index(name) + 1 for name in boxes.labels.tolist()])
        return self.transform(image, {"boxes": xyxy, "labels": labels})  # type: ignore[no-any-return]


def scenes(
    folder: Path, images: Path | None, count: int
) -> tuple[list[ImageRef], dict[str, Boxes]]:
    """Return images, drawn unless given, with eight boxes each."""
    rng = np.random.default_rng(0)
    paths = sorted(images.glob("*.jp*g"))[:count] if images else []
    for number in range(count - len(paths)):
        coarse = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(coarse).resize((640, 480), Image.Resampling.BILINEAR).save(paths[-1])
    refs, truth = [], {}
    for path in paths:
        width, height = Image.open(path).size
        refs.append(ImageRef(path.stem, str(path), width, height, file_digest(path)))
        corner = rng.uniform(0, 0.7, (8, 2)) * (width, height)
        side = rng.uniform(0.05, 0.25, (8, 2)) * (width, height)
        labels = [CLASSES[i] for i in rng.integers(0, len(CLASSES), 8)]
        truth[path.stem] = Boxes.build(np.concatenate([corner, corner + side], axis=1), labels)
    return refs, truth


def torchvisions(name: str, params: TrainParams) -> torch.nn.Module:
    """Return torchvision's own model of the same layers."""
    folding = fcos_efficientnet_lite0.fold_batch_norm
    try:
        # Frozen, as torchvision freezes batch norm, in place of folded.
        fcos_efficientnet_lite0.fold_batch_norm = _freeze
        ours: Any = detectors.create(params, CLASSES)
    finally:
        fcos_efficientnet_lite0.fold_batch_norm = folding
    model = copy.deepcopy(ours.model).to(memory_format=torch.contiguous_format)
    own, (height, width) = model.transform, ours.size.sides
    fixed = {} if ours.size.keep_aspect else {"fixed_size": (width, height)}
    model.transform = GeneralizedRCNNTransform(
        height, width, own.image_mean, own.image_std, size_divisible=own.size_divisible, **fixed
    )
    model.__class__ = FCOS if name.startswith("fcos") else SSD
    return model  # type: ignore[no-any-return]


def _freeze(network: torch.nn.Module) -> None:
    for module in list(network.modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            module.requires_grad_(False)
            module.train = lambda mode=True, m=module: m  # type: ignore[method-assign,assignment,misc]
            module.training = False


def plain_training(
    model: torch.nn.Module, files: Files, params: TrainParams, device: torch.device
) -> Iterator[float]:
    """Yield the seconds of each step."""
    draws = torch.arange(params.batch_size * (params.steps or 1)) % len(files)
    loader = DataLoader(
        files,
        batch_size=params.batch_size,
        sampler=draws.tolist(),
        num_workers=workers(device, params.workers),
        collate_fn=lambda batch: tuple(zip(*batch, strict=True)),
    )
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=params.learning_rate
    )
    precision = devices.precision(device)
    model.train()
    begin = time.perf_counter()
    for images, targets in loader:
        moved = [image.to(device) for image in images]
        wanted = [{k: v.to(device) for k, v in target.items()} for target in targets]
        with torch.autocast(device.type, precision, enabled=precision is not None):
            loss = sum(model(moved, wanted).values())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
        loss.item()  # type: ignore[union-attr]
        yield time.perf_counter() - begin
        begin = time.perf_counter()


def plain_proposing(
    model: torch.nn.Module, files: Files, batch: int, device: torch.device
) -> float:
    """Return the seconds of one pass over all images."""
    model.eval()
    begin = time.perf_counter()
    with torch.inference_mode():
        for start in range(0, len(files), batch):
            taken = range(start, min(start + batch, len(files)))
            outputs = model([files[i][0].to(device) for i in taken])
            _ = [{k: v.cpu() for k, v in output.items()} for output in outputs]
    return time.perf_counter() - begin


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=DEFAULT)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = devices.pick(options.device)
    print(f"{device}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'images per second':34s}{'boxloop':>9s}{'torchvision':>13s}{'ratio':>7s}")
    with tempfile.TemporaryDirectory() as folder:
        refs, truth = scenes(Path(folder), options.images, options.count)
        files, labeled = Files(refs, truth), LabeledSet(CLASSES, ("b00",), truth)
        for name in options.names:
            weights = "in1k" if name == "fcos_efficientnet_lite0" else "none"
            params = TrainParams(
                detector=name,
                weights=weights,
                steps=options.steps,
                batch_size=options.batch,
                device=str(device),
                learning_rate=1e-4,
            )
            theirs = torchvisions(name, params).to(device)
            steps = list(plain_training(theirs, files, params, device))
            detector, log = detectors.train(params, labeled, refs)
            # All of the training: decoding at the start, and batch norm's statistics at the end.
            ours = (log.seconds + log.preparing_seconds) / options.steps
            median = statistics.median(steps[2:])
            report(f"train {name}", options.batch / ours, options.batch / median)
            begin = time.perf_counter()
            detector.propose(refs, score_floor=0.3, batch_size=options.batch)
            ours = time.perf_counter() - begin
            setattr(theirs, "score_thresh", 0.3)  # noqa: B010
            plain = plain_proposing(theirs, files, options.batch, device)
            report(f"propose {name}", len(refs) / ours, len(refs) / plain)


def report(what: str, ours: float, theirs: float) -> None:
    """Print one line."""
    print(f"{what.replace('_mobilenet', '_mn'):34s}{ours:9.1f}{theirs:13.1f}{ours / theirs:7.2f}")


if __name__ == "__main__":
    main()
