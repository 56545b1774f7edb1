"""Read how long each detector was trained, and how much of that was waiting for data."""

from __future__ import annotations

from dataclasses import dataclass

from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import CampaignResults
from boxloop.errors import ArtifactError
from boxloop.files import read_json


@dataclass(frozen=True)
class Training:
    """The training of the detector that proposed for a batch.

    Attributes:
        batch: the batch that it proposed for.
        images: number of images that it was trained on.
        steps: optimiser steps.
        seconds: duration of all steps.
        images_per_second: throughput over all steps.
        waited: fraction of ``seconds`` in which the model waited for images.
        device: where it was computed.
    """

    batch: str
    images: int
    steps: int
    seconds: float
    images_per_second: float
    waited: float
    device: str


def read_trainings(paths: CampaignPaths, campaign: CampaignResults) -> list[Training]:
    """Read the training logs of the finished batches; batches without a log are skipped.

    Raises:
        ArtifactError: a training log is damaged.
    """
    found = []
    for workload in campaign.workloads:
        path = paths.training(workload.batch)
        if not path.exists():
            continue
        try:
            log = read_json(path)
            if not log["steps"]:
                continue
            found.append(
                Training(
                    workload.batch,
                    int(log["images"]),
                    int(log["steps"]),
                    float(log["seconds"]),
                    float(log["images_per_second"]),
                    float(log["wait_fraction"]),
                    str(log["device"]),
                )
            )
        except (KeyError, TypeError, ValueError):
            raise ArtifactError(
                f"{path} is not the log of a training: 'dvc repro' writes it anew"
            ) from None
    return found
