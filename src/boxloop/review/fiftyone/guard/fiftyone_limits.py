"""Limit what FiftyOne does in the App's process, whatever a request makes it try.

FiftyOne turns names in requests into classes and calls these: any importable callable would do.
The places where names become classes, and where datasets are opened, are replaced here by ones that
take what a review needs. It holds for the process, for good.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

WHOLE = frozenset(
    {
        *("Exclude", "ExcludeBy", "Exists", "Limit", "Match", "MatchLabels", "MatchTags"),
        *("Select", "SelectBy", "Shuffle", "Skip", "SortBy", "Take"),
    }
)
"""What a view of a review can be made of: it selects and orders images, which stay whole.

The App stores an edit of an image as it shows it: what a view hid of it would be deleted.
"""

PARTIAL = frozenset(
    {
        *("ExcludeFields", "ExcludeLabels", "FilterField", "FilterLabels", "LimitLabels"),
        *("MapLabels", "SelectFields", "SelectLabels"),
    }
)
"""What hides or changes what an image holds, in a view where nothing can be edited.

It neither writes nor reads elsewhere.
"""

AGGREGATIONS = frozenset(
    {
        *("Bounds", "Count", "CountValues", "Distinct", "HistogramValues", "Max", "Mean"),
        *("Min", "Schema", "Std", "Sum", "Values"),
    }
)

_STAGE_MODULE = "fiftyone.core.stages"
_AGGREGATION_MODULE = "fiftyone.core.aggregations"


class Refused(ValueError):
    """A request named what a review has no use for."""


def part_hidden(stage: str) -> str:
    """Return why a review has no view with a stage of :data:`PARTIAL`."""
    return (
        f"a review shows whole images, as the App would delete the boxes that a view with {stage}"
        " hides: filter in the sidebar, without making a view of it"
    )


def limit(dataset: str, operators: Collection[str], stages: Collection[str] = WHOLE) -> None:
    """Limit FiftyOne in this process.

    Args:
        dataset: the only one that can still be opened.
        operators: the addresses of those that requests can run.
        stages: the names of those that a view can be made of.
    """
    _limit_classes()
    _limit_stages(frozenset(stages))
    _limit_views(frozenset(stages))
    _limit_datasets(dataset)
    _limit_operators(frozenset(operators))


def _limit_classes() -> None:
    """Let names become classes only where they name one that FiftyOne itself defines."""
    from fiftyone.core.stages import etau  # eta.core.utils, which all of FiftyOne calls

    original = etau.get_class

    def get_class(class_name: str, module_name: str | None = None) -> Any:
        full = class_name if module_name is None else f"{module_name}.{class_name}"
        if not _is_of_fiftyone(full):
            raise Refused(f"'{full}' is no class of FiftyOne's")
        found = original(class_name, module_name)
        if not isinstance(found, type) or not _is_of_fiftyone(found.__module__ + "."):
            raise Refused(f"'{full}' is no class of FiftyOne's")
        return found

    etau.get_class = get_class


def _is_of_fiftyone(name: object) -> bool:
    return isinstance(name, str) and name.startswith(("fiftyone.", "eta."))


def _limit_stages(names: frozenset[str]) -> None:
    import fiftyone.core.aggregations as foa
    import fiftyone.core.stages as fos

    stages = {f"{_STAGE_MODULE}.{name}": getattr(fos, name) for name in names}
    aggregations = {f"{_AGGREGATION_MODULE}.{name}": getattr(foa, name) for name in AGGREGATIONS}

    def make(allowed: Mapping[str, Any], description: Any) -> Any:
        name = description["_cls"]
        chosen = allowed.get(name) if isinstance(name, str) else None
        if chosen is None:
            _refuse_partial(str(name).removeprefix(f"{_STAGE_MODULE}."))
            raise Refused(f"'{name}' is not among what a view can be made of in a review")
        made = chosen(**dict(description["kwargs"]))
        made._uuid = description.get("_uuid", None)
        return made

    fos.ViewStage._from_dict = classmethod(lambda cls, d: make(stages, d))
    foa.Aggregation._from_dict = classmethod(lambda cls, d: make(aggregations, d))


def _refuse_partial(stage: str) -> None:
    if stage in PARTIAL:
        raise Refused(part_hidden(stage))


def _limit_views(stages: frozenset[str]) -> None:
    """Let no view be set that has other stages: the server itself makes some of a filter."""
    import fiftyone.server.mutation as fom
    import fiftyone.server.stage_definitions as fosd

    # What the App offers for a view.
    fosd._STAGES = [stage for stage in fosd._STAGES if stage.__name__ in stages]
    original = fom._build_result_view

    def build(view: Any, form: Any) -> Any:
        made = original(view, form)
        for stage in made._stages:
            name = type(stage).__name__
            if name not in stages:
                _refuse_partial(name)
                raise Refused(f"'{name}' is not among what a view can be made of in a review")
        return made

    fom._build_result_view = build


def _limit_datasets(name: str) -> None:
    """Let no other dataset of the database be opened, made or listed."""
    import fiftyone.core.dataset as fod
    import fiftyone.server.query as foq

    singleton = type(fod.Dataset)
    original = singleton.__call__

    def call(cls: Any, name_: Any = None, *args: Any, **kwargs: Any) -> Any:
        wanted = kwargs.pop("name", name_)
        if wanted != name:
            raise fod.DatasetNotFoundError(wanted)
        return original(cls, wanted, *args, **kwargs)

    singleton.__call__ = call
    # The lists behind the App's queries are the same objects as these.
    foq.DATASET_FILTER.append({"name": name})
    foq.DATASET_FILTER_STAGE.insert(0, {"$match": {"name": name}})


def _limit_operators(allowed: frozenset[str]) -> None:
    from fiftyone.operators.permissions import ManagedOperators

    ManagedOperators.has_operator = lambda self, uri: uri in allowed
