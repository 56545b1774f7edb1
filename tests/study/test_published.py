"""The published numbers: the averages that the paper prints are those of its own rows."""

import csv
import os
from importlib import resources

import pytest

from boxloop.errors import DatasetError
from boxloop.params import DatasetParams, Params
from boxloop.study.grid import Approach
from boxloop.study.published import SIZES, DatasetSize, check_size, published


def rows():
    text = resources.files("boxloop.study").joinpath("paper.csv").read_text()
    return list(csv.DictReader(text.splitlines()))


@pytest.mark.parametrize("approach", ["shuffle", "dissimilar-simnet"])
@pytest.mark.parametrize("measure", ["wt", "wb"])
def test_table_3_averages_its_own_columns(approach, measure):
    mine = [
        r for r in rows() if (r["table"], r["approach"], r["measure"]) == ("3", approach, measure)
    ]
    values = {r["class"]: float(r["percent"]) for r in mine}
    average = values.pop("average")
    assert len(values) == 20
    assert sum(values.values()) / 20 == pytest.approx(average, abs=0.006)


def test_every_combination_of_tables_1_and_2_once():
    keys = [tuple(r.values())[:-1] for r in rows()]
    assert len(keys) == len(set(keys)) == 2 * 3 * (5 + 5 + 6) + 4 * 21


def params(**sections):
    return Params.model_validate({"train": {"epochs": 1, **sections.pop("train", {})}, **sections})


def test_a_number_is_found_by_what_it_is_of():
    ssd, frcnn = (
        params(train={"detector": name})
        for name in ("ssd300_mobilenet_v2", "fasterrcnn_resnet50_fpn")
    )
    random = Approach("random", None)
    assert published("kitti", random, ssd, "wt", 0.5) == 32.21
    assert published("kitti", random, frcnn, "wb", 0.7) == 45.59
    assert published("kitti", random, ssd, "wt", 0.7) is None  # the paper has none
    assert published(None, random, ssd, "wt", 0.5) is None
    trained = {"detector": "ssd300_mobilenet_v2"}
    simnet = params(features={"weights": "simnet"}, train=trained)
    assert published("indoor", Approach("similar", "any name"), simnet, "wt", 0.5) == 48.32
    assert published("indoor", Approach("temporal", None), ssd, "wb", 0.5) == 17.60
    assert published("voc2007", random, frcnn, "wt", 0.5, "boat") == 23.51
    for weights in ("in1k", "IMAGENET1K_V2", "augreg_in21k_ft_in1k"):
        imagenet = params(features={"weights": weights}, train=trained)
        assert published("indoor", Approach("similar", "any name"), imagenet, "wt", 0.5) == 43.35
    # Features of random weights are none of the paper's.
    untrained = params(features={"weights": "none"}, train=trained)
    assert published("indoor", Approach("similar", "imagenet"), untrained, "wt", 0.5) is None


@pytest.mark.parametrize(
    "detector",
    [
        "fcos_efficientnet_lite0",
        "retinanet_resnet50_fpn_v2",
        "ssdlite320_mobilenet_v3_large",
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        "transformers",
        "my_module:FACTORY",
    ],
)
def test_no_number_of_the_paper_stands_beside_a_detector_that_it_did_not_use(detector):
    mine = params(train={"detector": detector})
    assert published("voc2007", Approach("random", None), mine, "wt", 0.5) is None


def test_the_whole_sets_are_what_the_paper_says():
    assert check_size("voc2007", DatasetSize(9963, 30638, 20)) is None
    assert check_size("kitti", DatasetSize(7481, 40570, 8)) is None
    assert check_size("indoor", DatasetSize(2213, 4595, 7)) is None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        # Without those called difficult, VOC 2007 has 24,640 objects.
        ("voc2007", DatasetSize(9963, 24640, 20)),
        ("kitti", DatasetSize(7481, 51865, 9)),
        ("indoor", DatasetSize(2213, 4595, 6)),
    ],
)
def test_all_images_with_other_objects_are_no_set_of_the_paper(name, found):
    with pytest.raises(DatasetError, match=f"take 'paper: {name}' out"):
        check_size(name, found)


def test_a_part_is_told():
    note = check_size("voc2007", DatasetSize(5011, 15662, 20))
    assert "30,638 objects in 9,963 images, of 20 classes" in note
    assert "15,662 objects in 5,011 images" in note


@pytest.mark.parametrize("name", sorted(SIZES))
def test_the_importers_read_the_whole_sets(name, tmp_path):
    """Where somebody has them: BOXLOOP_VOC2007=/path/to/VOCdevkit/VOC2007 and so on."""
    variable = f"BOXLOOP_{name.upper()}"
    if variable not in os.environ:
        pytest.skip(f"{variable} does not say where the whole {name} is")
    from boxloop import datasets

    kind = "kitti" if name == "kitti" else "voc"
    found = datasets.load(DatasetParams(format=kind, path=os.environ[variable]), tmp_path / "drawn")
    objects = sum(map(len, found.truth.values()))
    assert (
        check_size(name, DatasetSize(len(found.images), objects, len(found.images.classes))) is None
    )
