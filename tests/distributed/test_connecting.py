"""Where `--on` leads: wrong addresses, files of something else, and whatever else answers."""

import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from typer.testing import CliRunner

import builders_jobs
from boxloop.cli import app
from boxloop.distributed import places
from boxloop.distributed.jobs import Job, Jobs
from boxloop.distributed.places import at
from boxloop.errors import BoxloopError
from builders_jobs import wait_for
from builders_study import finish, start, study_file


@contextmanager
def server(greeting=b"", close=False):
    """Something else that listens; yields its port, and those who came."""
    came = []

    def serve():
        with suppress(OSError):
            while True:
                came.append(listening.accept()[0])
                came[-1].sendall(greeting)
                if close:
                    came[-1].close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1], came
        listening.shutdown(socket.SHUT_RDWR)
    for connection in came:
        connection.close()


def refusal(address, folder):
    with pytest.raises(BoxloopError) as caught, at(address, folder)():
        pass
    return str(caught.value)


FILES = {
    "study.yaml": '{"title": "tiny"}',
    "empty.json": "",
    "list.json": "[1]",
    "number.json": '{"address": 8786}',
    "portless.json": '{"address": "tcp://host"}',
    "text.json": "address: tcp://host:8786",
}


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "--on names no scheduler: give its address, such as tcp://host:8786, or its file"),
        ("  ", "--on names no scheduler"),
        ("tcp://", "tcp:// is no address of a scheduler"),
        ("tcp://host", "tcp://host is no address of a scheduler, such as tcp://host:8786"),
        ("tcp://host:", "is no address of a scheduler"),
        ("tcp://host:99999", "is no address of a scheduler"),
        ("tcp://host:0", "is no address of a scheduler"),
        ("host:99999", "host:99999 is no address of a scheduler"),
        ("tcp://::1:8786", "is no address of a scheduler"),
        ("http://host:8786", "http://host:8786 is no address of a scheduler"),
        ("tcp://host:8786/", "is no address of a scheduler"),
        ("nofile.json", "the scheduler nofile.json has not written its file: start it"),
        ("host", "the scheduler host has not written its file: start it"),
        (".", ". is no file of a scheduler"),
        *((name, f"{name} is no file of a scheduler") for name in FILES),
    ],
)
@pytest.mark.parametrize("command", ["study", "features"])
def test_a_wrong_address_is_told_before_anything_is_read(
    tmp_path, monkeypatch, command, address, said
):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    words = [str(study_file(tmp_path / "spec"))] if command == "study" else []
    # That there are no images yet would be told later.
    result = CliRunner().invoke(app, [command, *words, "--on", address])
    assert isinstance(result.exception, BoxloopError)
    assert said in str(result.exception)
    assert {p.name for p in tmp_path.iterdir()} == {*FILES, *(["spec"] if words else [])}


def test_an_empty_address_ends_the_command(tmp_path):
    process = start(study_file(tmp_path), tmp_path / "out", "--on", "")
    code, output = finish(process)
    assert (code, output.count("\n")) == (2, 1)
    assert output.startswith("boxloop: --on names no scheduler")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["host:8786", "tls://10.0.0.1:1", "[::1]:65535", "ws://a-b:80"])
def test_what_an_address_looks_like(tmp_path, address):
    at(address, tmp_path)


@pytest.mark.parametrize(
    ("greeting", "close", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", False, "is no scheduler of Dask"),
        (b"HTTP/1.0 400 Bad Request\r\n\r\n", True, "is no scheduler of Dask"),
        (b"", True, "cannot be reached"),
        (b"", False, "cannot be reached (no answer for 2 s)"),
        (b"\x00\x00\x00\x00\x01\x00\x00\x00", False, "cannot be reached (no answer for 2 s)"),
    ],
)
def test_what_answers_may_be_something_else(tmp_path, monkeypatch, greeting, close, said):
    # What is no scheduler is soon found out, if not within 2 s on a busy machine.
    if "no scheduler" not in said:
        monkeypatch.setattr(places, "_SECONDS_TO_CONNECT", 2)
    begun = time.monotonic()
    with server(greeting, close) as (port, _):
        assert said in refusal(f"127.0.0.1:{port}", tmp_path)
    assert time.monotonic() - begun < 20
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_worker_or_a_scheduler_without_certificates_is_told_apart(tmp_path):
    with builders_jobs.scheduler(tmp_path, workers=1) as (file, _):
        with at(str(file), tmp_path)() as found:
            worker, address = found.workers()[0], found.client.scheduler.address
        assert f"what answers at {worker} is no scheduler of Dask" in refusal(worker, tmp_path)
        said = refusal(address.replace("tcp", "tls"), tmp_path)
    assert "needs certificates" in said
    assert "distributed.comm.tls" in said


def test_a_stop_does_not_wait_for_a_connection_that_is_being_opened(tmp_path):
    stopped = []

    def stop():
        if came:
            stopped.append(time.monotonic())
            raise KeyboardInterrupt

    job = Job("one", builders_jobs.write, {"out": str(tmp_path / "one")})
    with server() as (port, came):
        jobs = Jobs([job], lambda *_: None, lambda *_: None, print)
        with pytest.raises(KeyboardInterrupt):
            jobs.run(at(f"127.0.0.1:{port}", tmp_path), stop)
        assert time.monotonic() - stopped[0] < places._SECONDS_TO_CONNECT
    assert not list(tmp_path.iterdir())


def test_a_study_that_waits_for_its_scheduler_can_be_stopped(tmp_path):
    with server() as (port, came):
        process = start(study_file(tmp_path), tmp_path / "out", "--on", f"127.0.0.1:{port}")
        wait_for(lambda: came)
        process.terminate()
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "stopped; the same command goes on from here" in output
