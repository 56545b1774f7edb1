"""Everything that a study computes, as jobs that wait for each other; each thing once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from boxloop.campaign.digests import digest
from boxloop.campaign.paths import CampaignPaths
from boxloop.files import atomic_path
from boxloop.params import SIMNET
from boxloop.study.grid import Cell, features_inputs, order_inputs, simnet_inputs, slug
from boxloop.study.pool import Job
from boxloop.study.study import Study


def jobs_of(study: Study, left: Sequence[Cell]) -> list[Job]:
    """Everything that is to be computed, each thing once."""
    shared: dict[str, Job] = {}
    own: list[Job] = []
    for cell in left:
        order, needs = _order_job(study, cell, shared)
        paths = study.paths(cell)
        _prepare(study, cell, paths)
        held, simnet = study.held, _simnet(study, cell)
        content = {
            "kind": "cell",
            "params": cell.params.model_dump(mode="json"),
            "counted": cell.counted,
            "folder": str(paths.root),
            "order": str(order),
            "simnet": None if simnet is None else str(simnet.with_suffix(".json")),
            "held": None
            if held is None
            else {"folder": str(held.paths.root), "digest": held.digest},
            "checkpoints": study.spec.axes.checkpoints,
        }
        own.append(Job(cell.name, content, needs))
    return [*shared.values(), *own]


def _prepare(study: Study, cell: Cell, paths: CampaignPaths) -> None:
    """Writes what a campaign's folder begins with."""
    study.parts[cell.label].write(paths)
    path = paths.root / "params.yaml"
    content = cell.params.model_dump(mode="json")
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f"# The cell {cell.name} of a study, written by boxloop.\n")
        editor = YAML()
        editor.width = 100
        editor.dump(content, file)


def _order_job(study: Study, cell: Cell, shared: dict[str, Job]) -> tuple[Path, tuple[str, ...]]:
    """The file of a cell's order, and the jobs that it needs; shared jobs are added."""
    part = study.parts[cell.label]
    needs: tuple[str, ...] = ()
    features: Path | None = None
    if cell.approach.features is not None:
        features, needs = _features_job(study, cell, shared)
    inputs = order_inputs(cell, study.whole, part)
    out = study.shared / "orders" / f"{slug(cell.approach.name)}-{digest(inputs)[:16]}.json"
    name = f"order {out.stem}"
    if out.exists():
        return out, ()
    content = {
        "kind": "order",
        "params": cell.params.model_dump(mode="json"),
        "image_ids": [image.id for image in part.images.images],
        "features": None if features is None else str(features),
        "out": str(out),
    }
    shared.setdefault(name, Job(name, content, needs))
    return out, (name,)


def _features_job(study: Study, cell: Cell, shared: dict[str, Job]) -> tuple[Path, tuple[str, ...]]:
    params, kind = cell.params, cell.approach.features
    inputs = features_inputs(params, study.whole)
    out = study.shared / f"features-{kind}-{digest(inputs)[:16]}" / "features.npz"
    name = f"features {out.parent.name}"
    if out.exists():
        return out, ()
    simnet = _simnet(study, cell)
    content = {
        "kind": "features",
        "params": params.model_dump(mode="json"),
        "images": str(CampaignPaths(study.shared).images),
        "simnet": None if simnet is None else str(simnet),
        "out": str(out),
    }
    needs: tuple[str, ...] = ()
    if simnet is not None and not simnet.exists():
        needs = (simnet.parent.name,)
        log = str(simnet.with_suffix(".json"))
        train = {**content, "kind": "simnet", "out": str(simnet), "log": log}
        shared.setdefault(needs[0], Job(needs[0], train))
    shared.setdefault(name, Job(name, content, needs))
    return out, (name,)


def _simnet(study: Study, cell: Cell) -> Path | None:
    """The file of the SimNet that a cell's features come from, if they do."""
    if cell.approach.features is None or cell.params.features.weights != SIMNET:
        return None
    name = f"simnet-{digest(simnet_inputs(cell.params, study.whole))[:16]}"
    return study.shared / name / "simnet.pt"
