"""The layouts that people have: every case of ../shared/cases/import that these formats read."""

import csv
import shutil
from pathlib import Path

import pytest

from boxloop.datasets import FaultKind, faults_payload, faults_summary
from boxloop.errors import DatasetError
from builders_datasets import ids, load

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "import"
FORMATS = ("folder", "yolo", "voc", "kitti")
OTHERS = {"d03_yaml_path"}  # of DVC, not of the readers

pytestmark = pytest.mark.skipif(
    not (CASES / "cases.tsv").is_file(), reason="../shared/cases/import is not there"
)


def _rows():
    if not (CASES / "cases.tsv").is_file():
        return {}
    with (CASES / "cases.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return {
        r["folder"]: r for r in rows if r["format"] in FORMATS and (CASES / r["folder"]).is_dir()
    }


def _suffixes(read):
    found = read(classes=["cat"])
    assert len(found.images) == 9
    named = {
        Path(f.file).name: f.detail for f in found.faults if f.kind is FaultKind.UNREADABLE_IMAGE
    }
    assert set(named) == {"phone.heic", "cam.dng"}
    assert "convert it to JPEG" in named["phone.heic"]
    assert "develop it to JPEG" in named["cam.dng"]


def _refuses(*words):
    def check(read):
        with pytest.raises(DatasetError) as caught:
            read()
        assert all(word in str(caught.value) for word in words)

    return check


def _boxes(box, count, label):
    def check(read):
        found = read()
        assert len(found.images) == count
        for boxes in found.truth.values():
            assert boxes.xyxy[0] == pytest.approx(box)
            assert boxes.labels[0] == label

    return check


def _orphans(read):
    found = read()
    orphans = [f for f in found.faults if f.kind is FaultKind.MISSING_IMAGE]
    assert [Path(f.file).name for f in orphans] == ["lost1.txt", "lost2.txt"]
    assert len(found.images) == 2


def _bool_names(read):
    assert read().images.classes == ("no", "yes", "on")


def _rejected(read):
    found = read()
    rejected = {"big", "comma", "commaspace", "conf", "name", "neg", "pixels"}
    assert not rejected & set(found.truth)
    assert {f.image_id for f in found.faults if f.kind is FaultKind.NO_USABLE_BOX} == rejected
    assert {i for i, boxes in found.truth.items() if not len(boxes)} == {"blank", "empty"}


def _same_stem(read):
    found = read()
    assert found.images.images[0].path.endswith("a.png")
    assert [Path(f.file).name for f in found.faults] == ["a.jpg"]


def _other_names(read):
    found = read()
    assert (len(found.images), found.left_out, found.faults) == (3, {}, ())


def _turned(read):
    found = read()
    assert (found.images.images[0].width, found.images.images[0].height) == (48, 64)
    assert all(boxes.xyxy.tolist() == [[20, 44, 40, 60]] for boxes in found.truth.values())
    assert found.faults == ()


def _own_classes(read):
    with pytest.raises(DatasetError, match=r"'myClass' is none .* dataset.classes.*\[myClass\]"):
        read()
    found = read(classes=["myClass"])
    assert [boxes.labels.tolist() for boxes in found.truth.values()] == [["myClass"]] * 3


def _identical(read):
    found = read(classes=["cat"])
    assert faults_payload(found)["counts"] == {"identical_image": 4}
    assert "copy0.jpg: is the same file as" in faults_summary(found)
    assert ids(found) == ["a", "copy0", "copy1", "copy2", "copy3"]


YOLO_BOX, VOC_BOX, POSE_BOX = (9.6, 9.6, 28.8, 28.8), (10, 8, 30, 28), (22.4, 24, 41.6, 33.6)

MUST_SHOW = {
    "p12_suffixes": _suffixes,
    "p04e_yolo_val_missing": _refuses("val 'valid/images' does not exist", "images/val"),
    "p04i_yolo_list_typo": _refuses("train 'images/trian2' does not exist", "images/train2"),
    "p04_yolo_abs": _boxes(YOLO_BOX, 4, "cat"),
    "p07_yolo_pose2": _boxes(POSE_BOX, 2, "tiger"),
    "p07d_yolo_pose12": _boxes(POSE_BOX, 2, "hero"),
    "p05_cvat_yolo11": _boxes(YOLO_BOX, 3, "cat"),
    "p06_labelimg_yolo": _boxes(YOLO_BOX, 3, "obj1"),
    "y01_orphan_labels": _orphans,
    "l13_bool": _bool_names,
    "p17_yolo_text": _rejected,
    "p01_voc_flat": _boxes(VOC_BOX, 3, "cat"),
    "p16_voc_same_stem": _same_stem,
    "n08_voc_othernames": _other_names,
    "p03_exif_voc": _turned,
    "p09_kitti_custom": _own_classes,
    "i02_dups": _identical,
}


def test_every_case_is_looked_at():
    assert set(_rows()) == set(MUST_SHOW) | OTHERS


@pytest.mark.parametrize("name", MUST_SHOW)
def test_a_case(tmp_path, name):
    root = tmp_path / name
    shutil.copytree(CASES / name, root)
    for file in root.rglob("*.yaml"):
        file.chmod(0o644)
        file.write_text(file.read_text().replace("@HERE@", str(root)))
    format_ = _rows()[name]["format"]
    MUST_SHOW[name](lambda **params: load(root, format_, **params))
