"""Two commands in one campaign's folder: one waits, or says what is at work. DVC is real."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import psutil
import pytest

from boxloop.campaign import mending
from boxloop.campaign.at_work import (
    changing,
    dvc_at_work,
    only_run,
    require_no_dvc,
    wait_for_dvc,
)
from boxloop.campaign.dvc import bring_into_dvc
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.run import alternate
from boxloop.errors import UserError
from builders_campaign import build_campaign, small_params
from builders_database import wait_until
from builders_hostile import contents
from builders_program import run_program

STAGE = "stages:\n  a:\n    cmd: {python} work.py\n    outs: [a.txt]\n"
WORK = """
import time
from pathlib import Path
Path("begun").touch()
while not Path("end").exists():
    time.sleep(0.02)
Path("a.txt").write_text("a")
"""


@pytest.fixture
def folder(tmp_path):
    """A pipeline of one stage, which works until there is a file ``end``."""
    dvc = [sys.executable, "-m", "dvc", "init", "--no-scm", "-q"]
    subprocess.run(dvc, cwd=tmp_path, check=True)
    (tmp_path / "dvc.yaml").write_text(STAGE.format(python=sys.executable))
    (tmp_path / "work.py").write_text(WORK)
    return tmp_path


@contextmanager
def dvc_runs(folder):
    dvc = [sys.executable, "-m", "dvc", "repro"]
    process = subprocess.Popen(dvc, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 120
        while not (folder / "begun").exists():
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        (folder / "end").touch()
        process.communicate(timeout=120)


def test_a_dvc_that_runs_is_named(folder):
    assert dvc_at_work(folder) is None
    with dvc_runs(folder) as process:
        found = dvc_at_work(folder)
        assert found.startswith(f"DVC (process {process.pid}, '")
        assert found.endswith("repro')")
        with pytest.raises(UserError, match=r"by the old names: let it end, or stop it there by"):
            require_no_dvc(folder, "by the old names")
        with pytest.raises(UserError, match=r"b01 are safe in reviews/, but DVC \(process \d+"):
            bring_into_dvc(folder, "b01")
        assert mending.find(CampaignPaths(folder)) == []
    assert dvc_at_work(folder) is None
    require_no_dvc(folder, "by the old names")


def test_a_run_waits_for_another_dvc_and_goes_on(folder):
    said = []

    def say(text):
        said.append(text)
        (folder / "end").touch()

    with dvc_runs(folder) as process:
        alternate(CampaignPaths(folder), pytest.fail, say)
        assert process.wait(120) == 0
    assert f"process {process.pid}" in said[0]
    assert "waiting until it has ended" in said[0]
    assert said[1:] == ["Every batch is done. Results: data/report/report.html"]
    assert (folder / "a.txt").read_text() == "a"


def test_what_a_stage_itself_calls_is_not_in_its_own_way(folder):
    """A stage that somebody added to dvc.yaml may call what refuses others."""
    code = (
        "from pathlib import Path; from boxloop.campaign.at_work import *;"
        "require_no_dvc(Path.cwd(), ''); wait_for_dvc(Path.cwd(), print); Path('a.txt').touch()"
    )
    (folder / "work.py").write_text(code)
    dvc = [sys.executable, "-m", "dvc", "repro"]
    done = subprocess.run(dvc, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "waiting" not in done.stdout


def test_only_one_run_at_a_time(folder):
    paths = CampaignPaths(folder)
    (folder / "end").touch()
    with only_run(paths), pytest.raises(UserError, match="another 'boxloop run' is at work"):
        alternate(paths, pytest.fail, pytest.fail)
    assert not (folder / "a.txt").exists()
    alternate(paths, pytest.fail, lambda _: None)
    assert (folder / "a.txt").exists()


def test_commands_that_change_a_campaign_take_turns(tmp_path):
    paths, order, said = CampaignPaths(tmp_path), [], []
    entered, waited = threading.Event(), threading.Event()

    def first():
        with changing(paths, pytest.fail):
            entered.set()
            waited.wait(100)  # longer than what nobody notices
            order.append("first")

    def say(text):
        said.append(text)
        waited.set()

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(100)
    with changing(paths, say):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert said == ["another command changes this campaign: waiting until it has ended ..."]


CHANGES = [
    ("classes", "rename", "cat", "lion"),
    ("classes", "merge", "cat", "dog"),
    ("classes", "add", "cow"),
    ("import-proposals", "b01", "given.json"),
    ("import-labels", "given.json", "--as", "proposed"),
]


def test_nothing_that_stages_go_by_changes_while_they_run(folder, monkeypatch, capsys):
    build_campaign(folder, small_params(2), done=1, through="proposals")
    (folder / "params.yaml").write_text("iterations: {b00: {previous: empty}}\n")
    (folder / "given.json").write_text("{}")
    monkeypatch.chdir(folder)

    def files():
        return {p: data for p, data in contents(folder).items() if p.parts[0] != ".boxloop"}

    with dvc_runs(folder) as process:
        kept = files()
        for command in CHANGES:
            code, said = run_program(monkeypatch, capsys, *command)
            assert (code, files()) == (2, kept), command
            assert said.startswith(f"boxloop: DVC (process {process.pid}, ")
            assert said.count("\n") == 1
    for command in CHANGES:
        assert "is at work" not in run_program(monkeypatch, capsys, *command)[1]


def test_two_that_add_a_class_at_once_both_have_it(tmp_path):
    """Each reads params.yaml and writes it anew: one after the other."""
    images = tmp_path / "images"
    build_campaign(tmp_path / "from", small_params(2))
    (tmp_path / "from" / "data" / "images").rename(images)
    root = tmp_path / "campaign"
    root.mkdir()
    (root / "params.yaml").write_text(
        f"dataset: {{format: folder, path: {images}, classes: [cat]}}\n"
        "review: {annotator: fiftyone}\niterations: {b00: {previous: empty}}\n"
    )
    boxloop = [sys.executable, "-m", "boxloop"]
    subprocess.run([*boxloop, "dataset"], cwd=root, check=True, capture_output=True)
    names = ["one", "two", "three"]
    added = [
        subprocess.Popen(
            [*boxloop, "classes", "add", name], cwd=root, stdout=subprocess.PIPE, text=True
        )
        for name in names
    ]
    said = [process.communicate(timeout=240)[0] for process in added]
    assert [process.returncode for process in added] == [0, 0, 0], said
    rows = subprocess.run([*boxloop, "classes"], cwd=root, capture_output=True, text=True).stdout
    assert {row.split()[0] for row in rows.splitlines()[1:]} == {"cat", *names}


LOOKING = """
import os, psutil, signal, time
from pathlib import Path
from boxloop.campaign.at_work import dvc_at_work
parent = psutil.Process.parent
def found_and_gone(process):
    found = parent(process)
    if process.pid == os.getpid():
        os.kill(found.pid, signal.SIGKILL)
        while found.is_running():
            time.sleep(0.01)
    return found
psutil.Process.parent = found_and_gone
try:
    said = dvc_at_work(Path.cwd())
finally:
    Path("part").write_text(repr(said))
    Path("part").rename("said")
"""


def test_a_shell_that_ends_meanwhile_is_no_error(tmp_path):
    """That which this command was started from: whether a DVC runs above it is looked up."""
    (tmp_path / "looking.py").write_text(f"said = 'failed'\n{LOOKING}")
    command = ["sh", "-c", f"'{sys.executable}' looking.py; true"]
    assert subprocess.run(command, cwd=tmp_path).returncode == -9
    wait_until((tmp_path / "said").exists)
    assert (tmp_path / "said").read_text() == "None"


def rwlock(folder, pid, command="dvc repro"):
    path = folder / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {"pid": pid, "cmd": command}
    path.write_text(json.dumps({"write": {str(folder / "a.txt"): entry}, "read": {}}))
    return path


def test_a_number_that_another_process_has_since_is_no_dvc(folder):
    """After a loss of power; DVC itself would refuse to run, and name that process."""
    (folder / "end").touch()
    with subprocess.Popen(["sleep", "600"]) as other:
        try:
            path = rwlock(folder, other.pid)
            assert dvc_at_work(folder) is not None  # it may be one that was started by a program
            long_ago = time.time() - 86400
            os.utime(path, (long_ago, long_ago))
            assert dvc_at_work(folder) is None
            [damage] = mending.find(CampaignPaths(folder))
            assert "names a process that has ended" in mending.in_words(damage)
            said = []
            alternate(CampaignPaths(folder), pytest.fail, said.append)
        finally:
            other.kill()
    assert "rwlock names a process that has ended" in said[0]
    assert (folder / "a.txt").exists()


def test_a_dvc_that_was_killed_and_never_collected_is_no_dvc(folder):
    """As in a container whose first process collects nobody; DVC itself would refuse to run."""
    with subprocess.Popen(["sleep", "600"]) as killed:
        killed.kill()
        wait_until(lambda: psutil.Process(killed.pid).status() == psutil.STATUS_ZOMBIE)
        rwlock(folder, killed.pid)
        assert dvc_at_work(folder) is None
        [damage] = mending.find(CampaignPaths(folder))
        assert "names a process that has ended" in mending.in_words(damage)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"write": []}',
        '{"write": {"a": {"pid": "x", "cmd": 1}}}',
        '{"read": {"a": [{"pid": 1e999, "cmd": ""}]}}',
        '{"read": {"a": [{"pid": -1, "cmd": ""}]}}',
        '{"read": {"a": [{"pid": 99999999999999999999, "cmd": ""}]}}',
    ],
)
def test_another_content_of_dvc_s_list_is_nobody_at_work(folder, content):
    rwlock(folder, 1).write_text(content)
    assert dvc_at_work(folder) is None
    wait_for_dvc(folder, pytest.fail)


def put_in_the_way(place, what):
    place.symlink_to("nowhere") if what == "link" else place.write_text("")


WAYS = {
    "file": ".boxloop is a file, not a folder: move it away, or use another place",
    "link": ".boxloop is a link to no folder: remove it, or make what it names",
}


@pytest.mark.parametrize("what", WAYS)
@pytest.mark.parametrize("command", ["run", "review b01", "classes rename cat lion"])
def test_what_lies_where_the_folder_of_the_locks_belongs_is_named(
    tmp_path, monkeypatch, capsys, what, command
):
    params = small_params(2, review={"annotator": "fiftyone"})
    build_campaign(tmp_path, params, done=1, through="proposals", annotator="fiftyone")
    (tmp_path / "params.yaml").write_text(json.dumps(params.model_dump(mode="json")))
    put_in_the_way(tmp_path / ".boxloop", what)
    monkeypatch.chdir(tmp_path)
    code, said = run_program(monkeypatch, capsys, *command.split())
    assert code == 2
    last = said.splitlines()[-1]
    assert last.startswith("boxloop: .boxloop"), said
    assert last.endswith(f" cannot be written: {WAYS[what]}"), said
