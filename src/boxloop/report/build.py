"""The stage ``report``: read a campaign's artifacts, write tables, figures and page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import CampaignResults, read_results
from boxloop.core.edits import EDITS
from boxloop.errors import ArtifactError
from boxloop.files import read_json, write_json, write_text
from boxloop.params import Params
from boxloop.report import figures, tables
from boxloop.report.contact_sheets import Thumbnail, draw_sheet
from boxloop.report.page import DatasetFacts, Figure, render
from boxloop.report.review_time import read_effort, to_metrics, to_table
from boxloop.report.training_summary import read_trainings
from boxloop.terminal import percent


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
        ArtifactError: no batch is done, or a file is missing or damaged.
    """
    campaign = read_results(paths, params)
    if not campaign.workloads:
        raise ArtifactError(
            f"{paths.workload(campaign.planned[0])} does not exist, so there is nothing to"
            " report yet: 'dvc repro' runs the campaign"
        )
    sheets, facts = _pictures_and_facts(paths, params, campaign)
    drawn = _figures(campaign, params)
    effort = read_effort(paths, campaign)
    numbers = tables.metrics(campaign)
    texts = tables.all_tables(campaign)
    if effort is not None:
        numbers |= to_metrics(effort)
        texts["effort.csv"] = to_table(effort, campaign.iou_thresholds)
    for name, text in texts.items():
        write_text(out / name, text)
    for figure in drawn:
        write_text(out / f"{figure.name}.svg", figure.svg.decode())
    trainings = read_trainings(paths, campaign)
    page = render(campaign, params, drawn, sheets, facts, effort, trainings)
    write_text(out / "report.html", page)
    write_json(metrics, numbers)
    return campaign


def _pictures_and_facts(
    paths: CampaignPaths, params: Params, campaign: CampaignResults
) -> tuple[dict[str, list[Thumbnail]], DatasetFacts]:
    images = artifacts.read_images(paths.images)
    by_id, labels, sheets = images.by_id(), Counter[str](), {}
    for workload in campaign.workloads:
        corrections = artifacts.read_corrections(paths.corrections(workload.batch))
        for boxes in corrections.boxes.values():
            labels.update(boxes.labels.tolist())
        sheets[workload.batch] = draw_sheet(
            corrections, by_id, paths.root, params.report.sheet_images
        )
    faults: Any = read_json(paths.faults) if paths.faults.exists() else None
    if not isinstance(faults, dict | None):
        raise ArtifactError(f"{paths.faults} must hold an object, got a {type(faults).__name__}")
    return sheets, DatasetFacts(len(images), images.classes, labels, faults)


def _figures(campaign: CampaignResults, params: Params) -> list[Figure]:
    ious = campaign.iou_thresholds
    totals = {iou: campaign.totals(iou) for iou in ious}
    images = totals[ious[0]].images
    ends = ", ".join(
        f"{percent(t.wt_reduction)} of the time and {percent(t.wb_reduction)} of the boxes at"
        f" IoU {iou:g}"
        for iou, t in totals.items()
    )
    result = [
        Figure(
            "saving",
            figures.saving(campaign),
            "What is saved as the campaign goes on",
            "Work saved up to each batch, in time (solid) and in boxes (dashed). It starts at zero,"
            " because the first batch is labeled from scratch.",
            f"Line chart of the work saved against images labeled; after {images} images it is"
            f" {ends}.",
        )
    ]
    for iou in ious:
        edits = campaign.edits(iou)
        counts = ", ".join(f"{getattr(edits, kind)} {kind}" for kind in EDITS)
        result.append(
            Figure(
                f"edits_iou_{iou:g}",
                figures.edits(campaign, iou),
                f"What became of the proposals, at IoU {iou:g}",
                "Boxes of each batch: kept needed no work; the others were moved, relabeled or"
                " removed by hand, or added because no proposal pointed at the object.",
                f"Stacked bar chart of the boxes of each batch; in all {counts}.",
            )
        )
    last = campaign.workloads[-1].average_precision
    result.append(
        Figure(
            "map",
            figures.precision(campaign),
            "How good the proposals are",
            "COCO mAP of each detector on the batch it proposed for, which it had never seen,"
            " against the number of images it was trained on.",
            "Line chart of mAP against the images trained on; "
            + (f"on the last batch it is {last['map']:.3f}." if last else "the last has none."),
        )
    )
    if tables.what_if(campaign):
        best = max(tables.what_if(campaign), key=lambda r: r[f"wt_reduction_iou_{ious[0]:g}"])
        result.append(
            Figure(
                "thresholds",
                figures.what_if(campaign, params.review.score_threshold),
                "What if other proposals had been shown?",
                "Time that the whole campaign would have saved, had the review shown the proposals"
                " from another score on. The dotted line is the threshold in use.",
                "Line chart of the time saved against the review's score threshold; at IoU"
                f" {ious[0]:g} it is highest at {best['score_threshold']:g}.",
            )
        )
    return result
