"""docs/cluster: as far as files can be checked without a cluster."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from boxloop.cli import app

FOLDER = Path(__file__).parents[1] / "docs" / "cluster"
SCRIPTS, MANIFESTS = sorted(FOLDER.glob("*.slurm")), sorted(FOLDER.glob("*.yaml"))
VERSIONS = {
    "PersistentVolumeClaim": "v1",
    "Service": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Deployment": "apps/v1",
    "Job": "batch/v1",
}


def objects(path):
    return list(YAML(typ="safe").load_all(path))


def pods(path):
    return [o["spec"]["template"] for o in objects(path) if o["kind"] in ("Deployment", "Job")]


def commands():
    """Every command line of the files that starts dask, boxloop or torchrun, by its words."""
    for path in SCRIPTS:
        text = path.read_text().replace("\\\n", " ")
        for line in text.splitlines():
            if match := re.match(
                r"\s*(?:srun (?:--\S+ )*\s*)?((?:dask|boxloop|torchrun) .*)", line
            ):
                yield shlex.split(match[1].rstrip("& "))
    for path in MANIFESTS:
        yield from (c["command"] for pod in pods(path) for c in pod["spec"]["containers"])


def test_there_is_one_of_each():
    names = {path.name for path in (*SCRIPTS, *MANIFESTS)}
    assert names == {"study.slurm", "train.slurm", "study.yaml", "train.yaml"}
    found = [" ".join(words[:2]) for words in commands()]
    assert found.count("dask scheduler") == found.count("dask worker") == 2
    assert found.count("boxloop study") == found.count("torchrun --nnodes") == 2


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_one_for_sbatch(path):
    subprocess.run(["bash", "-n", path], check=True)
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    orders = [n for n, line in enumerate(lines) if line.startswith("#SBATCH ")]
    # sbatch reads no further than to the first command.
    first = next(n for n, line in enumerate(lines) if line and not line.startswith("#"))
    assert orders
    assert max(orders) < first
    assert all(re.fullmatch(r"#SBATCH --[a-z-]+=\S+", lines[n]) for n in orders)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_has_what_kubernetes_requires(path):
    for item in objects(path):
        assert item["apiVersion"] == VERSIONS[item["kind"]]
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", item["metadata"]["name"])
        if item["kind"] == "Deployment":
            wanted = item["spec"]["selector"]["matchLabels"].items()
            assert wanted <= item["spec"]["template"]["metadata"]["labels"].items()
        if item["kind"] == "Job":
            assert item["spec"]["template"]["spec"]["restartPolicy"] in ("Never", "OnFailure")
        if item["kind"] == "Service":
            assert any(
                item["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
                for pod in pods(path)
            )
    for pod in pods(path):
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", ())}
        for container in pod["spec"]["containers"]:
            assert container.keys() >= {"name", "image", "command"}
            assert all(isinstance(word, str) for word in container["command"])
            assert all(isinstance(e["value"], str) for e in container.get("env", ()))
            assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes
    claims = {o["metadata"]["name"] for f in MANIFESTS for o in objects(f) if "Claim" in o["kind"]}
    for pod in pods(path):
        for volume in pod["spec"].get("volumes", ()):
            assert volume.get("persistentVolumeClaim", {"claimName": min(claims)})["claimName"] in (
                claims
            )


def test_what_they_start_has_these_options():
    from distributed.cli import dask_scheduler, dask_worker

    known = {
        "dask scheduler": dask_scheduler.main,
        "dask worker": dask_worker.main,
        "boxloop study": get_command(app).commands["study"],
    }
    checked = 0
    for words in commands():
        command = known.get(" ".join(words[:2]))
        if command is not None:
            options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
            given = [word for word in words if word.startswith("--")]
            assert set(given) <= options
            checked += len(given)
    assert checked > 10


def test_a_worker_may_start_processes():
    """Those that a nanny starts may not, unless told so, and boxloop refuses them."""
    for words in commands():
        if words[:2] == ["dask", "worker"] and "--no-nanny" not in words:
            name = "DASK_DISTRIBUTED__WORKER__DAEMON=False"
            assert f"export {name}" in (FOLDER / "study.slurm").read_text()
