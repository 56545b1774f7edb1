"""Log a delivered model to MLflow, under the run of its campaign."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from boxloop.campaign.digests import campaign_fingerprint, dataset_digest, digest
from boxloop.campaign.paths import CampaignPaths, workspace_of
from boxloop.files import file_digest, require_temporary_room
from boxloop.params import Params
from boxloop.tracking.logged_model import log_model, register
from boxloop.tracking.mlflow_store import PARENT, open_store
from boxloop.tracking.store_uri import campaign_identity
from boxloop.tracking.track_turn import (
    CONTENT_TAG,
    DELIVERED_TAG,
    is_complete,
    log_turn,
    origin_tags,
)
from boxloop.tracking.turn_record import read_turn

MODEL_TAG = "boxloop.model_id"


def track_model(
    paths: CampaignPaths,
    params: Params,
    turn: str,
    folder: Path,
    *,
    thresholds: Mapping[str, Mapping[str, float]],
    example: bytes,
    say: Callable[[str], object] = print,
) -> None:
    """Leave exactly one complete run of a delivered model, with the model logged to it.

    Running it again changes nothing; after a kill at any moment, running it again completes it.
    With ``track.register`` the model becomes a version in MLflow's registry, once.

    Args:
        paths: where the campaign's files are.
        params: of the campaign; ``track.enabled`` is set.
        turn: the last that the model was trained on.
        folder: of the model.
        thresholds: by class and kind.
        example: an image, JPEG.
        say: called with messages for the user.

    Raises:
        TrackingError: MLflow cannot be written to.
        UserError: there is no room for temporary files.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content = digest([[path.relative_to(folder).as_posix(), file_digest(path)] for path in files])
    workspace = workspace_of(paths.root)
    identity = campaign_identity(campaign_fingerprint(params, dataset_digest(paths)), workspace)
    record = read_turn(paths, params, turn)
    with open_store(workspace, params.track.experiment, say) as store:
        parent = log_turn(store, record, paths, params, identity)
        runs = store.runs({PARENT: parent, DELIVERED_TAG: "true"})
        complete = next((run for run in runs if is_complete(run, content)), None)
        for run in runs:
            if not is_complete(run):  # a kill left it
                store.delete(run.info.run_id)
        if complete is not None:
            run_id, model_id = complete.info.run_id, complete.data.tags[MODEL_TAG]
        else:
            require_temporary_room(sum(path.stat().st_size for path in files))  # MLflow copies all
            tags = {PARENT: parent, DELIVERED_TAG: "true", **origin_tags(paths.root)}
            run_id = store.create("delivered", tags, record.ended)
            store.log_params(run_id, _texts(thresholds, turn, params))
            store.log_inputs(run_id, record.inputs)
            model_id = log_model(store.uri, run_id, folder, example)
            # The content tag comes last: without it, the run counts as incomplete.
            store.set_tags(run_id, {MODEL_TAG: model_id})
            store.set_tags(run_id, {CONTENT_TAG: content})
        said = f"logged to MLflow as models:/{model_id} (run {run_id})"
        if params.track.register is not None:
            version = register(store.uri, model_id, params.track.register)
            said += f", version {version} of {params.track.register}"
    say(said)


def _texts(
    thresholds: Mapping[str, Mapping[str, float]], turn: str, params: Params
) -> dict[str, str]:
    texts: dict[str, Any] = {"trained through": turn, "detector": params.train.detector}
    for kind in ("f1", "least-wt"):
        rows = (f"{label} {scores[kind]:g}" for label, scores in thresholds.items())
        texts[f"threshold.{kind}"] = ", ".join(rows)
    return texts
