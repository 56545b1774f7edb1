import pytest

from boxloop.review.fiftyone.mongodb.session import URI_VARIABLE
from builders_database import nothing_left, require_mongod, wait_until


@pytest.fixture(scope="session")
def mongod():
    return require_mongod()


@pytest.fixture
def folder(tmp_path, mongod, monkeypatch):
    """The ``.boxloop`` of a campaign, which no process may outlive the test in."""
    monkeypatch.delenv(URI_VARIABLE, raising=False)
    path = tmp_path / "campaign" / ".boxloop"
    yield path
    wait_until(lambda: nothing_left(path))
