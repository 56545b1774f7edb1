"""Time the features of images, and a plain DataLoader loop with as many workers.

    python benchmarks/embedding.py                                   # drawn images
    python benchmarks/embedding.py --images /data/photos --network resnet50 --batch-size 128

Both turn the same files into vectors by the same network with random weights, in the same run, in
turns. The loop is what one writes without boxloop: Pillow opens a file and squashes it,
``DataLoader`` puts batches together in worker processes, the network computes: on a GPU under
autocast, channels_last, from pinned memory. It checks nothing; boxloop also checks that each file
is still the one that it was.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from boxloop.core.types import ImageRef
from boxloop.datasets.images import SUFFIXES, probe_images
from boxloop.models import backbones, devices
from boxloop.models.features import extract
from boxloop.models.image_loader import THREADS, reading_processes
from boxloop.params import FeaturesParams


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="a folder of images; drawn ones without it")
    parser.add_argument("--count", type=int, default=512, help="images at most")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480), help="of drawn ones")
    parser.add_argument("--network", default="tf_efficientnet_lite0")
    parser.add_argument("--input-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many runs counts")
    arguments = parser.parse_args()
    params = FeaturesParams(
        network=arguments.network,
        weights="none",
        input_size=arguments.input_size,
        batch_size=arguments.batch_size,
        device=arguments.device,
    )
    device = devices.pick(params.device)
    workers = reading_processes() if device.type == "cuda" else THREADS
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    print(f"{name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    with tempfile.TemporaryDirectory() as scratch:
        images = photographs(arguments.images or drawn(Path(scratch), arguments))
        images = images[: arguments.count]
        best = {"boxloop": 0.0, "plain": 0.0}
        for _ in range(arguments.repeat):
            for which in best:
                begin = time.perf_counter()
                if which == "boxloop":
                    ours = extract(images, params).vectors
                else:
                    theirs = plain(images, params, device, workers)
                best[which] = max(best[which], len(images) / (time.perf_counter() - begin))
    length = np.linalg.norm(theirs, axis=1)
    apart = float((np.linalg.norm(ours - theirs, axis=1) / length).max())
    print(
        f"{len(images)} images, {params.network} at {params.input_size}, batches of"
        f" {params.batch_size}, images/s: boxloop {best['boxloop']:.1f}, DataLoader with"
        f" {workers} workers {best['plain']:.1f}, ratio {best['boxloop'] / best['plain']:.2f};"
        f" the vectors differ by {apart:.1%} of their length at most"
    )


def drawn(folder: Path, arguments: argparse.Namespace) -> Path:
    """Draw JPEG files with as much detail as photographs have."""
    rng = np.random.default_rng(0)
    width, height = arguments.size
    for number in range(min(arguments.count, 64)):
        rough = rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
        picture = Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)
        noise = rng.integers(-12, 13, (height, width, 3))
        pixels = np.clip(np.asarray(picture).astype(int) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.jpg", quality=90)
    for number in range(64, arguments.count):
        (folder / f"{number:04d}.jpg").symlink_to(folder / f"{number % 64:04d}.jpg")
    return folder


def photographs(folder: Path) -> list[ImageRef]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    found = zip(paths, probe_images(paths), strict=True)
    return [
        ImageRef(str(number), str(path), probe.width, probe.height, probe.digest)
        for number, (path, probe) in enumerate(found)
        if not isinstance(probe, Exception)
    ]


class Plain(Dataset[torch.Tensor]):
    """Squashed images, one by one."""

    def __init__(self, images: Sequence[ImageRef], side: int) -> None:
        self.images, self.side = images, side

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.images[index].path) as image:
            small = image.convert("RGB").resize((self.side, self.side), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(small)).permute(2, 0, 1)


def plain(
    images: Sequence[ImageRef], params: FeaturesParams, device: torch.device, workers: int
) -> np.ndarray:
    side, gpu = params.input_size, device.type == "cuda"
    start = backbones.start(params.network, params.weights, section="features")
    network = backbones.build(params.network, start, [(side, side)], seed=params.seed).to(device)
    loader = DataLoader(
        Plain(images, side), batch_size=params.batch_size, num_workers=workers, pin_memory=gpu
    )
    vectors = []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=gpu):
        for batch in loader:
            vectors.append(network(batch.to(device, non_blocking=True)).float().cpu())
    return torch.cat(vectors).numpy()


if __name__ == "__main__":
    main()
