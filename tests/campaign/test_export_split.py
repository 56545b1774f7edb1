"""Exports in two sides, and as a FiftyOne dataset, are read back by boxloop's own readers."""

import json

import numpy as np
import pytest

import builders_datasets
from boxloop.campaign import artifacts
from boxloop.campaign.export import Split, export
from boxloop.core.types import FeatureTable
from boxloop.datasets.coco_json import read_content
from boxloop.datasets.recognition import recognize
from boxloop.errors import DatasetError, ParamsError
from boxloop.review.external.predictions import read_predictions
from builders_campaign import build_campaign, small_params

SPLIT = Split("random", 0.34)


@pytest.fixture
def paths(tmp_path):
    """A campaign whose images are none of a clip, by their features."""
    found = build_campaign(tmp_path / "campaign", small_params())
    ids = tuple(f"img{i:02d}" for i in range(6))
    artifacts.write_features(found.features, FeatureTable(ids, np.eye(6, dtype=np.float32)))
    return found


def expected(paths, image_ids):
    truth = artifacts.read_truth(paths.truth)
    return {i: rows(truth[i].labels, truth[i].xyxy) for i in image_ids}


def rows(labels, xyxy):
    return sorted(zip(labels.tolist(), np.round(xyxy, 6).tolist(), strict=True))


def sides(paths, out, format_):
    """The boxes by image of each side, as the format's reader reads them."""
    found = {}
    for side in ("train", "val"):
        options = {"split": side}
        if format_ == "coco":
            options = {"annotations": f"annotations/instances_{side}.json", "images": "images"}
        read = builders_datasets.load(out, format_, **options)
        found[side] = {i: rows(b.labels, b.xyxy) for i, b in read.truth.items()}
    return found


@pytest.mark.parametrize("format_", ["coco", "voc", "yolo"])
def test_each_side_is_read_back(paths, tmp_path, format_):
    out = tmp_path / "out"
    said = export(paths, small_params(), out, format_=format_, split=SPLIT)
    assert "train 4, val 2" in said
    found = sides(paths, out, format_)
    ids = {image_id for side in found.values() for image_id in side}
    assert len(found["train"]) == 4
    assert len(found["val"]) == 2
    assert {**found["train"], **found["val"]} == expected(paths, ids)
    assert len(ids) == 6


def test_a_fiftyone_dataset(paths, tmp_path):
    out = tmp_path / "out"
    export(paths, small_params(), out, format_="fiftyone", split=SPLIT)
    images = artifacts.read_images(paths.images).images
    for field, threshold in (("labels", None), ("proposals", 0.5)):
        read = read_predictions(out, images, ("cat", "dog"), field_name=field)
        for image in images:
            key = next(k for k in ("b00", "b01", "b02") if image.id in read_batch(paths, k))
            if threshold is None:
                want = [r[:2] for r in expected(paths, [image.id])[image.id]]
            else:
                made = artifacts.read_proposals(paths.proposals(key)).boxes[image.id].above(0.5)
                want = rows(made.labels, made.xyxy)
            got = sorted((b.label, np.round(b.xyxy, 6).tolist()) for b in read.boxes[image.id])
            assert got == want
    samples = json.loads((out / "samples.json").read_text())["samples"]
    assert [s["image_id"] for s in samples] == [image.id for image in images]
    assert sorted(s["tags"][0] for s in samples) == ["train"] * 4 + ["val"] * 2
    assert [s["batch"] for s in samples] == ["b00", "b00", "b01", "b01", "b02", "b02"]
    assert all((out / s["filepath"]).is_file() for s in samples)
    # What the file says of the fields is what the samples have.
    fields = json.loads((out / "metadata.json").read_text())["sample_fields"]
    written = {name for sample in samples for name in sample}
    later = {"_dataset_id", "created_at", "last_modified_at"}  # FiftyOne adds them
    assert {f["db_field"] for f in fields} - later == written


def test_an_own_export_is_called_by_its_name(paths, tmp_path):
    export(paths, small_params(), tmp_path / "out", format_="fiftyone")
    with pytest.raises(DatasetError, match="FiftyOne's own JSON"):
        recognize(tmp_path / "out")
    for name in ("metadata.json", "samples.json"):
        with pytest.raises(DatasetError, match=f"{name} is FiftyOne's own JSON"):
            read_content(tmp_path / "out" / name)


def read_batch(paths, key):
    return artifacts.read_batch(paths.batch(key)).image_ids


def test_proposals_are_not_split(paths, tmp_path):
    with pytest.raises(ParamsError, match="--split is of labels"):
        export(
            paths, small_params(), tmp_path / "out", format_="coco", proposals="b01", split=SPLIT
        )
