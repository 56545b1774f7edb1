"""Write the outputs of a study: results.csv, tables, figures, page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.files import atomic_path, write_text
from boxloop.params import SIMNET
from boxloop.report.tables import Row, to_csv
from boxloop.study.datasets import AnnotatedDataset
from boxloop.study.grid import Cell, Grid, slug
from boxloop.study.page import Chapter, Picture, render
from boxloop.study.results import AFTER_THE_LAST, COLUMNS, PRECISION_COLUMNS, select
from boxloop.study.spec import Spec
from boxloop.study.tables import MEASURES, Entry, TextTable, entries, entries_csv, text_tables

_WIDTH = 110


@dataclass(frozen=True)
class Outcome:
    """The results of a study so far.

    Attributes:
        spec: of the study.
        whole: its dataset.
        grid: its axes.
        rows: rows of results.csv.
        precision: rows of precision.csv; empty without a test set.
        finished: cells that are done, with their folders.
        planned: number of all cells.
        notes: caveats for the reader.
        failed: error message by name of the cell.
    """

    spec: Spec
    whole: AnnotatedDataset
    grid: Grid
    rows: tuple[Row, ...]
    precision: tuple[Row, ...]
    finished: tuple[tuple[Cell, CampaignPaths], ...]
    planned: int
    notes: tuple[str, ...]
    failed: Mapping[str, str]

    @property
    def caveats(self) -> list[str]:
        """The notes, and the number of missing cells."""
        lines = [*self.notes]
        missing = self.planned - len(self.finished)
        if missing:
            lines.append(
                f"{missing} of {self.planned} cells are missing: these numbers are preliminary"
            )
        return lines


def write_outputs(root: Path, outcome: Outcome) -> tuple[str, dict[str, float], list[Path]]:
    """Write all outputs; equal cells give equal bytes.

    Args:
        root: the study's folder.
        outcome: the results.

    Returns:
        The tables for the terminal, the means by metric name, and the files.
    """
    write_text(root / "results.csv", to_csv(outcome.rows, COLUMNS))
    if outcome.precision:
        write_text(root / "precision.csv", to_csv(outcome.precision, PRECISION_COLUMNS))
    items = entries(outcome.rows, outcome.grid)
    write_text(root / "tables.csv", entries_csv(items))
    tables = text_tables(items, outcome.grid)
    write_text(root / "tables.md", _markdown(outcome, tables))
    chapters = _chapters(outcome, items)
    for chapter in chapters:
        for picture in chapter.pictures:
            with atomic_path(root / "figures" / picture.name) as temporary:
                temporary.write_bytes(picture.content)
    title, failed = outcome.spec.axes.title, list(outcome.failed.items())
    page = render(title, _facts(outcome), outcome.caveats, tables, chapters, failed)
    write_text(root / "study.html", page)
    names = ["results.csv", "tables.csv", "tables.md", "study.html"]
    names += ["precision.csv"] if outcome.precision else []
    names += [f"figures/{picture.name}" for c in chapters for picture in c.pictures]
    return terminal_text(outcome, tables), _points(items), [root / name for name in names]


def _points(items: Sequence[Entry]) -> dict[str, float]:
    """Return means as fractions, by metric name for MLflow."""
    return {
        "/".join(
            part
            for part in (
                f"{e.measure}_reduction",
                f"iou_{e.iou:g}",
                slug(e.label),
                e.approach.name,
                e.detector,
            )
            if part
        ): e.mean.mean / 100
        for e in items
    }


def _facts(outcome: Outcome) -> list[tuple[str, str]]:
    whole, grid = outcome.whole, outcome.grid
    review = outcome.finished[0][0].params.review
    counts = f"{len(whole.images):,} images, {whole.objects:,} objects"
    return [
        ("Dataset", f"{counts} of {len(whole.images.classes)} classes"),
        ("Orderings", ", ".join(approach.name for approach in grid.approaches)),
        ("Detectors", ", ".join(f"{d}: {_detector(outcome, d)}" for d in grid.detectors)),
        ("Features", ", ".join(_features(outcome)) or "none"),
        ("Seeds", ", ".join(str(seed) for seed in grid.seeds)),
        ("A seed sets", ", ".join(outcome.spec.axes.seeded)),
        ("Proposals shown", f"from a score of {review.score_threshold:g}"),
        ("Cells done", f"{len(outcome.finished)} of {outcome.planned}"),
    ]


def _detector(outcome: Outcome, name: str) -> str:
    params = next(p for (_, d), p in outcome.grid.params.items() if d == name).train
    return f"{params.detector} from weights {params.weights}"


def _features(outcome: Outcome) -> list[str]:
    found = {a.features: p for (a, _), p in outcome.grid.params.items() if a.features is not None}
    return [
        f"{name}: {p.features.network} with weights {p.features.weights}"
        + (f" (from {p.simnet.weights})" if p.features.weights == SIMNET else "")
        for name, p in found.items()
    ]


def _chapters(outcome: Outcome, items: Sequence[Entry]) -> list[Chapter]:
    from boxloop.study import figures  # matplotlib takes a second

    grid = outcome.grid
    chapters = []
    if not grid.labels:
        pictures = []
        for measure, what in MEASURES.items():
            mine = [e for e in items if e.measure == measure]
            text = "; ".join(
                f"{e.approach.name}, {e.detector}, IoU {e.iou:g}: {e.mean.mean:.1f} %" for e in mine
            )
            svg = figures.saving(outcome.rows, items, grid, measure)
            caption = f"Reduction of {what}: means with their intervals; a tick for every seed."
            pictures.append(Picture(f"saving_{measure}.svg", svg, caption, text))
        chapters.append(Chapter("What each ordering saves", "", pictures))
    chapters.append(_first_samples(outcome))
    if outcome.precision:
        chapters.append(_precision(outcome))
    return chapters


def _first_samples(outcome: Outcome) -> Chapter:
    """Draw figure 2, of the first seed."""
    from boxloop.study import figures

    pictures = []
    for approach in outcome.grid.approaches:
        found = next(((c, x) for c, x in outcome.finished if c.approach == approach), None)
        if found is None:
            continue
        cell, paths = found
        ids = artifacts.read_order(paths.root / "data" / "order.json").image_ids
        first = ids[: outcome.spec.axes.sheet_images]
        jpeg = figures.samples(outcome.whole.images.subset(first))
        seed = f"seed {cell.seed}" + ("" if cell.label is None else f", {cell.label}")
        pictures.append(
            Picture(
                f"figure2_{slug(approach.name)}.jpg",
                jpeg,
                f"{approach.name} ({seed}): {', '.join(first)}",
                f"The first {len(first)} images of the ordering {approach.name}.",
            )
        )
    query = outcome.finished[0][0].params.order.query_size
    text = (
        "The images that are labeled first (figure 2 of the paper); those by features start with"
        f" {query} random ones."
    )
    return Chapter("First samples of each ordering", text, pictures)


def _precision(outcome: Outcome) -> Chapter:
    """Draw figure 3."""
    from boxloop.study import figures

    pictures = []
    for detector in outcome.grid.detectors:
        if not select(outcome.precision, detector=detector):
            continue
        for column, what in figures.PRECISIONS.items():
            svg = figures.precision(outcome.precision, outcome.grid, detector, column)
            ends = [
                f"{row['approach']} seed {row['seed']}: {row[column]:.3f}"
                for row in select(outcome.precision, detector=detector, turn=AFTER_THE_LAST)
            ]
            pictures.append(
                Picture(
                    f"figure3_{slug(detector)}_{column}.svg",
                    svg,
                    f"{detector}: {what}; bands are 95 % intervals over the seeds.",
                    f"{what} against labeled images; in the end {'; '.join(ends)}.",
                )
            )
    text = (
        "Every detector of the loop on the held-out test set, against the number of images that it"
        " was trained on (figure 3 of the paper). Difficult objects count as all others do."
    )
    return Chapter("Precision on the test set", text, pictures)


def _markdown(outcome: Outcome, tables: Sequence[TextTable]) -> str:
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


def terminal_text(outcome: Outcome, tables: Sequence[TextTable]) -> str:
    """Format the tables as plain text."""
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
