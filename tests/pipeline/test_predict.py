"""A delivered model on folders of images: every format, unreadable files, and kills."""

import json
import os
import resource
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxloop import datasets
from boxloop.core.class_thresholds import ClassThreshold
from boxloop.core.types import Boxes, ImageRef
from boxloop.datasets.images import read_image
from boxloop.errors import ArtifactError, DatasetError, DetectorError, ParamsError, UserError
from boxloop.models.detectors.delivered import Model, ModelFile
from boxloop.params import DatasetParams
from boxloop.pipeline.predict import find_images, predict
from boxloop.review.external.predictions import read_predictions
from builders_hostile import refusal

CLASSES = ("cat", "dog")


class Corner:
    """A box of each class per image, whose scores its first pixel tells; counts the images."""

    name, classes, seen = "corner", CLASSES, 0

    def propose(self, images, *, score_floor, batch_size, progress=None):
        found = {}
        for image in images:
            score = int(read_image(Path(image.path), image.digest)[0, 0, 0]) / 200
            rows = [[1, 2, image.width / 2, image.height / 2], [3, 4, image.width, image.height]]
            boxes = Boxes.build(rows, CLASSES, [score, score / 2], prefix="p")
            found[image.id] = boxes.above(score_floor)
            Corner.seen += 1
        return found


ABOUT = ModelFile(
    format="boxloop/model@1",
    boxloop="0",
    campaign="shapes",
    detector="corner",
    classes=CLASSES,
    checkpoint="0" * 64,
    steps=1,
    batches=("b00",),
    images=1,
    boxes=1,
    score_floor=0.05,
    iou_threshold=0.5,
    thresholds=(
        ClassThreshold(label="cat", f1=0.4, best_f1=1, least_wt=0.6, saving=0.5, objects=1),
        ClassThreshold(label="dog", f1=0.3, best_f1=1, least_wt=1.0, saving=0.0, objects=1),
    ),
)


@pytest.fixture
def scene(tmp_path):
    """12 images in folders of two depths, one of them turned by EXIF, and three that are none."""
    for number in range(12):
        path = tmp_path / "photos" / ("deep" if number % 2 else ".") / f"i{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((20, 30 + number, 3), 10 * number + 50, np.uint8)
        exif = Image.Exif()
        exif[0x0112] = 6 if number == 4 else 1
        Image.fromarray(pixels).save(path, exif=exif)
    whole = (tmp_path / "photos" / "i0.png").read_bytes()
    (tmp_path / "photos" / "cut.png").write_bytes(whole[:60])
    (tmp_path / "photos" / "empty.jpg").touch()
    (tmp_path / "photos" / "deep" / "text.jpg").write_text("no image")
    Corner.seen = 0
    return tmp_path


def run(scene, out="found.json", **options):
    options = {"batch_size": 1, **options}
    return predict([scene / "photos"], Model(ABOUT, Corner()), scene / out, **options)


def test_coco_holds_every_box_and_names_what_was_skipped(scene):
    done = run(scene)
    content = json.loads((scene / "found.json").read_text())
    assert (done.images, len(done.skipped)) == (12, 3)
    assert {row["file_name"] for row in content["skipped"]} == {
        *("cut.png", "empty.jpg", "deep/text.jpg")
    }
    assert "empty.jpg is empty" in done.skipped
    names = {row["id"]: row["file_name"] for row in content["images"]}
    assert sorted(names) == list(range(1, 13))
    sizes = {row["file_name"]: (row["width"], row["height"]) for row in content["images"]}
    assert (sizes["i2.png"], sizes["i4.png"]) == ((32, 20), (20, 34))
    found = {(names[row["image_id"]], row["category_id"]) for row in content["annotations"]}
    wanted = set()
    for number in range(12):
        score, name = (10 * number + 50) / 200, f"{'deep/' * (number % 2)}i{number}.png"
        wanted |= {(name, 1)} if score >= 0.4 else set()
        wanted |= {(name, 2)} if score / 2 >= 0.3 else set()
    assert found == wanted
    assert done.boxes == len(wanted)


def test_a_detector_that_leaves_an_image_out_is_refused_by_the_name_of_the_file(scene, monkeypatch):
    monkeypatch.setattr(Corner, "propose", lambda own, images, **_: {})
    with pytest.raises(DetectorError, match="nothing for .* images, the first .*/photos/"):
        run(scene)
    assert not (scene / "found.json").exists()


def test_thresholds_are_by_class_or_a_number(scene):
    assert run(scene, threshold="least-wt").boxes == 5  # cats from 0.6, and no dog ever
    assert run(scene, threshold="0.5").boxes == 7
    assert run(scene, threshold=0.0).boxes == 24
    assert run(scene, threshold=1).boxes == 0
    for wrong in ("best", "1.5", "nan"):
        with pytest.raises(ParamsError, match="--threshold must be f1, least-wt or a number"):
            run(scene, threshold=wrong)
    with pytest.raises(ParamsError, match="--format must be one of coco, yolo, voc"):
        run(scene, format_="txt")


@pytest.mark.parametrize("format_", ["coco", "voc"])
def test_what_is_written_can_be_read_as_a_dataset(scene, format_):
    run(scene, "out", format_=format_)
    places = {"path": str(scene / "out")}
    if format_ == "coco":
        places = {"path": str(scene), "annotations": "out", "images": "photos"}
    else:
        (scene / "out" / "JPEGImages").symlink_to(scene / "photos")
    params = DatasetParams(format=format_, **places)
    read = datasets.load(params, scene / "drawn", None)
    assert len(read.images) == 12
    assert sum(map(len, read.truth.values())) == 14


def test_yolo_has_a_line_per_box_with_its_score(scene):
    run(scene, "out", format_="yolo", threshold=0.45)
    assert (scene / "out" / "classes.txt").read_text() == "cat\ndog\n"
    number, *numbers = (scene / "out" / "labels" / "deep" / "i11.txt").read_text().split()
    x1, y1, x2, y2 = 1, 2, 41 / 2, 20 / 2
    wanted = [(x1 + x2) / 2 / 41, (y1 + y2) / 2 / 20, (x2 - x1) / 41, (y2 - y1) / 20, 160 / 200]
    assert number == "0"
    assert [float(n) for n in numbers] == pytest.approx(wanted)
    assert (scene / "out" / "labels" / "i0.txt").read_text() == ""
    assert "skipped cut.png" in (scene / "out" / "README.txt").read_text()


def _twins(folder):
    """Two images whose names differ in the ending only, and one that is called after the first."""
    for shade, name in ((90, "a.jpg"), (110, "a.png"), (130, "a.jpg.png"), (150, "b.png")):
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (30, 20), (shade,) * 3).save(folder / name)


def test_yolo_keeps_images_apart_whose_names_differ_in_the_ending_only(tmp_path):
    _twins(tmp_path / "photos")
    run(tmp_path, "out", format_="yolo", threshold=0)
    out = tmp_path / "out" / "labels"
    names = ["a.jpg.png.txt", "a.jpg.txt", "a.png.txt", "b.txt"]
    assert sorted(path.name for path in out.iterdir()) == names
    images = [ImageRef(n, f"p/{n}", 30, 20, n) for n in ("a.jpg", "a.png", "a.jpg.png", "b.png")]
    found = read_predictions(tmp_path / "out", images, CLASSES)
    scores = {image_id: rows[0].score for image_id, rows in found.boxes.items()}
    assert scores == pytest.approx(
        {"a.jpg": 0.45, "a.png": 0.55, "a.jpg.png": 0.65, "b.png": 0.75}, abs=0.02
    )


def test_voc_keeps_images_apart_whose_names_differ_in_the_ending_only(tmp_path):
    _twins(tmp_path / "photos")
    run(tmp_path, "out", format_="voc", threshold=0.5)  # of cats, not of the first one
    (tmp_path / "out" / "JPEGImages").symlink_to(tmp_path / "photos")
    params = DatasetParams(format="voc", path=str(tmp_path / "out"))
    for split in (None, "trainval"):
        params = DatasetParams(format="voc", path=str(tmp_path / "out"), split=split)
        read = datasets.load(params, tmp_path / "drawn", None)
        found = {Path(image.path).name: len(read.truth[image.id]) for image in read.images.images}
        assert found == {"a.jpg": 0, "a.png": 1, "a.jpg.png": 1, "b.png": 1}
        assert read.faults == ()


@pytest.mark.parametrize("format_", ["coco", "yolo", "voc"])
def test_images_none_of_which_can_be_read(tmp_path, format_):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "empty.jpg").touch()
    assert run(tmp_path, "out", format_=format_).images == 0
    if format_ != "coco":
        (empty,) = {"yolo": ["labels"], "voc": ["Annotations"]}[format_]
        assert list((tmp_path / "out" / empty).iterdir()) == []


def run_and_kill(scene, after):
    def kill(done, total):
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(scene, report=kill)


@pytest.mark.parametrize("cut", [0, 7])
def test_it_goes_on_where_a_kill_stopped_it(scene, cut):
    run(scene)
    wanted, first = (scene / "found.json").read_bytes(), Corner.seen
    (scene / "found.json").unlink()

    run_and_kill(scene, after=9)
    journal = scene / ".found.json.journal"
    os.truncate(journal, journal.stat().st_size - cut)  # as a loss of power may
    assert not (scene / "found.json").exists()
    Corner.seen = 0
    done = run(scene)
    assert done.resumed == 8  # of whole steps
    assert Corner.seen < first
    assert (scene / "found.json").read_bytes() == wanted
    assert not journal.exists()


@pytest.mark.parametrize("replaced", ["i4.png", "cut.png"])
def test_an_image_that_was_replaced_meanwhile_is_done_again(scene, replaced):
    run_and_kill(scene, after=13)
    path = scene / "photos" / replaced
    size = path.stat().st_size
    picture = Image.new("RGB", (50, 40), (200, 200, 200))
    picture.save(path)
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))  # as large as before, where it can be
    done = run(scene)
    assert done.resumed < 13
    went_on = (scene / "found.json").read_bytes()
    run(scene, "alone.json")
    assert went_on == (scene / "alone.json").read_bytes()


def test_a_journal_without_the_state_of_files_is_gone_on_from(scene):
    run_and_kill(scene, after=9)
    journal = scene / ".found.json.journal"
    head, *lines = map(json.loads, journal.read_text().splitlines())
    for line in lines:
        del line["file"]
    journal.write_text("".join(f"{json.dumps(row)}\n" for row in (head, *lines)))
    assert run(scene).resumed == 8


def test_what_a_model_found_by_other_crops_is_not_gone_on_from(scene, monkeypatch):
    run_and_kill(scene, after=9)
    monkeypatch.setitem(globals(), "ABOUT", ABOUT.model_copy(update={"crops": "1" * 64}))
    assert run(scene).resumed == 0


def test_a_full_disk_is_one_sentence_and_what_was_done_is_kept(scene):
    run(scene)
    wanted = (scene / "found.json").read_bytes()
    (scene / "found.json").unlink()
    journal = scene / ".found.json.journal"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done, total):
        if done == 5:  # of the next line there is room for the beginning
            most = journal.stat().st_size + 10
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))

    try:
        with pytest.raises(UserError, match=r"\.found\.json\.journal cannot be written: File too"):
            run(scene, report=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not journal.read_bytes().endswith(b"\n")
    assert run(scene).resumed == 4  # of whole steps
    assert (scene / "found.json").read_bytes() == wanted


def test_another_question_begins_anew(scene):
    def kill(done, total):
        raise KeyboardInterrupt

    for change in ({"threshold": 0.2}, {}):
        with pytest.raises(KeyboardInterrupt):
            run(scene, report=kill)
        if not change:
            (scene / "photos" / "a.png").write_bytes((scene / "photos" / "i0.png").read_bytes())
        assert run(scene, **change).resumed == 0


def test_a_file_that_somebody_corrected_is_left_alone(scene):
    run(scene)
    run(scene)  # as it was written it is replaced
    out = scene / "found.json"
    content = json.loads(out.read_text())
    content["annotations"][0]["bbox"] = [1.0, 2.0, 3.0, 4.0]
    out.write_text(corrected := json.dumps(content))
    with pytest.raises(ArtifactError, match="found.json was changed since 'boxloop predict'"):
        run(scene)
    assert out.read_text() == corrected
    del content["sha256"], content["annotations"][0]
    out.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="was changed since"):
        run(scene)


def test_what_others_wrote_is_left_alone(scene):
    (scene / "found.json").write_text('{"of": "mine"}')
    with pytest.raises(ArtifactError, match="found.json was not made by 'boxloop predict'"):
        run(scene)
    (scene / "out").mkdir()
    (scene / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="no prediction made what is in it"):
        run(scene, "out", format_="yolo")
    assert (scene / "found.json").read_text() == '{"of": "mine"}'
    (scene / "found.json").unlink()
    run(scene)
    run(scene, threshold=0.9)  # its own is replaced


@pytest.mark.parametrize("make", [os.mkfifo, lambda p: p.symlink_to("/dev/zero"), os.mkdir])
def test_a_journal_that_is_no_file_is_not_waited_for(scene, make):
    make(scene / ".found.json.journal")
    assert ".found.json.journal cannot be read: " in refusal(lambda: run(scene))
    assert Corner.seen == 0


def test_a_file_of_others_is_no_journal(scene):
    notes = scene / ".found.json.journal"
    notes.write_text("my notes")
    assert "was not made by 'boxloop predict'" in refusal(lambda: run(scene), scene)
    notes.write_text('{"format": "boxloop/pred')  # as a full disk leaves it
    assert run(scene).images == 12
    assert not notes.exists()


@pytest.mark.parametrize("format_", ["coco", "yolo", "voc"])
def test_a_name_that_no_format_can_hold_is_skipped_and_said(scene, format_):
    whole = (scene / "photos" / "i0.png").read_bytes()
    (scene / "photos" / "deep" / "a\nb.png").write_bytes(whole)
    (scene / "photos" / os.fsdecode(b"caf\xe9.png")).write_bytes(whole)
    found = run(scene, "found", format_=format_)
    assert (found.images, len(found.skipped)) == (12, 5)
    odd = " has a line break in its name, or no text"
    assert {f"'deep/a\\nb.png'{odd}", f"'caf\\udce9.png'{odd}"} <= set(found.skipped)


def test_images_have_names_below_the_folder_that_all_lie_in(scene):
    photos = scene / "photos"
    root, names = find_images([photos])
    assert (root, names[:2], len(names)) == (photos, ["cut.png", "deep/i1.png"], 15)
    assert find_images([photos / "i2.png"]) == (photos, ["i2.png"])
    root, names = find_images([photos / "deep", photos / "i2.png", photos / "deep" / "i1.png"])
    assert (root, names[0], names[-1], len(names)) == (photos, "deep/i1.png", "i2.png", 8)
    with pytest.raises(DatasetError, match="nowhere does not exist"):
        find_images([scene / "nowhere"])
    (scene / "bare").mkdir()
    with pytest.raises(DatasetError, match="there is no image in"):
        find_images([scene / "bare"])


def test_in_memory_it_takes_paths_and_bytes(scene):
    model, path = Model(ABOUT, Corner()), scene / "photos" / "i2.png"
    a, b = model.predict([path, path.read_bytes()], threshold=0.3)
    assert a == b
    assert a.labels.tolist() == ["cat"]
    with pytest.raises(DatasetError, match="image 1 is not an image"):
        model.predict([path, b"no image"])


def test_bytes_need_a_place_for_temporary_files_and_paths_need_none(scene, monkeypatch):
    model, path = Model(ABOUT, Corner()), scene / "photos" / "i2.png"
    monkeypatch.setattr(tempfile, "tempdir", str(scene / "gone"))
    assert len(model.predict([path])) == 1
    with pytest.raises(UserError, match="/gone, where temporary files go, .* set TMPDIR to "):
        model.predict([path, path.read_bytes()])


@pytest.mark.parametrize("count", [0, -1, 2.5, True, "4", None])
def test_no_number_of_images_at_once_is_refused(scene, count):
    model, path = Model(ABOUT, Corner()), scene / "photos" / "i2.png"
    for ask in (
        lambda: model.predict([path], batch_size=count),
        lambda: list(model.find([path], batch_size=count)),
        lambda: model.at_once(count),
        lambda: run(scene, batch_size=count),
    ):
        with pytest.raises(ParamsError, match="batch_size must be a whole number of at least 1, g"):
            ask()
    assert len(model.predict([path], batch_size=np.int64(3))) == 1


@pytest.mark.parametrize("wrap", [str, Path, lambda path: path.read_bytes(), lambda path: None])
def test_one_image_in_place_of_a_list_is_refused(scene, wrap):
    with pytest.raises(ParamsError, match="^predict takes a list of images"):
        Model(ABOUT, Corner()).predict(wrap(scene / "photos" / "i2.png"))


@pytest.mark.parametrize("images", [[3], [None], [[1, 2]]])
def test_what_is_no_image_is_refused_by_its_place(scene, images):
    path = scene / "photos" / "i2.png"
    with pytest.raises(ParamsError, match="image 1 is neither a path nor the bytes of a file"):
        Model(ABOUT, Corner()).predict([path, *images])


@pytest.mark.parametrize("threshold", [None, [0.5], {}])
def test_what_is_no_threshold_is_refused(scene, threshold):
    with pytest.raises(ParamsError, match="--threshold must be f1, least-wt or a number"):
        Model(ABOUT, Corner()).predict([scene / "photos" / "i2.png"], threshold=threshold)


def test_two_at_once_do_not_mix_their_lines(scene):
    """The second would go on from what the first has done, and both would add the rest."""
    said = []

    def second(done, total):
        if done == 5:
            said.append(refusal(lambda: run(scene)))

    done = run(scene, report=second)
    assert "is being written by another 'boxloop predict' with the same --out: wait" in said[0]
    alone = run(scene, "alone.json")
    assert (done.images, done.boxes, done.resumed) == (alone.images, alone.boxes, 0)
    assert (scene / "found.json").read_bytes() == (scene / "alone.json").read_bytes()
    assert [p.name for p in scene.glob(".*")] == []
