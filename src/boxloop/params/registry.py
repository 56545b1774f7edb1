"""What params.yaml can name, and where the code behind each name is: one line per entry.

Code outside the package is named in three ways: as ``module:ATTRIBUTE``, by an installed package's
entry point of the registry's group, or by :meth:`Registry.register`. Nothing is imported before it
is used, so that a name can be checked without loading a library.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from boxloop.errors import ParamsError

_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
"""A module and what is to be taken from it."""


def hint(name: str, known: Iterable[str]) -> str:
    """Return the known name that is meant by a misspelled one, or all of them, in words."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names)}"


class Registry:
    """Names of one kind, such as the detectors, and the objects that they stand for."""

    def __init__(self, key: str, entries: Mapping[str, str], group: str) -> None:
        """Make a registry.

        Args:
            key: the parameter that takes these names, such as "train.detector".
            entries: "package.module" or "package.module:attribute" by name.
            group: of the entry points by which installed packages add theirs; a name that is
                among ``entries`` keeps its meaning.
        """
        self.key = key
        self.group = group
        self._entries: dict[str, Any] = dict(entries)

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        """Read the entry points of all installed packages, once, when a name is not an own one."""
        return {point.name: point for point in entry_points(group=self.group)}

    def __iter__(self) -> Iterator[str]:
        return iter({**self._entries, **self._installed})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (
            name in self._entries or _is_reference(name) or name in self._installed
        )

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
        """Return a name that is known, or has the form ``module:ATTRIBUTE``.

        Raises:
            ValueError: it is neither; names the nearest known one, or all.
        """
        if name not in self:
            raise ValueError(f"there is no '{name}' ({hint(name, self)})")
        return name

    def require(self, name: str) -> None:
        """Refuse a name that no entry has, and a module that cannot be found.

        Raises:
            ParamsError: no entry has this name, or no module.
        """
        try:
            self.check(name)
        except ValueError as error:
            raise ParamsError(f"{self.key}: {error}") from None
        if name not in self._entries and _is_reference(name):
            module = name.partition(".")[0].partition(":")[0]
            _search_in(Path.cwd())
            if importlib.util.find_spec(module) is None:
                raise ParamsError(
                    f"{self.key}: '{name}' names the module {module}, which is neither in"
                    f" {Path.cwd()} nor installed"
                )

    def get(self, name: str) -> Any:
        """Return the object behind a name, importing it where that is still to be done.

        The module of a ``module:ATTRIBUTE`` is found in the present folder, which is the
        campaign's, too.

        Raises:
            ParamsError: no entry has this name, or foreign code cannot be loaded.
        """
        self.require(name)
        if name in self._entries:
            entry = self._entries[name]
            return _load(entry) if isinstance(entry, str) else entry
        point = self._installed.get(name)
        origin = f"'{name}'"
        if point is not None and point.dist is not None:
            origin += f" of the package {point.dist.name} {point.dist.version}"
        try:
            return _load(name) if point is None else point.load()
        except (Exception, SystemExit) as error:  # foreign code may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ParamsError(f"{self.key}: {origin} cannot be loaded: {reason}") from error

    def is_loaded(self, name: str) -> bool:
        """Tell whether the object behind a name is there without importing anything."""
        return not isinstance(self._entries.get(name, ""), str)

    def code_of(self, name: str) -> Path | str | None:
        """Return what changes with the code behind a name: None for boxloop's own.

        The file of a ``module:ATTRIBUTE``, None where it is away; the name and version of the
        package that offers an entry point.
        """
        if name in self._entries:
            return None
        if _is_reference(name):
            _search_in(Path.cwd())
            try:
                found = importlib.util.find_spec(name.partition(":")[0])
            except Exception:  # it imports the packages around a module; :meth:`get` says why
                return None
            return Path(found.origin) if found and found.has_location and found.origin else None
        point = self._installed.get(name)
        return f"{point.dist.name} {point.dist.version}" if point and point.dist else None


def _is_reference(name: str) -> bool:
    return _REFERENCE.fullmatch(name) is not None


def _load(reference: str) -> Any:
    module, _, attribute = reference.partition(":")
    found: Any = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def _search_in(folder: Path) -> None:
    """Have modules of a folder found, after all others: its files must not hide a library's."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        importlib.invalidate_caches()


_FORMATS = ("demo", "voc", "coco", "yolo", "kitti", "folder")
FORMATS = Registry(
    "dataset.format",
    {name: f"boxloop.datasets.formats.{name}" for name in _FORMATS},
    "boxloop.formats",
)
"""Dataset formats: modules with ``load``, and with ``write`` where labels can be exported."""

_ORDERINGS = ("similar", "dissimilar", "random", "temporal")
ORDERINGS = Registry(
    "order.strategy",
    {name: f"boxloop.core.ordering:{name.upper()}" for name in _ORDERINGS},
    "boxloop.orderings",
)
"""Orders in which images are labeled: :class:`boxloop.core.ordering.Strategy` objects."""

_DETECTORS = (
    "fcos_efficientnet_lite0",
    "ssdlite320_mobilenet_v3_large",
    "ssd300_mobilenet_v2",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "ssd300_vgg16",
    "fcos_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "fasterrcnn_resnet50_fpn_v2",
    "transformers",
    "empty",
)
DETECTORS = Registry(
    "train.detector",
    {name: f"boxloop.models.detectors.{name}:FACTORY" for name in _DETECTORS},
    "boxloop.detectors",
)
"""Detectors: :class:`boxloop.models.detectors.base.DetectorFactory` objects."""

ANNOTATORS = Registry(
    "review.annotator",
    {
        "simulated": "boxloop.review.simulated:create",
        "fiftyone": "boxloop.review.people:create",
    },
    "boxloop.annotators",
)
"""Who corrects the proposals: functions that make a ``boxloop.review.annotators.Annotator``."""

COST_MODELS = Registry(
    "account.cost_model", {"paper": "boxloop.core.workload:PAPER"}, "boxloop.cost_models"
)
"""What edits cost: :class:`boxloop.core.workload.CostModel` objects."""
