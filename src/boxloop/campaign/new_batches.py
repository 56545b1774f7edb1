"""Have the batches of a new campaign fit the images that there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boxloop.campaign.existing import count_trusted
from boxloop.core.batching import most_turns, require_images, size_for, turn_sizes
from boxloop.datasets import load
from boxloop.datasets.file_listing import walk_all
from boxloop.datasets.images import SUFFIXES
from boxloop.errors import DatasetError, ParamsError
from boxloop.files import temporary_folder
from boxloop.params import Params
from boxloop.terminal import counted, reporting

_MARGIN = 2
"""So many times the images that the batches take are more than need to be read: half of them would
have to be unusable, and the stage ``dataset`` says so then."""


@dataclass(frozen=True)
class Fitted:
    """What is changed so that every batch has images.

    Attributes:
        turns: number of batches; None leaves it.
        overrides: values of ``--set``.
        notes: what a person should know, one sentence each.
    """

    turns: int | None = None
    overrides: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def fit_batches(params: Params, *, turns_chosen: bool, sizes_chosen: bool) -> Fitted:
    """Change what nobody chose of a new campaign's batches so that each of them has images.

    Sets that are much larger than the batches need are not read.

    Args:
        params: the campaign's; places in ``dataset`` start from the current folder.
        turns_chosen: whether somebody chose the number of batches.
        sizes_chosen: whether somebody chose the section ``batch``; else it is ``size`` alone.

    Raises:
        ParamsError: what was chosen does not fit; tells what does.
    """
    turns, batch, place = len(params.iterations), params.batch, params.dataset.path
    try:
        total, read = _to_label(params)
    except DatasetError as error:
        return Fitted(notes=(f"{place} cannot be used yet: {error}",))
    if not read:
        return Fitted(notes=_beyond(params, turns, total, f"{place} has about {counted(total)}"))
    found = f"{place} has {counted(total)} to be labeled"
    if not total:
        require_images(0, list(params.iterations), **batch.model_dump())
    if batch.size is not None and not sizes_chosen and turns * batch.size > total:
        fewer = turns if turns_chosen else min(turns, total)
        if fewer > total:
            raise ParamsError(f"{found}, too few for {fewer} batches: --batches {total}")
        size = size_for(total, fewer)
        note = f"{found}: batch.size is {size}, which fills {counted(fewer, 'batch')}"
        return Fitted(fewer, (f"batch.size={size}",), (note,))
    most = most_turns(total, turns, **batch.model_dump())
    if most == turns:
        return Fitted(notes=_beyond(params, turns, total, found))
    if most and not turns_chosen:
        made = f"by the batch section they make {counted(most, 'batch')}"
        return Fitted(most, (), (f"{found}: {made}, and iterations lists no more",))
    ways = [f"--batches {most}"] if most else []
    if batch.size is not None and turns <= total:
        ways.append(f"--set batch.size={size_for(total, turns)}")
    elif batch.count is not None:
        ways.append(f"--batches {min(turns, total)} --set batch.count={min(turns, total)}")
    elif batch.sizes is not None:
        ways.append("other batch.sizes")
    raise ParamsError(
        f"{found}, too few for {counted(turns, 'batch')} by the batch section: {', or '.join(ways)}"
    )


def _beyond(params: Params, turns: int, total: int, found: str) -> tuple[str, ...]:
    """Return a sentence on the images that these turns leave out, where they leave out any."""
    taken = sum(turn_sizes(total, turns, **params.batch.model_dump()))
    if taken >= total:
        return ()
    batches = "this batch takes" if turns == 1 else f"these {turns:,} batches take"
    return (
        f"{found}, of which {batches} {taken:,}: --planned makes batches for all of them, or list"
        " more iterations once these are done",
    )


def _to_label(params: Params) -> tuple[int, bool]:
    """Return how many images are to be labeled, and whether they were read.

    Where there are far more than the batches take, what looks like an image by its name is counted.
    """
    dataset, batch, turns = params.dataset, params.batch, len(params.iterations)
    if dataset.format == "demo":
        return dataset.demo.images, True
    wanted = sum(batch.sizes or ()) or turns * (batch.size or 1)
    root = Path(dataset.path)
    names = walk_all(root if root.is_dir() else root.parent)
    pictures = sum(name.lower().endswith(SUFFIXES) for name in names)
    if pictures > _MARGIN * max(wanted, batch.count or 0):
        return pictures, False
    with temporary_folder() as drawn, reporting("reading images") as report:
        found = load(dataset, drawn, report)
    return len(found.images) - count_trusted(params, found.truth), True
