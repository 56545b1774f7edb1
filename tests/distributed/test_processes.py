"""Two real processes of one command, told to each other by Gloo: as good as one, and as tidy."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.boxes import iou_matrix
from boxloop.core.types import Batch, ImageSet
from boxloop.models import detectors
from boxloop.models.checkpoint import read_simnet
from boxloop.models.detectors.empty import EmptyDetector
from builders import stage
from builders_detectors import CLASSES, drawn, labeled, train_params
from builders_jobs import free_port, wait_for

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
SMALL = ("--set", "features.network=squeezenet1_1", "--set", "features.weights=none")
TRAIN = (
    *("--set", "train.weights=none", "--set", "train.input_size=[96, 96]"),
    *("--set", "train.batch_size=8", "--set", "train.learning_rate=0.002"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images in order, all labeled, in the files that the stages read."""
    path = tmp_path_factory.mktemp("campaign")
    refs, truth = drawn(path / "scenes", 20, (150, 100))
    artifacts.write_images(path / "images.json", ImageSet(refs, CLASSES))
    artifacts.write_labeled(path / "labeled.parquet", labeled(truth))
    artifacts.write_batch(path / "b00.json", Batch("b00", tuple(ref.id for ref in refs)))
    boxloop(path, *stage("start", "images.json", "nothing.json", "empty.pt", "tracked.json"))
    return path


def command(*arguments):
    return [sys.executable, "-m", "boxloop", *map(str, arguments)]


def environment(**more):
    # Sums depend on the number of threads, which the launcher would set otherwise.
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def run(arguments, folder, **more):
    return subprocess.run(
        arguments, cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=800
    )


def boxloop(folder, *arguments, fails=False, **more):
    done = run(command(*arguments), folder, **more)
    assert fails == (done.returncode != 0), done.stderr
    assert "Traceback" not in done.stderr
    return done


def torchrun(folder, *arguments, nodes=1, each=2, rest=()):
    """The engine's own command line."""
    shape = ["--nnodes", str(nodes), "--nproc-per-node", str(each), *rest]
    return [sys.executable, "-m", "torch.distributed.run", *shape, *map(str, arguments)]


def torchrun_here(script, folder, *arguments, each):
    """Runs a script of the tests in ``each`` processes."""
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    line = torchrun(folder, script, folder, *arguments, each=each, rest=("--standalone",))
    return run(line, folder, PYTHONPATH=path, GLOO_SOCKET_IFNAME="lo")


# --- the same results -----------------------------------------------------------------------------


def test_features_are_the_same_bytes(folder, tmp_path):
    base = stage("features", "images.json")
    batches = ("--set", "features.batch_size=6")  # of 6, 6, 6 and 2 images
    alone = boxloop(folder, *base, "--out", "one.npz", *SMALL, *batches)
    two = ("--out", "two.npz", *SMALL, *batches, "--processes", 2)
    both = boxloop(folder, *base, *two, TMPDIR=str(tmp_path))
    # What torch caches for every program of a user is its own.
    left = [path for path in tmp_path.iterdir() if not path.name.startswith("torchinductor_")]
    assert not left
    assert (folder / "one.npz").read_bytes() == (folder / "two.npz").read_bytes()
    assert alone.stdout.replace("one.npz", "two.npz") == both.stdout  # one of two speaks
    assert both.stderr.count("20/20") == 1


def test_more_processes_than_batches(folder):
    line, two = stage("features", "images.json"), ("--set", "features.batch_size=16")
    boxloop(folder, *line, "--out", "whole.npz", *SMALL, *two)
    boxloop(folder, *line, "--out", "spare.npz", *SMALL, *two, BOXLOOP_PROCESSES="3")
    assert (folder / "whole.npz").read_bytes() == (folder / "spare.npz").read_bytes()


def test_two_machines_join_by_torchrun(folder):
    """Two launchers that meet at an address, as on two hosts."""
    size = ("--set", "features.batch_size=8")
    boxloop(folder, *stage("features", "images.json", "here.npz"), *SMALL, *size)
    meeting = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{free_port()}")
    rest = (*meeting, "--rdzv-id", "test", "--local-addr", "localhost")
    line = torchrun(
        folder,
        *("-m", "boxloop", *stage("features", "images.json", "hosts.npz"), *SMALL, *size),
        nodes=2,
        each=1,
        rest=rest,
    )
    more = {"GLOO_SOCKET_IFNAME": "lo"}
    other = subprocess.Popen(
        line, cwd=folder, env=environment(**more), stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    done = run(line, folder, **more)
    said, errors = other.communicate(timeout=800)
    assert (done.returncode, other.returncode) == (0, 0), done.stderr + errors.decode()
    assert (folder / "here.npz").read_bytes() == (folder / "hosts.npz").read_bytes()
    assert (done.stdout + said.decode()).count("20 vectors") == 1


def test_proposals_are_the_same_bytes_and_detectors_as_good(folder):
    counts = {}
    for processes in (1, 2):
        model, log = f"model{processes}.pt", f"log{processes}.json"
        boxloop(
            folder,
            *stage("train", "images.json", "labeled.parquet", "empty.pt", model, log),
            *TRAIN,
            *("--set", "train.weights=in1k", "--set", "train.steps=30"),
            *("--processes", processes),
        )
        counts[processes] = found(folder, folder / model)
        content = json.loads((folder / log).read_text())
        assert content["device"] == ("cpu" if processes == 1 else "2 x cpu")
        assert content["batch_size"] == 8
        assert content["losses"][-1]["total"] < 0.5 * content["losses"][0]["total"]
    assert min(counts.values()) >= 38, counts  # of 40
    for processes in (1, 2):
        done = boxloop(
            folder,
            *stage("propose", "images.json", "b00.json", "model2.pt", f"{processes}.json"),
            *("--set", "propose.batch_size=8", "--processes", processes),
        )
        assert "20/20" in done.stderr
    assert (folder / "1.json").read_bytes() == (folder / "2.json").read_bytes()


def found(folder, model):
    """Objects of the labeled images with a confident proposal of their class at IoU 0.5."""
    images = artifacts.read_images(folder / "images.json").images
    truth = artifacts.read_labeled(folder / "labeled.parquet").boxes
    proposed = detectors.load(model, "cpu").propose(images, score_floor=0.4, batch_size=8)
    right = 0
    for image_id, boxes in truth.items():
        overlaps = iou_matrix(boxes.xyxy, proposed[image_id].xyxy)
        same = boxes.labels[:, None] == proposed[image_id].labels[None, :]
        right += int(((overlaps >= 0.5) & same).any(axis=1).sum())
    return right


SHARED = {
    "empty",
    "ssd300_vgg16",
    "fcos_resnet50_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
}
"""Detectors of the same code as a lighter one, on a heavier network: each takes a minute."""


TOGETHER = [name for name in detectors.names() if name not in SHARED]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """All of them, trained one after the other by the same two processes."""
    folder = tmp_path_factory.mktemp("together")
    weights = [f"{name}={train_params(name).weights}" for name in TOGETHER]
    done = torchrun_here(HERE / "together.py", folder, *weights, each=2)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", TOGETHER)
def test_every_detector_can_be_trained_together(together, name):
    """Also where one of the processes has images without a box; and the next turn goes on."""
    log = artifacts.read_training(together / f"{name}.second.json")
    assert (log.device, log.steps) == ("2 x cpu", 3)
    assert log.initial_weights == f"{name}.first.pt (3 steps before)"
    assert detectors.load(together / f"{name}.second.pt", "cpu").name == name


def test_simnet_learns_the_same(folder):
    """A network without batch norm, so that nothing but the order of sums may differ."""
    trained = {}
    for processes in (1, 2):
        boxloop(
            folder,
            *stage("simnet", "images.json", f"s{processes}.pt", f"s{processes}.json"),
            *("--set", "features.network=squeezenet1_1", "--set", "features.weights=simnet"),
            *("--set", "features.input_size=64", "--set", "simnet.weights=none"),
            *("--set", "simnet.batch_size=10", "--set", "simnet.epochs=3"),
            *("--set", "simnet.learning_rate=0.001"),
            *("--processes", processes),
        )
        log = json.loads((folder / f"s{processes}.json").read_text())
        trained[processes] = [row["loss"] for row in log["losses"]]
        assert read_simnet(folder / f"s{processes}.pt", "squeezenet1_1").steps == 6
    # Each loss but the first depends on the steps before it.
    assert trained[1] == pytest.approx(trained[2], rel=1e-3)
    assert trained[1][-1] < 0.9 * trained[1][0]


def test_gradients_are_those_of_the_whole_batch(tmp_path):
    """And the statistics of batch norm end the same in every process."""
    for each in (1, 2):
        done = torchrun_here(HERE / "toy.py", tmp_path, each=each)
        assert done.returncode == 0, done.stderr
    alone, first, second = (torch.load(tmp_path / name) for name in ("1.0", "2.0", "2.1"))
    assert (alone[2], first[2]) == ("cpu", "2 x cpu")
    torch.testing.assert_close(first[0]["colour"], alone[0]["colour"])
    for name, tensor in first[0].items():
        torch.testing.assert_close(second[0][name], tensor, rtol=0, atol=0)
    # The loss that is told is the mean over the processes, which all tell the same.
    assert first[1] == second[1]
    np.testing.assert_allclose(first[1][-1], alone[1][-1], atol=2e-3)


def test_a_turn_is_learned_together_and_then_kept(folder, tmp_path):
    """One launch: all join once, and wait for the detector that the first one writes."""
    paths = CampaignPaths(tmp_path)
    images = artifacts.read_images(folder / "images.json")
    artifacts.write_images(paths.images, images)
    paths.labeled("b00").parent.mkdir(parents=True)
    shutil.copyfile(folder / "labeled.parquet", paths.labeled("b00"))
    EmptyDetector(images.classes).save(paths.detector("b00"), labeled_digest="")
    artifacts.write_evidence(paths.evidence("b00"), ())
    artifacts.write_batch(paths.batch("b01"), Batch("b01", tuple(i.id for i in images.images[:9])))
    (tmp_path / "params.yaml").write_text(
        "iterations:\n  b00: {previous: empty}\n  b01: {previous: b00}\n"
    )
    line = ("learn", "b01", *TRAIN, "--set", "train.steps=2", "--set", "train.held_out=0")
    said = boxloop(tmp_path, *line, "--processes", 2).stdout
    assert said.count("b01: 2 steps on") == 1
    log = artifacts.read_training(paths.training("b01"))
    assert log.device == "2 x cpu"
    assert artifacts.read_proposals(paths.proposals("b01")).checkpoint == log.made_of["detector"]
    before = paths.detector("b01").stat().st_mtime_ns
    again = boxloop(tmp_path, *line, "--processes", 2).stdout
    assert "b01: the detector is kept" in again
    assert paths.detector("b01").stat().st_mtime_ns == before


# --- what goes wrong ------------------------------------------------------------------------------


def test_one_sentence_for_all(folder):
    line = (*stage("train", "images.json", "labeled.parquet", "empty.pt", "x.pt", "x.json"), *TRAIN)
    odd = ("--set", "train.steps=5", "--set", "train.batch_size=7", "--set", "train.weights=none")
    done = boxloop(folder, *line, *odd, "--processes", 2, fails=True)
    assert done.returncode == 2
    assert done.stderr.count("boxloop: ") == 1
    assert "2 processes cannot share a batch of 7 images" in done.stderr
    assert "a multiple of 2, at least 4" in done.stderr
    assert not (folder / "x.pt").exists()


def test_what_stops_one_process_stops_all(folder, tmp_path):
    """An image that only the second one reads."""
    images = artifacts.read_images(folder / "images.json")
    last = Path(images.images[-1].path)
    kept = last.read_bytes()
    last.unlink()
    try:
        line = (*stage("features", "images.json", "none.npz"), *SMALL)
        size = ("--set", "features.batch_size=5")
        done = boxloop(folder, *line, *size, "--processes", 2, fails=True)
    finally:
        last.write_bytes(kept)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == f"boxloop: {last} does not exist"
    assert not (folder / "none.npz").exists()


@pytest.mark.parametrize(
    ("sent", "to", "code", "said"),
    [
        (signal.SIGKILL, "launcher", -signal.SIGKILL, ""),
        (signal.SIGTERM, "launcher", 143, ""),
        (signal.SIGINT, "all", 130, ""),
        (signal.SIGKILL, "worker", 1, "of 2 was ended from outside, by signal 9 (out of memory?)"),
    ],
)
def test_nothing_is_left_running_or_half_written(folder, tmp_path, sent, to, code, said):
    files = (folder / "images.json", folder / "labeled.parquet", folder / "empty.pt")
    line = (
        *stage("train", *files, "out.pt", "out.json"),
        *TRAIN,
        "--set",
        "train.steps=5000",
        "--processes",
        2,
    )
    log = tmp_path / "log"
    with log.open("w") as out:
        launcher = subprocess.Popen(
            command(*line), cwd=tmp_path, env=environment(), stdout=out, stderr=subprocess.STDOUT
        )
    wait_for(lambda: "training b00" in log.read_text())
    workers = psutil.Process(launcher.pid).children(recursive=True)
    assert len(workers) == 2
    # A terminal's Ctrl-C reaches every process.
    targets = {"launcher": [launcher], "all": [launcher, *workers], "worker": [workers[1]]}[to]
    for process in targets:
        with contextlib.suppress(psutil.NoSuchProcess):  # the launcher has ended it already
            process.send_signal(sent)
    assert launcher.wait(120) == code
    wait_for(lambda: not [w for w in workers if w.is_running()])
    assert said in log.read_text()
    assert "Traceback" not in log.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
