"""boxloop: label a pile of images with a fraction of the boxes drawn by hand.

``import boxloop`` offers what a notebook needs; each name is imported when it is first used
(docs/api.md, docs/quickstart.ipynb).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from boxloop.api import (
        compare,
        extract_features,
        load_dataset,
        order,
        plan_batches,
        propose,
        simulate,
        train_detector,
        workload,
    )
    from boxloop.core.edits import Ledger
    from boxloop.core.types import (
        Batch,
        Boxes,
        Corrections,
        FeatureTable,
        ImageRef,
        ImageSet,
        LabeledSet,
        Ordering,
        Proposals,
    )
    from boxloop.core.workload import BatchWorkload, CostModel, Totals
    from boxloop.datasets import Dataset
    from boxloop.errors import BoxloopError
    from boxloop.params import Params, load_params
    from boxloop.study.simulate import Simulation

__all__ = [
    "Batch",
    "BatchWorkload",
    "Boxes",
    "BoxloopError",
    "Corrections",
    "CostModel",
    "Dataset",
    "FeatureTable",
    "ImageRef",
    "ImageSet",
    "LabeledSet",
    "Ledger",
    "Ordering",
    "Params",
    "Proposals",
    "Simulation",
    "Totals",
    "compare",
    "extract_features",
    "load_dataset",
    "load_params",
    "order",
    "plan_batches",
    "propose",
    "simulate",
    "train_detector",
    "workload",
]

_PLACES = {
    "BatchWorkload": "core.workload",
    "BoxloopError": "errors",
    "CostModel": "core.workload",
    "Dataset": "datasets",
    "Ledger": "core.edits",
    "Params": "params",
    "Simulation": "study.simulate",
    "Totals": "core.workload",
    "load_params": "params",
}
"""Where a name is; types are in ``core.types`` and functions in ``api`` unless listed."""


def __getattr__(name: str) -> Any:
    """Import a public name at its first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'boxloop' has no attribute '{name}'")
    place = _PLACES.get(name) or ("core.types" if name[0].isupper() else "api")
    found = getattr(importlib.import_module(f"boxloop.{place}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
