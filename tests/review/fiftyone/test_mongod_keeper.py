"""A mongod whose keeper could not take it along, as on systems without PR_SET_PDEATHSIG."""

import signal
import subprocess
import threading

import psutil
import pytest

from boxloop.review.fiftyone.database_socket import make_socket_folder
from boxloop.review.fiftyone.file_lock import lock
from boxloop.review.fiftyone.mongod_keeper import (
    DatabaseFiles,
    Mongod,
    RunningMongod,
    end_leftover,
)
from boxloop.review.fiftyone.mongodb import open_database
from builders_database import nothing_left, processes, recorded, wait_until


@pytest.fixture
def leftover(folder, mongod, monkeypatch):
    """A mongod without a keeper."""
    monkeypatch.setattr("boxloop.review.fiftyone.mongod_keeper._die_with", lambda keeper: None)
    folder.mkdir(parents=True)
    started = Mongod(mongod, DatabaseFiles(folder), make_socket_folder(folder))
    wait_until(started.listens)
    yield started.process
    started.process.kill()
    started.process.wait()


def test_the_next_session_ends_it_in_order(folder, leftover):
    with open_database(folder):
        assert psutil.Process(leftover.pid).status() == psutil.STATUS_ZOMBIE
        assert [m.pid for m in processes(folder)[1]] != [leftover.pid]
    assert leftover.wait() == 0
    wait_until(lambda: nothing_left(folder))


def test_a_keeper_that_has_just_begun_has_not_removed_its_record_yet(folder, leftover, monkeypatch):
    """A session that finds that record is not led to a mongod that is about to end."""
    monkeypatch.setattr("boxloop.review.fiftyone.mongodb._SECONDS_OF_OURS_TO_ANSWER", 60.0)
    files, read, seen = DatabaseFiles(folder), RunningMongod.read, threading.Event()
    RunningMongod(leftover.pid, str(folder / "socket" / "mongod.sock")).write(files.record)

    def told(path):
        found = read(path)
        seen.set()
        return found

    monkeypatch.setattr(RunningMongod, "read", told)
    found = []

    def join():
        with open_database(folder):
            found.append(recorded(folder).get("pid"))

    leftover.send_signal(signal.SIGSTOP)  # so that it answers when its record is gone
    with lock(files.keeper_lock):
        session = threading.Thread(target=join)
        session.start()
        assert seen.wait(60)
        files.record.unlink()
        leftover.send_signal(signal.SIGCONT)
    session.join(120)
    assert found
    assert found[0] not in (None, leftover.pid)


def test_another_process_that_got_its_number_is_left_alone(folder):
    files = DatabaseFiles(folder)
    files.data.mkdir(parents=True)
    other = subprocess.Popen(["sleep", "600"])
    try:
        (files.data / "mongod.lock").write_text(f"{other.pid}\n")
        end_leftover(files)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("text", ["", "x", "999999999"])
def test_there_is_none(folder, text):
    files = DatabaseFiles(folder)
    files.data.mkdir(parents=True)
    (files.data / "mongod.lock").write_text(text)
    end_leftover(files)
