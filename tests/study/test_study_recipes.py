"""The recipes of studies: each is one that boxloop takes."""

from pathlib import Path

import pytest

from boxloop.models import detectors
from boxloop.study.grid import approaches
from boxloop.study.published import published
from boxloop.study.spec import load_spec

RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_a_study(path):
    spec = load_spec(path)
    rows = approaches(spec)
    assert "random" in {a.strategy for a in rows}
    assert len(spec.axes.seeds) >= 3
    for approach in rows:
        for detector in spec.detectors:
            params = spec.params(approach.strategy, approach.features, detector, 0)
            assert params.train.detector in detectors.names()
            if spec.axes.paper and not spec.axes.classes:
                assert published(spec.axes.paper, approach, params, "wt", 0.5) is not None


def test_the_papers_set_ups_are_there():
    names = {path.stem for path in RECIPES}
    assert {"voc2007", "voc2007_classes", "voc2007_on_voc2012", "kitti", "indoor"} <= names
