"""Where the MLflow store is, and which campaign is which in it. Does not import MLflow."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from boxloop.campaign.digests import digest
from boxloop.campaign.paths import workspace_of

URI_VARIABLE = "MLFLOW_TRACKING_URI"
SPECIAL = set("?%")
"""What MLflow reads otherwise than its database does."""


def campaign_identity(fingerprint: str, workspace: Path) -> str:
    """Return the digest that identifies a campaign in its store.

    In the workspace's own store the fingerprint is enough, and the folder may move. On a shared
    server the same campaign of two people, or in two folders, must stay apart too.
    """
    if not os.environ.get(URI_VARIABLE):
        return fingerprint
    return digest([fingerprint, platform.node(), workspace.as_posix()])


def store_uri(workspace: Path) -> str:
    """Return MLFLOW_TRACKING_URI where it is set, else a sqlite file in the workspace."""
    path = (workspace / "mlflow.db").as_posix()
    if set(path) & SPECIAL:
        # No way of quoting is right for both of them; from where a stage runs, the way to the
        # workspace has neither of these characters.
        path = Path(os.path.relpath(path)).as_posix()
    return os.environ.get(URI_VARIABLE) or f"sqlite:///{path}"


def shown_uri(uri: str) -> str:
    """Strip the user name and the password from a store's address."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.startswith("sqlite"):
        return uri
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def ui_hint(folder: Path) -> str:
    """Return one line that says how to open MLflow on this folder's runs."""
    uri = os.environ.get(URI_VARIABLE)
    if uri and uri.startswith("http"):
        return f"open {shown_uri(uri)}"
    # One worker is enough for one person, and starts much faster than the default of four.
    command = "mlflow ui --workers 1 --backend-store-uri "
    if uri:
        # Not spelled out: it may hold a password, and the shell knows it.
        return f'{command}"${URI_VARIABLE}"'
    workspace = workspace_of(folder)
    if workspace == folder.resolve():
        return f"{command}sqlite:///mlflow.db"
    return command + store_uri(workspace)
