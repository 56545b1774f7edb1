"""Labels to be checked: first in the order, shown whatever the threshold, and never evidence."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from boxloop import pipeline
from boxloop.campaign import artifacts, existing, kept
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.delivery import read_labels
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import read_results
from boxloop.campaign.status import status_text
from boxloop.campaign.thresholds import in_words, shown_from, with_batch, with_thresholds
from boxloop.core.threshold import LABELS_ALONE
from boxloop.core.types import NOTHING, Batch, Boxes, Corrections, FittedThreshold, Proposals
from boxloop.errors import ArtifactError, ParamsError
from boxloop.models.detectors.empty import EmptyDetector
from boxloop.params import Params, check, load_params
from boxloop.report.tables import metrics
from builders_campaign import CLASSES, build_campaign, small_params

PEOPLE = {"review": {"annotator": "fiftyone", "score_threshold": "fitted"}}
PROPOSED = {"dataset": {"labels": "proposed"}, **PEOPLE}
BOX = (2.0, 2.0, 12.0, 12.0)


@pytest.fixture
def campaign(tmp_path):
    """Six images in three batches of two; the last three have labels."""
    build_campaign(tmp_path, small_params(3, **PEOPLE), done=0)
    paths, said = CampaignPaths(tmp_path), []
    truth = artifacts.read_truth(paths.truth)
    labeled = list(truth)[-3:]
    labels = {i: truth[i] if i in labeled else Boxes.empty() for i in truth}
    artifacts.write_truth(paths.truth, labels)
    return Campaign(paths, small_params(3, **PROPOSED), say=said.append), labeled, said


def learn_nothing(campaign, key):
    """A turn whose detector proposes nothing."""
    paths = campaign.paths
    EmptyDetector(CLASSES).save(paths.detector(key), labeled_digest="")
    return pipeline.propose(campaign, key)


def test_labeled_images_come_first_and_each_batch_holds_its_own(campaign):
    campaign, labeled, said = campaign
    batches, rest = pipeline.batch(campaign)
    order = artifacts.read_order(campaign.paths.order).image_ids
    ids = [i for batch in batches for i in batch.image_ids]
    assert ids == [*labeled, *(i for i in order if i not in labeled)]
    assert rest == 0
    truth = artifacts.read_truth(campaign.paths.truth)
    read = [artifacts.read_batch(campaign.paths.batch(b.id)) for b in batches]
    assert [list(batch.labels) for batch in read] == [labeled[:2], labeled[2:], []]
    assert all(truth[i] == boxes for batch in read for i, boxes in batch.labels.items())
    assert "labels" not in campaign.paths.batch("b02").read_text()
    assert said == [
        "3 images came with labels: they come first, and their boxes are shown as proposals"
    ]


def test_their_boxes_are_the_proposals_and_others_get_the_detectors(campaign):
    campaign, labeled, _ = campaign
    pipeline.batch(campaign)
    truth = artifacts.read_truth(campaign.paths.truth)
    alone = pipeline.propose(campaign, "b00")  # for which no detector is needed
    assert alone.detector == "labels"
    assert {i: b.xyxy.tolist() for i, b in alone.boxes.items()} == {
        i: truth[i].xyxy.tolist() for i in labeled[:2]
    }
    assert {f.found for f in alone.thresholds} == {LABELS_ALONE}
    assert in_words(alone.thresholds[0]) == "the labels that its images have are shown"
    mixed = learn_nothing(campaign, "b01")
    assert mixed.detector == "labels, empty"
    assert [len(boxes) for boxes in mixed.boxes.values()] == [len(truth[labeled[2]]), 0]
    assert learn_nothing(campaign, "b02").detector == "empty"


def test_proposals_are_kept_while_the_labels_stay(campaign):
    campaign, labeled, _ = campaign
    paths = campaign.paths
    pipeline.batch(campaign)
    learn_nothing(campaign, "b01")

    def has(batch):
        return kept.has_proposed(paths.proposals("b01"), paths.detector("b01"), batch, 0.05)

    batch = artifacts.read_batch(paths.batch("b01"))
    assert has(batch)
    assert not has(replace(batch, labels={labeled[2]: Boxes.build([BOX], ["cat"])}))
    assert not has(replace(batch, labels={}))
    assert not has(replace(batch, given="a file"))


@pytest.mark.parametrize("threshold", [1.0, "fitted"])
def test_no_threshold_hides_labels_and_none_shows_what_it_hides(campaign, threshold):
    params = small_params(3, **{**PROPOSED, "review": {**PEOPLE["review"]}})
    review = params.review.model_copy(update={"score_threshold": threshold})
    batch = Batch("b01", ("a", "b"), labels={"a": Boxes.build([BOX], ["cat"])})
    sure = Boxes.build([BOX], ["cat"], [1.0], prefix="p")
    fitted = (FittedThreshold(review.iou_threshold, NOTHING, 0.0, "b00"),)
    others = Proposals("b01", "fcos", "digest", 0.05, {"b": sure})
    offered = replace(existing.add(batch, others), thresholds=fitted)
    shown = {i: b.above(shown_from(review, offered, "")) for i, b in offered.boxes.items()}
    assert {i: len(b) for i, b in shown.items()} == {"a": 1, "b": 0}
    plain = replace(others, thresholds=fitted)
    assert shown_from(review, plain, "") == NOTHING
    words = in_words(fitted[0], offered.detector)
    assert words.startswith("beside the labels that images have, nothing is shown: judged by b00")


def corrected(batch, others, final):
    return Corrections(
        existing.add(batch, others), 0.5, "fiftyone", final, finished="2026-01-01T00:00:00+00:00"
    )


def test_no_threshold_is_fitted_by_labels():
    params = small_params(2, **PROPOSED)
    label = Boxes.build([BOX], ["cat"])
    batch = Batch("b01", ("a", "b"), labels={"a": label})
    rows = {"b": Boxes.build([BOX, (20, 2, 30, 12)], ["cat", "cat"], [0.9, 0.8])}
    others = Proposals("b01", "fcos", "digest", 0.05, rows)
    mixed = corrected(batch, others, {"a": label, "b": label})
    alone = Proposals("b01", "fcos", "digest", 0.05, rows)
    plain = Corrections(alone, 0.5, "fiftyone", {"b": label}, finished="2026-01-01T00:00:00+00:00")
    found = with_batch(params, (), mixed)
    assert found == with_batch(params, (), plain)
    assert (found[0].images, found[0].objects) == (1, 1)
    full = Batch("b01", ("a",), labels={"a": label})
    nothing = Proposals("b01", "empty", "", 0.05, {})
    assert with_batch(params, found, corrected(full, nothing, {"a": label})) == found
    offered = existing.add(full, nothing)
    assert {f.found for f in with_thresholds(params, offered, found).thresholds} == {LABELS_ALONE}


def test_the_paper_counts_the_first_batch_as_drawn_and_its_edits_stand_beside(campaign):
    campaign, labeled, _ = campaign
    paths = campaign.paths
    pipeline.batch(campaign)
    truth = artifacts.read_truth(paths.truth)
    offered = pipeline.propose(campaign, "b00")
    final = dict(offered.boxes)
    # One box of the first image is removed.
    one = final[labeled[0]]
    final[labeled[0]] = one.select(np.arange(1, len(one)))
    final = {i: Boxes(b.xyxy, b.labels, b.ids) for i, b in final.items()}
    made = Corrections(offered, 0.5, "fiftyone", final, finished="2026-01-01T00:00:00+00:00")
    artifacts.write_corrections(paths.corrections("b00"), made)
    pipeline.merge(campaign, "b00")
    pipeline.account(campaign, "b00")
    assert artifacts.read_evidence(paths.evidence("b00")) == ()
    results = read_results(paths, campaign.params)
    assert results.workloads[0].average_precision == {}
    numbers = metrics(results)
    objects = sum(len(truth[i]) for i in labeled[:2]) - 1
    assert numbers["first_batch_objects"] == numbers["objects"] == objects
    assert numbers["wt_reduction"]["0.5"] == 0
    found = numbers["first_batch_as_corrected"]["wt_reduction"]["0.5"]
    assert found == pytest.approx(1 - 0.5 / objects)
    assert "counts as drawn from scratch" in status_text(paths, campaign.params)
    with pytest.raises(ArtifactError):  # no detector was trained, and none is judged
        read_labels(paths, campaign.params)


def test_labels_that_were_imported_count_from_their_turn_on_and_the_newest_does(campaign):
    campaign, labeled, _ = campaign
    paths, params = campaign.paths, campaign.params
    file = paths.root / "params.yaml"
    file.write_text(
        "dataset: {labels: proposed}\nreview: {annotator: fiftyone}\n"
        "iterations: {b00: {previous: empty}, b01: {previous: b00}, b02: {previous: b01}}\n"
    )
    new = {labeled[2]: Boxes.build([BOX], ["dog"]), "img00": Boxes.build([BOX], ["cat"])}
    path = existing.keep(paths, params, file, "b01", new)
    name = path.stem.removeprefix("labels-")
    assert f"labels: [{name}]" in file.read_text()
    turn = params.iterations["b01"].model_copy(update={"labels": (name,)})
    params = params.model_copy(update={"iterations": {**params.iterations, "b01": turn}})
    campaign = replace(campaign, params=params)
    batches, _ = pipeline.batch(campaign)
    by_key = {b.id: b for b in batches}
    truth = artifacts.read_truth(paths.truth)
    assert by_key["b00"].labels == {i: truth[i] for i in labeled[:2]}
    assert by_key["b01"].labels == {i: b for i, b in new.items() if i in by_key["b01"].image_ids}
    assert sum(len(batch.labels) for batch in batches) == 4
    path.write_text(path.read_text().replace("dog", "cat"))
    with pytest.raises(ArtifactError, match=r"is not the file that params.yaml lists: bring it"):
        pipeline.batch(campaign)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"does not exist, but params.yaml lists it"):
        pipeline.batch(campaign)


@pytest.mark.parametrize("name", ["1234567890123456", "123e456789012345", "0123456712345670"])
def test_a_digest_that_looks_like_a_number_is_listed(tmp_path, monkeypatch, name):
    file = tmp_path / "params.yaml"
    file.write_text("iterations: {b00: {previous: empty, labels: ['12345678901234e5']}}\n")
    monkeypatch.setattr(existing, "digest", lambda content: name * 4)
    labels = {"a": Boxes.build([BOX], ["cat"])}
    path = existing.keep(CampaignPaths(tmp_path), load_params(file), file, "b00", labels)
    assert path.name == f"labels-{name}.json"
    assert load_params(file).iterations["b00"].labels == ("12345678901234e5", name)


def test_labels_that_cannot_be_listed_leave_no_file(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("iterations: {b00: {previous: empty}}\n")
    params = load_params(file)
    file.write_text("iterations: {b00: {previous: b07}}\n")
    labels = {"a": Boxes.build([BOX], ["cat"])}
    with pytest.raises(ParamsError, match="b07"):
        existing.keep(CampaignPaths(tmp_path), params, file, "b00", labels)
    assert not list((tmp_path / "proposals").iterdir())


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (
            PEOPLE,
            "2 of 3 images have labels (3 boxes), which are ignored: 'dataset.labels: trusted'",
        ),
        (PROPOSED, None),
        ({}, None),
    ],
)
def test_labels_that_are_ignored_are_said_to_be(tmp_path, monkeypatch, sections, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    for number, rows in enumerate(("0 .5 .5 .2 .2\n" * 2, "0 .5 .5 .2 .2\n", "")):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(f"set/{number}.png")
        (tmp_path / f"set/{number}.txt").write_text(rows)
    (tmp_path / "set/classes.txt").write_text("cat\n")
    dataset = {"format": "yolo", "path": "set", **sections.get("dataset", {})}
    lines = []
    campaign = Campaign(
        CampaignPaths(tmp_path),
        small_params(1, **{**sections, "dataset": dataset}),
        say=lines.append,
    )
    pipeline.dataset(campaign)
    about = [line for line in lines if "have labels" in line]
    assert [line.startswith(said or "") for line in about] == [True] * (said is not None)


def test_a_simulated_annotator_has_nothing_to_check():
    with pytest.raises(ParamsError, match=r"dataset.labels: proposed is for people's campaigns"):
        check(Params, {"dataset": {"labels": "proposed"}}, "params.yaml")
