import shutil
from collections import Counter

import pytest

from boxloop.core.types import Boxes, ImageRef
from boxloop.datasets import FaultKind
from boxloop.datasets.format_protocol import ExportContent, file_names
from boxloop.datasets.formats import yolo
from boxloop.errors import DatasetError
from boxloop.review.external.label_files import read_label_file
from builders_datasets import ids, image, kinds, load, text

# In an image of 40x30: (10, 6) to (30, 24).
LINE = "1 0.5 0.5 0.5 0.6\n"


def _plain(root):
    image(root / "images" / "a.jpg")
    text(root / "labels" / "a.txt", LINE)
    text(root / "classes.txt", "cat\ndog\n")
    return root


def _ultralytics(root, yaml="path: .\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n"):
    for split, name in (("train", "f2"), ("train", "f10"), ("val", "v")):
        image(root / "images" / split / f"{name}.jpg")
        text(root / "labels" / split / f"{name}.txt", LINE)
    text(root / "data.yaml", yaml)
    return root


def test_a_plain_folder(tmp_path):
    found = load(_plain(tmp_path), "yolo")
    assert found.images.classes == ("cat", "dog")
    assert ids(found) == ["a"]
    assert found.truth["a"].labels.tolist() == ["dog"]
    assert found.truth["a"].xyxy[0] == pytest.approx([10, 6, 30, 24])
    assert found.faults == ()


def test_splits_of_data_yaml(tmp_path):
    _ultralytics(tmp_path)
    assert ids(load(tmp_path, "yolo")) == ["train/f2", "train/f10", "val/v"]
    assert ids(load(tmp_path, "yolo", split="val")) == ["val/v"]
    assert ids(load(tmp_path / "data.yaml", "yolo", split="train")) == ["train/f2", "train/f10"]
    with pytest.raises(DatasetError, match=r"split 'test' is not in .*\(known: train, val\)"):
        load(tmp_path, "yolo", split="test")


def test_names_as_a_mapping_keep_their_numbers(tmp_path):
    _ultralytics(tmp_path, "train: images/train\nnames: {1: dog, 0: cat, 7: bird}\n")
    found = load(tmp_path, "yolo")
    assert found.images.classes == ("cat", "dog", "bird")
    assert found.truth["train/f2"].labels.tolist() == ["dog"]


@pytest.mark.parametrize(
    "name",
    ["no", "Yes", "on", "null", "1e-3", "1.10", "007", "0x1F", "12:30", "2024-01-01", "Größe"],
)
def test_a_class_is_called_as_data_yaml_writes_it(tmp_path, name):
    _ultralytics(tmp_path, f"train: images/train\nval: null\nnames:\n  0: cat\n  1: {name}\n")
    found = load(tmp_path, "yolo")
    assert found.images.classes == ("cat", name)
    assert found.truth["train/f2"].labels.tolist() == [name]


@pytest.mark.parametrize("nothing", ["", "~", "null", "[]"])
def test_a_split_may_be_left_empty(tmp_path, nothing):
    _ultralytics(tmp_path, f"train: images/train\nval: {nothing}\nnames: [cat, dog]\n")
    assert ids(load(tmp_path, "yolo")) == ["train/f2", "train/f10"]
    with pytest.raises(DatasetError, match=r"split 'val' is not in .*\(known: train\)"):
        load(tmp_path, "yolo", split="val")


def test_an_export_whose_paths_point_one_folder_up(tmp_path):
    root = tmp_path / "export"
    for split in ("train", "valid"):
        image(root / split / "images" / "a.jpg")
        text(root / split / "labels" / "a.txt", LINE)
    text(
        root / "data.yaml",
        "path: /home/someone/export\ntrain: ../train/images\nval: ../valid/images\n"
        "test: ../test/images\nnc: 2\nnames: [cat, dog]\n",
    )
    assert ids(load(root, "yolo")) == ["train/a", "valid/a"]
    with pytest.raises(DatasetError, match=r"test '../test/images' does not exist"):
        load(root, "yolo", split="test")


def test_lists_of_images_and_several_entries(tmp_path):
    _ultralytics(tmp_path, "path: images\ntrain: [train/list.txt, val]\nnames: [cat, dog]\n")
    text(
        tmp_path / "images" / "train" / "list.txt",
        "./f10.jpg\n\nval/v.jpg\n../../x/secret.jpg\n/etc/a.jpg\nb.txt\n",
    )
    image(tmp_path.parent / "x" / "secret.jpg")
    found = load(tmp_path, "yolo")
    assert ids(found) == ["train/f10", "val/v"]
    assert Counter(kinds(found)) == {
        FaultKind.PATH_OUTSIDE_DATASET: 2,
        FaultKind.UNREADABLE_IMAGE: 1,
    }


def test_a_listed_image_may_be_missing(tmp_path):
    _ultralytics(tmp_path, "train: list.txt\nnames: [cat, dog]\n")
    text(tmp_path / "list.txt", "images/train/f2.jpg\nimages/train/gone.jpg\n")
    found = load(tmp_path, "yolo")
    assert ids(found) == ["train/f2"]
    assert kinds(found) == [FaultKind.MISSING_IMAGE]


def test_an_image_without_a_label_file_has_no_objects(tmp_path):
    _plain(tmp_path)
    image(tmp_path / "images" / "empty.jpg")
    found = load(tmp_path, "yolo")
    assert [len(found.truth[i]) for i in ("a", "empty")] == [1, 0]
    assert found.faults == ()


def test_the_ending_of_a_label_file_may_be_in_capitals(tmp_path):
    _ultralytics(tmp_path)
    for name in ("train/f2", "val/v"):
        place = tmp_path / "labels" / f"{name}.txt"
        place.rename(place.with_suffix(".TXT"))
    found = load(tmp_path, "yolo")
    assert [len(found.truth[i]) for i in ids(found)] == [1, 1, 1]
    assert found.faults == ()
    assert load(tmp_path, "yolo", split="train").faults == ()
    text(tmp_path / "labels/val/v.txt", LINE * 2)
    found = load(tmp_path, "yolo")
    assert len(found.truth["val/v"]) == 2
    assert [(f.kind, f.file[-5:]) for f in found.faults] == [(FaultKind.MISSING_IMAGE, "v.TXT")]


def test_labels_beside_the_images(tmp_path):
    image(tmp_path / "frames" / "a.jpg")
    text(tmp_path / "frames" / "a.txt", LINE)
    text(tmp_path / "data.yaml", "train: frames\nnames: [cat, dog]\n")
    assert len(load(tmp_path, "yolo").truth["frames/a"]) == 1


def test_outlines_give_their_bounding_box(tmp_path):
    _plain(tmp_path)
    text(tmp_path / "labels" / "a.txt", "0 0.25 0.5 0.5 0.2 0.75 0.8\n0 nan 0.5 0.5 0.2 0.75 0.8\n")
    found = load(tmp_path, "yolo")
    assert found.truth["a"].xyxy[0] == pytest.approx([10, 6, 30, 24])
    assert kinds(found) == [FaultKind.NOT_A_NUMBER]


def test_faults_of_lines(tmp_path):
    _plain(tmp_path)
    text(
        tmp_path / "labels" / "a.txt",
        "\n".join(
            [
                LINE.strip(),
                "",
                "5 0.5 0.5 0.5 0.6",
                "-1 0.5 0.5 0.5 0.6",
                "dog 0.5 0.5 0.5 0.6",
                "0.5 0.5 0.5 0.5 0.6",
                "0 0.5 0.5 0.5",
                "0 0.5 0.5 0.5 0.6 0.9",
                "0 x 0.5 0.5 0.6",
                "0 0.5 0.5 0 0.6",
                "0 0.5 0.5 -0.5 0.6",
                "0 20 15 10 10",
                "0 0.0 0.5 0.5 0.6",
            ]
        ),
    )
    found = load(tmp_path, "yolo")
    assert len(found.truth["a"]) == 2
    assert Counter(kinds(found)) == {
        FaultKind.UNKNOWN_CLASS: 4,
        FaultKind.MALFORMED_ANNOTATION: 3,
        FaultKind.NOT_A_NUMBER: 1,
        FaultKind.ZERO_SIZE_BOX: 1,
        FaultKind.BOX_OUTSIDE_IMAGE: 1,
        FaultKind.BOX_CLIPPED: 1,
    }
    assert any(f.detail.startswith("line 3: has no known class '5'") for f in found.faults)


def test_a_label_file_that_is_no_text_sets_its_image_aside(tmp_path):
    _plain(tmp_path)
    image(tmp_path / "images" / "b.jpg")
    (tmp_path / "labels" / "b.txt").write_bytes(b"\xff\xfe\xfa")
    found = load(tmp_path, "yolo")
    assert ids(found) == ["a"]
    assert kinds(found) == [FaultKind.MALFORMED_ANNOTATION]


def test_ids_stay_apart(tmp_path):
    _plain(tmp_path)
    image(tmp_path / "x" / "images" / "a.jpg")
    image(tmp_path / "images" / "x" / "a.jpg")
    text(tmp_path / "data.yaml", "train: .\nnames: [cat, dog]\n")
    assert ids(load(tmp_path, "yolo")) == ["images/a", "images/x/a", "x/images/a"]


IDS = ["a", "cam1/images/1", "cam1/images/2", "cam2/images/1", "images/b"]


@pytest.mark.parametrize("sides", [{}, {"train": IDS[:2], "val": IDS[2:]}])
def test_an_export_keeps_the_ids_of_images_in_several_folders_of_that_name(tmp_path, sides):
    refs = [ImageRef(i, str(image(tmp_path / f"set/{i}.png")), 40, 30, "0") for i in IDS]
    boxes = {i: Boxes.build([[n, 2, 20, 20]], ["cat"]) for n, i in enumerate(IDS)}
    content = ExportContent(("cat",), tuple(refs), file_names(refs), boxes, "", sides=sides)
    out = tmp_path / "out"
    out.mkdir()
    yolo.write(out, content)
    for ref in refs:
        place = out / "images" / content.names[ref.id]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ref.path, place)
    found = load(out, "yolo")
    assert ids(found) == IDS
    left = {i: round(found.truth[i].xyxy[0, 0]) for i in IDS}
    assert left == {i: n for n, i in enumerate(IDS)}
    labels = read_label_file(out, refs, ("cat",)).boxes
    assert {i: round(labels[i].xyxy[0, 0]) for i in IDS} == left


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("train: [", r"data\.yaml is not valid YAML"),
        ("train: [", r"expected the node content"),
        ("train: images/train\nnames: [a]\nnames: [b]", 'found duplicate key "names" .*\\)$'),
        ("train: images/train\nnames: {0: a, 00: b}", "'names' must map numbers to names"),
        ("train: images/train\nnames: {0: a, 1: }", "'names' must map numbers to names"),
        ("train: images/train\nnames: {0: a, 1: {b: c}}", "'names' must map numbers to names"),
        ("- a", "must hold 'names'"),
        ("train: images/train", "needs 'names'"),
        ("train: images/train\nnames: {a: cat}", "'names' must map numbers to names"),
        ("train: images/train\nnames: [&a [x, x], [*a, *a]]", "'names' must map numbers to names"),
        ("train: [[images/train]]\nnames: [cat]", "train must be a path, or a list of paths"),
        ("names: [cat]", "none of the keys train, val, test"),
        ("train: images/nothing\nnames: [cat]", r"train 'images/nothing' does not exist"),
        ("train: /etc\nnames: [cat]", "train '/etc' leads outside the dataset's folder"),
        ("train: data.yaml\nnames: [cat]", "is neither a folder nor a .txt list"),
    ],
)
def test_a_recipe_that_cannot_be_used(tmp_path, yaml, message):
    _ultralytics(tmp_path, yaml)
    with pytest.raises(DatasetError, match=message):
        load(tmp_path, "yolo")


def test_what_makes_the_set_unusable(tmp_path):
    with pytest.raises(DatasetError, match="is not a YOLO set: it needs data.yaml"):
        load(tmp_path, "yolo")
    _plain(tmp_path)
    with pytest.raises(DatasetError, match="split 'train': .*images/train does not exist"):
        load(tmp_path, "yolo", split="train")
    (tmp_path / "labels" / "a.txt").unlink()
    with pytest.raises(DatasetError, match=r"none of the 1 images .*needs .*labels/a\.txt"):
        load(tmp_path, "yolo")
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(DatasetError, match="holds no image file where its layout says"):
        load(tmp_path, "yolo")
