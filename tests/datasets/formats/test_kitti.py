from collections import Counter

import pytest

from boxloop.datasets import FaultKind
from boxloop.errors import DatasetError
from builders_datasets import KITTI_CAR, KITTI_DONTCARE, ids, image, kinds, kitti_item, load, text

EIGHT = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")


@pytest.mark.parametrize("base", ["training", "."])
def test_the_layout_of_the_benchmark(tmp_path, base):
    kitti_item(tmp_path / base, "000010", KITTI_CAR + " 0.9")
    kitti_item(tmp_path / base, "000002", KITTI_CAR, KITTI_DONTCARE)
    found = load(tmp_path, "kitti")
    assert found.images.classes == EIGHT
    assert ids(found) == ["000002", "000010"]
    assert found.truth["000002"].xyxy.tolist() == [[5.5, 6.25, 20, 25.5]]
    assert found.truth["000002"].labels.tolist() == ["Car"]
    assert found.left_out == {"DontCare regions": 1}
    assert found.faults == ()


def test_classes(tmp_path):
    kitti_item(tmp_path, "0", KITTI_CAR, KITTI_CAR.replace("Car", "Tram"))
    found = load(tmp_path, "kitti", classes=["Tram", "Car"])
    assert found.images.classes == ("Tram", "Car")
    with pytest.raises(DatasetError, match="'car', which does not occur.*known: Car, Van"):
        load(tmp_path, "kitti", classes=["car"])


def test_faults(tmp_path):
    kitti_item(
        tmp_path,
        "0",
        KITTI_CAR,
        "Car 1 2 3",
        KITTI_CAR.replace("5.5", "x"),
        KITTI_CAR.replace("Car", "Tank"),
        "",
        KITTI_CAR.replace("25.5", "99"),
    )
    image(tmp_path / "image_2" / "1.png")
    text(tmp_path / "label_2" / "2.txt", KITTI_CAR)
    kitti_item(tmp_path, "3", KITTI_CAR)
    (tmp_path / "label_2" / "3.txt").write_bytes(b"\xff")
    found = load(tmp_path, "kitti")
    assert ids(found) == ["0"]
    assert len(found.truth["0"]) == 2
    assert Counter(kinds(found)) == {
        FaultKind.MALFORMED_ANNOTATION: 2,
        FaultKind.NOT_A_NUMBER: 1,
        FaultKind.UNKNOWN_CLASS: 1,
        FaultKind.BOX_CLIPPED: 1,
        FaultKind.MISSING_ANNOTATION: 1,
        FaultKind.MISSING_IMAGE: 1,
    }
    assert any(f.detail == "line 2: has 4 columns instead of 15" for f in found.faults)


def test_the_ending_of_a_label_file_may_be_in_capitals(tmp_path):
    kitti_item(tmp_path, "0", KITTI_CAR)
    kitti_item(tmp_path, "1", KITTI_CAR)
    (tmp_path / "label_2/1.txt").rename(tmp_path / "label_2/1.TXT")
    found = load(tmp_path, "kitti")
    assert [len(found.truth[i]) for i in ("0", "1")] == [1, 1]
    assert found.faults == ()
    text(tmp_path / "label_2/1.txt", f"{KITTI_CAR}\n{KITTI_CAR}")
    found = load(tmp_path, "kitti")
    assert len(found.truth["1"]) == 2
    assert [(f.kind, f.file[-5:]) for f in found.faults] == [(FaultKind.MISSING_IMAGE, "1.TXT")]


def test_what_makes_the_set_unusable(tmp_path):
    with pytest.raises(DatasetError, match="no folder 'image_2'"):
        load(tmp_path, "kitti")
    (tmp_path / "image_2").mkdir()
    with pytest.raises(DatasetError, match="no folder 'label_2'"):
        load(tmp_path, "kitti")
    (tmp_path / "label_2").mkdir()
    with pytest.raises(DatasetError, match="holds no image file"):
        load(tmp_path, "kitti")


@pytest.mark.parametrize("names", [("image_2", "label_2"), ("images", "labels")])
def test_classes_of_ones_own(tmp_path, names):
    lines = [KITTI_CAR.replace("Car", name) for name in ("deer", "boar", "deer")]
    image(tmp_path / names[0] / "0.png")
    text(tmp_path / names[1] / "0.txt", "\n".join(lines))
    with pytest.raises(DatasetError, match=r"0\.txt, line 2: 'boar' is none .*\[boar, deer\]"):
        load(tmp_path, "kitti")
    found = load(tmp_path, "kitti", classes=["deer"])
    assert found.truth["0"].labels.tolist() == ["deer", "deer"]
    assert sum(found.left_out.values()) == 1
    with pytest.raises(DatasetError, match="'wolf', which does not occur.*known: .*boar, deer"):
        load(tmp_path, "kitti", classes=["wolf"])


def test_one_label_file_is_not_that_of_two_images(tmp_path):
    kitti_item(tmp_path, "0", KITTI_CAR)
    image(tmp_path / "image_2" / "0.jpg")
    found = load(tmp_path, "kitti")
    assert kinds(found) == [FaultKind.MISSING_ANNOTATION]
    assert "0.txt is that of 0.jpg" in found.faults[0].detail


def test_images_without_a_label_file_are_taken_in_where_people_label_the_rest(tmp_path):
    kitti_item(tmp_path, "0", KITTI_CAR)
    image(tmp_path / "image_2" / "1.png")
    found = load(tmp_path, "kitti", labels="trusted")
    assert [len(found.truth[i]) for i in ("0", "1")] == [1, 0]
    assert found.faults == ()
    assert kinds(load(tmp_path, "kitti")) == [FaultKind.MISSING_ANNOTATION]
