"""`boxloop review` in a terminal: from the address to the summary, stopped and killed on the way.

The reviewer talks to the App's server as the App does; the browser has tests of its own.
"""

import fcntl
import os
import pty
import signal
import socket
import subprocess
import termios
import urllib.error
from dataclasses import replace

import pytest
from PIL import Image

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import ImageSet
from boxloop.errors import ReviewPending
from boxloop.files import file_digest
from boxloop.params import load_params
from boxloop.review.collect import collect
from boxloop.review.fiftyone.mongodb import open_database
from boxloop.review.fiftyone.session_registry import open_sessions
from builders_database import SECONDS, client, wait_until
from builders_jobs import free_port
from builders_terminals import environment, kill, nothing_runs, processes, review

STOPPED = (
    "boxloop: stopped; batch b00 is not submitted yet, and what was saved in the App is kept:"
    " 'boxloop review b00' goes on from there\n"
)


def in_the_journal(paths):
    return {i: made for made in submissions.read(paths.reviews) for i in made.boxes}


def test_a_session_from_the_address_to_the_summary(make_campaign):
    paths = make_campaign()
    folder = paths.root
    # What lies in the campaign's folder is no module.
    for name in ("json", "fiftyone", "hypercorn"):
        (folder / f"{name}.py").write_text("raise SystemExit('imported from the campaign')\n")
    with review(folder, "--reviewer", "Zoë B.") as terminal:
        app = terminal.app()
        said = terminal.said()
        assert "Opening batch b00 for Zoë B.: 4 images." in said
        assert "/datasets/b00?workspace=review" in said
        with app.open(terminal.address()) as answer:
            assert b"<title>FiftyOne</title>" in answer.read()
        (server,) = processes(folder)["server"]
        listening = {c.laddr.ip for c in server.net_connections() if c.status == "LISTEN"}
        assert listening == {"127.0.0.1"}

        # Somebody else who wants the same is told who is there, and where.
        second = subprocess.run(
            ["boxloop", "review", "b00", "--reviewer", "bob", "--part", "2/2"],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert second.returncode == 2
        place = terminal.address().partition("&token=")[0]  # where, but not the key
        assert f"Zoë B. is reviewing batch b00 at {place}: 2 of the 2" in second.stderr
        assert [s.url for s in open_sessions(folder / ".boxloop/sessions")] == [place]

        app.relabel("img00", "p0", "dog")
        app.mark("img00")
        faults = app.submit()["faults"]
        assert [fault["image"] for fault in faults] == ["img01", "img02", "img03"]
        app.mark()
        summary = app.submit()["summary"]
        assert "11 kept, 0 moved, 1 relabeled, 0 removed, 0 added" in summary
        assert terminal.ends() == 0
        assert terminal.said().endswith(f"\n{summary}\nNext: dvc repro\n")
        assert nothing_runs(folder) or processes(folder)["server"] == []
    made = in_the_journal(paths)["img00"]
    assert (made.reviewer, made.annotator) == ("Zoë B.", "fiftyone")
    assert open_sessions(folder / ".boxloop/sessions") == []
    wait_until(lambda: nothing_runs(folder))
    ignored = subprocess.run(
        ["git", "check-ignore", ".boxloop/db"],
        cwd=folder,
        env={**os.environ, "GIT_DIR": os.fspath(init_git(folder))},
        capture_output=True,
    )
    assert ignored.returncode == 0


def init_git(folder):
    subprocess.run(["git", "init", "-q", folder], check=True)
    return folder / ".git"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("when", ["starting", "at work"])
def test_a_session_that_is_stopped_keeps_the_work(make_campaign, number, when):
    paths = make_campaign(count=1)
    with review(paths.root) as terminal:
        if when == "starting":
            wait_until(lambda: processes(paths.root)["server"])
        else:
            app = terminal.app()
            app.relabel("img00", "p0", "dog")
        terminal.process.send_signal(number)
        assert terminal.ends() == ReviewPending.exit_code
        assert terminal.said().endswith(STOPPED)
        assert "Traceback" not in terminal.said()
        wait_until(lambda: nothing_runs(paths.root))
    assert open_sessions(paths.root / ".boxloop/sessions") == []


@pytest.mark.slow
def test_a_stop_in_the_moment_after_the_submission_is_none(make_campaign):
    paths = make_campaign(count=1)
    with review(paths.root) as terminal:
        app = terminal.app()
        app.mark()
        summary = app.submit()["summary"]
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ends() == 0
        assert summary in terminal.said()


@pytest.mark.slow
def test_a_terminal_that_is_closed_leaves_nothing_running(make_campaign):
    paths = make_campaign(count=1)
    controller, terminal = pty.openpty()

    def take_terminal():
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        ["boxloop", "review", "--no-browser"],
        cwd=paths.root,
        env=environment(),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        preexec_fn=take_terminal,
    )
    os.close(terminal)
    said = b""
    while b"Ctrl-C" not in said:
        said += os.read(controller, 1000)
    assert processes(paths.root)["mongod"]
    os.close(controller)
    process.wait(SECONDS)
    wait_until(lambda: nothing_runs(paths.root))


@pytest.mark.slow
def test_nothing_that_is_killed_takes_work_along(make_campaign):
    paths = make_campaign()
    folder = paths.root
    with review(folder) as terminal:
        app = terminal.app()
        app.relabel("img00", "p0", "dog")
        app.mark("img00")

        # The database: it comes back by itself, and the session goes on.
        kill(folder, "mongod")
        wait_until(lambda: answers(app))
        assert app.reviewed() == {"img00"}
        app.relabel("img01", "p0", "dog")

        # The App's process: the command says so, and ends.
        kill(folder, "server")
        assert terminal.ends() == 2
        assert "the App ended by itself; what was saved in it is kept" in terminal.said()
        assert "'boxloop review b00' goes on from there (its log is .boxloop/app-b00-" in (
            terminal.said()
        )
        wait_until(lambda: nothing_runs(folder))

    # The command itself, as by a kernel that is out of memory: the others end with it.
    with review(folder) as terminal:
        app = terminal.app()
        assert app.reviewed() == {"img00"}
        app.add_seconds(img02=3.0)
        app.delete("img02", "p1")
        kill(folder, "session")
        wait_until(lambda: nothing_runs(folder))

    # Everything at once.
    with review(folder) as terminal:
        app = terminal.app()
        app.draw("img03", (10, 45, 30, 65), "cat")
        app.mark("img03")
        kill(folder, "session", "server", "keeper", "mongod")
        wait_until(lambda: nothing_runs(folder))

    with review(folder) as terminal:
        app = terminal.app()
        assert app.reviewed() == {"img00", "img03"}
        app.mark()
        summary = app.submit()["summary"]
        assert "9 kept, 0 moved, 2 relabeled, 1 removed, 1 added" in summary
        assert terminal.ends() == 0
    made = in_the_journal(paths)
    assert made["img02"].seconds["img02"] == 3.0


@pytest.mark.slow
def test_a_database_that_is_killed_with_its_keeper_comes_back_or_the_session_ends(make_campaign):
    paths = make_campaign()
    folder = paths.root
    with review(folder) as terminal:
        app = terminal.app()
        app.relabel("img00", "p0", "dog")
        for round_ in range(2):
            kill(folder, "keeper", "mongod")
            app.relabel("img01", f"p{round_}", "dog")  # it waits for the database
        wait_until(lambda: answers(app))
        labels = [box["label"] for box in app.record("img01")[0]["boxes"]["detections"]]
        assert labels[:2] == ["dog", "dog"]

        terminal.process.send_signal(signal.SIGSTOP)  # it would have the old files opened again
        kill(folder, "keeper", "mongod")
        wait_until(lambda: not (processes(folder)["keeper"] or processes(folder)["mongod"]))
        for file in (folder / ".boxloop" / "db").glob("WiredTiger*"):
            file.write_bytes(b"nonsense")
        terminal.process.send_signal(signal.SIGCONT)
        assert terminal.ends() == 2
        assert "the review's database does not start (" in terminal.said()
        assert "what was submitted does not depend on it" in terminal.said()
        wait_until(lambda: nothing_runs(folder))


def answers(app):
    try:
        return "error" not in app.call("overview")
    except (AssertionError, OSError):
        return False


@pytest.mark.slow
def test_two_people_side_by_side_and_another_campaign(make_campaign):
    """Started in one moment; each on a port of its own, on images of its own."""
    paths, other = make_campaign(), make_campaign("another one", count=1)
    parts = [("--reviewer", "ann", "--part", "1/2"), ("--reviewer", "bob", "--part", "2/2")]
    with (
        review(paths.root, *parts[0]) as first,
        review(paths.root, *parts[1]) as second,
        review(other.root) as elsewhere,
    ):
        terminals = (first, second, elsewhere)
        apps = ann, bob, stranger = [terminal.app() for terminal in terminals]
        assert len({app.base for app in apps}) == 3
        assert "view=part-1-of-2" in first.address()
        assert "view=part-2-of-2" in second.address()
        assert [sorted(app.samples()) for app in apps] == [
            ["img00", "img01"], ["img02", "img03"], ["img00"]
        ]  # fmt: skip
        assert len(processes(paths.root)["mongod"]) == 1
        ann.relabel("img00", "p0", "dog")
        assert stranger.record("img00")[0]["boxes"]["detections"][0]["label"] == "cat"
        ann.mark()
        bob.mark("img03")
        assert "2 images of b00 wait for somebody else" in ann.submit()["summary"]
        assert first.ends() == 0
        still = "2 images of b00 still wait: boxloop review b00"
        assert still in first.said()
        # What is opened again before all is submitted is no batch that DVC could finish.
        with review(paths.root, "b00", *parts[0], "--redo") as again:
            app = again.app()
            app.mark()
            app.submit()
            assert again.ends() == 0
            assert again.said().endswith(f"{still}\n")
        # The stage goes on only when both have submitted.
        with pytest.raises(ReviewPending, match="2 of 4 images are submitted"):
            gather(paths)
        bob.mark()
        assert "summary" in bob.submit()
        assert second.ends() == 0
        assert second.said().endswith("Next: dvc repro\n")
        gather(paths)
        assert artifacts.read_corrections(paths.corrections("b00")).reviewer == "ann, bob"
        stranger.mark()
        stranger.submit()
        assert elsewhere.ends() == 0


def test_what_another_window_drew_is_not_taken_away_by_an_older_edit(make_campaign):
    paths = make_campaign()
    with review(paths.root, "--reviewer", "ann") as terminal:
        here, there = terminal.app(), terminal.app()
        shown, version = there.record("img00")
        drawn = here.draw("img00", (40, 45, 60, 65), "dog")
        here.move("img00", "p1", (20, 60, 44, 84))

        # The other window removes a box of those that it shows, and tries until it is taken.
        kept = shown["boxes"]["detections"][1:]
        edit = [{"op": "replace", "path": "/boxes/detections", "value": kept}]
        for _ in range(3):
            with pytest.raises(urllib.error.HTTPError) as refused:
                there._patch("img00", edit, version)
            answer = refused.value
            assert answer.code == 412
            assert answer.read() == b""
            version = answer.headers["ETag"] or version  # as FiftyOne's App goes on

        now, _ = there.record("img00")
        boxes = {box["_id"]["$oid"]: box for box in now["boxes"]["detections"]}
        assert len(boxes) == 4
        assert boxes[drawn]["label"] == "dog"
        there.delete("img00", "p0")  # of the newest version
        assert len(here.record("img00")[0]["boxes"]["detections"]) == 3


def gather(paths):
    params = load_params(paths.root / "params.yaml").review
    out = paths.corrections("b00")
    files = (paths.images, paths.truth, paths.proposals("b00"), out)
    collect(CampaignPaths(paths.root), params, *files, say=lambda text: None)


@pytest.mark.slow
def test_a_port_that_is_taken(make_campaign):
    paths = make_campaign(count=1)
    port = free_port()
    with (
        socket.create_server(("127.0.0.1", port)),
        review(paths.root, "--port", str(port)) as terminal,
    ):
        app = terminal.app()
        assert f"Port {port} is in use;" in terminal.said()
        assert not app.base.endswith(f":{port}")
        assert len(app.samples()) == 1
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ends() == 3
    with review(paths.root, "--port", str(port)) as terminal:
        assert terminal.app().base.endswith(f":{port}")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ends() == 3


@pytest.mark.slow
def test_a_database_of_the_user_s_own(make_campaign, tmp_path, monkeypatch):
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    paths = make_campaign(count=1)
    with review(paths.root, env={"FIFTYONE_DATABASE_URI": "mongodb://127.0.0.1:1"}) as terminal:
        assert terminal.ends() == 2
        assert "the MongoDB that FIFTYONE_DATABASE_URI names cannot be used" in terminal.said()
    with open_database(tmp_path / "mine") as uri:
        env = {"FIFTYONE_DATABASE_URI": uri}
        with review(paths.root, env=env) as terminal:
            app = terminal.app()
            app.relabel("img00", "p0", "dog")
            assert not processes(paths.root)["mongod"]
            kill(paths.root, "session")
            wait_until(lambda: nothing_runs(paths.root))
        with client(uri) as opened:
            names = {name for name in opened.list_database_names() if name.startswith("boxloop_")}
            assert names == {(paths.state / "id").read_text().splitlines()[0]}
        with review(paths.root, env=env) as terminal:
            app = terminal.app()
            app.mark()
            assert "1 relabeled" in app.submit()["summary"]
            assert terminal.ends() == 0


def test_an_app_that_does_not_start_is_told_with_its_log(make_campaign, tmp_path):
    paths = make_campaign(count=1)
    settings = tmp_path / "config.json"
    settings.write_text("{ this is no JSON")
    with review(paths.root, env={"FIFTYONE_CONFIG_PATH": str(settings)}) as terminal:
        assert terminal.ends() == 2
        (sentence,) = [x for x in terminal.said().splitlines() if x.startswith("boxloop: ")]
    assert "the App failed" in sentence
    assert "see .boxloop/app-b00-" in sentence
    (log,) = paths.state.glob("app-b00-*.log")
    assert "Traceback" in log.read_text()
    assert "Traceback" not in terminal.said()


def test_an_image_that_is_gone_is_told_by_the_command(make_campaign):
    paths = make_campaign(count=1)
    (paths.root / "data/images/00000.png").unlink()
    with review(paths.root) as terminal:
        assert terminal.ends() == 2
        assert "00000.png (image img00) is gone" in terminal.said()
        assert "log" not in terminal.said().splitlines()[-1]


@pytest.mark.slow
def test_work_on_another_image_of_that_name_is_told_by_the_command(make_campaign):
    paths = make_campaign(count=1)
    with review(paths.root) as terminal:
        terminal.app().mark()
        terminal.process.send_signal(signal.SIGTERM)
        terminal.ends()
    Image.new("RGB", (100, 80), "red").save(paths.root / "data/images/00000.png")
    (image,) = artifacts.read_images(paths.images).images
    image = replace(image, digest=file_digest(paths.root / image.path))
    artifacts.write_images(paths.images, ImageSet((image,), ("cat", "dog")))
    with review(paths.root) as terminal:
        assert terminal.app().reviewed() == set()
        assert "begun on 1 image (img00) is of other pixels than are there now" in terminal.said()
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ends() == 3


@pytest.mark.slow
def test_parameters_of_the_command_reach_the_session(make_campaign):
    paths = make_campaign(count=1)
    with review(paths.root, "--set", "review.score_threshold=0.1") as terminal:
        app = terminal.app()
        assert len(app.record("img00")[0]["boxes"]["detections"]) == 4
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ends() == 3


def test_a_terminal_does_not_load_fiftyone_itself():
    """Its greeting would have to wait for that for seconds."""
    code = "import boxloop.review.fiftyone.session, sys; print(*sys.modules)"
    done = subprocess.run(
        ["python", "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.split()) & {"fiftyone", "torch", "pymongo"}
