"""Another program's boxes and a delivered model: what they say is taken as it is written, or not.

The files of boxes are COCO's, YOLO's and FiftyOne's of one image, ``two.png`` of 200 x 100 pixels.
"""

import json
import os
from datetime import UTC, datetime

import pytest

from boxloop.campaign import artifacts, class_changes
from boxloop.campaign.class_changes import ClassChange
from boxloop.campaign.status import status_text
from boxloop.core.types import ImageRef
from boxloop.models.detectors.delivered import read_description
from boxloop.review.external.import_coco import ReviewedImage
from boxloop.review.external.label_files import read_label_file
from boxloop.review.external.predictions import read_predictions
from boxloop.review.external.stored_size import is_upright
from boxloop.review.fiftyone.session import reviewer_name
from builders_campaign import build_campaign, small_params
from builders_hostile import edit, put, refusal, soon
from builders_program import run_program

IMAGES = [ImageRef("two", "set/two.png", 200, 100, "2")]
CLASSES = ("cat", "dog")
COCO = {
    "images": [{"id": 1, "file_name": "two.png", "width": 200, "height": 100}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [
        {"image_id": 1, "category_id": 1, "bbox": [20, 10, 40, 40], "score": 0.75},
    ],
}


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def read(source, **options):
    return read_predictions(source, IMAGES, CLASSES, **options)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("images", value=True), "'images' is no list"),
        (put("categories", value="cat"), "'categories' is no list"),
        (put("images", 0, "id", value=True), "images[0]: needs an 'id' and a 'file_name'"),
        (put("annotations", 0, "image_id", value=True), "image_id True names no image"),
        (put("annotations", 0, "category_id", value=True), "category_id True names no class"),
        (put("annotations", 0, "score", value="0.75"), "got the text 0.75"),
        (put("annotations", 0, "score", value="<huge>"), "thousands of digits"),
        (put("images", 0, "width", value=400), "declares 400x100 pixels, but set/two.png"),
        (lambda c: c["images"].append(c["images"][0]), "images[1]: the image id 1 occurs twice"),
    ],
)
def test_coco_s_predictions_are_refused(tmp_path, change, words):
    file = save(tmp_path / "coco.json", COCO)
    edit(file, change)
    assert words in refusal(lambda: read(file), tmp_path)


@pytest.mark.parametrize("size", [{}, {"width": 0, "height": 0}, {"width": None, "height": None}])
def test_a_size_that_is_not_declared_is_none(tmp_path, size):
    content = {**COCO, "images": [{"id": 1, "file_name": "two.png", **size}]}
    assert len(read(save(tmp_path / "coco.json", content)).boxes["two"]) == 1


def test_a_text_is_no_coordinate_of_json(tmp_path):
    file = save(tmp_path / "coco.json", COCO)
    edit(file, put("annotations", 0, "bbox", 0, value="20"))
    [box] = read(file).boxes["two"]
    assert box.xyxy[0] != box.xyxy[0]  # NaN, which the check of boxes leaves out and counts


@pytest.mark.parametrize(
    ("name", "content", "number", "label"),
    [
        ("data.yaml", "names: [1e-3, no]", 0, "1e-3"),
        ("data.yaml", "names: [1e-3, no]", 1, "no"),
        ("data.yaml", "names: {0: cat, 5: 010}", 5, "010"),
        ("classes.txt", "cat\n\ndog\n", 2, "dog"),  # a blank line has a number, too
    ],
)
def test_what_yolo_s_numbers_count_is_called_as_the_file_writes_it(
    tmp_path, name, content, number, label
):
    names = save(tmp_path / name, content)
    save(tmp_path / "texts" / "two.txt", f"{number} 0.2 0.3 0.2 0.4")
    [box] = read(tmp_path / "texts", names=names).boxes["two"]
    labels = read_label_file(tmp_path / "texts", IMAGES, (label,), names=names).boxes["two"].labels
    assert (box.label, labels.tolist()) == (label, [label])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("classes.txt", "cat\n\ndog\n", "there is no class 1, but 0 to 2"),
        ("data.yaml", "names: {0: cat, x: dog}", "'names' must map numbers to names"),
        ("data.yaml", "nc: 2", "needs 'names'"),
        ("classes.txt", "\n", "names no class"),
    ],
)
def test_a_number_without_a_name_is_refused(tmp_path, name, content, words):
    names = save(tmp_path / name, content)
    save(tmp_path / "texts" / "two.txt", "1 0.2 0.3 0.2 0.4")
    assert words in refusal(lambda: read(tmp_path / "texts", names=names), tmp_path)


def test_an_image_that_became_a_pipe_is_not_waited_for(tmp_path):
    image = ImageRef("two", str(tmp_path / "two.png"), 200, 100, "2")
    os.mkfifo(image.path)
    file = save(tmp_path / "coco.json", COCO)
    with soon():
        assert len(read_label_file(file, [image], CLASSES).boxes["two"]) == 1
        assert not is_upright(ReviewedImage(image, (100, 200)))


# --- a delivered model ----------------------------------------------------------------------------

MODEL = {
    **{"format": "boxloop/model@1", "boxloop": "0.6", "campaign": "c", "detector": "d"},
    **{"classes": ["cat"], "checkpoint": "0" * 64, "steps": 1, "batches": ["b00"], "images": 1},
    **{"boxes": 1, "score_floor": 0.05, "iou_threshold": 0.5},
    "thresholds": [
        {"label": "cat", "f1": 0.5, "best_f1": None, "least_wt": 1, "saving": -0.5, "objects": 1}
    ],
}


def test_a_model_is_read_as_it_was_written(tmp_path):
    save(tmp_path / "model.json", MODEL)
    assert read_description(tmp_path).scores("least-wt") == {"cat": 1.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("steps", value="1"), "at steps: "),
        (put("boxes", value=True), "at boxes: "),
        (put("images", value=-1), "at images: "),
        (put("score_floor", value="<nan>"), "at score_floor: "),
        (put("thresholds", 0, "f1", value="0.5"), "at thresholds.0.f1: "),
        (put("thresholds", 0, "f1", value="<nan>"), "at thresholds.0.f1: "),
        (put("thresholds", 0, "least_wt", value=5), "the thresholds of 'cat' must lie in 0 to 1"),
        (put("classes", value=["cat", "dog"]), "one row of thresholds for each of its classes"),
        (put("classes", value=["\x1b[31m"]), "holds a line break, a control character"),
        (put("format", value="boxloop/model@2"), "at format: "),
    ],
)
def test_a_model_is_refused(tmp_path, change, words):
    edit(save(tmp_path / "model.json", MODEL), change)
    assert words in refusal(lambda: read_description(tmp_path), tmp_path)


# --- the journal ----------------------------------------------------------------------------------


@pytest.fixture
def renamed(tmp_path):
    """An entry of the journal: cat is called puma from now on."""
    change = ClassChange("rename", "cat", "puma", datetime(2024, 1, 1, tzinfo=UTC))
    return class_changes.append(tmp_path, change, ("puma", "dog"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("old", value=""), "is blank"),
        (put("new", value=" "), "is blank"),
        (put("new", value="?"), "stands for a class that is not chosen yet"),
        (put("classes", 0, value="x" * 2000), "has 2,000 characters"),
        (put("old", value="puma"), "'puma' cannot have become itself"),
        (put("finished", value="9999-12-31T23:59:59.999999-05:00"), "no time at which a person"),
        (put("finished", value="soon"), "at finished: Invalid isoformat string"),
        (put("change", value="split"), "at change: "),
    ],
)
def test_a_change_of_classes_is_refused(tmp_path, renamed, change, words):
    edit(renamed, change)
    assert words in refusal(lambda: class_changes.read(tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (put("digests", value={"img02": "a\nb"}), "digests.img02"),
        (put("classes", value=["cat", "\x1b[31m"]), "classes"),
        (put("offered", value={"img02": ["a\nb"]}), "offered.img02"),
    ],
)
def test_no_text_of_a_submission_steers_a_terminal(tmp_path, change, place):
    paths = build_campaign(tmp_path, small_params(2), annotator="fiftyone")
    edit(paths.corrections("b01"), change)
    said = refusal(lambda: artifacts.read_corrections(paths.corrections("b01")))
    assert f"b01.json, at {place}: " in said
    assert "holds a line break, a control character" in said


@pytest.mark.parametrize("name", ["x" * 1001, "a\nb", "\x1b[31m", "\ud800", "  "])
def test_nobody_reviews_under_a_name_that_no_file_may_hold(name):
    assert "--reviewer" in refusal(lambda: reviewer_name(name))


# --- what status reads in haste -------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        {"decided": {"images": {}, "first": {"img02": "<nan>"}, "shown": {}}},
        {"decided": {"images": {}, "shown": {}}},
        {"rechecked": {"before": 5}},
        {"rechecked": []},
    ],
)
def test_boxes_of_before_are_lists(tmp_path, part):
    params = small_params(2)
    paths = build_campaign(tmp_path, params, annotator="fiftyone")
    edit(paths.corrections("b01"), lambda content: content.update(part))
    name = next(iter(part))
    assert f"data/corrections/b01.json, at {name}" in status_text(paths, params)


def test_what_is_printed_cannot_steer_the_terminal(tmp_path, monkeypatch, capsys):
    params = small_params(1)
    paths = build_campaign(tmp_path, params)
    save(tmp_path / "params.yaml", params.model_dump_json(exclude={"dataset"}))
    edit(paths.workload("b00"), put("\x1b[31m", value=1))
    monkeypatch.chdir(tmp_path)
    code, said = run_program(monkeypatch, capsys, "status")
    assert code == 0
    assert "\x1b" not in said
    assert "at \\x1b[31m: Extra inputs" in said
