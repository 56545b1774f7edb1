"""Look at a campaign from the terminal: ``boxloop browse``.

Three processes take part, as in a review: this one, the App's, and the database's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import UserError
from boxloop.files import make_folder
from boxloop.review.fiftyone.addresses import choose_password, exposure, page_address, with_token
from boxloop.review.fiftyone.app_process import AppProcess, app_environment, bind
from boxloop.review.fiftyone.database_name import database_name
from boxloop.review.fiftyone.file_lock import lock, open_lock, try_lock
from boxloop.review.fiftyone.guard.access import Keys
from boxloop.review.fiftyone.guard.hosts import LOOPBACK
from boxloop.review.fiftyone.mongodb import DatabaseWatch, open_database
from boxloop.review.fiftyone.session import (
    DEFAULT_PORT,
    StoppedBySignal,
    open_browser,
    stopped_by_signals,
)

_PLUGINS = Path(__file__).parent / "plugins"
_SERVER = "boxloop.review.browse.server"
_FOLDER = "browse"

Say = Callable[[str], object]


def browse(
    params_file: Path,
    overrides: Sequence[str],
    *,
    port: int | None,
    browser: bool,
    host: str = LOOPBACK,
    say: Say = print,
) -> None:
    """Run ``boxloop browse`` until it is stopped.

    Raises:
        UserError: the campaign has no order yet, there is no database, or no place for it; says
            why.
        SessionError: the App failed.
    """
    paths = CampaignPaths()
    if not paths.order.exists():
        raise UserError(
            f"there is nothing to look at yet: {paths.order} does not exist, which"
            " 'dvc repro batch' makes"
        )
    make_folder(paths.state / _FOLDER)  # what is in its way is told as other commands do
    keys = Keys.make(choose_password(host))
    spec: dict[str, Any] = {
        "params": str(params_file),
        "overrides": list(overrides),
        "host": host,
    }
    with suppress(StoppedBySignal), stopped_by_signals():
        say("Opening the campaign, to look at. The App takes some seconds to start.")
        with (
            open_database(paths.state) as uri,
            own_database(paths, uri, say) as name,
            bind(port or DEFAULT_PORT, host) as server,
        ):
            spec["port"], spec["socket"] = server.getsockname()[1], server.fileno()
            if port is not None and spec["port"] != port:
                say(f"Port {port} is in use; {spec['port']} is used instead.")
            env = app_environment(os.environ, uri=uri, database=name)
            env["FIFTYONE_PLUGINS_DIR"] = str(_PLUGINS)
            log = paths.state / f"app-browse-{spec['port']}.log"
            with AppProcess(spec, keys, env, log, module=_SERVER) as app:
                page = page_address(host, spec["port"], app.wait_for_start())
                for note in app.notes:
                    say(note)
                say(
                    f"\n  {with_token(page, keys.secret)}\n\nOpen that address, if no window has"
                    " opened. It holds the key to this session: pass it to nobody.\nNothing can be"
                    " changed in there. Ctrl-C ends this."
                )
                if keys.password is not None:
                    say(exposure(host, spec["port"], "sees all images and boxes of this campaign"))
                if browser:
                    open_browser(with_token(page, keys.ticket))
                app.wait_for_end("boxloop browse", DatabaseWatch(paths.state))
    say("Closed; nothing was changed.")


@contextmanager
def own_database(paths: CampaignPaths, uri: str, say: Say = print) -> Iterator[str]:
    """Provide the name of a database that nobody else uses, and drop it in the end.

    What a killed session left is dropped by the next one: each holds a lock as long as it lasts.
    """
    import pymongo
    from pymongo.errors import PyMongoError

    folder = paths.state / _FOLDER
    make_folder(folder)
    start = f"{database_name(paths, say)}_browse_"
    name = f"{start}{uuid4().hex[:8]}"
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(uri) as client, open_lock(folder / f"{name}.lock") as own:
        with lock(folder / "opening"):  # a lock that is made, and not taken yet, is nobody's
            try_lock(own)
            for left in folder.glob(f"{start}*.lock"):
                with open_lock(left) as other:
                    if left.stem != name and try_lock(other):
                        client.drop_database(left.stem)
                        left.unlink(missing_ok=True)
        try:
            yield name
        finally:
            with suppress(PyMongoError):  # the next session drops it
                client.drop_database(name)
                (folder / f"{name}.lock").unlink(missing_ok=True)
