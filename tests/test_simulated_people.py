"""Simulated people: without habits they return the truth, and each fault is what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from simulated_people import SimulatedPerson

from boxloop.campaign import submissions
from boxloop.core.types import Boxes, ImageRef
from builders import boxes, proposed
from builders_people import played

IMAGE = ImageRef("i", "i.png", 100, 100, "0" * 64)
TRUTH = boxes(("cat", 10, 10, 30, 30), ("dog", 50, 10, 90, 50), ("dog", 10, 60, 20, 70))
SHOWN = proposed(
    ("dog", 10, 10, 30, 30, 0.9),  # wrong class
    ("dog", 60, 10, 100, 50, 0.8),  # beside its place
    ("cat", 60, 60, 90, 90, 0.7),  # nothing there
)
STEADY = {"overlooks": 0.0, "confuses": 0.0, "spread": 0.0, "unsteady": 0.0}


def person(images: int = 1, **faults: object) -> SimulatedPerson:
    options = {**STEADY, **faults}
    return SimulatedPerson("ada", {"i": TRUTH}, ("cat", "dog"), images, **options)


def rows(made: Boxes) -> set[tuple[str, str, tuple[float, ...]]]:
    places = map(tuple, made.xyxy.tolist())
    return set(zip(made.ids.tolist(), made.labels.tolist(), places, strict=True))


def test_without_faults_and_noise_the_truth_comes_back_by_the_fewest_edits() -> None:
    made, seconds = person().work(IMAGE, SHOWN, helped=True)
    assert rows(made) == {
        ("p0", "cat", (10, 10, 30, 30)),
        ("p1", "dog", (50, 10, 90, 50)),
        ("ada-2", "dog", (10, 60, 20, 70)),
    }
    assert seconds == 3 + 4 + 6 + 2 + 9  # the image, relabeled, moved, removed, added


def test_each_fault_is_what_it_says() -> None:
    made, _ = person(accepts_labels=True).work(IMAGE, SHOWN, helped=True)
    assert ("p0", "dog", (10, 10, 30, 30)) in rows(made)
    made, _ = person(wider=3.0).work(IMAGE, Boxes.empty(), helped=False)
    np.testing.assert_array_equal(made.xyxy, TRUTH.xyxy + np.array([-3, -3, 3, 3]))
    for helped, count in ((True, 2), (False, 3)):
        made, _ = person(misses_below=200.0).work(IMAGE, Boxes.empty(), helped=helped)
        assert len(made) == count
    slow = person(images=3, slows=4.0)
    seconds = [slow.work(IMAGE, SHOWN, helped=True)[1] for _ in range(3)]
    assert seconds == pytest.approx([24, 48, 96])


def test_boxes_stay_inside_the_image() -> None:
    made, _ = person(wider=60.0).work(IMAGE, Boxes.empty(), helped=False)
    assert made.xyxy.min() >= 0
    assert made.xyxy.max() <= 100


def test_the_same_seed_gives_the_same_campaign_and_another_one_does_not() -> None:
    people = {"ada": {}, "bob": {"wider": 2.0}}
    one, same, other = (played(people, batches=(4, 12), seed=seed)[2] for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_what_they_submit_is_as_peoples(tmp_path: Path) -> None:
    images, _, submitted = played(
        {"ada": {}, "bob": {"overlooks": 0.5}}, batches=(6, 30, 30), plant_fraction=0.3
    )
    for item in submitted:
        submissions.append(tmp_path, item)
    assert submissions.read(tmp_path) == submitted
    assert {item.annotator for item in submitted} == {"fiftyone"}
    assert {item.reviewer for item in submitted} == {"ada", "bob"}
    assert all(set(item.seconds) == set(item.boxes) for item in submitted)
    latest = submissions.latest(submitted)
    assert set(latest) == {ref.id for ref in images.images}
    # What was missed was reopened; nothing planted is left in the labels.
    assert any(item.missed for item in submitted)
    assert not any(latest[i].part([i]).missed for i in latest)
    blind = {image for item in submitted for image in item.blind}
    assert 8 <= len(blind) <= 16
    assert all(len(latest[i].part([i]).shown()[i]) == 0 for i in blind)


def test_more_images_than_there_are_is_refused() -> None:
    from simulated_campaign import play

    from builders_people import scenes

    with pytest.raises(ValueError, match="7 images are needed, and there are 5"):
        play(*scenes(5), {"ada": {}}, batches=(3, 4))
