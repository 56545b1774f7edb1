"""Every stage by hand, on a set of a dozen images; what goes wrong is one sentence, no traceback.

The commands run in this process through ``main``, as the installed program does.
"""

import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxloop import __version__, cli
from boxloop.campaign import artifacts
from boxloop.core.types import Boxes, FeatureTable

PARAMS = """
dataset: {format: demo, demo: {images: 8, video_fraction: 0.5, size: [64, 64], seed: 0}}
features: {network: resnet18, weights: none, input_size: 64, device: cpu}
batch: {size: 4}
train: {weights: none, input_size: [64, 64], steps: 1, batch_size: 2, device: cpu}
propose: {score_floor: 0.01, device: cpu}
review: {score_threshold: 0.05}
account: {score_thresholds: [0.05]}
track: {enabled: false}
iterations: {b00: {previous: empty}, b01: {previous: b00}}
"""
IMAGES, TRUTH = {"images": "data/images.json"}, {"truth": "data/truth.json"}
READS = {
    "dataset": {},
    "simnet": IMAGES,
    "features": IMAGES,
    "order": {"features": "data/features.npz"},
    "batch": {"order": "data/order.json"},
    "start": IMAGES,
}
WRITES = {
    "dataset": {"images": "data/images.json", "truth": "data/truth.json", "drawn": "data/images"},
    "simnet": {"out": "data/simnet.pt", "log": "data/simnet.json"},
    "features": {"out": "data/features.npz"},
    "order": {"out": "data/order.json"},
    "batch": {"out": "data/batches"},
    "start": {"labeled": "data/labeled/empty.parquet", "detector": "data/detectors/empty.pt"},
}
for key, previous in (("b00", "empty"), ("b01", "b00")):
    labeled, detector = f"data/labeled/{previous}.parquet", f"data/detectors/{key}.pt"
    corrections = f"data/corrections/{key}.json"
    before = {"labeled": labeled, "previous": f"data/detectors/{previous}.pt"}
    READS |= {
        f"train {key}": IMAGES | before,
        f"propose {key}": {
            **IMAGES,
            "batch": f"data/batches/{key}.json",
            "detector": detector,
        },
        f"review {key} --collect": {
            **IMAGES,
            "proposals": f"data/proposals/{key}.json",
            **TRUTH,
        },
        f"merge {key}": {"labeled": labeled, "corrections": corrections},
        f"account {key}": {"corrections": corrections},
    }
    WRITES |= {
        f"train {key}": {"out": detector, "log": f"data/training/{key}.json"},
        f"propose {key}": {"out": f"data/proposals/{key}.json"},
        f"review {key} --collect": {"out": corrections},
        f"merge {key}": {"out": f"data/labeled/{key}.parquet"},
        f"account {key}": {"out": f"data/workload/{key}.json"},
    }
READS |= {"track b01": {}, "report": {}}
WRITES |= {"track b01": {"out": "data/tracked/b01.json"}, "report": {"metrics": "metrics.json"}}
STAGES = tuple(READS)
READERS = [s for s in STAGES if READS[s] and " b00" not in s]


def command(stage, **files):
    """The words of a command; files that are not named are the campaign's own."""
    options = [word for name, path in files.items() for word in (f"--{name}", path)]
    return [*stage.split(), *options]


class Program:
    """The command line in a folder; keeps what it printed."""

    def __init__(self, folder, monkeypatch, capsys):
        self.folder, self._patch, self._capsys = folder, monkeypatch, capsys
        monkeypatch.chdir(folder)

    def __call__(self, *arguments):
        self._patch.setattr(sys, "argv", ["boxloop", *map(str, arguments)])
        self._capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        self.out, self.err = self._capsys.readouterr()
        return code

    def refusal(self, *arguments):
        """The one sentence of a command that must fail, and leave everything as it was."""
        before = contents(self.folder)
        code = self(*arguments)
        assert code != 0, f"{arguments} went through: {self.out}"
        assert contents(self.folder) == before
        sentences = [line for line in self.err.splitlines() if line.startswith("boxloop: ")]
        assert len(sentences) == 1, self.err
        return sentences[0]


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder in which every stage ran, by hand and in order."""
    folder = tmp_path_factory.mktemp("cli") / "campaign"
    folder.mkdir()
    (folder / "params.yaml").write_text(PARAMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in STAGES:
            patch.setattr(sys, "argv", ["boxloop", *command(stage)])
            with pytest.raises(SystemExit) as stop:
                cli.main()
            assert not stop.value.code, stage
    return folder


@pytest.fixture
def program(done, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    return Program(folder, monkeypatch, capsys)


def edit(path, change):
    """Changes the content of a JSON file in place."""
    content = json.loads(Path(path).read_text())
    change(content)
    Path(path).write_text(json.dumps(content))


# --- what works -----------------------------------------------------------------------------------


def test_every_stage_works_by_hand(done):
    labeled = artifacts.read_labeled(done / "data/labeled/b01.parquet")
    truth = artifacts.read_truth(done / "data/truth.json")
    assert labeled.batches == ("b00", "b01")
    assert {k: b.xyxy.tolist() for k, b in labeled.boxes.items()} == {
        k: truth[k].xyxy.tolist() for k in labeled.boxes
    }
    assert json.loads((done / "metrics.json").read_text())["images"] == 8
    assert "<html" in (done / "data/report/report.html").read_text()


@pytest.mark.parametrize("stage", [s for s in STAGES if not s.startswith(("train", "report"))])
def test_a_stage_again_writes_the_same_bytes(program, stage):
    before = contents(program.folder)
    assert program(*command(stage)) == 0
    assert contents(program.folder) == before


def test_an_override_wins_over_the_file(program):
    assert program(*command("order"), "--set", "order.strategy=temporal") == 0
    order = artifacts.read_order(Path("data/order.json"))
    assert order.strategy == "temporal"
    assert list(order.image_ids) == [
        i.id for i in artifacts.read_images(Path("data/images.json")).images
    ]


def test_why_no_detector_is_trained(program):
    assert program("train", "b00") == 0
    assert program.out == "b00: nothing is labeled yet, so no detector is trained\n"
    empty = ("train.detector=empty", "train.warm_start=false")
    assert program("train", "b01", *(word for each in empty for word in ("--set", each))) == 0
    assert program.out == "b01: train.detector is empty, so no detector is trained\n"


def test_status_says_that_all_is_done(program):
    assert program("status") == 0
    assert "8 of 8 images are labeled" in program.out
    assert "Every batch is done" in program.out


def test_status_by_class_and_by_reviewer(program):
    assert program("status", "--by", "class") == 0
    assert "WB and WT saved by class" in program.out
    assert program("status", "--by", "reviewer") == 0
    assert "No batch that people reviewed is done yet." in program.out
    assert program("status", "--by", "colour") == 2


def test_version_and_detectors(program):
    assert program("--version") == 0
    assert program.out.strip() == __version__
    assert program("detectors") == 0
    assert "ssdlite320_mobilenet_v3_large" in program.out.split()


def test_help_answers_at_once():
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "importtime",
            "-c",
            "from boxloop.cli import main; main()",
            "--help",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "Label a pile of images" in done.stdout
    heavy = {"torch", "torchvision", "mlflow", "matplotlib", "scipy", "dvc"}
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not heavy & loaded
    # Of the processor: by the clock it may take longer, as others on the machine take that.
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime < 10


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", READERS)
def test_a_missing_or_foreign_input_is_named(program, stage):
    # Else the previous detector is not even opened.
    warm = ["--set", "train.warm_start=true"] if stage.startswith("train") else []
    Path("notes.txt").write_text("milk, bread")
    for name in READS[stage]:
        for wrong, words in (("nowhere.json", "does not exist"), ("notes.txt", ""), ("data", "")):
            sentence = program.refusal(*command(stage, **{name: wrong}), *warm)
            assert wrong in sentence
            assert words in sentence


@pytest.mark.parametrize("stage", STAGES)
def test_the_defaults_are_the_files_of_dvc_yaml(done, tmp_path, monkeypatch, capsys, stage):
    """With every path spelled out the same files are read, and what is written is the same."""
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    program = Program(folder, monkeypatch, capsys)
    assert program(*command(stage, **READS[stage], **WRITES[stage])) == 0
    trained = stage.startswith("train")
    for path in WRITES[stage].values():
        if Path(path).is_file() and not (trained and path.endswith(".json")):
            assert Path(path).read_bytes() == (done / path).read_bytes(), path


@pytest.mark.parametrize("stage", ["order", "batch", "merge b01", "account b01", "propose b01"])
def test_labels_are_never_replaced_by_another_stage_s_output(program, stage):
    """A wrong path must not cost a day of labeling."""
    target = "data/corrections" if stage == "batch" else "data/corrections/b00.json"
    sentence = program.refusal(*command(stage, out=target))
    assert (
        "corrections/b00.json is a file of format boxloop/corrections and was not rep" in sentence
    )


@pytest.mark.parametrize("stage", ["simnet", "features", "order", "train b01", "propose b01"])
def test_a_slow_stage_finds_out_first_whether_it_can_write(program, stage):
    for name in WRITES[stage]:
        wrong = {name: "params.yaml/x.json"}
        assert "params.yaml/x.json cannot be written" in program.refusal(*command(stage, **wrong))
        assert not program.err.startswith(("features by", "ordering", "training", "proposing"))


def test_files_are_for_the_stage_review_alone(program):
    sentence = program.refusal("review", "b01", "--truth", "data/truth.json")
    assert "--truth is for --collect" in sentence
    assert "--collect needs the batch" in program.refusal("review", "--collect")


def test_images_that_are_not_in_the_dataset_are_named(program):
    edit("data/batches/b01.json", lambda c: c["image_ids"].insert(0, "ghost"))
    sentence = program.refusal(*command("propose b01"))
    assert "data/batches/b01.json" in sentence
    assert "ghost" in sentence
    path = Path("data/labeled/b00.parquet")
    known = artifacts.read_labeled(path)
    artifacts.write_labeled(path, replace(known, boxes={**known.boxes, "ghost": Boxes.empty()}))
    sentence = program.refusal(*command("train b01"))
    assert "data/labeled/b00.parquet" in sentence
    assert "ghost" in sentence


def test_other_classes_than_the_dataset_s_are_refused(program):
    edit("data/images.json", lambda c: c.update(classes=["cat", "dog"]))
    for stage, file in (("train b01", "labeled/b00.parquet"), ("propose b01", "detectors/b01.pt")):
        sentence = program.refusal(*command(stage))
        assert f"data/{file} is for the classes " in sentence
        assert "data/images.json has cat, dog" in sentence


def test_batches_of_one_size_take_one_line(program):
    text = Path("params.yaml").read_text()
    ids = ["empty", "b00", "b01", "b02", "b03", "b04", "b05"]
    turns = ", ".join(f"{b}: {{previous: {a}}}" for a, b in itertools.pairwise(ids))
    text = text.replace("{size: 4}", "{count: null, sizes: [1, 1, 1, 2, 2, 1]}")
    text = text.replace("{b00: {previous: empty}, b01: {previous: b00}}", f"{{{turns}}}")
    Path("params.yaml").write_text(text)
    assert program("batch") == 0, program.err
    lines = ["b00 to b02: 1 image each", "b03, b04: 2 images each", "b05: 1 image"]
    assert program.out.splitlines() == lines


@pytest.mark.parametrize(
    ("stage", "batch"), [("features", "b00"), ("train b01", "b00"), ("propose b01", "b01")]
)
def test_pictures_that_changed_since_they_were_read_are_refused(program, stage, batch):
    image = artifacts.read_batch(Path(f"data/batches/{batch}.json")).image_ids[0]
    path = Path(artifacts.read_images(Path("data/images.json")).by_id()[image].path)
    Image.new("RGB", (64, 64)).save(path)
    assert f"{path} has changed since the dataset was read" in program.refusal(*command(stage))
    path.unlink()
    assert f"{path} does not exist" in program.refusal(*command(stage))


def test_features_that_are_not_numbers_are_refused(program):
    table = artifacts.read_features(Path("data/features.npz"))
    vectors = table.vectors.copy()
    vectors[3, 1] = np.nan
    np.savez("data/features.npz", image_ids=np.array(table.image_ids), vectors=vectors)
    assert "data/features.npz: feature vectors must be finite" in program.refusal(*command("order"))


def test_labels_of_another_annotator_stay(program):
    edit("data/corrections/b01.json", lambda c: c.update(annotator="fiftyone", reviewer="Ann"))
    sentence = program.refusal(*command("review b01 --collect"))
    assert "data/corrections/b01.json holds labels made by 'fiftyone'" in sentence


@pytest.mark.parametrize("damage", ["", "{", '{"format": "boxloop/corrections@1"}', "\0\0"])
def test_damaged_labels_stay(program, damage):
    Path("data/corrections/b01.json").write_text(damage)
    assert "data/corrections/b01.json" in program.refusal(*command("review b01 --collect"))


def test_mistakes_in_the_parameters(program):
    stages = (
        "dataset",
        "simnet",
        "features",
        "order",
        "batch",
        "train b01",
        "propose b01",
        "report",
    )
    for stage in stages:
        section = stage.partition(" ")[0]
        sentence = program.refusal(*command(stage), "--set", f"{section}.zzz=1")
        assert f"'{section}.zzz' is not a known key" in sentence
    assert "nowhere.yaml does not exist" in program.refusal(
        *command("order"), "--params", "nowhere.yaml"
    )
    assert "iterations does not list 'b07'" in program.refusal("track", "b07")
    for stage in ("train", "merge"):
        assert "iterations does not list 'b07': b00, b01" in program.refusal(stage, "b07")


def test_status_outside_a_campaign(tmp_path, monkeypatch, capsys):
    program = Program(tmp_path, monkeypatch, capsys)
    assert "params.yaml does not exist: go to a campaign's folder" in program.refusal("status")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(program):
    Path("data").chmod(0o555)
    try:
        assert "cannot be written" in program.refusal(*command("order"))
    finally:
        Path("data").chmod(0o755)


def test_an_unexpected_error_of_the_system_names_its_file(program, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    sentence = program.refusal(*command("order"))
    assert sentence == (
        "boxloop: data/order.json cannot be written: No space left on device: free some, then try"
        " again"
    )


def test_a_set_of_one_image(program):
    table = FeatureTable(("only",), np.ones((1, 4), np.float32))
    Path("data/features.npz").unlink()
    artifacts.write_features(Path("data/features.npz"), table)
    assert program(*command("order")) == 0
    sentence = program.refusal(*command("batch"))
    assert "iterations lists 2 batches, but 1 images make 1" in sentence
