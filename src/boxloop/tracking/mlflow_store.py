"""The MLflow store: open it, and read and write its runs."""

from __future__ import annotations

import errno
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from boxloop.campaign.mending import mend_database
from boxloop.errors import TrackingError
from boxloop.tracking.moved_store import adopt
from boxloop.tracking.store_uri import SPECIAL, URI_VARIABLE, shown_uri, store_uri
from boxloop.tracking.turn_record import InputData, Point

PARENT = "mlflow.parentRunId"
NAME = "mlflow.runName"
NOTE = "mlflow.note.content"

# MLflow's own defaults wait minutes for a server that is not there. Usage data goes nowhere unless
# the user has asked for it.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # The address that it prints may hold a password.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# The experiment's page opens on runs and their metrics rather than on chat traces.
_KIND = {"mlflow.experimentKind": "custom_model_development"}
_PARAMS_AT_ONCE = 100
_METRICS_AT_ONCE = 1000
_LONGEST_PARAM = 6000
_RUNS_AT_ONCE = 1000
_LONGEST_REASON = 300
_UNKNOWN_HOST = "Invalid Host header"  # how MLflow's server refuses a name that it does not know
_WHERE_IT_ROSE = "(raised as a result of"  # how SQLAlchemy may begin, before the reason
_RELINK = "remove the link, or have it name a file in a folder that is there"


class Store:
    """One MLflow experiment."""

    def __init__(self, client: Any, experiment: str, uri: str) -> None:
        self._client = client
        self._experiment = experiment
        self.uri = uri

    def runs(self, tags: Mapping[str, str], *, deleted: bool = False) -> list[Any]:
        """Return the runs with all of these tags, newest first; deleted ones only if asked."""
        from mlflow.entities import ViewType

        conditions = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        result: list[Any] = []
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                conditions,
                ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY,
                max_results=_RUNS_AT_ONCE,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            result += page
            token = page.token
            if not token:
                return result

    def create(self, name: str, tags: Mapping[str, str], started: int) -> str:
        """Create a RUNNING run and return its id."""
        run = self._client.create_run(
            self._experiment, start_time=started, tags=dict(tags), run_name=name
        )
        return str(run.info.run_id)

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Log parameters; a text that is too long for MLflow is cut."""
        from mlflow.entities import Param

        rows = [Param(name, text[:_LONGEST_PARAM]) for name, text in params.items()]
        for i in range(0, len(rows), _PARAMS_AT_ONCE):
            self._client.log_batch(run_id, params=rows[i : i + _PARAMS_AT_ONCE])

    def log_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Log values of metrics."""
        from mlflow.entities import Metric

        rows = [Metric(p.name, p.value, p.time, p.step) for p in points]
        for i in range(0, len(rows), _METRICS_AT_ONCE):
            self._client.log_batch(run_id, metrics=rows[i : i + _METRICS_AT_ONCE])

    def log_inputs(self, run_id: str, inputs: Sequence[InputData]) -> None:
        """Log the input datasets of a run, with their schema and how much they hold."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        rows = []
        for item in inputs:
            columns = [{"name": n, "type": t, "required": True} for n, t in item.columns.items()]
            dataset = Dataset(
                item.name,
                item.digest,
                "local",
                json.dumps({"uri": item.path}),
                json.dumps({"mlflow_colspec": columns}),
                json.dumps(dict(item.counts)) if item.counts else None,
            )
            rows.append(DatasetInput(dataset, [InputTag("mlflow.data.context", item.context)]))
        self._client.log_inputs(run_id, rows)

    def log_file(self, run_id: str, path: Path, folder: str) -> None:
        """Log a file as an artifact."""
        self._client.log_artifact(run_id, str(path), folder)

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Return the (step, value) pairs of a metric."""
        return [(m.step, m.value) for m in self._client.get_metric_history(run_id, metric)]

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags, replacing those of the same name."""
        for name, value in tags.items():
            self._client.set_tag(run_id, name, value)

    def finish(self, run_id: str, ended: int, status: str = "FINISHED") -> None:
        """Mark a run as FINISHED, or as KILLED."""
        self._client.set_terminated(run_id, status, ended)

    def reopen(self, run_id: str) -> None:
        """Mark a run as RUNNING."""
        self._client.update_run(run_id, status="RUNNING")

    def delete(self, run_id: str) -> None:
        """Delete a run, and the models that were logged to it; ``mlflow gc`` frees their files."""
        for model in self.models(run_id):
            self.delete_model(model.model_id)
        self._client.delete_run(run_id)

    # --- models -----------------------------------------------------------------------------------

    def models(self, run_id: str) -> list[Any]:
        """Return the models that were logged to a run, without the deleted ones."""
        chosen = f"source_run_id = '{run_id}'"
        return list(self._client.search_logged_models([self._experiment], chosen))

    def create_model(
        self, run_id: str, name: str, tags: Mapping[str, str], params: Mapping[str, str]
    ) -> tuple[str, str]:
        """Create a PENDING model of a run; return its id and the address of its files."""
        made = self._client.create_logged_model(
            self._experiment, name, run_id, dict(tags), dict(params), "detector"
        )
        return str(made.model_id), str(made.artifact_location)

    def finish_model(self, model_id: str, folder: Path) -> None:
        """Log the files of a model, and mark it as READY."""
        from mlflow.entities import LoggedModelStatus

        self._client.log_model_artifacts(model_id, str(folder))
        self._client.finalize_logged_model(model_id, LoggedModelStatus.READY)

    def link_model(self, run_id: str, model_id: str, step: int) -> None:
        """List a model among what a run made, unless it is."""
        from mlflow.entities import LoggedModelOutput

        outputs = self._client.get_run(run_id).outputs
        known = outputs.model_outputs if outputs is not None else []
        if model_id not in [output.model_id for output in known]:
            self._client.log_outputs(run_id, [LoggedModelOutput(model_id, step)])

    def delete_model(self, model_id: str) -> None:
        """Delete a model; ``mlflow gc`` frees its files."""
        self._client.delete_logged_model(model_id)


@contextmanager
def open_store(workspace: Path, experiment: str, say: Callable[[str], object]) -> Iterator[Store]:
    """Open the store and the experiment, which is created where it is missing.

    Args:
        workspace: folder of the default store, ``mlflow.db`` with ``mlartifacts`` beside it.
        experiment: name of the MLflow experiment.
        say: called with messages for the user.

    Raises:
        TrackingError: anything that MLflow cannot do, while opening or inside the ``with`` block.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    uri = store_uri(workspace)
    own = not os.environ.get(URI_VARIABLE)
    if own and set(uri) & SPECIAL:
        raise _unfit(workspace / "mlflow.db", "the ? or the %")
    if own:
        _require_place(workspace / "mlflow.db", uri)
        if (workspace / "mlflow.db").exists():
            _require_database(workspace / "mlflow.db", uri)
        else:
            say("creating mlflow.db (a few seconds, once)")
    from alembic.util.exc import CommandError
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    # After the import, which sets levels of its own.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # It tells a failure with its traceback before it raises it.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    try:
        # MLflow fails where several processes create the tables at once, as in
        # `dvc exp run --run-all --jobs`.
        lock = FileLock(workspace / "mlflow.db.lock") if own else nullcontext()
        with lock:
            if own:
                mend_database(workspace / "mlflow.db", say)
                _require_quotable(workspace / "mlflow.db")
            client = MlflowClient(uri)
            found = _experiment(client, experiment, uri, workspace)
            here = (workspace / "mlartifacts").as_uri()
            old = adopt(workspace / "mlflow.db", experiment, here) if own else None
        if old is not None:
            say(
                f"note: this folder was moved or copied; experiment '{experiment}' keeps its"
                f" artifacts in mlartifacts here now, no longer in {old}"
            )
        yield Store(client, str(found.experiment_id), uri)
    except (
        MlflowException,
        RequestException,
        SQLAlchemyError,
        CommandError,
        sqlite3.Error,
        ImportError,  # of a database's driver
        OSError,
    ) as error:
        raise TrackingError(_sentence(uri, error)) from error


def _unfit(path: Path, what: str) -> TrackingError:
    return TrackingError(
        f"MLflow cannot have a store at {path}, because of {what} in it: rename the folder, set"
        f" {URI_VARIABLE} to another store, or turn tracking off with track.enabled: false"
    )


def _require_quotable(path: Path) -> None:
    """Refuse a new store that MLflow cannot fill: it quotes this folder as Python does, not SQL."""
    if not path.exists() and {"'", '"'} <= set(os.getcwd()):
        raise _unfit(path, "the ' and the \"")


def _require_place(path: Path, uri: str) -> None:
    """Refuse at once where sqlite can make no file; MLflow tries for a hundred seconds."""
    real = Path(os.path.realpath(path))  # beside it sqlite writes its journal
    number = None
    if real.is_symlink():
        number, place = errno.ELOOP, path
    elif not real.parent.is_dir():
        number, place = errno.ENOENT, real.parent
    elif not os.access(real.parent, os.W_OK):
        number, place = errno.EACCES, real.parent
    elif real.exists() and not os.access(real, os.W_OK):
        number, place = errno.EACCES, real
    if number is not None:
        way_out = _RELINK if path.is_symlink() and number != errno.EACCES else None
        fault = OSError(number, os.strerror(number), str(place))
        raise TrackingError(_sentence(uri, fault, way_out))


def _require_database(path: Path, uri: str) -> None:
    """Refuse at once what sqlite cannot open; MLflow tries for a hundred seconds."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=60)
        with closing(connection):
            connection.execute("select count(*) from sqlite_master").fetchall()
    except sqlite3.Error as error:
        raise TrackingError(_sentence(uri, error)) from error


def _experiment(client: Any, name: str, uri: str, workspace: Path) -> Any:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        # A server decides where its artifacts go.
        folder = (workspace / "mlartifacts").as_uri() if not uri.startswith("http") else None
        try:
            client.create_experiment(name, folder, _KIND)
        except MlflowException:
            # Another process may have created it in the meantime.
            if client.get_experiment_by_name(name) is None:
                raise
        found = client.get_experiment_by_name(name)
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"experiment '{name}' in {shown_uri(uri)} is deleted: restore it with 'mlflow"
            f" experiments restore --experiment-id {found.experiment_id}', or choose another"
            " track.experiment"
        )
    return found


def _sentence(uri: str, error: Exception, way_out: str | None = None) -> str:
    shown = shown_uri(uri)
    lines = [line for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(_WHERE_IT_ROSE)] or lines
    reason = (told or [type(error).__name__])[0].strip().replace(uri, shown)
    # MLflow's connection errors repeat themselves in layers.
    reason = reason.partition(" with url: ")[0][:_LONGEST_REASON]
    if way_out is not None:
        pass
    elif _UNKNOWN_HOST in str(error):
        hosts = f"'{urlsplit(shown).netloc},localhost:*'"
        way_out = f"start the server with --allowed-hosts {hosts}"
    elif "database is locked" in reason:
        way_out = (
            "another program uses it ('mlflow ui' or another 'dvc repro'): let it end, then type"
            " this again"
        )
    elif uri.startswith("http"):
        way_out = f"start the server, or set {URI_VARIABLE} to another"
    elif any(full in reason for full in ("disk is full", "No space left")):
        way_out = "free some space on its disk"
    else:
        way_out = f"repair that store or move it away, or set {URI_VARIABLE} to another"
    return (
        f"MLflow at {shown} cannot be written to: {way_out}, or turn tracking off with"
        f" track.enabled: false, and the same command goes on from here ({reason})"
    )
