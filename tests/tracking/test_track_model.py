"""A delivered model in MLflow: logged once, registered, and served through HTTP."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from mlflow import MlflowClient

from boxloop import load_model, pipeline
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import ParamsError
from boxloop.params import Params, check
from boxloop.tracking import store_uri
from boxloop.tracking.logged_model import register
from boxloop.tracking.track_turn import DELIVERED_TAG, PARENT
from builders_campaign import build_campaign, small_params
from builders_jobs import free_port
from builders_tracking import client_of, track_all

TRAIN = {
    "detector": "ssdlite320_mobilenet_v3_large",
    "input_size": [64, 64],
    "steps": 1,
    "batch_size": 2,
    "weights": "none",
    "warm_start": False,
}


def campaign_in(folder: Path) -> Campaign:
    params = small_params(2, train=TRAIN, track={"register": "shapes"})
    build_campaign(folder, params)
    return Campaign(CampaignPaths(folder), params, say=lambda _: None)


def ask(port: int, payload: object) -> object:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps(payload).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_a_delivered_model_is_logged_once_and_answers_through_http(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    campaign = campaign_in(workspace)
    paths = campaign.paths
    track_all(paths, campaign.params)
    about = pipeline.deliver(campaign)
    assert about is not None
    pipeline.deliver(campaign)  # changes nothing
    assert store_uri.URI_VARIABLE not in os.environ
    client = client_of(paths)
    experiment = client.get_experiment_by_name("boxloop").experiment_id
    (run,) = client.search_runs([experiment], f"tags.`{DELIVERED_TAG}` = 'true'")
    assert client.get_run(run.data.tags[PARENT]).info.status == "FINISHED"
    # Each turn's detector is a model of its own run, too; the empty one of the first is none.
    models = client.search_logged_models([experiment])
    assert [m.source_run_id for m in models].count(run.info.run_id) == 1
    assert len(models) == 1 + len(campaign.params.iterations) - 1
    (version,) = client.search_model_versions("name = 'shapes'")
    assert version.run_id == run.info.run_id

    track_all(paths, campaign.params)  # leaves the delivered run where it is
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "active"

    picture = (workspace / "data/images/img01.png").read_bytes()
    (wanted,) = load_model(paths.model, device="cpu").predict([picture], threshold=0.01)
    assert len(wanted) > 0
    port = free_port()
    bin_ = Path(sys.executable).parent
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": store_uri.store_uri(workspace),
        "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    options = ("--env-manager", "local", "--host", "127.0.0.1", "--workers", "1")
    command = ["mlflow", "models", "serve", "-m", "models:/shapes/1", "-p", str(port), *options]
    with (workspace / "serve.log").open("w") as log:
        server = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        text = base64.b64encode(picture).decode()
        payload = {"inputs": {"image": [text]}, "params": {"threshold": "0.01"}}
        for _ in range(600):
            try:
                answer = ask(port, payload)
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert server.poll() is None, (workspace / "serve.log").read_text()
                time.sleep(0.2)
        [row] = answer["predictions"]  # type: ignore[index]
        found = [(b["label"], b["score"], b["x1"], b["y1"], b["x2"], b["y2"]) for b in row["boxes"]]
        columns = (wanted.labels.tolist(), wanted.scores.tolist(), wanted.xyxy.tolist())
        assert found == [
            (label, pytest.approx(score), *map(pytest.approx, xyxy))
            for label, score, xyxy in zip(*columns, strict=True)
        ]
        with pytest.raises(urllib.error.HTTPError, match="400|500"):
            ask(port, {"inputs": {"image": ["no base64!"]}})
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_the_name_in_the_registry_is_a_parameter() -> None:
    assert Params.model_validate({"track": {"register": "shapes"}}).track.register == "shapes"
    assert Params().track.register is None


@pytest.mark.parametrize("name", ["", " ", ".", "..", "..a", "a/b", "a:1", 'it\'s a "b"'])
def test_a_name_that_the_registry_refuses_is_named_before_anything_is_trained(name: str) -> None:
    with pytest.raises(ParamsError, match=r"params\.yaml: track\.register: must"):
        check(Params, {"track": {"register": name}}, "params.yaml")


@pytest.mark.parametrize("name", ["bob's", '12" screens', "a.b %_ c"])
def test_a_model_is_registered_once_by_any_name(workspace: Path, name: str) -> None:
    assert check(Params, {"track": {"register": name}}, "params.yaml").track.register == name
    uri = store_uri.store_uri(workspace)
    client = MlflowClient(uri)
    logged = client.create_logged_model(client.create_experiment("any", str(workspace / "any")))
    (workspace / "MLmodel").write_text(f"flavors: {{}}\nmodel_id: {logged.model_id}\n")
    client.log_model_artifact(logged.model_id, str(workspace / "MLmodel"))
    client.finalize_logged_model(logged.model_id, "READY")
    assert [register(uri, logged.model_id, name) for _ in range(2)] == ["1", "1"]
