"""What params.yaml can name, and where the code behind each name is: one line per entry.

Code outside the package adds its own with :meth:`Registry.register`. Nothing is imported before it
is used, so that a name can be checked without loading a library.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from boxloop.errors import ParamsError


def hint(name: str, known: Iterable[str]) -> str:
    """Return the known name that is meant by a misspelled one, or all of them, in words."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names)}"


class Registry:
    """Names of one kind, such as the detectors, and the objects that they stand for."""

    def __init__(self, key: str, entries: Mapping[str, str]) -> None:
        """Make a registry.

        Args:
            key: the parameter that takes these names, such as "train.detector".
            entries: "package.module" or "package.module:attribute" by name.
        """
        self.key = key
        self._entries: dict[str, Any] = dict(entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def register(self, name: str, entry: Any) -> None:
        """Add an entry, or replace one.

        Args:
            name: what params.yaml calls it.
            entry: the object itself, or "package.module:attribute".
        """
        self._entries[name] = entry

    def unregister(self, name: str) -> None:
        """Remove an entry, if there is one of this name."""
        self._entries.pop(name, None)

    def check(self, name: str) -> str:
        """Return a known name.

        Raises:
            ValueError: no entry has this name; names the nearest one, or all.
        """
        if name not in self._entries:
            raise ValueError(f"there is no '{name}' ({hint(name, self)})")
        return name

    def require(self, name: str) -> None:
        """Refuse a name that no entry has.

        Raises:
            ParamsError: no entry has this name.
        """
        try:
            self.check(name)
        except ValueError as error:
            raise ParamsError(f"{self.key}: {error}") from None

    def get(self, name: str) -> Any:
        """Return the object behind a name, importing it where that is still to be done.

        Raises:
            ParamsError: no entry has this name.
        """
        self.require(name)
        entry = self._entries[name]
        if not isinstance(entry, str):
            return entry
        module, _, attribute = entry.partition(":")
        found: Any = importlib.import_module(module)
        return getattr(found, attribute) if attribute else found


_FORMATS = ("demo", "voc", "coco", "yolo", "kitti", "folder")
FORMATS = Registry(
    "dataset.format", {name: f"boxloop.datasets.formats.{name}" for name in _FORMATS}
)
"""Dataset formats: modules with ``load``, and with ``write`` where labels can be exported."""

_ORDERINGS = ("similar", "dissimilar", "random", "temporal")
ORDERINGS = Registry(
    "order.strategy", {name: f"boxloop.core.ordering:{name.upper()}" for name in _ORDERINGS}
)
"""Orders in which images are labeled: :class:`boxloop.core.ordering.Strategy` objects."""

_DETECTORS = (
    "fcos_efficientnet_lite0",
    "ssdlite320_mobilenet_v3_large",
    "ssd300_mobilenet_v2",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "empty",
)
DETECTORS = Registry(
    "train.detector", {name: f"boxloop.models.detectors.{name}:FACTORY" for name in _DETECTORS}
)
"""Detectors: :class:`boxloop.models.detectors.base.DetectorFactory` objects; the empty one last."""

ANNOTATORS = Registry(
    "review.annotator",
    {
        "simulated": "boxloop.review.simulated:create",
        "fiftyone": "boxloop.review.people:create",
    },
)
"""Who corrects the proposals: functions that make a ``boxloop.review.annotators.Annotator``."""

COST_MODELS = Registry("account.cost_model", {"paper": "boxloop.core.workload:PAPER"})
"""What edits cost: :class:`boxloop.core.workload.CostModel` objects."""
