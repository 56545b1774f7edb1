"""From the order of all images to the batches B1..Bn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from boxloop.core.types import Batch
from boxloop.errors import ParamsError
from boxloop.params import BatchParams


def sizes_by_size(total: int, size: int) -> list[int]:
    """Batches of ``size`` images; the last one takes what is left."""
    whole, rest = divmod(total, size)
    return [size] * whole + ([rest] if rest else [])


def sizes_by_count(total: int, count: int) -> list[int]:
    """``count`` batches whose sizes differ by at most one, the larger ones first.

    Raises:
        ValueError: there are fewer images than batches.
    """
    if count > total:
        raise ValueError(f"{total} images cannot fill {count} batches")
    whole, rest = divmod(total, count)
    return [whole + 1] * rest + [whole] * (count - rest)


def cut(image_ids: Sequence[str], sizes: Sequence[int], names: Sequence[str]) -> list[Batch]:
    """Cuts an order into named batches.

    Args:
        image_ids: in the order in which they are to be labeled.
        sizes: images per batch; together at most all images. Images beyond stay unlabeled.
        names: one per batch.

    Raises:
        ValueError: more images are asked for than there are, or the names do not fit the sizes.
    """
    if len(sizes) != len(names):
        raise ValueError(f"{len(sizes)} batches need as many names, got {len(names)}")
    if sum(sizes) > len(image_ids):
        raise ValueError(
            f"batches of {', '.join(map(str, sizes))} need {sum(sizes)} images,"
            f" the order holds {len(image_ids)}"
        )
    remaining = iter(image_ids)
    return [
        Batch(name, tuple(islice(remaining, size))) for name, size in zip(names, sizes, strict=True)
    ]


def plan(image_ids: Sequence[str], params: BatchParams, names: Sequence[str]) -> list[Batch]:
    """Cuts an order as params.yaml says, one batch per iteration.

    Fewer iterations than batches is a campaign that stops early: the images of the later batches
    stay unlabeled.

    Args:
        image_ids: in the order in which they are to be labeled.
        params: the batch section.
        names: the iterations.

    Raises:
        ParamsError: there are more iterations than batches, or more images are asked for than
            there are.
    """
    total = len(image_ids)
    if params.sizes is not None:
        sizes = list(params.sizes)
    elif params.size is not None:
        sizes = sizes_by_size(total, params.size)
    else:
        try:
            sizes = sizes_by_count(total, params.count or len(names))
        except ValueError as error:
            place = "batch.count" if params.count else "iterations"
            raise ParamsError(f"{place}: {error}") from None
    if len(names) > len(sizes):
        raise ParamsError(
            f"iterations lists {len(names)} batches, but {total} images make {len(sizes)}"
            f" by the batch section: take out {names[len(sizes)]} and what follows it"
        )
    try:
        return cut(image_ids, sizes[: len(names)], names)
    except ValueError as error:
        raise ParamsError(f"batch.sizes: {error}") from None
