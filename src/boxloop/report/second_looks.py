"""Tell how far two people agree, and what second and third looks cost: beside WB and WT."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.markup import escape

from boxloop.campaign.second_looks import Looks
from boxloop.core.agreement import COVERAGE, Agreement, Statistic
from boxloop.core.edits import EDITS
from boxloop.report.console import as_text, plain_table
from boxloop.terminal import minutes

_FIGURES = ("found", "iou", "labels", "kappa")


@dataclass(frozen=True)
class LookTable:
    """A table in text: its caption, columns, and a row for each pair or person."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class LooksTables:
    """What the report says of second looks: a line, two tables, and how to read them."""

    line: str
    tables: tuple[LookTable, ...]
    note: str


def to_entries(looks: Looks, iou_threshold: float) -> dict[str, Any]:
    """Return the entry ``second_looks`` of metrics.json; nothing where nobody took one."""
    if not looks.images:
        return {}
    pairs = looks.agreements(iou_threshold).items()
    work: dict[str, dict[str, Any]] = {}
    for row in looks.work:
        counts = {k: getattr(row, k) for k in ("images", "timed_images", "seconds")}
        work.setdefault(row.look, {})[row.reviewer] = counts | asdict(row.edits)
    entry = {
        "iou_threshold": iou_threshold,
        "images": len(looks.images),
        "open": len(looks.differing(iou_threshold)),
        "decided": sum(look.decided is not None for look in looks.images),
        "people": {" and ".join(people): _entry(people, found) for people, found in pairs},
        "work": work,
    }
    return {"second_looks": entry}


def _entry(people: tuple[str, str], found: Agreement) -> dict[str, Any]:
    names = ("images", "differing", "matched", "same_label")
    counts: dict[str, Any] = {name: getattr(found, name) for name in names}
    counts["boxes"] = dict(zip(people, found.boxes, strict=True))
    known = {name: getattr(found, name) for name in _FIGURES}
    return counts | {name: asdict(e) for name, e in known.items() if e.value is not None}


def looks_tables(looks: Looks, iou_threshold: float) -> LooksTables | None:
    """Return what the page and the terminal show; None where nobody took a second look."""
    if not looks.images:
        return None
    count, left = len(looks.images), len(looks.differing(iou_threshold))
    decided = sum(look.decided is not None for look in looks.images)
    agreement = LookTable(
        f"Agreement of two people, boxes matched from IoU {iou_threshold:g} on",
        ("People", "Images", "Differ", "Boxes", "Matched", "Found", "IoU", "Labels", "Kappa"),
        tuple(
            (
                " and ".join(people),
                str(found.images),
                str(found.differing),
                f"{found.boxes[0]}, {found.boxes[1]}",
                str(found.matched),
                *(_between(getattr(found, name)) for name in _FIGURES),
            )
            for people, found in looks.agreements(iou_threshold).items()
        ),
    )
    work = LookTable(
        "Work of second and third looks, beside WB and WT",
        ("Person", "Look", "Images", "Measured", *(kind.capitalize() for kind in EDITS)),
        tuple(
            (
                row.reviewer,
                row.look,
                str(row.images),
                minutes(row.seconds) if row.timed_images else "-",
                *(str(getattr(row.edits, kind)) for kind in EDITS),
            )
            for row in looks.work
        ),
    )
    return LooksTables(
        f"Images with a second look: {count}; decided by a third person: {decided}; still open:"
        f" {left}.",
        (agreement, work),
        "Found is 2 matched / all boxes of both; IoU, labels and Cohen's kappa of the labels are of"
        f" the matched boxes. In brackets, {100 * COVERAGE:.0f} % intervals by a bootstrap over"
        " images.",
    )


def _between(found: Statistic) -> str:
    if found.value is None:
        return "-"
    return f"{found.value:.2f} ({found.low:.2f}-{found.high:.2f})"


def looks_text(looks: Looks, iou_threshold: float) -> str:
    """Return the same as plain text; nothing where nobody took a second look."""
    found = looks_tables(looks, iou_threshold)
    if found is None:
        return ""
    parts = [escape(found.line), *map(_table, found.tables), escape(found.note)]
    return as_text(parts, width=120)


def _table(content: LookTable) -> Any:
    table = plain_table(content.caption, padding=(0, 1))
    for number, name in enumerate(content.columns):
        table.add_column(name, justify="right" if number else "left")
    for row in content.rows:
        table.add_row(*map(escape, row))
    return table
