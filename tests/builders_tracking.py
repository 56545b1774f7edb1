"""Track small campaigns, and read back what MLflow stored."""

from __future__ import annotations

from typing import Any

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Boxes, Corrections
from boxloop.core.workload import account
from boxloop.models.average_precision import average_precision
from boxloop.params import Params
from boxloop.tracking import store_uri
from boxloop.tracking.track_turn import BATCH_TAG, CAMPAIGN_TAG, track


def quiet(_: str) -> None:
    pass


def track_all(paths: CampaignPaths, params: Params, keys: list[str] | None = None) -> None:
    for key in keys or list(params.iterations):
        track(paths, params, key, paths.tracked(key), say=quiet)


def client_of(paths: CampaignPaths) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(store_uri.store_uri(paths.root))


def runs_of(paths: CampaignPaths) -> tuple[list[Any], list[Any]]:
    """The parents and the children that are not deleted, by name."""
    client = client_of(paths)
    experiment = client.get_experiment_by_name("boxloop")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    runs = sorted(runs, key=lambda run: str(run.info.run_name))
    parents = [run for run in runs if CAMPAIGN_TAG in run.data.tags]
    children = [run for run in runs if BATCH_TAG in run.data.tags]
    assert len(parents) + len(children) == len(runs)
    return parents, children


def history(paths: CampaignPaths, run: Any, name: str) -> list[tuple[int, float]]:
    return sorted(
        (m.step, m.value) for m in client_of(paths).get_metric_history(run.info.run_id, name)
    )


def everything(paths: CampaignPaths) -> dict[str, Any]:
    """All there is in the store, by run id."""
    parents, children = runs_of(paths)
    return {
        run.info.run_id: (
            run.info.status,
            run.data.params,
            {name: history(paths, run, name) for name in run.data.metrics},
            {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.source")},
        )
        for run in parents + children
    }


def amend(paths: CampaignPaths, key: str, params: Params) -> None:
    """A person takes one box of the batch away again; merge and account follow."""
    before = artifacts.read_corrections(paths.corrections(key))
    boxes = dict(before.boxes)
    first = next(iter(boxes))
    boxes[first] = Boxes.build(boxes[first].xyxy[:-1], boxes[first].labels[:-1].tolist())
    after = Corrections(before.proposals, before.score_threshold, before.annotator, boxes)
    artifacts.write_corrections(paths.corrections(key), after)
    precision = average_precision(after.proposals.boxes, boxes)
    workload = account(
        after, params.account.iou_thresholds, params.account.score_thresholds, precision
    )
    artifacts.write_workload(paths.workload(key), workload)
