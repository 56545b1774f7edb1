import numpy as np
import pytest

from boxloop import datasets
from boxloop.datasets.demo_scenes import draw_scenes
from boxloop.datasets.images import read_image
from boxloop.errors import DatasetError
from boxloop.params import DatasetParams, DemoParams


def _params(**demo_params: object) -> DatasetParams:
    return DatasetParams(demo=DemoParams(**demo_params))


def _digests(found):
    return [ref.digest for ref in found.images.images]


def test_one_seed_gives_one_set_of_bytes(tmp_path):
    first = datasets.load(_params(images=24), tmp_path / "a")
    again = datasets.load(_params(images=24), tmp_path / "b")
    other = datasets.load(_params(images=24, seed=1), tmp_path / "c")
    assert _digests(first) == _digests(again)
    assert first.truth == again.truth
    assert not set(_digests(first)) & set(_digests(other))
    assert len(set(_digests(first))) == 24


def test_files_ids_and_classes(tmp_path):
    found = datasets.load(_params(images=9, video_fraction=0.5), tmp_path / "drawn")
    names = [ref.id for ref in found.images.images]
    assert names == [f"shot00_frame{i:03d}" for i in range(4)] + [
        f"still_{i:04d}" for i in range(5)
    ]
    assert found.images.classes == ("cup", "ball", "box", "star")
    assert found.faults == ()
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == [f"{n}.png" for n in names]
    for ref in found.images.images:
        assert ref.path == (tmp_path / "drawn" / f"{ref.id}.png").as_posix()


def test_the_files_hold_what_was_drawn(tmp_path):
    found = datasets.load(_params(images=6, size=(96, 160)), tmp_path)
    for ref, scene in zip(
        found.images.images, draw_scenes(_params(images=6, size=(96, 160)).demo), strict=True
    ):
        assert (ref.width, ref.height) == (160, 96)
        pixels = read_image(tmp_path / f"{ref.id}.png")
        np.testing.assert_array_equal(pixels, scene.pixels)


def test_a_smaller_set_leaves_no_images_of_a_larger_one(tmp_path):
    datasets.load(_params(images=12), tmp_path)
    datasets.load(_params(images=4), tmp_path)
    assert len(list(tmp_path.glob("s*.png"))) == 4


def test_images_that_are_too_small_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"dataset.demo.size must be at least 32.*\[16, 64\]"):
        datasets.load(_params(size=(16, 64)), tmp_path)


def test_a_class_can_be_chosen(tmp_path):
    params = DatasetParams(classes=("star",), demo=DemoParams(images=20))
    found = datasets.load(params, tmp_path)
    assert found.images.classes == ("star",)
    assert {str(label) for boxes in found.truth.values() for label in boxes.labels} == {"star"}
    with pytest.raises(DatasetError, match="known: cup, ball, box, star"):
        datasets.load(DatasetParams(classes=("dog",)), tmp_path)
