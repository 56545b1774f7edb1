"""Tell from blind images and planted errors how far labels can be trusted, and who needs help.

Each person is compared with the same person without proposals, so nobody is measured by others'
habits. Somebody is named only where an interval excludes more than a little: the intervals of what
names people are widened (Bonferroni) so that all of a campaign's together name an innocent person
in at most one campaign of twenty. See ``docs/trust.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

from boxloop.core.intervals import (
    CONFIDENCE,
    Difference,
    Estimate,
    Pairs,
    mean,
    mean_difference,
    share,
    share_difference,
)
from boxloop.core.looks import Look, count, small_area
from boxloop.core.pace import pace

_K = TypeVar("_K", str, str | None)


@dataclass(frozen=True)
class Measure:
    """What blind and helped images are compared in.

    Attributes:
        name: as :func:`boxloop.core.looks.count` calls it.
        kind: "share", "mean", or "count", the mean of rare things.
        words: what it is.
    """

    name: str
    kind: str
    words: str


BY_TRUTH = (
    Measure("recall", "share", "objects found"),
    Measure("unproposed", "share", "objects found that no proposal lies on"),
    Measure("unproposed_small", "share", "small objects found that no proposal lies on"),
    Measure("labels", "share", "right labels, of the objects found"),
    Measure("wrong_labels_left", "share", "wrong labels of proposals that the boxes have, too"),
    Measure("tightness", "mean", "IoU with the truth"),
)
BY_PROPOSALS = (
    Measure("boxes", "mean", "boxes per image"),
    Measure("drawn", "count", "boxes per image that no proposal lies on"),
    Measure("drawn_small", "count", "small boxes per image that no proposal lies on"),
    Measure("confirmed", "share", "proposals that a box lies on"),
    Measure("agreed", "share", "boxes with the label of their proposal"),
    Measure("tightness", "mean", "IoU with the proposal"),
)

MOST = 0.5
"""Who misses more than this share of one kind of errors needs help."""

LEAST_DIFFERENCE = 0.05
"""Shares by which blind and helped images may differ without anybody being named."""

LEAST_DRAWN = 0.8
"""The same for what is drawn per image: as a ratio."""

LEAST_MARGIN = 1.0
"""Pixels by which a person's boxes may be too wide or too narrow."""

LEAST_PACE = 1.1
"""The factor by which a person may get slower."""

FEWEST_IMAGES = 3
"""Blind images of a person that a comparison needs."""

_CHECKS = 8
"""Ends of intervals that may name a person, see :func:`_findings`, beside one per kind planted."""


@dataclass(frozen=True)
class Plant:
    """A planted error that was submitted.

    Attributes:
        image: that it was planted in.
        reviewer: who looked at it.
        kind: "shifted", "relabeled", "doubled" or "hidden".
        caught: whether it was found.
    """

    image: str
    reviewer: str
    kind: str
    caught: bool


@dataclass(frozen=True)
class Comparison:
    """A measure on blind and on helped images.

    Attributes:
        measure: what was compared.
        reviewer: whose images; None for everybody's.
        blind: on images without proposals.
        helped: on images with proposals.
        difference: helped less blind.
    """

    measure: Measure
    reviewer: str | None
    blind: Estimate
    helped: Estimate
    difference: Difference


@dataclass(frozen=True)
class Finding:
    """That a person needs help, and with what.

    Attributes:
        reviewer: who.
        fault: "misses_unproposed", "misses_small", "leaves_wrong_labels", "draws_wide",
            "draws_narrow", "gets_slower" or "misses_planted_KIND".
        value: how much.
        low: lower end of the interval that named the person.
        high: upper end of it.
        words: the same for people.
    """

    reviewer: str
    fault: str
    value: float
    low: float
    high: float
    words: str


@dataclass(frozen=True)
class Trust:
    """What blind images and planted errors tell of a campaign.

    Attributes:
        yardstick: "truth" or "proposals".
        images: (blind, helped) numbers of images.
        people: who labeled them, by name.
        comparisons: everybody's first, then by person.
        seconds_per_box: to draw a box from scratch, by person; None is everybody.
        margins: pixels by which boxes that were drawn from scratch reach beyond the yardstick's.
        paces: see :func:`boxloop.core.pace.pace`.
        caught: shares of planted errors, by (kind, person); None is all.
        findings: who needs help.
    """

    yardstick: str
    images: tuple[int, int]
    people: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    seconds_per_box: dict[str | None, Estimate] = field(default_factory=dict)
    margins: dict[str | None, Estimate] = field(default_factory=dict)
    paces: dict[str, Estimate] = field(default_factory=dict)
    caught: dict[tuple[str | None, str | None], Estimate] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def judge_trust(looks: Sequence[Look], plants: Sequence[Plant] = ()) -> Trust | None:
    """Compare blind and helped images, and tell which planted errors were caught.

    Args:
        looks: people's images, in the order in which they were labeled.
        plants: the planted errors of these, each once.

    Returns:
        None where no image was blind and nothing was planted.
    """
    if not plants and not any(look.blind for look in looks):
        return None
    by_truth = bool(looks) and all(look.truth is not None for look in looks)
    table = _Table(looks)
    people = sorted({look.reviewer for look in looks} | {plant.reviewer for plant in plants})
    everybody: list[str | None] = [None, *people] if len(people) > 1 else [None]
    found = [
        comparison
        for who in everybody
        for measure in (BY_TRUTH if by_truth else BY_PROPOSALS)
        if (comparison := table.compare(measure, who, CONFIDENCE)) is not None
    ]
    kinds = sorted({plant.kind for plant in plants})
    return Trust(
        yardstick="truth" if by_truth else "proposals",
        images=(
            sum(look.blind for look in looks),
            sum(not look.blind and not look.alone for look in looks),
        ),
        people=tuple(people),
        comparisons=tuple(found),
        seconds_per_box=_each(everybody, table.seconds_per_box),
        margins=_each(everybody, lambda who: table.margin(who, CONFIDENCE)),
        paces=_each(people, lambda who: table.pace(who, CONFIDENCE)),
        caught={
            (kind, who): shares
            for kind in (None, *kinds)
            for who in everybody
            if (shares := _caught(plants, kind, who, CONFIDENCE)) is not None
        },
        findings=tuple(_findings(table, plants, people, by_truth)),
    )


class _Table:
    """The counts of every image, to be summed in any way."""

    def __init__(self, looks: Sequence[Look]) -> None:
        small = small_area(looks)
        self.looks = looks
        self.rows = [(look, count(look, small)) for look in looks if not look.alone]

    def pairs(self, name: str, who: str | None, *, blind: bool, beside: bool = False) -> Pairs:
        """The counts of a person's images; ``beside``: of batches that they had blind ones in."""
        rows = [row for row in self.rows if who in (None, row[0].reviewer)]
        batches = {look.batch for look, _ in rows if look.blind or not beside}
        return [
            counts[name] for look, counts in rows if look.blind is blind and look.batch in batches
        ]

    def compare(self, measure: Measure, who: str | None, confidence: float) -> Comparison | None:
        blind = self.pairs(measure.name, who, blind=True)
        # Proposals get better: those of other batches are not what the blind images would have had.
        helped = self.pairs(measure.name, who, blind=False, beside=True)
        if not _enough(blind):
            return None
        if measure.kind == "share":
            found = share_difference(helped, blind, confidence)
            return found and Comparison(measure, who, found[1], found[0], found[2])
        counts = measure.kind == "count"
        one = mean(blind, confidence, counts=counts)
        two = mean(helped, confidence, counts=counts)
        difference = mean_difference(helped, blind, confidence, counts=counts)
        if one is None or two is None or difference is None:
            return None
        return Comparison(measure, who, one, two, difference)

    def seconds_per_box(self, who: str | None) -> Estimate | None:
        return mean(
            [
                (look.seconds, len(look.final))
                for look, _ in self.rows
                if look.blind and look.seconds is not None and who in (None, look.reviewer)
            ]
        )

    def margin(self, who: str | None, confidence: float) -> Estimate | None:
        pairs = self.pairs("margin", who, blind=True)
        return mean(pairs, confidence) if _enough(pairs) else None

    def pace(self, who: str, confidence: float) -> Estimate | None:
        timed = [
            (look.seconds, look.edits)
            for look in self.looks
            if look.seconds is not None and look.reviewer == who
        ]
        return pace([s for s, _ in timed], [e for _, e in timed], confidence)


def _enough(blind: Pairs) -> bool:
    """Return whether enough blind images have anything to count."""
    return sum(1 for _, total in blind if total) >= FEWEST_IMAGES


def _each(keys: Iterable[_K], estimate: Callable[[_K], Estimate | None]) -> dict[_K, Estimate]:
    found = {key: estimate(key) for key in keys}
    return {key: value for key, value in found.items() if value is not None}


def _caught(
    plants: Sequence[Plant], kind: str | None, who: str | None, confidence: float
) -> Estimate | None:
    by_image: dict[str, list[bool]] = {}
    for plant in plants:
        if kind in (None, plant.kind) and who in (None, plant.reviewer):
            by_image.setdefault(plant.image, []).append(plant.caught)
    return share([(sum(found), len(found)) for found in by_image.values()], confidence)


def _findings(
    table: _Table, plants: Sequence[Plant], people: Sequence[str], by_truth: bool
) -> Iterable[Finding]:
    kinds = sorted({plant.kind for plant in plants})
    # A fault has one side, so that each end of an interval has its share of what may go wrong.
    confidence = 1 - 2 * (1 - CONFIDENCE) / ((_CHECKS + len(kinds)) * len(people))
    margins = _each(people, lambda who: table.margin(who, confidence))
    # By the proposals nobody knows who is right: who differs from most does not do as the others.
    usual = 0.0 if by_truth else median([m.value for m in margins.values()] or [0.0])
    for who in people:
        yield from _omissions(table, who, confidence, by_truth)
        yield from _labels_left(table, who, confidence, by_truth)
        margin = margins.get(who)
        if margin is not None and (by_truth or len(margins) > 2):
            value, low, high = (v - usual for v in (margin.value, margin.low, margin.high))
            if low > LEAST_MARGIN:
                how = "too wide on each side" if by_truth else "wider than the others"
                words = f"draws boxes {value:.1f} pixels {how}"
                yield Finding(who, "draws_wide", value, low, high, words)
            if high < -LEAST_MARGIN:
                how = "too narrow on each side" if by_truth else "narrower than the others"
                words = f"draws boxes {-value:.1f} pixels {how}"
                yield Finding(who, "draws_narrow", value, low, high, words)
        trend = table.pace(who, confidence)
        if trend is not None and trend.low > LEAST_PACE:
            words = f"takes {trend.value:.1f} times as long at the end as at the beginning"
            yield Finding(who, "gets_slower", trend.value, trend.low, trend.high, words)
        for kind in kinds:
            shares = _caught(plants, kind, who, confidence)
            if shares is not None and shares.high < MOST:
                words = f"caught {shares.count:.0f} of {shares.total:.0f} proposals {kind}"
                fault = f"misses_planted_{kind}"
                yield Finding(who, fault, shares.value, shares.low, shares.high, words)


def _omissions(table: _Table, who: str, confidence: float, by_truth: bool) -> Iterable[Finding]:
    """What a person draws without proposals, and leaves out beside them."""
    for fault, small in (("misses_unproposed", ""), ("misses_small", "_small")):
        size = "small objects" if small else "objects"
        if by_truth:
            measure = Measure(f"unproposed{small}", "share", "")
            found = table.compare(measure, who, confidence)
            if found is None:
                continue
            ends: Estimate | Difference = found.difference
            if ends.high >= -LEAST_DIFFERENCE:
                ends = found.helped
                if ends.high >= MOST:
                    continue
            words = (
                f"finds {found.helped.value:.0%} of the {size} that have no proposal, where"
                f" others are shown, and {found.blind.value:.0%} on blind images"
            )
        else:
            measure = Measure(f"drawn{small}", "count", "")
            found = table.compare(measure, who, confidence)
            if found is None:
                continue
            helped = table.pairs(measure.name, who, blind=False, beside=True)
            blind = table.pairs(measure.name, who, blind=True)
            less = mean_difference(helped, blind, confidence, weight=LEAST_DRAWN, counts=True)
            if less is None or less.high >= 0:
                continue
            ends = found.difference
            words = (
                f"draws {found.helped.value:.1f} {size} per image that have no proposal, where"
                f" others are shown, and {found.blind.value:.1f} on blind images"
            )
        yield Finding(who, fault, ends.value, ends.low, ends.high, words)


def _labels_left(table: _Table, who: str, confidence: float, by_truth: bool) -> Iterable[Finding]:
    """Whether a person takes over wrong labels."""
    fault = "leaves_wrong_labels"
    if by_truth:
        left = share(table.pairs("wrong_labels_left", who, blind=False), confidence)
        if left is not None and left.low > MOST:
            words = f"left {left.count:.0f} of {left.total:.0f} wrong labels of proposals"
            yield Finding(who, fault, left.value, left.low, left.high, words)
        return
    found = table.compare(Measure("agreed", "share", ""), who, confidence)
    if found is not None and found.difference.low > LEAST_DIFFERENCE:
        ends = found.difference
        words = (
            f"agrees with {found.helped.value:.0%} of the labels of proposals that are shown, and"
            f" with {found.blind.value:.0%} on blind images"
        )
        yield Finding(who, fault, ends.value, ends.low, ends.high, words)
