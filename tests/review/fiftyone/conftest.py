"""FiftyOne in this process, on a real mongod, served over HTTP as in a session."""

import asyncio
import os
import socket
import sys
import threading

import pytest

from boxloop.review.fiftyone.app_process import app_environment
from boxloop.review.fiftyone.mongodb import URI_VARIABLE, open_database
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


@pytest.fixture(scope="session")
def fiftyone(tmp_path_factory, mongod):
    """The package, imported with a session's settings; its database is of these tests alone."""
    assert "fiftyone" not in sys.modules, "it read its settings already: import it in fixtures only"
    folder = tmp_path_factory.mktemp("annotators") / ".boxloop"
    before = dict(os.environ)
    os.environ.pop(URI_VARIABLE, None)
    try:
        with open_database(folder) as uri:
            # Tests need not outlast a power cut: their writes do not wait for the disk.
            fast = uri.partition("?")[0]
            os.environ.update(app_environment(before, uri=fast, database="boxloop_tests"))
            import fiftyone

            fiftyone.list_datasets()  # the settings are read now, and the database is connected to
            # Sessions that other tests start are to have databases of their own.
            os.environ.clear()
            os.environ.update(before)
            yield fiftyone
        wait_until(lambda: nothing_left(folder))
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def server(fiftyone):
    """Address of the App's server, which runs in a thread of this process."""
    from fiftyone.server.app import app
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    ended = threading.Event()

    async def until_ended():
        while not ended.is_set():
            await asyncio.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = Config()
        config.bind = [f"fd://{os.dup(listening.fileno())}"]
        work = serve(app, config, shutdown_trigger=until_ended)
        thread = threading.Thread(target=asyncio.run, args=(work,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        ended.set()
        thread.join(10)


@pytest.fixture
def datasets(fiftyone):
    """The package, without any dataset before and after a test."""
    fiftyone.delete_datasets("*")
    yield fiftyone
    fiftyone.delete_datasets("*")
