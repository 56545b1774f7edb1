"""What is lost by wrong classes, and what do labeled crops win back?

    python benchmarks/many_classes.py PARAMS --learn 100 --judge 300 [--seeds 0 1]
                                      [--set section.key=value ...]

For each seed, which also draws the images, a detector is trained on some images of a set, and
judged on others: percent of WT saved with the best threshold at IoU 0.5 / 0.7, by its boxes as they
come, with one box per place, with the classes of labeled crops, and with the right classes, which
nobody knows; the share of boxes in the right place whose class is right, by both; and seconds.

    python benchmarks/many_classes.py recipes/fod-a.yaml --set dataset.path=FOD-A --learn 300
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

import numpy as np

from boxloop.core.boxes import iou_matrix
from boxloop.core.evidence import sweep
from boxloop.core.one_per_place import at_one_place, one_per_place
from boxloop.core.types import Boxes, BoxesByImage, LabeledSet
from boxloop.core.workload import PAPER
from boxloop.datasets import load
from boxloop.models import detectors
from boxloop.models.crop_classifier import CropClassifier
from boxloop.params import load_params

_IOUS = (0.5, 0.7)


def saved(found: BoxesByImage, final: BoxesByImage) -> str:
    """Say what the best threshold saves of WT at both IoUs."""
    judged = sweep("others", found, final, _IOUS, 0.05)
    costs = [judged.costs(iou, PAPER) for iou in _IOUS]
    return " / ".join(f"{100 * (1 - c.min() / c[-1]):.1f}" for c in costs)


def rightly_named(found: BoxesByImage, final: BoxesByImage) -> BoxesByImage:
    """Give each box in the right place the class of what is there."""
    named = dict(found)
    for image_id, boxes in found.items():
        if len(boxes) and len(final[image_id]):
            overlap = iou_matrix(boxes.xyxy, final[image_id].xyxy)
            there = final[image_id].labels[overlap.argmax(axis=1)]
            labels = np.where(overlap.max(axis=1) >= _IOUS[0], there, boxes.labels)
            named[image_id] = Boxes(boxes.xyxy, labels, boxes.ids, boxes.scores)
    return named


def share_right(found: BoxesByImage, final: BoxesByImage) -> float:
    """Return the share of boxes in the right place that have the right class."""
    right = placed = 0
    for image_id, boxes in found.items():
        if len(boxes) and len(final[image_id]):
            overlap = iou_matrix(boxes.xyxy, final[image_id].xyxy)
            there = final[image_id].labels[overlap.argmax(axis=1)]
            in_place = overlap.max(axis=1) >= _IOUS[0]
            right += int((in_place & (there == boxes.labels)).sum())
            placed += int(in_place.sum())
    return right / max(1, placed)


def main() -> None:
    """Train one detector per seed, and print what its classes and others save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("params", type=Path)
    parser.add_argument("--learn", type=int, default=100)
    parser.add_argument("--judge", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--set", dest="sets", action="append", default=[])
    given = parser.parse_args()
    params = load_params(given.params, given.sets)
    with tempfile.TemporaryDirectory() as folder:
        dataset = load(params.dataset, Path(folder))
        images, truth = dataset.images, dict(dataset.truth or {})
        for seed in given.seeds:
            ids = [ref.id for ref in images.images]
            random.Random(seed).shuffle(ids)
            learn, judge = ids[: given.learn], ids[given.learn : given.learn + given.judge]
            known = LabeledSet(images.classes, ("b00",), {i: truth[i] for i in learn})
            final, refs = {i: truth[i] for i in judge}, images.subset(judge)
            begin = time.perf_counter()
            train = params.train.model_copy(update={"seed": seed})
            detector, _ = detectors.train(train, known, images.subset(learn))
            trained = time.perf_counter()
            own = detector.propose(refs, score_floor=0.05, batch_size=16)
            proposed = time.perf_counter()
            single = one_per_place(own, at_one_place(known.boxes.values()))
            classifier = CropClassifier(known.boxes, images.subset(learn))
            crops = classifier.classify(refs, single)
            looked = time.perf_counter()
            print(
                f"seed {seed}, {len(images.classes)} classes: as they come {saved(own, final)}, one"
                f" per place {saved(single, final)}, classes of crops {saved(crops, final)}, right"
                f" ones {saved(rightly_named(single, final), final)}; of boxes in place the"
                f" detector names {share_right(single, final):.2f}, crops"
                f" {share_right(crops, final):.2f} rightly; seconds: training"
                f" {trained - begin:.0f}, proposing {proposed - trained:.0f}, crops"
                f" {looked - proposed:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
