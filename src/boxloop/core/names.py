"""What may name a class, an image or a box: one line of text that every program can hold."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable

from boxloop.params.words import PLACEHOLDER as PLACEHOLDER

UNNAMED = "not named"
"""What stands for a reviewer whose name is not known."""

LONGEST_NAME = 1_000
"""Characters of a class or an id: a path may be one."""

_LONGEST_NEW_CLASS = 200
_INVISIBLE = ("C", "Z")  # first letters of Unicode's categories: controls, separators


def is_control(char: str) -> bool:
    """Return whether a character is a control or a lone surrogate."""
    return unicodedata.category(char) in ("Cc", "Cs")


def has_control(text: str) -> bool:
    """Return whether a text holds a control character or a lone surrogate."""
    return not text.isprintable() and any(map(is_control, text))


def fault_of_id(name: str) -> str | None:
    """Say what is wrong with an id, in words that follow the name; None where nothing is."""
    if not name:
        return "is empty"
    if len(name) > LONGEST_NAME:
        return f"has {len(name):,} characters, more than {LONGEST_NAME:,}"
    if has_control(name):
        return "holds a line break, a control character or half of a surrogate pair"
    return None


def fault_of_class(name: str) -> str | None:
    """Say what is wrong with the name of a class, as :func:`fault_of_id` does."""
    if name == PLACEHOLDER:
        return "stands for a class that is not chosen yet"
    if not name.strip():
        return "is blank"
    return fault_of_id(name)


def fault_of_new_class(name: str) -> str | None:
    """Say what is wrong with a name that a class is to get, as :func:`fault_of_id` does.

    People have to see it and tell it from others. What was written by older versions is read by
    :func:`fault_of_class` all the same.
    """
    if len(name) > _LONGEST_NEW_CLASS:
        return f"has {len(name):,} characters, more than {_LONGEST_NEW_CLASS}"
    if fault := fault_of_class(name):
        return fault
    if "\u2028" in name or "\u2029" in name:
        return "holds a line break"
    if all(unicodedata.category(char)[0] in _INVISIBLE for char in name):
        return "shows nothing"
    return "has blanks around it" if name != name.strip() else None


def fault_of_reviewer(name: str) -> str | None:
    """Say what is wrong with a person's name, as :func:`fault_of_id` does.

    What was submitted by an older version may be by such a name all the same.
    """
    if ", " in name:
        return "holds a comma and a blank, which stand between two people's names"
    return fault_of_id(name)


def require_ids(names: Iterable[str]) -> None:
    """Check many ids at once.

    Raises:
        ValueError: one cannot be; says why.
    """
    _require(list(names), "id", fault_of_id)


def require_classes(names: Iterable[str]) -> None:
    """Check the names of classes.

    Raises:
        ValueError: one cannot be; says why.
    """
    _require(list(names), "class", fault_of_class)


def _require(names: list[str], what: str, fault_of: Callable[[str], str | None]) -> None:
    # Nearly always nothing is wrong, which this tells in no time.
    usual = what == "id" and all(names) and "".join(names).isprintable()
    if usual and max(map(len, names), default=0) <= LONGEST_NAME:
        return
    for name in names:
        why = fault_of(name)
        if why is not None:
            raise ValueError(f"the {what} {name[:60]!a} {why}")
