"""Put what blind images and planted errors tell into rows of tables."""

from __future__ import annotations

from boxloop.core.intervals import Difference, Estimate
from boxloop.core.trust import Measure, Trust

EVERYBODY = "everybody"


def compared_rows(trust: Trust) -> list[list[str]]:
    """Return what was compared, who, and the three numbers with their intervals."""
    rows = []
    for c in trust.comparisons:
        numbers = [_interval(c.blind, c.measure), _interval(c.helped, c.measure)]
        difference = _interval(c.difference, c.measure, signed=True)
        rows.append([c.measure.words, c.reviewer or EVERYBODY, *numbers, difference])
    return rows


def people_rows(trust: Trust) -> list[list[str]]:
    """Return of each person: seconds per box, margin, pace and planted errors caught."""
    named: list[tuple[str, str | None]] = [(who, who) for who in trust.people]
    # Of one person there is no more to tell than of everybody.
    named = [(trust.people[0], None)] if len(named) == 1 else [(EVERYBODY, None), *named]
    rows = []
    for name, who in named:
        caught, pace = trust.caught.get((None, who)), trust.paces.get(name)
        rows.append(
            [
                name,
                _plain(trust.seconds_per_box.get(who), 1),
                _plain(trust.margins.get(who), 1),
                _plain(pace, 2),
                "-" if caught is None else _of(caught),
            ]
        )
    return rows


def caught_rows(trust: Trust) -> list[list[str]]:
    """Return by kind and person how many planted errors were caught, with the share's interval."""
    return [
        [kind or "all", who or EVERYBODY, f"{value.count:.0f} of {value.total:.0f}", _share(value)]
        for (kind, who), value in trust.caught.items()
    ]


def _interval(value: Estimate | Difference, measure: Measure, *, signed: bool = False) -> str:
    if measure.kind == "share":
        return _share(value, signed=signed)
    digits = 3 if measure.name == "tightness" else 2
    return _plain(value, digits, "+" if signed else "")


def _share(value: Estimate | Difference, *, signed: bool = False) -> str:
    sign, unit = ("+", "points") if signed else ("", "%")
    middle, low, high = (f"{100 * v:{sign}.1f}" for v in (value.value, value.low, value.high))
    return f"{middle} {unit} ({low} to {high})"


def _plain(value: Estimate | Difference | None, digits: int, sign: str = "") -> str:
    if value is None:
        return "-"
    middle, low, high = (f"{v:{sign}.{digits}f}" for v in (value.value, value.low, value.high))
    return f"{middle} ({low} to {high})"


def _of(value: Estimate) -> str:
    return f"{value.count:.0f} of {value.total:.0f}"
