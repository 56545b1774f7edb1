"""Would early stopping on held-out images of the first batch pay?

    python benchmarks/early_stopping.py PARAMS [--steps 25 50 100 200] [--seeds 0 1 2]
                                        [--set section.key=value ...]

For each seed, which also draws the order, a detector is trained on two thirds of the first batch
for each number of steps (a whole schedule each), and judged on the third that it has not seen: the
number that saves most there is what early stopping would choose. Then each number is trained on the
whole batch, and judged on the second one. Percent of WT saved with the best threshold, so that
nothing but the training differs; "chosen" against the recipe's number is what it would give.

    python benchmarks/early_stopping.py recipes/bccd.yaml --set dataset.path=BCCD
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from boxloop.core import batching
from boxloop.core.evidence import sweep
from boxloop.core.labeled_set import split
from boxloop.core.ordering import order
from boxloop.core.types import Boxes, FeatureTable, ImageSet, LabeledSet
from boxloop.core.workload import PAPER
from boxloop.datasets import load
from boxloop.models import detectors
from boxloop.params import TrainParams, load_params
from boxloop.study.statistics import mean, paired


def saved(
    train: TrainParams, known: LabeledSet, judged: dict[str, Boxes], images: ImageSet, iou: float
) -> float:
    """Train on labeled images, and return the percent of WT that is saved on others at best."""
    detector, _ = detectors.train(train, known, images.subset(list(known.boxes)))
    found = detector.propose(images.subset(list(judged)), score_floor=0.05, batch_size=16)
    costs = sweep("others", found, judged, (iou,), 0.05).costs(iou, PAPER)
    return float(100 * (1 - costs.min() / costs[-1]))


def main() -> None:
    """Train all, and print what each saved."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("params", type=Path)
    parser.add_argument("--steps", type=int, nargs="*", default=[25, 50, 100, 200])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--set", dest="sets", action="append", default=[])
    given = parser.parse_args()
    params = load_params(given.params, given.sets)
    drawn = tempfile.TemporaryDirectory()  # of the demo's images
    dataset = load(params.dataset, Path(drawn.name))
    truth, iou = dataset.truth or {}, params.review.iou_threshold
    print(f"WT saved at IoU {iou:g}, held out / second batch, by steps")
    second: dict[int, dict[int, float]] = {steps: {} for steps in given.steps}
    chosen: dict[int, float] = {}
    for seed in given.seeds:
        table = FeatureTable.without_vectors([ref.id for ref in dataset.images.images])
        drawn_order = order(table, strategy="random", seed=seed).image_ids
        keys, sizes = list(params.iterations), params.batch.model_dump()
        batches = batching.plan(drawn_order, keys, **sizes)
        first, after = batches[0].image_ids, batches[1].image_ids
        known = LabeledSet(dataset.images.classes, ("b00",), {i: truth[i] for i in first})
        rest, out = split(known, params.train.held_out, seed)
        held = {}
        for steps in given.steps:
            train = params.train.model_copy(update={"steps": steps, "seed": seed})
            held[steps] = saved(train, rest, dict(out.boxes), dataset.images, iou)
            following = {i: truth[i] for i in after}
            second[steps][seed] = saved(train, known, following, dataset.images, iou)
        best = max(held, key=lambda steps: held[steps])
        chosen[seed] = second[best][seed]
        cells = [f"{steps}: {held[steps]:.1f} / {second[steps][seed]:.1f}" for steps in held]
        print(f"seed {seed}  {', '.join(cells)}; chosen {best}", flush=True)
    print(f"chosen: {mean(list(chosen.values())).mean:.1f}")
    for steps, values in second.items():
        less = paired(chosen, values)
        ends = "" if less is None or less.low is None else f" [{less.low:+.1f}, {less.high:+.1f}]"
        told = "" if less is None else f"; chosen against it {less.mean:+.1f}{ends}"
        print(f"{steps} steps: {mean(list(values.values())).mean:.1f}{told}")


if __name__ == "__main__":
    main()
