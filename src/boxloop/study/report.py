"""Write the outputs of a study: results.csv, tables, figures, page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import RenderableType
from rich.markup import escape

from boxloop.campaign import artifacts
from boxloop.files import write_text
from boxloop.params import SIMNET
from boxloop.report.console import as_text, plain_table
from boxloop.report.html import Picture, render
from boxloop.report.tables import Row, to_csv
from boxloop.study.grid import Cell, Grid, slug
from boxloop.study.results import AFTER_THE_LAST, select
from boxloop.study.study import Study
from boxloop.study.tables import MEASURES, Entry, TextTable, entries, entries_csv, text_tables
from boxloop.tracking.class_values import metric_names


@dataclass(frozen=True)
class Outcome:
    """The results of a study so far.

    Attributes:
        study: what was asked.
        rows: rows of results.csv.
        precision: rows of precision.csv; empty without a test set.
        finished: cells that are done.
        failed: error message by name of the cell.
    """

    study: Study
    rows: Sequence[Row]
    precision: Sequence[Row]
    finished: Sequence[Cell]
    failed: Mapping[str, str]

    @property
    def caveats(self) -> list[str]:
        """The notes, and the number of missing cells."""
        lines, planned = list(self.study.notes), len(self.study.cells)
        missing = planned - len(self.finished)
        if missing:
            lines.append(f"{missing} of {planned} cells are missing: these numbers are preliminary")
        return lines


class Chapter(NamedTuple):
    """Pictures under one heading."""

    title: str
    text: str
    pictures: Sequence[Picture]


def write_outputs(outcome: Outcome) -> tuple[str, dict[str, float], list[Path]]:
    """Write all outputs into the study's folder; equal cells give equal bytes.

    Returns:
        The tables for the terminal, the means by metric name, and the files.
    """
    study, grid = outcome.study, outcome.study.grid
    items = entries(outcome.rows, grid)
    tables = text_tables(items, grid)
    chapters = _chapters(outcome, items)
    page = render(
        "study/page.html.j2",
        title=study.spec.axes.title,
        facts=_facts(outcome),
        caveats=outcome.caveats,
        tables=tables,
        chapters=chapters,
        failed=list(outcome.failed.items()),
    )
    texts = {
        "results.csv": to_csv(outcome.rows),
        "tables.csv": entries_csv(items),
        "tables.md": _markdown(outcome, tables),
        "study.html": page,
    }
    if outcome.precision:
        texts["precision.csv"] = to_csv(outcome.precision)
    for name, text in texts.items():
        write_text(study.root / name, text)
    files = [study.root / name for name in texts]
    files += [p.write(study.root / "figures") for c in chapters for p in c.pictures]
    return _terminal_text(outcome, tables), points(items), files


def points(items: Sequence[Entry]) -> dict[str, float]:
    """Return means as fractions, by metric name for MLflow."""
    labels = metric_names(tuple(dict.fromkeys(e.label for e in items if e.label)))
    return {
        "/".join(
            part
            for part in (
                f"{e.measure}_reduction",
                f"iou_{e.iou:g}",
                labels.get(e.label, ""),
                e.approach.name,
                e.detector,
            )
            if part
        ): e.mean.mean / 100
        for e in items
    }


def _facts(outcome: Outcome) -> list[tuple[str, str]]:
    study, whole, grid = outcome.study, outcome.study.whole, outcome.study.grid
    review = outcome.finished[0].params.review
    counts = f"{len(whole.images):,} images, {whole.objects:,} objects"
    return [
        ("Dataset", f"{counts} of {len(whole.images.classes)} classes"),
        ("Orderings", ", ".join(approach.name for approach in grid.approaches)),
        ("Detectors", ", ".join(f"{d}: {_detector(grid, d)}" for d in grid.detectors)),
        ("Features", ", ".join(_features(grid)) or "none"),
        ("Seeds", ", ".join(str(seed) for seed in grid.seeds)),
        ("A seed sets", ", ".join(study.spec.axes.seeded)),
        ("Proposals shown", f"from {review.shown_from_in_words}"),
        ("Cells done", f"{len(outcome.finished)} of {len(study.cells)}"),
    ]


def _detector(grid: Grid, name: str) -> str:
    params = next(p for (_, d), p in grid.params.items() if d == name).train
    return f"{params.detector} from weights {params.weights}"


def _features(grid: Grid) -> list[str]:
    found = {a.features: p for (a, _), p in grid.params.items() if a.features is not None}
    return [
        f"{name}: {p.features.network} with weights {p.features.weights}"
        + (f" (from {p.simnet.weights})" if p.features.weights == SIMNET else "")
        for name, p in found.items()
    ]


def _chapters(outcome: Outcome, items: Sequence[Entry]) -> list[Chapter]:
    from boxloop.study import figures  # matplotlib takes a second

    grid = outcome.study.grid
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

    study, pictures = outcome.study, []
    for approach in study.grid.approaches:
        cell = next((c for c in outcome.finished if c.approach == approach), None)
        if cell is None:
            continue
        ids = artifacts.read_order(study.paths(cell).order).image_ids
        first = ids[: study.spec.axes.sheet_images]
        jpeg = figures.samples(study.whole.images.subset(first))
        seed = f"seed {cell.seed}" + ("" if cell.label is None else f", {cell.label}")
        pictures.append(
            Picture(
                f"figure2_{slug(approach.name)}.jpg",
                jpeg,
                f"{approach.name} ({seed}): {', '.join(first)}",
                f"The first {len(first)} images of the ordering {approach.name}.",
            )
        )
    query = outcome.finished[0].params.order.query_size
    text = (
        "The images that are labeled first (figure 2 of the paper); those by features start with"
        f" {query} random ones."
    )
    return Chapter("First samples of each ordering", text, pictures)


def _precision(outcome: Outcome) -> Chapter:
    """Draw figure 3."""
    from boxloop.study import figures

    pictures, grid = [], outcome.study.grid
    for detector in grid.detectors:
        if not select(outcome.precision, detector=detector):
            continue
        for column, what in figures.PRECISIONS.items():
            svg = figures.precision(outcome.precision, grid, detector, column)
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
    whole = outcome.study.whole
    lines = [
        f"# {outcome.study.spec.axes.title}",
        "",
        f"{len(whole.images):,} images, {whole.objects:,} objects of"
        f" {len(whole.images.classes)} classes. Every number is of whole simulated campaigns, the"
        " first batch labeled from scratch and counted in full; `results.csv` has the cells.",
        "",
    ]
    lines += [f"> {line}" for line in outcome.caveats]
    lines += [""] if outcome.caveats else []
    return "\n".join(lines) + "\n" + "\n".join(table.markdown() for table in tables)


def _terminal_text(outcome: Outcome, tables: Sequence[TextTable]) -> str:
    """Format the tables as plain text."""

    def parts() -> Iterator[RenderableType]:
        for table in tables:
            caption = {"caption": escape(table.note), "caption_justify": "left"}
            grid = plain_table(escape(table.title), caption_style="", **caption)
            for j, name in enumerate(table.head):
                grid.add_column(escape(name), justify="left" if j == 0 else "right")
            for row in table.rows:
                grid.add_row(*(escape(cell) for cell in row))
            yield grid
            yield ""
        for line in outcome.caveats:
            yield f"note: {escape(line)}"

    return as_text(parts(), width=110)
