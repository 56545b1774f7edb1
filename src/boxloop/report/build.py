"""The stage ``report``: read a campaign's artifacts, write tables, figures and page."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from boxloop.campaign import artifacts, newer, second_looks
from boxloop.campaign.by_class import read_by_class
from boxloop.campaign.by_person import by_person, read_by_person
from boxloop.campaign.crop_classes import by_crops
from boxloop.campaign.neighbours import mended
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import CampaignResults, read_results
from boxloop.campaign.trust import read_trust, trust_metrics
from boxloop.core.edits import EDITS
from boxloop.core.training_log import TrainingLog
from boxloop.core.workload import PAPER
from boxloop.errors import ArtifactError
from boxloop.files import read_bytes, read_json, require_writable, write_json, write_text
from boxloop.params import FITTED, Params
from boxloop.report import class_tables, figures, person_tables, tables
from boxloop.report.console import FORECAST_COLUMNS, beginning_lines, forecast_rows
from boxloop.report.contact_sheets import FINAL_COLOR, PROPOSAL_COLOR, draw_sheet
from boxloop.report.fitted import fitted_rows
from boxloop.report.html import Picture, render
from boxloop.report.losses import losses_table
from boxloop.report.review_time import read_effort, to_metrics, to_table
from boxloop.report.second_looks import looks_tables, to_entries
from boxloop.report.trust_rows import caught_rows, compared_rows, people_rows
from boxloop.terminal import minutes, percent

_GENERATOR = b'<meta name="generator" content="boxloop report">'
"""By which the page is told from those of others."""

_MOST_SHEETS = 50
"""Batches whose images to show, a dozen each; of more, the first, the last and some between."""

_MOST_FAULTS = 50
"""Faults to list one by one; data/faults.json has all."""


def write_report(paths: CampaignPaths, params: Params, metrics: Path, out: Path) -> CampaignResults:
    """Write metrics.json and the folder ``data/report`` of the finished batches.

    Args:
        paths: where the campaign's files are.
        params: names the iterations, the IoU thresholds and the page's title.
        metrics: the file of the campaign's numbers.
        out: folder of the page, the figures and the tables behind them.

    Returns:
        The finished batches, which :func:`~boxloop.report.console.workload_text` prints.

    Raises:
        ArtifactError: no batch is done, a file is missing or damaged, or something that is no
            report would be replaced.
    """
    _require_own(metrics, out)
    campaign = read_results(paths, params)
    if not campaign.workloads:
        raise ArtifactError(
            f"{paths.workload(campaign.planned[0])} does not exist, so there is nothing to"
            " report yet: 'dvc repro' runs the campaign"
        )
    drawn = _figures(campaign, params)
    effort = read_effort(paths, campaign)
    numbers = tables.metrics(campaign)
    texts = tables.all_tables(campaign) | {"losses.csv": losses_table(paths, campaign)}
    if effort is not None:
        numbers |= to_metrics(effort)
        texts["effort.csv"] = to_table(effort)
    classes = read_by_class(paths, params, campaign)
    texts["by_class.csv"] = class_tables.class_table(classes)
    texts["by_class_batches.csv"] = class_tables.class_batch_table(classes)
    if params.report.by_class:
        numbers |= class_tables.to_metrics(classes)
    if people := read_by_person(paths, campaign):
        texts["by_reviewer.csv"] = person_tables.person_table(people)
    done = [workload.batch for workload in campaign.workloads]
    trust = read_trust(paths, params, done)
    if trust is not None:
        numbers |= trust_metrics(trust)
    looks = second_looks.read(paths, params.iterations)
    numbers |= to_entries(looks, params.review.iou_threshold)
    thresholds = campaign.iou_thresholds
    page = render(
        "report/page.html.j2",
        **_of_the_files(paths, params, campaign),
        params=params,
        sections=_sections(params),
        campaign=campaign,
        totals={iou: campaign.totals(iou) for iou in thresholds},
        so_far={iou: campaign.so_far(iou) for iou in thresholds},
        sums={iou: campaign.edits(iou) for iou in thresholds},
        kinds=EDITS,
        paper_costs=campaign.cost_model == PAPER,
        fitted=fitted_rows(campaign),
        mended=[*by_crops(paths, done).items(), *mended(paths, params, done).items()],
        beginning=beginning_lines(campaign),
        forecast=[] if campaign.complete else forecast_rows(campaign),
        forecast_columns=FORECAST_COLUMNS,
        hours_per_box=campaign.seconds_per_box / 3600,
        duration=_duration,
        minutes=minutes,
        figures=drawn,
        effort=effort,
        by_class=classes,
        class_tables=class_tables,
        people=people,
        persons=by_person(people),
        person_tables=person_tables,
        own_prices=campaign.own_prices(),
        trust=trust,
        trust_rows=trust and (compared_rows(trust), people_rows(trust), caught_rows(trust)),
        newer=newer.read(paths, campaign.workloads),
        looks=looks_tables(looks, params.review.iou_threshold),
        final_color=FINAL_COLOR,
        proposal_color=PROPOSAL_COLOR,
    )
    for name, text in texts.items():
        write_text(out / name, text)
    for figure in drawn:
        figure.write(out)
    write_text(out / "report.html", page)
    write_json(metrics, numbers)
    return campaign


def _require_own(metrics: Path, out: Path) -> None:
    """Refuse to write over what is no report.

    Raises:
        UserError: the file or the folder cannot be written; nothing was.
        ArtifactError: one of them holds something else; nothing was written.
    """
    sentence = (
        "was not made by 'boxloop report' and was not replaced: name another, or move it away"
    )
    if metrics.exists() and metrics.stat().st_size:
        try:
            content = read_json(metrics)
        except ArtifactError:
            if not os.access(metrics, os.R_OK):
                raise
            content = None
        if not isinstance(content, dict) or "wt_reduction" not in content:
            raise ArtifactError(f"{metrics} {sentence}")
    if out.is_dir() and any(out.iterdir()):
        page = out / "report.html"
        if not page.is_file() or _GENERATOR not in read_bytes(page)[:2000]:
            raise ArtifactError(f"the folder {out} {sentence}")
    for path in (metrics, out / "report.html"):
        require_writable(path)


def _of_the_files(
    paths: CampaignPaths, params: Params, campaign: CampaignResults
) -> dict[str, Any]:
    """Return what the page shows of images, labels, trainings, and faults of the dataset."""
    images = artifacts.read_images(paths.images)
    by_id, labels, sheets = images.by_id(), Counter[str](), {}
    trainings: dict[str, TrainingLog] = {}
    keys = [workload.batch for workload in campaign.workloads]
    pictured = {keys[i] for i in np.linspace(0, len(keys) - 1, _MOST_SHEETS).round().astype(int)}
    for key in keys:
        corrections = artifacts.read_corrections(paths.corrections(key))
        for boxes in corrections.boxes.values():
            labels.update(boxes.labels.tolist())
        if key in pictured:
            sheets[key] = draw_sheet(corrections, by_id, paths.root, params.report.sheet_images)
        if paths.training(key).exists():
            log = artifacts.read_training(paths.training(key))
            if log.steps:
                trainings[key] = log
    known = paths.faults.exists()
    faults = artifacts.read_faults(paths.faults).faults if known else []
    return {
        "images": len(images),
        "classes": images.classes,
        "labels": labels,
        "sheets": sheets,
        "trainings": trainings,
        "faults_known": known,
        "faults": faults[:_MOST_FAULTS],
        "fault_counts": Counter(fault.kind.replace("_", " ") for fault in faults),
    }


def _duration(hours: float) -> str:
    """Format hours as hours or minutes."""
    if hours >= 10:
        return f"{hours:,.0f} h"
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"


def _sections(params: Params) -> dict[str, dict[str, str]]:
    """Return parameters as text by section; nested keys are joined by dots."""
    content = params.model_dump(mode="json", exclude={"iterations"})
    return {name: tables.flatten(section) for name, section in content.items()}


def _figures(campaign: CampaignResults, params: Params) -> list[Picture]:
    ious = campaign.iou_thresholds
    totals = {iou: campaign.totals(iou) for iou in ious}
    images = totals[ious[0]].images
    ends = ", ".join(
        f"{percent(t.wt_reduction)} of the time and {percent(t.wb_reduction)} of the boxes at"
        f" IoU {iou:g}"
        for iou, t in totals.items()
    )
    result = [
        Picture(
            "saving.svg",
            figures.saving(campaign),
            "Work saved up to each batch, in time (solid) and in boxes (dashed). It starts at zero,"
            f" because the first batch {campaign.first_batch}.",
            f"Line chart of the work saved against images labeled; after {images} images it is"
            f" {ends}.",
            title="What is saved as the campaign goes on",
        )
    ]
    for iou in ious:
        edits = campaign.edits(iou)
        counts = ", ".join(f"{getattr(edits, kind)} {kind}" for kind in EDITS)
        result.append(
            Picture(
                f"edits_iou_{iou:g}.svg",
                figures.edits(campaign, iou),
                "Boxes of each batch: kept needed no work; the others were moved, relabeled or"
                " removed by hand, or added because no proposal pointed at the object.",
                f"Stacked bar chart of the boxes of each batch; in all {counts}.",
                title=f"What became of the proposals, at IoU {iou:g}",
            )
        )
    last = campaign.workloads[-1].average_precision
    result.append(
        Picture(
            "map.svg",
            figures.precision(campaign),
            "COCO mAP of each detector on the batch it proposed for, which it had never seen,"
            " against the number of images it was trained on.",
            "Line chart of mAP against the images trained on; "
            + (f"on the last batch it is {last['map']:.3f}." if last else "the last has none."),
            title="How good the proposals are",
        )
    )
    if rows := tables.what_if(campaign):
        threshold = params.review.score_threshold
        fixed = None if threshold == FITTED else threshold
        used = "The dotted line is the threshold in use."
        if fixed is None:
            used = "Each batch was shown from a threshold of its own, see the table above."
        best = max(rows, key=lambda r: r[f"wt_reduction_iou_{ious[0]:g}"])
        lowest = figures.what_if_cut(campaign)
        cut = "" if lowest is None else f"; losses beyond {-100 * lowest:.0f} % are cut off"
        result.append(
            Picture(
                "thresholds.svg",
                figures.what_if(campaign, fixed),
                "Time that the whole campaign would have saved, had the review shown the proposals"
                f" of every batch from one score on{cut}. {used}",
                "Line chart of the time saved against the review's score threshold; at IoU"
                f" {ious[0]:g} it is highest at {best['score_threshold']:g}.",
                title="What if other proposals had been shown?",
            )
        )
    return result
