"""From a study to its cells, and what each of them depends on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boxloop.campaign.digests import digest
from boxloop.core.ordering import find_strategy
from boxloop.files import file_digest
from boxloop.params import SIMNET, Params
from boxloop.study.datasets import Material
from boxloop.study.spec import Spec

_FORMAT = 1
"""Raised when a cell is computed in another way, so that cells of an older boxloop are not used."""


@dataclass(frozen=True)
class Approach:
    """An ordering, with the kind of features that it is made by.

    Attributes:
        strategy: of the ordering.
        features: the kind of features; None where the strategy uses none.
    """

    strategy: str
    features: str | None

    @property
    def name(self) -> str:
        """As the tables name it."""
        return self.strategy if self.features is None else f"{self.strategy}-{self.features}"


@dataclass(frozen=True)
class Cell:
    """One campaign of a study.

    Attributes:
        approach: how its images are ordered.
        detector: name of the detector in the study.
        seed: one of the study's.
        label: the class that it is about; None for all.
        params: of the campaign.
        inputs: everything that its detectors and proposals depend on.
        counted: everything else that its workload depends on; no detector is trained again when it
            changes, because the simulated annotator hands back the truth at any threshold.
    """

    approach: Approach
    detector: str
    seed: int
    label: str | None
    params: Params
    inputs: Mapping[str, Any]
    counted: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Unique in the study, and the same whatever its parameters are."""
        parts = [self.approach.name, self.detector, f"seed{self.seed}"]
        return ".".join(parts if self.label is None else [self.label, *parts])

    @property
    def folder(self) -> str:
        """Name of its folder; with other inputs it is another one."""
        return f"{slug(self.name)}-{digest(self.inputs)[:10]}"


def slug(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name)


def approaches(spec: Spec) -> list[Approach]:
    """The rows of the tables, in the order of the study."""
    found = []
    for strategy in spec.axes.orderings:
        kinds: Sequence[str | None] = (
            list(spec.features) if find_strategy(strategy).needs_features else [None]
        )
        found += [Approach(strategy, kind) for kind in kinds]
    return found


def cells(spec: Spec, whole: Material, materials: Mapping[str | None, Material]) -> list[Cell]:
    """All cells, those of the first seed first, so that whole tables grow seed by seed.

    Args:
        spec: of the study.
        whole: the whole dataset, which features are computed of.
        materials: what is labeled, by class (None for all classes together).

    Raises:
        ParamsError: the parameters of a cell cannot be used.
    """
    result = []
    for seed in spec.axes.seeds:
        for label, material in materials.items():
            for detector in spec.detectors:
                for approach in approaches(spec):
                    params = spec.params(approach.strategy, approach.features, detector, seed)
                    result.append(
                        Cell(
                            approach,
                            detector,
                            seed,
                            label,
                            params,
                            _inputs(params, approach, whole, material),
                            params.model_dump(mode="json", include={"review", "account"}),
                        )
                    )
    return result


def _inputs(
    params: Params, approach: Approach, whole: Material, material: Material
) -> dict[str, Any]:
    sections = {"batch", "train", "propose"}
    content: dict[str, Any] = {
        "format": _FORMAT,
        "dataset": material.digest,
        **params.model_dump(mode="json", include=sections),
        "weights": weights_digest(params.train.weights),
        "strategy": approach.strategy,
    }
    batch = params.batch
    if batch.size is None and batch.count is None and batch.sizes is None:
        content["batches"] = len(params.iterations)
    if find_strategy(approach.strategy).seeded:
        content["seed"] = params.order.seed
    if approach.features is not None:
        content["order"] = params.order.model_dump(mode="json")
        content["features"] = features_inputs(params, whole)
    return content


def simnet_inputs(params: Params, whole: Material) -> dict[str, Any]:
    """Everything that SimNet depends on."""
    features = params.features
    return {
        "format": _FORMAT,
        "images": whole.images_digest,
        "simnet": params.simnet.model_dump(mode="json"),
        "weights": weights_digest(params.simnet.weights),
        "network": features.network,
        "input_size": features.input_size,
    }


def features_inputs(params: Params, whole: Material) -> dict[str, Any]:
    """Everything that the features depend on."""
    content: dict[str, Any] = {
        "format": _FORMAT,
        "images": whole.images_digest,
        "features": params.features.model_dump(mode="json"),
        "weights": weights_digest(params.features.weights),
    }
    if params.features.weights == SIMNET:
        content["simnet"] = simnet_inputs(params, whole)
    return content


def order_inputs(cell: Cell, whole: Material, material: Material) -> dict[str, Any]:
    """Everything that the order of a cell's images depends on."""
    content: dict[str, Any] = {
        "format": _FORMAT,
        "images": material.images_digest,
        "order": cell.params.order.model_dump(mode="json"),
    }
    if cell.approach.features is not None:
        content["features"] = features_inputs(cell.params, whole)
    return content


def weights_digest(weights: str) -> str | None:
    """Of the file that ``weights`` names; None where it names none."""
    path = Path(weights)
    return file_digest(path) if path.is_file() else None
