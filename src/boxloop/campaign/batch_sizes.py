"""Say while a campaign runs when other sizes of batches would pay for the rest of it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import takewhile

from boxloop.campaign import artifacts
from boxloop.campaign.ahead import seen_by
from boxloop.campaign.outlook import hours
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.standing import Turn
from boxloop.core.batch_plan import TURN_SECONDS, Prices, expect, follow, gain, plan
from boxloop.core.forecast import observe
from boxloop.core.workload import BatchWorkload, find_cost_model
from boxloop.errors import ArtifactError
from boxloop.params import Params

_WORTH = 0.05
"""Share of the time left that other sizes must be expected to save to be spoken of."""


def advise(paths: CampaignPaths, turns: Sequence[Turn], params: Params, before: int = 0) -> str:
    """Say when other sizes would pay for the batches that are left; nothing where none do.

    Nothing is said where nobody waits for trainings, as in a simulation. A batch of which images
    are submitted stays as it is.

    Args:
        paths: where the campaign's files are.
        turns: where each turn stands.
        params: the campaign's.
        before: images that came with labels, which the first detector learned from.
    """
    account = params.account
    done = [turn.workload for turn in takewhile(lambda turn: turn.workload, turns)]
    known = [workload for workload in done if workload]
    begun = [turn.images or 0 for turn in turns[len(known) :][:1] if turn.submitted]
    sizes = [turn.images for turn in takewhile(lambda t: t.images, turns[len(known) :])]
    coming = [size for size in sizes if size][len(begun) :]
    iou = account.iou_thresholds[0]
    objects, images = sum(b.objects for b in known), sum(b.images for b in known)
    if not (params.review.asks_people and objects and coming):
        return ""
    wait = _wait(paths, turns)
    if wait is None or not all(b.has(iou) for b in known):
        return ""
    model = find_cost_model(account.cost_model)
    spent = [model.cost(b.ledger(iou)) for b in known]
    unit = _seconds_per_unit(known, spent) or account.seconds_per_box
    prices = Prices(unit * objects / images, wait + TURN_SECONDS)
    # Images whose labels were given are of their batches, and taught the detector.
    cut = [*(b.labeled_images for b in known), *begun]
    trend, labeled = follow(observe(known, spent, before)), before + sum(cut)
    planned = plan(sum(coming), prices, trend, labeled)
    less = gain(coming, planned, prices, trend, labeled)
    left = expect(coming, prices, trend, labeled)
    if less.low <= 0 or less.median < _WORTH * left.seconds.median:
        return ""
    whole = [*cut, *planned]
    return (
        f"Other sizes of the batches to come would pay: {listed(planned)} in place of"
        f" {listed(coming)} are expected to take {hours(less)} less, with"
        f" {wait / 60:.1f} min of waiting for each. To have them: 'batch: {{sizes: {whole}}}'"
        f" and {len(whole)} turns under 'iterations' in params.yaml, then dvc repro. Labels stay."
    )


def listed(sizes: Sequence[int]) -> str:
    """Return sizes in words, runs of one size together."""
    words: list[str] = []
    counts: list[int] = []
    for size in map(str, sizes):
        if words and words[-1] == size:
            counts[-1] += 1
        else:
            words.append(size)
            counts.append(1)
    return ", ".join(
        word if count == 1 else f"{count} x {word}"
        for word, count in zip(words, counts, strict=True)
    )


def _wait(paths: CampaignPaths, turns: Sequence[Turn]) -> float | None:
    """Return the median seconds that people waited for a training; None where none is known."""
    found = []
    for turn in turns:
        try:
            log = artifacts.read_training(paths.training(turn.key))
        except ArtifactError:
            continue
        if log.steps:
            found.append(log.seconds + log.preparing_seconds)
    if seen_by(paths, [turn.key for turn in turns]):
        return 0.0  # trained while people went on
    return statistics.median(found) if found else None


def _seconds_per_unit(known: Sequence[BatchWorkload], spent: Sequence[float]) -> float | None:
    """Return the measured seconds per unit of WT; None where a batch with images was not timed."""
    measured = [batch.measured_seconds for batch in known if batch.images]
    units = known[0].objects + sum(spent[1:])
    timed = [seconds for seconds in measured if seconds]
    return sum(timed) / units if units and len(timed) == len(measured) else None
