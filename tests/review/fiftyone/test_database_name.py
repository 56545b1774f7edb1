"""A campaign's name in a MongoDB."""

import shutil

import pytest

from boxloop.campaign.paths import CampaignPaths
from boxloop.review.fiftyone.database_name import database_name
from boxloop.review.fiftyone.mongodb import URI_VARIABLE


@pytest.fixture
def said(monkeypatch):
    monkeypatch.setenv(URI_VARIABLE, "mongodb://127.0.0.1:9")
    return []


def name_of(folder, said):
    (folder / ".boxloop").mkdir(parents=True, exist_ok=True)
    return database_name(CampaignPaths(folder), said.append)


def test_it_stays_and_outlasts_a_move(tmp_path, said):
    name = name_of(tmp_path / "one", said)
    assert name_of(tmp_path / "one", said) == name
    (tmp_path / "one").rename(tmp_path / "two")
    assert name_of(tmp_path / "two", said) == name
    assert name_of(tmp_path / "other", said) != name
    assert said == []


def test_a_copy_gets_one_of_its_own(tmp_path, said):
    name = name_of(tmp_path / "one", said)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    own = name_of(tmp_path / "two", said)
    assert own != name
    assert len(said) == 1
    assert said[0].startswith(f"This folder is a copy of {tmp_path / 'one'}:")
    assert (name_of(tmp_path / "one", said), name_of(tmp_path / "two", said)) == (name, own)
    assert len(said) == 1


def test_a_copied_database_of_the_campaign_s_own_is_gone_on_with(tmp_path, said, monkeypatch):
    monkeypatch.delenv(URI_VARIABLE)
    name = name_of(tmp_path / "one", said)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert name_of(tmp_path / "two", said) == name
    assert said == []
    # In a database that both can reach they are told apart, also later.
    monkeypatch.setenv(URI_VARIABLE, "mongodb://127.0.0.1:9")
    assert name_of(tmp_path / "two", said) != name


def test_a_name_of_an_older_version(tmp_path, said):
    (tmp_path / ".boxloop").mkdir()
    (tmp_path / ".boxloop" / "id").write_text("boxloop_0123456789ab\n")
    assert name_of(tmp_path, said) == "boxloop_0123456789ab"
    shutil.copytree(tmp_path, tmp_path.with_name("copy"))
    assert name_of(tmp_path.with_name("copy"), said) != "boxloop_0123456789ab"
