"""How the detectors were trained, turn by turn: the time it took, and what of it was waiting."""

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
        batch: that it proposed for.
        images: that it was trained on.
        steps: optimiser steps.
        seconds: of all steps.
        images_per_second: images of all steps, by ``seconds``.
        waited: share of ``seconds`` in which the model waited for decoded, augmented images.
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
    """Those of the batches that are done; the first batch has none, and some files may be gone.

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
