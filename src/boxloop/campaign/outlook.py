"""Say in words how much of a campaign is left, and whether it is worth going on."""

from __future__ import annotations

from collections.abc import Sequence

from boxloop.core.forecast import Interval, forecast, forecast_precision
from boxloop.core.workload import BatchWorkload, find_cost_model
from boxloop.params import Params
from boxloop.terminal import counted

_MINUTE, _HOUR = 60.0, 3600.0


def outlook_lines(
    done: Sequence[BatchWorkload],
    coming: Sequence[int],
    params: Params,
    before: int = 0,
    submitted: Sequence[int] = (),
) -> list[str]:
    """Return sentences on the work left, what will be saved, and what the next batch teaches.

    Args:
        done: the leading batches that are accounted.
        coming: images of each batch after them.
        params: the campaign's.
        before: images that came with labels, which the first detector learned from.
        submitted: images of each coming batch whose labels are there already; none unless given.
    """
    account = params.account
    iou, price = account.iou_thresholds[0], account.seconds_per_box
    if not all(workload.has(iou) for workload in done):
        return []
    model = find_cost_model(account.cost_model)
    ahead = forecast(
        done,
        coming,
        iou,
        seconds_per_box=price,
        cost_model=model,
        before=before,
        submitted=submitted,
    )
    if ahead is None:
        return []
    batches = counted(len(coming), "batch")
    there = sum(submitted)
    if there:
        batches += f", of which {counted(there)} {'are' if there > 1 else 'is'} labeled"
    pace = "" if ahead.measured else f", at {price:g} s per box"
    left = f"About {hours(ahead.seconds)} left for {batches}{pace}"
    if there == sum(coming):
        left = f"No work is left: all {counted(there)} to come are labeled"
    lines = [f"{left}; {_percent(ahead.saved)} of the time saved at the end (IoU {iou:g})."]
    better = forecast_precision(done, before)
    if better is not None:
        lines.append(
            f"Proposals reached an AP of {100 * better.last:.0f} on {better.batch};"
            f" {_points(better.next)} is expected on the next batch"
            f" ({100 * better.gain:+.1f} by what was labeled since)."
        )
        least = params.review.stop_gain
        if least is not None and better.gain < least:
            lines.append(
                f"That is less than review.stop_gain ({100 * least:g}): stopping is reasonable."
                " 'boxloop export' writes the labels so far, 'boxloop deliver' trains a model."
            )
    return lines


def hours(seconds: Interval) -> str:
    """Return a time and its interval as "3.4 h (2.9 to 4.1)"."""
    unit, name = (_HOUR, "h") if seconds.median >= 1.5 * _HOUR else (_MINUTE, "min")
    digits = 0 if seconds.median >= 10 * unit else 1
    low, middle, high = (
        f"{value / unit:,.{digits}f}" for value in (seconds.low, seconds.median, seconds.high)
    )
    return f"{middle} {name} ({low} to {high})"


def _percent(fraction: Interval) -> str:
    low, middle, high = (100 * v for v in (fraction.low, fraction.median, fraction.high))
    return f"{middle:.0f} % ({low:.0f} to {high:.0f})"


def _points(precision: Interval) -> str:
    low, middle, high = (100 * v for v in (precision.low, precision.median, precision.high))
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"
