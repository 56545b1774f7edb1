"""A campaign as it lies on disk: where its files are, and what its finished batches add up to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boxloop.campaign.artifacts import read_workload
from boxloop.core.workload import BatchWorkload, Totals, total
from boxloop.errors import ArtifactError
from boxloop.params import Params


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


@dataclass(frozen=True)
class CampaignResults:
    """The batches that are done, oldest first.

    Attributes:
        workloads: one per batch that is labeled and accounted.
        planned: keys of all iterations, done or not.
        iou_thresholds: those that were accounted, as params.yaml lists them.
        seconds_per_box: T, the seconds to draw one box from scratch.
    """

    workloads: tuple[BatchWorkload, ...]
    planned: tuple[str, ...]
    iou_thresholds: tuple[float, ...]
    seconds_per_box: float

    @property
    def complete(self) -> bool:
        """Whether every planned batch is done."""
        return len(self.workloads) == len(self.planned)

    def so_far(self, iou_threshold: float) -> list[Totals]:
        """The totals after the first, the second, ... batch, at the thresholds as shown."""
        done = self.workloads
        return [total(done[: i + 1], iou_threshold) for i in range(len(done))]

    def totals(self, iou_threshold: float, score_threshold: float | None = None) -> Totals:
        """The totals of all batches that are done."""
        return total(self.workloads, iou_threshold, score_threshold)

    def what_if_scores(self) -> list[float]:
        """Score thresholds at which every batch after the first was accounted, ascending."""
        sets = [{score for score, _ in w.ledgers} for w in self.workloads[1:]]
        return sorted(set.intersection(*sets)) if sets else []


def read_results(
    paths: CampaignPaths, params: Params, *, through: str | None = None
) -> CampaignResults:
    """Reads the workloads of the batches that are done: the leading ones that have a file.

    Args:
        paths: where the files are.
        params: names the iterations and the IoU thresholds.
        through: the last iteration to read, which must be done, as must all before it.

    Raises:
        ArtifactError: a file is damaged, belongs to another batch, lacks an IoU threshold of
            params.yaml, or (with ``through``) is missing.
    """
    planned = tuple(params.iterations)
    wanted = planned if through is None else planned[: planned.index(through) + 1]
    workloads = []
    for key in wanted:
        path = paths.workload(key)
        if through is None and not path.exists():
            break
        workload = read_workload(path)
        if workload.batch != key:
            raise ArtifactError(f"{path} is the workload of batch {workload.batch}, not of {key}")
        for iou in params.account.iou_thresholds:
            if (workload.score_threshold, iou) not in workload.ledgers:
                raise ArtifactError(
                    f"{path} was not accounted at IoU {iou:g}, which params.yaml lists under"
                    " account.iou_thresholds: 'dvc repro' accounts it again"
                )
        workloads.append(workload)
    return CampaignResults(
        tuple(workloads), planned, params.account.iou_thresholds, params.account.seconds_per_box
    )
