"""Refuse what a caller gives of another kind than a function takes, in one sentence."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping
from os import PathLike
from pathlib import Path
from typing import Any


def require(fits: bool, name: str, value: object, what: str) -> None:
    """Refuse an argument that does not fit.

    Args:
        fits: whether it does.
        name: of the argument.
        value: that was given.
        what: it must be, in words.

    Raises:
        ValueError: it does not.
    """
    if not fits:
        raise ValueError(f"{name} must be {what}, got {shown(value)}")


def require_text(name: str, value: object) -> None:
    """Refuse what is no text, see :func:`require`."""
    require(isinstance(value, str), name, value, "a text")


def require_path(name: str, value: object) -> None:
    """Refuse what names no file or folder, see :func:`require`."""
    require(isinstance(value, str | PathLike), name, value, "a path")


def require_progress(value: object) -> None:
    """Refuse what cannot be called with how much is done, see :func:`require`."""
    require(value is None or callable(value), "progress", value, "a function or None")


def require_list(name: str, values: object, kind: type[Any], what: str) -> None:
    """Refuse what is no list of something in particular, see :func:`is_list`."""
    require(is_list(values, kind), name, values, f"a list of {what}")


def is_list(values: Any, kind: type[Any]) -> bool:
    """Tell whether something lists nothing but what is of a kind.

    A text passes for a list of its characters, as everywhere in Python.
    """
    listed = isinstance(values, Collection) and not isinstance(values, Mapping | bytes)
    return listed and all(isinstance(value, kind) for value in values)


def require_mapping(name: str, values: object, kind: Any, what: str) -> None:
    """Refuse what does not give, by text, something of a kind, see :func:`require`."""
    fits = isinstance(values, Mapping) and all(
        isinstance(key, str) and isinstance(value, kind) for key, value in values.items()
    )
    require(fits, name, values, what)


def plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as YAML would give them: paths as text, NumPy's numbers as Python's."""
    return {name: _plain(value) for name, value in options.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value.tolist() if hasattr(value, "tolist") else value


def shown(value: Any) -> str:
    """Return a value as params.yaml might have it, cut short: it can be of any size and depth."""
    try:
        text = _SHORT.repr(list(value) if isinstance(value, tuple) else value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        text = "something too large to show"
    return text.replace("\n", " ")  # of NumPy


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200
_SHORT.maxlong = 40
_SHORT.maxlevel = 4
