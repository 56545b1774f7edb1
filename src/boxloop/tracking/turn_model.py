"""The detector of a turn as a logged model of MLflow's, linked to the turn's run.

By reference (``track.models``) it holds all that MLflow wants of a model (how to load it,
signature, input example, requirements) but no checkpoint: it says where the one that is stored
anyway lies, in the run's artifacts or in the campaign, and by which digest it is known.
"""

from __future__ import annotations

import base64
import json
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boxloop import __version__
from boxloop.campaign import artifacts
from boxloop.campaign.digests import digest
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import NOTHING
from boxloop.files import temporary_folder, writing_temporary
from boxloop.params import Params
from boxloop.tracking.logged_model import model_signature, requirements
from boxloop.tracking.mlflow_store import Store

if TYPE_CHECKING:
    from boxloop.tracking.turn_record import TurnRecord

MODEL_CONTENT = "boxloop.model"
"""The tag of a model that says what it was made from."""

LOADER = "boxloop.tracking.referred_model"
DATA, DESCRIPTION, CHECKPOINT, REFERENCE = "data", "model.json", "detector.pt", "reference.json"

_FORMAT = 1
_USUAL = 0.5
_SIDE = 320  # pixels of the input example at most


def keep_model(
    store: Store, run_id: str, turn: TurnRecord, paths: CampaignPaths, params: Params
) -> None:
    """Leave exactly one complete model of a turn's detector, or none where none is asked for.

    Running it again changes nothing; after a kill at any moment, running it again completes it. The
    first turn has no detector that was trained, and no model.
    """
    log, mode = artifacts.read_training(paths.training(turn.key)), params.track.models
    wanted = mode if log.steps and (mode != "full" or paths.detector(turn.key).exists()) else "none"
    content = digest([_FORMAT, turn.content, wanted])
    model_id = None
    for model in store.models(run_id):
        complete = str(model.status) == "READY" and model.tags.get(MODEL_CONTENT) == content
        if complete and wanted != "none" and model_id is None:
            model_id = str(model.model_id)
        else:
            store.delete_model(model.model_id)
    if wanted == "none":
        return
    if model_id is None:
        about = _describe(turn, paths, params, log.steps, log.images, log.boxes)
        tags = {MODEL_CONTENT: content, "boxloop.checkpoint": wanted}
        shown = {name: turn.params[name] for name in ("batch", "detector.digest")}
        shown |= {"detector": about["detector"], "classes": ", ".join(about["classes"])}
        model_id, place = store.create_model(run_id, f"detector-{turn.key}", tags, shown)
        example = _example(turn, paths)
        with temporary_folder() as folder:
            with writing_temporary():
                _write(folder, about, _reference(turn, paths, params, run_id))
                if wanted == "full":
                    shutil.copyfile(paths.detector(turn.key), folder / DATA / CHECKPOINT)
                _write_mlmodel(folder, place, model_id, run_id, example)
            store.finish_model(model_id, folder)
    store.link_model(run_id, model_id, turn.images)


def _describe(
    turn: TurnRecord, paths: CampaignPaths, params: Params, steps: int, images: int, boxes: int
) -> dict[str, Any]:
    """Return what ``model.json`` says of a delivered model, of this one."""
    iou, keys = params.review.iou_threshold, list(params.iterations)
    shown = turn.campaign.workloads[-1].counted_at(iou)
    score = shown if shown < NOTHING else _USUAL
    classes = artifacts.read_images(paths.images).classes
    rows = [
        {
            **dict.fromkeys(("best_f1", "saving")),
            **{"label": name, "f1": score, "least_wt": score, "objects": 0},
        }
        for name in classes
    ]
    return {
        "format": "boxloop/model@1",
        "boxloop": __version__,
        "campaign": params.track.campaign,
        "detector": params.train.detector,
        "classes": list(classes),
        "checkpoint": turn.params["detector.digest"],
        "steps": steps,
        "batches": keys[: keys.index(turn.key)],
        "images": images,
        "boxes": boxes,
        "score_floor": params.propose.score_floor,
        "iou_threshold": iou,
        "thresholds": rows,
    }


def _reference(
    turn: TurnRecord, paths: CampaignPaths, params: Params, run_id: str
) -> dict[str, Any]:
    """Return where the checkpoint is: in the run's artifacts where those hold it, and in DVC."""
    file = paths.detector(turn.key)
    stored = params.track.checkpoints
    return {
        "run": run_id if stored else None,
        "artifact": f"checkpoint/{file.name}" if stored else None,
        "dvc": file.relative_to(paths.root).as_posix(),
    }


def _write(folder: Path, about: Mapping[str, Any], reference: Mapping[str, Any]) -> None:
    (folder / DATA).mkdir()
    (folder / DATA / DESCRIPTION).write_text(json.dumps(about, indent=2), encoding="utf-8")
    (folder / DATA / REFERENCE).write_text(json.dumps(reference, indent=2), encoding="utf-8")


def _write_mlmodel(folder: Path, place: str, model_id: str, run_id: str, example: bytes) -> None:
    """Write what :func:`mlflow.pyfunc.log_model` writes, which takes seconds to try the model."""
    from mlflow.models import Model

    served = {
        "inputs": {"image": [base64.b64encode(example).decode()]},
        "params": {"threshold": "f1"},
    }
    names = ("input_example.json", "serving_input_example.json")
    files = {
        names[0]: json.dumps(served),
        names[1]: json.dumps(served, indent=2),
        "requirements.txt": "\n".join(requirements()) + "\n",
        "python_env.yaml": f"python: {platform.python_version()}\n"
        "build_dependencies: [pip, setuptools, wheel]\ndependencies: [-r requirements.txt]\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    model = Model(
        artifact_path=place,
        run_id=run_id,
        model_id=model_id,
        signature=model_signature(),
        saved_input_example_info={
            "artifact_path": names[0],
            "serving_input_path": names[1],
            "type": "json_object",
            "params": "true",
        },
    )
    model.add_flavor(
        "python_function",
        loader_module=LOADER,
        data=DATA,
        python_version=platform.python_version(),
        env={"virtualenv": "python_env.yaml"},
    )
    model.save(str(folder / "MLmodel"))


def _example(turn: TurnRecord, paths: CampaignPaths) -> bytes:
    """Return a small picture of the batch's first image, JPEG; a grey one where it is gone."""
    from boxloop.report.contact_sheets import small_picture

    ref = artifacts.read_images(paths.images).subset(
        artifacts.read_batch(paths.batch(turn.key)).image_ids[:1]
    )[0]
    return small_picture(paths.root / ref.path, _SIDE)
