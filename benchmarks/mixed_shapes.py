"""What is saved where images are of many shapes, and how their padding counts in a batch?

    python benchmarks/mixed_shapes.py PARAMS [--learn 60] [--judge 200] [--seeds 0 1 2]
                                      [--frequent 8] [--set section.key=value ...]

From each image with objects of the most frequent classes the part around one of them is cut, of a
random shape. For each seed, which also draws the images, the default detector is trained on some of
them twice and judged on others: once as it is, with norms over each image's own canvas and images
of different shapes computed apart, and once as torchvision does it, with everything padded to one
shape and counted; that one also proposes for images alone. Percent of WT saved with the best
threshold at IoU 0.5 and 0.7, and seconds of the training.

    python benchmarks/mixed_shapes.py recipes/fod-a.yaml --set dataset.path=FOD-A \
      --set 'train.input_size=[160,256]' --set train.steps=100
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image
from small_objects import with_frequent_classes

from boxloop.core.evidence import sweep
from boxloop.core.types import Boxes, ImageRef, ImageSet, LabeledSet
from boxloop.core.workload import PAPER
from boxloop.datasets import load
from boxloop.files import file_digest
from boxloop.models import detectors
from boxloop.models.detectors import detecting, fcos, torchvision_detector
from boxloop.params import load_params

_IOUS = (0.5, 0.7)


def cut(ref: ImageRef, boxes: Boxes, draw: random.Random, path: Path) -> tuple[ImageRef, Boxes]:
    """Cut a part of a random shape around one of an image's boxes; others stay where they fit."""
    x1, y1, x2, y2 = draw.choice(boxes.xyxy.tolist())
    margin = draw.uniform(0.15, 0.7) * max(x2 - x1, y2 - y1)
    across, down = (draw.uniform(0.1, 2.0) * margin for _ in range(2))
    left, top = max(0, int(x1 - across)), max(0, int(y1 - down))
    right, bottom = min(ref.width, int(x2 + across) + 1), min(ref.height, int(y2 + down) + 1)
    with Image.open(ref.path) as pixels:
        pixels.convert("RGB").crop((left, top, right, bottom)).save(path, quality=95)
    moved = boxes.xyxy - np.array([left, top, left, top])
    limits = np.array([right - left, bottom - top] * 2)
    inside = ((moved >= 0) & (moved <= limits)).all(axis=1)
    rest = Boxes.build(moved[inside].tolist(), boxes.labels[inside].tolist())
    return ImageRef(ref.id, str(path), right - left, bottom - top, file_digest(path)), rest


WAYS = {
    "as it is": ((False, False),),
    "padded": ((True, True), (True, False)),
}
"""Of each training, whether the padding counts there, and in proposing for batches."""


@contextmanager
def padded(training: bool, proposing: bool) -> Iterator[None]:
    """Compute batches as torchvision does: all in one, and the padding counts."""
    with ExitStack() as stack:
        if training:
            stack.enter_context(patch.object(fcos, "canvas_masks", lambda *given: {}))
        if proposing:
            together = detecting.detect_together
            stack.enter_context(patch.object(torchvision_detector, "detect", together))
        yield


def main() -> None:
    """Train in both ways, and print what each saved."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("params", type=Path)
    parser.add_argument("--learn", type=int, default=60)
    parser.add_argument("--judge", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--frequent", type=int, default=8)
    parser.add_argument("--set", dest="sets", action="append", default=[])
    given = parser.parse_args()
    params = load_params(given.params, given.sets)
    with tempfile.TemporaryDirectory() as folder:
        dataset = load(params.dataset, Path(folder))
        images, truth = with_frequent_classes(
            dataset.images, dict(dataset.truth or {}), given.frequent
        )
        for seed in given.seeds:
            draw = random.Random(seed)
            refs = draw.sample(images.images, given.learn + given.judge)
            made = [
                cut(ref, truth[ref.id], draw, Path(folder) / f"{seed}-{number}.jpg")
                for number, ref in enumerate(refs)
            ]
            final = {ref.id: boxes for ref, boxes in made}
            cuts = ImageSet(tuple(ref for ref, _ in made), images.classes)
            ids = list(final)
            learn, judge = ids[: given.learn], ids[given.learn :]
            known = LabeledSet(images.classes, ("b00",), {i: final[i] for i in learn})
            train = params.train.model_copy(update={"seed": seed})
            for way, proposals in WAYS.items():
                begin = time.perf_counter()
                with padded(*proposals[0]):
                    detector, _ = detectors.train(train, known, cuts.subset(learn))
                seconds = time.perf_counter() - begin
                for how in proposals:
                    with padded(*how):
                        found = detector.propose(
                            cuts.subset(judge), score_floor=0.05, batch_size=16
                        )
                    rows = sweep("others", found, {i: final[i] for i in judge}, _IOUS, 0.05)
                    costs = [rows.costs(iou, PAPER) for iou in _IOUS]
                    saved = " / ".join(f"{100 * (1 - c.min() / c[-1]):.1f}" for c in costs)
                    name = way + (", images alone" if how == (True, False) else "")
                    print(f"seed {seed} {name:21} {saved} saved, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
