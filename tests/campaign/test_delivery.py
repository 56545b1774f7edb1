"""What a delivered model is judged by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from boxloop.campaign import artifacts
from boxloop.campaign.delivery import read_labels
from boxloop.core.types import CropUse, LabeledSet
from builders_campaign import CLASSES, build_campaign, small_params, training_log

TIME = "2024-01-01T12:00:00+00:00"


def test_what_was_held_out_says_nothing_of_a_class_that_could_not_be_chosen(
    tmp_path: Path,
) -> None:
    """Of b00's images 'dog' came later, and the detector finds dogs there."""
    params = small_params(2)
    paths = build_campaign(tmp_path, params, annotator="fiftyone")
    truth = artifacts.read_truth(paths.truth)
    assert truth is not None
    cats = {i: b.select(b.labels == "cat") for i, b in truth.items()}
    before = paths.labeled("empty")
    for key in params.iterations:
        ids = artifacts.read_batch(paths.batch(key)).image_ids
        known, incomplete = (cats, dict.fromkeys(ids, ("dog",))) if key == "b00" else (truth, {})
        made = LabeledSet(CLASSES, (key,), {i: known[i] for i in ids}, incomplete)
        artifacts.write_labeled(paths.labeled(key), made, before)
        corrected = artifacts.read_corrections(paths.corrections(key))
        artifacts.write_corrections(paths.corrections(key), replace(corrected, boxes=made.boxes))
        before = paths.labeled(key)
    offered = artifacts.read_proposals(paths.proposals("b01"))
    right = {
        i: replace(truth[i], scores=np.full(len(truth[i]), 0.9))
        for i in artifacts.read_batch(paths.batch("b00")).image_ids
    }
    held = replace(offered, batch="held-out part of b00", boxes=right)
    artifacts.write_training(paths.training("b01"), replace(training_log(1, params), held_out=held))
    first, *_ = read_labels(paths, params).evidence
    assert first.batch == "held-out part of b00"
    assert first.objects == 3
    assert {row.label for row in first.edits} == {"cat"}


def test_a_held_out_image_that_is_labeled_no_more_says_nothing(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    labeled = artifacts.read_labeled(paths.labeled("b01"))
    offered = artifacts.read_proposals(paths.proposals("b01"))
    some = next(iter(offered.boxes.values()))
    held = replace(offered, batch="held-out", boxes={"img00": some, "gone": some})
    artifacts.write_training(paths.training("b01"), replace(training_log(1, params), held_out=held))
    first, *_ = read_labels(paths, params).evidence
    assert (first.images, first.objects) == (1, len(labeled.boxes["img00"]))


def test_a_batch_says_nothing_of_a_class_that_could_not_be_chosen(tmp_path: Path) -> None:
    """'dog' came after b01; the detector, and the labeled crops, find dogs there."""
    params = small_params(2, review={"score_threshold": "fitted"})
    paths = build_campaign(tmp_path, params)
    made = artifacts.read_corrections(paths.corrections("b01"))
    cats = {i: b.select(b.labels == "cat") for i, b in made.boxes.items()}
    offered = artifacts.read_proposals(paths.proposals("b01"))
    dogs = {i: replace(b, labels=np.full(len(b), "dog")) for i, b in offered.boxes.items()}
    crops = CropUse(used=False, expected_saving=0.1, found="b00", other=dogs)
    artifacts.write_proposals(paths.proposals("b01"), replace(offered, crops=crops))
    done = replace(made, boxes=cats, classes=("cat",), annotator="fiftyone", finished=TIME)
    artifacts.write_corrections(paths.corrections("b01"), done)
    merged = LabeledSet(CLASSES, ("b01",), cats, dict.fromkeys(cats, ("dog",)))
    artifacts.write_labeled(paths.labeled("b01"), merged, paths.labeled("b00"))
    (judged,) = artifacts.read_evidence(paths.evidence("b01"))
    artifacts.write_evidence(paths.evidence("b01"), [replace(judged, crops=judged.edits)])

    found = read_labels(paths, params)
    (judged,) = found.evidence
    assert judged.objects == sum(map(len, cats.values())) == 4
    assert {row.label for row in judged.edits} == {"cat"}
    # Of crops that call everything a dog nothing is left but the cats that they miss.
    assert {row.label for row in judged.crops} == {"cat"}
    assert not np.any([row.removed + row.relabeled for row in judged.crops])
    assert found.last is not None
    names = [set(b.labels.tolist()) for b in found.last.proposals.boxes.values()]
    assert set.union(*names) == {"cat"}
