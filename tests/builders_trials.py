"""Batches of tiny images with trials: which are blind, and what is planted."""

from boxloop.core.planting import choose
from boxloop.core.types import ImageRef
from builders import CLASSES, proposals

SIDE = 12


def refs(table, side=SIDE):
    return {i: ImageRef(i, f"{i}.png", side, side, "0" * 64) for i in table}


def tried(table, blind=0.0, plant=0.0, *, seed=0, threshold=0.5, classes=CLASSES, batch="b01"):
    options = {"blind_fraction": blind, "plant_fraction": plant, "seed": seed}
    return choose(proposals(table, batch), threshold, refs(table), classes, **options)
