"""Digests tell datasets and parameters apart by what counts, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from boxloop.campaign import artifacts, digests
from boxloop.campaign.digests import campaign_fingerprint, content_digest, settings_digest
from boxloop.core.types import ImageRef, ImageSet
from builders import boxes
from builders_campaign import build_campaign, small_params

IMAGE = ImageRef("a", "a.png", 64, 48, "1" * 64)
IMAGES = ImageSet((IMAGE,), ("cat", "dog"))
TRUTH = {"a": boxes(("cat", 1, 1, 9, 9))}


def test_a_dataset_s_digest_is_that_of_its_files(tmp_path: Path) -> None:
    paths = build_campaign(tmp_path, small_params(1))
    before = digests.dataset_digest(paths)
    images = artifacts.read_images(paths.images)
    repainted = replace(images.images[0], digest="0" * 64)
    artifacts.write_images(paths.images, ImageSet((repainted, *images.images[1:]), images.classes))
    assert digests.dataset_digest(paths) != before


def test_all_that_counts_of_a_dataset_changes_its_digest() -> None:
    found = [
        (IMAGES, TRUTH),
        (replace(IMAGES, images=(replace(IMAGE, id="b"),)), TRUTH),
        (replace(IMAGES, images=(replace(IMAGE, digest="2" * 64),)), TRUTH),
        (replace(IMAGES, classes=("cat", "cow")), TRUTH),
        (IMAGES, {"a": boxes(("dog", 1, 1, 9, 9))}),
        (IMAGES, {"a": boxes(("cat", 1, 1, 9, 8))}),
        (IMAGES, {"b": boxes(("cat", 1, 1, 9, 9))}),
        (IMAGES, {}),
        (IMAGES, None),
    ]
    assert len({content_digest(*dataset) for dataset in found}) == len(found)


def test_where_a_dataset_lies_does_not_count() -> None:
    moved = replace(IMAGES, images=(replace(IMAGE, path="far/a.png"),))
    assert content_digest(moved, TRUTH) == content_digest(IMAGES, TRUTH)


@pytest.mark.parametrize(
    ("batches", "sections", "same"),
    [
        (2, {"train": {"steps": 5, "weights": "none"}}, False),
        (2, {"account": {"seconds_per_box": 9.0}}, False),
        (2, {"report": {"title": "x"}}, True),
        (2, {"track": {"enabled": False}}, True),
        (3, {}, True),
        (2, {"batch": {"size": 3}}, False),
    ],
)
def test_the_fingerprint_counts_what_results_depend_on(batches, sections, same) -> None:
    before = campaign_fingerprint(small_params(2), "x")
    assert (campaign_fingerprint(small_params(batches, **sections), "x") == before) == same
    assert campaign_fingerprint(small_params(2), "y") != before


@pytest.mark.parametrize(
    ("batch", "same"),
    [({}, False), ({"size": 2}, True), ({"count": 2}, True), ({"sizes": (2, 2, 2)}, True)],
)
def test_one_more_turn_counts_where_it_decides_the_batch_sizes(batch, same) -> None:
    two, three = (campaign_fingerprint(small_params(n, batch=batch), "x") for n in (2, 3))
    assert (two == three) == same


@pytest.mark.parametrize(
    ("batches", "sections", "same"),
    [
        (2, {"account": {"seconds_per_box": 9.0}}, False),
        (2, {"track": {"enabled": False}}, False),
        (2, {"report": {"title": "x"}}, True),
        (3, {}, True),
    ],
)
def test_a_turn_s_settings_are_those_that_it_is_accounted_and_tracked_by(
    batches, sections, same
) -> None:
    before = settings_digest(small_params(2))
    assert (settings_digest(small_params(batches, **sections)) == before) == same


def test_each_choice_of_logged_models_is_another_setting() -> None:
    kinds = ("none", "reference", "full")
    found = {settings_digest(small_params(2, track={"models": kind})) for kind in kinds}
    assert len(found) == len(kinds)
