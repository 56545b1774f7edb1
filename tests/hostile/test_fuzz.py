"""Break every format in random places.

Whatever comes of it, it comes soon, and is either one sentence or what the schema allows; nothing
is written by halves. The examples are the same every time; BOXLOOP_FUZZ=100 tries a hundred times
as many, and others.
"""

import copy
import io
import json
import math
import os
import shutil
import zipfile
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.submissions import read as read_journal
from boxloop.core.evidence import sweep
from boxloop.core.names import has_control
from boxloop.core.types import CropUse, FeatureTable, FittedThreshold, LabeledSet
from boxloop.params import load_params
from builders_campaign import CLASSES, build_campaign, small_params
from builders_hostile import RAW, contents, damaged, often, read_or_refuse, run

# --- what is broken -------------------------------------------------------------------------------


@cache
def whole():
    """A campaign whose first two batches are done by a person; never written to."""
    import tempfile

    root = Path(tempfile.mkdtemp(prefix="boxloop-fuzz-"))
    fitted = small_params(3, review={"score_threshold": "fitted"})
    paths = build_campaign(root, fitted, done=2, through="proposals")
    people = build_campaign(root / "people", small_params(1), annotator="fiftyone")
    paths.reviews.mkdir()
    name = "b00-20240101T120000000000Z-ada.json"
    shutil.copy(people.corrections("b00"), paths.reviews / name)
    shutil.rmtree(people.root)
    ids = tuple(f"img{i:02d}" for i in range(6))
    vectors = np.arange(24, dtype=np.float32).reshape(6, 4)
    artifacts.write_features(paths.features, FeatureTable(ids, vectors))
    (root / "params.yaml").write_text(PARAMS)
    made = artifacts.read_proposals(paths.proposals("b01"))
    final = artifacts.read_corrections(paths.corrections("b01")).boxes
    judged = sweep("b01", made.boxes, final, (0.5, 0.7), 0.05)
    artifacts.write_evidence(paths.evidence("b01"), [replace(judged, crops=judged.edits)])
    newest = artifacts.read_proposals(paths.proposals("b02"))
    crops = CropUse(True, 0.1, "b01", dict(newest.boxes))
    artifacts.write_proposals(paths.proposals("b02"), replace(newest, crops=crops))
    assert made.thresholds == () or isinstance(made.thresholds[0], FittedThreshold)
    return paths


PARAMS = """\
dataset: &d {format: folder, path: photos, classes: [cat, dog]}
order: {strategy: similar, seed: 3}
batch: {sizes: [10, 20]}
train: {steps: 10, input_size: [64, 96], learning_rate: 1e-3, augment: [hflip, color]}
report:
  title: "a \\u00e9 page"
iterations:
  b00: {previous: empty}
  b01: {previous: b00}
"""

JSON = {
    "images": ("data/images.json", artifacts.read_images, artifacts.write_images),
    "truth": ("data/truth.json", artifacts.read_truth, artifacts.write_truth),
    "order": ("data/order.json", artifacts.read_order, artifacts.write_order),
    "batch": ("data/batches/b01.json", artifacts.read_batch, artifacts.write_batch),
    "proposals": (
        "data/proposals/b02.json",
        artifacts.read_proposals,
        artifacts.write_proposals,
    ),
    "corrections": (
        "reviews/b00-20240101T120000000000Z-ada.json",
        artifacts.read_corrections,
        artifacts.write_corrections,
    ),
    "training": ("data/training/b01.json", artifacts.read_training, artifacts.write_training),
    "workload": ("data/workload/b01.json", artifacts.read_workload, artifacts.write_workload),
    "evidence": ("data/evidence/b01.json", artifacts.read_evidence, artifacts.write_evidence),
}


BYTES = {
    **{name: (file, read) for name, (file, read, _) in JSON.items()},
    "features": ("data/features.npz", artifacts.read_features),
    "labeled": ("data/labeled/b01.parquet", artifacts.read_labeled),
    "params": ("params.yaml", load_params),
}

# --- how ------------------------------------------------------------------------------------------

HOSTILE = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1, 1.5, 10**9, 2**53, 2**70, 1e300, -1e-300, -0.0),
        *("", " ", "?", "1", "0.5", "true", "a\nb", "\x1b[2J", "\u202e", "../x", "x" * 5000, "\0"),
        *([], {}, [[]], [1], {"a": 1}, [None], {"id": "a", "label": "cat", "xyxy": [0, 0, 1, 1]}),
        *RAW,
        *("0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "2024-01-01", "2024-13-01"),
    ]
)


def places(content, at=()):
    """All places in a content, as keys that lead there."""
    yield at
    if isinstance(content, dict | list):
        keys = content if isinstance(content, dict) else range(len(content))
        for key in keys:
            yield from places(content[key], (*at, key))


@st.composite
def altered(draw, content):
    """A content with hostile values, or without some, or with some under another key."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 2))):
        *before, last = draw(st.sampled_from([p for p in places(content) if p]))
        inner = content
        for key in before:
            inner = inner[key]
        kind = draw(st.sampled_from(["set", "set", "set", "drop", "rename", "again"]))
        if kind == "set":
            inner[last] = copy.deepcopy(draw(HOSTILE))
        elif kind == "drop":
            del inner[last]
        elif isinstance(inner, dict):
            inner[draw(st.sampled_from(["", "a", "x" * 2000, "\n", "img00", "id"]))] = inner[last]
        else:
            inner.append(inner[last])
    return content


def as_text(content):
    text = json.dumps(content)
    for mark, raw in RAW.items():
        text = text.replace(json.dumps(mark), raw)
    return text


# --- what must hold -------------------------------------------------------------------------------


def require_plain(value):
    """Nothing that no file may hold, however it came there."""
    if isinstance(value, dict):
        for key, item in value.items():
            assert not has_control(key)
            require_plain(item)
    elif isinstance(value, list):
        for item in value:
            require_plain(item)
    elif isinstance(value, str):
        assert not has_control(value)
    elif isinstance(value, float):
        assert math.isfinite(value)


def same(given, again):
    """Whether two contents are equal, types included, where the second may hold more."""
    if isinstance(given, dict):
        return isinstance(again, dict) and all(
            k in again and same(v, again[k]) for k, v in given.items()
        )
    if isinstance(given, list):
        return isinstance(again, list) and len(given) == len(again) and all(map(same, given, again))
    if isinstance(given, bool) or isinstance(again, bool):
        return given is again
    if isinstance(given, int | float) and isinstance(again, int | float):
        return given == again
    return type(given) is type(again) and given == again


def no_key_twice(pairs):
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


OWN = {"corrections": {"edits"}, "evidence": set()}
"""Keys that are for other programs, and are made anew."""


def require_allowed(name, text, found, folder):
    """What was taken is what the file says: nothing converted, dropped or made up."""
    content = json.loads(text, object_pairs_hook=no_key_twice)
    require_plain({k: v for k, v in content.items() if k not in OWN.get(name, ())})
    again = folder / "again" / f"{name}.json"
    JSON[name][2](again, found)
    written = json.loads(again.read_text())
    again.unlink()
    for key in OWN.get(name, ()):
        content.pop(key, None)
    optional = {"thresholds": [], "submitted": {}, "revision": 1, "held_out": None, "crops": None}
    if content.get("annotator") == "simulated" or content.get("edits", 1) is None:
        for key in ("submitted", "revision", "edits", "timed_images", "reviewer"):
            content.pop(key, None)
    for inner in (content, content.get("proposals", {})):
        for key, default in optional.items():
            if isinstance(inner, dict) and key in inner and inner[key] == default:
                del inner[key]
    for row in content.get("batches", []) if name == "evidence" else []:
        if row.get("crops") == []:
            del row["crops"]
    assert same(content, written), (content, written)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("name", JSON)
@often(30)
@given(data=st.data())
def test_values_of_json_files(folder, name, data):
    file, read, _ = JSON[name]
    text = as_text(data.draw(altered(json.loads((whole().root / file).read_text()))))
    path = folder / Path(file).name
    path.write_text(text)
    found = read_or_refuse(read, path)
    if found is not None:
        require_allowed(name, text, found, folder)


@pytest.mark.parametrize("name", BYTES)
@often(25)
@given(data=st.data())
def test_bytes_of_files(folder, name, data):
    file, read = BYTES[name]
    if name == "labeled":
        shutil.copy(whole().labeled("b00"), folder / "b00.parquet")
        shutil.copy(whole().labeled("empty"), folder / "empty.parquet")
    content = data.draw(damaged((whole().root / file).read_bytes()))
    path = folder / Path(file).name
    path.write_bytes(content)
    found = read_or_refuse(read, path)
    if found is not None and name in JSON:
        require_allowed(name, content.decode(), found, folder)
    elif isinstance(found, FeatureTable):
        assert np.isfinite(found.vectors).all()
        assert len(found.image_ids) == len(found.vectors) > 0
    elif isinstance(found, LabeledSet):
        assert found.classes == CLASSES


@often(40)
@given(data=st.data())
def test_members_of_an_archive(folder, data):
    source = whole().features
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = data.draw(st.sampled_from(sorted(members)))
    part = members[name]
    cut = data.draw(st.sampled_from([128, len(part)]))
    members[name] = data.draw(damaged(part[:cut])) + part[cut:]
    method = data.draw(
        st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for item, content in members.items():
            archive.writestr(item, content)
    (folder / "features.npz").write_bytes(out.getvalue())
    found = read_or_refuse(artifacts.read_features, folder / "features.npz")
    if found is not None:
        assert np.isfinite(found.vectors).all()
        assert not any(map(has_control, found.image_ids))


JOURNALED = JSON["corrections"][0]


@often(40)
@given(data=st.data())
def test_the_journal(folder, data):
    content = json.loads((whole().root / JOURNALED).read_text())
    key = data.draw(st.sampled_from(["finished", "submitted", "seconds", "reviewer", "boxes"]))
    if key == "submitted":
        content[key] = {"img00": data.draw(HOSTILE)}
    elif key == "boxes":
        content = data.draw(altered(content))
    else:
        content[key] = data.draw(HOSTILE)
    read_entry(folder, content)


def read_entry(folder, content):
    """Read a journal of one file."""
    place = folder / "reviews"
    place.mkdir(exist_ok=True)
    (place / Path(JOURNALED).name).write_text(as_text(content))
    found = read_or_refuse(read_journal, place)
    if found is not None:
        assert all(item.by_person and item.finished for item in found)
    return found


@pytest.mark.parametrize("change", [{"finished": None}, {"annotator": "simulated"}])
def test_what_is_no_persons_submission_is_not_taken_from_the_journal(folder, change):
    content = json.loads((whole().root / JOURNALED).read_text())
    assert len(read_entry(folder, content)) == 1
    assert read_entry(folder, {**content, **change}) is None


STAGES = {
    "start": ("data/images.json",),
    "batch": ("data/order.json",),
    "review": ("data/images.json", "data/truth.json", "data/proposals/b02.json"),
    "merge": ("data/images.json", "data/corrections/b01.json", "data/labeled/b00.parquet"),
    "account": ("data/images.json", "data/corrections/b01.json", "data/evidence/empty.json"),
}
TURNS = {"review": "b02", "merge": "b01", "account": "b01"}


@pytest.mark.parametrize("stage", STAGES)
@often(8)
@given(data=st.data())
def test_stages_write_all_or_nothing(folder, stage, data):
    root = folder / "campaign"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(whole().root, root)
    shutil.rmtree(root / "reviews")
    file = root / data.draw(st.sampled_from(STAGES[stage]))
    if file.suffix == ".json" and data.draw(st.booleans()):
        file.write_text(as_text(data.draw(altered(json.loads(file.read_text())))))
    else:
        file.write_bytes(data.draw(damaged(file.read_bytes())))
    before, here = contents(root), Path.cwd()
    os.chdir(root)
    try:
        act = run(stage, *([TURNS[stage]] if stage in TURNS else []))
        refused = read_or_refuse(partial(_outcome, act), CampaignPaths()) is None
    finally:
        os.chdir(here)
    if refused:
        assert contents(root) == before


def _outcome(act, paths):
    act(paths)
    return True
