"""The environment that FiftyOne is started in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FAREWELL_SECONDS = 2.0
"""The App stays up this long after a submission, so that its panel can show the summary."""

PLUGINS = Path(__file__).parent / "plugins"


def environment(base: Mapping[str, str], *, uri: str, database: str) -> dict[str, str]:
    """The variables of the App's process.

    Args:
        base: those of this process.
        uri: of the MongoDB.
        database: name of the campaign's database in it.
    """
    return {
        **base,
        "FIFTYONE_DATABASE_URI": uri,
        "FIFTYONE_DATABASE_NAME": database,
        # Silences the warning that MongoDB 6 is the oldest that is supported.
        "FIFTYONE_DATABASE_VALIDATION": "0",
        "FIFTYONE_DO_NOT_TRACK": "1",
        "FIFTYONE_DEFAULT_APP_ADDRESS": "127.0.0.1",
        "FIFTYONE_PLUGINS_DIR": str(PLUGINS),
        "FIFTYONE_SHOW_PROGRESS_BARS": "0",
        "FIFTYONE_SERVER": "1",
        "PYTHONUNBUFFERED": "1",
    }
