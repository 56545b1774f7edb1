from collections import Counter
from pathlib import Path

import pytest

from boxloop.datasets import FaultKind
from boxloop.errors import DatasetError
from builders_datasets import ids, image, kinds, load, text, voc_item, voc_object, voc_xml

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"

needs_bccd = pytest.mark.skipif(
    not (DATA / "bccd").is_dir(), reason="the BCCD set does not lie beside the repository"
)

BOMB = """<?xml version="1.0"?>
<!DOCTYPE annotation [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation><object><name>&b;</name></object></annotation>"""

FILE_ENTITY = """<?xml version="1.0"?>
<!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<annotation><object><name>&x;</name></object></annotation>"""


def _dog(x: int = 5) -> str:
    return voc_object("dog", x, 6, x + 10, 20)


def test_voc2007_with_its_splits(tmp_path):
    root = tmp_path / "VOC2007"
    voc_item(root, "000012", voc_object("dog", 1, 1, 40, 30))
    voc_item(root, "000005", voc_object("chair", 3, 4, 10, 12), voc_object("aeroplane", 5, 5, 6, 6))
    voc_item(root, "000007")
    main = root / "ImageSets" / "Main"
    text(main / "trainval.txt", "000012\n000005\n")
    text(main / "test.txt", "000007\n")
    text(main / "aeroplane_trainval.txt", "000012 -1\n000005  1\n000007  0\n")

    trainval = load(root, "voc", split="trainval")
    assert ids(trainval) == ["000012", "000005"]
    assert trainval.images.classes == ("aeroplane", "chair", "dog")
    assert trainval.truth["000012"].xyxy.tolist() == [[0, 0, 40, 30]]
    assert trainval.truth["000005"].xyxy.tolist() == [[2, 3, 10, 12], [4, 4, 6, 6]]
    assert trainval.faults == ()
    ref = trainval.images.images[0]
    assert ref.path == (root / "JPEGImages" / "000012.jpg").as_posix()
    assert (ref.width, ref.height, len(ref.digest)) == (40, 30, 64)

    assert ids(load(root, "voc", split="aeroplane_trainval")) == ["000005", "000007"]
    everything = load(root, "voc")
    assert ids(everything) == ["000005", "000007", "000012"]
    assert len(everything.truth["000007"]) == 0


def test_marks_that_are_not_kept_are_counted_and_their_objects_kept(tmp_path):
    plain, zero, one = _dog(), "<difficult>0</difficult>", "<difficult>1</difficult>"
    cut = f"{zero}<truncated>1</truncated>"
    voc_item(tmp_path, "a", plain, _dog(15).replace(zero, one), _dog(25).replace(zero, cut))
    found = load(tmp_path, "voc")
    assert len(found.truth["a"]) == 3
    assert found.left_out == {"'difficult' or 'truncated' marks; their objects are kept": 2}


def test_the_path_stays_relative_where_it_was(tmp_path, monkeypatch):
    voc_item(tmp_path / "set", "a", _dog())
    monkeypatch.chdir(tmp_path)
    assert load(Path("set"), "voc").images.images[0].path == "set/JPEGImages/a.jpg"


def test_a_devkit_that_holds_one_year_is_enough(tmp_path):
    voc_item(tmp_path / "VOCdevkit" / "VOC2012", "a", _dog())
    assert ids(load(tmp_path, "voc")) == ["a"]
    voc_item(tmp_path / "VOCdevkit" / "VOC2007", "a", _dog())
    with pytest.raises(DatasetError, match="several VOC folders.*VOC2007.*VOC2012"):
        load(tmp_path, "voc")


def test_natural_order_and_ids_with_blanks_dots_and_folders(tmp_path):
    for name in ("img 10", "img 2", "sub/v1.5"):
        voc_item(tmp_path, name, _dog(), suffix=".PNG")
    assert ids(load(tmp_path, "voc")) == ["img 2", "img 10", "sub/v1.5"]
    text(tmp_path / "ImageSets" / "Main" / "s.txt", "sub/v1.5\nimg 10\n")
    assert ids(load(tmp_path, "voc", split="s")) == ["sub/v1.5", "img 10"]


@pytest.mark.parametrize("names", [("shot -1", "shot 0"), (" a", "b "), ("a 1", "a")])
def test_a_list_names_images_as_they_are_called(tmp_path, names):
    main = tmp_path / "ImageSets" / "Main"
    for name in names:
        voc_item(tmp_path, name, _dog())
    image(tmp_path / "JPEGImages" / "bare 1.jpg")
    text(main / "s.txt", "".join(f"{name}\n" for name in names))
    text(main / "all.txt", "".join(f"{name}\n" for name in (*names, "bare 1")))
    assert ids(load(tmp_path, "voc", split="s")) == list(names)
    assert ids(load(tmp_path, "voc", split="all", labels="trusted")) == [*names, "bare 1"]


def test_a_column_of_flags_is_told_from_names_that_end_in_one(tmp_path):
    for name in ("a", "a 1", "b"):
        voc_item(tmp_path, name, _dog())
    text(tmp_path / "ImageSets" / "Main" / "dog_s.txt", "a 1\na 1  1\nb -1\n")
    assert ids(load(tmp_path, "voc", split="dog_s")) == ["a", "a 1"]
    text(tmp_path / "ImageSets" / "Main" / "padded.txt", "\n  b.jpg \n a 1 \n")
    assert ids(load(tmp_path, "voc", split="padded")) == ["b", "a 1"]


def test_one_class_keeps_images_without_it(tmp_path):
    voc_item(tmp_path, "a", _dog(), voc_object("cat", 1, 1, 9, 9))
    voc_item(tmp_path, "b", voc_object("cat", 1, 1, 9, 9))
    found = load(tmp_path, "voc", classes=["dog"])
    assert found.images.classes == ("dog",)
    assert [len(found.truth[i]) for i in ("a", "b")] == [1, 0]
    assert sum(found.left_out.values()) == 2
    assert found.faults == ()
    with pytest.raises(DatasetError, match=r"'dogg', which does not occur.*known: cat, dog"):
        load(tmp_path, "voc", classes=["dogg"])


def test_images_without_an_annotation_are_counted_not_faulted(tmp_path):
    voc_item(tmp_path, "a", _dog())
    image(tmp_path / "JPEGImages" / "b.jpg")
    found = load(tmp_path, "voc")
    assert ids(found) == ["a"]
    assert found.left_out == {"images without an annotation": 1}
    text(tmp_path / "ImageSets" / "Main" / "s.txt", "a\nb\n")
    listed = load(tmp_path, "voc", split="s")
    assert kinds(listed) == [FaultKind.MISSING_ANNOTATION]
    assert listed.faults[0].image_id == "b"


def test_images_without_an_annotation_are_taken_in_where_people_label_the_rest(tmp_path):
    for name in ("a10", "a2", "sub/c"):
        voc_item(tmp_path, name, _dog())
    for name in ("a3.jpg", "twice.jpg", "twice.png", "sub/d.png"):
        image(tmp_path / "JPEGImages" / name)
    found = load(tmp_path, "voc", labels="trusted")
    assert ids(found) == ["a2", "a3", "a10", "sub/c", "sub/d", "twice.jpg", "twice.png"]
    assert [len(found.truth[i]) for i in ids(found)] == [1, 0, 1, 1, 0, 0, 0]
    assert (found.left_out, found.faults) == ({}, ())
    text(tmp_path / "ImageSets" / "Main" / "s.txt", "a3\nsub/c\ngone\n")
    listed = load(tmp_path, "voc", labels="proposed", split="s")
    assert ids(listed) == ["a3", "sub/c"]
    assert [(f.kind, f.image_id) for f in listed.faults] == [(FaultKind.MISSING_ANNOTATION, "gone")]


def test_a_split_that_is_a_folder_takes_in_its_own_images_alone(tmp_path):
    for name in ("train/a", "valid/b"):
        voc_item(tmp_path, name, _dog())
    for name in ("train/c.jpg", "valid/d.jpg"):
        image(tmp_path / "JPEGImages" / name)
    assert ids(load(tmp_path, "voc", labels="trusted", split="train")) == ["train/a", "train/c"]


def test_faults_of_boxes_name_the_object(tmp_path):
    voc_item(
        tmp_path,
        "a",
        _dog(),
        voc_object("dog", 7, 7, 7, 7),
        voc_object("dog", 20, 7, 10, 9),
        voc_object("dog", "x", 7, 10, 9),
        voc_object("dog", 7, 7, "", 9),
        voc_object("dog", 100, 7, 110, 9),
        voc_object("dog", 30, 7, 50, 9),
        "<object><bndbox/></object>",
        "<object><name>dog</name></object>",
    )
    found = load(tmp_path, "voc")
    assert Counter(kinds(found)) == {
        FaultKind.ZERO_SIZE_BOX: 1,
        FaultKind.MALFORMED_ANNOTATION: 3,
        FaultKind.NOT_A_NUMBER: 2,
        FaultKind.BOX_OUTSIDE_IMAGE: 1,
        FaultKind.BOX_CLIPPED: 1,
    }
    assert len(found.truth["a"]) == 2
    clipped = next(f for f in found.faults if f.kind is FaultKind.BOX_CLIPPED)
    assert clipped.detail.startswith("object 7 (dog): xmin=30 ymin=7 xmax=50 ymax=9 reaches 10 px")
    assert clipped.file.endswith("Annotations/a.xml")


def test_a_size_that_disagrees_is_said_and_boxes_are_kept(tmp_path):
    voc_item(tmp_path, "a", _dog())
    text(tmp_path / "Annotations" / "a.xml", voc_xml(_dog(), size=(30, 40)))
    found = load(tmp_path, "voc")
    assert kinds(found) == [FaultKind.SIZE_MISMATCH]
    assert "30x40" in found.faults[0].detail
    assert "40x30" in found.faults[0].detail
    assert len(found.truth["a"]) == 1
    text(tmp_path / "Annotations" / "a.xml", voc_xml(_dog(), size=(0, 0)))  # not filled in
    assert load(tmp_path, "voc").faults == ()


@pytest.mark.parametrize(
    "content",
    ["<annotation><object>", "", "no xml", "<html></html>", BOMB, FILE_ENTITY],
    ids=["cut", "empty", "text", "html", "entity bomb", "file entity"],
)
def test_an_annotation_that_cannot_be_read_sets_its_image_aside(tmp_path, content):
    voc_item(tmp_path, "good", _dog())
    voc_item(tmp_path, "bad", _dog())
    text(tmp_path / "Annotations" / "bad.xml", content)
    found = load(tmp_path, "voc")
    assert ids(found) == ["good"]
    assert kinds(found) == [FaultKind.MALFORMED_ANNOTATION]
    assert found.faults[0].image_id == "bad"
    assert found.images.classes == ("dog",)


def test_an_unknown_encoding_is_a_malformed_annotation(tmp_path):
    voc_item(tmp_path, "good", _dog())
    voc_item(tmp_path, "bad", _dog())
    text(tmp_path / "Annotations" / "bad.xml", '<?xml version="1.0" encoding="nope"?><annotation/>')
    assert kinds(load(tmp_path, "voc")) == [FaultKind.MALFORMED_ANNOTATION]


def test_images_that_are_missing_or_damaged(tmp_path):
    for name in ("good", "gone", "cut", "dangling"):
        voc_item(tmp_path, name, _dog())
    folder = tmp_path / "JPEGImages"
    (folder / "gone.jpg").unlink()
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:400])
    (folder / "dangling.jpg").unlink()
    (folder / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    found = load(tmp_path, "voc")
    assert ids(found) == ["good"]
    assert {fault.image_id: fault.kind for fault in found.faults} == {
        "gone": FaultKind.MISSING_IMAGE,
        "cut": FaultKind.UNREADABLE_IMAGE,
        "dangling": FaultKind.MISSING_IMAGE,
    }


def test_the_filename_finds_an_image_of_another_name_but_never_outside(tmp_path):
    image(tmp_path / "secret.jpg")
    image(tmp_path / "set" / "JPEGImages" / "photo.jpg")
    root = tmp_path / "set"
    text(root / "Annotations" / "a.xml", voc_xml(_dog(), filename="photo.jpg"))
    text(root / "Annotations" / "b.xml", voc_xml(_dog(), filename="../../secret.jpg"))
    text(root / "Annotations" / "c.xml", voc_xml(_dog(), filename="."))
    found = load(root, "voc")
    assert ids(found) == ["a"]
    assert found.images.images[0].path.endswith("JPEGImages/photo.jpg")
    assert kinds(found) == [FaultKind.PATH_OUTSIDE_DATASET, FaultKind.MISSING_IMAGE]


def test_a_split_file_cannot_leave_the_folder_and_repeats_are_said(tmp_path):
    voc_item(tmp_path / "set", "a", _dog())
    voc_item(tmp_path / "other", "b", _dog())
    text(
        tmp_path / "set" / "ImageSets" / "Main" / "s.txt",
        "a\n../../other/Annotations/b\n/etc/passwd\na\n",
    )
    found = load(tmp_path / "set", "voc", split="s")
    assert ids(found) == ["a"]
    assert Counter(kinds(found)) == {FaultKind.PATH_OUTSIDE_DATASET: 2, FaultKind.DUPLICATE_ID: 1}


def test_a_folder_of_links_is_fine(tmp_path):
    voc_item(tmp_path / "archive", "a", _dog())
    root = tmp_path / "set"
    root.mkdir()
    (root / "JPEGImages").symlink_to(tmp_path / "archive" / "JPEGImages")
    (root / "Annotations").mkdir()
    (root / "Annotations" / "a.xml").symlink_to(tmp_path / "archive" / "Annotations" / "a.xml")
    assert ids(load(root, "voc")) == ["a"]


def test_what_makes_the_set_unusable(tmp_path):
    with pytest.raises(DatasetError, match=r"dataset.path is '.*gone', which does not exist"):
        load(tmp_path / "gone", "voc")
    with pytest.raises(DatasetError, match="no folder 'JPEGImages'"):
        load(tmp_path, "voc")
    image(tmp_path / "JPEGImages" / "a.jpg")
    with pytest.raises(DatasetError, match="no folder 'Annotations': use format 'folder'"):
        load(tmp_path, "voc")
    (tmp_path / "Annotations").mkdir()
    with pytest.raises(DatasetError, match="has no usable image$"):
        load(tmp_path, "voc")
    text(tmp_path / "Annotations" / "a.xml", voc_xml())
    with pytest.raises(DatasetError, match="names no class at all"):
        load(tmp_path, "voc")
    text(tmp_path / "Annotations" / "a.xml", "broken")
    with pytest.raises(DatasetError, match=r"first of 1 faults: .*a\.xml is not XML"):
        load(tmp_path, "voc")
    with pytest.raises(DatasetError, match="split 'train'.*has no .txt file"):
        load(tmp_path, "voc", split="train")
    text(tmp_path / "ImageSets" / "Main" / "val.txt", "\n")
    text(tmp_path / "ImageSets" / "Main" / "dog_val.txt", "\n")
    with pytest.raises(DatasetError, match=r"split 'train'.*\(known: val\)"):
        load(tmp_path, "voc", split="train")
    with pytest.raises(DatasetError, match=r"val\.txt names no image"):
        load(tmp_path, "voc", split="val")


@needs_bccd
def test_bccd_has_its_known_boxes_and_exactly_its_two_faults(tmp_path):
    from boxloop import datasets
    from boxloop.params import DatasetParams

    found = datasets.load(DatasetParams(format="voc", path=str(DATA / "bccd")), tmp_path / "drawn")
    assert len(found.images) == 364
    assert sum(len(boxes) for boxes in found.truth.values()) == 4886
    assert [(f.kind, f.image_id) for f in found.faults] == [
        (FaultKind.ZERO_SIZE_BOX, "BloodImage_00338"),
        (FaultKind.ZERO_SIZE_BOX, "BloodImage_00343"),
    ]
    assert found.images.classes == ("Platelets", "RBC", "WBC")
