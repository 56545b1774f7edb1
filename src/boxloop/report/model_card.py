"""The card of a delivered model: Markdown with pictures of hits and misses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from boxloop.campaign.delivery import Labels
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.class_thresholds import ClassThreshold
from boxloop.core.edits import EDITS
from boxloop.core.types import NOTHING, Boxes, ImageRef
from boxloop.core.workload import compare
from boxloop.files import write_text
from boxloop.params import Params
from boxloop.report.contact_sheets import draw_thumbnail
from boxloop.terminal import percent

_PICTURES = 3
"""Images of each kind."""

FOLDER = "images"
"""Of the pictures, below the model's folder."""


def write_card(
    folder: Path,
    paths: CampaignPaths,
    params: Params,
    labels: Labels,
    thresholds: tuple[ClassThreshold, ...],
    precision: Mapping[str, Mapping[str, float]],
    refs: Mapping[str, ImageRef],
    facts: Mapping[str, str],
    onnx: str | None,
) -> None:
    """Write ``README.md`` and its pictures.

    Args:
        folder: of the model.
        paths: of the campaign.
        params: of the campaign.
        labels: what the model was trained on and is judged by.
        thresholds: by class.
        precision: "ap" and "ap_50" of the last turn's detector by class.
        refs: all images by id.
        facts: rows of the first table, by name.
        onnx: why there is no ONNX file; None where there is one.
    """
    counts = Counter(
        label for boxes in labels.labeled.boxes.values() for label in boxes.labels.tolist()
    )
    text = [
        f"# {_plain(params.report.title)}: the model",
        "",
        "Made by `boxloop deliver`. `boxloop predict IMAGES --model FOLDER --out FILE` finds boxes"
        " with it; so does `boxloop.load_model(FOLDER).predict([...])`.",
        "",
        *_table(("", ""), [(name, _code(value)) for name, value in facts.items()]),
        "",
        "ONNX: `model.onnx`, which onnxruntime was seen to find the same boxes with as torch."
        if onnx is None
        else f"ONNX: none, because {_plain(onnx)}.",
        *(_BY_CROPS if labels.crops.used else ()),
        "",
        "## Classes",
        "",
        "Thresholds are scores from which on boxes count, fitted to proposals for images that their"
        f" detector had not seen ({_sources(labels)}), at IoU {params.review.iou_threshold:g}."
        " AP is COCO's, of the last turn's detector on the batch it proposed for; the model itself"
        " was trained on that batch too, so it has no images left to be judged by.",
        "",
        *_table(
            ("class", "boxes", "AP", "AP50", "`f1` from", "F1", "`least-wt` from", "time saved"),
            [_class_row(row, counts[row.label], precision.get(row.label)) for row in thresholds],
        ),
        "",
        "## What it took to label",
        "",
        *_table(
            ("IoU", "objects", *EDITS, "time saved (WT)", "boxes saved (WB)"),
            [_workload_row(labels, iou) for iou in labels.results.iou_thresholds],
        ),
        "",
        "## How the detectors grew",
        "",
        "Prequential: each on the batch that it proposed for, before it was trained on it.",
        "",
        *_table(
            ("batch", "trained on images", "mAP", "mAP50", "mAP75"),
            [
                (w.batch, str(labels.trained_on[w.batch]), *_digits(w.average_precision))
                for w in labels.results.workloads
                if labels.trained_on[w.batch]
            ],
        ),
        *_pictures(folder, paths, labels, thresholds, refs, params.review.iou_threshold),
    ]
    write_text(folder / "README.md", "\n".join(text).rstrip() + "\n")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines]


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("<", "&lt;")


def _code(text: str) -> str:
    return f"`{_plain(text)}`" if len(text) == 64 else _plain(text)


def _sources(labels: Labels) -> str:
    names = [item.batch for item in labels.evidence]
    return ", ".join(names) if names else "there are none yet, so they are guesses"


def _class_row(
    row: ClassThreshold, boxes: int, precision: Mapping[str, float] | None
) -> tuple[str, ...]:
    ap = ("-", "-") if precision is None else (f"{precision[k]:.3f}" for k in ("ap", "ap_50"))
    return (
        _plain(row.label),
        str(boxes),
        *ap,
        f"{row.f1:g}",
        "-" if row.best_f1 is None else f"{row.best_f1:.3f}",
        "never" if row.least_wt >= NOTHING else f"{row.least_wt:g}",
        "-" if row.saving is None else percent(row.saving),
    )


def _workload_row(labels: Labels, iou: float) -> tuple[str, ...]:
    totals, edits = labels.results.totals(iou), labels.results.edits(iou)
    saved = (percent(totals.wt_reduction), percent(totals.wb_reduction))
    return (f"{iou:g}", str(totals.objects), *(str(getattr(edits, k)) for k in EDITS), *saved)


def _digits(precision: Mapping[str, float]) -> tuple[str, ...]:
    names = ("map", "map_50", "map_75")
    return tuple(f"{precision[name]:.3f}" if name in precision else "-" for name in names)


def _pictures(
    folder: Path,
    paths: CampaignPaths,
    labels: Labels,
    thresholds: tuple[ClassThreshold, ...],
    refs: Mapping[str, ImageRef],
    iou: float,
) -> list[str]:
    """Draw the images of the last batch with most hits, and those with most mistakes."""
    if labels.last is None:
        return []
    least = {row.label: row.f1 for row in thresholds}
    shown, judged = {}, []
    for image_id, final in labels.last.boxes.items():
        boxes = shown[image_id] = _above(labels.last.proposals.boxes[image_id], least)
        ledger = compare(boxes, final, iou)
        judged.append((ledger.kept, ledger.additions + ledger.removals, image_id))
    hits = sorted(judged, key=lambda row: (row[1], -row[0], row[2]))
    misses = sorted(judged, key=lambda row: (-row[1], row[2]))
    lines = []
    for title, word, rows in (
        ("Hits", "hit", [row for row in hits if row[0] > row[1]]),
        ("Misses", "miss", [row for row in misses if row[1] >= row[0]]),
    ):
        drawn = []
        for number, (kept, wrong, image_id) in enumerate(rows[:_PICTURES], start=1):
            ref, final = refs[image_id], labels.last.boxes[image_id]
            picture = draw_thumbnail(paths.root / ref.path, ref, final, shown[image_id])
            if picture is not None:
                name = f"{FOLDER}/{word}-{number}.jpg"
                (folder / FOLDER).mkdir(exist_ok=True)
                (folder / name).write_bytes(picture[0])
                said = f"{image_id}: {kept} of {len(final)} right, {wrong} to correct"
                drawn.append(f"![{_plain(said).replace(']', '')}]({name})")
        if drawn:
            lines += ["", f"## {title}", "", _LEGEND, "", *drawn]
    return lines


_BY_CROPS = (
    "",
    "Classes: those of the labeled crops most like a box (`crops.npz`), which would have saved more"
    " of the time than the detector's own; so are thresholds and AP below. The ONNX file has the"
    " detector's own, for which these thresholds are not meant.",
)

_LEGEND = "Solid: the final boxes. Dashed: what the last turn's detector proposed, from `f1` on."


def _above(boxes: Boxes, least: Mapping[str, float]) -> Boxes:
    reached = [
        score >= least.get(label, NOTHING)
        for label, score in zip(
            boxes.labels.tolist(), [] if boxes.scores is None else boxes.scores, strict=True
        )
    ]
    return boxes.select(np.array(reached, dtype=bool))
