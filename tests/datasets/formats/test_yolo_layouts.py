"""The layouts of YOLO sets that other tools leave, and what is wrong with them."""

import os

import pytest

from boxloop.datasets import FaultKind
from boxloop.datasets.check import check_path
from boxloop.errors import DatasetError
from builders_datasets import ids, image, kinds, load, text
from builders_hostile import soon

LINE = "1 0.5 0.5 0.5 0.6\n"


def _item(root, name, label=None):
    image(root / f"{name}.jpg")
    place = label or name.replace("images", "labels")
    text(root / f"{place}.txt", LINE)


def _yaml(root, content, *names):
    for name in names:
        _item(root, name)
    text(root / "data.yaml", f"{content}\nnames: [cat, dog]\n")
    return root


@pytest.mark.parametrize("key", ["validation", "valid"])
def test_other_words_for_val(tmp_path, key):
    root = _yaml(tmp_path, f"train: images/t\n{key}: images/v", "images/t/a", "images/v/b")
    assert ids(load(root, "yolo")) == ["t/a", "v/b"]
    assert ids(load(root, "yolo", split="val")) == ["v/b"]
    assert ids(load(root, "yolo", split=key)) == ["v/b"]
    text(root / "data.yaml", f"val: images/t\n{key}: images/v\nnames: [cat, dog]\n")
    with pytest.raises(DatasetError, match=f"has both 'val' and '{key}'"):
        load(root, "yolo")


def test_a_misspelled_split_is_asked_about_and_other_keys_are_not(tmp_path):
    root = _yaml(tmp_path, "trian: images/t\nval: images/v", "images/t/a", "images/v/b")
    with pytest.raises(DatasetError, match="'trian' is no key: did you mean 'train'"):
        load(root, "yolo")
    root = _yaml(tmp_path, "train: images/t\nnc: 2\nroboflow: {workspace: x}\nval2: images/v")
    found = load(root, "yolo")
    assert ids(found) == ["t/a"]
    assert found.left_out == {"images that data.yaml does not list": 1}
    assert ids(load(root, "yolo", split="val2")) == ["v/b"]


def test_a_test_split_may_be_missing_where_no_image_is(tmp_path):
    root = _yaml(tmp_path, "train: ../train/images\ntest: ../test/images", "train/images/a")
    found = load(root, "yolo")
    assert ids(found) == ["train/a"]
    assert kinds(found) == [FaultKind.MISSING_IMAGE]
    _item(root, "tset/images/b")
    with pytest.raises(DatasetError, match="not listed lie in tset/images"):
        load(root, "yolo")
    assert ids(load(root, "yolo", split="train")) == ["train/a"]


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("/content/set/images/t", "/content/set/images/v"),
        ("C:\\data\\set\\images\\t", "C:\\data\\set\\images\\v"),
        (".\\images\\t", "images\\v"),
    ],
)
def test_paths_of_another_machine(tmp_path, train, val):
    root = _yaml(tmp_path, f"train: '{train}'\nval: '{val}'", "images/t/a", "images/v/b")
    assert ids(load(root, "yolo")) == ["t/a", "v/b"]


def test_paths_from_the_folder_above(tmp_path):
    said = "train: set/images/t\nval: ../datasets/../set/images/v"
    root = _yaml(tmp_path / "set", said, "images/t/a", "images/v/b")
    assert ids(load(root, "yolo")) == ["t/a", "v/b"]
    _item(root, "set/images/t/c")  # what lies where it should is meant
    assert ids(load(root, "yolo")) == ["v/b", "set/t/c"]


def test_a_path_of_another_machine_is_not_guessed_from_one_word(tmp_path):
    root = _yaml(tmp_path, "train: /content/set/valid/images", "images/t/a")
    with pytest.raises(DatasetError, match="'/content/set/valid/images' does not exist"):
        load(root, "yolo")


def test_an_absolute_path_elsewhere_is_refused(tmp_path):
    image(tmp_path / "elsewhere" / "images" / "a.jpg")
    root = _yaml(tmp_path / "set", f"train: {tmp_path}/elsewhere/images", "images/a")
    with pytest.raises(DatasetError, match="leads outside the dataset's folder"):
        load(root, "yolo")


def test_darknet_and_its_lists(tmp_path):
    for name in ("a", "b", "c"):
        _item(tmp_path, f"obj_train_data/{name}")
    text(tmp_path / "obj.data", "classes=2\ntrain = data/train.txt\nnames = data/obj.names\n")
    text(tmp_path / "obj.names", "cat\n\ndog\n")
    text(
        tmp_path / "train.txt",
        "data/obj_train_data/a.jpg\ndata/obj_train_data/gone.jpg\ndata/obj_train_data/a.jpg\n",
    )
    text(tmp_path / "obj_train_data" / "a.txt", LINE + LINE.replace("1 ", "2 "))
    found = load(tmp_path, "yolo")
    assert ids(found) == ["obj_train_data/a"]
    assert found.truth["obj_train_data/a"].labels.tolist() == ["dog"]
    assert "line 2: is blank, and counts as class 1" in found.faults[0].detail
    others = [FaultKind.DUPLICATE_ID, FaultKind.MISSING_IMAGE, FaultKind.UNKNOWN_CLASS]
    assert kinds(found)[1:] == others  # the class is that of the blank line
    assert found.left_out == {"images that obj.data does not list": 2}
    rows = "".join(f"/home/x/darknet/data/obj_train_data/{name}.jpg\n" for name in "ab")
    text(tmp_path / "train.txt", rows)
    text(tmp_path / "obj.names", "cat\ndog\nbird\n")
    assert ids(load(tmp_path / "obj.data", "yolo")) == ["obj_train_data/a", "obj_train_data/b"]
    with pytest.raises(DatasetError, match="split 'val' is not in .*known: train"):
        load(tmp_path, "yolo", split="val")


def test_pictures_and_texts_side_by_side(tmp_path):
    for folder in ("train", "valid"):
        _item(tmp_path, f"{folder}/a")
        text(tmp_path / folder / "_darknet.labels", "cat\ndog\n")
    text(tmp_path / "train" / "README.roboflow.txt", "Some words about the set.\n")
    found = load(tmp_path, "yolo")
    assert ids(found) == ["train/a", "valid/a"]
    assert found.faults == ()
    assert ids(load(tmp_path, "yolo", split="valid")) == ["valid/a"]
    text(tmp_path / "valid" / "_darknet.labels", "dog\ncat\n")
    with pytest.raises(DatasetError, match="number the classes differently"):
        load(tmp_path, "yolo")


def test_sources_that_number_classes_differently_are_named_once(tmp_path):
    root = _yaml(tmp_path, "train: images\nnc: 2", "images/a")
    text(root / "classes.txt", "cat\ndog\nbird\n")  # more of them is no contradiction
    text(root / "predefined_classes.txt", "")
    assert load(root, "yolo").faults == ()
    for folder in ("labels", "images"):
        text(root / folder / "classes.txt", "cat\nbird\n")
    found = load(root / "data.yaml", "yolo")
    assert found.truth["a"].labels.tolist() == ["dog"]
    (fault,) = found.faults
    assert (fault.kind, fault.file) == (FaultKind.CLASS_NUMBERS, f"{root}/images/classes.txt")
    assert fault.detail == (
        "calls class 1 'bird', and data.yaml 'dog', which counts (1 more list contradicts it)"
    )
    assert "class_numbers: 1 (" in check_path(root, ())


@pytest.mark.parametrize("nc", ["3", "two"])
def test_another_number_of_classes_than_names_is_named(tmp_path, nc):
    root = _yaml(tmp_path, f"train: images\nnc: {nc}", "images/a")
    (fault,) = load(root, "yolo").faults
    assert (fault.kind, fault.file) == (FaultKind.CLASS_NUMBERS, f"{root}/data.yaml")
    assert fault.detail == f"says nc: {nc} beside 2 names, which count"
    text(root / "data.yaml", "train: images\nnc: 4\nnames: {1: cat, 3: dog}\n")
    assert load(root, "yolo").faults == ()


def test_labels_beside_the_images_of_a_folder_called_images(tmp_path):
    _item(tmp_path, "images/a", label="images/a")
    text(tmp_path / "images" / "classes.txt", "cat\ndog\n")
    assert len(load(tmp_path, "yolo").truth["a"]) == 1


def test_orphans_of_other_splits_are_theirs(tmp_path):
    root = _yaml(tmp_path, "train: images/t\nval: images/v", "images/t/a", "images/v/b")
    text(root / "labels" / "t" / "lost.txt", LINE)
    assert kinds(load(root, "yolo")) == [FaultKind.MISSING_IMAGE]
    assert load(root, "yolo", split="val").faults == ()


def test_a_split_without_any_label_is_not_one_without_objects(tmp_path):
    root = _yaml(tmp_path, "train: images/t\nval: images/v", "images/t/a")
    image(root / "images" / "v" / "b.jpg")
    found = load(root, "yolo")
    assert ids(found) == ["t/a"]
    assert kinds(found) == [FaultKind.MISSING_ANNOTATION]


def test_one_label_file_is_not_that_of_two_images(tmp_path):
    root = _yaml(tmp_path, "train: images", "images/a")
    image(root / "images" / "a.png")
    found = load(root, "yolo")
    assert [ref.path for ref in found.images.images] == [f"{root}/images/a.jpg"]
    assert "labels/a.txt is that of images/a.jpg" in found.faults[0].detail


def test_keypoints(tmp_path):
    root = _yaml(tmp_path, "train: images\nkpt_shape: [2, 3]", "images/a", "images/b")
    text(root / "labels" / "a.txt", "0 0.5 0.5 0.5 0.6 0.1 0.1 2 0.2 0.2 1\n")
    text(root / "labels" / "b.txt", "0 0.5 0.5 0.5 0.6 0.1 0.1 2\n")
    found = load(root, "yolo")
    assert found.truth["a"].xyxy[0] == pytest.approx([10, 6, 30, 24])
    assert kinds(found) == [FaultKind.MALFORMED_ANNOTATION, FaultKind.NO_USABLE_BOX]
    text(root / "data.yaml", "train: images\nkpt_shape: 2\nnames: [cat, dog]\n")
    with pytest.raises(DatasetError, match="kpt_shape must be"):
        load(root, "yolo")


def test_rotated_boxes_are_set_aside_and_upright_corners_and_outlines_are_read(tmp_path):
    root = _yaml(tmp_path, "train: images", "images/a")
    text(
        root / "labels" / "a.txt",
        "0 0.5 0.2 0.65 0.4 0.5 0.6 0.35 0.4\n"  # a square that stands on its corner
        "0 0.2 0.2 0.6 0.2 0.6 0.7 0.2 0.7\n"
        "0 0.2 0.2 0.6 0.25 0.9 0.7 0.2 0.6\n",
    )
    found = load(root, "yolo")
    assert kinds(found) == [FaultKind.ROTATED_BOX]
    assert len(found.truth["a"]) == 2


def test_a_rotated_rectangle_among_outlines_is_an_outline(tmp_path):
    """Of a set's outlines some are rectangles by chance, also where a file has no other line."""
    root = _yaml(tmp_path, "train: images", "images/a", "images/b", "images/c")
    square = "0 0.5 0.2 0.65 0.4 0.5 0.6 0.35 0.4\n"  # stands on its corner
    text(root / "labels" / "a.txt", square)
    text(root / "labels" / "b.txt", "0 0.2 0.2 0.6 0.25 0.9 0.7 0.2 0.6\n")
    text(root / "labels" / "c.txt", "0 0.2 0.2 0.6 0.25 0.9 0.7\n0 0.1 0.1 0.7\n")
    found = load(root, "yolo")
    assert kinds(found) == [FaultKind.MALFORMED_ANNOTATION]  # named once
    assert found.truth["a"].xyxy[0] == pytest.approx([14, 6, 26, 18])
    assert list(map(len, found.truth.values())) == [1, 1, 1]
    text(root / "labels" / "c.txt", square * 2)
    assert kinds(load(root, "yolo")) == [FaultKind.ROTATED_BOX] * 3 + [FaultKind.NO_USABLE_BOX] * 2


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("a: &a [x,x]\nb: {<<: [*a,*a]}\n<<: {c: d}", "merge keys"),
        ("names: {010: cat}\ntrain: images", "'names' must map numbers"),
        ("names: {1_0: cat}\ntrain: images", "'names' must map numbers"),
        ('names: ["a\\nb"]\ntrain: images', "holds a line break, a control"),
        ('names: ["\\u200b"]\ntrain: images', "that shows nothing"),
        ('names: ["?"]\ntrain: images', "not chosen yet"),
    ],
)
def test_what_a_description_must_not_say(tmp_path, yaml, message):
    _item(tmp_path, "images/a")
    text(tmp_path / "labels" / "a.txt", LINE.replace("1 ", "0 "))
    text(tmp_path / "data.yaml", yaml)
    with pytest.raises(DatasetError, match=message):
        load(tmp_path, "yolo")


def test_yaml_that_unfolds_without_end_is_read_at_once(tmp_path):
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    _item(tmp_path, "images/a")
    text(tmp_path / "data.yaml", "\n".join([*rows, "train: images", "names: [cat, dog]"]))
    with soon(5):
        assert ids(load(tmp_path, "yolo")) == ["a"]


def test_no_pipe_and_no_device_is_read(tmp_path):
    root = _yaml(tmp_path, "train: images", *(f"images/{name}" for name in "abcd"))
    for name, target in (("b", None), ("c", "/dev/zero")):
        (root / "labels" / f"{name}.txt").unlink()
        if target is None:
            os.mkfifo(root / "labels" / f"{name}.txt")
        else:
            (root / "labels" / f"{name}.txt").symlink_to(target)
    (root / "images" / "d.jpg").unlink()
    os.mkfifo(root / "images" / "d.jpg")
    found = load(root, "yolo")
    assert ids(found) == ["a"]
    assert [fault.kind for fault in found.faults] == [
        FaultKind.UNREADABLE_IMAGE,
        FaultKind.MALFORMED_ANNOTATION,
        FaultKind.MALFORMED_ANNOTATION,
    ]
    (root / "data.yaml").unlink()
    os.mkfifo(root / "data.yaml")
    with pytest.raises(DatasetError, match="is not a YOLO set"):
        load(root, "yolo")


def test_numbers_are_written_as_in_c(tmp_path):
    root = _yaml(tmp_path, "train: images", "images/a")
    text(
        root / "labels" / "a.txt",
        "1 0.5 0.5 0.5 0.6\n0_1 0.5 0.5 0.5 0.6\n1 \u0660.5 0.5 0.5 0.6\n",
    )
    found = load(root, "yolo")
    assert len(found.truth["a"]) == 1
    assert set(kinds(found)) == {FaultKind.UNKNOWN_CLASS, FaultKind.NOT_A_NUMBER}


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        (f"names: {'[' * 300}", "nested more than 100 levels deep"),
        (f"names: {'[' * 60_000}", "nested more than 100 levels deep"),
        ("train: *x\nnames: [cat]", "undefined alias"),
        ("train: images\n---\nnames: [cat]", "2 documents instead of one"),
        (f"train: {'x' * 5000}\nnames: [cat]", r"x\.\.\.' does not exist .*put the path right"),
        ('train: "\\e[2J"\nnames: [cat]', r"train '\\x1b\[2J' does not exist"),
    ],
)
def test_a_description_that_is_made_to_do_harm(tmp_path, yaml, message):
    _item(tmp_path, "images/a")
    text(tmp_path / "data.yaml", yaml)
    with pytest.raises(DatasetError, match=message) as caught:
        load(tmp_path, "yolo")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 2003


def test_a_list_may_say_anything(tmp_path):
    root = _yaml(tmp_path, "train: list.txt", "images/a")
    text(root / "list.txt", f"images/a.jpg\nb\0.jpg\n{'x' * 5000}.jpg\n\x1b[2J.jpg\n")
    found = load(root, "yolo")
    assert ids(found) == ["a"]
    assert len(found.faults) == 3
    assert all(fault.detail.isprintable() for fault in found.faults)
