"""What MLflow shows as the description of a run: Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from boxloop.core.edits import EDITS
from boxloop.terminal import counted
from boxloop.tracking.turn_record import TurnRecord

_MARKUP = re.compile(r"([\\`*_{}\[\]#|~])")


def as_text(name: str) -> str:
    """Return a name that somebody chose as Markdown that shows it as it is."""
    return _MARKUP.sub(r"\\\1", html.escape(name, quote=False))


def turn_note(turn: TurnRecord) -> str:
    """Return the edits of an iteration's batch as Markdown, with the names of their metrics."""
    workload, ious = turn.campaign.workloads[-1], turn.campaign.iou_thresholds
    names = {"additions": "additions (An)", "removals": "removals (Rn)"}
    kinds = (*EDITS, *names)
    lines = [
        f"**{as_text(turn.key)}**: {counted(workload.images)},"
        f" {counted(workload.objects, 'object')}; detector {as_text(workload.detector)}.",
        "",
        "| IoU | " + " | ".join(names.get(kind, kind) for kind in kinds) + " |",
        "|---" * (1 + len(kinds)) + "|",
    ]
    for iou in ious:
        ledger = workload.ledger(iou)
        counts = [str(getattr(ledger, kind)) for kind in kinds]
        lines.append(f"| {iou:g} | " + " | ".join(counts) + " |")
    lines += [
        "",
        f"- `edits/added_iou_{ious[0]:g}`: boxes that no proposal pointed at.",
        f"- `edits/additions_iou_{ious[0]:g}`: the paper's An, which is added + moved + relabeled."
        " It counts a moved or a relabeled box as one removal and one addition, so that"
        " `removals` (Rn) is removed + moved + relabeled.",
    ]
    if workload.edits is not None:
        lines.append(
            "- `edits/added`, without an IoU: what the person did to the pixel, small moves too."
        )
    return "\n".join(lines)


def study_note(title: str, cells: int, metrics: Iterable[str]) -> str:
    """Return what the metrics of a study's run are, as Markdown."""
    lines = [
        f"**{as_text(title)}**: a study of {counted(cells, 'simulated campaign')}, the runs below"
        " it.",
    ]
    example = next((name for name in metrics if name.startswith("wt_")), None)
    if example is not None:
        lines += [
            "",
            f"`{example}` is the mean over the seeds of the time that was saved (WT), as a"
            " fraction; negative is more work than drawing by hand. `wb_...` counts boxes. The"
            " artifacts have the tables with their spread (`tables.md`, `study.html`).",
        ]
    return "\n".join(lines)
