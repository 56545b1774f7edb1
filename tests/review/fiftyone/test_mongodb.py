"""Sessions of a campaign and their mongod: started, shared, killed, taken up again.

Everything runs for real: sessions, keepers and mongods are processes, and are killed as such.
"""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote

import psutil
import pymongo
import pytest

from boxloop.errors import DatabaseError, UserError
from boxloop.review.fiftyone.database_socket import make_socket_folder
from boxloop.review.fiftyone.mongod_keeper import DatabaseFiles, mongod_environment
from boxloop.review.fiftyone.mongodb import URI_VARIABLE, DatabaseWatch, _serves, open_database
from builders_database import (
    SESSION,
    Session,
    add,
    client,
    kill_all,
    nothing_left,
    processes,
    recorded,
    sessions,
    values,
    wait_until,
)


def test_a_session_has_a_database_and_leaves_none_running(folder):
    with open_database(folder) as uri:
        add(uri, 1)
        assert "journal=true" in uri
        keepers, mongods = processes(folder)
        assert len(keepers) == len(mongods) == 1
        # Ctrl-C in the terminal of the session reaches neither.
        assert os.getsid(keepers[0].pid) == os.getsid(mongods[0].pid) != os.getsid(0)
    wait_until(lambda: nothing_left(folder))
    assert not (folder / "mongod.json").exists()


def socket_of(uri):
    return Path(unquote(uri.partition("://")[2].partition("/")[0]))


def test_only_its_owner_reaches_it(folder):
    with open_database(folder) as uri:
        (mongod,) = processes(folder)[1]
        place = socket_of(uri)
        connections = mongod.net_connections("all")
        assert {c.laddr for c in connections if c.laddr} == {str(place)}  # and no port
        assert stat.S_ISSOCK(place.stat().st_mode)
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    wait_until(lambda: not place.exists())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_of_the_machine_cannot_connect(folder):
    """Even where the folders above let everybody in."""
    nobody = pwd.getpwnam("nobody").pw_uid
    code = (
        "import os, socket, sys; os.setgroups([]); os.setuid(int(sys.argv[2]));"
        "socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    )
    with open_database(folder) as uri:
        place = socket_of(uri)
        for parent in place.parents[1:]:
            parent.chmod(parent.stat().st_mode | 0o011) if parent != Path("/") else None
        for user, said in ((nobody, "PermissionError"), (0, "")):
            done = subprocess.run(
                [sys.executable, "-c", code, place, str(user)], capture_output=True, text=True
            )
            assert done.stderr.rpartition("\n")[0].rpartition("\n")[2].startswith(said)
            assert (done.returncode == 0) == (user == 0)


def test_queries_bring_no_code_along(folder):
    function = {"$function": {"body": "function() { return 1 }", "args": [], "lang": "js"}}
    with open_database(folder) as uri, client(uri) as opened:
        opened.tests.things.insert_one({"value": 1})
        with pytest.raises(pymongo.errors.OperationFailure, match="javascript"):
            list(opened.tests.things.aggregate([{"$project": {"x": function}}]))


@pytest.mark.parametrize("name", ["c" * 120, "a, b", "x/y%2F z ü"])
def test_whatever_the_folder_is_called(tmp_path, mongod, monkeypatch, name):
    """Paths of sockets are short, and mongod takes a comma for the end of one."""
    monkeypatch.delenv(URI_VARIABLE, raising=False)
    folder = tmp_path / name / ".boxloop"
    with open_database(folder) as uri:
        add(uri, 1)
        place = socket_of(uri)
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    wait_until(lambda: nothing_left(folder))
    assert not place.exists()


def test_a_socket_elsewhere_is_cleared_away_after_a_kill(tmp_path, mongod, monkeypatch):
    monkeypatch.delenv(URI_VARIABLE, raising=False)
    folder = tmp_path / ("c" * 120) / ".boxloop"
    with open_database(folder) as uri:
        first = socket_of(uri)
        processes(folder)[0][0].kill()
        wait_until(lambda: nothing_left(folder))
    assert first.parent.exists()
    with open_database(folder) as uri:
        second = socket_of(uri)
        assert second != first
        assert not first.parent.exists()
    wait_until(lambda: nothing_left(folder))
    assert not second.parent.exists()


def test_what_was_stored_is_there_next_time(folder):
    for value in range(3):
        # Without a pause: each but the first comes while the one before is being stopped.
        with open_database(folder) as uri:
            assert values(uri) == list(range(value))
            add(uri, value)


def test_git_does_not_see_it(folder):
    with open_database(folder):
        campaign = folder.parent
        subprocess.run(["git", "init", "-q", campaign], check=True)
        seen = subprocess.run(
            ["git", "-C", campaign, "status", "--porcelain", "-uall"],
            check=True,
            capture_output=True,
            text=True,
        )
        assert seen.stdout == ""


def test_any_folder_will_do(folder):
    deep = folder.parent / "mit Läuzeichen, 空格 'quoted' $HOME" / "/".join(["d" * 60] * 6)
    assert len(str(deep)) > 400
    with open_database(deep) as uri:
        add(uri, 1)
        assert values(uri) == [1]
    wait_until(lambda: nothing_left(deep))


def test_a_relative_folder_is_the_same_one(folder, monkeypatch):
    folder.parent.mkdir()
    monkeypatch.chdir(folder.parent)
    with open_database(folder) as absolute, open_database(Path(".boxloop")) as relative:
        assert absolute == relative


def test_files_of_the_campaign_are_no_modules(folder, monkeypatch):
    folder.parent.mkdir()
    monkeypatch.chdir(folder.parent)
    for name in ("json", "signal", "boxloop"):
        Path(f"{name}.py").write_text("raise SystemExit(9)\n")
    with open_database(folder) as uri:
        add(uri, 1)


def test_sessions_that_start_at_once_share_one(folder):
    with sessions(*[folder] * 4) as started:
        assert len({session.uri for session in started}) == 1
        # A keeper that was not the first is still about to end.
        wait_until(lambda: [len(found) for found in processes(folder)] == [1, 1])
        for session in started[:-1]:
            session.end()
        time.sleep(0.6)
        last = started[-1]
        add(last.uri, 1)
        last.end()
        wait_until(lambda: nothing_left(folder))


def test_sessions_that_come_and_go_never_miss_it(folder):
    code = """
import sys, time, random
from pathlib import Path
import pymongo
from boxloop.review.fiftyone.mongodb import open_database
for turn in range(4):
    with open_database(Path(sys.argv[1])) as uri, pymongo.MongoClient(uri) as client:
        client.tests.things.insert_one({"value": turn})
        time.sleep(random.Random(sys.argv[1] + str(turn)).uniform(0, 0.3))
    time.sleep(random.Random(turn).uniform(0, 0.5))
print("mongodb://done")
"""
    coming = [Session(folder, code) for _ in range(3)]
    assert [session.uri for session in coming] == ["mongodb://done"] * 3
    for session in coming:
        session.end()
    with open_database(folder) as uri:
        assert values(uri) == sorted([*range(4)] * 3)


def test_a_killed_session_leaves_no_process(folder):
    with sessions(folder) as (session,):
        add(session.uri, 1)
        session.kill()
        wait_until(lambda: nothing_left(folder))
    with open_database(folder) as uri:
        assert values(uri) == [1]


def test_a_session_killed_while_it_starts_leaves_no_process(folder):
    for delay in (0.15, 0.25, 0.35, 0.5):
        session = Session(folder)
        time.sleep(delay)
        session.kill()
    wait_until(lambda: nothing_left(folder))


def test_everything_killed_at_once_loses_nothing(folder):
    with sessions(folder) as (session,):
        for value in range(20):
            add(session.uri, value)
        keepers, mongods = processes(folder)
        kill_all(*mongods, *keepers)
        session.kill()
    with open_database(folder) as uri:
        assert values(uri) == list(range(20))


def test_a_killed_keeper_takes_its_mongod_along_and_the_next_session_starts_anew(folder):
    with sessions(folder) as (session,):
        add(session.uri, 1)
        (keeper,), (mongod,) = processes(folder)
        keeper.kill()
        # At once: the old mongod is still about to stop.
        with open_database(folder) as uri:
            assert values(uri) == [1]
            (other,) = processes(folder)[1]
            assert other.pid == recorded(folder)["pid"] != mongod.pid
        session.end()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_killed_keeper_leaves_no_mongod_even_if_no_session_comes(folder):
    with open_database(folder):
        (keeper,) = processes(folder)[0]
        keeper.kill()
        wait_until(lambda: nothing_left(folder))


@pytest.mark.parametrize("long", [False, True])
def test_a_session_starts_a_killed_keeper_again_on_the_same_socket(mongod, monkeypatch, long):
    """Also where the socket lies in the folder for temporary files, as its path is too long."""
    monkeypatch.delenv(URI_VARIABLE, raising=False)
    with tempfile.TemporaryDirectory() as made:
        folder = (
            Path(made) / ("a campaign of a long name " * 5 if long else "campaign") / ".boxloop"
        )
        kill_and_go_on(folder, long)


def kill_and_go_on(folder, long):
    folder.mkdir(parents=True)
    with open_database(folder) as uri, client(uri) as opened:
        watch = DatabaseWatch(folder)
        opened.tests.things.insert_one({"value": 1})
        place = socket_of(uri)
        assert place.is_relative_to(folder) != long
        for _ in range(2):
            keepers, mongods = processes(folder)
            kill_all(*keepers, *mongods)
            wait_until(lambda: nothing_left(folder))

            def is_back():
                watch()
                return recorded(folder).get("pid") in {p.pid for p in processes(folder)[1]}

            wait_until(is_back)
            assert recorded(folder)["socket"] == str(place)
            assert opened.tests.things.find_one()["value"] == 1
    wait_until(lambda: nothing_left(folder))
    assert not place.exists()
    assert not long or not place.parent.exists()


@pytest.mark.parametrize("how", ["open to others", "another's", "a link", "gone", "closed"])
def test_a_socket_is_taken_again_only_where_nobody_else_can_put_one(how):
    with tempfile.TemporaryDirectory() as made:
        place, campaign = Path(made) / "boxloop-db-x", Path(made) / "campaign"
        campaign.mkdir()
        real = Path(made) / "real" if how == "a link" else place
        if how != "gone":
            real.mkdir(mode=0o755 if how == "open to others" else 0o700)
        if how == "a link":
            place.symlink_to(real)
        if how == "another's":
            if os.geteuid() != 0:
                pytest.skip("only root can give a folder away")
            os.chown(place, pwd.getpwnam("nobody").pw_uid, -1)
        found = make_socket_folder(campaign, place / "mongod.sock")
        assert (found.parent == place) == (how == "closed")
        assert stat.S_IMODE(found.parent.stat().st_mode) == 0o700


def test_a_killed_mongod_is_back_on_the_same_socket(folder):
    with open_database(folder) as uri, client(uri) as opened:
        opened.tests.things.insert_one({"value": 1})
        (mongod,) = processes(folder)[1]
        mongod.kill()
        assert opened.tests.things.find_one()["value"] == 1
        # The keeper takes down that it is back at its next look.
        wait_until(lambda: recorded(folder).get("pid") not in (None, mongod.pid))
        with open_database(folder) as again:
            assert again == uri


def test_ctrl_c_ends_the_session_first(folder):
    code = SESSION.replace(
        "print(uri, flush=True)",
        """
        try:
            print(uri, flush=True)
            sys.stdin.read()
        finally:
            import pymongo, time
            time.sleep(0.5)
            with pymongo.MongoClient(uri, serverSelectionTimeoutMS=60_000) as client:
                client.tests.things.insert_one({"value": "saved on the way out"})
""",
    )
    session = Session(folder, code)
    assert session.uri
    os.killpg(session.process.pid, signal.SIGINT)
    session.end()
    assert session.process.returncode == 0
    with open_database(folder) as uri:
        assert values(uri) == ["saved on the way out"]


def test_what_a_session_started_does_not_keep_the_database_alive(folder):
    code = """
import os, subprocess, sys, time
from pathlib import Path
from boxloop.review.fiftyone.mongodb import open_database
with open_database(Path(sys.argv[1])) as uri:
    print(uri, flush=True)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        close_fds=False)
    forked = os.fork()
    if not forked:
        os.close(1)
        time.sleep(600)
        os._exit(0)
    print(other.pid, forked, flush=True)
    sys.stdin.read()
"""
    session = Session(folder, code)
    assert session.uri
    children = [psutil.Process(int(pid)) for pid in session.process.stdout.readline().split()]
    try:
        session.kill()
        wait_until(lambda: nothing_left(folder))
        assert all(child.is_running() for child in children)
    finally:
        kill_all(*children)


def test_a_keeper_that_is_asked_to_end_stops_mongod_in_order(folder):
    with open_database(folder) as uri:
        add(uri, 1)
        (keeper,) = processes(folder)[0]
        keeper.terminate()
        wait_until(lambda: nothing_left(folder))
        # Empty: mongod closed its files, and has nothing to recover.
        assert (folder / "db" / "mongod.lock").read_text() == ""


def test_two_campaigns_never_meet(folder, monkeypatch):
    monkeypatch.setattr("boxloop.review.fiftyone.mongodb._SECONDS_OF_OURS_TO_ANSWER", 60.0)
    other = folder.parents[1] / "other" / ".boxloop"
    with open_database(folder) as here, open_database(other) as there:
        assert here != there
        sockets = recorded(folder)["socket"], recorded(other)["socket"]
        files = DatabaseFiles(folder)
        assert [_serves(Path(place), files) for place in sockets] == [True, False]
        add(here, "here")
        add(there, "there")
        record = (folder / "mongod.json").read_text()
    wait_until(lambda: nothing_left(folder) and nothing_left(other))
    with open_database(folder) as here:
        # A record that names the neighbour's socket.
        (other / "mongod.json").write_text((folder / "mongod.json").read_text() or record)
        with open_database(other) as there:
            assert here != there
            assert values(here) == ["here"]
            assert values(there) == ["there"]
    wait_until(lambda: nothing_left(other))


def test_a_record_that_is_nonsense_is_no_obstacle(folder):
    folder.mkdir(parents=True)
    # The last is of a version that listened on a port.
    nonsense = ("[1]", '{"pid": "x", "socket": null}', '{"pid": 1, "socket": "/x"}')
    for text in (*nonsense, '{"pid": 1, "port": 1}'):
        (folder / "mongod.json").write_text(text)
        with open_database(folder):
            pass
        wait_until(lambda: nothing_left(folder))


def test_a_deleted_folder_is_made_anew(folder):
    with open_database(folder) as uri:
        add(uri, 1)
    wait_until(lambda: nothing_left(folder))
    shutil.rmtree(folder)
    with open_database(folder) as uri:
        assert values(uri) == []


def test_the_log_does_not_grow_on_and_on(folder):
    folder.mkdir(parents=True)
    (folder / "mongod.log").write_bytes(b"{}\n" * 2_000_000)
    with open_database(folder):
        assert (folder / "mongod.log").stat().st_size < 1_000_000
        assert (folder / "mongod.log.1").stat().st_size == 6_000_000


def test_an_error_of_the_session_is_its_own(folder):
    with pytest.raises(FileNotFoundError, match="not ours"), open_database(folder):
        raise FileNotFoundError("not ours")


# --- what cannot be started -----------------------------------------------------------------------


def refusal(folder):
    with pytest.raises(DatabaseError) as caught, open_database(folder):
        pass
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_damaged_data_are_named_with_the_log_and_a_way_out(folder):
    with open_database(folder):
        pass
    wait_until(lambda: nothing_left(folder))
    turtle = folder / "db" / "WiredTiger.turtle"
    turtle.write_bytes(b"damaged")
    said = refusal(folder)
    assert "turtle file read error" in said
    assert str(folder / "mongod.log") in said
    assert f"move {folder / 'db'} away" in said
    # And that way out is one.
    (folder / "db").rename(folder / "away")
    with open_database(folder) as uri:
        add(uri, 1)


def test_data_that_another_mongod_has_open(folder, mongod):
    with open_database(folder):
        pass
    wait_until(lambda: nothing_left(folder))
    other = subprocess.Popen(
        [mongod, "--dbpath", folder / "db", "--port", "0", "--nounixsocket"],
        env=mongod_environment(mongod),
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: (folder / "db" / "mongod.lock").read_text().strip() == str(other.pid))
        assert "Another mongod instance is already running" in refusal(folder)
        assert other.poll() is None, "it was not ours to end"
    finally:
        other.terminate()
        other.wait()


def test_a_log_that_cannot_be_written(folder):
    (folder / "mongod.log").mkdir(parents=True)
    assert "should name a file, not a directory" in refusal(folder)


def test_a_folder_that_cannot_be_made(folder):
    folder.parent.write_text("a file")
    with pytest.raises(UserError) as refused, open_database(folder):
        pass
    assert f"{folder} cannot be written: {folder.parent} is a file, not a folder" in str(
        refused.value
    )
    folder.parent.unlink()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only(folder):
    folder.mkdir(parents=True, mode=0o500)
    assert "Permission denied" in refusal(folder)


# --- a MongoDB of the user's own ------------------------------------------------------------------


def test_the_users_own_is_used_and_nothing_is_started(folder, monkeypatch):
    with open_database(folder.parent / "theirs") as theirs:
        monkeypatch.setenv(URI_VARIABLE, theirs)
        with open_database(folder) as uri:
            assert uri == theirs
        assert not folder.exists()
    wait_until(lambda: nothing_left(folder.parent / "theirs"))


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("mongodb://user:secret@127.0.0.1:1/", "127.0.0.1:1: "),
        ("mongodb://user:secret/x@127.0.0.1:1", "must be escaped"),
        ("mongodb://", "cannot be used"),
    ],
)
def test_the_users_own_does_not_answer(folder, monkeypatch, uri, reason):
    monkeypatch.setenv(URI_VARIABLE, uri)
    monkeypatch.setattr("boxloop.review.fiftyone.mongodb._SECONDS_TO_ANSWER", 0.5)
    said = refusal(folder)
    assert URI_VARIABLE in said
    assert reason in said
    assert "secret" not in said


def test_opening_a_database_loads_nothing_heavy():
    code = (
        "import boxloop.review.fiftyone.mongod_keeper, sys;"
        "import boxloop.review.fiftyone.mongodb; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not set(done.stdout.split()) & {"fiftyone", "torch", "pymongo", "mlflow", "numpy"}
