"""What a kill leaves half-written is found, and moved aside."""

import fcntl
import sqlite3
import subprocess
import sys

import pytest

from boxloop.campaign import mending
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.status import status_text
from boxloop.tracking.mlflow_store import open_store
from builders_campaign import build_campaign, small_params

LOCK = """schema: '2.0'
stages:
  a:
    cmd: echo a > a.txt
    outs:
    - path: a.txt
      hash: md5
      md5: 60b725f10c9c85c70d97880dfe8191b3
      size: 2
  b:
    cmd: echo b > b.txt
    deps:
    - path: a.txt
      hash: md5
      md5: 60b725f10c9c85c70d97880dfe8191b3
      size: 2
    params:
      params.yaml:
        order.seed: 3
        batch:
          sizes:
          - 4
"""


@pytest.fixture
def paths(tmp_path):
    return CampaignPaths(tmp_path)


def test_nothing_is_found_where_nothing_is_damaged(paths, tmp_path):
    assert mending.find(paths) == []
    (tmp_path / "dvc.lock").write_text(LOCK)
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / ".dvc" / "tmp" / "rwlock").write_text("{}")
    assert mending.find(paths) == []
    assert mending.glance(paths) is None
    assert mending.mend(paths, pytest.fail) == 0


def test_any_cut_of_the_lock_that_dvc_cannot_read_is_found(paths, tmp_path):
    """DVC itself says which cuts it can read: of those that end a line, and of every seventh."""
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    subprocess.run(
        [sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True
    )
    repo, path = Repo(tmp_path), tmp_path / "dvc.lock"
    told = 0
    ends = [
        end for end in range(len(LOCK)) if end % 7 == 0 or "\n" in LOCK[max(0, end - 1) : end + 1]
    ]
    for end in ends:
        path.write_text(LOCK[:end])
        found = bool(mending.find(paths))
        try:
            Lockfile(repo, str(path)).load()
        except DvcException:
            assert found, repr(LOCK[:end][-30:])
            told += 1
    assert told > 20


def in_conflict(text, first, last):
    """What a merge leaves where both sides changed these lines."""
    lines = text.splitlines(keepends=True)
    ours = lines[first:last]
    theirs = [line.replace("a", "b") for line in ours]
    marked = ["<<<<<<< HEAD\n", *ours, "=======\n", *theirs, ">>>>>>> theirs\n"]
    return "".join([*lines[:first], *marked, *lines[last:]])


def test_a_conflict_of_a_merge_is_called_so_wherever_it_is(paths, tmp_path):
    path, lines = tmp_path / "dvc.lock", LOCK.splitlines()
    for first in range(0, len(lines), 4):
        path.write_text(in_conflict(LOCK, first, min(first + 2, len(lines))))
        [damage] = mending.find(paths)
        said = f"a merge left a conflict in line {first + 1} (<<<<<<<)"
        assert said in damage.what
        assert said in mending.glance(paths)
    path.write_text(LOCK.replace("  b:\n", "  a:\n"))  # its marks taken out by hand
    assert "has a key twice" in mending.find(paths)[0].what
    path.write_text(in_conflict(LOCK, 3, 5))
    said = []
    assert mending.mend(paths, said.append) == 1
    assert "cut short" not in said[0]
    assert mending.find(paths) == []


def test_a_conflict_in_dvc_yaml_is_told_and_left_to_people(tmp_path):
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    path = tmp_path / "dvc.yaml"
    path.write_text("stages:\n  a:\n    cmd: echo a\n")
    assert mending.conflict(tmp_path) is None
    assert "dvc.yaml" not in status_text(paths, params)
    left = in_conflict(path.read_text(), 2, 3)
    path.write_text(left)
    text = status_text(paths, params)
    assert "- dvc.yaml cannot be read, as a merge left a conflict in line 3 (<<<<<<<): keep" in text
    assert text.endswith("Next: settle the conflict in dvc.yaml, then dvc repro")
    assert mending.mend(paths, pytest.fail) == 0
    assert path.read_text() == left


def test_it_is_moved_aside_and_said(paths, tmp_path):
    (tmp_path / "dvc.lock").write_text("")
    running = tmp_path / ".dvc" / "tmp" / "rwlock"
    running.parent.mkdir(parents=True)
    running.write_text('{"write": {"/data')
    said = []
    assert "cut short by a kill: run 'boxloop mend'" in mending.glance(paths)
    assert mending.mend(paths, said.append) == 2
    assert [line.partition(" was cut short")[0] for line in said] == [
        str(tmp_path / "dvc.lock"),
        str(running),
    ]
    assert "labels and trained detectors are kept" in said[0]
    assert mending.find(paths) == []
    [aside] = tmp_path.glob("dvc.lock.damaged-*")
    assert aside.read_text() == ""


def test_what_dvc_is_writing_just_now_is_left_alone(paths, tmp_path):
    (tmp_path / "dvc.lock").write_text("")
    lock = tmp_path / ".dvc" / "tmp" / "lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert mending.find(paths) == []
        assert mending.glance(paths) is None
    assert len(mending.find(paths)) == 1


@pytest.mark.parametrize("statements", [[], ["create table experiments (id int)"]])
def test_a_database_without_an_experiment_is_made_anew(paths, tmp_path, statements):
    path = tmp_path / "mlflow.db"
    path.touch()
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    assert [damage.path for damage in mending.find(paths)] == [path]
    assert mending.mend(paths, lambda _: None) == 1
    with open_store(tmp_path, "boxloop", lambda _: None):
        pass
    assert mending.find(paths) == []


def test_status_says_what_to_do(tmp_path):
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstag")
    text = status_text(paths, params)
    assert f"- {tmp_path / 'dvc.lock'} was cut short by a kill: 'boxloop mend' moves it" in text
    assert text.endswith("Next: boxloop mend, then dvc repro")


def test_a_database_that_was_killed_within_a_transaction(paths, tmp_path):
    """Its journal says how to take that back, which a reader alone cannot do."""
    path = tmp_path / "mlflow.db"
    code = (
        "import os, signal, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('create table experiments (id int)')\n"
        "c.execute('pragma cache_size = 1')\n"
        "c.execute('begin')\n"
        "c.execute('create table more (a text)')\n"
        "for _ in range(200): c.execute('insert into more values (hex(zeroblob(2000)))')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False)
    assert path.with_name("mlflow.db-journal").stat().st_size > 0
    assert [damage.path for damage in mending.find(paths)] == [path]
    assert mending.mend(paths, lambda _: None) == 1
    left = sorted(p.name for p in tmp_path.glob("mlflow.db*"))
    assert [name for name in left if "damaged" not in name] == ["mlflow.db.lock"]


def test_the_lock_of_the_stage_that_delivers_is_mended_too(paths, tmp_path):
    lock = tmp_path / "deliver" / "dvc.lock"
    lock.parent.mkdir()
    lock.write_text(LOCK)
    assert mending.find(paths) == []
    lock.write_text(LOCK[:-20])
    assert mending.glance(paths) is not None
    said = []
    assert mending.mend(paths, said.append) == 1
    assert "'dvc repro deliver/dvc.yaml' delivers again" in said[0]
    assert not lock.exists()
