"""Where the files of a campaign are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


def workspace_of(folder: Path) -> Path:
    """The folder that a campaign belongs to.

    ``dvc exp run --temp`` and ``--queue`` run in a copy under ``.dvc/tmp/exps`` that DVC deletes
    afterwards; what people or MLflow keep belongs to the folder that it is a copy of.
    """
    folder = folder.resolve()
    for parent in folder.parents:
        if parent.name == "exps" and parent.parts[-3:-1] == (".dvc", "tmp"):
            return parent.parents[2]
    return folder


@dataclass(frozen=True)
class CampaignPaths:
    """The folders that ``dvc.yaml`` writes to, for the commands that look at a whole campaign.

    Attributes:
        root: the folder that boxloop runs in.
    """

    root: Path = Path()

    @property
    def reviews(self) -> Path:
        """What people submitted, for git to keep (``boxloop.campaign.submissions``)."""
        return self.root / "reviews"

    @property
    def journals(self) -> tuple[Path, ...]:
        """The folders that people's submissions are read from.

        ``dvc exp run --temp`` copies what git knows; labels that nobody committed yet are in the
        folder that it is a copy of.
        """
        workspace = workspace_of(self.root)
        if workspace == self.root.resolve():
            return (self.reviews,)
        return (workspace / "reviews", self.reviews)

    @property
    def state(self) -> Path:
        """Running review sessions: database, locks, logs. Nothing in it is needed for long."""
        return self.root / ".boxloop"

    @property
    def pending(self) -> Path:
        """Names the batch at which the last ``dvc repro`` stopped for people."""
        return self.state / "pending"

    @property
    def study(self) -> Path | None:
        """The folder of the study that this campaign is a cell of, if it is one."""
        folder = self.root.absolute().parent.parent
        return folder if (folder / "study.json").exists() else None

    @property
    def images(self) -> Path:
        """All images."""
        return self.root / "data" / "images.json"

    @property
    def truth(self) -> Path:
        """The dataset's own annotations."""
        return self.root / "data" / "truth.json"

    @property
    def faults(self) -> Path:
        """What was wrong with the dataset's files."""
        return self.root / "data" / "faults.json"

    @property
    def drawn(self) -> Path:
        """Folder of the images that boxloop draws itself."""
        return self.root / "data" / "images"

    @property
    def simnet(self) -> Path:
        """The trained SimNet; empty where it was not asked for."""
        return self.root / "data" / "simnet.pt"

    @property
    def simnet_log(self) -> Path:
        """How SimNet was trained, or that it was not."""
        return self.root / "data" / "simnet.json"

    @property
    def features(self) -> Path:
        """One vector per image."""
        return self.root / "data" / "features.npz"

    @property
    def order(self) -> Path:
        """All images in the order in which they are to be labeled."""
        return self.root / "data" / "order.json"

    @property
    def batches(self) -> Path:
        """Folder of the batches."""
        return self.root / "data" / "batches"

    @property
    def metrics(self) -> Path:
        """The campaign's numbers, for ``dvc metrics``."""
        return self.root / "metrics.json"

    @property
    def report(self) -> Path:
        """Folder of the page, its figures and the tables behind them."""
        return self.root / "data" / "report"

    def batch(self, key: str) -> Path:
        """The images of a batch."""
        return self._one("batches", key)

    def labeled(self, key: str) -> Path:
        """Everything labeled up to and including a batch."""
        return self._one("labeled", key)

    def detector(self, key: str) -> Path:
        """The checkpoint that proposes for a batch."""
        return self._one("detectors", key, ".pt")

    def training(self, key: str) -> Path:
        """How that checkpoint was trained."""
        return self._one("training", key)

    def proposals(self, key: str) -> Path:
        """What the detector offers on a batch."""
        return self._one("proposals", key)

    def corrections(self, key: str) -> Path:
        """What became of the proposals."""
        return self._one("corrections", key)

    def workload(self, key: str) -> Path:
        """The edits, counted."""
        return self._one("workload", key)

    def tracked(self, key: str) -> Path:
        """That the iteration went to MLflow."""
        return self._one("tracked", key)

    def _one(self, folder: str, key: str, suffix: str = ".json") -> Path:
        return self.root / "data" / folder / f"{key}{suffix}"
