"""Build the paper's tables from the rows of results.csv: as data, CSV and Markdown.

Everything is in percent. Table 1 is W_T and Table 2 is W_B, by approach, detector and IoU; Table 3
is both, one class at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from boxloop.report.tables import Row, to_csv
from boxloop.study.grid import Approach, Grid
from boxloop.study.published import AVERAGE, published
from boxloop.study.results import by_seed, select
from boxloop.study.spec import BASELINE
from boxloop.study.statistics import CONFIDENCE, FEW, Mean, Paired, mean, paired

MEASURES: Mapping[str, str] = {"wt": "time (W_T)", "wb": "boxes (W_B)"}


@dataclass(frozen=True)
class Entry:
    """One number of a table.

    Attributes:
        measure: "wt" or "wb".
        iou: threshold.
        label: the class, "average" of them, or "" where all classes are labeled together.
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
                for label in [*grid.labels, _average(grid)] if grid.labels else [""]:
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
    result = []
    for approach, by in values.items():
        if by:
            params = grid.params[approach, detector]
            difference = None if approach.strategy == BASELINE else paired(by, baseline)
            paper = published(grid.paper, approach, params, measure, iou, label or None)
            of_seeds = mean(list(by.values()))
            entry = Entry(measure, iou, label, approach, detector, of_seeds, difference, paper)
            result.append(entry)
    return result


def _values(rows: Sequence[Row], grid: Grid, measure: str, label: str) -> dict[int, float]:
    """Return percent by seed; of the average, by each seed that every class has."""
    column = f"{measure}_reduction"
    if label != _average(grid):
        found = by_seed(select(rows, **{"class": label}), column)
        return {seed: 100 * found[seed] for seed in grid.seeds if seed in found}
    parts = [by_seed(select(rows, **{"class": name}), column) for name in grid.labels]
    whole = [seed for seed in grid.seeds if all(seed in part for part in parts)]
    return {seed: 100 * sum(part[seed] for part in parts) / len(parts) for seed in whole}


def _average(grid: Grid) -> str:
    """Return what the average of the classes is called, which is no class itself."""
    return f"{AVERAGE} of {len(grid.labels)} classes" if AVERAGE in grid.labels else AVERAGE


def entries_csv(items: Sequence[Entry]) -> str:
    """Format all entries as CSV, unrounded."""
    rows = []
    for e in items:
        difference = {} if e.paired is None else asdict(e.paired)
        names = [field.name for field in fields(Paired)]
        rows.append(
            {
                "table": e.table,
                "measure": e.measure,
                "iou": e.iou,
                "class": e.label,
                "approach": e.approach.name,
                "detector": e.detector,
                **asdict(e.mean),
                **{f"paired_{name}": difference.get(name) for name in names},
                "paper": e.paper,
            }
        )
    return to_csv(rows)


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
        lines += [_line(self.head), "|---" * len(self.head) + "|"]
        for i, row in enumerate(self.rows):
            lines.append(_line(f"**{c}**" if (i, j) in self.best else c for j, c in enumerate(row)))
        return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    """Return a row of Markdown, in which a bar of a class's name ends no cell."""
    return "| " + " | ".join(cell.replace("|", "&#124;") for cell in cells) + " |"


_Places = Sequence[tuple[str, Mapping[str, Any]]]
"""Names of rows or columns, each with the attributes that its entries have."""


def text_tables(items: Sequence[Entry], grid: Grid) -> list[TextTable]:
    """Return the tables in the paper's form, each followed by the differences to random."""
    result = []
    columns: _Places
    rows: _Places
    cells = [(d, iou, f"{d}, IoU {iou:g}") for d in grid.detectors for iou in grid.ious]
    if grid.labels:
        names = {"wt": "W_T", "wb": "W_B"}
        rows = [(label, {"label": label}) for label in [*grid.labels, _average(grid)]]
        columns = [
            (f"{a.name} {name}", {"approach": a, "measure": measure})
            for a in grid.approaches
            for measure, name in names.items()
        ]
        compared = [c for c in columns if c[1]["approach"].strategy != BASELINE]
        for detector, iou, where in cells:
            mine = [e for e in items if e.detector == detector and e.iou == iou]
            title = f"Table 3. Reduction, one class at a time, %; {where}"
            result.append(_table(title, mine, "Class", rows, columns, grid))
            if grid.has_baseline:
                title = f"Table 3, against random on the same seeds, points; {where}"
                result.append(_differences(title, mine, "Class", rows, compared))
        return result
    columns = [(name, {"detector": d, "iou": iou}) for d, iou, name in cells]
    for number, (measure, what) in enumerate(MEASURES.items(), start=1):
        mine = [e for e in items if e.measure == measure]
        rows = [(a.name, {"approach": a}) for a in _done(mine, grid)]
        title = f"Table {number}. Reduction of {what}, %"
        result.append(_table(title, mine, "Approach", rows, columns, grid))
        if grid.has_baseline:
            rows = [(a.name, {"approach": a}) for a in _done([e for e in mine if e.paired], grid)]
            title = f"Table {number}, against random on the same seeds, points"
            result.append(_differences(title, mine, "Approach", rows, columns))
    return result


def _done(items: Sequence[Entry], grid: Grid) -> list[Approach]:
    return [a for a in grid.approaches if any(e.approach == a for e in items)]


def _find(items: Sequence[Entry], *wanted: Mapping[str, Any]) -> Entry | None:
    """Return the entry whose attributes have these values."""
    pairs = [pair for values in wanted for pair in values.items()]
    return next((e for e in items if all(getattr(e, k) == v for k, v in pairs)), None)


def _table(
    title: str, items: Sequence[Entry], corner: str, rows: _Places, columns: _Places, grid: Grid
) -> TextTable:
    """Build a table of means, each with what the paper gives where it gives anything."""
    with_paper = any(e.paper is not None for e in items)
    head, cells, best = [corner], [[name] for name, _ in rows], set()
    tops = _tops(items)
    for name, column in columns:
        head += [name, "paper"] if with_paper else [name]
        for i, (_, row) in enumerate(rows):
            entry = _find(items, row, column)
            if entry is not None and entry.mean.mean == tops.get(_rivals(entry)):
                best.add((i, len(cells[i])))
            cells[i].append("-" if entry is None else _spread(entry.mean))
            if with_paper:
                paper = None if entry is None else entry.paper
                cells[i].append("-" if paper is None else f"{paper:.2f}")
    texts = tuple(tuple(row) for row in cells)
    return TextTable(title, tuple(head), texts, frozenset(best), _note(items, grid))


def _differences(
    title: str, items: Sequence[Entry], corner: str, rows: _Places, columns: _Places
) -> TextTable:
    """Build a table of the differences to the random ordering."""
    cells = tuple(
        (name, *(_difference(_find(items, row, column)) for _, column in columns))
        for name, row in rows
    )
    head = (corner, *(name for name, _ in columns))
    return TextTable(title, head, cells, frozenset(), _paired_note(items))


def _tops(items: Sequence[Entry]) -> dict[tuple[Any, ...], float]:
    """Return the best mean of those that compete; none where they are not of as many seeds.

    One seed names no winner either.
    """
    groups: dict[tuple[Any, ...], list[Mean]] = {}
    for e in items:
        groups.setdefault(_rivals(e), []).append(e.mean)
    return {
        key: max(found.mean for found in means)
        for key, means in groups.items()
        if len({found.n for found in means}) == 1 and means[0].n > 1
    }


def _rivals(entry: Entry) -> tuple[Any, ...]:
    """Return what the entries have in common of which the best is marked."""
    return entry.measure, entry.iou, entry.label, entry.detector


def _spread(found: Mean) -> str:
    """Format a mean and half of its interval: 45.6 ± 1.2."""
    return f"{found.mean:.2f}" + ("" if found.half is None else f" ± {found.half:.2f}")


def _difference(entry: Entry | None) -> str:
    if entry is None or entry.paired is None:
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
