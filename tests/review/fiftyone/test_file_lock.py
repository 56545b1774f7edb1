"""Locks between processes, released by whatever ends their holder."""

import os
import subprocess
import sys

import pytest

from boxloop.review.fiftyone.file_lock import is_locked, lock, open_lock, try_lock

HOLDER = """
import sys
from pathlib import Path
from boxloop.review.fiftyone.file_lock import open_lock, try_lock
with open_lock(Path(sys.argv[1])) as file:
    print(try_lock(file, shared=sys.argv[2] == "shared"), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.lock"


@pytest.fixture
def hold(path):
    """Starts processes that hold the lock, "alone" or "shared"."""
    started = []

    def start(how):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, path, how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "True\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_lock_that_is_held_alone_is_for_nobody_else_until_its_holder_is_killed(path, hold):
    holder = hold("alone")
    assert is_locked(path)
    with open_lock(path) as file:
        assert not try_lock(file)
        assert not try_lock(file, shared=True, seconds=0.1)
    with (
        pytest.raises(TimeoutError, match=r"a\.lock is locked by another process"),
        lock(path, 0.1),
    ):
        pass
    holder.kill()
    holder.wait()
    assert not is_locked(path)
    with lock(path, 0.1):
        assert is_locked(path)
    assert not is_locked(path)


def test_a_lock_that_is_shared_is_for_all_who_share_it(path, hold):
    hold("shared")
    hold("shared")
    assert not is_locked(path)
    with open_lock(path) as file:
        assert try_lock(file, shared=True)
        assert not try_lock(file)


def test_a_forked_child_does_not_hold_its_parent_s_lock(path):
    forked, says_so = os.pipe()
    may_end, ends = os.pipe()
    with lock(path):
        child = os.fork()
        if not child:
            os.close(ends)
            os.write(says_so, b"x")
            os.read(may_end, 1)
            os._exit(0)
        os.read(forked, 1)
    assert not is_locked(path)
    os.close(ends)
    os.waitpid(child, 0)
    for file in (forked, says_so, may_end):
        os.close(file)
