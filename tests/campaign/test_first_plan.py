"""A plan before a campaign begins."""

import json

import numpy as np
import pytest

from boxloop.campaign.first_plan import per_image, plan_new, require_no_sizes, sizes_of
from boxloop.core.batch_plan import FIRST
from boxloop.core.types import Boxes
from boxloop.errors import UserError
from boxloop.params import Params, chain, check
from builders_datasets import image


def params(batch=None, turns=3, annotator="simulated", **dataset):
    sections = {"batch": batch or {}, "iterations": chain(turns), "dataset": dataset}
    sections["review"] = {"annotator": annotator}
    return check(Params, sections, "params.yaml")


def boxes(count):
    return Boxes.build([[0, 0, 5, 5]] * count, ["a"] * count)


@pytest.mark.parametrize(
    ("batch", "total", "wanted"),
    [
        ({"sizes": [10, 20]}, 30, (10, 20)),
        ({"sizes": [10, 20]}, 47, (10, 20, 17)),
        ({"sizes": [10, 20]}, 10, (10,)),
        ({"sizes": [10, 20]}, 15, (10, 5)),
        ({"size": 20}, 50, (20, 20, 10)),
        ({"count": 4}, 50, (13, 13, 12, 12)),
        ({"count": 4}, 2, (1, 1)),
        ({}, 50, (17, 17, 16)),
    ],
)
def test_sizes_of_today_cover_all_images(batch, total, wanted):
    assert sizes_of(params(batch), total) == wanted


def test_objects_are_counted_over_the_images_that_are_labeled():
    truth = {"a": boxes(4), "b": boxes(2), "c": Boxes.empty()}
    assert per_image(truth, 3, partly=False) == 2
    assert per_image(truth, 3, partly=True) == 3
    assert per_image({}, 3, partly=True) == 0
    assert per_image(None, 3, partly=False) == 0


DEMO = {"format": "demo", "demo": {"images": 60, "size": [32, 32]}}


def test_a_plan_stands_beside_the_sizes_of_today():
    found = plan_new(params({"size": 50}, **DEMO), minutes=2.0, objects=5)
    assert sum(found.sizes) == 60
    assert found.sizes[0] >= FIRST
    assert found.override == f"batch={{sizes: {list(found.sizes)}}}"
    first, planned, today, less, reckoned = found.text.splitlines()
    assert first == "Batches for 60 images, by what corrections cost in stored campaigns:"
    assert planned.startswith("  planned:      ")
    assert today.startswith("  params.yaml:  50, 10: ")
    assert today.split(";")[0].endswith(" 3 min between batches")  # 2, and one to go on
    assert less.startswith("The plan is expected to take ")
    assert reckoned == (
        "Reckoned with 5 objects per image (--objects), 35 s per box (account.seconds_per_box),"
        " and 2 min of waiting before each batch but the first (--wait)."
    )


def test_iterations_that_are_still_to_be_listed_are_told():
    today = plan_new(params({"size": 20}, turns=1, **DEMO)).text.splitlines()[2]
    assert today.startswith("  params.yaml, with 2 more iterations:  3 x 20: ")


def test_objects_come_from_labels_or_are_a_guess(tmp_path):
    from PIL import Image

    assert "objects per image (by its labels)" in plan_new(params(**DEMO)).text
    for k in range(3):
        pixels = np.full((16, 16, 3), 40 * k, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
    bare = plan_new(params(format="folder", path=str(tmp_path), classes=["cup"], turns=1))
    assert bare.sizes == (3,)
    assert "3 objects per image (a guess: give --objects)" in bare.text
    assert "and 3 min of waiting" in bare.text


def labeled_set(folder, labeled, images=60):
    """Write a COCO set in which the first images have a box each."""
    for k in range(images):
        image(folder / "images" / f"{k:03}.png", 16, 16)
    content = {
        "images": [
            {"id": k, "file_name": f"{k:03}.png", "width": 16, "height": 16} for k in range(images)
        ],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [
            {"id": k, "image_id": k, "category_id": 1, "bbox": [1, 1, 8, 8], "area": 64}
            for k in range(labeled)
        ],
    }
    (folder / "labels.json").write_text(json.dumps(content))
    return {"format": "coco", "path": str(folder), "images": "images", "annotations": "labels.json"}


@pytest.mark.parametrize("labels", ["ignored", "trusted"])
def test_images_whose_labels_are_trusted_are_in_no_batch(tmp_path, labels):
    dataset = labeled_set(tmp_path, 35)
    found = plan_new(params(annotator="fiftyone", labels=labels, **dataset))
    trusted = labels == "trusted"
    assert sum(found.sizes) == (25 if trusted else 60)
    assert (", 35 more having labels, " in found.text) == trusted
    assert "1 objects per image (by its labels)" in found.text


def test_where_all_labels_are_trusted_nothing_is_left_to_plan(tmp_path):
    dataset = labeled_set(tmp_path, 3, images=3)
    with pytest.raises(UserError, match="there is no batch to plan"):
        plan_new(params(annotator="fiftyone", labels="trusted", **dataset))


@pytest.mark.parametrize(
    ("batches", "overrides", "named"),
    [
        (4, [], "--batches"),
        (None, ["batch.size=3"], "--set batch.size"),
        (None, ["order.seed=3", "iterations={}"], "--set iterations"),
    ],
)
def test_nobody_names_sizes_and_has_them_planned(batches, overrides, named):
    with pytest.raises(UserError, match=f"itself: leave {named} out"):
        require_no_sizes(batches, overrides)


def test_other_overrides_go_with_a_plan():
    require_no_sizes(None, ["order.seed=3", "batches.x=1"])
