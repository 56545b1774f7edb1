"""Files that DVC stops at are told before it does."""

import os

import pytest

from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.places import check_places
from boxloop.campaign.run import alternate
from boxloop.datasets.check import check_path
from boxloop.datasets.obstacles import find_obstacle
from boxloop.errors import ParamsError, UserError
from boxloop.params import DatasetParams
from boxloop.terminal import printable
from builders_datasets import image


def latin_1(folder):
    (folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    return r"caf\xe9.jpg has a name that is not UTF-8", "rename it"


def leads_nowhere(folder):
    (folder / "gone.jpg").symlink_to(folder / "nothing")
    return "gone.jpg is a link that leads nowhere", "remove it"


def pipe(folder):
    os.mkfifo(folder / "pipe.jpg")
    return "pipe.jpg is a pipe or a device", "remove it"


@pytest.fixture
def photos(tmp_path):
    for place in ("a.jpg", "deep/er/b.jpg"):
        image(tmp_path / "photos" / place)
    (tmp_path / "photos" / "link.jpg").symlink_to(tmp_path / "photos" / "a.jpg")
    return tmp_path / "photos"


def test_an_ordinary_folder_is_no_obstacle(photos):
    assert find_obstacle(photos) is None


@pytest.mark.parametrize("make", [latin_1, leads_nowhere, pipe])
def test_what_stops_dvc_is_named_with_the_way_out(photos, make):
    fault, way = make(photos / "deep")
    said = printable(find_obstacle(photos))
    assert said.startswith(f"{photos}/deep/{fault}, and DVC, which watches {photos}, stops at it")
    assert said.endswith(way)
    assert said.isprintable()
    params = DatasetParams(format="folder", path=str(photos), classes=("cat",))
    with pytest.raises(ParamsError, match="stops at it"):
        check_places(photos.parent / "campaign", params, ())
    lines = printable(check_path(photos, ())).splitlines()
    assert lines.index(f"First: {said}") < lines.index("Next, with the names of your own classes:")


def test_run_says_it_where_dvc_has_failed(photos, tmp_path, monkeypatch):
    leads_nowhere(photos)
    monkeypatch.setattr("boxloop.campaign.run._repro", lambda folder: 255)
    with pytest.raises(UserError, match="'dvc repro' failed: .*gone.jpg is a link that leads now"):
        alternate(CampaignPaths(tmp_path), print, print, photos)
