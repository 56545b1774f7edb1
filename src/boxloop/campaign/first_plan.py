"""Plan the batches of a campaign that has not begun, by what corrections usually cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from boxloop.campaign.batch_sizes import listed
from boxloop.campaign.existing import count_trusted
from boxloop.campaign.outlook import hours
from boxloop.core.batch_plan import (
    KNOWN,
    TURN_SECONDS,
    Expected,
    Prices,
    expect,
    follow,
    gain,
    plan,
)
from boxloop.core.batching import sizes_by_count, sizes_by_size
from boxloop.core.forecast import Interval
from boxloop.core.types import BoxesByImage
from boxloop.datasets import load
from boxloop.errors import UserError
from boxloop.files import temporary_folder
from boxloop.params import Params
from boxloop.terminal import counted, reporting

WAIT_MINUTES = 3.0
"""That people wait for a training and its proposals, unless they know better."""

USUAL_OBJECTS = 3.0
"""Objects per image where nothing tells: about the middle of the sets in docs/results."""


@dataclass(frozen=True)
class Planned:
    """A plan of a campaign that has not begun.

    Attributes:
        sizes: images of each batch.
        text: the plan beside the sizes that params.yaml gives, in words.
    """

    sizes: tuple[int, ...]
    text: str

    @property
    def override(self) -> str:
        """The section ``batch`` as ``--set`` takes it."""
        return f"batch={{sizes: {list(self.sizes)}}}"


def plan_new(
    params: Params, *, minutes: float | None = None, objects: float | None = None
) -> Planned:
    """Plan the batches of a campaign that is about to begin.

    Args:
        params: the campaign's; places in ``dataset`` start from the current folder.
        minutes: that people wait for each training and its proposals; 3 unless given.
        objects: per image; by the set's labels unless given.

    Raises:
        DatasetError: the dataset cannot be used.
        UserError: no image is left to be labeled, or temporary files find no room.
    """
    minutes = WAIT_MINUTES if minutes is None else minutes
    with temporary_folder() as drawn, reporting("reading images") as report:
        found = load(params.dataset, drawn, report)
    people, total = params.review.asks_people, len(found.images)
    counted = per_image(found.truth, total, partly=people)
    labeled = count_trusted(params, found.truth)
    total -= labeled
    if not total:
        raise UserError(
            f"every image of {params.dataset.path} has labels, which dataset.labels says to trust:"
            " there is no batch to plan"
        )
    each = objects or counted or USUAL_OBJECTS
    source = "--objects" if objects else "by its labels" if counted else "a guess: give --objects"
    price = params.account.seconds_per_box
    prices = Prices(price * each, 60 * minutes + TURN_SECONDS)
    trend, today = follow(), sizes_of(params, total)
    sizes = plan(total, prices, trend, labeled)
    came = f", {labeled} more having labels" if labeled else ""
    lines = [
        f"Batches for {total} images{came}, by what corrections cost in stored campaigns:",
        f"  planned:      {_row(expect(sizes, prices, trend, labeled))}",
        f"  {_now(params, today)}{_row(expect(today, prices, trend, labeled))}",
        _difference(gain(today, sizes, prices, trend, labeled)),
        f"Reckoned with {each:.3g} objects per image ({source}), {price:g} s per box"
        f" (account.seconds_per_box), and {minutes:g} min of waiting before each batch but the"
        " first (--wait).",
    ]
    if labeled + total > KNOWN:
        lines.append(f"What follows after {KNOWN:,} labeled images was seen in no campaign.")
    return Planned(sizes, "\n".join(lines))


def sizes_of(params: Params, total: int) -> tuple[int, ...]:
    """Return the sizes by which all of so many images would be labeled.

    Iterations that are still to be listed count; images beyond ``batch.sizes`` make one more batch.
    """
    batch = params.batch
    if batch.sizes is not None:
        found, rest = [], total
        for size in batch.sizes:
            found.append(min(size, rest))
            rest -= found[-1]
        return tuple(size for size in (*found, rest) if size)
    if batch.size is not None:
        return tuple(sizes_by_size(total, batch.size))
    return tuple(sizes_by_count(total, min(total, batch.count or len(params.iterations))))


def per_image(truth: BoxesByImage | None, images: int, *, partly: bool) -> float:
    """Return the objects per image by a set's labels; 0 where it has none.

    Args:
        truth: the boxes.
        images: of the set.
        partly: whether an image without boxes is one that nobody labeled yet.
    """
    counts = [len(boxes) for boxes in (truth or {}).values() if len(boxes)]
    return sum(counts) / (len(counts) if partly else images) if counts else 0.0


def _row(expected: Expected) -> str:
    low, middle, high = (
        100 * v for v in (expected.saved.low, expected.saved.median, expected.saved.high)
    )
    return (
        f"{listed(expected.sizes)}: {hours(expected.seconds)}, of it"
        f" {expected.waiting / 60:.0f} min between batches;"
        f" {middle:z.0f} % ({low:z.0f} to {high:z.0f}) of the drawing saved"
    )


def _now(params: Params, today: Sequence[int]) -> str:
    """Say whose sizes they are, and how many iterations would have to be listed for all images."""
    missing = len(today) - len(params.iterations)
    listed_too = f", with {counted(missing, 'more iteration')}" if missing > 0 else ""
    return f"params.yaml{listed_too}:  "


def _difference(less: Interval) -> str:
    said = f"The plan is expected to take {hours(less)} less than the sizes of params.yaml"
    if less.low > 0:
        return f"{said}."
    return f"{said}: that may as well be nothing, as little is known before the first batch."


def require_no_sizes(batches: int | None, overrides: Sequence[str]) -> None:
    """Require that nobody names sizes of batches who asks for planned ones.

    Raises:
        UserError: somebody does.
    """
    keys = [override.partition("=")[0].strip() for override in overrides]
    named = [f"--set {key}" for key in keys if key.split(".")[0] in ("batch", "iterations")]
    if batches is not None:
        named.append("--batches")
    if named:
        raise UserError(f"--planned chooses the sizes of batches itself: leave {named[0]} out")
