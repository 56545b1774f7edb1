"""Damaged files between the stages, by what is wrong with them; each is refused in one sentence."""

import os
import shutil
import zipfile

import numpy as np
import pytest

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.status import status_text
from boxloop.core.types import Boxes, FeatureTable, LabeledSet
from builders_campaign import CLASSES, small_params
from builders_hostile import LONG, TEXT, build, edit, put, refusal, run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return build(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def paths(whole, tmp_path, monkeypatch):
    folder = tmp_path / "campaign"
    shutil.copytree(whole.root, folder)
    monkeypatch.chdir(folder)
    return CampaignPaths()


IMAGES = ("data/images.json", run("start"))
TRUTH = ("data/truth.json", run("review", "b01"))
PROPOSALS = ("data/proposals/b01.json", run("review", "b01"))
CORRECTIONS = ("data/corrections/b00.json", run("merge", "b00"))
COUNTED = ("data/corrections/b00.json", run("account", "b00"))
ORDER = ("data/order.json", run("batch"))
BATCH = ("data/batches/b01.json", run("propose", "b01"))
WORKLOAD = ("data/workload/b00.json", run("report"))
TRAINING = ("data/training/b00.json", run("report"))
EVIDENCE = ("data/evidence/empty.json", run("account", "b00"))

BOX = ("boxes", "img00", 0)

JSON = {
    "class-surrogate": (IMAGES, put("classes", value=["a", "<surrogate>"]), "half of a surrogate"),
    "class-empty": (IMAGES, put("classes", 0, value=""), "blank"),
    "class-blank": (IMAGES, put("classes", 0, value="  "), "blank"),
    "class-newline": (IMAGES, put("classes", 0, value="a\nb"), "line break"),
    "class-escape": (IMAGES, put("classes", 0, value=TEXT), "control character"),
    "class-placeholder": (IMAGES, put("classes", 0, value="?"), "not chosen yet"),
    "id-surrogate": (IMAGES, put("images", 0, "id", value="<surrogate>"), "half of a surrogate"),
    "id-long": (IMAGES, put("images", 0, "id", value=LONG), "5,000 characters"),
    "path-long": (IMAGES, put("images", 0, "path", value=LONG), "5,000 characters"),
    "path-escape": (IMAGES, put("images", 0, "path", value=TEXT), "control character"),
    "width-bool": (IMAGES, put("images", 0, "width", value=True), "valid integer"),
    "width-text": (IMAGES, put("images", 0, "width", value="64"), "valid integer"),
    "width-float": (IMAGES, put("images", 0, "width", value=64.0), "valid integer"),
    "width-huge": (IMAGES, put("images", 0, "width", value="<huge>"), "thousands of digits"),
    "width-infinite": (IMAGES, put("images", 0, "width", value="<1e999>"), "valid integer"),
    "width-of-a-planet": (IMAGES, put("images", 0, "width", value=10**9), "at most 1,000,000"),
    "digest-null": (IMAGES, put("images", 0, "digest", value=None), "valid string"),
    "truth-outside": (TRUTH, put("boxes", "img02", 0, "xyxy", value=[0, 0, 65, 9]), "beyond its"),
    "truth-huge": (TRUTH, put("boxes", "img02", 0, "xyxy", value=[0, 0, 1e300, 9]), "beyond its"),
    "truth-text": (TRUTH, put("boxes", "img02", 0, "xyxy", 0, value="1"), "valid number"),
    "truth-bool": (TRUTH, put("boxes", "img02", 0, "xyxy", 0, value=False), "valid number"),
    "truth-classes": (TRUTH, put("boxes", "img02", 0, "label", value="cow"), "not among"),
    "truth-nan": (TRUTH, put("boxes", "img02", 0, "xyxy", 0, value="<nan>"), "finite"),
    "proposals-no-image": (PROPOSALS, put("boxes", value={}), "no image"),
    "proposals-other-batch": (PROPOSALS, put("batch", value="b00"), "of batch b00"),
    "proposals-score": (PROPOSALS, put("boxes", "img02", 0, "score", value=1.5), "score"),
    "proposals-floor": (PROPOSALS, put("score_floor", value=5), "less than or equal to 1"),
    "proposals-class": (PROPOSALS, put("boxes", "img02", 0, "label", value="cow"), "not among"),
    "proposals-outside": (PROPOSALS, put("boxes", "img02", 0, "xyxy", 2, value=70), "beyond its"),
    "corrections-outside": (CORRECTIONS, put(*BOX, "xyxy", 2, value=65), "beyond its 64x48"),
    "corrections-outside-counted": (COUNTED, put(*BOX, "xyxy", 2, value=65), "beyond its 64x48"),
    "corrections-bool": (CORRECTIONS, put(*BOX, "xyxy", 0, value=True), "valid number"),
    "corrections-label-escape": (CORRECTIONS, put(*BOX, "label", value=TEXT), "control character"),
    "corrections-label-long": (CORRECTIONS, put(*BOX, "label", value=LONG), "5,000 characters"),
    "corrections-label-unknown": (CORRECTIONS, put(*BOX, "label", value="cow"), "not among"),
    "corrections-placeholder": (CORRECTIONS, put(*BOX, "label", value="?"), "not chosen yet"),
    "corrections-seconds-text": (CORRECTIONS, put("seconds", "img00", value="9"), "valid number"),
    "corrections-seconds": (CORRECTIONS, put("seconds", "img00", value=1e300), "less than or"),
    "corrections-threshold-5": (CORRECTIONS, put("score_threshold", value=5), "less than or"),
    "corrections-revision": (CORRECTIONS, put("revision", value=0), "greater than or equal to 1"),
    "corrections-other-batch": (
        CORRECTIONS,
        lambda content: [put("batch", value="b01")(c) for c in (content, content["proposals"])],
        "where one of b00 is needed",
    ),
    "order-seed-bool": (ORDER, put("seed", value=True), "valid integer"),
    "order-twice": (ORDER, put("image_ids", 0, value="img01"), "unique"),
    "order-id-escape": (ORDER, put("image_ids", 0, value=TEXT), "control character"),
    "batch-key-dotdot": (BATCH, put("id", value="../b01"), "cannot name a batch"),
    "batch-key-empty": (BATCH, put("id", value=""), "the id '' is empty"),
    "batch-other-key": (BATCH, put("id", value="b00"), "where one of b01 is needed"),
    "batch-unknown-image": (BATCH, put("image_ids", 0, value="imgXX"), "not among"),
    "workload-kept-huge": (WORKLOAD, put("ledgers", 0, "kept", value="<huge>"), "thousands of"),
    "workload-objects": (WORKLOAD, put("objects", value=-1), "greater than or equal to 0"),
    "workload-ledger-dup": (
        WORKLOAD,
        lambda content: content["ledgers"].append(content["ledgers"][0]),
        "two ledgers",
    ),
    "training-images-infinite": (TRAINING, put("images", value="<1e999>"), "valid integer"),
    "training-seconds-infinite": (TRAINING, put("seconds", value="<1e999>"), "finite number"),
    "training-steps-text": (TRAINING, put("steps", value="9"), "valid integer"),
    "training-loss-name": (
        TRAINING,
        put("losses", value=[{"step": 1, "time": 1, LONG: 2}]),
        "one is named by up to 200",
    ),
    "training-step": (TRAINING, put("losses", value=[{"step": 1e300, "time": 1}]), "step"),
    "training-time": (TRAINING, put("losses", value=[{"step": 1, "time": 1e300}]), "time"),
    "evidence-batches": (EVIDENCE, put("batches", value=[{"batch": "b00"}]), "at batches.0"),
}


@pytest.mark.parametrize("name", JSON)
def test_a_json_file_is_refused(paths, name):
    (file, act), change, words = JSON[name]
    edit(file, change)
    message = refusal(lambda: act(paths), paths.root)
    assert words in message
    assert file in message
    assert len(message) < 1000


READERS = {
    "images": IMAGES,
    "truth": TRUTH,
    "proposals": PROPOSALS,
    "corrections": CORRECTIONS,
    "order": ORDER,
    "batch": BATCH,
    "workload": WORKLOAD,
    "features": ("data/features.npz", run("order")),
    "labeled": ("data/labeled/b00.parquet", run("merge", "b01")),
    "detector": ("data/detectors/b01.pt", run("propose", "b01")),
}

DAMAGE = {
    "fifo": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": os.mkdir,
    "sparse": lambda path: (path.touch(), os.truncate(path, 2**36)),
    "nested": lambda path: path.write_text("[" * 20_000 + "]" * 20_000),
    "dup-json-key": lambda path: path.write_text('{"format": "x", "format": "boxloop/images@1"}'),
    "empty": lambda path: path.touch(),
    "not-utf-8": lambda path: path.write_bytes(b'{"format": "\xff"}'),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", READERS)
def test_no_kind_of_file_is_waited_for_or_believed(paths, name, damage):
    file, act = READERS[name]
    path = paths.root / file
    if name == "labeled":
        artifacts.write_corrections(
            paths.corrections("b01"),
            artifacts.read_corrections(paths.corrections("b00")),
        )
        edit(
            paths.corrections("b01"),
            lambda c: [put("batch", value="b01")(x) for x in (c, c["proposals"])],
        )
    if name == "detector":
        import torch  # noqa: F401  (not among the seconds that a refusal may take)
    path.unlink(missing_ok=True)
    DAMAGE[damage](path)
    try:
        message = refusal(lambda: act(paths))
    finally:
        if damage == "sparse":
            path.unlink()
    assert file in message
    assert "Error" not in message


def test_a_doubled_key_is_named(paths):
    text = paths.images.read_text()
    paths.images.write_text(text.replace('"width": 64', '"width": 64, "width": 65', 1))
    assert "has the key 'width' twice" in refusal(lambda: run("start")(paths), paths.root)


# --- features -------------------------------------------------------------------------------------


def _npz(path, ids=("a", "b"), vectors=((1.0,), (2.0,)), method=zipfile.ZIP_STORED):
    artifacts.write_features(path, FeatureTable(tuple(ids), np.array(vectors, np.float32)))
    if method != zipfile.ZIP_STORED:
        with zipfile.ZipFile(path) as old:
            content = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(path, "w", method) as new:
            for name, data in content.items():
                new.writestr(name, data)


def _encrypted(path):
    _npz(path)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(mark)
        while start >= 0:
            data[start + offset] |= 1
            start = data.find(mark, start + 1)
    path.write_bytes(data)


def _header(header, name="vectors", body=b"\0" * 64):
    def write(path):
        _npz(path)
        with zipfile.ZipFile(path) as old:
            content = {item: old.read(item) for item in old.namelist()}
        text = header.encode().ljust(118) + b"\n"
        content[f"{name}.npy"] = (
            b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body
        )
        with zipfile.ZipFile(path, "w") as new:
            for item, data in content.items():
                new.writestr(item, data)

    return write


FEATURES = {
    "encrypted": _encrypted,
    "method-bzip2": lambda path: _npz(path, method=zipfile.ZIP_BZIP2),
    "method-lzma": lambda path: _npz(path, method=zipfile.ZIP_LZMA),
    "zero-rows": lambda path: _npz(path, (), np.empty((0, 3))),
    "zero-columns": lambda path: _npz(path, ("a",), np.empty((1, 0))),
    "huge-shape": _header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 10000000000000)}"),
    "negative-shape": _header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, -8)}"),
    "bool-shape": _header("{'descr': '<f4', 'fortran_order': False, 'shape': (True, 16)}"),
    "objects": _header("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}"),
    "no-header": _header("{"),
    "deep-header": _header("(" * 110),
    "complex": _header("{'descr': '<c16', 'fortran_order': False, 'shape': (2, 2)}"),
    "id-escape": lambda path: _npz(path, ("a", TEXT)),
    "bare-npy": lambda path: np.save(path.open("wb"), np.zeros(3)),
}


@pytest.mark.parametrize("name", FEATURES)
def test_features_are_refused(paths, name):
    FEATURES[name](paths.features)
    message = refusal(lambda: run("order")(paths), paths.root)
    assert "data/features.npz" in message
    assert "run" in message


# --- labeled sets ---------------------------------------------------------------------------------


def _labeled(paths, label="cat", box=(0, 0, 9, 9), image="img00", classes=CLASSES):
    own = {image: Boxes.build([box], [label])}
    artifacts.write_labeled(paths.labeled("b00"), LabeledSet(classes, ("b00",), own))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"box": (0, 0, 9, 99)}, "beyond its 64x48 pixels"),
        ({"box": (-5, 0, 9, 9)}, "beyond its 64x48 pixels"),
        ({"classes": ("cat", "cow")}, "is for the classes cat, cow"),
        ({"classes": ("cat", "\x1b[2J")}, "control character"),
        ({"image": "imgXX"}, "not among"),
        ({"image": "a\nb"}, "line break"),
    ],
)
def test_labels_are_refused(paths, given, words):
    _labeled(paths, **given)
    message = refusal(lambda: run("train", "b01")(paths), paths.root)
    assert words in message
    assert "b00.parquet" in message


# --- the journal ----------------------------------------------------------------------------------


JOURNAL = {
    "5000-digits": (put("score_threshold", value="<huge>"), "thousands of digits"),
    "finished-0001-offset": (put("finished", value="0001-01-01T00:00:00+05:00"), "not a time"),
    "finished-9999-offset": (put("finished", value="9999-12-31T23:59:59-05:00"), "not a time"),
    "submitted-0001-offset": (
        put("submitted", value={"img00": "0001-01-01T00:00:00+05:00"}),
        "not a time",
    ),
    "finished-number": (put("finished", value=1700000000), "valid string"),
    "finished-long": (put("finished", value=LONG), "5,000 characters"),
    "box-text": (put(*BOX, "xyxy", 0, value="1"), "valid number"),
    "placeholder": (put(*BOX, "label", value="?"), "not chosen yet"),
    "threshold-5": (put("score_threshold", value=5), "less than or equal to 1"),
    "reviewer-newline": (put("reviewer", value="a\nb"), "line break"),
}


@pytest.fixture
def submitted(paths):
    """A submission of the first batch by a person."""
    from builders_campaign import build_campaign

    other = build_campaign(paths.root / "other", small_params(1), annotator="fiftyone")
    file = paths.root / "reviews" / "b00-20240101T120000000000Z-ada.json"
    file.parent.mkdir()
    shutil.copy(other.corrections("b00"), file)
    shutil.rmtree(other.root)
    return file


@pytest.mark.parametrize("name", JOURNAL)
def test_a_submission_is_refused(paths, submitted, name):
    change, words = JOURNAL[name]
    edit(submitted, change)
    message = refusal(lambda: run("review", "b01")(paths), paths.root)
    assert words in message
    assert submitted.name in message
    assert "it holds labels, so bring it back" in message
    assert status_text(paths, small_params(2))


@pytest.mark.parametrize("damage", ["fifo", "device", "folder", "nested"])
def test_a_submission_that_is_no_file_is_refused(paths, submitted, damage):
    submitted.unlink()
    DAMAGE[damage](submitted)
    assert submitted.name in refusal(lambda: run("review", "b01")(paths))
    status_text(paths, small_params(2))
