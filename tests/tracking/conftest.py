"""A real MLflow store: a sqlite file per test, copied from one that is created once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from boxloop.tracking import store_uri
from boxloop.tracking.mlflow_store import open_store


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose mlflow.db has its tables, and nothing in them."""
    folder = tmp_path_factory.mktemp("store")
    os.environ.pop(store_uri.URI_VARIABLE, None)
    with open_store(folder, "unused", lambda _: None):
        pass
    return folder / "mlflow.db"


@pytest.fixture
def workspace(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(store_uri.URI_VARIABLE, raising=False)
    folder = tmp_path / "campaign"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder
