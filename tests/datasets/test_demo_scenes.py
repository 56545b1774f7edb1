import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.datasets import demo_scenes
from boxloop.params import DemoParams


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.37])
@pytest.mark.parametrize("images", [1, 2, 50])
def test_any_share_of_video_gives_the_images_asked_for(images, fraction):
    scenes = list(
        demo_scenes.draw_scenes(DemoParams(images=images, video_fraction=fraction, size=(32, 40)))
    )
    assert len({scene.id for scene in scenes}) == images
    moving = sum(scene.id.startswith("shot") for scene in scenes)
    assert moving == round(images * fraction)


@settings(max_examples=8, deadline=None)
@given(st.integers(32, 200), st.integers(32, 200), st.integers(0, 2**32 - 1))
def test_truth_lies_inside_the_image(height, width, seed):
    params = DemoParams(images=4, size=(height, width), seed=seed)
    for scene in demo_scenes.draw_scenes(params):
        assert scene.pixels.shape == (height, width, 3)
        assert scene.pixels.dtype == np.uint8
        assert len(scene.xyxy) == len(scene.labels)
        assert set(scene.labels) <= set(demo_scenes.CLASSES)
        assert (scene.xyxy[:, :2] >= 0).all()
        assert (scene.xyxy[:, 2:] <= [width, height]).all()
        assert (scene.xyxy[:, 2:] > scene.xyxy[:, :2]).all()


def _alone(label: str, x: float, y: float, radius: float = 20.0) -> demo_scenes._Thing:
    return demo_scenes._Thing(label, (200, 40, 40), radius, x, y, 0.0)


def _compose(*things):
    background = np.zeros((128, 128, 3), np.uint8)
    return demo_scenes._compose("x", np.random.default_rng(0), background, list(things))


@pytest.mark.parametrize("label", demo_scenes.CLASSES)
def test_a_truth_box_fits_its_object_to_the_pixel(label):
    scene = _compose(_alone(label, 60.0, 50.0))
    # The background is black with noise of at most 5; half-covered edge pixels are well above.
    rows, columns = np.nonzero(scene.pixels.max(axis=2) > 60)
    x1, y1, x2, y2 = scene.xyxy[0]
    seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert np.abs(np.array(seen) - (x1, y1, x2, y2)).max() <= 1
    assert scene.labels == (label,)


def test_the_edges_of_a_truth_box_are_exclusive():
    # A box of radius 20 spans -0.9..0.95 of it across and -0.85..0.9 down: whole pixels.
    scene = _compose(_alone("box", 60.0, 60.0))
    assert scene.xyxy.tolist() == [[42, 43, 79, 78]]
    # The darkest side has a value of 120; the smoothed fringe outside stays below 70.
    covered = scene.pixels.max(axis=2) > 90
    assert covered[43:78, 42:79].any(axis=0).all()
    assert covered[43:78, 42:79].any(axis=1).all()
    covered[43:78, 42:79] = False
    assert not covered.any()


def test_a_truth_box_is_of_what_shows():
    whole = _compose(_alone("box", 60.0, 60.0)).xyxy[0]
    covered = _compose(_alone("box", 60.0, 60.0), _alone("ball", 80.0, 60.0)).xyxy[0]
    np.testing.assert_array_equal(covered[:2], whole[:2])
    assert covered[2] < whole[2]
    hidden = _compose(_alone("star", 60.0, 60.0, 12.0), _alone("ball", 62.0, 60.0, 25.0))
    assert hidden.labels == ("ball",)
    cut = _compose(_alone("ball", 0.0, 60.0))
    assert cut.xyxy[0, 0] == 0
    assert cut.xyxy[0, 2] == pytest.approx(20, abs=1)
    assert _compose(_alone("ball", -12.0, 60.0)).labels == ()


def test_neighbours_in_time_look_alike_and_stills_do_not():
    scenes = list(demo_scenes.draw_scenes(DemoParams(images=120)))
    video = [s for s in scenes if s.id.startswith("shot")]
    stills = [s for s in scenes if s.id.startswith("still")]

    def difference(a, b):
        return float(np.abs(a.pixels.astype(int) - b.pixels.astype(int)).mean())

    within = [difference(a, b) for a, b in itertools.pairwise(video) if a.id[:6] == b.id[:6]]
    between = [difference(a, b) for a, b in itertools.pairwise(stills)]
    assert np.median(within) < 0.25 * np.median(between)
    # Each frame is still its own: something moved.
    assert min(within) > 0
    assert len({s.xyxy.tobytes() for s in video}) > 0.9 * len(video)


def test_every_class_is_common_and_scenes_are_as_large_as_promised():
    scenes = list(demo_scenes.draw_scenes(DemoParams()))
    labels = [label for scene in scenes for label in scene.labels]
    assert len(scenes) == 300
    assert min(labels.count(name) for name in demo_scenes.CLASSES) > 0.15 * len(labels)
    assert 2 < len(labels) / len(scenes) < 4
    sides = np.concatenate([s.xyxy[:, 2:] - s.xyxy[:, :2] for s in scenes])
    assert np.mean((sides >= 18) & (sides <= 60)) > 0.95


def test_motion_is_smooth_and_stays_in_the_image():
    thing = demo_scenes._Thing("ball", (1, 2, 3), 10.0, 90.0, 20.0, 0.0, dx=3.0, dy=-2.0)
    path = [thing.at(frame, 100, 60) for frame in range(200)]
    assert all(0 <= p.x <= 100 and 0 <= p.y <= 60 for p in path)
    steps = [math.hypot(b.x - a.x, b.y - a.y) for a, b in itertools.pairwise(path)]
    assert max(steps) <= math.hypot(3, 2) + 1e-9


def test_a_shot_shows_one_place_and_stills_show_all_of_them():
    scenes = list(demo_scenes.draw_scenes(DemoParams(images=80, video_fraction=0.5, size=(64, 64))))
    shots = {}
    for scene in scenes:
        shots.setdefault(scene.id.partition("_")[0], set()).add(scene.place)
    stills = shots.pop("still")
    assert len(stills) == 5
    assert all(len(places) == 1 and places <= stills for places in shots.values())
