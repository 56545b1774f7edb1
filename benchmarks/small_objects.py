"""What is saved where objects are small, and images are enlarged?

    python benchmarks/small_objects.py PARAMS --learn 100 --judge 100 [--zooms 1 1.5 2 fitted]
                                       [--seeds 0 1] [--frequent 6] [--mosaic 3]
                                       [--set section.key=value ...]

For each seed, which also draws the images, and each ``train.zoom`` a detector is trained on some
images of a set, and judged on others: percent of WT saved with the best threshold at IoU 0.5 and
0.7, seconds of the training, and of proposing by image. ``--frequent 6`` keeps the images with
objects of the six most frequent classes alone. ``--mosaic 3`` puts 3 x 3 images together to one
first, so objects are a third as large beside it.

    python benchmarks/small_objects.py recipes/fod-a.yaml --set dataset.path=FOD-A \
      --learn 300 --judge 400
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from PIL import Image

from boxloop.core.evidence import sweep
from boxloop.core.types import Boxes, ImageRef, ImageSet, LabeledSet
from boxloop.core.workload import PAPER
from boxloop.datasets import load
from boxloop.files import file_digest
from boxloop.models import detectors
from boxloop.params import load_params

_IOUS = (0.5, 0.7)


def with_frequent_classes(
    images: ImageSet, truth: dict[str, Boxes], count: int
) -> tuple[ImageSet, dict[str, Boxes]]:
    """Keep the images all whose objects, and at least one, are of the most frequent classes."""
    tally = Counter(label for boxes in truth.values() for label in boxes.labels.tolist())
    kept = [label for label, _ in tally.most_common(count)]
    boxes = {i: b for i, b in truth.items() if len(b) and set(b.labels.tolist()) <= set(kept)}
    refs = tuple(ref for ref in images.images if ref.id in boxes)
    return ImageSet(refs, tuple(name for name in images.classes if name in kept)), boxes


def mosaics(
    images: ImageSet, truth: dict[str, Boxes], side: int, folder: Path
) -> tuple[ImageSet, dict[str, Boxes]]:
    """Put ``side`` x ``side`` images together to one, in random order; what is left over is not."""
    refs = list(images.images)
    random.Random(0).shuffle(refs)
    made, boxes = [], {}
    for number in range(len(refs) // side**2):
        parts = refs[number * side**2 : (number + 1) * side**2]
        width, height = parts[0].width, parts[0].height
        whole, rows, labels = Image.new("RGB", (width * side, height * side)), [], []
        for place, part in enumerate(parts):
            x, y = place % side * width, place // side * height
            with Image.open(part.path) as pixels:
                whole.paste(pixels.convert("RGB").resize((width, height)), (x, y))
            across, down = width / part.width, height / part.height
            for x1, y1, x2, y2 in truth[part.id].xyxy.tolist():
                rows.append((x + x1 * across, y + y1 * down, x + x2 * across, y + y2 * down))
            labels += truth[part.id].labels.tolist()
        path = folder / f"mosaic{number:04d}.png"
        whole.save(path)
        made.append(ImageRef(path.stem, str(path), *whole.size, file_digest(path)))
        boxes[path.stem] = Boxes.build(rows, labels)
    return ImageSet(tuple(made), images.classes), boxes


def main() -> None:
    """Train with each zoom, and print what each saved."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("params", type=Path)
    parser.add_argument("--learn", type=int, default=100)
    parser.add_argument("--judge", type=int, default=100)
    parser.add_argument("--zooms", nargs="*", default=["1", "1.5", "2", "3", "fitted"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--frequent", type=int)
    parser.add_argument("--mosaic", type=int, default=1)
    parser.add_argument("--set", dest="sets", action="append", default=[])
    given = parser.parse_args()
    params = load_params(given.params, given.sets)
    with tempfile.TemporaryDirectory() as folder:
        dataset = load(params.dataset, Path(folder))
        images, truth = dataset.images, dict(dataset.truth or {})
        if given.frequent:
            images, truth = with_frequent_classes(images, truth, given.frequent)
        if given.mosaic > 1:
            images, truth = mosaics(images, truth, given.mosaic, Path(folder))
        for seed in given.seeds:
            ids = [ref.id for ref in images.images]
            random.Random(seed).shuffle(ids)
            learn, judge = ids[: given.learn], ids[given.learn : given.learn + given.judge]
            known = LabeledSet(images.classes, ("b00",), {i: truth[i] for i in learn})
            judged = {i: truth[i] for i in judge}
            for zoom in given.zooms:
                value = zoom if zoom == "fitted" else float(zoom)
                train = params.train.model_copy(update={"zoom": value, "seed": seed})
                begin = time.perf_counter()
                detector, log = detectors.train(train, known, images.subset(learn))
                trained = time.perf_counter() - begin
                begin = time.perf_counter()
                found = detector.propose(images.subset(judge), score_floor=0.05, batch_size=16)
                proposing = (time.perf_counter() - begin) / len(judge)
                best = max((b.scores.max() for b in found.values() if len(b)), default=0)
                rows = sweep("others", found, judged, _IOUS, 0.05)
                costs = [rows.costs(iou, PAPER) for iou in _IOUS]
                saved = " / ".join(f"{100 * (1 - c.min() / c[-1]):.1f}" for c in costs)
                print(
                    f"seed {seed} zoom {zoom:6} {log.zoom:3g}: {saved} saved, {trained:.0f} s of"
                    f" training, {proposing:.3f} s an image; loss {log.losses[-1]['total']:.2f},"
                    f" best score {best:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
