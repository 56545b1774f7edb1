"""`boxloop review --host`: what it demands, what it says, and who gets in."""

import http.client
import os
import pty
import re
import socket
import subprocess
import urllib.parse

import pytest

from boxloop.errors import SessionError
from boxloop.review.fiftyone import addresses
from boxloop.review.fiftyone.app_process import bind
from builders_terminals import environment, processes, review

PASSWORD = "correct horse"


def refusal(folder, *arguments, **env):
    done = subprocess.run(
        ["boxloop", "review", "--no-browser", *arguments],
        cwd=folder,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


def test_other_machines_need_a_password(make_campaign):
    folder = make_campaign().root
    said = refusal(folder, "--host", "0.0.0.0")
    assert "needs a password" in said
    assert "BOXLOOP_PASSWORD" in said
    assert "too short" in refusal(folder, "--host", "0.0.0.0", BOXLOOP_PASSWORD="short")
    assert "too short" in refusal(folder, "--host", "0.0.0.0", BOXLOOP_PASSWORD="")


@pytest.mark.parametrize("host", ["203.0.113.9", "no-such-host.invalid", "ü..x"])
def test_a_host_that_is_not_this_machine(host):
    with pytest.raises(SessionError, match="no address of this machine"), bind(5151, host):
        pass


def test_without_other_machines_no_password_is_asked_for(monkeypatch):
    monkeypatch.setenv("BOXLOOP_PASSWORD", "short")
    for host in ("127.0.0.1", "localhost", "::1"):
        assert addresses.choose_password(host) is None


def test_a_password_is_asked_for_twice_in_a_terminal():
    code = (
        "from boxloop.review.fiftyone.addresses import choose_password;"
        "print('got', choose_password('0.0.0.0'))"
    )
    for answers, said in (
        (b"correct horse\ncorrect horse\n", "got correct horse"),
        (b"correct horse\ncorrect hose\n", "the two passwords differ"),
    ):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            ["python", "-c", code],
            env=environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        seen = b""
        for answer in answers.splitlines(keepends=True):
            while b": " not in seen:
                seen += os.read(ours, 1000)
            seen = b""
            os.write(ours, answer)
        while True:
            try:
                seen += os.read(ours, 1000)
            except OSError:  # it ended
                break
        process.wait()
        os.close(ours)
        assert said in seen.decode()


def test_a_password_is_no_option(make_campaign):
    said = refusal(make_campaign().root, "--password", PASSWORD)
    assert "No such option" in said


def test_addresses():
    path = "/datasets/b00?workspace=review"
    for host, place in (
        *(("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("localhost", "127.0.0.1")),
        *(("192.0.2.7", "192.0.2.7"), ("2001:db8::7", "[2001:db8::7]"), ("lab", "lab")),
    ):
        assert addresses.page_address(host, 5151, path) == f"http://{place}:5151{path}"


def ask(port, method, path, body=None, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    answer.text = answer.read().decode()
    return answer


@pytest.mark.slow
def test_a_reviewer_on_another_machine(make_campaign):
    folder = make_campaign().root
    env = {"BOXLOOP_PASSWORD": PASSWORD}
    with review(folder, "--host", "0.0.0.0", env=env) as terminal:
        app = terminal.app()
        port = int(re.search(r":(\d+)/", terminal.address())[1])
        said = terminal.said()
        assert f"http://{socket.gethostname()}:{port}/ and the password" in said
        assert "NOT encrypted" in said
        assert PASSWORD not in said
        (server,) = processes(folder)["server"]
        assert {c.laddr.ip for c in server.net_connections() if c.status == "LISTEN"} == {"0.0.0.0"}
        assert PASSWORD not in " ".join(server.cmdline())

        # By an address of this machine, as from another one.
        visit = {"Host": f"192.0.2.7:{port}", "Accept": "text/html"}
        assert 'type="password"' in ask(port, "GET", "/", **visit).text
        assert ask(port, "GET", "/fiftyone", Host=f"192.0.2.7:{port}").status == 403
        assert ask(port, "GET", "/", Host=f"evil.example:{port}", Accept="text/html").status == 403
        form = {**visit, "Content_Type": "application/x-www-form-urlencoded"}
        wrong = urllib.parse.urlencode({"password": "wrong horse"})
        assert ask(port, "POST", "/boxloop-login", wrong, **form).status == 403
        right = urllib.parse.urlencode({"password": PASSWORD})
        entered = ask(port, "POST", "/boxloop-login", right, **form)
        assert entered.status == 303
        assert entered.headers["Location"] == "/datasets/b00?workspace=review"
        cookie = entered.headers["Set-Cookie"].partition(";")[0]
        page = ask(port, "GET", entered.headers["Location"], **visit, Cookie=cookie)
        assert "<title>FiftyOne</title>" in page.text
        app.mark()
        app.submit()
        assert terminal.ends() == 0
