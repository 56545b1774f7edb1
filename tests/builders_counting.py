"""A detector that costs nothing, in a module of its own, which counts what it did."""

import sys
from pathlib import Path

from builders_own_detector import module as own_detector

_PROPOSE = """
        with open("done.txt", "a") as file:
            print("proposed", file=file)
        row = Boxes.build([[1, 1, 20, 20]], [self.classes[0]], [0.9], prefix="p")
        return {image.id: row for image in images}
"""
FOREIGN = own_detector(
    "counting",
    "Counts its trainings in a file; proposes the same box everywhere.",
    _PROPOSE,
    log='"done.txt"',
    line='"trained"',
)


def done():
    """What the detector has done since this was asked last."""
    path = Path("done.txt")
    lines = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def install(folder, monkeypatch):
    """Puts the module into a folder that the program runs in; the test's own path stays."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "counting_detector", raising=False)
    (folder / "counting_detector.py").write_text(FOREIGN)
