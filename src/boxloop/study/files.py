"""The files of a cell that an ordinary campaign does not have, and all that a finished one has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boxloop.layout import Layout
from boxloop.params import Params

LAST = "_last"
"""Key of the detector that is trained on everything; no iteration can be called so."""


@dataclass(frozen=True)
class Held:
    """A held-out test set.

    Attributes:
        layout: where its images and truth are.
        digest: of both.
    """

    layout: Layout
    digest: str

    def proposals(self, cell: Layout, key: str) -> Path:
        """What the detector of a turn finds on the test set."""
        return self._folder(cell) / f"{key}.proposals.json"

    def precision(self, cell: Layout, key: str) -> Path:
        """How good that is."""
        return self._folder(cell) / f"{key}.json"

    def _folder(self, cell: Layout) -> Path:
        return cell.root / "data" / f"test-{self.digest[:10]}"


def expected(layout: Layout, params: Params, held: Held | None, *, checkpoints: bool) -> list[Path]:
    """The files of a finished cell that somebody reads again."""
    keys = list(params.iterations)
    files = [layout.images, layout.truth]
    for key in keys:
        files += [layout.training(key), layout.proposals(key), layout.corrections(key)]
        files += [layout.labeled(key), layout.workload(key)]
        files += [layout.detector(key)] if checkpoints else []
    if held is not None:
        files += [held.precision(layout, key) for key in [*keys[1:], LAST]]
    return files
