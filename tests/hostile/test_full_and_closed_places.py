"""Folders that cannot be written to and disks that are full: one sentence, nothing lost, and on."""

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from PIL import Image

import boxloop
from boxloop import pipeline
from boxloop.campaign import artifacts, first_plan, mending, new_batches, submissions
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.export.folder import export_folder
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Corrections
from boxloop.datasets.check import check_path
from boxloop.distributed import launch_processes
from boxloop.errors import TrackingError, UserError, told
from boxloop.files import atomic_path, write_json
from boxloop.tracking.mlflow_store import open_store
from boxloop.tracking.referred_model import _load_pyfunc
from boxloop.tracking.track_model import track_model
from builders_campaign import build_campaign, small_params
from builders_counting import done, install
from builders_hostile import build, contents, soon
from builders_program import run_program
from builders_tracking import track_all

PARAMS = """dataset: {format: demo, demo: {images: 4, size: [64, 64]}}
batch: {size: 2}
train: {steps: 4, weights: none}
review: {score_threshold: 0.5}
iterations: {b00: {previous: empty}, b01: {previous: b00}}
"""


@contextmanager
def read_only(folder):
    """A folder in which nobody can write: root neither, where it may mount."""
    folders = [folder, *(p for p in folder.rglob("*") if p.is_dir())]
    for place in folders:
        place.chmod(0o555)
    bound = False
    try:
        if os.access(folder, os.W_OK):
            bind = ["mount", "--bind", folder, folder], ["mount", "-o", "remount,ro,bind", folder]
            done = [subprocess.run(command, capture_output=True).returncode for command in bind]
            bound = done[0] == 0
            if any(done):
                pytest.skip("root may not mount here, and can write everywhere")
        yield
    finally:
        if bound:
            subprocess.run(["umount", "--lazy", folder], check=True)
        for place in folders:
            place.chmod(0o755)


@pytest.fixture
def disk(tmp_path):
    """A disk of a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nobody may mount here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def full(disk, left=0):
    with (disk / "fill").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 1024):
            pass
    os.truncate(disk / "fill", (disk / "fill").stat().st_size - left)
    try:
        yield
    finally:
        (disk / "fill").unlink()


def campaign(folder):
    folder.mkdir(exist_ok=True)
    build(folder)
    (folder / "params.yaml").write_text(PARAMS)
    return folder


COMMANDS = [
    (("export", "out", "--format", "coco"), "out"),
    (("merge", "b00"), "data/labeled/b00.parquet"),
    (("account", "b00"), "data/evidence/b00.json"),
    (("report",), " cannot be written: "),
    (("init", "new", "--set", "dataset.format=demo"), "new"),
    (("study", "study.yaml"), "study"),
    (("classes", "rename", "cat", "lion"), ".boxloop/change.lock"),
]
STUDY = '{"set": {"dataset": {"demo": {"images": 4, "size": [64, 64]}}}, "turns": 2}'


def refusals(root, monkeypatch, capsys, way):
    (root / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(root)
    kept = contents(root)

    def act(command, place):
        code, said = run_program(monkeypatch, capsys, *command)
        last = said.splitlines()[-1]
        assert code != 0, command
        assert last.startswith("boxloop: "), said
        assert place in last, last
        assert last.endswith(way), last
        assert "Traceback" not in said
        assert contents(root) == kept, command

    return act


def test_a_campaign_that_is_read_only(tmp_path, monkeypatch, capsys):
    root = campaign(tmp_path / "c")
    (root / ".boxloop").mkdir()
    act = refusals(root, monkeypatch, capsys, "or use another place")
    with read_only(root):
        monkeypatch.chdir(root)  # into what is mounted now
        for command, place in COMMANDS:
            act(command, place)


def test_a_full_disk_and_on_when_there_is_space_again(disk, monkeypatch, capsys):
    root = campaign(disk / "c")
    (root / ".boxloop").mkdir()
    act = refusals(root, monkeypatch, capsys, "No space left on device: free some, then try again")
    for command, place in COMMANDS:
        if command[0] not in ("init", "study", "classes"):
            with full(disk):
                act(command, place)
            code, said = run_program(monkeypatch, capsys, *command)
            assert code == 0, said
            act = refusals(
                root, monkeypatch, capsys, "No space left on device: free some, then try again"
            )
    assert not list(disk.glob("**/.*.????????*"))


@pytest.mark.parametrize(
    ("number", "way"),
    [
        (errno.ENOSPC, "No space left on device: free some, then try again"),
        (errno.EROFS, "Read-only file system: make it writable, or use another place"),
        (errno.EACCES, "Permission denied: get access to it (chmod, chown), or use another place"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_what_the_system_says_comes_with_what_helps(tmp_path, number, way):
    fault = OSError(number, os.strerror(number))
    assert told(fault) == (way, 2)
    with pytest.raises(UserError) as caught, atomic_path(tmp_path / "a.json"):
        raise fault
    assert str(caught.value) == f"{tmp_path / 'a.json'} cannot be written: {way}"
    with pytest.raises(UserError) as caught, export_folder(tmp_path / "out"):
        raise fault
    assert str(caught.value) == f"{tmp_path / 'out'} cannot be written: {way}"
    assert list(tmp_path.iterdir()) == []


def test_a_campaign_for_which_a_disk_is_too_small_is_what_is_named(disk, monkeypatch, capsys):
    monkeypatch.chdir(disk)
    with full(disk, left=8 * 1024):  # enough for params.yaml, not for dvc.yaml
        code, said = run_program(monkeypatch, capsys, "init", "new", "--set", "dataset.format=demo")
        assert [path.name for path in disk.iterdir()] == ["fill"]
    way = "No space left on device: free some, then try again"
    assert (code, said) == (2, f"boxloop: new/dvc.yaml: {way}\n")


def test_a_copy_for_which_a_disk_is_too_small_is_what_is_named(disk, tmp_path):
    source = tmp_path / "detector.pt"
    source.write_bytes(bytes(100_000))
    way = "No space left on device: free some, then try again"
    with full(disk, left=8 * 1024):
        for write, name in ((atomic_path, ""), (export_folder, "copy.pt")):
            with pytest.raises(UserError) as caught, write(disk / "out") as place:
                shutil.copyfile(source, place / name)
            assert str(caught.value) == f"{disk / 'out'} cannot be written: {way}"
        with pytest.raises(OSError, match="No space left") as caught:
            shutil.copyfile(source, disk / "copy.pt")
    assert told(caught.value) == (f"{disk / 'copy.pt'}: {way}", 2)


@pytest.mark.parametrize("left", [0, 4, 8, 12])
@pytest.mark.parametrize("format_", ["coco", "fiftyone", "voc", "yolo"])
def test_an_export_for_which_a_disk_is_too_small_is_named_as_it_was_asked_for(
    disk, tmp_path, monkeypatch, capsys, format_, left
):
    monkeypatch.chdir(campaign(tmp_path / "c"))
    (tmp_path / "c" / "out").symlink_to(disk / "out")
    with full(disk, left * 1024):
        command = ("export", "out", "--format", format_, "--images", "copy")
        code, said = run_program(monkeypatch, capsys, *command)
        assert [path.name for path in disk.iterdir()] == ["fill"]
    assert code == 2
    assert said.splitlines()[-1].startswith("boxloop: out")
    assert " cannot be written: No space left on device" in said
    assert ".out." not in said


@pytest.mark.parametrize("write", [atomic_path, export_folder])
def test_a_file_that_cannot_be_read_is_not_blamed_on_the_one_that_is_written(tmp_path, write):
    with pytest.raises(FileNotFoundError) as caught, write(tmp_path / "out"):
        (tmp_path / "gone.json").read_text()
    assert told(caught.value)[0] == f"{tmp_path / 'gone.json'}: No such file or directory"
    assert list(tmp_path.iterdir()) == []


DELIVERED = {
    "track": {"enabled": False},
    "train": {"detector": "counting_detector:FACTORY", "steps": 1, "warm_start": False},
}


def refuse_to_deliver(folder, monkeypatch, model):
    """Try to deliver to ``model``; return what is said. Nothing was trained for it."""
    monkeypatch.chdir(folder)
    install(folder, monkeypatch)
    params = small_params(3, **DELIVERED)
    build_campaign(folder, params)
    campaign = Campaign(CampaignPaths(), params, say=lambda _: None, files={"model": model})
    with pytest.raises(UserError) as caught:
        pipeline.deliver(campaign)
    assert done() == []
    return str(caught.value)


def test_a_model_for_a_read_only_place_is_not_trained(tmp_path, monkeypatch):
    place, root = tmp_path / "place", tmp_path / "c"
    place.mkdir()
    root.mkdir()
    with read_only(place):
        said = refuse_to_deliver(root, monkeypatch, place / "model")
    assert said.startswith(f"{place / 'model'} cannot be written: ")
    assert list(place.iterdir()) == []


def test_a_model_for_a_full_disk_is_not_trained(disk, tmp_path, monkeypatch):
    (tmp_path / "c").mkdir()
    with full(disk):
        said = refuse_to_deliver(tmp_path / "c", monkeypatch, disk / "model")
        assert [path.name for path in disk.iterdir()] == ["fill"]
    way = "No space left on device: free some, then try again"
    assert said == f"{disk / 'model'} cannot be written: {way}"


@pytest.fixture
def temporary(disk, monkeypatch):
    """A disk of a megabyte for temporary files alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    return disk


@contextmanager
def told_of_temporary(place, why="cannot be written: No space left on device: free some, then try"):
    with pytest.raises(UserError) as caught:
        yield
    said = str(caught.value)
    assert said.startswith(f"{place}, where temporary files go, {why}"), said
    assert said.endswith("again; or set TMPDIR to a folder with more room")


def test_a_turn_s_model_for_which_the_temporary_folder_is_full(temporary, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = small_params(2, track={"models": "full"})
    paths = build_campaign(tmp_path, params)
    for left in (0, 4 * 1024, 12 * 1024):
        with full(temporary, left), told_of_temporary(temporary):
            track_all(paths, params)
    track_all(paths, small_params(2, track={"models": "reference"}))
    [model] = tmp_path.glob("mlartifacts/models/*/artifacts/data")
    for left in (0, 4 * 1024):
        with full(temporary, left), told_of_temporary(temporary):
            _load_pyfunc(str(model))
    assert list(temporary.iterdir()) == []


def test_a_delivered_model_for_which_the_temporary_folder_is_too_small(temporary, tmp_path):
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    model = tmp_path / "model"
    model.mkdir()
    (model / "detector.pt").write_bytes(bytes(100_000))
    with full(temporary, 50_000), told_of_temporary(temporary, "has "):
        track_model(paths, params, "b01", model, thresholds={}, example=b"", say=str)


DEMO = {"format": "demo", "demo": {"images": 4, "size": [64, 64]}}


def test_images_that_are_drawn_to_be_counted_and_the_temporary_folder_is_full(temporary):
    with full(temporary), pytest.raises(UserError) as said:
        first_plan.plan_new(small_params(2, dataset=DEMO))
    assert str(said.value).startswith(f"{temporary}/boxloop-")
    assert str(said.value).endswith("try again; or set TMPDIR to a folder with more room")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("command", ["check", "plan", "init", "read", "processes"])
def test_a_closed_temporary_folder_is_told(command, temporary, tmp_path, monkeypatch):
    place = tmp_path / "images"
    place.mkdir()
    Image.new("RGB", (64, 64)).save(place / "a.png")
    dataset = {"format": "folder", "path": str(place), "classes": ["cat"]}
    people = {"review": {"annotator": "fiftyone"}}
    call = {
        "check": lambda: check_path(place, []),
        "plan": lambda: first_plan.plan_new(small_params(1, dataset=dataset, **people)),
        "init": lambda: new_batches.fit_batches(
            small_params(1, dataset=dataset, **people), turns_chosen=True, sizes_chosen=False
        ),
        "read": lambda: boxloop.load_dataset(place, "folder", classes=["cat"]),
        "processes": lambda: launch_processes(2),
    }[command]
    monkeypatch.setattr(sys, "argv", ["boxloop", "--help"])
    with read_only(temporary), pytest.raises(UserError) as said:
        call()
    start, end = f"{temporary}, where temporary files go, cannot be written: ", "use another place"
    assert str(said.value).startswith(start)
    assert str(said.value).endswith(f"{end}; or set TMPDIR to a folder with more room")


@contextmanager
def unreadable(path, mode=0):
    before = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode)
    try:
        if os.access(path, os.W_OK):
            pytest.skip("root can read and write everything")
        yield
    finally:
        path.chmod(before)


def test_what_may_not_be_read_is_not_called_damaged(tmp_path):
    """To move it aside would have every stage run again, for a right that is missing."""
    paths = CampaignPaths(tmp_path)
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    for path in (tmp_path / "dvc.lock", tmp_path / ".dvc" / "tmp" / "rwlock"):
        path.write_text("{")
        assert len(mending.find(paths)) == 1
        with unreadable(path):
            assert mending.find(paths) == []
        path.unlink()


def test_a_database_that_may_not_be_written_is_told_at_once(tmp_path, capsys):
    with open_store(tmp_path, "boxloop", lambda _: None):
        pass
    with (
        unreadable(tmp_path / "mlflow.db", 0o444),
        pytest.raises(TrackingError, match=r"Permission denied: '.*mlflow.db'"),
        open_store(tmp_path, "boxloop", lambda _: None),
    ):
        pass
    assert "Traceback" not in "".join(capsys.readouterr())


def test_a_database_that_is_a_link_into_a_closed_folder_is_told_at_once(tmp_path, capsys):
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "mlflow.db").symlink_to(place / "mlflow.db")
    with (
        read_only(place),
        soon(30),
        pytest.raises(TrackingError, match=r"Permission denied: '.*/place'"),
        open_store(tmp_path, "boxloop", lambda _: None),
    ):
        pass
    assert "Traceback" not in "".join(capsys.readouterr())


def test_a_report_does_not_take_numbers_that_it_may_not_read_for_another_s(
    tmp_path, monkeypatch, capsys
):
    root = campaign(tmp_path / "c")
    write_json(root / "metrics.json", {"wt_reduction": 0.5})
    monkeypatch.chdir(root)
    with unreadable(root / "metrics.json"):
        code, said = run_program(monkeypatch, capsys, "report")
    assert code == 2
    assert "metrics.json cannot be read: Permission denied" in said


def test_a_file_in_the_place_of_boxloop_s_own_folder_is_told_as_that_by_all(
    tmp_path, monkeypatch, capsys
):
    """By ``browse``, too, which told of a database that is moved elsewhere."""
    build_campaign(tmp_path, small_params(2, review={"annotator": "fiftyone"}))
    write_json(tmp_path / "params.yaml", small_params(2).model_dump(mode="json"))
    (tmp_path / ".boxloop").touch()
    monkeypatch.chdir(tmp_path)
    way = ".boxloop is a file, not a folder: move it away, or use another place"
    for command in (["browse", "--no-browser"], ["import-corrections", "a.json"]):
        code, said = run_program(monkeypatch, capsys, *command)
        assert code == 2, said
        assert said.rstrip().endswith(f" cannot be written: {way}"), said


def test_a_file_of_corrections_for_which_a_disk_is_too_small_leaves_nothing(
    disk, monkeypatch, capsys
):
    """Its images were shown in two ways, so that they are two submissions, of which one fits."""
    root = disk / "c"
    root.mkdir()
    params = small_params(2, review={"annotator": "fiftyone"})
    build_campaign(root, params, done=1, through="proposals", annotator="fiftyone")
    (root / "params.yaml").write_text(json.dumps(params.model_dump(mode="json")))
    offered = artifacts.read_proposals(root / "data/proposals/b01.json")
    for image_id, threshold in (("img02", 0.5), ("img03", 0.3)):
        own = {image_id: offered.boxes[image_id]}
        made = Corrections(
            replace(offered, boxes=own),
            threshold,
            "fiftyone",
            {image_id: replace(own[image_id], scores=None)},
            finished=submissions.timestamp(),
        )
        submissions.append(root / "reviews", made)
    many = [[x, y, 2, 2] for x in range(60) for y in range(0, 45, 4)]
    content = {
        "categories": [{"id": 1, "name": "cat"}],
        "images": [
            {"id": 1, "file_name": "img02.png", "width": 64, "height": 48},
            {"id": 2, "file_name": "img03.png", "width": 64, "height": 48},
        ],
        "annotations": [
            {"id": i, "image_id": 2 if i else 1, "category_id": 1, "bbox": bbox, "iscrowd": 0}
            for i, bbox in enumerate(many)
        ],
    }
    (root / "back.json").write_text(json.dumps(content))
    monkeypatch.chdir(root)
    (root / ".boxloop").mkdir()
    (root / ".boxloop" / "change.lock").touch()
    kept, command = contents(root), ("import-corrections", "back.json", "--redo")
    with full(disk, left=24 * 1024):
        code, said = run_program(monkeypatch, capsys, *command)
        assert (code, said.count("\n")) == (2, 1), said
        assert said.endswith("No space left on device: free some, then try again\n")
        assert contents(root) == kept
    code, said = run_program(monkeypatch, capsys, *command)
    assert code == 0, said
    known = submissions.read(root / "reviews")
    assert submissions.assemble(known, offered).revision == 3


@pytest.mark.parametrize("mode", [0o444, 0o000])
@pytest.mark.parametrize(
    "place", ["reviews", "data/corrections", "data/batches", "data/proposals", "data/workload"]
)
def test_status_takes_nothing_for_missing_in_a_folder_that_cannot_be_entered(tmp_path, place, mode):
    paths = build_campaign(tmp_path, small_params(2), annotator="fiftyone")
    (tmp_path / "params.yaml").write_text(PARAMS)
    for key in ("b00", "b01"):
        made = artifacts.read_corrections(paths.corrections(key))
        submissions.append(paths.reviews, made, kept=True)
    write_json(paths.metrics, {})
    command = [sys.executable, "-m", "boxloop", "status", "--set", "review.annotator=fiftyone"]
    if os.geteuid() == 0:  # who may enter every folder, unless that right is given up
        if shutil.which("setpriv") is None:
            pytest.skip("root may enter every folder")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]

    def status():
        done = subprocess.run(command, cwd=paths.root, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert "Take note" not in status()
    (paths.root / place).chmod(mode)
    try:
        said = status()
    finally:
        (paths.root / place).chmod(0o755)
    [note] = [line for line in said.splitlines() if line.startswith("- ")]
    assert note.startswith(f"- {place} cannot be looked into (Permission denied)")
    assert said.endswith("\nNext: bring the damaged files back, then dvc repro\n")
