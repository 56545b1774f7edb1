"""Build the paper's tables from the rows of results.csv: as data, CSV and Markdown.

Everything is in percent. Table 1 is W_T and Table 2 is W_B, by approach, detector and IoU; Table 3
is both, one class at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from boxloop.report.tables import Row, to_csv
from boxloop.study.grid import Approach, Grid
from boxloop.study.published import AVERAGE, published
from boxloop.study.results import by_seed, select
from boxloop.study.spec import BASELINE
from boxloop.study.statistics import CONFIDENCE, FEW, Mean, Paired, mean, paired

MEASURES: Mapping[str, str] = {"wt": "time (W_T)", "wb": "boxes (W_B)"}

CSV_COLUMNS = (
    "table",
    "measure",
    "iou",
    "class",
    "approach",
    "detector",
    "n",
    "mean",
    "low",
    "high",
    "paired_n",
    "paired_mean",
    "paired_low",
    "paired_high",
    "paired_p",
    "paper",
)


@dataclass(frozen=True)
class Entry:
    """One number of a table.

    Attributes:
        measure: "wt" or "wb".
        iou: threshold.
        label: the class, "average", or "" where all classes are labeled together.
        approach: the ordering.
        detector: name.
        mean: percent saved, over the seeds that are done.
        paired: difference to the random ordering on the same seeds, in percentage points; None for
            the random ordering itself.
        paper: percent that the paper gives; None where it gives none.
    """

    measure: str
    iou: float
    label: str
    approach: Approach
    detector: str
    mean: Mean
    paired: Paired | None
    paper: float | None

    @property
    def table(self) -> int:
        """The number of its table in the paper."""
        return 3 if self.label else {"wt": 1, "wb": 2}[self.measure]


def entries(rows: Sequence[Row], grid: Grid) -> list[Entry]:
    """Return all numbers of all tables, without those that have no finished seed."""
    shown = select(rows, shown=1)
    result = []
    for measure in MEASURES:
        for iou in grid.ious:
            for detector in grid.detectors:
                here = select(shown, iou=iou, detector=detector)
                for label in [*grid.labels, AVERAGE] if grid.labels else [""]:
                    result += _column(here, grid, measure, iou, detector, label)
    return result


def _column(
    rows: Sequence[Row], grid: Grid, measure: str, iou: float, detector: str, label: str
) -> list[Entry]:
    values = {
        approach: _values(select(rows, approach=approach.name), grid, measure, label)
        for approach in grid.approaches
    }
    baseline = next((v for a, v in values.items() if a.strategy == BASELINE), {})
    return [
        Entry(
            measure,
            iou,
            label,
            approach,
            detector,
            mean(list(by.values())),
            None if approach.strategy == BASELINE else paired(by, baseline),
            published(
                grid.paper,
                approach,
                grid.params[approach, detector],
                measure,
                iou,
                label or None,
            ),
        )
        for approach, by in values.items()
        if by
    ]


def _values(rows: Sequence[Row], grid: Grid, measure: str, label: str) -> dict[int, float]:
    """Return percent by seed; of the average, by each seed that every class has."""
    column = f"{measure}_reduction"
    if label != AVERAGE or AVERAGE in grid.labels:
        found = by_seed(select(rows, **{"class": label}), column)
        return {seed: 100 * found[seed] for seed in grid.seeds if seed in found}
    parts = [by_seed(select(rows, **{"class": name}), column) for name in grid.labels]
    whole = [seed for seed in grid.seeds if all(seed in part for part in parts)]
    return {seed: 100 * sum(part[seed] for part in parts) / len(parts) for seed in whole}


def entries_csv(items: Sequence[Entry]) -> str:
    """Format all entries as CSV, unrounded."""
    rows: list[dict[str, Any]] = []
    for e in items:
        row: dict[str, Any] = {
            "table": e.table,
            "measure": e.measure,
            "iou": e.iou,
            "class": e.label,
            "approach": e.approach.name,
            "detector": e.detector,
            "n": e.mean.n,
            "mean": e.mean.mean,
            "low": e.mean.low,
            "high": e.mean.high,
            "paper": e.paper,
        }
        if e.paired is not None:
            row |= {
                "paired_n": e.paired.n,
                "paired_mean": e.paired.mean,
                "paired_low": e.paired.low,
                "paired_high": e.paired.high,
                "paired_p": e.paired.p,
            }
        rows.append(row)
    return to_csv(rows, CSV_COLUMNS)


# --- text tables ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class TextTable:
    """A table of texts, for the page, the terminal and Markdown.

    Attributes:
        title: its title.
        head: names of the columns.
        rows: texts of the cells.
        best: (row, column) of the best cell of each column.
        note: how to read it.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]] = frozenset()
    note: str = ""

    def markdown(self) -> str:
        """Format as Markdown, with the best of each column in bold."""
        lines = [f"### {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        lines += ["| " + " | ".join(self.head) + " |", "|---" * len(self.head) + "|"]
        for i, row in enumerate(self.rows):
            cells = [f"**{c}**" if (i, j) in self.best else c for j, c in enumerate(row)]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


def text_tables(items: Sequence[Entry], grid: Grid) -> list[TextTable]:
    """Return the tables in the paper's form, each followed by the differences to random."""
    if grid.labels:
        return [
            t for d in grid.detectors for iou in grid.ious for t in _table_3(items, grid, d, iou)
        ]
    result = []
    for number, measure in ((1, "wt"), (2, "wb")):
        mine = [e for e in items if e.measure == measure]
        title = f"Table {number}. Reduction of {MEASURES[measure]}, %"
        result.append(_table(title, mine, grid, _spread, papers=True, note=_note(mine, grid)))
        if grid.has_baseline:
            result.append(
                _table(
                    f"Table {number}, against random on the same seeds, points",
                    [e for e in mine if e.paired is not None],
                    grid,
                    _difference,
                    papers=False,
                    note=_paired_note(mine),
                )
            )
    return result


def _table(
    title: str,
    items: Sequence[Entry],
    grid: Grid,
    text: Callable[[Entry], str],
    *,
    papers: bool,
    note: str,
) -> TextTable:
    """Build a table with a row per approach, a column per detector and IoU."""
    columns = [(d, iou) for d in grid.detectors for iou in grid.ious]
    found = {(e.approach, e.detector, e.iou): e for e in items}
    with_paper = papers and any(e.paper is not None for e in items)
    head, cells, best = ["Approach"], [[a.name] for a in grid.approaches], set()
    for detector, iou in columns:
        column = [found.get((a, detector, iou)) for a in grid.approaches]
        head.append(f"{detector}, IoU {iou:g}")
        for row, entry in zip(cells, column, strict=True):
            row.append("-" if entry is None else text(entry))
        top = max((e.mean.mean for e in column if e), default=None)
        if papers:
            place = len(head) - 1
            best |= {(i, place) for i, e in enumerate(column) if e and e.mean.mean == top}
        if with_paper:
            head.append("paper")
            for row, entry in zip(cells, column, strict=True):
                row.append(_published(entry))
    rows = [row for row in cells if any(cell != "-" for cell in row[1:])]
    return TextTable(title, tuple(head), tuple(tuple(r) for r in rows), frozenset(best), note)


def _table_3(items: Sequence[Entry], grid: Grid, detector: str, iou: float) -> list[TextTable]:
    mine = [e for e in items if e.detector == detector and e.iou == iou]
    found = {(e.label, e.approach, e.measure): e for e in mine}
    columns = [(a, m) for a in grid.approaches for m in MEASURES]
    with_paper = any(e.paper is not None for e in mine)
    labels = [*grid.labels, AVERAGE]
    names = {"wt": "W_T", "wb": "W_B"}
    head, cells, best = ["Class"], [[label] for label in labels], set()
    for approach, measure in columns:
        head.append(f"{approach.name} {names[measure]}")
        place = len(head) - 1
        for i, label in enumerate(labels):
            entry = found.get((label, approach, measure))
            cells[i].append("-" if entry is None else _spread(entry))
            rivals = [found.get((label, a, measure)) for a in grid.approaches]
            top = max((e.mean.mean for e in rivals if e), default=None)
            if entry is not None and entry.mean.mean == top:
                best.add((i, place))
        if with_paper:
            head.append("paper")
            for i, label in enumerate(labels):
                entry = found.get((label, approach, measure))
                cells[i].append(
                    "-" if entry is None or entry.paper is None else f"{entry.paper:.2f}"
                )
    where = f"{detector}, IoU {iou:g}"
    result = [
        TextTable(
            f"Table 3. Reduction, one class at a time, %; {where}",
            tuple(head),
            tuple(tuple(row) for row in cells),
            frozenset(best),
            _note(mine, grid),
        )
    ]
    if grid.has_baseline:
        compared = [(a, m) for a, m in columns if a.strategy != BASELINE]
        rows = []
        for label in labels:
            row = [label]
            for a, m in compared:
                entry = found.get((label, a, m))
                row.append("-" if entry is None else _difference(entry))
            rows.append(tuple(row))
        heads = ("Class", *(f"{a.name} {names[m]}" for a, m in compared))
        title = f"Table 3, against random on the same seeds, points; {where}"
        result.append(TextTable(title, heads, tuple(rows), frozenset(), _paired_note(mine)))
    return result


def _spread(entry: Entry) -> str:
    """Format a mean and half of its interval: 45.6 ± 1.2."""
    half = entry.mean.half
    return f"{entry.mean.mean:.2f}" + ("" if half is None else f" ± {half:.2f}")


def _published(entry: Entry | None) -> str:
    return "-" if entry is None or entry.paper is None else f"{entry.paper:.2f}"


def _difference(entry: Entry) -> str:
    if entry.paired is None:
        return "-"
    d = entry.paired
    if d.low is None or d.high is None:
        return f"{d.mean:+.2f}"
    mark = " *" if d.decided else ""
    return f"{d.mean:+.2f} [{d.low:+.2f}, {d.high:+.2f}]{mark}"


def _note(items: Sequence[Entry], grid: Grid) -> str:
    asked = len(grid.seeds)
    counts = sorted({e.mean.n for e in items})
    text = f"Mean of {_many(counts)} of {asked} seeds" if counts != [asked] else ""
    text = text or (f"Mean of {asked} seeds" if asked > 1 else "One seed")
    if max(counts, default=0) < 2:
        return f"{text}, so nothing is known of the spread: no interval, and no winner."
    text += f", ± half of the {100 * CONFIDENCE:g} % interval (Student's t)."
    if counts[0] < FEW:
        text += f" Fewer than {FEW} seeds say next to nothing about the spread."
    if any(e.paper is not None for e in items):
        text += " The paper's values are means of five runs."
    return text


def _paired_note(items: Sequence[Entry]) -> str:
    compared = [e.paired for e in items if e.paired is not None]
    counts = sorted({p.n for p in compared})
    if not counts:
        return "No seed has both yet."
    if counts[-1] < 2:
        return "One seed: the differences may be chance alone."
    text = (
        f"Mean difference over {_many(counts)} common seeds, with its {100 * CONFIDENCE:g} %"
        " interval (paired t); * where that leaves zero out. Of"
        f" {len(compared)} comparisons without any true difference, about"
        f" {(1 - CONFIDENCE) * len(compared):.1f} would carry a star by chance."
    )
    if counts[0] < FEW:
        text += f" Fewer than {FEW} seeds are too few to say anything."
    return text


def _many(counts: Sequence[int]) -> str:
    if not counts:
        return "0"
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
