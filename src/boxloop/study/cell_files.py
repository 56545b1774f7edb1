"""The files of a cell: those of a finished one, and those on the test set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boxloop.campaign.paths import CampaignPaths
from boxloop.params import Params

LAST = "_last"
"""Key of the detector that is trained on all images; no valid name of an iteration."""


@dataclass(frozen=True)
class Held:
    """A held-out test set.

    Attributes:
        paths: where its images and truth are.
        digest: of both.
    """

    paths: CampaignPaths
    digest: str

    def proposals(self, cell: CampaignPaths, key: str) -> Path:
        """Return the file of an iteration's detections on the test set."""
        return self._folder(cell) / f"{key}.proposals.json"

    def precision(self, cell: CampaignPaths, key: str) -> Path:
        """Return the file of their average precision."""
        return self._folder(cell) / f"{key}.json"

    def _folder(self, cell: CampaignPaths) -> Path:
        return cell.root / "data" / f"test-{self.digest[:10]}"


def expected(paths: CampaignPaths, params: Params, held: Held | None) -> list[Path]:
    """Return the files of a finished cell that are read again, without its detectors."""
    keys = list(params.iterations)
    files = [paths.images, paths.truth]
    for key in keys:
        files += [paths.training(key), paths.proposals(key), paths.corrections(key)]
        files += [paths.labeled(key), paths.workload(key)]
    if held is not None:
        files += [held.precision(paths, key) for key in [*keys[1:], LAST]]
    return files
