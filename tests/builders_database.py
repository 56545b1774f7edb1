"""A real mongod for tests, sessions in processes of their own, and what is left of them."""

import contextlib
import json
import os
import subprocess
import sys
import time

import platformdirs
import psutil
import pymongo

from boxloop.errors import DatabaseError
from boxloop.review.fiftyone.install_mongod import install_mongod
from boxloop.review.fiftyone.mongodb import MONGOD_VARIABLE, find_mongod

SECONDS = 120
"""What may be waited for on a busy machine; on an idle one it takes a few seconds at most."""

SESSION = """
import sys
from pathlib import Path
from boxloop.review.fiftyone.mongodb import open_database
try:
    with open_database(Path(sys.argv[1])) as uri:
        print(uri, flush=True)
        sys.stdin.read()
except KeyboardInterrupt:
    pass
"""


def require_mongod():
    """A mongod that runs; on a machine without one it is set up once, in the user's cache."""
    try:
        return find_mongod()
    except DatabaseError:
        before = os.environ.get("XDG_DATA_HOME")
        os.environ["XDG_DATA_HOME"] = platformdirs.user_cache_dir("boxloop-tests")
        try:
            installed = install_mongod()
        finally:
            if before is None:
                del os.environ["XDG_DATA_HOME"]
            else:
                os.environ["XDG_DATA_HOME"] = before
        os.environ[MONGOD_VARIABLE] = str(installed)
        return installed


class Session:
    """A session in a process of its own, as ``boxloop review`` is one.

    Attributes:
        process: its process, which leads a process group.
        uri: where its database is.
    """

    def __init__(self, folder, code=SESSION):
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._uri = None

    @property
    def uri(self):
        if self._uri is None:
            self._uri = self.process.stdout.readline().strip()
            assert self._uri.startswith("mongodb://"), "the session did not start"
        return self._uri

    def end(self):
        """Lets it end in order."""
        self.process.communicate(timeout=SECONDS)

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=SECONDS)


@contextlib.contextmanager
def sessions(*folders):
    """One session in each folder, all started at once; those still there are killed at the end."""
    started = [Session(folder) for folder in folders]
    try:
        yield started
    finally:
        for session in started:
            session.kill()


@contextlib.contextmanager
def client(uri):
    with pymongo.MongoClient(uri, serverSelectionTimeoutMS=1000 * SECONDS) as opened:
        yield opened


def add(uri, value):
    with client(uri) as opened:
        opened.tests.things.insert_one({"value": value})


def values(uri):
    with client(uri) as opened:
        return sorted(thing["value"] for thing in opened.tests.things.find())


def processes(folder):
    """Keepers and mongods at work in a folder, as (keepers, mongods)."""
    keepers, mongods = [], []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
        except psutil.Error:
            continue
        if "boxloop.review.fiftyone.mongod_keeper" in command and str(folder) in command:
            keepers.append(process)
        elif str(folder / "db") in command:
            mongods.append(process)
    return keepers, mongods


def wait_until(condition, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.02)


def nothing_left(folder):
    return processes(folder) == ([], [])


def kill_all(*listed):
    """kill -9; one may end just before, as what it worked for was killed first."""
    for process in listed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def recorded(folder):
    """The mongod in a folder's record; an empty dict while a keeper starts one."""
    try:
        return json.loads((folder / "mongod.json").read_text())
    except FileNotFoundError:
        return {}
