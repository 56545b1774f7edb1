"""Small data for tests, and hypothesis strategies that make it."""

import numpy as np
from hypothesis import strategies as st

from boxloop.core.types import Boxes, Corrections, Proposals

CLASSES = ("cat", "dog")


def boxes(*rows, prefix="t"):
    """Boxes from rows of (label, x1, y1, x2, y2) or (label, x1, y1, x2, y2, score)."""
    scores = [row[5] for row in rows] if rows and len(rows[0]) == 6 else None
    return Boxes.build([row[1:5] for row in rows], [row[0] for row in rows], scores, prefix=prefix)


def proposed(*rows):
    """Scored boxes, p0, p1, ..."""
    return boxes(*rows, prefix="p") if rows else Boxes.empty(scored=True)


def proposals(table, batch="b01", detector="ssd", floor=0.05):
    return Proposals(batch, detector, "0" * 64, floor, table)


def corrections(shown, final, *, batch="b01", detector="ssd", threshold=0.5, annotator="simulated"):
    return Corrections(proposals(shown, batch, detector), threshold, annotator, final)


FILES = {
    "simnet": ("images", "out", "log"),
    "features": ("images", "out"),
    "start": ("images", "labeled", "detector", "tracked"),
    "train": ("images", "labeled", "previous", "out", "log"),
    "propose": ("images", "batch", "detector", "out"),
}


def stage(name, *paths):
    """The words of a stage's command line, with each of its files as an option."""
    turn = ["b00"] if name in ("train", "propose") else []
    files = zip(FILES[name], paths, strict=False)
    words = (str(word) for option, path in files for word in (f"--{option}", path))
    # Fitting a threshold would take more files.
    number = ("--set", "review.score_threshold=0.5") if name == "propose" else ()
    return (name, *turn, *words, *number)


@st.composite
def any_boxes(draw, *, scored, most=6, side=8):
    """A few boxes on a small integer grid, so that overlaps and ties are common."""
    edge = st.integers(0, side - 1)
    extent = st.integers(1, side)
    row = st.tuples(st.sampled_from(CLASSES), edge, edge, extent, extent)
    rows = draw(st.lists(row, max_size=most))
    xyxy = np.array([[x, y, x + w, y + h] for _, x, y, w, h in rows], dtype=float).reshape(-1, 4)
    scores = None
    if scored:
        score = st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9])
        scores = draw(st.lists(score, min_size=len(rows), max_size=len(rows)))
    return Boxes.build(xyxy, [row[0] for row in rows], scores, prefix="p" if scored else "t")
