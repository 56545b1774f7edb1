"""What SimNet buys: the nearest neighbours of every image before and after its training.

On the demo set a neighbour of a video frame is right where it is the frame before or after in the
same shot, and one of a still picture where it shows the same kind of place; on a set in the VOC
layout, where the first class annotated in it is the same. All images are candidates. Distances are
those that images are ordered by.

    python benchmarks/simnet_neighbours.py demo --seeds 0 1 2 --picture docs/results/simnet-demo.jpg
    python benchmarks/simnet_neighbours.py path/to/neu-det --seeds 0 1 2 --input-size 64
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

import boxloop
from boxloop import ImageRef
from boxloop.datasets.demo_scenes import draw_scenes
from boxloop.datasets.images import read_image
from boxloop.models.image_loader import read_resized
from boxloop.params import DemoParams

NEAREST = 10
FRAME = re.compile(r"(shot\d+)_frame(\d+)")
SIDE, GAP, RIGHT, WRONG = 96, 4, (0, 114, 178), (213, 94, 0)


@dataclass(frozen=True)
class Question:
    """What to ask about neighbours.

    Attributes:
        name: in a few words.
        asked: indices of the images to ask about.
        right: whether the second image is a right neighbour of the first one.
    """

    name: str
    asked: list[int]
    right: Callable[[int, int], bool]

    def chance(self, images: int) -> float:
        """The share of all other images that is right."""
        right = [sum(self.right(i, j) for j in range(images) if j != i) for i in self.asked]
        return statistics.mean(right) / (images - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="'demo', or a folder in the VOC layout")
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--weights", default="none", help="what SimNet starts from")
    parser.add_argument("--input-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--halves", default="left_right")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--picture", type=Path, help="a contact sheet, of the first seed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(arguments, Path(folder))


def run(arguments: argparse.Namespace, folder: Path) -> None:
    images, questions = read(arguments.dataset, folder)
    results: dict[tuple[str, str], list[tuple[float, float]]] = {}
    minutes, sheets = [], []

    def add(name: str, vectors: np.ndarray) -> np.ndarray:
        near = neighbours(vectors)
        for question in questions:
            hits = np.array([[question.right(i, int(j)) for j in near[i]] for i in question.asked])
            values = (float(hits[:, 0].mean()), float(hits.mean()))
            results.setdefault((question.name, name), []).append(values)
            print(f"{name}, {question.name}: {values}", file=sys.stderr)
        return near

    pixels = [read_resized(image, (32, 32)).numpy().ravel() for image in images]
    add("pixels, at 32x32", np.stack(pixels).astype(np.float32))
    for seed in arguments.seeds:
        features = {
            "network": arguments.network,
            "input_size": arguments.input_size,
            "device": arguments.device,
            "seed": seed,
        }
        simnet = {
            "weights": arguments.weights,
            "halves": arguments.halves,
            "epochs": arguments.epochs,
            "batch_size": arguments.batch_size,
            "learning_rate": arguments.learning_rate,
            "device": arguments.device,
            "seed": seed,
        }
        plain = boxloop.extract_features(images, weights=arguments.weights, **features)
        before = add("before", plain.vectors)
        # The stage also measures batch norm anew; steps of no length tell what that alone does.
        still = simnet | {"epochs": 1, "learning_rate": 1e-12}
        add("before, batch norm measured", trained(images, still, features))
        begin = time.perf_counter()
        after = add("after SimNet", trained(images, simnet, features))
        minutes.append((time.perf_counter() - begin) / 60)
        sheets.append((before, after))
    for question in questions:
        print(
            f"{question.name}: {len(question.asked)} of {len(images)} images asked, by chance"
            f" {question.chance(len(images)):.1%}\n"
        )
        print(table({n: v for (q, n), v in results.items() if q == question.name}), end="\n\n")
    threads = torch.get_num_threads()
    times = ", ".join(f"{m:.1f}" for m in minutes)
    print(f"Minutes of training and extraction per seed: {times} ({threads} threads).")
    if arguments.picture:
        draw(arguments.picture, images, questions[-1], *sheets[0])


def read(name: str, folder: Path) -> tuple[Sequence[ImageRef], list[Question]]:
    """The images, and what to ask about them."""
    if name == "demo":
        found = boxloop.load_dataset(folder, "demo")
        matches = [FRAME.fullmatch(image.id) for image in found.images.images]
        shots = [(m[1], int(m[2])) if m else None for m in matches]

        def adjacent(i: int, j: int) -> bool:
            one, two = shots[i], shots[j]
            return bool(one and two and one[0] == two[0] and abs(one[1] - two[1]) == 1)

        kinds = [scene.place for scene in draw_scenes(DemoParams())]
        frames = [i for i, shown in enumerate(shots) if shown]
        stills = [i for i, shown in enumerate(shots) if not shown]
        return found.images.images, [
            Question("the frame before or after", frames, adjacent),
            Question("the same kind of place", stills, lambda i, j: kinds[i] == kinds[j]),
        ]
    found = boxloop.load_dataset(name, "voc", split="trainval")
    classes = [str(found.truth[image.id].labels[0]) for image in found.images.images]
    everyone = list(range(len(classes)))
    same = Question("the same class", everyone, lambda i, j: classes[i] == classes[j])
    return found.images.images, [same]


def trained(
    images: Sequence[ImageRef], simnet: dict[str, object], features: dict[str, object]
) -> np.ndarray:
    return boxloop.extract_features(images, weights="simnet", simnet=simnet, **features).vectors


def neighbours(vectors: np.ndarray) -> np.ndarray:
    """(N, NEAREST) indices of the nearest other images, by Euclidean distance."""
    points = torch.from_numpy(vectors).double()
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(torch.inf)
    return distances.argsort(dim=1, stable=True)[:, :NEAREST].numpy()


def table(results: dict[str, list[tuple[float, float]]]) -> str:
    lines = [
        f"| features | nearest is right (%) | each seed | of the {NEAREST} nearest right (%) |",
        "|---|---|---|---|",
    ]
    for name, values in results.items():
        first, ten = ([100 * value[k] for value in values] for k in (0, 1))
        spread = f" ± {statistics.stdev(first):.1f}" if len(first) > 1 else ""
        every = ", ".join(f"{value:.1f}" for value in first)
        lines.append(
            f"| {name} | {statistics.mean(first):.1f}{spread} | {every}"
            f" | {statistics.mean(ten):.1f} |"
        )
    return "\n".join(lines)


def draw(
    path: Path,
    images: Sequence[ImageRef],
    question: Question,
    before: np.ndarray,
    after: np.ndarray,
    rows: int = 8,
    columns: int = 4,
) -> None:
    """A row per image: itself, its nearest before, its nearest after; right ones in blue."""
    chosen = np.random.default_rng(0).choice(question.asked, rows, replace=False)
    top = 18
    width = (2 * columns + 1) * (SIDE + GAP) + 2 * 3 * GAP
    page = Image.new("RGB", (width, top + rows * (SIDE + GAP)), "white")
    pen = ImageDraw.Draw(page)
    lefts = [0]
    for column in range(2 * columns):
        lefts.append(lefts[-1] + SIDE + GAP + (3 * GAP if column in (0, columns) else 0))
    for left, text in ((0, "image"), (lefts[1], "nearest before"), (lefts[columns + 1], "after")):
        pen.text((left, 2), text, fill="black")
    for row, i in enumerate(sorted(chosen.tolist())):
        y = top + row * (SIDE + GAP)
        for column, j in enumerate([i, *before[i][:columns], *after[i][:columns]]):
            tile = Image.fromarray(read_image(Path(images[j].path))).resize((SIDE, SIDE))
            page.paste(tile, (lefts[column], y))
            if column:
                corners = (lefts[column], y, lefts[column] + SIDE - 1, y + SIDE - 1)
                pen.rectangle(
                    corners, outline=RIGHT if question.right(i, int(j)) else WRONG, width=4
                )
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path, quality=80)


if __name__ == "__main__":
    main()
