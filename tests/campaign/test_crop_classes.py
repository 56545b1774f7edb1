"""Whose classes a batch's proposals have, by a campaign's files and settings."""

from dataclasses import replace

import pytest

from boxloop.campaign import artifacts, crop_classes
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.evidence import sweep
from boxloop.core.types import Corrections, CropUse, LabeledSet
from boxloop.errors import ArtifactError
from boxloop.params import Params, chain
from builders import boxes, proposals, proposed

IOUS = (0.5, 0.7)
PLACE = (10, 10, 40, 40)


def params(**sections):
    return Params.model_validate({"iterations": chain(3), **sections})


def offered(used=False, batch="b01"):
    """Two cats, which the detector calls dogs and crops call what they are."""
    own = {f"img{k}": proposed(("dog", *PLACE, 0.9)) for k in range(2)}
    named = {f"img{k}": proposed(("cat", *PLACE, 0.8)) for k in range(2)}
    shown, other = (named, own) if used else (own, named)
    return replace(proposals(shown, batch), crops=CropUse(used, 0.1, "b00", other))


def corrected(made, checkpoint=None):
    final = {f"img{k}": boxes(("cat", *PLACE)) for k in range(2)}
    made = replace(made, crops=None, checkpoint=checkpoint or made.checkpoint)
    return Corrections(made, 0.5, "simulated", final)


@pytest.mark.parametrize("used", [True, False])
def test_a_batch_is_judged_by_both_kinds_of_classes_whichever_were_shown(used):
    made = offered(used)
    done = corrected(made)
    shown = sweep("b01", made.boxes, done.boxes, IOUS, 0.05)
    found = crop_classes.judge(params(), done, made, shown)
    assert found.ledger(0.5, 0.5).relabeled == 2
    assert replace(found, edits=found.crops).ledger(0.5, 0.5).kept == 2
    assert found.scores == shown.scores


def test_what_people_corrected_is_not_judged_by_other_proposals():
    made = offered(used=True)
    done = corrected(made, checkpoint="1" * 64)
    shown = sweep("b01", made.boxes, done.boxes, IOUS, 0.05)
    assert crop_classes.judge(params(), done, made, shown) is shown
    plain = replace(made, crops=None)
    assert crop_classes.judge(params(), corrected(plain), plain, shown) is shown


@pytest.mark.parametrize(
    ("sections", "wanted"),
    [
        ({}, True),
        ({"propose": {"crops": "off"}}, False),
        ({"review": {"score_threshold": 0.5}}, False),
    ],
)
def test_crops_are_looked_at_where_the_newest_batch_had_wrong_classes(sections, wanted):
    made = offered()
    wrong = sweep("b01", made.boxes, corrected(made).boxes, IOUS, 0.05)
    right = sweep("b02", made.crops.other, corrected(made).boxes, IOUS, 0.05)
    settings = params(**sections)
    assert crop_classes.are_worth_trying(settings, [right, wrong], None) is wanted
    assert not crop_classes.are_worth_trying(settings, [wrong, right], None)
    assert not crop_classes.are_worth_trying(settings, [], None)
    # Before the second batch, what was held out of the first says it by having them.
    held = replace(made, batch="held-out part of b00")
    assert crop_classes.are_worth_trying(settings, [], held) is wanted
    assert not crop_classes.are_worth_trying(settings, [wrong], replace(held, crops=None))


@pytest.mark.parametrize("sections", [{}, {"propose": {"crops": "off"}}])
def test_a_corrected_batch_is_looked_at_where_its_classes_were_wrong(sections):
    settings, made = params(**sections), replace(offered(), crops=None)
    wrong = sweep("b01", made.boxes, corrected(made).boxes, IOUS, 0.05)
    right = sweep("b01", offered(used=True).boxes, corrected(made).boxes, IOUS, 0.05)
    assert crop_classes.are_worth_judging(settings, made, wrong) is (not sections)
    assert not crop_classes.are_worth_judging(settings, made, right)
    assert not crop_classes.are_worth_judging(settings, offered(), wrong)  # it was


@pytest.mark.parametrize("of", ["file", "first"])
def test_what_others_proposed_tells_nothing_of_the_detectors_classes(of):
    """A batch that was imported, or the first one of a foundation model."""
    if of == "file":
        rows = {key: dict(row) for key, row in chain(3).items()}
        rows["b01"]["proposals"] = "given.json"
        settings, theirs, maker = params(iterations=rows), "b01", "file"
    else:
        settings = params(propose={"first": {"model": "folder", "prompts": {"cat": "a cat"}}})
        theirs, maker = "b00", "zero-shot tiny"
    made = offered()
    final = corrected(made).boxes
    own, crops = (sweep(theirs, b, final, IOUS, 0.05) for b in (made.boxes, made.crops.other))
    evidence = [replace(own, crops=crops.edits)]
    assert not crop_classes.are_worth_trying(settings, evidence, None)
    assert not crop_classes.choose(settings, made, evidence, None, None).crops.used
    given = replace(made, crops=None, detector=maker, batch=theirs)
    assert not crop_classes.are_worth_judging(settings, given, own)
    evidence = [replace(evidence[0], batch="b02")]
    assert crop_classes.are_worth_trying(settings, evidence, None)
    assert crop_classes.choose(settings, made, evidence, None, None).crops.used


def test_a_held_out_image_without_labels_is_named():
    held = replace(offered(), batch="held-out part of b00")
    known = LabeledSet(("cat", "dog"), ("b00",), {"img0": boxes()})
    with pytest.raises(ArtifactError, match=r"image img1, which was held out, has none"):
        crop_classes.judge_held_out(params(), held, known)


def test_a_model_is_judged_by_what_its_own_detector_proposed(tmp_path):
    paths = CampaignPaths(tmp_path)
    made, unused, other = offered(used=True), offered(batch="b02"), offered(True, batch="b03")
    batches = [corrected(made), corrected(unused), corrected(other, checkpoint="1" * 64)]
    for item in (made, unused, other):
        artifacts.write_proposals(paths.proposals(item.batch), item)
    # Without evidence none had crops.
    assert crop_classes.both_kinds(paths, batches) == [(item, None) for item in batches]
    judged = [
        crop_classes.judge(params(), corrected(item), item, sweep(item.batch, {}, {}, IOUS, 0.05))
        for item in (made, unused, other)
    ]
    artifacts.write_evidence(paths.evidence("b03"), judged)
    (own, crops), (own_of_unused, crops_of_unused), others = crop_classes.both_kinds(paths, batches)
    assert own.proposals.boxes == made.crops.other
    assert crops.proposals.boxes == made.boxes
    assert own.boxes == crops.boxes == batches[0].boxes
    assert own_of_unused == batches[1]
    assert crops_of_unused.proposals.boxes == unused.crops.other
    assert others == (batches[2], None)


def test_a_model_has_classes_of_crops_where_the_last_batch_was_judged_by_them():
    made = offered()
    final = corrected(made).boxes
    own = sweep("b01", made.boxes, final, IOUS, 0.05)
    right = sweep("b01", made.crops.other, final, IOUS, 0.05)
    both, turned = replace(own, crops=right.edits), replace(right, crops=own.edits)
    assert crop_classes.for_a_model(params(), [both]).used
    assert crop_classes.for_a_model(params(), [own, both]).used
    assert not crop_classes.for_a_model(params(), [both, own]).used
    assert not crop_classes.for_a_model(params(), [turned]).used
    assert not crop_classes.for_a_model(params(), []).used
    fixed = {"review": {"score_threshold": 0.5}}
    assert not crop_classes.for_a_model(params(**fixed), [both]).used


def test_a_model_is_judged_by_what_its_floor_lets_through():
    """Crops are right about boxes of low scores alone, which a higher floor leaves out."""
    final = corrected(offered()).boxes
    wrong, right = (
        {f"img{k}": proposed((name, *PLACE, 0.2)) for k in range(2)} for name in ("dog", "cat")
    )
    own, other = (sweep("b01", shown, final, IOUS, 0.05) for shown in (wrong, right))
    both = replace(own, crops=other.edits)
    assert crop_classes.for_a_model(params(), [both]).used
    strict = params(propose={"score_floor": 0.5})
    assert not crop_classes.for_a_model(strict, [both]).used


def test_files_keep_both_kinds_of_boxes(tmp_path):
    made = offered(used=True)
    artifacts.write_proposals(tmp_path / "b01.json", made)
    assert artifacts.read_proposals(tmp_path / "b01.json") == made
    # The work is counted against what was shown: corrections have no more.
    artifacts.write_corrections(tmp_path / "c.json", replace(corrected(made), proposals=made))
    assert artifacts.read_corrections(tmp_path / "c.json").proposals == replace(made, crops=None)


def test_crops_of_images_that_are_not_of_the_batch_are_refused(tmp_path):
    made = offered()
    strange = {**made.crops.other, "img9": made.crops.other["img0"]}
    path = tmp_path / "b01.json"
    artifacts.write_proposals(path, replace(made, crops=replace(made.crops, other=strange)))
    with pytest.raises(ArtifactError, match="crops were looked at on images that are not of the"):
        artifacts.read_proposals(path)
