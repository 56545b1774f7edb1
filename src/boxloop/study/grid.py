"""The grid of a study: its axes, its cells, and what each cell depends on."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boxloop.campaign import kept
from boxloop.campaign.digests import digest
from boxloop.core.ordering import find_strategy
from boxloop.errors import ParamsError
from boxloop.params import SIMNET, Params
from boxloop.params.registry import COST_MODELS, DETECTORS, ORDERINGS, Registry
from boxloop.study.datasets import AnnotatedDataset
from boxloop.study.spec import BASELINE, Spec, are_local

_FORMAT = 1
"""Incremented when cells are computed in another way, so that older ones are not used."""


@dataclass(frozen=True)
class Approach:
    """An ordering, with the kind of features that it uses.

    Attributes:
        strategy: name of the ordering.
        features: the kind of features; None where the strategy uses none.
    """

    strategy: str
    features: str | None

    @property
    def name(self) -> str:
        """The name in the tables."""
        return self.strategy if self.features is None else f"{self.strategy}-{self.features}"


@dataclass(frozen=True)
class Cell:
    """One simulated campaign of a study.

    Attributes:
        approach: how its images are ordered.
        detector: name of the detector in the study.
        seed: one of the study's.
        label: the class to label; None for all.
        params: of the campaign.
        inputs: everything that its detectors and proposals depend on.
        counted: everything else that its workload depends on. A change trains no detector again,
            because the simulated annotator returns the ground truth at any threshold.
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
        """The name, unique in the study and independent of the parameters."""
        parts = [self.approach.name, self.detector, f"seed{self.seed}"]
        return ".".join(parts if self.label is None else [self.label, *parts])

    @property
    def folder(self) -> str:
        """The name of its folder; other inputs give another one."""
        return f"{slug(self.name)}-{digest(self.inputs)[:10]}"


@dataclass(frozen=True)
class Grid:
    """The axes of a study, which are the rows and columns of its tables.

    Attributes:
        approaches: orderings with their features.
        detectors: names.
        ious: thresholds.
        labels: classes of Table 3; empty where all classes are labeled together.
        seeds: all that were asked for.
        paper: the dataset's name in the paper, if it is there.
        params: of one cell of each approach and detector.
    """

    approaches: Sequence[Approach]
    detectors: Sequence[str]
    ious: Sequence[float]
    labels: Sequence[str]
    seeds: Sequence[int]
    paper: str | None
    params: Mapping[tuple[Approach, str], Params]

    @property
    def has_baseline(self) -> bool:
        """Whether there is a random ordering to compare with, and something to compare."""
        strategies = {approach.strategy for approach in self.approaches}
        return BASELINE in strategies and len(strategies) > 1


def slug(name: str) -> str:
    """Replace the characters that a file system may refuse."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name)


def approaches(spec: Spec) -> list[Approach]:
    """Return the rows of the tables, in the order of study.yaml."""
    return [
        Approach(strategy, kind)
        for strategy in spec.axes.orderings
        for kind in (spec.features if find_strategy(strategy).needs_features else [None])
    ]


def cells(
    spec: Spec, whole: AnnotatedDataset, parts: Mapping[str | None, AnnotatedDataset]
) -> list[Cell]:
    """Return all cells, those of the first seed first, so that tables fill seed by seed.

    Args:
        spec: of the study.
        whole: the whole dataset, whose features are computed.
        parts: what is labeled, by class (None for all classes together).

    Raises:
        ParamsError: the parameters of a cell cannot be used, or are those of another seed's.
    """
    result: list[Cell] = []
    seen: dict[tuple[Approach, str, str | None, str], Cell] = {}
    axes = (spec.axes.seeds, parts.items(), spec.detectors, approaches(spec))
    for seed, (label, part), detector, approach in itertools.product(*axes):
        params = spec.params(approach.strategy, approach.features, detector, seed)
        if params.propose.neighbours != "off":
            raise ParamsError(
                "propose.neighbours is for a campaign of its own: a study's cells keep no features"
                " to find neighbours by; leave it out"
            )
        inputs = _inputs(params, approach, whole, part)
        counted = params.model_dump(mode="json", include={"review", "account"})
        counted |= _code("cost_model_code", COST_MODELS, params.account.cost_model)
        cell = Cell(approach, detector, seed, label, params, inputs, counted)
        first = seen.setdefault((approach, detector, label, digest(inputs)), cell)
        if first is not cell:
            raise ParamsError(
                f"{spec.path}: {first.name} would be run again as that of seed {seed}, as nothing"
                " that 'seeded' lists changes it: add train.seed to 'seeded', or give one seed"
            )
        result.append(cell)
    return result


def _inputs(
    params: Params, approach: Approach, whole: AnnotatedDataset, part: AnnotatedDataset
) -> dict[str, Any]:
    sections = {"batch", "train", "propose"}
    content: dict[str, Any] = {
        "format": _FORMAT,
        "dataset": part.digest,
        **params.model_dump(mode="json", include=sections),
        "weights": _weights_digest(params.train.weights),
        "strategy": approach.strategy,
        **_code("detector_code", DETECTORS, params.train.detector),
        **_code("strategy_code", ORDERINGS, approach.strategy),
    }
    first = params.propose.first
    if first is not None and (model := _weights_digest(first.model)) is not None:
        content["first_model"] = model
    batch = params.batch
    if batch.size is None and batch.count is None and batch.sizes is None:
        content["batches"] = len(params.iterations)
    if find_strategy(approach.strategy).seeded:
        content["seed"] = params.order.seed
    if approach.features is not None:
        content["order"] = params.order.model_dump(mode="json")
        content["features"] = features_inputs(params, whole)
    return content


def simnet_inputs(params: Params, whole: AnnotatedDataset) -> dict[str, Any]:
    """Return everything that SimNet depends on."""
    features = params.features
    return {
        "format": _FORMAT,
        "images": whole.images_digest,
        "simnet": params.simnet.model_dump(mode="json"),
        "weights": _weights_digest(params.simnet.weights),
        "network": features.network,
        "input_size": features.input_size,
    }


def features_inputs(params: Params, whole: AnnotatedDataset) -> dict[str, Any]:
    """Return everything that the features depend on."""
    content: dict[str, Any] = {
        "format": _FORMAT,
        "images": whole.images_digest,
        "features": params.features.model_dump(mode="json"),
        "weights": _weights_digest(params.features.weights),
    }
    if params.features.weights == SIMNET:
        content["simnet"] = simnet_inputs(params, whole)
    return content


def order_inputs(cell: Cell, whole: AnnotatedDataset, part: AnnotatedDataset) -> dict[str, Any]:
    """Return everything that the order of a cell's images depends on."""
    content: dict[str, Any] = {
        "format": _FORMAT,
        "images": part.images_digest,
        "order": cell.params.order.model_dump(mode="json"),
        **_code("strategy_code", ORDERINGS, cell.approach.strategy),
    }
    if cell.approach.features is not None:
        content["features"] = features_inputs(cell.params, whole)
    return content


def _weights_digest(weights: str) -> str | None:
    """Return the digest of the file or folder that ``weights`` names; None where it names none."""
    local = are_local(Path(os.path.expanduser(weights)))
    return kept.weights_digest(weights) if local else None


def _code(key: str, registry: Registry, name: str) -> dict[str, str]:
    """Return what stands for the code behind a name under a key; nothing for boxloop's own."""
    code = kept.code_digest(registry, name)
    return {} if code is None else {key: code}
