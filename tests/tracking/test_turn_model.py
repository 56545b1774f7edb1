"""Each turn's detector as a logged model: once, linked to its run, and loaded for real."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import ArtifactError
from boxloop.params import Params
from boxloop.tracking import store_uri
from boxloop.tracking.mlflow_store import Store
from builders_campaign import build_campaign, small_params
from builders_datasets import save_with_xmp
from builders_tracking import client_of, runs_of, track_all


def models_of(paths: CampaignPaths) -> list[Any]:
    client = client_of(paths)
    experiment = client.get_experiment_by_name("boxloop").experiment_id
    return sorted(client.search_logged_models([experiment]), key=lambda model: model.name)


def facts(paths: CampaignPaths) -> list[tuple[Any, ...]]:
    return [(m.model_id, m.name, m.status, m.tags, m.source_run_id) for m in models_of(paths)]


def files_of(paths: CampaignPaths, model: Any) -> set[str]:
    place = Path(model.artifact_location.removeprefix("file://"))
    return {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()}


def test_a_model_refers_to_the_checkpoint_of_its_run(workspace: Path) -> None:
    params = small_params(3)
    paths = build_campaign(workspace, params)
    track_all(paths, params)
    _, children = runs_of(paths)
    models = models_of(paths)
    # The first turn has no detector.
    assert [(m.name, m.source_run_id) for m in models] == [
        (f"detector-{run.info.run_name}", run.info.run_id) for run in children[1:]
    ]
    for run, model in zip(children[1:], models, strict=True):
        assert model.status == "READY"
        assert [o.model_id for o in run.outputs.model_outputs] == [model.model_id]
        assert not any(name.endswith(".pt") for name in files_of(paths, model))
        assert model.params["detector.digest"] == run.data.params["detector.digest"]
    assert children[0].outputs is None or not children[0].outputs.model_outputs
    before = facts(paths)
    track_all(paths, params)
    assert facts(paths) == before


def test_how_much_a_model_holds_is_a_parameter(workspace: Path) -> None:
    def track(mode: str) -> list[Any]:
        params = small_params(2, track={"models": mode})
        track_all(CampaignPaths(workspace), params)
        return models_of(paths)

    paths = build_campaign(workspace, small_params(2))
    (model,) = track("full")
    assert "data/detector.pt" in files_of(paths, model)
    runs = [run.info.run_id for run in runs_of(paths)[1]]
    (model,) = track("reference")
    assert "data/detector.pt" not in files_of(paths, model)
    assert track("none") == []
    assert [run.info.run_id for run in runs_of(paths)[1]] == runs  # which are the same runs


@pytest.mark.parametrize(
    ("place", "late"), [("create_model", True), ("finish_model", True), ("link_model", False)]
)
def test_a_kill_leaves_no_second_model(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, place: str, late: bool
) -> None:
    params = small_params(2)
    paths = build_campaign(workspace, params)
    real = getattr(Store, place)

    def killed(*arguments: Any) -> None:
        if late:
            real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, place, killed)
        with pytest.raises(KeyboardInterrupt):
            track_all(paths, params)
    track_all(paths, params)
    (model,) = models_of(paths)
    run = runs_of(paths)[1][1]
    assert model.status == "READY"
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]


def test_a_replaced_run_takes_its_model_along(workspace: Path) -> None:
    params = small_params(2)
    paths = build_campaign(workspace, params)
    track_all(paths, params)
    (old,) = models_of(paths)
    paths.detector("b01").write_bytes(b"another checkpoint")
    track_all(paths, params)
    (new,) = models_of(paths)
    assert new.model_id != old.model_id
    assert new.source_run_id == runs_of(paths)[1][1].info.run_id


@pytest.mark.parametrize(("exif", "size"), [(None, (32, 16)), (6, (16, 32))])
def test_the_example_is_turned_as_the_detector_s_images_are(
    workspace: Path, exif: int | None, size: tuple[int, int]
) -> None:
    """By EXIF data alone: a note in XMP is followed by Pillow, and by nobody else."""
    params = small_params(2)
    paths = build_campaign(workspace, params)
    first = artifacts.read_batch(paths.batch("b01")).image_ids[0]
    ref = artifacts.read_images(paths.images).by_id()[first]
    how = Image.Exif()
    if exif is not None:
        how[0x0112] = exif
    save_with_xmp(workspace / ref.path, np.zeros((16, 32, 3), np.uint8), 8, exif=how)
    track_all(paths, params)
    (model,) = models_of(paths)
    place = Path(model.artifact_location.removeprefix("file://"))
    served = json.loads((place / "serving_input_example.json").read_text())
    picture = base64.b64decode(served["inputs"]["image"][0])
    assert Image.open(io.BytesIO(picture)).size == size


@pytest.mark.slow
def test_it_is_loaded_from_mlflow_from_dvc_and_from_itself(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    from boxloop.models import detectors
    from builders_detectors import train_params

    params = small_params(2)
    paths = build_campaign(workspace, params)
    train = train_params("ssdlite320_mobilenet_v3_large", steps=1)
    labeled = artifacts.read_labeled(paths.labeled("b00"))
    monkeypatch.chdir(workspace)
    refs = artifacts.read_images(paths.images).subset(list(labeled.boxes))
    detector, _ = detectors.train(train, labeled, refs)
    paths.detector("b01").unlink()
    detector.save(paths.detector("b01"), labeled_digest="0" * 64)
    mlflow.set_tracking_uri(store_uri.store_uri(workspace))
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

    def load(**track: Any) -> Any:
        changed = params.model_copy(update={"track": Params(track=track).track})
        track_all(paths, changed)
        (model,) = models_of(paths)
        return mlflow.pyfunc.load_model(f"models:/{model.model_id}")

    by_reference = load()
    example = by_reference.input_example
    assert by_reference.metadata.get_input_schema().input_names() == ["image"]
    found = by_reference.predict(example, params={"threshold": "0.01"})
    assert found[0]["boxes"]
    assert {"label", "score", "x1", "y1", "x2", "y2"} == set(found[0]["boxes"][0])
    full = load(models="full")
    aside = shutil.move(paths.detector("b01"), workspace / "aside.pt")
    assert full.predict(example, params={"threshold": "0.01"}) == found
    shutil.move(aside, paths.detector("b01"))
    assert load(checkpoints=False).predict(example, params={"threshold": "0.01"}) == found
    (model,) = models_of(paths)
    paths.detector("b01").write_bytes(b"another")
    with pytest.raises(ArtifactError, match=r"dvc pull data/detectors/b01\.pt"):
        mlflow.pyfunc.load_model(f"models:/{model.model_id}")
