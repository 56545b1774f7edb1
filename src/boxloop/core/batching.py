"""Cut the order of all images into the batches B1..Bn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from boxloop.core.types import Batch
from boxloop.errors import ParamsError


def sizes_by_size(total: int, size: int) -> list[int]:
    """Return sizes of batches of ``size`` images; the last batch takes the rest."""
    whole, rest = divmod(total, size)
    return [size] * whole + ([rest] if rest else [])


def sizes_by_count(total: int, count: int) -> list[int]:
    """Return ``count`` sizes that differ by at most one, the larger ones first.

    Raises:
        ValueError: there are fewer images than batches.
    """
    if count > total:
        raise ValueError(f"{total} images cannot fill {count} batches")
    whole, rest = divmod(total, count)
    return [whole + 1] * rest + [whole] * (count - rest)


def cut(image_ids: Sequence[str], sizes: Sequence[int], names: Sequence[str]) -> list[Batch]:
    """Cut an order into named batches; images beyond the sum of the sizes stay unlabeled.

    Raises:
        ValueError: the sizes add up to more than all images, or names and sizes differ in number.
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


def plan(
    image_ids: Sequence[str],
    names: Sequence[str],
    *,
    size: int | None = None,
    count: int | None = None,
    sizes: Sequence[int] | None = None,
) -> list[Batch]:
    """Cut an order as the section ``batch`` of params.yaml says, one batch per iteration.

    With fewer iterations (``names``) than batches, the images of the later batches stay unlabeled.
    Without ``size``, ``count`` and ``sizes``, there are as many batches as iterations.

    Raises:
        ParamsError: there are more iterations than batches, or fewer images than the batches need.
    """
    total = len(image_ids)
    if sizes is None and size is not None:
        sizes = sizes_by_size(total, size)
    elif sizes is None:
        try:
            sizes = sizes_by_count(total, count or len(names))
        except ValueError as error:
            place = "batch.count" if count else "iterations"
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
