"""Cut the order of all images into the batches B1..Bn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, islice
from numbers import Integral

from boxloop.core.types import Batch
from boxloop.errors import ParamsError


def sizes_by_size(total: int, size: int) -> list[int]:
    """Return sizes of batches of ``size`` images; the last batch takes the rest.

    Raises:
        ValueError: a batch would have no image.
    """
    _require_whole("size", size)
    whole, rest = divmod(total, size)
    return [size] * whole + ([rest] if rest else [])


def sizes_by_count(total: int, count: int) -> list[int]:
    """Return ``count`` sizes that differ by at most one, the larger ones first.

    Raises:
        ValueError: there are fewer images than batches, or there would be no batch.
    """
    _require_whole("count", count)
    if count > total:
        raise ValueError(f"{total} images cannot fill {count} batches")
    whole, rest = divmod(total, count)
    return [whole + 1] * rest + [whole] * (count - rest)


def cut(image_ids: Sequence[str], sizes: Sequence[int], names: Sequence[str]) -> list[Batch]:
    """Cut an order into named batches; images beyond the sum of the sizes stay unlabeled.

    Raises:
        ValueError: the sizes add up to more than all images, one of them is of no image, or names
            and sizes differ in number.
    """
    for size in sizes:
        _require_whole("each of sizes", size)
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


def _require_whole(what: str, number: int) -> None:
    """Refuse what is no number of images, or of batches."""
    if not isinstance(number, Integral) or isinstance(number, bool) or number < 1:
        said = " ".join(repr(number).split())  # NumPy's has several lines
        raise ValueError(f"{what} must be a whole number of at least 1, got {said:.100}")


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
    total, turns = len(image_ids), len(names)
    require_images(total, names, size=size, count=count, sizes=sizes)
    return cut(image_ids, turn_sizes(total, turns, size=size, count=count, sizes=sizes), names)


def turn_sizes(
    total: int,
    turns: int,
    *,
    size: int | None = None,
    count: int | None = None,
    sizes: Sequence[int] | None = None,
) -> Sequence[int]:
    """Return the size of each turn's batch, where all turns have images, see :func:`plan`."""
    if sizes is None and size is not None:
        sizes = sizes_by_size(total, size)
    elif sizes is None:
        sizes = sizes_by_count(total, count or turns)
    return sizes[:turns]


def most_turns(
    total: int,
    turns: int,
    *,
    size: int | None = None,
    count: int | None = None,
    sizes: Sequence[int] | None = None,
) -> int:
    """Return how many of so many turns have images by the section ``batch``, see :func:`plan`."""
    if sizes is not None:
        return sum(end <= total for end in accumulate(sizes[:turns]))
    if size is not None:
        return min(turns, len(sizes_by_size(total, size)))
    if count is not None:
        return min(turns, count) if count <= total else 0
    return min(turns, total)


def size_for(total: int, turns: int) -> int:
    """Return the size by which so many turns have images, and all images a turn where that can be.

    Raises:
        ValueError: there are fewer images than turns.
    """
    if turns > total:
        raise ValueError(f"{total} images cannot fill {turns} batches")
    even = -(-total // turns)
    return even if turns == 1 else min(even, (total - 1) // (turns - 1))


def require_images(
    total: int,
    names: Sequence[str],
    *,
    size: int | None = None,
    count: int | None = None,
    sizes: Sequence[int] | None = None,
) -> None:
    """Require that each iteration has images by the section ``batch``, see :func:`plan`.

    Args:
        total: images to be cut into batches.
        names: of the iterations.
        size: as the section has it, like the others.
        count: batches.
        sizes: of each batch.

    Raises:
        ParamsError: one has none; tells the ways out.
    """
    if not total:
        raise ParamsError("no image is left for a batch: every one has labels that are trusted")
    turns = len(names)
    most = most_turns(total, turns, size=size, count=count, sizes=sizes)
    if most == turns:
        return
    fewer = f"take out {names[most]} and what follows it" if most else ""
    if sizes is not None and most < len(sizes):
        wanted = sizes[: min(turns, len(sizes))]
        said = (
            f"batch.sizes: batches of {', '.join(map(str, wanted))} need {sum(wanted)} images, and"
            f" there are {total}"
        )
        other = "lower them"
    elif sizes is not None:
        said = f"iterations lists {turns} batches, and batch.sizes {len(sizes)}"
        other = f"list {turns} sizes"
    elif size is not None:
        said = (
            f"iterations lists {turns} batches, but {total} images make {most} by the batch section"
            f" (batch.size {size})"
        )
        other = f"set batch.size to {size_for(total, turns)}" if turns <= total else ""
    elif count is not None and count > total:
        said = f"batch.count: {total} images cannot fill {count} batches"
        other = f"set it to {total} or less"
    elif count is not None:
        said = f"iterations lists {turns} batches, and batch.count makes {count}"
        other = f"set batch.count to {turns}" if turns <= total else ""
    else:
        said, other = f"iterations: {total} images cannot fill {turns} batches", ""
    raise ParamsError(f"{said}: {', or '.join(way for way in (fewer, other) if way)}")
