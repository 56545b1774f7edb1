"""Addresses of stores, and which campaign is which in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from boxloop.campaign import digests
from boxloop.tracking import store_uri
from builders_campaign import build_campaign, small_params


def test_the_fingerprint_is_the_same_everywhere_and_the_identity_only_in_a_store_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprints, own, shared = set(), set(), set()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        params = small_params(2)
        dataset = digests.dataset_digest(build_campaign(folder, params))
        fingerprint = digests.campaign_fingerprint(params, dataset)
        fingerprints.add(fingerprint)
        monkeypatch.delenv(store_uri.URI_VARIABLE, raising=False)
        own.add(store_uri.campaign_identity(fingerprint, folder))
        monkeypatch.setenv(store_uri.URI_VARIABLE, "http://127.0.0.1:9")
        shared.add(store_uri.campaign_identity(fingerprint, folder))
    assert len(fingerprints) == len(own) == 1
    assert len(shared) == 2


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://ada:secret@host:5000/x", "http://host:5000/x"),
        ("postgresql://u:p@ss@db/x", "postgresql://db/x"),
        ("sqlite:////a/mlflow.db", "sqlite:////a/mlflow.db"),
        ("https://host", "https://host"),
    ],
)
def test_addresses_are_shown_without_passwords(uri: str, shown: str) -> None:
    assert store_uri.shown_uri(uri) == shown


@pytest.mark.parametrize("name", ["what?", "a%20b", "50%"])
def test_a_folder_s_name_cannot_lead_the_store_elsewhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow would take what follows a ? for options, and a % for a coded character."""
    monkeypatch.delenv(store_uri.URI_VARIABLE, raising=False)
    workspace = tmp_path / name
    experiment = workspace / ".dvc" / "tmp" / "exps" / "x"
    experiment.mkdir(parents=True)
    for folder in (workspace, experiment):
        monkeypatch.chdir(folder)
        path = store_uri.store_uri(workspace).removeprefix("sqlite:///")
        assert not set(path) & set("?%")
        assert Path(path).absolute().parent.resolve() == workspace.resolve()
