"""Names of classes: which ones files, people and the review App can tell apart."""

from __future__ import annotations

from collections.abc import Iterable

from boxloop.core.names import fault_of_new_class
from boxloop.errors import DatasetError


def check_class_names(names: Iterable[str], where: str) -> None:
    """Require names that a class can get.

    Args:
        names: of classes.
        where: what an error calls their place.

    Raises:
        DatasetError: a name is not so.
    """
    for name in names:
        if why := fault_of_new_class(name):
            shown = ascii(name[:200])
            raise DatasetError(f"{where} has a class {shown} that {why}: give it another name")
