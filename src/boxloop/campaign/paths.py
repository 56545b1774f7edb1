"""Name the files of a campaign."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def workspace_of(folder: Path) -> Path:
    """Return the folder that a campaign belongs to.

    ``dvc exp run --temp`` and ``--queue`` run in a copy under ``.dvc/tmp/exps`` that DVC deletes
    afterwards; what people or MLflow keep belongs to the folder that it is a copy of.
    """
    folder = folder.resolve()
    for parent in folder.parents:
        if parent.name == "exps" and parent.parts[-3:-1] == (".dvc", "tmp"):
            return parent.parents[2]
    return folder


class _Place:
    """A file or folder that a campaign has once."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __get__(self, paths: CampaignPaths, owner: object) -> Path:
        return paths.root / self._place


class _Files:
    """A folder of ``data/`` with one file per turn, which is found by the turn's key."""

    def __init__(self, folder: str, suffix: str = ".json") -> None:
        self._folder, self._suffix = folder, suffix

    def __get__(self, paths: CampaignPaths, owner: object) -> Callable[[str], Path]:
        return lambda key: paths.root / "data" / self._folder / f"{key}{self._suffix}"


@dataclass(frozen=True)
class CampaignPaths:
    """The places that ``dvc.yaml`` names, for the commands that look at a whole campaign.

    Attributes:
        root: the folder that boxloop runs in.
    """

    root: Path = Path()

    reviews = _Place("reviews")  # what people submitted, for git to keep: the journal
    state = _Place(".boxloop")  # running sessions: database, locks, logs; not needed for long
    pending = _Place(".boxloop/pending")  # the batch at which 'dvc repro' stopped for people
    doubts = _Place(".boxloop/qa.html")  # the images to look at once more, with pictures
    images = _Place("data/images.json")  # all images
    truth = _Place("data/truth.json")  # the dataset's own annotations
    faults = _Place("data/faults.json")  # what was wrong with the dataset's files
    drawn = _Place("data/images")  # folder of the images that boxloop draws itself
    simnet = _Place("data/simnet.pt")  # the trained SimNet; empty where it was not asked for
    simnet_log = _Place("data/simnet.json")  # how SimNet was trained, or that it was not
    features = _Place("data/features.npz")  # one vector per image
    order = _Place("data/order.json")  # all images in the order in which they are to be labeled
    batches = _Place("data/batches")  # folder of the batches
    metrics = _Place("metrics.json")  # the campaign's numbers, for `dvc metrics`
    report = _Place("data/report")  # folder of the page, its figures and the tables behind them
    model = _Place("model")  # folder of the delivered model

    batch = _Files("batches")  # the images of a batch
    labeled = _Files("labeled", ".parquet")  # a batch's labels, and which file was before it
    detector = _Files("detectors", ".pt")  # the checkpoint that proposes for a batch
    training = _Files("training")  # how that checkpoint was trained
    proposals = _Files("proposals")  # what the detector offers on a batch
    corrections = _Files("corrections")  # what became of the proposals
    workload = _Files("workload")  # the edits, counted
    evidence = _Files("evidence")  # what the batches so far would have cost at other thresholds
    tracked = _Files("tracked")  # that the turn went to MLflow

    def given(self, key: str) -> Path:
        """Return the file of the proposals that another program made for a batch, for git to keep.

        It is in the workspace, as the journal is.
        """
        workspace = workspace_of(self.root)
        root = self.root if workspace == self.root.resolve() else workspace
        return root / "proposals" / f"{key}.json"

    def imported_labels(self, name: str) -> Path:
        """Return a file of labels that are shown as proposals; it lies beside :meth:`given`'s."""
        return self.given(f"labels-{name}")

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
    def study(self) -> Path | None:
        """The folder of the study that this campaign is a cell of, if it is one."""
        folder = self.root.absolute().parent.parent
        return folder if (folder / "study.json").exists() else None
