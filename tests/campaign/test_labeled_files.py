"""Labeled sets: a file a turn, each bound to the one before it by its digest."""

import contextlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.campaign import artifacts
from boxloop.campaign.labeled_files import (
    labeled_batches,
    outdated,
    read_labeled,
    write_labeled,
)
from boxloop.core.types import Boxes, LabeledSet
from boxloop.errors import ArtifactError
from boxloop.files import write_json
from builders import CLASSES, any_boxes, boxes

FIRST = LabeledSet(
    CLASSES,
    ("b00",),
    {"c": boxes(("dog", 0.1, 0, 5.25, 5), ("cat", 1, 1, 2, 2)), "ä": Boxes.empty()},
)
SECOND = LabeledSet(CLASSES, ("b01",), {"b": Boxes.empty(), "a": boxes(("cat", 0, 0, 1, 1))})
THIRD = LabeledSet(CLASSES, ("b02",), {"d": boxes(("cat", 0, 0, 2, 2))})


@pytest.fixture
def chain(tmp_path):
    """The files of three turns and of what the first one starts from."""
    paths = {key: tmp_path / f"{key}.parquet" for key in ("empty", "b00", "b01", "b02")}
    write_labeled(paths["empty"], LabeledSet(CLASSES, (), {}))
    for key, before, own in (
        ("b00", "empty", FIRST),
        ("b01", "b00", SECOND),
        ("b02", "b01", THIRD),
    ):
        write_labeled(paths[key], own, paths[before])
    return paths


def rewrite(path, *, change=lambda table: table, metadata=None):
    """Writes a file anew as another program would, keeping or replacing what it says of itself."""
    table = pq.read_table(path)
    known = pq.read_metadata(path).metadata if metadata is None else metadata
    kept = {key: value for key, value in known.items() if key == b"boxloop"}
    pq.write_table(change(table).replace_schema_metadata(kept), path)


# --- what is written is read back -----------------------------------------------------------------


def test_a_turn_holds_its_own_labels_and_is_read_with_all_before_it(chain):
    assert pq.read_table(chain["b01"])["image"].to_pylist() == ["b", "a"]
    whole = read_labeled(chain["b02"])
    assert whole == LabeledSet(
        CLASSES, ("b00", "b01", "b02"), {**FIRST.boxes, **SECOND.boxes, **THIRD.boxes}
    )
    assert list(whole.boxes) == ["c", "ä", "b", "a", "d"]
    assert read_labeled(chain["b00"]) == FIRST
    assert read_labeled(chain["empty"]) == LabeledSet(CLASSES, (), {})
    assert labeled_batches(chain["b02"]) == ("b00", "b01", "b02")
    assert outdated(chain["b02"]) is None


@settings(max_examples=50, deadline=None)
@given(parts=st.lists(st.lists(any_boxes(scored=False), max_size=3), min_size=1, max_size=3))
def test_any_labels_come_back(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("labeled")
    previous, expected = None, {}
    for number, images in enumerate(parts):
        path, own = folder / f"{number}.parquet", {f"{number}/{i}": b for i, b in enumerate(images)}
        write_labeled(path, LabeledSet(CLASSES, (str(number),), own), previous)
        expected, previous = {**expected, **own}, path
    found = read_labeled(previous)
    assert found.boxes == expected
    assert list(found.boxes) == list(expected)


def test_box_ids_are_numbered_anew(tmp_path):
    own = {"a": boxes(("cat", 0, 0, 1, 1), ("cat", 0, 0, 2, 2), prefix="p")}
    write_labeled(tmp_path / "x.parquet", LabeledSet(CLASSES, ("b00",), own))
    assert read_labeled(tmp_path / "x.parquet").boxes["a"].ids.tolist() == ["t0", "t1"]


def test_labels_that_another_program_wrote_are_read(chain):
    """Other encodings and types of the same columns, and columns of one's own."""
    before = read_labeled(chain["b00"])
    rewrite(
        chain["b00"],
        change=lambda t: (
            t.set_column(1, "label", t["label"].dictionary_encode())
            .set_column(0, "image", t["image"].cast(pa.large_string()))
            .append_column("note", pa.array(["x"] * len(t)))
        ),
    )
    assert read_labeled(chain["b00"]) == before


def test_pandas_reads_a_campaign_as_the_documentation_says(chain):
    """Its example, word by word."""
    text = (artifacts.Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    example = text.split("```python\n")[1].split("```")[0]
    names = {}
    folder = chain["b00"].parent / "data"
    folder.mkdir()
    for path in chain.values():
        (folder / "labeled").mkdir(exist_ok=True)
        shutil.copy(path, folder / "labeled" / path.name)
    before = os.getcwd()
    os.chdir(folder.parent)
    try:
        exec(example, names)
    finally:
        os.chdir(before)
    labels = names["labels"]
    assert labels["image"].nunique() == 5
    assert labels.dropna()[["batch", "image", "label", "x2"]].to_numpy().tolist() == [
        ["b00", "c", "dog", 5.25],
        ["b00", "c", "cat", 2.0],
        ["b01", "a", "cat", 1.0],
        ["b02", "d", "cat", 2.0],
    ]


# --- bytes ----------------------------------------------------------------------------------------


def test_the_same_labels_give_the_same_bytes_in_any_process(chain, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    shutil.copy(chain["b00"], again)
    code = (
        "import sys; from pathlib import Path\n"
        "from boxloop.campaign.labeled_files import read_labeled, write_labeled\n"
        "from boxloop.core.types import LabeledSet\n"
        "from test_labeled_files import SECOND\n"
        "write_labeled(Path('b01.parquet'), SECOND, Path('b00.parquet'))\n"
    )
    path = [os.path.dirname(__file__), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code], cwd=again, check=True, env=environment)
    assert (again / "b01.parquet").read_bytes() == chain["b01"].read_bytes()


def test_a_change_of_any_batch_changes_all_later_files(chain):
    before = {key: path.read_bytes() for key, path in chain.items()}
    moved = {**FIRST.boxes, "c": boxes(("dog", 0.2, 0, 5.25, 5), ("cat", 1, 1, 2, 2))}
    write_labeled(chain["b00"], LabeledSet(CLASSES, ("b00",), moved), chain["empty"])
    write_labeled(chain["b01"], SECOND, chain["b00"])
    write_labeled(chain["b02"], THIRD, chain["b01"])
    changed = {key for key, path in chain.items() if path.read_bytes() != before[key]}
    assert changed == {"b00", "b01", "b02"}


def test_the_file_before_may_lie_elsewhere(chain, tmp_path):
    (tmp_path / "sub").mkdir()
    write_labeled(tmp_path / "sub" / "b03.parquet", LabeledSet(CLASSES, ("b03",), {}), chain["b02"])
    assert read_labeled(tmp_path / "sub" / "b03.parquet").batches == ("b00", "b01", "b02", "b03")


# --- what is wrong is one sentence ----------------------------------------------------------------


def test_a_missing_file_is_named_with_the_way_out(chain):
    with pytest.raises(ArtifactError, match="none.parquet does not exist: run the stage"):
        read_labeled(chain["b00"].parent / "none.parquet")
    chain["b00"].unlink()
    for read in (read_labeled, labeled_batches):
        with pytest.raises(ArtifactError) as caught:
            read(chain["b02"])
        first, last = chain["b00"], chain["b01"]
        assert str(caught.value) == (
            f"{first} does not exist, but {last} was made from it: 'dvc checkout --force {first}'"
            " brings it back"
        )


def test_a_file_that_was_changed_is_named_with_the_way_out(chain):
    write_labeled(chain["b00"], LabeledSet(CLASSES, ("b00",), {}), chain["empty"])
    assert read_labeled(chain["b00"]).boxes == {}
    with pytest.raises(ArtifactError) as caught:
        read_labeled(chain["b02"])
    said = f"{chain['b00']} is not the file that {chain['b01']} was made from: "
    assert str(caught.value) == (
        f"{said}'dvc repro' makes {chain['b01']} anew, or, where nothing of the former was"
        f" submitted again, 'dvc checkout --force {chain['b00']}' brings it back"
    )
    assert outdated(chain["b02"]) == (chain["b01"], chain["b00"])
    chain["b00"].write_bytes(b"PAR1")
    with pytest.raises(ArtifactError) as caught:
        read_labeled(chain["b02"])
    assert str(caught.value) == f"{said}'dvc checkout --force {chain['b00']}' brings it back"


def test_a_damaged_file_is_named_with_the_way_out(chain):
    whole = chain["b02"].read_bytes()
    for content in (b"", b"{", b"PAR1", whole[:-1], whole[: len(whole) // 2], b"\xff" * 300):
        chain["b02"].write_bytes(content)
        for read in (read_labeled, labeled_batches):
            with pytest.raises(ArtifactError, match="b02.parquet is not a readable Parquet file"):
                read(chain["b02"])
    for place in range(0, len(whole), 13):
        chain["b02"].write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(ArtifactError):  # nothing else
            read_labeled(chain["b02"])


def test_classes_must_be_the_same_all_along(chain):
    own = LabeledSet(("cat",), ("b03",), {})
    path = chain["b02"].parent / "b03.parquet"
    write_labeled(path, own, chain["b02"])
    with pytest.raises(ArtifactError, match="b02.parquet is for the classes cat, dog, but .*b03"):
        read_labeled(path)


def test_an_image_is_labeled_once(chain):
    write_labeled(chain["b02"], LabeledSet(CLASSES, ("b02",), FIRST.boxes), chain["b01"])
    with pytest.raises(ArtifactError, match="b02.parquet holds image c twice"):
        read_labeled(chain["b02"])


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "b00.parquet is another kind of table, where one of format boxloop/labeled@2"),
        ({b"boxloop": b"[]"}, "another kind of table"),
        ({b"boxloop": b"{"}, "do not tell classes"),
        ({b"boxloop": b'{"format": "boxloop/labeled@3"}'}, "is of format boxloop/labeled@3"),
        ({b"boxloop": b'{"format": "boxloop/labeled@2", "classes": 3}'}, "at classes: "),
        (
            {
                b"boxloop": b'{"format": "boxloop/labeled@2", "classes": ["a", "a"],'
                b' "batches": ["b00"]}'
            },
            "at classes: must be unique",
        ),
    ],
)
def test_metadata_of_another_kind(chain, metadata, message):
    rewrite(chain["b00"], metadata=metadata)
    for read in (read_labeled, labeled_batches):
        with pytest.raises(ArtifactError, match=message):
            read(chain["b00"])


def _with(name, values):
    def change(table):
        place = table.column_names.index(name)
        return table.set_column(place, name, pa.array(values, table[name].type))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["image"]), "has not the columns image, label, x1, y1, x2, y2"),
        (lambda t: t.drop_columns(["y2"]), "has not the columns image, label, x1, y1, x2, y2"),
        (_with("label", ["dog", "owl", None]), "carries the label 'owl', which is not among its"),
        (_with("label", ["dog", None, None]), "a row needs an image, and all of label and edges"),
        (_with("image", ["c", None, "ä"]), "a row needs an image"),
        (_with("x1", [0.0, np.nan, None]), "b00.parquet, image c: coordinates must be finite"),
        (_with("x1", [9.0, 1.0, None]), "image c: a box needs x2 > x1"),
        (_with("x1", [0.0, 1.0, 1.0]), "a row needs an image"),
        (_with("image", ["c", "ä", "c"]), "the rows of an image must be together"),
        (_with("image", ["c", "ä", "ä"]), "the rows of an image must be together"),
        (
            lambda t: t.set_column(2, "x1", pa.array(["a", "b", None])),
            "has not the columns image, label",
        ),
    ],
)
def test_tables_that_cannot_be(chain, change, message):
    rewrite(chain["b00"], change=change)
    with pytest.raises(ArtifactError, match=message) as caught:
        read_labeled(chain["b00"])
    assert "\n" not in str(caught.value)


# --- what is there is not lost --------------------------------------------------------------------


def test_only_labeled_sets_are_replaced(tmp_path, chain):
    foreign, artifact = tmp_path / "table.parquet", tmp_path / "order.json"
    pq.write_table(pa.table({"x": [1]}), foreign)
    write_json(artifact, {"format": "boxloop/order@1"})
    (tmp_path / "text").write_text("PAR1 is how it begins")
    for path in (foreign, artifact, tmp_path / "text"):
        before = path.read_bytes()
        with pytest.raises(ArtifactError, match="was not replaced"):
            write_labeled(path, FIRST)
        assert path.read_bytes() == before
    for kind in ("boxloop/order", None):
        with pytest.raises(ArtifactError, match="is a file of format boxloop/labeled and was not"):
            artifacts.require_writable(chain["b00"], kind)
    write_labeled(chain["b00"], THIRD)
    assert read_labeled(chain["b00"]) == THIRD


def test_a_write_that_fails_leaves_what_was_there(chain):
    before = chain["b01"].read_bytes()
    chain["b00"].unlink()
    with pytest.raises(ArtifactError, match="b00.parquet does not exist"):
        write_labeled(chain["b01"], SECOND, chain["b00"])
    assert chain["b01"].read_bytes() == before
    assert json.loads(pq.read_metadata(chain["b01"]).metadata[b"boxloop"])["previous"] == (
        "b00.parquet"
    )
    assert sorted(os.listdir(chain["b01"].parent)) == [
        "b01.parquet",
        "b02.parquet",
        "empty.parquet",
    ]
