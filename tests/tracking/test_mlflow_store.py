"""Where tracking goes, and what it says when it cannot."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from mlflow.server.security_utils import INVALID_HOST_MSG

from boxloop.campaign import mending
from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import TrackingError
from boxloop.files import read_json
from boxloop.tracking import store_uri
from boxloop.tracking.mlflow_store import open_store
from boxloop.tracking.track_turn import track
from builders_campaign import build_campaign, small_params
from builders_tracking import client_of, runs_of, track_all


def test_processes_that_make_the_store_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """As ``dvc exp run --run-all --jobs`` does; each in a copy, all with the workspace's store."""
    code = (
        "import sys, pathlib; from builders_campaign import build_campaign, small_params;"
        "from boxloop.tracking.track_turn import track;"
        "p = small_params(1, order={'strategy': sys.argv[2]});"
        "l = build_campaign(pathlib.Path(sys.argv[1]), p);"
        "track(l, p, 'b00', l.tracked('b00'))"
    )
    environment = {k: v for k, v in os.environ.items() if k != store_uri.URI_VARIABLE}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    processes = []
    for strategy in ("similar", "random"):
        copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / strategy
        copy.mkdir(parents=True)
        command = [sys.executable, "-c", code, str(copy), strategy]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
    assert [process.wait() for process in processes] == [0, 0]
    parents, children = runs_of(CampaignPaths(tmp_path))
    assert {p.data.params["order.strategy"] for p in parents} == {"similar", "random"}
    assert len(children) == 2


@pytest.mark.parametrize("statements", [[], ["create table trace_info (id int)"]])
def test_a_store_that_was_killed_in_making_is_made_anew(tmp_path: Path, statements) -> None:
    """MLflow would stop at the tables that are there."""
    path, said = tmp_path / "mlflow.db", []
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    path.touch()
    for _ in range(2):
        with open_store(tmp_path, "boxloop", said.append):
            pass
    [aside] = tmp_path.glob("mlflow.db.damaged-*")
    assert said == [
        f"{path} was not made to its end: it is {aside.name} now, and MLflow makes it anew; no run"
        " was in it yet"
    ]


def test_a_store_that_is_just_being_made_is_left_alone(tmp_path: Path, monkeypatch) -> None:
    """By an ``mlflow ui``, which takes no lock."""
    path = tmp_path / "mlflow.db"
    path.touch()

    def meanwhile(_: float) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("create table trace_info (id int)")

    monkeypatch.setattr(mending.time, "sleep", meanwhile)
    mending.mend_database(path, pytest.fail)
    assert path.stat().st_size > 0


def test_disabled_tracking_writes_its_out_and_no_store(tmp_path: Path) -> None:
    params = small_params(1, track={"enabled": False})
    paths = build_campaign(tmp_path, params)
    track_all(paths, params)
    assert not (tmp_path / "mlflow.db").exists()
    assert read_json(paths.tracked("b00"))["enabled"] is False


@pytest.mark.parametrize("enabled", [False, True])
def test_what_the_next_turn_watches_stands_for_all_parameters(
    enabled: bool, workspace: Path
) -> None:
    """Else dvc would account and track only the first turn by a changed one."""

    def written(turns: int = 2, **sections: dict[str, object]) -> list[bytes]:
        sections["track"] = {"enabled": enabled, **sections.get("track", {})}
        params = small_params(turns, **sections)
        paths = build_campaign(workspace, small_params(3, **sections))
        track_all(paths, params, ["b00", "b01"])
        return [paths.tracked(key).read_bytes() for key in ("b00", "b01")]

    seen = [written()]
    for change in ({"review": {"score_threshold": 0.75}}, {"track": {"experiment": "another"}}):
        seen.append(written(**change))
    for first, second in itertools.combinations(seen, 2):
        assert first[0] != second[0]
        assert first[1] != second[1]
    assert written(report={"title": "other"}) == seen[0]
    assert written(turns=3) == seen[0]


def test_a_server_that_does_not_answer_is_one_sentence_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(store_uri.URI_VARIABLE, "http://ada:secret@127.0.0.1:9")
    params = small_params(1)
    paths = build_campaign(tmp_path, params)
    begun = time.monotonic()
    with pytest.raises(TrackingError, match=r"MLflow at http://127\.0\.0\.1:9 cannot") as caught:
        track_all(paths, params)
    assert time.monotonic() - begun < 60
    assert "secret" not in str(caught.value)
    assert "track.enabled" in str(caught.value)
    assert not paths.tracked("b00").exists()


class _Refuses(BaseHTTPRequestHandler):
    """Answers as MLflow's server does where it is called by a name that it does not know."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.end_headers()
        self.wfile.write(INVALID_HOST_MSG.encode())

    def log_message(self, *arguments: object) -> None:
        pass


def test_a_server_that_is_called_by_another_name_is_told_how_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HTTPServer(("127.0.0.1", 0), _Refuses) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        monkeypatch.setenv(store_uri.URI_VARIABLE, f"http://ada:secret@{address}")
        with (
            pytest.raises(TrackingError, match="cannot be written to: start the") as caught,
            open_store(tmp_path, "x", lambda _: None),
        ):
            pass
        server.shutdown()
    said = str(caught.value)
    assert f"start the server with --allowed-hosts '{address},localhost:*'" in said
    assert "secret" not in said


@pytest.mark.parametrize("folder", [True, False])
def test_a_store_that_is_no_database_is_one_sentence_soon(
    folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(store_uri.URI_VARIABLE, raising=False)
    params = small_params(1)
    paths = build_campaign(tmp_path, params)
    if folder:
        (tmp_path / "mlflow.db").mkdir()
    else:
        (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    begun = time.monotonic()
    with pytest.raises(TrackingError, match=r"mlflow\.db cannot be written to"):
        track_all(paths, params)
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize("target", ["gone/mlflow.db", "mlflow.db"])
def test_a_link_at_which_no_store_can_be_made_is_told_at_once(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(store_uri.URI_VARIABLE, raising=False)
    (tmp_path / "mlflow.db").symlink_to(tmp_path / target)
    begun, said = time.monotonic(), list[str]()
    with (
        pytest.raises(TrackingError, match=r"mlflow\.db cannot be written to") as caught,
        open_store(tmp_path, "x", said.append),
    ):
        pass
    assert time.monotonic() - begun < 60
    assert "remove the link, or have it name a file in a folder that is there" in str(caught.value)
    why = "No such file or directory" if "gone" in target else "Too many levels of symbolic links"
    assert why in str(caught.value)
    assert said == []


def test_a_link_into_a_folder_that_is_there_makes_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(store_uri.URI_VARIABLE, raising=False)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mlflow.db").symlink_to(tmp_path / "elsewhere" / "runs.db")
    for _ in range(2):
        with open_store(tmp_path, "x", lambda _: None):
            pass
    assert (tmp_path / "elsewhere" / "runs.db").is_file()


def read_while_held(holder: sqlite3.Connection, other: sqlite3.Connection) -> None:
    holder.execute("begin exclusive")
    other.execute("select count(*) from sqlite_master")


def test_a_store_that_another_program_holds_is_not_called_broken(workspace: Path) -> None:
    holder = sqlite3.connect(workspace / "mlflow.db", isolation_level=None)
    with (
        closing(holder),
        closing(sqlite3.connect(workspace / "mlflow.db", timeout=0)) as other,
        pytest.raises(TrackingError, match="database is locked") as caught,
        open_store(workspace, "x", lambda _: None),
    ):
        read_while_held(holder, other)
    said = str(caught.value)
    assert "another program uses it ('mlflow ui' or another 'dvc repro'): let it end" in said
    assert "repair" not in said


def test_a_folder_that_no_address_can_name_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(store_uri.URI_VARIABLE, raising=False)
    folder = tmp_path / "what?"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(TrackingError, match=r"what\?/mlflow\.db.*rename"),
        open_store(folder, "x", lambda _: None),
    ):
        pass
    assert list(tmp_path.rglob("*")) == [folder]


def test_both_quotes_in_a_path_are_said_to_be_in_mlflow_s_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path
) -> None:
    """Either alone is none; what a try of an older boxloop left there is no store."""
    monkeypatch.delenv(store_uri.URI_VARIABLE, raising=False)
    for name in ("it's", 'so "called"'):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        with open_store(folder, "x", lambda _: None) as store:
            store.create("run", {}, 0)
    folder = tmp_path / 'it\'s so "called"'
    folder.mkdir()
    monkeypatch.chdir(folder)
    for _ in range(2):
        with pytest.raises(TrackingError) as told, open_store(folder, "x", lambda _: None):
            pass
        assert str(told.value).startswith(
            f"MLflow cannot have a store at {folder}/mlflow.db, because of the ' and the \" in it:"
            " rename the folder, "
        )
        shutil.copy(empty_store, folder / "mlflow.db")
        with closing(sqlite3.connect(folder / "mlflow.db")) as base, base:
            base.execute("delete from experiments")
    (folder / "mlflow.db").unlink()
    shutil.copy(empty_store, folder / "mlflow.db")  # a folder that was renamed to this
    with open_store(folder, "x", lambda _: None) as store:
        store.create("run", {}, 0)


def test_a_deleted_experiment_is_said_with_the_way_out(workspace: Path) -> None:
    params = small_params(1)
    paths = build_campaign(workspace, params)
    track_all(paths, params)
    client = client_of(paths)
    client.delete_experiment(client.get_experiment_by_name("boxloop").experiment_id)
    with pytest.raises(TrackingError, match="mlflow experiments restore"):
        track_all(paths, params)


def addresses(paths: CampaignPaths) -> list[str]:
    """All addresses of artifacts in a store."""
    parents, children = runs_of(paths)
    experiment = client_of(paths).get_experiment_by_name("boxloop")
    return [experiment.artifact_location, *(run.info.artifact_uri for run in parents + children)]


def test_a_folder_that_moved_keeps_its_runs_and_their_files(workspace: Path) -> None:
    params = small_params(1)
    track_all(build_campaign(workspace, params), params)
    moved = workspace.rename(workspace.with_name("moved away"))  # with a blank, which is quoted
    paths, said = CampaignPaths(moved), list[str]()
    for _ in range(2):
        track(paths, params, "b00", paths.tracked("b00"), say=said.append)
    assert len([line for line in said if "was moved or copied" in line]) == 1
    assert len(runs_of(paths)[1]) == 1
    assert {a.startswith((moved / "mlartifacts").as_uri()) for a in addresses(paths)} == {True}
    (child,) = runs_of(paths)[1]
    file = client_of(paths).download_artifacts(
        child.info.run_id, "record/b00.json", str(workspace.parent)
    )
    assert Path(file).read_bytes() in {p.read_bytes() for p in moved.rglob("data/*/b00.json")}


def test_a_copy_writes_to_its_own_folder_and_leaves_the_first_alone(workspace: Path) -> None:
    params = small_params(2)
    paths = build_campaign(workspace, params)
    track_all(paths, params, ["b00"])
    copy = CampaignPaths(workspace.with_name("copy"))
    shutil.copytree(workspace, copy.root)
    before = {p: p.read_bytes() for p in workspace.rglob("*") if p.is_file()}
    track_all(copy, params)
    assert {p: p.read_bytes() for p in workspace.rglob("*") if p.is_file()} == before
    assert all(a.startswith((copy.root / "mlartifacts").as_uri()) for a in addresses(copy))
    (last,) = [run for run in runs_of(copy)[1] if run.info.run_name == "b01"]
    assert list((copy.root / "mlartifacts").glob(f"{last.info.run_id}/**/b01.pt"))


def test_files_that_are_only_at_the_old_place_are_still_found(workspace: Path) -> None:
    params = small_params(1)
    track_all(build_campaign(workspace, params), params)
    copy = CampaignPaths(workspace.with_name("copy"))
    shutil.copytree(workspace, copy.root, ignore=shutil.ignore_patterns("mlartifacts"))
    track_all(copy, params)
    where = addresses(copy)[0]
    assert where == (copy.root / "mlartifacts").as_uri()
    (child,) = runs_of(copy)[1]
    assert child.info.artifact_uri.startswith((workspace / "mlartifacts").as_uri())


def test_artifacts_that_somebody_put_elsewhere_stay_there(workspace: Path) -> None:
    params = small_params(1)
    paths = build_campaign(workspace, params)
    elsewhere = (workspace.parent / "a-share").as_uri()
    client_of(paths).create_experiment("boxloop", elsewhere)
    track_all(paths, params)
    assert all(address.startswith(elsewhere) for address in addresses(paths))
