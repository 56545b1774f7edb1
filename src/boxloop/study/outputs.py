"""What a study leaves for people and other programs: results.csv, tables, figures, one page."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from boxloop import storage
from boxloop.layout import Layout
from boxloop.report.tables import to_csv
from boxloop.study.grid import Cell
from boxloop.study.material import Material
from boxloop.study.results import COLUMNS, PRECISION_COLUMNS, Row
from boxloop.study.spec import Spec
from boxloop.study.tables import Grid, Shown, entries, entries_csv, shown_tables

_WIDTH = 110


@dataclass(frozen=True)
class Outcome:
    """A study as far as it got.

    Attributes:
        spec: of the study.
        whole: its dataset.
        grid: what its tables are of.
        rows: of results.csv.
        precision: of precision.csv; empty without a test set.
        finished: cells that are done, with their folders.
        planned: number of all cells.
        notes: what a reader must know.
        failed: why a cell failed, by its name.
    """

    spec: Spec
    whole: Material
    grid: Grid
    rows: tuple[Row, ...]
    precision: tuple[Row, ...]
    finished: tuple[tuple[Cell, Layout], ...]
    planned: int
    notes: tuple[str, ...]
    failed: Mapping[str, str]

    @property
    def caveats(self) -> list[str]:
        """The notes, and what is missing."""
        lines = [*self.notes]
        missing = self.planned - len(self.finished)
        if missing:
            lines.append(
                f"{missing} of {self.planned} cells are missing: these numbers are preliminary"
            )
        return lines


def write_outputs(root: Path, outcome: Outcome, say: Callable[[str], object]) -> str:
    """Writes everything; the same cells give the same bytes.

    Args:
        root: the study's folder.
        outcome: what came of the study.
        say: told when something takes seconds.

    Returns:
        The tables for the terminal.
    """
    storage.write_text(root / "results.csv", to_csv(outcome.rows, COLUMNS))
    if outcome.precision:
        storage.write_text(root / "precision.csv", to_csv(outcome.precision, PRECISION_COLUMNS))
    items = entries(outcome.rows, outcome.grid)
    storage.write_text(root / "tables.csv", entries_csv(items))
    tables = shown_tables(items, outcome.grid)
    storage.write_text(root / "tables.md", _markdown(outcome, tables))
    return terminal_text(outcome, tables)


def _markdown(outcome: Outcome, tables: Sequence[Shown]) -> str:
    whole = outcome.whole
    lines = [
        f"# {outcome.spec.axes.title}",
        "",
        f"{len(whole.images):,} images, {whole.objects:,} objects of"
        f" {len(whole.images.classes)} classes. Every number is of whole simulated campaigns, the"
        " first batch labeled from scratch and counted in full; `results.csv` has the cells.",
        "",
    ]
    lines += [f"> {line}" for line in outcome.caveats]
    lines += [""] if outcome.caveats else []
    return "\n".join(lines) + "\n" + "\n".join(table.markdown() for table in tables)


def terminal_text(outcome: Outcome, tables: Sequence[Shown]) -> str:
    """The tables as plain text."""
    out = io.StringIO()
    console = Console(file=out, width=_WIDTH, color_system=None, highlight=False)
    for table in tables:
        grid = Table(
            title=escape(table.title),
            title_justify="left",
            title_style="",
            caption=escape(table.note),
            caption_justify="left",
            caption_style="",
            box=box.SIMPLE,
            pad_edge=False,
        )
        for j, name in enumerate(table.head):
            grid.add_column(escape(name), justify="left" if j == 0 else "right")
        for row in table.rows:
            grid.add_row(*(escape(cell) for cell in row))
        console.print(grid)
        console.print()
    for line in outcome.caveats:
        console.print(f"note: {escape(line)}")
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
