import pytest

from builders_database import require_mongod, wait_until
from builders_sessions import campaign, images
from builders_terminals import nothing_runs


@pytest.fixture(scope="session")
def mongod():
    return require_mongod()


@pytest.fixture
def make_campaign(tmp_path, mongod):
    """Makes campaigns of one batch; no process of them may outlive the test."""
    made = []

    def make(name="my campaign", count=4, **options):
        paths = campaign(tmp_path / name, {"b00": images(count)}, **options)
        made.append(paths.root)
        return paths

    yield make
    for folder in made:
        wait_until(lambda folder=folder: nothing_runs(folder))
