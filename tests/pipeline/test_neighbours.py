"""Labels of neighbours, through the stages of a turn."""

from dataclasses import replace

import numpy as np
import pytest

from boxloop import pipeline
from boxloop.campaign import artifacts, thresholds
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.neighbours import merge
from boxloop.core.types import Boxes, FeatureTable, ImageSet, Neighbour
from boxloop.params import Params, chain
from builders_counting import done, install
from builders_detectors import CLASSES, drawn

ON = {"propose": {"neighbours": "fitted"}}
KEYS = ("b00", "b01", "b02")
PLACE = (8, 1, 27, 20)  # at an IoU of 0.46 with what the detector proposes, (1, 1, 20, 20)


def params(**sections):
    content = {
        "order": {"strategy": "temporal"},
        "batch": {"size": 2},
        "train": {"detector": "counting_detector:FACTORY", "steps": 1, "held_out": 0.0},
        "track": {"enabled": False},
        "iterations": chain(3),
        **sections,
    }
    return Params.model_validate(content)


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """Returns a function that runs a campaign; each batch's first image has a double before."""
    monkeypatch.chdir(tmp_path)
    install(tmp_path, monkeypatch)
    refs, _ = drawn(tmp_path / "scenes", 6, (150, 100))
    ids = [ref.id for ref in refs]

    def run(name, *, near=True, **sections):
        paths = CampaignPaths(tmp_path / name)
        if not paths.images.exists():
            artifacts.write_images(paths.images, ImageSet(refs, CLASSES))
            truth = {i: Boxes.build([PLACE], [CLASSES[0]]) for i in ids}
            artifacts.write_truth(paths.truth, truth)
            rows = np.eye(6, dtype=np.float32)
            if near:
                rows[2], rows[4] = rows[0] + 0.01, rows[0] + 0.02
            artifacts.write_features(paths.features, FeatureTable(tuple(ids), rows))
        made = Campaign(paths, params(**sections), say=lambda _: None)
        pipeline.order(made, ids)
        pipeline.batch(made)
        pipeline.start(made)
        for key in KEYS:
            pipeline.learn(made, key)
            pipeline.finish(made, key)
        return made.paths

    return run


def contents(paths):
    files = [p for p in paths.root.rglob("*") if p.suffix in (".json", ".parquet")]
    return {
        str(p.relative_to(paths.root)): p.read_bytes()
        for p in files
        if p.parent.name not in ("training", "tracked")  # seconds, and digests of parameters
    }


def test_near_images_are_mended_and_judged(campaign):
    paths = campaign("near", **ON)
    offered = {key: artifacts.read_proposals(paths.proposals(key)) for key in KEYS}
    assert offered["b00"].neighbours is None
    own = Boxes.build([[1, 1, 20, 20]], [CLASSES[0]], [0.9], prefix="p")
    wanted, _ = merge(own, Boxes.build([PLACE], [CLASSES[0]]))
    for key, first, other in (("b01", "image2", "image3"), ("b02", "image4", "image5")):
        assert offered[key].boxes == {first: wanted, other: own}
        assert list(offered[key].neighbours.images) == [first]
    assert offered["b01"].neighbours.found == "prior"
    assert offered["b02"].neighbours.found == "b01"
    known = artifacts.read_evidence(paths.evidence("b01"))[0]
    kept = {(r.iou_threshold, r.images, r.own.kept, r.merged.kept) for r in known.neighbours}
    assert kept == {(0.5, 1, 0, 1), (0.7, 1, 0, 0)}


def test_a_change_trains_nothing_and_off_again_is_as_before(campaign):
    before = contents(campaign("one"))
    done()
    campaign("one", **ON)
    assert done() == []
    assert contents(campaign("one")) == before
    assert done() == []


def test_where_nothing_is_near_every_file_is_that_of_off(campaign):
    on, off = contents(campaign("on", near=False, **ON)), contents(campaign("off", near=False))
    assert [name for name in on | off if on.get(name) != off.get(name)] == []
    assert len(on) > 15


def test_fitting_anew_gives_what_proposing_gave_and_keeps_labels_that_exist(campaign):
    paths = campaign("mixed", **ON)
    made = Campaign(paths, params(**ON), say=lambda _: None)
    batch = artifacts.read_batch(paths.batch("b01"))
    beside = Boxes.build([(6, 1, 25, 20), (40, 40, 60, 60)], [CLASSES[0]] * 2)
    near = {i: Neighbour("image0", 0.02) for i in batch.image_ids}
    mixed = replace(batch, labels={"image3": beside}, neighbours=near)
    artifacts.write_batch(paths.batch("b01"), mixed)
    offered = pipeline.propose(made, "b01")
    assert list(offered.neighbours.images) == ["image2"]
    shown = offered.boxes["image3"]
    assert (shown.xyxy.tolist(), shown.scores.tolist()) == (beside.xyxy.tolist(), [1, 1])
    text = paths.proposals("b01").read_text()
    assert thresholds.refit(paths, made.params, "b01") == offered
    assert paths.proposals("b01").read_text() == text
