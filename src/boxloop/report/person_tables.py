"""The ledger by person: as CSV, as text of 80 columns, and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from boxloop.campaign.by_person import PersonBatch, by_person
from boxloop.report.console import as_text, plain_table
from boxloop.report.tables import to_csv
from boxloop.terminal import counted

COLUMNS = ("Images", "Boxes", "Edits", "s/image", "s/edit", "Edits/h", "Right first")
"""The columns of :func:`person_cells`."""

EXPLAINED = (
    "Seconds and edits per hour are of images that were timed and submitted once. An image was"
    " right at first where its labels still are those that were submitted first; in brackets where"
    " the share lies 19 times in 20."
)


def person_text(rows: Sequence[PersonBatch]) -> str:
    """Return a table of people, and one of their batches in the order of the campaign."""
    if not rows:
        return "No batch that people reviewed is done yet."
    people = by_person(rows)
    whole = _table("What people did", ("Reviewer", *COLUMNS))
    for row in people:
        whole.add_row(escape(row.reviewer), *person_cells(row))
    parts: list[RenderableType] = [whole]
    if len(rows) > len(people):
        over_time = _table("Batch by batch", ("Reviewer", "Batch", *COLUMNS))
        for person in people:
            for row in rows:
                if row.reviewer == person.reviewer:
                    cells = person_cells(row, interval=False)
                    over_time.add_row(escape(row.reviewer), row.batch, *cells)
        parts.append(over_time)
    return as_text([*parts, *below_lines(people), EXPLAINED])


def below_lines(people: Sequence[PersonBatch]) -> list[str]:
    """Return a sentence on boxes that people took from below the threshold; none where none was."""
    taken, added = sum(r.kept_below for r in people), sum(r.edits.added for r in people)
    if not taken:
        return []
    return [
        f"Of {counted(added, 'box')} added, {taken:,} {'was' if taken == 1 else 'were'} taken from"
        " proposals below the threshold, not drawn."
    ]


def _table(title: str, names: Sequence[str]) -> Table:
    table = plain_table(title, padding=0)
    for name in names:
        text = name in ("Reviewer", "Batch")
        table.add_column(
            name,
            justify="left" if text else "right",
            overflow="fold",
            no_wrap=name != "Reviewer",
        )
    return table


def person_cells(row: PersonBatch, *, interval: bool = True) -> list[str]:
    """Return the values of :data:`COLUMNS` as texts."""
    edits = row.edits.moved + row.edits.relabeled + row.edits.removed + row.edits.added
    right, between = f"{row.right}/{row.first}", row.right_interval()
    if interval and between is not None:
        right += f" ({100 * between[0]:.0f}-{100 * between[1]:.0f} %)"
    return [
        str(row.images),
        str(row.objects),
        str(edits),
        _number(row.seconds_per_image),
        _number(row.seconds_per_edit),
        "-" if row.edits_per_hour is None else f"{row.edits_per_hour:,.0f}",
        right if row.first else "-",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def person_table(rows: Sequence[PersonBatch]) -> str:
    """Return by_reviewer.csv: a row per person and batch; see :class:`PersonBatch`."""
    return to_csv(
        [
            {
                "reviewer": row.reviewer,
                "batch": row.batch,
                "images": row.images,
                "objects": row.objects,
                **asdict(row.edits),
                "kept_below": row.kept_below,
                "timed_images": row.timed_images,
                "timed_edits": row.timed_edits,
                "seconds": row.seconds,
                "first": row.first,
                "right": row.right,
            }
            for row in rows
        ]
    )
