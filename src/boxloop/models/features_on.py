"""Feature vectors of images by the workers of a Dask scheduler, a shard of whole batches each.

The shards do not depend on the workers, and a batch is what it is in one process, so the vectors
are too. A shard that was lost with its worker is computed by another one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from boxloop.core.types import FeatureTable, ImageRef
from boxloop.distributed.jobs import Job, Jobs
from boxloop.distributed.performing import Outcome, Tell
from boxloop.distributed.places import Place
from boxloop.errors import BoxloopError
from boxloop.files import file_digest
from boxloop.models.backbone import Backbone
from boxloop.models.features import Vectors, compute_vectors, load_network, unite
from boxloop.models.progress import ItemProgress
from boxloop.params import SIMNET, FeaturesParams

_IMAGES_IN_SHARD = 2048
_SHARDS = 16
"""At least as many as that, if there are as many batches, so that unequal workers end together."""


def extract_on(
    place: Place,
    images: Sequence[ImageRef],
    params: FeaturesParams,
    progress: ItemProgress | None = None,
    *,
    simnet: Path | None = None,
) -> FeatureTable:
    """Compute one vector per image, as :func:`boxloop.models.features.extract` does.

    Args:
        place: whose workers see the images and the weights under the same paths.
        images: at least one.
        params: see there.
        progress: called now and then.
        simnet: the file of a trained SimNet, used where the weights are "simnet".

    Returns:
        Vectors (N, D) in the order of ``images``.

    Raises:
        BoxloopError: a shard failed for good; the message is that of ``extract``.
    """
    files: list[str] = []  # whose content decides, besides the parameters
    if os.path.exists(params.weights):
        params = params.model_copy(update={"weights": os.path.abspath(params.weights)})
        files.append(params.weights)
    if params.weights == SIMNET and simnet is not None and simnet.exists():
        files.append(os.path.abspath(simnet))
    common = {
        "params": params.model_dump_json(),
        "simnet": None if simnet is None else os.path.abspath(simnet),
        "digests": [file_digest(Path(path)) for path in files],
    }
    shards = {f"images {s.start} to {s.stop}": s for s in _shards(len(images), params.batch_size)}
    jobs = [
        Job(name, embed, {**common, "images": [_sent(images[i]) for i in shard]})
        for name, shard in shards.items()
    ]
    done: dict[str, int] = {}
    found: dict[str, Vectors] = {}
    errors: list[BoxloopError] = []

    def progressed(job: Job, what: str, count: int, total: int) -> None:
        done[job.name] = count
        if progress is not None:
            progress(sum(done.values()), len(images))

    def ended(job: Job, why: str | None, outcome: Outcome) -> None:
        if why is None:
            found[job.name] = outcome.result
            progressed(job, "", len(shards[job.name]), 0)
            return
        error = BoxloopError(why)
        error.exit_code = outcome.exit_code
        errors.append(error)

    def meanwhile() -> None:
        if errors:
            raise errors[0]

    Jobs(jobs, progressed, ended, lambda _: None).run(place, meanwhile)
    meanwhile()
    vectors = np.concatenate([found[name] for name in shards])
    unite(images, vectors)
    return FeatureTable(tuple(image.id for image in images), vectors)


def embed(content: Mapping[str, Any], tell: Tell) -> Vectors:
    """Compute the vectors of a shard, in a worker."""
    images = [ImageRef(**image) for image in content["images"]]
    params = FeaturesParams.model_validate_json(content["params"])
    backbone = _network(content["params"], content["simnet"], tuple(content["digests"]))
    tell("images", 0, len(images))
    return compute_vectors(backbone, images, params, lambda n: tell("images", n, len(images)))


@lru_cache(maxsize=1)
def _network(params: str, simnet: str | None, digests: tuple[str, ...]) -> Backbone:
    """Load the network once for all shards; other bytes in the same file make another one."""
    file = None if simnet is None else Path(simnet)
    return load_network(FeaturesParams.model_validate_json(params), file)


def _shards(items: int, batch: int) -> list[range]:
    """Cut items into ranges of whole batches."""
    batches = -(-items // batch)
    size = batch * max(1, min(_IMAGES_IN_SHARD // batch, -(-batches // _SHARDS)))
    return [range(begin, min(begin + size, items)) for begin in range(0, items, size)]


def _sent(image: ImageRef) -> dict[str, Any]:
    return {**asdict(image), "path": os.path.abspath(image.path)}
