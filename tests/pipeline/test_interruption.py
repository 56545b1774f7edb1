"""Campaigns that are really killed, at every stage, and go on to the very same result.

They run on a folder in the VOC layout, so this is also the test of a campaign on somebody's files.
"""

import shutil
import signal

import pytest
from campaigns import TINY, changed, init, interrupt_at, repro, snapshot, write_voc

from boxloop.datasets.demo_scenes import draw_scenes
from boxloop.params import DemoParams

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

# (stage, seconds into it): at most two thirds of what the stage takes, most of it imports.
KILLS = [
    ("dataset", 0.2),
    ("features", 1.5),
    ("order", 0.2),
    ("batch", 0.1),
    ("start", 0.2),
    ("learn@b00", 0.3),
    ("finish@b00", 0.4),
    ("finish@b00", 1.5),
    ("learn@b01", 1.5),
    ("learn@b01", 2.2),
    ("finish@b01", 0.7),
    ("finish@b01", 1.2),
    ("report", 0.3),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_voc(
        tmp_path_factory.mktemp("voc"),
        draw_scenes(DemoParams(images=16, video_fraction=0.5, size=(64, 64), seed=3)),
    )


@pytest.fixture(scope="module")
def start(dataset):
    def make(folder):
        voc = ("dataset.format=voc", f"dataset.path={dataset}", "dataset.split=trainval")
        plain = [o for o in TINY if not o.startswith("dataset.")]
        return init(folder, *plain, *voc, batches=2)

    return make


@pytest.fixture(scope="module")
def halfway(start, tmp_path_factory):
    """A campaign whose first turn is done, to begin from copies of it."""
    folder = start(tmp_path_factory.mktemp("halfway") / "campaign")
    repro(folder, "finish@b00")
    return folder


@pytest.fixture(scope="module")
def undisturbed(halfway, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference") / "campaign"
    shutil.copytree(halfway, folder, symlinks=True)
    repro(folder)
    return snapshot(folder)


def test_killed_at_every_stage(start, undisturbed, tmp_path):
    folder = start(tmp_path / "campaign")
    for stage, after in KILLS:
        assert interrupt_at(folder, stage, after=after), f"{stage} was not hit"
    repro(folder)
    assert changed(folder, undisturbed) == []
    assert "up to date" in repro(folder).stdout


def test_interrupted_from_the_keyboard(halfway, undisturbed, tmp_path):
    folder = tmp_path / "campaign"
    shutil.copytree(halfway, folder, symlinks=True)
    for stage, after in (("learn@b01", 2.2), ("finish@b01", 0.7)):
        assert interrupt_at(folder, stage, how=signal.SIGINT, after=after), f"{stage} was not hit"
    repro(folder)
    assert changed(folder, undisturbed) == []


def test_dvc_killed_alone_leaves_a_stage_running_that_does_no_harm(halfway, undisturbed, tmp_path):
    folder = tmp_path / "campaign"
    shutil.copytree(halfway, folder, symlinks=True)
    assert interrupt_at(folder, "learn@b01", after=2.0, whole_group=False)
    repro(folder)
    assert changed(folder, undisturbed) == []
