import json
import unicodedata
from collections import Counter

import pytest

from boxloop.datasets import FaultKind
from boxloop.errors import DatasetError
from builders_datasets import coco, coco_content, ids, image, kinds, load, text


def _box(id_=1, image_id=1, category_id=18, bbox=(1, 2, 10, 20), **more):
    return {
        "id": id_,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": list(bbox),
        **more,
    }


def _load(root, **params):
    return load(root, "coco", annotations="instances.json", **params)


def test_boxes_and_classes(tmp_path):
    found = _load(coco(tmp_path))
    assert found.images.classes == ("car", "dog")  # by category id: 3, 18
    assert found.truth["a"].xyxy.tolist() == [[1, 2, 11, 22]]
    assert found.truth["a"].labels.tolist() == ["dog"]
    assert found.faults == ()
    assert found.images.images[0].path == (tmp_path / "images" / "a.png").as_posix()


def test_the_order_is_the_files_and_names_may_hold_folders(tmp_path):
    entries = [{"id": i, "file_name": name} for i, name in ((7, "z/b.png"), (2, "a.png"))]
    coco(tmp_path, images=entries, annotations=[_box(image_id=7), _box(2, image_id=2)])
    image(tmp_path / "images" / "z" / "b.png")
    assert ids(_load(tmp_path)) == ["z/b", "a"]


def test_the_folder_of_the_images(tmp_path):
    coco(tmp_path)
    (tmp_path / "images").rename(tmp_path / "val2017")
    assert ids(_load(tmp_path, images="val2017")) == ["a"]
    assert _load(tmp_path).images.images[0].path == (tmp_path / "val2017" / "a.png").as_posix()
    image(tmp_path / "a.png")
    assert _load(tmp_path).images.images[0].path == (tmp_path / "a.png").as_posix()
    with pytest.raises(DatasetError, match="dataset.images is '.*train2017', which does not exist"):
        _load(tmp_path, images="train2017")


def test_images_that_lie_nowhere(tmp_path):
    coco(tmp_path, images=[{"id": 1, "file_name": "b.png"}])
    with pytest.raises(
        DatasetError, match=r"such as 'b\.png', and none of them.*set dataset\.path"
    ):
        _load(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(DatasetError, match=r"lies in .*elsewhere: set dataset\.images"):
        _load(tmp_path, images="elsewhere")


def test_several_files_are_one_dataset(tmp_path):
    """As Roboflow exports: each split has its pictures beside its file, and a root category."""
    names = [
        {"id": 0, "name": "animals", "supercategory": "none"},
        {"id": 1, "name": "cat", "supercategory": "animals"},
        {"id": 2, "name": "dog", "supercategory": "animals"},
    ]
    splits = ("train", "valid")
    for split in splits:
        content = coco_content(categories=names, annotations=[_box(category_id=2)])
        text(tmp_path / split / "_annotations.coco.json", json.dumps(content))
        image(tmp_path / split / "a.png")
    files = [f"{split}/_annotations.coco.json" for split in splits]
    found = load(tmp_path, "coco", annotations=files)
    assert ids(found) == ["train/a", "valid/a"]
    assert found.images.classes == ("cat", "dog")
    assert list(found.left_out.values()) == [1]
    assert [len(boxes) for boxes in found.truth.values()] == [1, 1]
    # One that is asked for is a class all the same.
    asked = load(tmp_path, "coco", annotations=files, classes=["animals", "cat", "dog"])
    assert asked.images.classes == ("animals", "cat", "dog")
    alone = load(tmp_path, "coco", annotations=files[0])
    assert ids(alone) == ["a"]


def test_an_image_that_two_files_list_counts_once(tmp_path):
    coco(tmp_path)
    text(tmp_path / "more.json", json.dumps(coco_content()))
    found = load(tmp_path, "coco", annotations=["instances.json", "more.json"])
    assert ids(found) == ["a"]
    assert len(found.truth["a"]) == 1
    (fault,) = found.faults
    assert fault.kind is FaultKind.DUPLICATE_ID
    assert "instances.json and here (1 box dropped)" in fault.detail


def _images(root, *rows):
    """Entries of images, which are drawn, too: (id, name)."""
    for _, name in rows:
        image(root / "images" / name)
    return [{"id": i, "file_name": name, "width": 40, "height": 30} for i, name in rows]


def test_boxes_of_an_id_that_two_images_share_are_nobodys(tmp_path):
    """As where files are merged that count their images alike: a box of b must not lie on a."""
    entries = _images(
        tmp_path, (1, "a.png"), (1, "b.png"), (2, "c.png"), (3, "d.png"), (3, "e.png")
    )
    boxes = [_box(), _box(2, bbox=(5, 5, 9, 9)), _box(3, image_id=2)]
    found = _load(coco(tmp_path, images=entries, annotations=boxes))
    assert ids(found) == ["c", "d", "e"]  # no box is of d's id, so it is known what they show
    assert kinds(found) == [FaultKind.SHARED_ID, *[FaultKind.NO_USABLE_BOX] * 2]
    assert "images[0], images[1]: share the id 1, and nothing tells whose" in found.faults[0].detail
    assert [fault.image_id for fault in found.faults[1:]] == ["a", "b"]
    assert found.left_out == {}
    # Their boxes of classes that are not asked for are none that could be missing.
    assert ids(_load(tmp_path, classes=["car"])) == ["a", "b", "c", "d", "e"]
    coco(tmp_path, images=entries[:2], annotations=boxes[:2])
    with pytest.raises(DatasetError, match=r"no usable image.* share the id 1, .*give each image"):
        _load(tmp_path)


def test_rotated_boxes_are_set_aside_and_images_that_are_not_listed_counted(tmp_path):
    boxes = [
        _box(attributes={"rotation": 90.0}),
        _box(2, attributes={"rotation": 180.0}),
        _box(3, attributes={"rotation": 0}),
        _box(4, rotation=-7.5),
    ]
    coco(tmp_path, annotations=boxes)
    image(tmp_path / "images" / "b" / "c.png")
    found = _load(tmp_path)
    assert kinds(found) == [FaultKind.ROTATED_BOX] * 2
    assert "annotations[3]: dog, is rotated by 7.5 degrees" in found.faults[1].detail
    assert len(found.truth["a"]) == 2
    assert found.left_out == {"images that dataset.annotations does not list": 1}


def test_images_that_are_not_listed_are_taken_in_where_people_label_the_rest(tmp_path):
    coco(tmp_path)
    for name in ("c10.png", "c9.png"):
        image(tmp_path / "images" / "b" / name)
    found = _load(tmp_path, labels="proposed")
    assert ids(found) == [*ids(_load(tmp_path)), "b/c9", "b/c10"]
    assert len(found.truth["b/c9"]) == 0
    assert (found.left_out, found.faults) == ({}, ())


def test_texts_are_no_numbers_and_booleans_no_ids(tmp_path):
    boxes = [_box(bbox=("1", 2, 10, 20)), _box(2, image_id=True), _box(3, category_id=True)]
    boxes.append(_box(4, category_id=1))  # one to stay
    found = _load(coco(tmp_path, annotations=boxes, categories=[{"id": 1, "name": "dog"}]))
    assert Counter(kinds(found)) == {
        FaultKind.UNKNOWN_IMAGE: 1,
        FaultKind.UNKNOWN_CLASS: 2,
    }
    with pytest.raises(DatasetError, match=r"categories\[0\]: needs a whole 'id'"):
        _load(coco(tmp_path, categories=[{"id": True, "name": "dog"}]))


def test_whole_floats_are_the_numbers_that_they_equal(tmp_path):
    """As pandas writes a column that has gaps."""
    entries = _images(tmp_path, (1.0, "a.png"), (2, "b.png"))
    boxes = [_box(), _box(2, image_id=2.0, category_id=18.0), _box(3, image_id=1.5)]
    found = _load(coco(tmp_path, images=entries, annotations=boxes))
    assert [len(found.truth[i]) for i in "ab"] == [1, 1]
    assert kinds(found) == [FaultKind.UNKNOWN_IMAGE]


@pytest.mark.parametrize(
    ("listed", "said"), [(2, "2"), ("2", 2), ("2", 2.0), ("002", 2), (2, " 2.0")]
)
def test_an_image_whose_boxes_give_its_id_in_another_type_is_not_one_without_objects(
    tmp_path, listed, said
):
    entries = _images(tmp_path, (1, "a.png"), (listed, "b.png"), (30, "c.png"))
    coco(tmp_path, images=entries, annotations=[_box(), _box(2, image_id=said)])
    found = _load(tmp_path)
    assert ids(found) == ["a", "c"]
    assert kinds(found) == [FaultKind.UNKNOWN_IMAGE, FaultKind.NO_USABLE_BOX]
    assert f"no image {said!r}, but {listed!r}: write both as numbers" in found.faults[0].detail


@pytest.mark.parametrize("size", [[0.1, 0.2, 0.5, 0.5], [0, 0, 1, 0.5]])
def test_boxes_in_fractions_are_refused(tmp_path, size):
    with pytest.raises(DatasetError, match=r"in fractions of the image \(annotations\[0\]: bbox"):
        _load(coco(tmp_path, annotations=[_box(bbox=size)]))
    # One small box among others is just that.
    found = _load(coco(tmp_path, annotations=[_box(), _box(2, bbox=[0, 0, 1, 1])]))
    assert len(found.truth["a"]) == 2


def test_a_portrait_of_label_studio(tmp_path):
    """It writes the stored size, and boxes as people saw them: upright."""
    portrait = [{"id": 1, "file_name": "a.png", "width": 30, "height": 40}]
    by = {"contributor": "Label Studio"}
    assert kinds(_load(coco(tmp_path, images=portrait))) == [FaultKind.SIZE_MISMATCH]
    assert _load(coco(tmp_path, images=portrait, info=by)).faults == ()


_UUID = "550e8400-e29b-41d4-a716-446655440000.png"


@pytest.mark.parametrize(
    ("name", "uploaded"),
    [("0a1b2c3d-a.png", True), (_UUID, False), (f"0a1b2c3d-{_UUID}", True), ("a.png", False)],
)
def test_label_studio_is_told_by_its_prefix_and_not_by_a_uuid(tmp_path, name, uploaded):
    image(tmp_path / name)
    portrait = [{"id": 1, "file_name": name, "width": 30, "height": 40}]
    assert bool(_load(coco(tmp_path, images=portrait)).faults) != uploaded


def test_crowd_regions_and_unwanted_classes_are_counted(tmp_path):
    boxes = [_box(iscrowd=1), _box(2), _box(3, category_id=3)]
    found = _load(coco(tmp_path, annotations=boxes), classes=["car"])
    assert found.truth["a"].labels.tolist() == ["car"]
    assert sum(found.left_out.values()) == 2
    assert found.left_out["crowd regions"] == 1
    assert found.faults == ()


def test_an_image_of_a_crowd_alone_is_not_one_without_objects(tmp_path):
    entries = [
        {"id": i, "file_name": f"{n}.png", "width": 40, "height": 30}
        for i, n in ((1, "a"), (2, "b"))
    ]
    coco(tmp_path, images=entries, annotations=[_box(), _box(2, image_id=2, iscrowd=1)])
    image(tmp_path / "images" / "b.png")
    found = _load(tmp_path)
    assert ids(found) == ["a"]
    assert [(f.kind, f.image_id) for f in found.faults] == [(FaultKind.NO_USABLE_BOX, "b")]
    assert found.left_out["crowd regions"] == 1
    # A crowd of another class says nothing of this one.
    found = _load(tmp_path, classes=["car"])
    assert (ids(found), found.faults) == (["a", "b"], ())


def test_a_class_of_the_categories_may_have_no_box_but_an_unknown_one_is_refused(tmp_path):
    coco(tmp_path)
    assert len(_load(tmp_path, classes=["car"]).truth["a"]) == 0
    with pytest.raises(DatasetError, match="'cat', which does not occur.*known: car, dog"):
        _load(tmp_path, classes=["cat"])


def test_faults_of_images(tmp_path):
    image(tmp_path / "outside.png")
    root = tmp_path / "set"
    entries = [
        {"id": 1, "file_name": "a.png", "width": 30, "height": 40},
        {"id": 1, "file_name": "a.png"},
        {"id": 2, "file_name": "a.png"},
        {"id": 3, "file_name": "../../outside.png"},
        {"id": 4, "file_name": str(tmp_path / "outside.png")},
        {"id": 5, "file_name": "gone.png"},
        {"id": 6},
        "nothing",
        {"id": [], "file_name": "c.png"},
        {"id": 8, "file_name": "\ud800.png"},
        {"id": 9, "file_name": "."},
    ]
    found = _load(coco(root, images=entries, annotations=[_box(), _box(2, image_id=3)]))
    assert ids(found) == ["a"]
    assert len(found.truth["a"]) == 1
    assert Counter(kinds(found)) == {
        FaultKind.SIZE_MISMATCH: 1,
        FaultKind.DUPLICATE_ID: 2,
        FaultKind.PATH_OUTSIDE_DATASET: 3,
        FaultKind.MISSING_IMAGE: 1,
        FaultKind.MALFORMED_ANNOTATION: 3,
        FaultKind.UNREADABLE_IMAGE: 1,
    }
    for fault in found.faults:  # every fault can be written to a file
        json.dumps([fault.file, fault.detail], ensure_ascii=False).encode("utf-8")


def test_faults_of_boxes(tmp_path):
    boxes = [
        _box(),
        _box(2, image_id=99),
        _box(3, image_id=[]),
        _box(4, category_id=99),
        _box(5, category_id=None),
        _box(6, bbox=(1, 2, 3)),
        {"id": 7, "image_id": 1, "category_id": 18},
        "nothing",
        _box(8, bbox=(1, 2, "x", 4)),
        _box(9, bbox=(1, 2, float("nan"), 4)),
        _box(10, bbox=(1, 2, 0, 4)),
        _box(11, bbox=(1, 2, -3, 4)),
        _box(12, bbox=(90, 2, 3, 4)),
        _box(13, bbox=(30, 2, 30, 4)),
        _box(14, bbox=(1, 2, 10**400, 4)),
    ]
    found = _load(coco(tmp_path, annotations=boxes))
    assert found.truth["a"].xyxy.tolist() == [[1, 2, 11, 22], [30, 2, 40, 6]]
    assert Counter(kinds(found)) == {
        FaultKind.UNKNOWN_IMAGE: 2,
        FaultKind.UNKNOWN_CLASS: 2,
        FaultKind.MALFORMED_ANNOTATION: 4,
        FaultKind.NOT_A_NUMBER: 3,
        FaultKind.ZERO_SIZE_BOX: 1,
        FaultKind.BOX_OUTSIDE_IMAGE: 1,
        FaultKind.BOX_CLIPPED: 1,
    }
    assert any("annotations[10] (dog): bbox [1, 2, 0, 4]" in f.detail for f in found.faults)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"instances\.json is not valid JSON \(line 1, column 2\)"),
        ("[" * 100_000, "is nested too deeply to be read"),
        ("[]", "has no list 'images'"),
        ('{"images": [], "annotations": {}}', "has no list 'annotations'"),
        (json.dumps(coco_content(categories=[{"id": 1}])), r"categories\[0\]: needs"),
        (
            json.dumps(coco_content(categories=[{"id": 1, "name": "\ud800"}])),
            r"has a class '\\ud800'",
        ),
        (
            json.dumps(coco_content(categories=[{"id": 1, "name": n} for n in "ab"])),
            r"categories\[1\]: id 1 has two names",
        ),
        (json.dumps(coco_content(categories=[])), "names no class at all"),
        (json.dumps(coco_content(images=[])), "has no usable image; the first of 1 faults"),
    ],
)
def test_a_file_that_is_not_cocos(tmp_path, content, message):
    coco(tmp_path)
    text(tmp_path / "instances.json", content)
    with pytest.raises(DatasetError, match=message):
        _load(tmp_path)


def test_the_file_has_to_be_named(tmp_path):
    coco(tmp_path)
    with pytest.raises(
        DatasetError, match=r"needs dataset.annotations.*for example instances\.json"
    ):
        load(tmp_path, "coco")
    with pytest.raises(DatasetError, match=r"train\.json does not exist"):
        load(tmp_path, "coco", annotations="train.json")


@pytest.mark.parametrize(("file", "said"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_letters_composed_otherwise_are_the_same_name(tmp_path, file, said):
    on_disk, in_json = (unicodedata.normalize(form, "Größe/ü.png") for form in (file, said))
    entry = {"id": 1, "file_name": in_json, "width": 40, "height": 30}
    coco(tmp_path, images=[entry])
    image(tmp_path / "images" / on_disk)
    found = load(tmp_path, "coco", annotations="instances.json")
    assert found.images.images[0].path.endswith(on_disk)
