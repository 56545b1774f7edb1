"""Read study.yaml, and derive the parameters of each cell."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from boxloop.core.types import SIMULATED
from boxloop.errors import ParamsError
from boxloop.params import (
    NAME,
    SIMNET,
    Params,
    Positive,
    Section,
    Seed,
    Strategy,
    TrackParams,
    apply_override,
    chain,
    check,
    read_sections,
)
from boxloop.params.registry import FORMATS
from boxloop.params.section import Turns

BASELINE: Strategy = "random"
"""The ordering that the others are compared with."""

_WEIGHTS = ("simnet", "features", "train")
"""Sections whose ``weights`` may name a file."""


def _each_or_some(value: Any) -> Any:
    names = isinstance(value, tuple) and value and all(isinstance(name, str) for name in value)
    if value not in (None, "each") and not names:
        shown = list(value) if isinstance(value, tuple) else value
        raise ValueError(f"must be 'each' or a list of at least one class, got {shown!r:.200}")
    return value


_EACH_OR_SOME = BeforeValidator(_each_or_some)


class Axes(Section):
    """The content of study.yaml.

    Attributes:
        params: base params.yaml, relative to this file; boxloop's defaults without it.
        set: sections with keys that override it.
        title: of the page.
        orderings: the strategies to compare.
        features: kinds of features by name, each with keys of the section ``features`` and, under
            ``simnet``, of the section ``simnet``. Only orderings that need features use them.
        detectors: by name, each with keys of the section ``train``.
        seeds: each is one independent run of all other axes.
        seeded: the parameters that a seed sets.
        turns: number of batches; by default as many as ``params`` lists under ``iterations``.
        classes: "each", or names: one campaign per class, with the boxes of that class alone.
        class_images: of a class, either the images that contain it or all of them.
        test: keys of the section ``dataset`` that give the held-out set on which each detector is
            evaluated; with a ``format`` of its own, or as changes to ``dataset``.
        paper: the dataset's name in the paper, to show the published numbers.
        checkpoints: whether to keep the detectors of finished cells.
        sheet_images: images of each ordering that the page shows.
    """

    params: str | None = None
    set: dict[str, dict[str, Any]] = Field(default_factory=dict)
    title: str = "boxloop study"
    orderings: Annotated[tuple[Strategy, ...], Field(min_length=1)] = ("random", "dissimilar")
    features: dict[str, dict[str, Any]] = Field(default_factory=dict)
    detectors: dict[str, dict[str, Any]] = Field(default_factory=dict)
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    seeded: tuple[str, ...] = ("order.seed", "train.seed")
    turns: Turns | None = None
    classes: Annotated[Literal["each"] | tuple[str, ...] | None, _EACH_OR_SOME] = None
    class_images: Literal["containing", "all"] = "containing"
    test: dict[str, Any] | None = None
    paper: Literal["voc2007", "kitti", "indoor"] | None = None
    checkpoints: bool = True
    sheet_images: Positive = 8

    @model_validator(mode="after")
    def _distinct(self) -> Axes:
        for name, values in (
            ("orderings", self.orderings),
            ("seeds", self.seeds),
            ("classes", self.classes if isinstance(self.classes, tuple) else ()),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} must not repeat a value")
        if self.classes is not None and self.test is not None:
            raise ValueError("test is for a study of all classes: take it out, or take out classes")
        for axis, names in (("features", self.features), ("detectors", self.detectors)):
            for name in names:
                if not NAME.fullmatch(name):
                    raise ValueError(
                        f"{axis}: '{name}' cannot be a name: use up to 100 letters, digits, '_'"
                        " and '-'"
                    )
        for key in self.seeded:
            section, _, rest = key.partition(".")
            if rest != "seed" or section not in ("order", "train", "features", "simnet"):
                raise ValueError(
                    "seeded lists what a seed sets: order.seed, train.seed, features.seed,"
                    f" simnet.seed; got '{key}'"
                )
        return self


@dataclass(frozen=True)
class Spec:
    """A study: its axes, and the base parameters that they override.

    Attributes:
        path: of study.yaml.
        axes: its content.
        content: sections of the base parameters, with ``set`` applied; paths are absolute.
        features: keys to override, by the name of the kind of features; at least one.
        detectors: keys of ``train`` to override, by name; at least one.
    """

    path: Path
    axes: Axes
    content: Mapping[str, Any]
    features: Mapping[str, Mapping[str, Any]]
    detectors: Mapping[str, Mapping[str, Any]]

    @property
    def track(self) -> TrackParams:
        """The section ``track`` of the study."""
        return check(Params, self.content, str(self.path)).track

    def params(self, strategy: Strategy, features: str | None, detector: str, seed: int) -> Params:
        """Return the parameters of one cell.

        Args:
            strategy: of the ordering.
            features: a kind of features; None where the strategy uses none.
            detector: one of the detectors.
            seed: for all that ``seeded`` lists.

        Raises:
            ParamsError: they cannot be used; names the entry of study.yaml.
        """
        content = copy.deepcopy(dict(self.content))
        places = [str(self.path)]
        if features is None:
            content["features"] = {"weights": "none"}
            content.pop("simnet", None)
        elif self.features[features]:
            chosen = dict(self.features[features])
            _nest(content, {"simnet": chosen.pop("simnet", {}), "features": chosen})
            places.append(f"features.{features}")
        if changes := self.detectors[detector]:
            if ("steps" in changes) != ("epochs" in changes):
                for key in ("steps", "epochs"):
                    (content.get("train") or {}).pop(key, None)
            _nest(content, {"train": changes})
            places.append(f"detectors.{detector}")
        for key in self.axes.seeded:
            _nest(content, {key.partition(".")[0]: {"seed": seed}})
        fixed = {"order": {"strategy": strategy}, "review": {"annotator": SIMULATED}}
        # The study tracks its cells itself, and nobody continues a cell as a campaign.
        _nest(content, {**fixed, "track": {"enabled": False, "checkpoints": False}})
        # Files of a cell are named after its turns, of which nothing but the number counts.
        turns = self.axes.turns or len(content.get("iterations", {})) or 1
        content["iterations"] = chain(turns)
        return check(Params, content, ", ".join(places))

    def test_dataset(self, params: Params) -> Params | None:
        """Return parameters whose section ``dataset`` is the test set's, or None.

        Raises:
            ParamsError: ``test`` cannot be used.
        """
        test = self.axes.test
        if test is None:
            return None
        if test.get("format") == "folder":
            known = ", ".join(name for name in FORMATS if name != "folder")
            raise ParamsError(
                f"{self.path}, test: images of format 'folder' have no boxes to evaluate by: name a"
                f" format whose images are labeled (known: {known})"
            )
        dataset = {} if "format" in test else params.dataset.model_dump(mode="json")
        content = {"dataset": dataset}
        _nest(content, {"dataset": test})
        _make_absolute(content, self.path.parent)
        return check(Params, content, f"{self.path}, test")


def load_spec(path: Path, overrides: Sequence[str] = ()) -> Spec:
    """Read study.yaml.

    A relative path starts at the folder of the file that names it.

    Args:
        path: of study.yaml.
        overrides: ``section.key=value`` from the command line, for the base parameters; their paths
            start at the working directory.

    Raises:
        ParamsError: one sentence per problem, each naming the key.
    """
    axes = check(Axes, read_sections(path), str(path))
    folder = path.parent
    content: dict[str, Any] = {}
    if axes.params is not None:
        base = folder / axes.params
        content = read_sections(base)
        check(Params, content, str(base))
        _make_absolute(content, base.parent)
    _require_free_seeds(path, axes)
    changed: dict[str, Any] = copy.deepcopy(axes.set)
    _make_absolute(changed, folder)
    _nest(content, changed)
    for override in overrides:
        changed = {}
        apply_override(changed, override)
        _require_free(path, axes, "--set ", changed)
        _make_absolute(changed, Path())
        _nest(content, changed)
    # A missing section takes boxloop's defaults, even where an axis adds a key to it.
    content.setdefault("train", Params().train.model_dump(mode="json"))
    _train_length(content["train"], axes.detectors)
    base_params = check(Params, content, str(path))
    features = axes.features or {_features_name(base_params): {}}
    detectors = axes.detectors or {base_params.train.detector: {}}
    for chosen in (*features.values(), *detectors.values()):
        _absolute_weights(chosen, folder)
        if isinstance(chosen.get("simnet"), dict):
            _absolute_weights(chosen["simnet"], folder)
    spec = Spec(path, axes, content, features, detectors)
    for name in features:
        for detector in detectors:
            spec.params("dissimilar", name, detector, axes.seeds[0])
    if base_params.dataset.format == "folder":
        raise ParamsError(
            f"{path}: a study corrects by the truth, and a dataset of format 'folder' has none"
        )
    spec.test_dataset(base_params)
    return spec


def _require_free_seeds(path: Path, axes: Axes) -> None:
    """Refuse seeds that ``seeded`` would replace in every cell; those of the base may stay.

    Raises:
        ParamsError: there is one; names it.
    """
    _require_free(path, axes, "set.", axes.set)
    for name, own in axes.detectors.items():
        _require_free(path, axes, f"detectors.{name}.", {"train": own}, shown="")
    for name, own in axes.features.items():
        _require_free(path, axes, f"features.{name}.", {"features": own}, shown="")
        _require_free(path, axes, f"features.{name}.", {"simnet": own.get("simnet")})


def _require_free(
    path: Path, axes: Axes, place: str, content: Mapping[str, Any], *, shown: str | None = None
) -> None:
    for key in axes.seeded:
        name = key.partition(".")[0]
        section = content.get(name)
        if isinstance(section, Mapping) and "seed" in section:
            where = place + (f"{name}." if shown is None else shown)
            raise ParamsError(
                f"{path}: {where}seed would be replaced by 'seeds': take it out, or take {key} out"
                " of 'seeded'"
            )


def _train_length(train: Any, detectors: Mapping[str, Mapping[str, Any]]) -> None:
    """Add a default length where each detector sets its own and the base sets none."""
    lengths = {"steps", "epochs"}
    all_set = detectors and all(lengths & set(changes) for changes in detectors.values())
    if all_set and isinstance(train, dict) and not lengths & set(train):
        train["steps"] = Params().train.steps


def _features_name(params: Params) -> str:
    """Return a name for the features of the base parameters."""
    features = params.features
    if features.weights == SIMNET:
        return "simnet"
    return "imagenet" if features.of_imagenet else features.network


def _nest(content: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Write a copy of the changes over the content, key by key."""
    for key, value in changes.items():
        if isinstance(value, Mapping):
            if not isinstance(content.get(key), dict):
                content[key] = {}
            _nest(content[key], value)
        else:
            content[key] = value


def _make_absolute(content: dict[str, Any], folder: Path) -> None:
    """Resolve the relative paths in the content of a params.yaml from ``folder``."""
    dataset = content.get("dataset")
    if isinstance(dataset, dict):
        path = dataset.get("path")
        if isinstance(path, str):
            # What cannot be a path is refused by its section, with the key.
            with contextlib.suppress(ValueError, OSError, RuntimeError):
                dataset["path"] = str((folder / path).resolve())
    for name in _WEIGHTS:
        section = content.get(name)
        if isinstance(section, dict):
            _absolute_weights(section, folder)
    propose = content.get("propose")
    if isinstance(propose, dict) and isinstance(propose.get("first"), dict):
        _absolute_weights(propose["first"], folder, "model")


def _absolute_weights(section: dict[str, Any], folder: Path, key: str = "weights") -> None:
    weights = section.get(key)
    if isinstance(weights, str):
        with contextlib.suppress(ValueError, OSError, RuntimeError):
            if are_local(folder / weights):
                section[key] = str((folder / weights).resolve())


def are_local(weights: Path) -> bool:
    """Tell whether weights are a file, or a folder of a network of transformers.

    Another folder may just be called as weights are: simnet, for example.
    """
    return weights.is_file() or (weights / "config.json").is_file()
