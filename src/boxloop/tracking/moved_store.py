"""Bring the addresses in a store's database in line with where its folder is now.

MLflow keeps the folder of each experiment's, run's and model's artifacts as an absolute address. In
a copy of a campaign these still lead to the folder that it is a copy of.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns that hold addresses of artifacts."""


def adopt(database: Path, experiment: str, here: str) -> str | None:
    """Have an experiment that was made in another folder keep its artifacts beside its database.

    The addresses of runs and models follow, except of those whose files are only at the old place.

    Args:
        database: a sqlite file of MLflow's.
        experiment: its name.
        here: file address of the folder of artifacts beside the database.

    Returns:
        The old address; None where nothing had to be changed, as in an experiment whose artifacts
        somebody put elsewhere.

    Raises:
        sqlite3.Error: the database cannot be written to.
    """
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        row = connection.execute(
            "SELECT artifact_location FROM experiments WHERE name = ?", (experiment,)
        ).fetchone()
        old = None if row is None else str(row[0])
        folder = here.rpartition("/")[2]
        if old in (None, here):
            return None
        assert old is not None
        if not (old.startswith("file:") and old.endswith(f"/{folder}")):
            return None
        for table, column in _ADDRESSES:
            for number, address in _rows(connection, table, column):
                if address != old and not address.startswith(f"{old}/"):
                    continue
                new = here + address[len(old) :]
                if address == old or _path(new).exists() or not _path(address).exists():
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, number)
                    )
        return old


def _rows(connection: sqlite3.Connection, table: str, column: str) -> list[tuple[int, str]]:
    known = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    if column not in known:  # of another version of MLflow
        return []
    query = f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL"
    return [(int(number), str(address)) for number, address in connection.execute(query)]


def _path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))
