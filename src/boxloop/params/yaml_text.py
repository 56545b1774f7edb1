"""Read YAML that people wrote, with a limit to what it may unfold into.

A few lines of aliases and merge keys can stand for more than a machine can hold. They are counted
before they are unfolded.
"""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    NodeEvent,
    ScalarEvent,
)

from boxloop.files import find_conflict

_MOST_NODES = 100_000
"""Values that a text may stand for."""

_DEEPEST = 100
"""Lists and tables in each other."""

_BRACKETS = re.compile(r"[\[\]{}]")


def read_yaml(text: str) -> Any:
    """Return the content of a YAML text, by version 1.2 of YAML, as DVC reads params.yaml.

    In 1.1, which PyYAML reads, 1e-3 is a text and ``no`` is false.

    Raises:
        ValueError: the text is not YAML, repeats a key, or stands for too much.
    """
    try:
        _require_bounded(text)
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        if conflict := find_conflict(text):
            raise ValueError(f"{conflict}: keep one side of it, without the marks") from None
        # The library adds advice for programmers below an empty line.
        reason = " ".join(str(error).partition("\n\n")[0].split())
        raise ValueError(reason.replace('"<unicode string>", ', "")) from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError as error:
        if "integer string conversion" in str(error):
            raise ValueError("it holds a number of thousands of digits") from None
        raise ValueError(" ".join(str(error).split())) from None
    except (ArithmeticError, LookupError, TypeError, AttributeError, AssertionError) as error:
        # The library raises nearly anything where a tag does not fit its value.
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None


def read_long_yaml(text: str) -> Any:
    """Return the content of a YAML text as :func:`read_yaml` does, by a parser in C.

    It takes a tenth of the time, and lets repeated keys pass: for files that programs write.

    Raises:
        ValueError: the text is not YAML, or stands for too much.
    """
    try:
        _require_bounded(text)
        return YAML(typ="safe").load(text)
    except YAMLError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except (ArithmeticError, LookupError, TypeError, AttributeError, AssertionError) as error:
        raise ValueError(str(error)) from None


_TOO_DEEP = f"more than {_DEEPEST} lists or sections lie in each other"


def _require_bounded(text: str) -> None:
    """Refuse what nests or unfolds without end.

    Raises:
        ValueError: it does; says which.
        YAMLError: the text is not YAML.
    """
    depth = 0
    for bracket in _BRACKETS.finditer(text) if text.count("[") + text.count("{") > _DEEPEST else ():
        depth += 1 if bracket[0] in "[{" else -1
        if depth > _DEEPEST:
            raise ValueError(_TOO_DEEP)
    if "*" in text and "&" in text:
        _require_bounded_aliases(text)


def _require_bounded_aliases(text: str) -> None:
    """Count what the aliases of a text stand for, without unfolding any."""
    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    for event in YAML(typ="safe", pure=True).parse(text):
        anchor = event.anchor if isinstance(event, NodeEvent) else None
        size = 0
        if isinstance(event, CollectionStartEvent):
            open_.append((anchor, 1))
            if len(open_) > _DEEPEST:
                raise ValueError(_TOO_DEEP)
        elif isinstance(event, CollectionEndEvent):
            anchor, size = open_.pop()
        elif isinstance(event, AliasEvent):
            if any(name == anchor for name, _ in open_):
                raise ValueError(f"the alias *{anchor} stands for something that it is a part of")
            anchor, size = None, sizes.get(str(anchor), 1)
        elif isinstance(event, ScalarEvent):
            size = 1
        if anchor is not None and size:
            sizes[anchor] = size
        if size and open_:
            name, before = open_[-1]
            open_[-1] = (name, before + size)
        if size > _MOST_NODES or (open_ and open_[-1][1] > _MOST_NODES):
            raise ValueError(f"its aliases stand for more than {_MOST_NODES:,} values")
