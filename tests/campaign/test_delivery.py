"""What a delivered model is judged by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from boxloop.campaign import artifacts
from boxloop.campaign.delivery import read_labels
from boxloop.core.types import LabeledSet
from builders_campaign import CLASSES, build_campaign, small_params, training_log


def test_what_was_held_out_says_nothing_of_a_class_that_could_not_be_chosen(
    tmp_path: Path,
) -> None:
    """Of b00's images 'dog' came later, and the detector finds dogs there."""
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    truth = artifacts.read_truth(paths.truth)
    assert truth is not None
    cats = {i: b.select(b.labels == "cat") for i, b in truth.items()}
    before = paths.labeled("empty")
    for key in params.iterations:
        ids = artifacts.read_batch(paths.batch(key)).image_ids
        known, incomplete = (cats, dict.fromkeys(ids, ("dog",))) if key == "b00" else (truth, {})
        made = LabeledSet(CLASSES, (key,), {i: known[i] for i in ids}, incomplete)
        artifacts.write_labeled(paths.labeled(key), made, before)
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
