"""Labels that a dataset came with: in no batch, learned from first, counted apart."""

import pytest

from boxloop import pipeline
from boxloop.campaign import artifacts
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.delivery import read_labels
from boxloop.campaign.export.content import collect_labels
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import read_results
from boxloop.campaign.status import status_text
from boxloop.core.types import Boxes, Ordering
from boxloop.errors import ParamsError, ProtectedLabelsError
from boxloop.params import Params, check
from boxloop.report.console import workload_text
from boxloop.report.tables import metrics
from builders_campaign import build_campaign, small_params
from builders_reviews import submit

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
    more = small_params(4, review={"annotator": "fiftyone"})
    paths = build_campaign(tmp_path, more, done=3, annotator="fiftyone")
    truth = artifacts.read_truth(paths.truth)
    artifacts.write_truth(paths.truth, {i: truth[i] for i in list(truth)[-2:]})
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


@pytest.mark.parametrize("with_journal", [True, False])
def test_labels_that_people_submitted_are_not_replaced_by_the_dataset_s(tmp_path, with_journal):
    people = small_params(3, review={"annotator": "fiftyone"})
    if with_journal:
        paths = build_campaign(tmp_path, people, done=0, through="proposals")
        submit(tmp_path, "b00", by=5)
    else:
        paths = build_campaign(tmp_path, people, done=1, annotator="fiftyone")
    trusted = Campaign(paths, small_params(2, **TRUSTED))
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for stage in (pipeline.batch, pipeline.start):
        with pytest.raises(
            ProtectedLabelsError, match=r"labeled 2 images \(2 of b00\) whose boxes"
        ):
            stage(trusted)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    # Nobody labeled the others.
    truth = artifacts.read_truth(paths.truth)
    artifacts.write_truth(paths.truth, {i: truth[i] for i in list(truth)[-2:]})
    assert pipeline.batch(trusted)[0][0].image_ids == tuple(truth)[:2]
    pipeline.start(trusted)


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


def test_a_campaign_that_began_with_labels_is_exported_and_delivered(tmp_path):
    """b02's images came with labels; b00 and b01 were labeled."""
    people = {"review": {"annotator": "fiftyone"}}
    build_campaign(tmp_path, small_params(3, **people), annotator="fiftyone")
    paths = CampaignPaths(tmp_path)
    came = artifacts.read_batch(paths.batch("b02")).image_ids
    truth = artifacts.read_truth(paths.truth)
    artifacts.write_truth(paths.truth, {i: truth[i] if i in came else Boxes.empty() for i in truth})
    campaign = Campaign(paths, small_params(2, **TRUSTED))
    for path in (*map(paths.labeled, ("b00", "b01", "b02")), paths.corrections("b02")):
        path.unlink()
    pipeline.start(campaign)
    for key in ("b00", "b01"):
        pipeline.merge(campaign, key)
    content = collect_labels(paths, campaign.params)
    assert len(content.images) == 6
    assert "given: labels that the dataset came with" in content.about
    corrected = paths.corrections("b01")
    assert read_labels(paths, campaign.params).last.batch == "b01"
    # Were b01's proposals imported, no detector would be judged by them.
    name = campaign.params.train.detector
    corrected.write_text(
        corrected.read_text().replace(f'"detector": "{name}"', '"detector": "file"')
    )
    labels = read_labels(paths, campaign.params)
    assert labels.labeled.batches == ("given", "b00", "b01")
    assert set(came) < set(labels.labeled.boxes)
    assert labels.last is None
    assert not [item for item in labels.evidence if item.batch == "b01"]
