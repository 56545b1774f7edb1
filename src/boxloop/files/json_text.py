"""Read JSON strictly: no key twice, no half of a surrogate pair, no endless number or nesting."""

from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from boxloop.errors import ArtifactError, MergeConflictError
from boxloop.files.reading import MOST_BYTES, collection_paused, explained, read_bytes

_SPACED_KEY = re.compile(rb'"[ \t\r\n]+:')
_SURROGATE = re.compile("[\ud800-\udfff]")
_DEEPEST = 200
"""Containers in each other, as the fast parser has it."""

_LONGEST_KEY = 60

_MARK = re.compile(r"^(?:<{7}|={7}|>{7}|\|{7})(?=\s|$)", re.MULTILINE)
"""What git writes around the sides of a conflict."""

BRING_BACK = ": bring the file back, or run the stage that makes it again"
"""Ends what is said of a file that is no JSON."""


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """Read any JSON file of boxloop's.

    Raises:
        MergeConflictError: a merge left a conflict in the file.
        ArtifactError: the file is missing, unreadable or not JSON.
    """
    with explained(path):
        content = read_bytes(path, most)
    try:
        return parse_json(content)
    except ValueError as error:
        conflict = find_conflict(content.decode("utf-8", "replace"))
        if conflict is not None:
            raise MergeConflictError(
                f"{path} cannot be read, as {conflict}: keep one side of it, as 'git checkout"
                f" --ours {path}' does"
            ) from None
        raise ArtifactError(f"{path} {error}{BRING_BACK}") from None


def find_conflict(text: str) -> str | None:
    """Say where a text holds a conflict of a merge, as git marks it."""
    mark = _MARK.search(text)
    if mark is None:
        return None
    line = text.count("\n", 0, mark.start()) + 1
    return f"a merge left a conflict in line {line} ({mark.group()})"


def parse_json(text: str | bytes, *, halves: bool = False) -> Any:
    """Parse JSON, at about the speed of the fastest parser where nothing is wrong with it.

    Args:
        text: in UTF-8 where it is bytes.
        halves: whether halves of surrogate pairs may stand in it, for files of other programs, of
            which they spoil single entries.

    Raises:
        ValueError: the text is not JSON, or holds what no program should write; the message goes on
            after the name of the file: "is not valid JSON (line 3, column 5): ...".
    """
    try:
        data = text.encode("utf-8") if isinstance(text, str) else text
        with collection_paused():
            content = from_json(data, cache_strings="keys")
        if _count_keys(content, data.count(b"{")) == _most_keys(data):
            return content
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair, which is no text") from None
    except ValueError:
        pass
    # What follows takes longer, and tells what is wrong and where.
    return _parse_slowly(data, halves)


def _most_keys(data: bytes) -> int:
    """Return a number that the keys of all objects of a text cannot exceed, and mostly reach."""
    plain = data.count(b'":')
    if plain == data.count(b":"):
        return plain
    return plain + sum(1 for _ in _SPACED_KEY.finditer(data))  # of which there are few


def _count_keys(content: Any, braces: int) -> int:
    """Count the keys of all objects, of which there are at most as many as ``braces``.

    Where a key came twice, the first one is gone. The search ends at the last object: what it holds
    is most of a file of boxes.
    """
    level, keys, objects = [content], 0, 0
    while level:
        tables = [item for item in level if type(item) is dict]
        lists = [item for item in level if type(item) is list]
        keys += sum(map(len, tables))
        objects += len(tables)
        if objects >= braces:
            break
        level = list(chain(chain.from_iterable(map(dict.values, tables)), *lists))
    return keys


def _parse_slowly(data: bytes, halves: bool) -> Any:
    try:
        text = data.decode("utf-8")
        if text.startswith("\ufeff"):
            raise ValueError("begins with a byte order mark, which JSON does not have")
        content = json.loads(text, object_pairs_hook=_object)
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(
            f"is not valid JSON (line {error.lineno}, column {error.colno}): {error.msg}"
        ) from None
    except RecursionError:
        raise ValueError("is nested too deeply to be read") from None
    except ValueError as error:
        if "integer string conversion" in str(error):
            raise ValueError("holds a number of thousands of digits") from None
        raise
    if not halves and _SURROGATE.search(json.dumps(content, ensure_ascii=False)):
        raise ValueError("holds half of a surrogate pair, which is no text")
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        seen: set[str] = set()
        name = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"has the key {name[:_LONGEST_KEY]!a} twice in one object")
    return table
