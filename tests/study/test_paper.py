"""The published numbers: the averages that the paper prints are those of its own rows."""

import csv
from importlib import resources

import pytest

from boxloop.params import Params
from boxloop.study.grid import Approach
from boxloop.study.paper import published


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
    ssd, frcnn = params(), params(train={"detector": "fasterrcnn_resnet50_fpn"})
    random = Approach("random", None)
    assert published("kitti", random, ssd, "wt", 0.5) == 32.21
    assert published("kitti", random, frcnn, "wb", 0.7) == 45.59
    assert published("kitti", random, ssd, "wt", 0.7) is None  # the paper has none
    assert published(None, random, ssd, "wt", 0.5) is None
    simnet = params(features={"weights": "simnet"})
    assert published("indoor", Approach("similar", "any name"), simnet, "wt", 0.5) == 48.32
    assert published("indoor", Approach("temporal", None), ssd, "wb", 0.5) == 17.60
    assert published("voc2007", random, frcnn, "wt", 0.5, "boat") == 23.51
    # Features of random weights are none of the paper's.
    untrained = params(features={"weights": "none"})
    assert published("indoor", Approach("similar", "imagenet"), untrained, "wt", 0.5) is None
