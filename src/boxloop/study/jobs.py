"""Everything that a study computes, as jobs that wait for each other; each thing once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from boxloop.campaign.digests import digest
from boxloop.campaign.paths import CampaignPaths
from boxloop.distributed.jobs import Job
from boxloop.files import atomic_path
from boxloop.params import SIMNET
from boxloop.study.grid import Cell, features_inputs, order_inputs, simnet_inputs, slug
from boxloop.study.study import Study
from boxloop.study.work import do


def jobs_of(study: Study, left: Sequence[Cell]) -> list[Job]:
    """Return the jobs that compute these cells, and what several of them share before them."""
    shared: dict[str, Job] = {}
    made: dict[str, Path] = {}
    locks = study.root / ".locks"

    def add(
        content: Mapping[str, Any], name: str, out: Path, *needs: str, **files: Path | None
    ) -> tuple[str, ...]:
        """Add a job unless its file is there; return the names to wait for."""
        if out.exists():
            return ()
        places = {key: str(path) for key, path in {**files, "out": out}.items() if path}
        made[name] = out
        reads = tuple(made[need] for need in needs)
        lock = locks / f"{out.parent.name}-{out.stem}"
        job = Job(name, do, {**content, "files": places}, needs, lock, reads)
        shared.setdefault(name, job)
        return (name,)

    own: list[Job] = []
    images = CampaignPaths(study.shared).images
    for cell in left:
        simnet, features, order = _shared_files(study, cell)
        log = simnet and simnet.with_suffix(".json")
        params: dict[str, Any] = {"params": cell.params.model_dump(mode="json")}
        needs: tuple[str, ...] = ()
        if features is not None:
            if simnet is not None and not features.exists():
                content = {"kind": "simnet", **params}
                needs = add(content, simnet.parent.name, simnet, images=images, log=log)
            content, name = {"kind": "features", **params}, f"features {features.parent.name}"
            needs = add(content, name, features, *needs, images=images, simnet=simnet)
        ids = [image.id for image in study.parts[cell.label].images.images]
        content = {"kind": "order", **params, "image_ids": ids}
        needs = add(content, f"order {order.stem}", order, *needs, features=features)
        _prepare(study, cell)
        held = study.held
        whole: dict[str, Any] = {
            "kind": "cell",
            **params,
            "counted": cell.counted,
            "folder": str(study.paths(cell).root),
            "order": str(order),
            "simnet": log and str(log),
            "held": held and {"folder": str(held.paths.root), "digest": held.digest},
            "checkpoints": study.spec.axes.checkpoints,
        }
        lock, reads = locks / cell.folder, tuple(made[need] for need in needs)
        own.append(Job(cell.name, do, whole, needs, lock, reads))
    return [*shared.values(), *own]


def _shared_files(study: Study, cell: Cell) -> tuple[Path | None, Path | None, Path]:
    """Return the files of SimNet, the features and the order; None where it needs none."""
    params, whole, kind = cell.params, study.whole, cell.approach.features
    simnet = features = None
    if kind is not None:
        name = f"features-{kind}-{digest(features_inputs(params, whole))[:16]}"
        features = study.shared / name / "features.npz"
        if params.features.weights == SIMNET:
            name = f"simnet-{digest(simnet_inputs(params, whole))[:16]}"
            simnet = study.shared / name / "simnet.pt"
    inputs = order_inputs(cell, whole, study.parts[cell.label])
    name = f"{slug(cell.approach.name)}-{digest(inputs)[:16]}.json"
    return simnet, features, study.shared / "orders" / name


def _prepare(study: Study, cell: Cell) -> None:
    """Write what a campaign's folder begins with."""
    paths = study.paths(cell)
    study.parts[cell.label].write(paths)
    path = paths.root / "params.yaml"
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f"# The cell {cell.name} of a study, written by boxloop.\n")
        editor = YAML()
        editor.width = 100
        editor.dump(cell.params.model_dump(mode="json"), file)
