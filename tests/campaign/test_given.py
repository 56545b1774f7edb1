"""Labels that a dataset came with: in no batch, learned from first, counted apart."""

import pytest

from boxloop import pipeline
from boxloop.campaign import artifacts
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import read_results
from boxloop.campaign.status import status_text
from boxloop.core.types import Boxes, Ordering
from boxloop.errors import ParamsError
from boxloop.params import Params, check
from boxloop.report.console import workload_text
from boxloop.report.tables import metrics
from builders_campaign import build_campaign, small_params

TRUSTED = {"dataset": {"labels": "trusted"}, "review": {"annotator": "fiftyone"}}


@pytest.fixture
def campaign(tmp_path):
    """Images in six batches' worth of two; truth.json has boxes of the last two alone."""
    params = small_params(2, batch={"size": 2}, **TRUSTED)
    build_campaign(tmp_path, small_params(3, review={"annotator": "fiftyone"}), done=0)
    paths, said = CampaignPaths(tmp_path), []
    truth = artifacts.read_truth(paths.truth)
    last = list(truth)[-2:]
    kept = {i: boxes if i in last else Boxes.empty() for i, boxes in truth.items()}
    artifacts.write_truth(paths.truth, kept)
    order = artifacts.read_order(paths.order)
    assert isinstance(order, Ordering)
    return Campaign(paths, params, say=said.append), last, said


def test_labeled_images_are_in_no_batch(campaign):
    campaign, last, said = campaign
    batches, rest = pipeline.batch(campaign)
    listed = [i for batch in batches for i in batch.image_ids]
    order = artifacts.read_order(campaign.paths.order).image_ids
    assert listed == [i for i in order if i not in last]
    assert rest == 0
    assert said == ["2 images came with labels: they are in no batch"]


def test_the_first_turn_starts_from_their_labels(campaign):
    campaign, last, _ = campaign
    pipeline.batch(campaign)
    pipeline.start(campaign)
    labeled = artifacts.read_labeled(campaign.paths.labeled("empty"))
    truth = artifacts.read_truth(campaign.paths.truth)
    assert labeled.batches == ("given",)
    assert {i: b.xyxy.tolist() for i, b in labeled.boxes.items()} == {
        i: truth[i].xyxy.tolist() for i in last
    }
    results = read_results(campaign.paths, campaign.params)
    objects = sum(len(truth[i]) for i in last)
    assert results.given == (2, objects)
    assert " 2 more came with labels." in status_text(campaign.paths, campaign.params)


def test_they_are_counted_apart(tmp_path):
    params = small_params(3, review={"annotator": "fiftyone"})
    build_campaign(tmp_path, params, annotator="fiftyone")
    paths = CampaignPaths(tmp_path)
    plain = metrics(read_results(paths, params))
    trusted = small_params(3, **TRUSTED)
    pipeline.start(Campaign(paths, trusted))
    found = read_results(paths, trusted)
    given = metrics(found).pop("given")
    assert given["images"] == found.given[0] > 0
    assert {k: v for k, v in metrics(found).items() if k != "given"} == plain
    assert f"{given['images']} images came with labels ({given['objects']} objects)" in (
        workload_text(found)
    )


def test_ignored_labels_change_nothing(campaign):
    campaign, _, said = campaign
    params = small_params(3, batch={"size": 2}, review={"annotator": "fiftyone"})
    batches, _ = pipeline.batch(Campaign(campaign.paths, params, say=said.append))
    assert sum(len(b.image_ids) for b in batches) == 6
    pipeline.start(Campaign(campaign.paths, params))
    assert len(artifacts.read_labeled(campaign.paths.labeled("empty"))) == 0
    assert not said


def test_a_simulated_annotator_has_nothing_to_trust():
    with pytest.raises(ParamsError, match=r"dataset.labels: trusted is for people's campaigns"):
        check(Params, {"dataset": {"labels": "trusted"}}, "params.yaml")


def test_no_turn_is_called_as_they_are():
    with pytest.raises(ParamsError, match="neither 'empty' nor 'given'"):
        check(Params, {"iterations": {"given": {"previous": "empty"}}}, "params.yaml")
