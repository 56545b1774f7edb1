"""Which mongod is run: the order of the places, and what counts as one that works."""

import os
import stat

import pytest

from boxloop.errors import DatabaseError
from boxloop.review.fiftyone import mongodb
from boxloop.review.fiftyone.mongodb import (
    MONGOD_VARIABLE,
    check_mongod,
    find_mongod,
    installed_mongod,
)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty machine: a folder on PATH, one of the user's data, one where FiftyOne lies."""
    found = {name: tmp_path / name for name in ("path", "data", "site")}
    for folder in found.values():
        folder.mkdir()
    package = found["site"] / "fiftyone"
    (package / "db" / "bin").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('FiftyOne was imported')")
    monkeypatch.delenv(MONGOD_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(found["path"]))
    monkeypatch.setenv("XDG_DATA_HOME", str(found["data"]))
    monkeypatch.syspath_prepend(found["site"])
    monkeypatch.delitem(mongodb.importlib.sys.modules, "fiftyone", raising=False)
    return {
        "fiftyone": package / "db" / "bin" / "mongod",
        "path": found["path"] / "mongod",
        "installed": installed_mongod(),
    }


def put(path, mongod):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(mongod)


def script(path, text, mode=0o755):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_order(places, mongod, monkeypatch, tmp_path):
    for name in ("installed", "path", "fiftyone"):
        put(places[name], mongod)
        assert find_mongod() == places[name]
    named = tmp_path / "my mongod"
    put(named, mongod)
    monkeypatch.setenv(MONGOD_VARIABLE, str(named))
    assert find_mongod() == named


def test_one_that_does_not_run_is_passed_over(places, mongod):
    script(places["fiftyone"], "#!/bin/sh\nexit 1\n")
    script(places["path"], "no program")
    put(places["installed"], mongod)
    assert find_mongod() == places["installed"]


def test_none_is_there(places):
    with pytest.raises(DatabaseError) as caught:
        find_mongod()
    said = str(caught.value)
    assert "boxloop install-mongod" in said
    assert "FIFTYONE_DATABASE_URI" in said
    assert "\n" not in said


def test_why_those_that_are_there_do_not_do_is_said(places):
    library = "error while loading shared libraries: libssl.so.1.1"
    script(places["fiftyone"], f"#!/bin/sh\necho '{library}' >&2\nexit 127\n")
    with pytest.raises(DatabaseError, match="install-mongod") as caught:
        find_mongod()
    assert str(places["fiftyone"]) in str(caught.value)
    assert library in str(caught.value)


def test_a_named_one_that_does_not_run_is_not_passed_over(places, mongod, monkeypatch, tmp_path):
    put(places["path"], mongod)
    for bad in (tmp_path / "missing", tmp_path):
        monkeypatch.setenv(MONGOD_VARIABLE, str(bad))
        with pytest.raises(DatabaseError, match=MONGOD_VARIABLE) as caught:
            find_mongod()
        assert str(bad) in str(caught.value)


def test_a_relative_name_holds_elsewhere(places, mongod, monkeypatch, tmp_path):
    put(tmp_path / "here", mongod)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(MONGOD_VARIABLE, "./here")
    found = find_mongod()
    assert found.is_absolute()
    monkeypatch.chdir("/")
    assert check_mongod(found) is None


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("#!/bin/sh\necho 'db version v4.4.29'\n", 0o755, "version 4.4, and FiftyOne needs 6.0"),
        ("#!/bin/sh\necho hello\n", 0o755, "no mongod"),
        ("#!/bin/sh\nkill -9 $$\n", 0o755, "does not start"),
        ("#!/bin/sh\nexec sleep 20\n", 0o755, "does not answer"),
        ("", 0o644, "cannot be run"),
        ("\x7fELF", 0o755, "cannot be run"),
    ],
)
def test_what_is_no_mongod_that_works(tmp_path, monkeypatch, text, mode, reason):
    monkeypatch.setattr(mongodb, "_SECONDS_TO_SAY_VERSION", 0.5)
    assert reason in check_mongod(script(tmp_path / "mongod", text, mode))


def test_libraries_that_lie_beside_it_are_found(tmp_path, monkeypatch):
    """Those of `boxloop install-mongod`; also through a link, and before other folders."""
    home = tmp_path / "home"
    path = script(
        home / "mongod",
        f"""#!/bin/sh
        [ "$LD_LIBRARY_PATH" = "{home}:/elsewhere" ] && echo db version v6.0.27
    """,
    )
    link = tmp_path / "link"
    link.symlink_to(path)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/elsewhere")
    assert "does not start" in check_mongod(link)
    (home / "libssl.so.1.1").touch()
    assert check_mongod(link) is None


def test_newer_ones_are_welcome(tmp_path):
    for version in ("6.0.0", "7.0.14", "10.2.1"):
        path = script(tmp_path / "mongod", f"#!/bin/sh\necho 'db version v{version}'\n")
        assert check_mongod(path) is None


def test_the_real_one_works(mongod):
    assert check_mongod(mongod) is None
    assert os.stat(mongod).st_mode & stat.S_IXUSR
