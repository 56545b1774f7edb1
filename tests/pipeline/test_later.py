"""A real detector is asked for a class that came late, once, and only of that class."""

import pytest

from boxloop.campaign import artifacts, later
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Boxes, Corrections, ImageSet, LabeledSet
from boxloop.models import detectors
from boxloop.params import load_params
from boxloop.pipeline.later import propose_for
from builders_detectors import train_params
from builders_sessions import A, B, campaign, images

TODAY = ("cat", "dog", "car")
BATCHES = {"b00": images(2, ()), "b01": images(1, first=2)}


@pytest.fixture
def made(tmp_path, monkeypatch):
    paths = campaign(tmp_path / "c", BATCHES)
    monkeypatch.chdir(paths.root)
    refs = artifacts.read_images(paths.images).images
    artifacts.write_images(paths.images, ImageSet(refs, TODAY))
    offered = artifacts.read_proposals(paths.proposals("b00"))
    final = {image_id: Boxes.build([A, B], ["cat", "car"]) for image_id in offered.boxes}
    paths.reviews.mkdir()
    item = Corrections(
        *(offered, 0.5, "fiftyone", final),
        finished="2024-01-01T00:00:00+00:00",
        classes=TODAY[:2],
    )
    artifacts.write_corrections(paths.reviews / "b00-20240101T000000000000Z-ann.json", item)
    artifacts.write_labeled(paths.labeled("b00"), LabeledSet(TODAY, ("b00",), final))
    return Campaign(CampaignPaths(), load_params(paths.root / "params.yaml"), say=print)


@pytest.mark.slow
def test_it_is_asked_once_and_what_it_finds_of_others_is_left_out(made, monkeypatch, capsys):
    paths, path = made.paths, later.proposals_file(made.paths, "car")
    labeled = artifacts.read_labeled(paths.labeled("b00"))
    refs = artifacts.read_images(paths.images).images[:2]
    train = train_params("ssdlite320_mobilenet_v3_large", steps=1)
    detector, _ = detectors.train(train, labeled, refs)
    assert propose_for(made, "car") is None  # there is no detector yet
    paths.detector("b01").parent.mkdir(parents=True)
    detector.save(paths.detector("b01"), labeled_digest="0" * 64)
    review = made.params.review.model_copy(update={"score_threshold": 0.01})
    params = made.params.model_copy(update={"review": review})
    made = Campaign(paths, params, say=print)
    found = propose_for(made, "car")
    assert (found.batch, found.score_floor) == ("b01", 0.01)
    assert list(found.boxes) == ["img00", "img01"]
    wanted = detector.propose(refs, score_floor=0.01, batch_size=2)["img00"]
    assert 0 < len(found.boxes["img00"]) < len(wanted)
    assert set(found.boxes["img00"].labels.tolist()) == {"car"}
    assert later.read(paths, "car") == found

    def load(*_):
        raise AssertionError("it was asked again")

    with monkeypatch.context() as patch:
        patch.setattr(detectors, "load", load)
        assert propose_for(made, "car") == found
    # What cannot be loaded keeps nobody from reviewing, and old proposals are not shown for it.
    paths.detector("b01").write_bytes(b"damaged")
    assert propose_for(made, "car") is None
    assert not path.exists()
    assert "nothing is proposed of car: " in capsys.readouterr().out
