"""Hostile params.yaml, datasets and corrections of other tools, at the command line."""

import io
import os
import sys

import pytest

from boxloop import cli
from boxloop.datasets.faults import FaultKind
from boxloop.params import load_params, read_yaml
from boxloop.params.loading import read_long_yaml
from builders_datasets import coco, image, kinds, load, text, voc_item, voc_object
from builders_hostile import LONG, TEXT, build, refusal, soon


def bomb(levels=12, width=9):
    """Aliases of aliases: a kilobyte that stands for 9 to the power of 12 values."""
    lines = ["a0: &a0 [x]"]
    for i in range(1, levels):
        lines.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]")
    return "\n".join(lines)


def merge_bomb(levels=25):
    lines = ["a0: &a0 {k: 1}"]
    for i in range(1, levels):
        lines.append(f"a{i}: &a{i}\n  <<: [*a{i - 1}, *a{i - 1}]\n  k{i}: 1")
    return "\n".join(lines)


PARAMS = {
    "aliases": (bomb(), "more than 100,000 values"),
    "merge-keys": (merge_bomb(), "more than 100,000 values"),
    "itself": ("order: &a\n  seed: *a", "a part of"),
    "nested": ("order: " + "[" * 20_000 + "]" * 20_000, "lie in each other"),
    "nested-map": ("{a: " * 20_000 + "1" + "}" * 20_000, "lie in each other"),
    "nested-dashes": ("order: \n  " + "- " * 3_000 + "1", "lie in each other"),
    "digits": ("order: {seed: " + "9" * 5000 + "}", "thousands of digits"),
    "date": ("order: {seed: 2024-99-99}", "month must be in"),
    "tag": ("order: !!python/object:os.system x", "not valid YAML"),
    "tag-int": ("order: {seed: !!int x}", "params.yaml"),
    "tag-set": ("order: !!set [a]", "params.yaml"),
    "key-twice": ("order: {}\norder: {}", "duplicate key"),
    "key-long": ("? " + LONG + "\n: 1", "is not a known key"),
    "key-list": ("? [a]\n: b", "params.yaml"),
    "value-long": ("dataset: {annotations: " + LONG + "}", "5,000 characters"),
    "value-nul": ('dataset: {annotations: "a\\0b"}', "control character"),
    "title-escape": ('report: {title: "\\e[31m"}', "control character"),
    "batch-huge": ("train: {steps: 1, batch_size: 100000000}", "train.batch_size"),
    "workers-huge": ("train: {steps: 1, workers: 100000}", "train.workers"),
    "input-huge": ("train: {steps: 1, input_size: [100000, 100000]}", "train.input_size"),
    "demo-huge": ("dataset: {demo: {size: [100000000, 100000000]}}", "dataset.demo.size"),
    "steps-huge": ("train: {steps: 10000000000000000000000}", "train.steps"),
    "classes-blank": ("dataset: {classes: [' ']}", "is blank"),
    "classes-escape": ('dataset: {classes: ["\\e[2J"]}', "control character"),
    "classes-newline": ('dataset: {classes: ["a\\nb"]}', "line break"),
    "classes-surrogate": ('dataset: {classes: ["\\ud800"]}', "params.yaml"),
    "classes-placeholder": ("dataset: {classes: ['?']}", "not chosen yet"),
    "strategy-surrogate": ('order: {strategy: "\\ud800"}', "'order.strategy' holds half"),
    "turn-surrogate": ('iterations: {"\\ud800": {previous: empty}}', "ud800' holds half"),
    "seed-bool": ("order: {seed: true}", "order.seed"),
    "seed-text": ("order: {seed: '1'}", "order.seed"),
}


@pytest.mark.parametrize("name", PARAMS)
def test_params_are_refused(tmp_path, name):
    content, words = PARAMS[name]
    path = tmp_path / "params.yaml"
    path.write_text(content)
    message = refusal(lambda: load_params(path))
    assert words in message
    assert "params.yaml" in message
    assert len(message) < 1500
    assert "Error" not in message


@pytest.mark.parametrize("make", [os.mkfifo, lambda p: p.symlink_to("/dev/zero"), os.mkdir])
def test_params_that_are_no_file_are_refused(tmp_path, make):
    make(tmp_path / "params.yaml")
    assert "cannot be read: it is a" in refusal(lambda: load_params(tmp_path / "params.yaml"))


@pytest.mark.parametrize("value", ["[" * 20_000, "9" * 5000, f"{{{bomb(12)}}}", "{", "\0"])
def test_an_override_is_refused(tmp_path, value):
    message = refusal(lambda: load_params(tmp_path / "none.yaml", [f"order.seed={value}"]))
    assert message.startswith("--set order.seed=")
    assert len(message) < 1500


@pytest.mark.parametrize("read", [read_yaml, read_long_yaml])
@pytest.mark.parametrize("name", ["aliases", "merge-keys", "itself", "nested"])
def test_every_reader_of_yaml_counts_before_it_unfolds(read, name):
    content, words = PARAMS[name]
    with soon(), pytest.raises(ValueError, match=words):
        read(content)


def test_what_is_usual_stays_as_it_was():
    usual = "a: &x {b: 1, c: [1, 2]}\nd:\n  <<: *x\n  e: *x\n"
    x = {"b": 1, "c": [1, 2]}
    assert read_yaml(usual) == {"a": x, "d": {**x, "e": x}}
    assert read_yaml("a: no  # x & y * z\nb: '*a & b'") == {"a": "no", "b": "*a & b"}


# --- datasets -------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    image(tmp_path / "a.jpg")
    return tmp_path


@pytest.mark.parametrize("target", ["fifo", "/dev/zero"])
def test_a_picture_that_is_no_file_is_set_aside(photos, target):
    if target == "fifo":
        os.mkfifo(photos / "x.png")
    else:
        (photos / "x.png").symlink_to(target)
    with soon():
        dataset = load(photos, "folder", classes=("cat",))
    assert kinds(dataset) == [FaultKind.UNREADABLE_IMAGE]
    assert "is a pipe or a device" in dataset.faults[0].detail


@pytest.mark.parametrize("target", ["fifo", "/dev/zero"])
def test_annotations_that_are_no_file_are_set_aside_or_refused(tmp_path, target):
    voc_item(tmp_path, "a", voc_object("cat", 1, 1, 9, 9))
    voc_item(tmp_path, "b", voc_object("cat", 1, 1, 9, 9))
    coco(tmp_path / "coco")
    places = [next(tmp_path.rglob("b.xml")), next((tmp_path / "coco").rglob("*.json"))]
    for place in places:
        place.unlink()
        if target == "fifo":
            os.mkfifo(place)
        else:
            place.symlink_to(target)
    with soon():
        dataset = load(tmp_path, "voc")
    assert FaultKind.MALFORMED_ANNOTATION in kinds(dataset)
    name = places[1].relative_to(tmp_path / "coco").as_posix()
    message = refusal(lambda: load(tmp_path / "coco", "coco", annotations=name))
    assert "is a pipe or a device" in message


def test_a_doubled_key_of_coco_is_refused(tmp_path):
    file = coco(tmp_path)
    file = file if file.is_file() else next(tmp_path.rglob("*.json"))
    content = file.read_text()
    text(file, content[:-1].rstrip().removesuffix("}") + ', "images": []}')
    name = file.relative_to(tmp_path).as_posix()
    message = refusal(lambda: load(tmp_path, "coco", annotations=name))
    assert "has the key 'images' twice" in message


@pytest.mark.parametrize("content", [bomb(), merge_bomb(), "[" * 20_000])
def test_yaml_of_yolo_is_refused_soon(photos, content):
    text(photos / "data.yaml", content)
    with soon():
        assert "data.yaml " in refusal(lambda: load(photos, "yolo"))


# --- the terminal ---------------------------------------------------------------------------------


def test_a_refusal_cannot_steer_the_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = f"{TEXT}\u202e{LONG}"
    monkeypatch.setattr(sys, "argv", ["boxloop", "order", "--set", f"order.strategy={name}"])
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert len(said) < 1500


@pytest.mark.parametrize("words", [["report"], ["status"], ["status", "--table"]])
def test_a_terminal_that_is_not_utf_8_shows_what_it_can(tmp_path, monkeypatch, words):
    build(tmp_path)
    (tmp_path / "params.yaml").write_text(
        "{train: {steps: 4, weights: none}, review: {score_threshold: 0.5}, iterations: {b00:"
        " {previous: empty}}}"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["boxloop", *words])
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    out.flush()
    assert b"b00" in out.buffer.getvalue()
