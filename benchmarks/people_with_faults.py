"""Let simulated people with known faults go through whole campaigns; print who was named, and how.

    python benchmarks/people_with_faults.py [--times 4] [--campaigns 20] [--innocent 60]

Three people share every batch of the demo's 300 images, or so many times as many. The proposals are
the truth with a detector's mistakes (``simulated_campaign.py``), so that one takes a second. Each
is judged twice: by the truth, and as if nobody knew it. The tables are those of
docs/results/people.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np
from simulated_campaign import play

from boxloop.campaign.trust import first_looks, plants
from boxloop.core.intervals import Difference, Estimate
from boxloop.core.trust import Trust, judge_trust
from boxloop.core.types import Boxes, ImageRef, ImageSet
from boxloop.datasets.demo_scenes import CLASSES, draw_scenes
from boxloop.params import DemoParams

BATCHES = (30, 40, 60, 80, 90)
BLIND, PLANTED = 0.15, 0.1
FAULTS: Mapping[str, Mapping[str, object]] = {
    "none": {},
    "accepts every class": {"accepts_labels": True},
    "draws 3 px wide": {"wider": 3.0},
    "misses small objects beside proposals": {"misses_below": 850.0},
    "takes twice as long at the end": {"slows": 2.0},
}
MEANT = {
    "accepts every class": {"leaves_wrong_labels", "misses_planted_relabeled"},
    "draws 3 px wide": {"draws_wide"},
    "misses small objects beside proposals": {
        "misses_small",
        "misses_unproposed",
        "misses_planted_hidden",
    },
    "takes twice as long at the end": {"gets_slower"},
}


def scenes(times: int) -> tuple[ImageSet, dict[str, Boxes]]:
    """Return images as the demo's and their truth, without their files."""
    refs, truth = [], {}
    for scene in draw_scenes(DemoParams(images=times * sum(BATCHES))):
        height, width = scene.pixels.shape[:2]
        refs.append(ImageRef(scene.id, f"{scene.id}.png", width, height, "0" * 64))
        truth[scene.id] = Boxes.build(scene.xyxy, scene.labels)
    return ImageSet(tuple(refs), CLASSES), truth


def judge(
    images: ImageSet, truth: Mapping[str, Boxes], fault: str, seed: int, times: int
) -> tuple[Trust, Trust]:
    """Play a campaign in which bob has the fault; judge it by the truth and without."""
    people = {"ada": {}, "bob": FAULTS[fault], "cid": {}}
    submitted = play(
        images,
        truth,
        people,
        batches=[times * size for size in BATCHES],
        blind_fraction=BLIND,
        plant_fraction=PLANTED,
        seed=seed,
    )
    sizes = {ref.id: (ref.width, ref.height) for ref in images.images}
    found = plants(submitted, sizes)
    by_truth = judge_trust(first_looks(submitted, sizes, truth), found)
    without = judge_trust(first_looks(submitted, sizes, None), found)
    assert by_truth is not None
    assert without is not None
    return by_truth, without


def named(trusts: Sequence[Trust], fault: str) -> list[str]:
    """Return the cells of a row: how often bob was named for the fault, and anybody else was."""
    right = wrong = 0
    for trust in trusts:
        faults = [f.fault for f in trust.findings if f.reviewer == "bob"]
        meant = [name for name in faults if name in MEANT.get(fault, ())]
        right += bool(meant)
        wrong += len(meant) < len(trust.findings)
    n = len(trusts)
    return ["-" if fault == "none" else f"{right} of {n}", f"{wrong} of {n}"]


def held(found: Sequence[Estimate | Difference | None], true: float | None = None) -> list[str]:
    """Return how often intervals hold the true number, by default the mean of all campaigns."""
    known = [f for f in found if f is not None]
    true = float(np.mean([f.value for f in known])) if true is None else true
    inside = sum(f.low <= true <= f.high for f in known)
    width = float(np.mean([f.high - f.low for f in known]))
    return [f"{true:.3g}", f"{width:.2g}", f"{inside} of {len(known)}"]


def row(cells: Sequence[str]) -> str:
    """Return a row of a table."""
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Play the campaigns, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1, help="as many images as the demo has")
    parser.add_argument("--campaigns", type=int, default=20, help="with each fault")
    parser.add_argument("--innocent", type=int, default=60, help="without any")
    options = parser.parse_args()
    images, truth = scenes(options.times)
    counts = {f: options.innocent if f == "none" else options.campaigns for f in FAULTS}
    judged = {
        f: [judge(images, truth, f, seed, options.times) for seed in range(n)]
        for f, n in counts.items()
    }
    print(row(["bob's fault", "named by the truth", "others named", "without", "others named"]))
    print(row(["---", "--:", "--:", "--:", "--:"]))
    for fault, pairs in judged.items():
        by_truth, without = zip(*pairs, strict=True)
        print(row([fault, *named(by_truth, fault), *named(without, fault)]))
    print()
    print(row(["what", "true", "width", "held"]))
    print(row(["---", "--:", "--:", "--:"]))
    for side, title in ((0, "by the truth"), (1, "without")):
        innocent = [pair[side] for pair in judged["none"]]
        for c in innocent[0].comparisons:
            if c.reviewer is None and c.measure.name not in ("unproposed_small", "drawn_small"):
                table = [
                    next((o for o in t.comparisons if o.measure == c.measure), None)
                    for t in innocent
                ]
                differences = [None if o is None else o.difference for o in table]
                print(row([f"{c.measure.words}, helped less blind, {title}", *held(differences)]))
    innocent = [pair[0] for pair in judged["none"]]
    print(row(["seconds per box from scratch", *held([t.seconds_per_box[None] for t in innocent])]))
    wide = [pair[0].margins["bob"] for pair in judged["draws 3 px wide"]]
    print(row(["bob draws 3 px wide", *held(wide, 3.0)]))
    slow = [pair[0].paces["bob"] for pair in judged["takes twice as long at the end"]]
    print(row(["bob takes twice as long", *held(slow, 2.0)]))
    steady = [pair[0].paces["ada"] for pair in judged["none"]]
    print(row(["ada takes as long as ever", *held(steady, 1.0)]))


if __name__ == "__main__":
    main()
