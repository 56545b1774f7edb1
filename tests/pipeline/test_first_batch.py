"""A foundation model proposes for the first batch: once, and under nobody's edits.

The campaign is that of ``builders_campaign``: images of 64x48, classes cat and dog.
"""

import json
import shutil

import pytest

from boxloop import pipeline
from boxloop.campaign import artifacts, first_model
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.delivery import read_labels
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import read_results
from boxloop.campaign.status import status_text
from boxloop.campaign.thresholds import shown_from, with_thresholds
from boxloop.core.evidence import sweep
from boxloop.core.types import Boxes, Proposals
from boxloop.errors import ParamsError, ProtectedLabelsError
from boxloop.params import Params, check
from boxloop.report.console import workload_text
from boxloop.report.tables import flatten, metrics
from builders_campaign import CLASSES, build_campaign, small_params
from builders_reviews import submit
from builders_zero_shot import owlv2, tiny_zero_shot

pytest.importorskip("transformers")

PROMPTS = {"cat": "a cat", "dog": "a dog"}


@pytest.fixture
def model(tmp_path):
    return shutil.copytree(tiny_zero_shot(owlv2), tmp_path / "model")


@pytest.fixture
def begun(tmp_path, model, monkeypatch):
    """The campaign with nothing labeled yet, with other values of ``propose.first``."""
    root = tmp_path / "campaign"
    root.mkdir()
    build_campaign(root, small_params(2), done=0)
    monkeypatch.chdir(root)

    def with_(review=None, **changes):
        first = {"model": str(model), "prompts": PROMPTS, **changes}
        sections = {"propose": {"first": first, "device": "cpu"}, "track": {"enabled": False}}
        params = small_params(2, review={"score_threshold": "fitted", **(review or {})}, **sections)
        return Campaign(CampaignPaths(root), params, say=lambda _: None)

    return with_


def plain(campaign):
    params = campaign.params
    propose = params.propose.model_copy(update={"first": None})
    return Campaign(campaign.paths, params.model_copy(update={"propose": propose}))


def learned(campaign):
    return pipeline.learn(campaign, "b00")[1]


def test_it_proposes_for_the_first_batch_alone(begun):
    campaign = begun()
    pipeline.start(campaign)
    found = learned(campaign)
    assert found.detector == "zero-shot owlv2"
    assert found == artifacts.read_proposals(campaign.paths.proposals("b00"))
    assert sum(map(len, found.boxes.values())) > 0
    assert {row.score for row in found.thresholds} == {0.2}
    assert "b00: shown from a score of 0.2, as is usual for owlv2" in status_text(
        campaign.paths, campaign.params
    )
    pipeline.finish(campaign, "b00")
    results = read_results(campaign.paths, campaign.params)
    assert "Nothing is saved yet: the first batch counts as drawn" in status_text(
        campaign.paths, campaign.params
    )
    ledger = results.workloads[0].ledger(0.5)
    assert results.workloads[0].counted_at(0.5) == 0.2
    objects = results.totals(0.5).objects
    assert metrics(results)["wt_reduction"]["0.5"] == 0  # as drawn
    corrected = metrics(results)["first_batch_as_corrected"]["wt_reduction"]["0.5"]
    cost = 1.5 * (ledger.moved + ledger.relabeled) + 0.5 * ledger.removed + ledger.added
    assert corrected == pytest.approx(1 - cost / objects)
    assert "b00 was corrected from boxes by owlv2, not drawn from" in workload_text(results)
    assert first_model.of_turn(campaign.params, "b01") is None
    rows = flatten(campaign.params.model_dump(mode="json"))
    assert rows["propose.first.prompts"] == "cat: a cat, dog: a dog"


def test_only_another_question_is_asked_again(begun, model):
    pipeline.start(begun())
    before = learned(begun())
    shutil.move(model, model.with_name("gone"))
    assert learned(begun(batch_size=1)) == before  # nothing of it is needed
    higher = learned(begun(score_threshold=0.6))
    assert {row.score for row in higher.thresholds} == {0.6}
    assert {row.found for row in higher.thresholds} == {"as propose.first says for owlv2"}
    assert higher.boxes == before.boxes
    # A number for the detectors' scores says nothing of these.
    fixed = begun(review={"score_threshold": 0.9})
    assert shown_from(fixed.params.review, learned(fixed), "b00") == 0.2
    shutil.move(model.with_name("gone"), model)
    other = learned(begun(prompts={"cat": "a red thing", "dog": None}))
    assert other.checkpoint != before.checkpoint
    assert other.boxes != before.boxes
    none = learned(plain(begun()))
    assert (none.detector, sum(map(len, none.boxes.values()))) == ("empty", 0)


def test_other_classes_are_another_question(begun):
    model = begun().params.propose.first
    origins = {first_model.origin(model, names) for names in (CLASSES, ("cat",), ("dog", "cat"))}
    assert len(origins) == 3
    assert len({origin[:16] for origin in origins}) == 1


def test_nothing_is_put_under_what_people_have_corrected(begun):
    people = {"review": {"annotator": "fiftyone"}}
    campaign = begun(**people)
    pipeline.start(campaign)
    before = learned(campaign)
    submit(campaign.paths.root, "b00", list(before.boxes)[:1])
    path = campaign.paths.proposals("b00")
    kept = path.read_bytes()
    with pytest.raises(ProtectedLabelsError, match="back as it was"):
        learned(begun(prompts={"cat": "a kitten"}, **people))
    with pytest.raises(ProtectedLabelsError, match="back as it was"):
        learned(plain(campaign))
    assert path.read_bytes() == kept
    # The threshold is another matter, and so are proposals that have to be made again.
    assert learned(begun(score_threshold=0.6, **people)).boxes == before.boxes
    path.unlink()
    assert learned(campaign) == before


def test_what_was_drawn_from_scratch_stays_so(begun):
    campaign = plain(begun(review={"annotator": "fiftyone"}))
    pipeline.start(campaign)
    before = learned(campaign)
    submit(campaign.paths.root, "b00", list(before.boxes)[:1])
    with pytest.raises(ProtectedLabelsError, match="take propose.first out of params.yaml"):
        learned(begun(review={"annotator": "fiftyone"}))
    assert learned(campaign) == before


def test_imported_boxes_come_before_it(begun):
    campaign = begun()
    turns = campaign.params.model_dump(mode="json")
    turns["iterations"]["b00"]["proposals"] = "0" * 64
    assert first_model.of_turn(Params.model_validate(turns), "b00") is None


def test_its_scores_say_nothing_of_a_detector(begun):
    """b01 is proposed for by a detector, and all that is known is how the model did on b00."""
    params = begun().params
    right = {"img00": Boxes.build([(1, 1, 9, 9)], ["cat"], [0.9])}
    truth = {"img00": Boxes.build([(1, 1, 9, 9)], ["cat"])}
    known = sweep("b00", right, truth, (0.5, 0.7), 0.05)
    offered = Proposals("b01", "ssd300_mobilenet_v2", "", 0.05, right)
    assert {row.found for row in with_thresholds(params, offered, [known]).thresholds} == {"prior"}
    params = plain(begun()).params
    assert {row.found for row in with_thresholds(params, offered, [known]).thresholds} == {"b00"}


def test_no_delivered_detector_is_judged_by_it(begun):
    root = begun().paths.root
    shutil.rmtree(root)
    root.mkdir()
    paths = build_campaign(root, small_params(2))
    path = paths.corrections("b01")
    assert read_labels(paths, small_params(2)).last.batch == "b01"
    name = small_params(2).train.detector
    text = path.read_text().replace(f'"detector": "{name}"', '"detector": "zero-shot owlv2"')
    path.write_text(text)
    assert read_labels(paths, small_params(2)).last is None


def test_a_campaign_without_it_has_no_trace_of_it():
    sections = Params().model_dump(mode="json")
    assert sections["propose"] == {"score_floor": 0.05, "batch_size": 16, "device": "auto"}
    assert "first" not in json.dumps(sections)


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ({"prompts": {}}, "propose.first.model is missing"),
        ({"model": "m", "prompts": {"cat": " "}}, "that of 'cat' is blank: null leaves a class"),
        ({"model": "m", "promts": {}}, "'propose.first.promts' is not a known key .*'prompts'"),
        ({"model": "m", "score_threshold": 0.01}, "score_floor 0.05 stores nothing that scores"),
        ({"model": "m", "prompts": {"cat": "a\nb"}}, "that of 'cat' holds a line break"),
    ],
)
def test_parameters_that_cannot_be_used(first, said):
    with pytest.raises(ParamsError, match=said):
        check(Params, {"propose": {"first": first}}, "params.yaml")
