"""Exports are read back by the importers, and by pycocotools; folders of others are left alone."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from ruamel.yaml import YAML

import builders_datasets
from boxloop import datasets
from boxloop.campaign import artifacts, submissions
from boxloop.campaign.export.folder import MARKER, _replace, export_folder, put_images
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Boxes, ImageRef, LabeledSet
from boxloop.datasets.format_protocol import ExportContent, file_names, writable_formats
from boxloop.errors import DatasetError
from boxloop.files import file_digest
from boxloop.params import DatasetParams
from builders_campaign import build_campaign, small_params
from builders_program import run_program

FORMATS = ("coco", "voc", "yolo")
CLASSES = ("red cell", "no", "Größe")
ENTRIES = ("a", "deep/er/b", "images/c", "frame.001", "with space")
COCO = {"annotations": "annotations/instances_default.json"}


@pytest.fixture
def program(monkeypatch, capsys):
    """Runs the command line in a folder; gives the exit code, and what it said."""

    def run(folder, *arguments):
        monkeypatch.chdir(folder)
        return run_program(monkeypatch, capsys, *arguments)

    return run


def content(root, table, size=(64, 48)):
    """Images of these ids on disk, with these boxes."""
    refs = []
    for i, image_id in enumerate(table):
        path = builders_datasets.image(root / f"{i}.PNG", *size, seed=i)
        refs.append(ImageRef(image_id, str(path), *size, file_digest(path)))
    return ExportContent(CLASSES, tuple(refs), file_names(tuple(refs)), table, "test")


def write(out, format_, made, mode="copy"):
    writer = writable_formats()[format_]
    with export_folder(out) as folder:
        writer.write(folder, made)
        put_images(folder / writer.IMAGES, made, Path(), mode, None)
    return out


def read(out, format_):
    return builders_datasets.load(out, format_, **(COCO if format_ == "coco" else {}))


def rows(boxes):
    return sorted(zip(boxes.labels.tolist(), boxes.xyxy.tolist(), strict=True))


TABLE = {
    name: Boxes.build([(1, 2, 30, 40), (10.25, 0, 64, 47.5)], ["no", "Größe"]) for name in ENTRIES
} | {"nothing here": Boxes.empty(), "red": Boxes.build([(0, 0, 64, 48)], ["red cell"])}


@pytest.mark.parametrize("mode", ["copy", "link"])
@pytest.mark.parametrize("format_", FORMATS)
def test_the_importers_read_the_same_labels_back(tmp_path, format_, mode):
    out = write(tmp_path / "out", format_, content(tmp_path / "source", TABLE), mode)
    found = read(out, format_)
    assert found.faults == ()
    assert set(found.images.classes) == set(CLASSES)
    assert set(found.truth) == set(TABLE)
    for name, boxes in TABLE.items():
        for got, want in zip(rows(found.truth[name]), rows(boxes), strict=True):
            assert got[0] == want[0]
            assert np.allclose(got[1], want[1], rtol=0, atol=0.5 if format_ == "voc" else 1e-8)


def test_pycocotools_reads_the_coco_file(tmp_path):
    from pycocotools.coco import COCO as Tool

    out = write(tmp_path / "out", "coco", content(tmp_path / "source", TABLE), "none")
    with contextlib.redirect_stdout(io.StringIO()):
        tool = Tool(str(out / COCO["annotations"]))
    assert len(tool.getImgIds()) == len(TABLE)
    assert [c["name"] for c in tool.loadCats(tool.getCatIds())] == list(CLASSES)
    for number, name in enumerate(TABLE, start=1):
        entry = tool.loadImgs(number)[0]
        assert entry["file_name"] == f"{name}.PNG"
        found = tool.loadAnns(tool.getAnnIds(imgIds=number, iscrowd=False))
        got = [(a["category_id"], *a["bbox"], a["area"]) for a in found]
        want = [
            (CLASSES.index(label) + 1, x1, y1, x2 - x1, y2 - y1, (x2 - x1) * (y2 - y1))
            for label, (x1, y1, x2, y2) in zip(
                TABLE[name].labels, TABLE[name].xyxy.tolist(), strict=True
            )
        ]
        assert got == want


def test_yolo_has_what_ultralytics_asks_for(tmp_path):
    out = write(tmp_path / "out", "yolo", content(tmp_path / "source", TABLE), "none")
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)  # Ultralytics reads YAML 1.1, where a plain no is false
    assert yaml.load("no") is False
    recipe = yaml.load((out / "data.yaml").read_text(encoding="utf-8"))
    assert recipe == {"train": "images", "val": "images", "names": dict(enumerate(CLASSES))}
    labels = (out / "labels" / "a.txt").read_text()
    assert labels.splitlines()[0] == "1 0.2421875 0.4375 0.453125 0.791666666667"
    assert (out / "labels" / "nothing here.txt").read_text() == ""
    assert (out / "images" / "labels" / "c.txt").exists()  # what readers make of images/images/c


def test_voc_counts_from_one_and_includes_the_last_pixel(tmp_path):
    table = {"a": Boxes.build([(0, 0, 64, 48), (10, 20, 11.2, 30), (63.1, 0, 64, 3)], ["no"] * 3)}
    out = write(tmp_path / "out", "voc", content(tmp_path / "source", table), "none")
    from defusedxml import ElementTree

    root = ElementTree.parse(out / "Annotations" / "a.xml").getroot()
    bounds = [[int(e.text) for e in item] for item in root.iter("bndbox")]
    assert bounds == [[1, 1, 64, 48], [11, 21, 12, 30], [63, 1, 64, 3]]
    assert (out / "ImageSets" / "Main" / "trainval.txt").read_text() == "a\n"


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_voc_rounds_by_half_a_pixel_and_loses_no_box(data):
    edge = st.floats(0, 63, width=32)
    extent = st.floats(0.03125, 64, width=32)
    drawn = data.draw(st.lists(st.tuples(edge, edge, extent, extent), min_size=1, max_size=5))
    xyxy = [(x, y, min(x + w, 64.0), min(y + h, 64.0)) for x, y, w, h in drawn]
    with tempfile.TemporaryDirectory() as folder:
        table = {"a": Boxes.build(xyxy, ["no"] * len(xyxy))}
        made = content(Path(folder) / "source", table, (64, 64))
        found = read(write(Path(folder) / "out", "voc", made), "voc")
    assert found.faults == ()
    got, want = found.truth["a"].xyxy, np.array(xyxy)
    assert got.shape == want.shape
    wide = want[:, 2:] - want[:, :2] >= 3
    assert (np.abs(got[:, :2] - want[:, :2])[wide] <= 0.5).all()
    assert (np.abs(got[:, 2:] - want[:, 2:])[wide] <= 0.5).all()
    assert (np.abs(got - want) <= 2).all()


def test_whole_pixels_survive_voc_exactly(tmp_path):
    table = {"a": Boxes.build([(0, 0, 64, 48), (3, 4, 5, 6)], ["no", "red cell"])}
    out = write(tmp_path / "out", "voc", content(tmp_path / "source", table))
    assert rows(read(out, "voc").truth["a"]) == rows(table["a"])


def test_real_images_in_and_out(tmp_path):
    data = Path(__file__).parents[2] / ".." / "shared" / "data" / "bccd"
    if not data.exists():
        pytest.skip("../shared/data/bccd is not there")
    found = datasets.load(DatasetParams(format="voc", path=str(data)), tmp_path / "drawn")
    refs = found.images.images
    made = ExportContent(found.images.classes, refs, file_names(refs), found.truth, "BCCD")
    for format_ in FORMATS:
        again = read(write(tmp_path / format_, format_, made, "link"), format_)
        assert again.faults == ()
        for name, boxes in found.truth.items():
            got = again.truth[name]
            assert got.labels.tolist() == boxes.labels.tolist()
            assert np.allclose(got.xyxy, boxes.xyxy, rtol=0, atol=1e-7)


# --- what is exported -----------------------------------------------------------------------------


def campaign(root, *, done=2, annotator="simulated", through="workload"):
    root.mkdir()
    params = small_params(3)
    build_campaign(root, params, done=done, annotator=annotator, through=through)
    text = json.dumps(params.model_dump(mode="json"))
    (root / "params.yaml").write_text(text, encoding="utf-8")
    return root


def test_the_labels_so_far_leave_by_the_command_line(tmp_path, program):
    root = campaign(tmp_path / "c", annotator="fiftyone")
    code, said = program(root, "export", "out", "--format", "coco", "--images", "copy")
    assert code == 0
    assert said.startswith("out: 4 images, 11 boxes (coco); batches b00, b01, reviewed by ada\n")
    found, labeled = (
        read(root / "out", "coco"),
        artifacts.read_labeled(root / "data/labeled/b01.parquet"),
    )
    assert {name: rows(b) for name, b in found.truth.items()} == {
        name: rows(b) for name, b in labeled.boxes.items()
    }
    assert found.images.classes == labeled.classes


def test_simulated_labels_are_called_so(tmp_path, program):
    root = campaign(tmp_path / "c")
    _, said = program(root, "export", "out", "--format", "yolo")
    assert "b00, b01: the boxes are the dataset's own, handed back by the simulated" in said


def test_a_labeled_set_of_other_batches_is_passed_over(tmp_path, program):
    root = campaign(tmp_path / "c")
    stray = LabeledSet(("cat", "dog"), ("b00", "b02"), {})
    artifacts.write_labeled(root / "data/labeled/b02.parquet", stray)
    assert "4 images" in program(root, "export", "out", "--format", "voc")[1]


def test_labels_older_than_their_corrections_are_not_exported(tmp_path, program):
    root = campaign(tmp_path / "c")
    path = root / "data/labeled/b01.parquet"
    labeled = artifacts.read_labeled(path)
    moved = labeled.boxes | {"img00": Boxes.build([(1, 1, 9, 9)], ["cat"])}
    artifacts.write_labeled(path, LabeledSet(labeled.classes, labeled.batches, moved))
    code, said = program(root, "export", "out", "--format", "voc")
    assert code == 2
    assert (
        "data/labeled/b01.parquet is older than data/corrections/b00.json: run 'dvc repro'" in said
    )
    assert not (root / "out").exists()


@pytest.mark.parametrize("formats", [("voc",), ("coco", "--split", "by-batch")])
def test_labels_that_people_have_submitted_newer_ones_of_are_not_exported(
    tmp_path, program, formats
):
    """As after a redo that was not taken over, or a pull that brought files of `reviews/`."""
    root = campaign(tmp_path / "c", annotator="fiftyone")
    paths = CampaignPaths(root)
    for key, image_id in (("b00", "img00"), ("b01", "img02")):
        made = artifacts.read_corrections(paths.corrections(key)).part([image_id])
        submissions.append(paths.reviews, replace(made, finished="2024-02-01T12:00:00+00:00"))
        code, said = program(root, "export", "out", "--format", *formats)
        assert code == 2
        assert not (root / "out").exists()
    assert (
        "reviews/ holds newer labels of 2 images than data/labeled/b01.parquet is made of: run 'dvc"
        " repro --single-item --force finish@b00 finish@b01', then 'dvc repro' first\n" in said
    )


def test_labels_of_other_classes_than_the_images_are_not_exported(tmp_path, program):
    """As between the change of a class and ``dvc repro``."""
    root = campaign(tmp_path / "c")
    images = artifacts.read_images(root / "data/images.json")
    renamed = replace(images, classes=("lynx", "dog"))
    artifacts.write_images(root / "data/images.json", renamed)
    code, said = program(root, "export", "out", "--format", "voc")
    assert code == 2
    assert "data/labeled/b01.parquet has other classes than data/images.json: 'dvc repro'" in said
    assert not (root / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "csv"], "--format must be one of coco, fiftyone, voc, yolo, got 'csv'"),
        (["--format", "voc", "--images", "move"], "--images must be one of link, copy, none"),
        (["--format", "voc", "--proposals", "b02"], "--proposals needs --format coco"),
        (["--format", "coco", "--proposals", "b9"], "there is no batch 'b9'"),
        (["--format", "coco", "--proposals", "b02"], "data/proposals/b02.json does not exist"),
        (
            ["--format", "yolo", "--val", "0.3"],
            "--val 0.3 splits nothing by itself: add --split random",
        ),
        (
            ["--format", "coco", "--seed", "0"],
            "--seed 0 splits nothing by itself: add --split random",
        ),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(tmp_path, program, arguments, message):
    root = campaign(tmp_path / "c")
    code, said = program(root, "export", "out", *arguments)
    assert code == 2
    assert message in said
    assert said.count("\n") == 1
    assert sorted(p.name for p in root.iterdir()) == ["data", "params.yaml"]


def test_without_labels_there_is_nothing_to_export(tmp_path, program):
    root = campaign(tmp_path / "c", done=0)
    code, said = program(root, "export", "out", "--format", "coco")
    assert code == 2
    assert "nothing is labeled yet" in said


def test_proposals_leave_with_their_ids(tmp_path, program):
    root = campaign(tmp_path / "c", done=1, through="proposals")
    code, said = program(root, "export", "out", "--format", "coco", "--proposals", "b01")
    assert code == 0
    assert "2 images, 6 boxes" in said
    assert "not checked by anyone yet" in said
    content = json.loads((root / "out" / COCO["annotations"]).read_text())
    tag = file_digest(root / "data/proposals/b01.json")[:8]
    # The seventh, t2 of the second image, scores too little to be shown.
    ids = ["t0", "t1", "t2", "t3", "t0", "t1"]
    found = [a["attributes"]["boxloop_id"] for a in content["annotations"]]
    assert found == [f"{tag}/{name}" for name in ids]
    assert content["annotations"][0]["score"] == 0.9


# --- the folder -----------------------------------------------------------------------------------


def test_an_export_replaces_an_earlier_one_whole(tmp_path):
    first = content(tmp_path / "one", TABLE)
    second = content(tmp_path / "two", {"z": TABLE["a"]})
    out = write(tmp_path / "out", "yolo", first)
    (out / "labels.cache").write_bytes(b"what Ultralytics leaves behind")
    write(out, "voc", second)
    found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert found == sorted(
        [MARKER, "Annotations/z.xml", "ImageSets/Main/trainval.txt", "JPEGImages/z.PNG"]
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "out", "two"]


def test_an_empty_folder_is_welcome_and_links_lead_to_it(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    write(tmp_path / "out", "coco", content(tmp_path / "source", TABLE))
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "real" / COCO["annotations"]).exists()


def spoil_foreign(out):
    out.mkdir()
    (out / "thesis.tex").write_text("x")


def spoil_file(out):
    out.write_text("x")


def spoil_added(out):
    write(out, "yolo", content(out.parent / "s", TABLE))
    (out / "labels" / "notes.txt").write_text("x")


def spoil_changed(out):
    write(out, "yolo", content(out.parent / "s", TABLE))
    (out / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")


def spoil_image(out):
    write(out, "yolo", content(out.parent / "s", TABLE), "link")
    (out / "images" / "a.PNG").unlink()
    Image.new("RGB", (3, 3)).save(out / "images" / "a.PNG")


def spoil_marker(out):
    write(out, "yolo", content(out.parent / "s", TABLE))
    (out / MARKER).write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_foreign, "out is not empty, and no export made what is in it"),
        (spoil_file, "out is a file"),
        (spoil_added, "out/labels/notes.txt is not of the last export, and would be lost"),
        (spoil_changed, "out/labels/a.txt was changed since, and would be lost"),
        (spoil_image, "out/images/a.PNG was changed since, and would be lost"),
        (spoil_marker, f"out/{MARKER} is damaged"),
    ],
)
def test_what_no_export_made_is_left_alone(tmp_path, program, spoil, message):
    root = campaign(tmp_path / "c")
    spoil(root / "out")
    listing = {p: p.read_bytes() for p in (root / "out").rglob("*") if p.is_file()}
    code, said = program(root, "export", "out", "--format", "yolo")
    assert code == 2
    assert message in said
    assert {p: p.read_bytes() for p in (root / "out").rglob("*") if p.is_file()} == listing
    assert not list(root.glob(".out.*"))


@pytest.mark.parametrize("mode", ["copy", "link"])
def test_a_failure_leaves_the_earlier_export(tmp_path, program, mode):
    root = campaign(tmp_path / "c")
    program(root, "export", "out", "--format", "yolo")
    before = sorted((root / "out").rglob("*"))
    (root / "data/images/img03.png").write_bytes(b"other pixels")
    code, said = program(root, "export", "out", "--format", "coco", "--images", mode)
    assert code == 2
    assert "data/images/img03.png has changed since the dataset was read" in said
    assert sorted((root / "out").rglob("*")) == before
    (root / "data/images/img03.png").unlink()
    code, said = program(root, "export", "out", "--format", "coco")
    assert code == 2
    assert "img03.png does not exist, but image img03 is labeled" in said
    assert not list(root.glob(".out.*"))


def test_a_folder_that_cannot_be_put_in_its_place_leaves_the_earlier_one(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.txt").write_text("a")
    with pytest.raises(FileNotFoundError):
        _replace(out, tmp_path / "gone", tmp_path / "aside")
    assert (out / "a.txt").read_text() == "a"


def test_links_lead_to_the_images_and_none_leaves_them_out(tmp_path):
    made = content(tmp_path / "source", TABLE)
    write(tmp_path / "links", "coco", made, "link")
    link = tmp_path / "links" / "images" / "a.PNG"
    assert os.readlink(link) == made.images[0].path
    write(tmp_path / "bare", "coco", made, "none")
    assert not (tmp_path / "bare" / "images").exists()
    shutil.rmtree(tmp_path / "links")
    assert Path(made.images[0].path).exists()


@pytest.mark.parametrize(
    ("name", "file"),
    [("../a", "x.png"), ("/a", "x.png"), ("a/../../b", "x.png"), (".", "x")],
)
def test_an_id_that_leads_elsewhere_is_refused(name, file):
    with pytest.raises(DatasetError, match="cannot be a file name"):
        file_names((ImageRef(name, file, 4, 4, "0"),))


def test_file_names_keep_ids_apart():
    refs = tuple(ImageRef(i, f"x/{p}", 4, 4, "0") for i, p in (("a.png", "a.png"), ("a", "a.jpg")))
    assert file_names(refs) == {
        "a.png": PurePosixPath("a.png.png"),
        "a": PurePosixPath("a.jpg"),
    }


def test_what_a_killed_export_left_is_removed_and_not_what_is_being_written(tmp_path):
    out = tmp_path / "out"
    killed = tmp_path / ".out.abcdefgh"
    (killed / "content").mkdir(parents=True)
    os.utime(killed, (0, 0))
    with export_folder(out) as slow:
        assert not killed.exists()
        (slow / "a.txt").write_text("a")
        os.utime(slow.parent, (0, 0))  # as after more than an hour
        with export_folder(out) as quick:
            (quick / "b.txt").write_text("b")
        assert (slow / "a.txt").exists()
    assert (out / "a.txt").read_text() == "a"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_was_killed_holds_no_lock(tmp_path):
    code = (
        "import os, sys; from pathlib import Path;"
        "from boxloop.campaign.export.folder import export_folder;"
        "writing = export_folder(Path(sys.argv[1])); writing.__enter__(); os._exit(1)"
    )
    out = tmp_path / "out"
    assert subprocess.run([sys.executable, "-c", code, out], check=False).returncode == 1
    [left] = tmp_path.iterdir()
    os.utime(left, (0, 0))
    with export_folder(out):
        assert not left.exists()
