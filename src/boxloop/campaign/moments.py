"""Read when people did something."""

from __future__ import annotations

from datetime import UTC, datetime

_FIRST_YEAR, _LAST_YEAR = 1970, 9000


def parse_time(text: str) -> datetime:
    """Parse a time; one that names no zone is taken for UTC.

    Raises:
        ValueError: it is not a time by ISO 8601, or none at which a person can have worked.
    """
    result = datetime.fromisoformat(text)
    # The last year leaves room for submissions that have to be newer.
    if not _FIRST_YEAR <= result.year < _LAST_YEAR:
        raise ValueError(f"{text} is no time at which a person can have worked")
    return result.replace(tzinfo=UTC) if result.tzinfo is None else result.astimezone(UTC)
