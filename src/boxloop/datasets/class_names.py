"""Names of classes: which ones files, people and the review App can tell apart."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from boxloop.core.names import PLACEHOLDER, has_control
from boxloop.errors import DatasetError

_LONGEST = 200
_INVISIBLE = ("C", "Z")  # first letters of Unicode's categories: controls, separators


def check_class_names(names: Iterable[str], where: str) -> None:
    """Require names of one visible line each, with nothing around it.

    Args:
        names: of classes.
        where: what an error calls their place.

    Raises:
        DatasetError: a name is not so.
    """
    for name in names:
        if why := _fault(name):
            shown = ascii(name[:_LONGEST])
            raise DatasetError(f"{where} has a class {shown}: {why}; give it another name")


def _fault(name: str) -> str | None:
    if has_control(name) or "\u2028" in name or "\u2029" in name:
        return "a name is one line of valid text"
    if all(unicodedata.category(char)[0] in _INVISIBLE for char in name):
        return "a name must show something"
    if name != name.strip():
        return "a name neither begins nor ends with a blank"
    if name == PLACEHOLDER:
        return "in the review App that stands for a class still to be chosen"
    if len(name) > _LONGEST:
        return f"a name has {_LONGEST} characters at most"
    return None
