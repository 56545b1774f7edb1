"""Tiny drawn images for detectors to learn from."""

import numpy as np
from PIL import Image

from boxloop.core.types import Boxes, ImageRef, LabeledSet
from boxloop.files import file_digest
from boxloop.params import TrainParams
from builders_transformers import tiny

CLASSES = ("square", "disc")
_COLOURS = {"square": (220, 40, 30), "disc": (40, 60, 230)}


def drawn(folder, count=4, size=(96, 80), *, seed=0, without_boxes=False):
    """Images of one square and one disc each, of (width, height) ``size``, and their truth."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    refs, truth = [], {}
    width, height = size
    rows, columns = np.mgrid[0:height, 0:width]
    for number in range(count):
        pixels = rng.integers(100, 140, (height, width, 3)).astype(np.uint8)
        boxes, labels = [], []
        for label, left in (("square", 2), ("disc", width // 2 + 2)):
            if without_boxes:
                break
            side = int(rng.integers(height // 4, height // 2))
            x, y = left + int(rng.integers(0, 4)), int(rng.integers(2, height - side - 2))
            inside = (columns >= x) & (columns < x + side) & (rows >= y) & (rows < y + side)
            if label == "disc":
                middle = (side - 1) / 2
                inside = (columns - x - middle) ** 2 + (rows - y - middle) ** 2 <= (side / 2) ** 2
            pixels[inside] = _COLOURS[label]
            boxes.append((x, y, x + side, y + side))
            labels.append(label)
        path = folder / f"image{number}.png"
        Image.fromarray(pixels).save(path)
        refs.append(ImageRef(path.stem, str(path), width, height, file_digest(path)))
        truth[path.stem] = Boxes.build(boxes, labels)
    return tuple(refs), truth


def drawn_small(folder):
    """Four images, each of a square and a disc in the corner of every quarter, a tenth as wide."""
    refs, truth = [], {}
    (small, parts) = drawn(folder / "parts", 16, (40, 40))
    for number in range(4):
        whole = np.random.default_rng(number).integers(100, 140, (400, 400, 3)).astype(np.uint8)
        rows, labels = [], []
        for part, (x, y) in enumerate(((20, 20), (330, 40), (50, 320), (300, 300))):
            ref = small[4 * number + part]
            with Image.open(ref.path) as pixels:
                whole[y : y + 40, x : x + 40] = np.asarray(pixels)
            rows.extend((parts[ref.id].xyxy + np.array([x, y, x, y])).tolist())
            labels.extend(parts[ref.id].labels.tolist())
        path = folder / f"large{number}.png"
        Image.fromarray(whole).save(path)
        refs.append(ImageRef(path.stem, str(path), 400, 400, file_digest(path)))
        truth[path.stem] = Boxes.build(rows, labels)
    return tuple(refs), truth


def labeled(truth):
    return LabeledSet(CLASSES, ("b00",), truth)


def train_params(detector, **changes):
    """Two steps from scratch on inputs of 64 pixels, on the CPU."""
    values = {
        "detector": detector,
        "weights": str(tiny()) if detector == "transformers" else "none",
        "input_size": (64, 64),
        "steps": 2,
        "batch_size": 2,
        "device": "cpu",
    }
    values.update(changes)
    if "epochs" in changes:
        values["steps"] = None
    return TrainParams(**values)
