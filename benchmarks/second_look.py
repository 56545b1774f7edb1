"""How many planted label errors are among the images that ``boxloop qa`` lists.

    python benchmarks/second_look.py FOLDER [FOLDER ...] [--errors 20] [--count 40] [--seeds 5]

Each folder is a finished campaign (or a cell of a study) whose labels are right, as the simulated
annotator's on the demo are. Nothing is trained. In its batches that have proposals, so many images
get one error each: in turn an object that is left out, a box that overlaps the right one by an IoU
of 0.3 to 0.6, and another class; with ``--spurious`` also a box where nothing is. Printed is how
many of them are among the worst images: over all seeds, and by kind.

Where cleanlab is installed, its ObjectLab scores the same labels by the same proposals: as they
are, and with scores that are divided by 0.7, so that some reach the limits that it goes by.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from boxloop.campaign import artifacts
from boxloop.core.boxes import iou_matrix
from boxloop.core.doubts import find, worst_of_images
from boxloop.core.types import Boxes, Floats, ImageRef
from boxloop.params import EMPTY

KINDS = ("overlooked", "misplaced", "mislabeled", "no object")
TRIES = 1000

Table = dict[str, Boxes]


def read(folder: Path) -> tuple[tuple[str, ...], dict[str, ImageRef], list[tuple[Table, Table]]]:
    """Read classes, images by id, and (labels, proposals) of each batch that has proposals."""
    images = artifacts.read_images(folder / "data" / "images.json")
    batches = []
    for path in sorted((folder / "data" / "corrections").glob("*.json")):
        made = artifacts.read_corrections(path)
        if made.proposals.detector != EMPTY:
            batches.append((dict(made.boxes), dict(made.proposals.boxes)))
    return images.classes, images.by_id(), batches


def shifted(box: Floats, image: ImageRef, rng: np.random.Generator) -> Floats:
    """Return a box that was drawn badly: its IoU with the right one is 0.3 to 0.6."""
    size = box[2:] - box[:2]
    moved = box
    for _ in range(TRIES):
        center = (box[:2] + box[2:]) / 2 + rng.uniform(-0.6, 0.6, 2) * size
        half = size * np.exp(rng.uniform(-0.4, 0.4, 2)) / 2
        corners = np.concatenate([center - half, center + half])
        moved = np.clip(corners, 0, [image.width, image.height] * 2)
        real = bool((moved[2:] > moved[:2]).all())
        if real and 0.3 <= iou_matrix(moved[None], box[None])[0, 0] <= 0.6:
            break
    return moved


def elsewhere(boxes: Boxes, row: int, image: ImageRef, rng: np.random.Generator) -> Floats:
    """Return a box of the size of another one, where nothing is."""
    size = boxes.xyxy[row, 2:] - boxes.xyxy[row, :2]
    placed = boxes.xyxy[row]
    for _ in range(TRIES):
        corner = rng.uniform(0, [image.width, image.height] - size)
        placed = np.concatenate([corner, corner + size])
        if iou_matrix(placed[None], boxes.xyxy).max() < 0.05:
            break
    return placed


def with_error(
    kind: str, boxes: Boxes, image: ImageRef, classes: Sequence[str], rng: np.random.Generator
) -> Boxes:
    """Return an image's labels with one error."""
    row = int(rng.integers(len(boxes)))
    xyxy, labels = boxes.xyxy.copy(), boxes.labels.tolist()
    if kind == "overlooked":
        return boxes.select(np.arange(len(boxes)) != row)
    if kind == "mislabeled":
        labels[row] = str(rng.choice([name for name in classes if name != labels[row]]))
    elif kind == "misplaced":
        xyxy[row] = shifted(xyxy[row], image, rng)
    else:
        xyxy = np.vstack([xyxy, elsewhere(boxes, row, image, rng)])
        labels.append(str(rng.choice(classes)))
    return Boxes.build(xyxy, labels)


def objectlab(labels: Table, offered: Table, classes: Sequence[str], scale: float) -> list[str]:
    """Return the images in the order of ObjectLab's scores; none where cleanlab is missing."""
    try:
        from cleanlab.object_detection.rank import get_label_quality_scores
    except ImportError:
        return []
    index = {name: place for place, name in enumerate(classes)}
    given, predicted = [], []
    for image_id, boxes in labels.items():
        numbers = np.array([index[name] for name in boxes.labels.tolist()], dtype=int)
        given.append({"bboxes": boxes.xyxy, "labels": numbers})
        found = offered[image_id]
        assert found.scores is not None
        scores = np.clip(found.scores / scale, 0, 0.999)
        rows = np.empty(len(classes), dtype=object)
        for name, place in index.items():
            rows[place] = np.hstack([found.xyxy, scores[:, None]])[found.labels == name]
        predicted.append(rows)
    quality = get_label_quality_scores(given, predicted, verbose=False)
    ids = list(labels)
    return [ids[place] for place in np.argsort(quality, kind="stable")]


def main() -> None:
    """Print the found errors of each campaign and way to score, and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--errors", type=int, default=20)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--spurious", action="store_true")
    options = parser.parse_args()
    kinds = KINDS if options.spurious else KINDS[:3]
    found: dict[str, list[int]] = {}
    planted_of, found_of = Counter[str](), Counter[str]()
    for place, folder in enumerate(options.folders):
        classes, images, batches = read(folder)
        for seed in range(options.seeds):
            rng = np.random.default_rng([place, seed])
            labels = {i: boxes for table, _ in batches for i, boxes in table.items()}
            chosen = rng.choice([i for i in labels if len(labels[i])], options.errors, False)
            planted = {str(i): kinds[n % len(kinds)] for n, i in enumerate(chosen)}
            for i, kind in planted.items():
                labels[i] = with_error(kind, labels[i], images[i], classes, rng)
            doubts = [
                doubt
                for table, offered in batches
                for doubt in find({i: labels[i] for i in table}, offered)
            ]
            everything = {i: boxes for _, offered in batches for i, boxes in offered.items()}
            ranked = {
                "boxloop": [doubt.image for doubt in worst_of_images(doubts)],
                "ObjectLab": objectlab(labels, everything, classes, 1.0),
                "ObjectLab, scores / 0.7": objectlab(labels, everything, classes, 0.7),
            }
            for name, order in ranked.items():
                if order:
                    hits = set(order[: options.count]) & set(planted)
                    found.setdefault(name, []).append(len(hits))
                    if name == "boxloop":
                        planted_of.update(planted.values())
                        found_of.update(planted[i] for i in hits)
        print(folder.name, {name: rows[-options.seeds :] for name, rows in found.items()})
    for name, rows in found.items():
        print(f"{name}: {np.mean(rows):.1f} of {options.errors} ({min(rows)} to {max(rows)})")
    print("by kind:", {kind: f"{found_of[kind]} of {planted_of[kind]}" for kind in planted_of})


if __name__ == "__main__":
    main()
