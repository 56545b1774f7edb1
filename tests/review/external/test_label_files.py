"""Labels without their images: COCO, VOC, YOLO, matched by file names."""

import json

import pytest
from PIL import Image

from boxloop.core.types import ImageRef
from boxloop.errors import DatasetError
from boxloop.review.external.label_files import read_label_file
from builders_hostile import soon

CLASSES = ("cat", "dog")
IMAGES = [ImageRef(n, f"photos/{n}.png", 64, 48, f"digest {n}") for n in ("one", "two", "three")]


def voc(name, *objects, size=(64, 48), filename=""):
    rows = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for label, x1, y1, x2, y2 in objects
    )
    width, height = size
    return (
        f"<annotation><filename>{filename or name}</filename><size><width>{width}</width>"
        f"<height>{height}</height></size>{rows}</annotation>"
    )


def test_voc_by_the_names_of_the_files(tmp_path):
    (tmp_path / "one.xml").write_text(voc("x.png", ("cat", 3, 3, 12, 12), ("cow", 1, 1, 5, 5)))
    (tmp_path / "0007.xml").write_text(voc("two.png", ("dog", 3, 3, 12, 12)))
    (tmp_path / "three.xml").write_text(voc("three.png", ("dog", 3, 3, 12, 12), size=(640, 480)))
    (tmp_path / "other.xml").write_text(voc("other.png", ("dog", 3, 3, 12, 12)))
    found = read_label_file(tmp_path, IMAGES, CLASSES)
    assert {i: b.xyxy.tolist() for i, b in found.boxes.items()} == {
        "one": [[2, 2, 12, 12]],
        "two": [[2, 2, 12, 12]],
    }
    assert found.unknown == {"other.png"}
    assert found.left_out == {"boxes of class cow, which the campaign does not have": 1}
    assert [(f.kind.value, f.image_id) for f in found.log.faults] == [("size_mismatch", "three")]


def test_yolo_by_its_own_classes(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("dog\ncat\ncow\n")
    (tmp_path / "README.txt").write_text("made by hand\n")
    (tmp_path / "labels/one.txt").write_text("1 0.5 0.5 0.25 0.5\n0 0.5 0.5 0.5 0.5 0.9\n")
    (tmp_path / "labels/two.txt").write_text("")
    (tmp_path / "labels/other.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    found = read_label_file(tmp_path, IMAGES, CLASSES)
    assert list(found.boxes) == ["one"]
    assert found.boxes["one"].labels.tolist() == ["cat"]
    assert found.boxes["one"].xyxy.tolist() == [[24, 12, 40, 36]]
    assert found.bare == ["two"]
    assert found.unknown == {"labels/other.txt"}
    assert [fault.kind.value for fault in found.log.faults] == ["malformed_annotation"]


def test_yolo_s_numbers_need_names(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/one.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    with pytest.raises(DatasetError, match="says nowhere which classes its numbers count"):
        read_label_file(tmp_path / "set", IMAGES, CLASSES)
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    found = read_label_file(tmp_path / "set", IMAGES, CLASSES, names=tmp_path / "names.txt")
    assert found.boxes["one"].labels.tolist() == ["dog"]
    (tmp_path / "set/data.yaml").write_text("names: [dog, cat]\ntrain: images\n")
    for source in (tmp_path / "set", tmp_path / "set/data.yaml"):
        assert read_label_file(source, IMAGES, CLASSES).boxes["one"].labels.tolist() == ["cat"]
    (tmp_path / "set/classes.txt").write_text("cat\ndog\n")
    found = read_label_file(tmp_path / "set", IMAGES, CLASSES)
    assert found.boxes["one"].labels.tolist() == ["cat"]
    assert [fault.kind.value for fault in found.log.faults] == ["class_numbers"]


def test_names_decide_where_the_folder_contradicts_itself(tmp_path):
    for folder, names in (("a", "cat\ndog\n"), ("b", "dog\ncat\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "classes.txt").write_text(names)
    (tmp_path / "one.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    with pytest.raises(DatasetError, match="number the classes differently"):
        read_label_file(tmp_path, IMAGES, CLASSES)
    found = read_label_file(tmp_path, IMAGES, CLASSES, names=tmp_path / "a/classes.txt")
    assert found.boxes["one"].labels.tolist() == ["dog"]


def coco(path, size, bbox=(2, 2, 10, 10), label="cat", name="one.png"):
    image = {"id": 1, "file_name": name, "width": size[0], "height": size[1]}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": bbox}
    categories = [{"id": 1, "name": label}]
    path.write_text(json.dumps({"images": [image], "annotations": [box], "categories": categories}))
    return path


def test_boxes_of_a_stored_photo_are_turned_with_it(tmp_path, monkeypatch):
    """A photo of 48 x 64 as it is stored, which EXIF turns to 64 x 48."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (48, 64)).save("photos/one.png", exif=exif)
    found = read_label_file(coco(tmp_path / "a.json", (48, 64)), IMAGES, CLASSES)
    # Clockwise: x' = 64 - y, y' = x.
    assert found.boxes["one"].xyxy.tolist() == [[52, 2, 62, 12]]
    upright = read_label_file(coco(tmp_path / "b.json", (64, 48)), IMAGES, CLASSES)
    assert upright.boxes["one"].xyxy.tolist() == [[2, 2, 12, 12]]


@pytest.mark.parametrize(
    ("says", "options", "corners"),
    [
        (None, {"exif": "upright"}, [16, 12, 32, 36]),
        (None, {"exif": "raw", "usual_exif": "upright"}, [16, 12, 48, 24]),
        (None, {"usual_exif": "upright"}, [16, 12, 32, 36]),
        ("upright", {}, [16, 12, 32, 36]),
        ("upright", {"usual_exif": "raw"}, [16, 12, 32, 36]),
        ("upright", {"exif": "raw"}, [16, 12, 48, 24]),
        ("sideways", {}, None),
        (None, {}, None),
    ],
)
def test_fractions_of_a_turned_photo_are_of_the_pixels_that_are_said(
    tmp_path, monkeypatch, says, options, corners
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (48, 64)).save("photos/one.png", exif=exif)
    (tmp_path / "set").mkdir()
    said = f"exif: {says}\n" if says else ""
    (tmp_path / "set/data.yaml").write_text(f"names: [cat]\ntrain: images\n{said}")
    (tmp_path / "set/one.txt").write_text("0 0.375 0.5 0.25 0.5\n")
    if corners is None:
        with pytest.raises(DatasetError, match="say by --exif raw .* or upright"):
            read_label_file(tmp_path / "set", IMAGES, CLASSES, **options)
        return
    found = read_label_file(tmp_path / "set", IMAGES, CLASSES, **options)
    assert found.boxes["one"].xyxy.tolist() == [corners]


def test_other_classes_altogether_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="has the classes cow, and the campaign has cat, dog"):
        read_label_file(coco(tmp_path / "a.json", (64, 48), label="cow"), IMAGES, CLASSES)


def test_a_name_that_two_images_have_is_refused(tmp_path):
    twins = [ImageRef(f"{f}/one", f"{f}/one.png", 64, 48, f) for f in ("a", "b")]
    with pytest.raises(DatasetError, match=r"'one.png' may be a/one.png, b/one.png"):
        read_label_file(coco(tmp_path / "a.json", (64, 48)), twins, CLASSES)


BOMB = (
    '<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{("&" + chr(97 + i) + ";") * 10}">' for i in range(12))
    + "]><annotation><filename>&m;</filename></annotation>"
)


@pytest.mark.parametrize(
    "content", [BOMB, "<a>" * 100_000, "<annotation/><annotation/>", '<a xmlns="urn:x"/>']
)
def test_labels_of_which_none_can_be_read_are_refused_with_the_reason(tmp_path, content):
    for image in IMAGES:
        (tmp_path / f"{image.id}.xml").write_text(content)
    with soon(), pytest.raises(DatasetError, match=r"no labels that can be read: .*\.xml: ."):
        read_label_file(tmp_path, IMAGES, CLASSES)


def test_exact_doubles_of_a_class_are_left_out_and_counted(tmp_path):
    (tmp_path / "one.xml").write_text(
        voc(
            "one.png",
            *[("cat", 3, 3, 12, 12), ("dog", 3, 3, 12, 12), ("cat", 3, 3, 12, 12)],
            *[("cat", 3, 3, 12, 13), ("cat", 3, 3, 12, 12)],
        )
    )
    found = read_label_file(tmp_path, IMAGES, CLASSES)
    assert found.boxes["one"].labels.tolist() == ["cat", "dog", "cat"]
    assert found.boxes["one"].xyxy[:, 3].tolist() == [12, 12, 13]
    assert found.left_out == {"boxes that are another one's double, of its class": 2}


def test_boxes_of_an_id_that_two_images_share_are_not_taken(tmp_path):
    file = coco(tmp_path / "a.json", (64, 48))
    content = json.loads(file.read_text())
    content["images"] += [{"id": 1, "file_name": "two.png"}, {"id": 3, "file_name": "three.png"}]
    content["annotations"].append({**content["annotations"][0], "image_id": 3})
    file.write_text(json.dumps(content))
    found = read_label_file(file, IMAGES, CLASSES)
    assert list(found.boxes) == ["three"]
    assert found.bare == []
    assert [(f.kind.value, f.image_id) for f in found.log.faults] == [
        ("shared_id", None),
        ("no_usable_box", "one"),
        ("no_usable_box", "two"),
    ]


CLIP = [ImageRef("clip2/001", "set/clip2/001.png", 64, 48, "2")]


@pytest.fixture(params=["coco", "voc", "yolo"])
def of_clips(request, tmp_path):
    """Makes labels in a format: of each clip one box in its image 001, one pixel further right."""

    def make(*clips):
        boxes = {clip: (2 + n, 2, 10, 10) for n, clip in enumerate(clips)}
        if request.param == "coco":
            images = [{"id": n, "file_name": f"{clip}/001.png"} for n, clip in enumerate(clips)]
            rows = [
                {"image_id": n, "category_id": 1, "bbox": b} for n, b in enumerate(boxes.values())
            ]
            content = {"images": images, "annotations": rows}
            content["categories"] = [{"id": 1, "name": "cat"}]
            (tmp_path / "a.json").write_text(json.dumps(content))
            return tmp_path / "a.json"
        (tmp_path / "classes.txt").write_text("cat\n")
        for clip, (x, y, w, h) in boxes.items():
            (tmp_path / clip).mkdir()
            if request.param == "voc":
                text = voc("001.png", ("cat", x + 1, y + 1, x + w, y + h))
            else:
                text = f"0 {(x + w / 2) / 64} {(y + h / 2) / 48} {w / 64} {h / 48}\n"
            ending = {"voc": "xml", "yolo": "txt"}[request.param]
            (tmp_path / clip / f"001.{ending}").write_text(text)
        return tmp_path

    return make


def test_another_clip_s_labels_are_not_taken_for_this_one_s(of_clips):
    found = read_label_file(of_clips("clip1", "clip2"), CLIP, CLASSES)
    assert found.boxes["clip2/001"].xyxy.tolist() == [[3, 2, 13, 12]]
    assert [name.partition("/")[0] for name in found.unknown] == ["clip1"]
    assert not found.left_out


def test_another_clip_s_labels_alone_are_none_of_the_campaign_s(of_clips):
    with pytest.raises(DatasetError, match="has none of the campaign's images, but clip1/001"):
        read_label_file(of_clips("clip1"), CLIP, CLASSES)


def test_an_image_that_is_labeled_twice_is_refused(of_clips):
    image = [ImageRef("001", "set/001.png", 64, 48, "2")]
    with pytest.raises(DatasetError, match="are both image 001: leave one out"):
        read_label_file(of_clips("clip1", "clip2"), image, CLASSES)
