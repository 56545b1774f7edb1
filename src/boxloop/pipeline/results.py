"""The stage that runs last: what a campaign gave, for people to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from boxloop.campaign.campaign import Campaign

if TYPE_CHECKING:
    from boxloop.campaign.results import CampaignResults


def report(campaign: Campaign) -> CampaignResults:
    """Write the numbers to ``metrics``; page, tables and figures to the folder ``out``."""
    from boxloop.report.build import write_report

    metrics, out = campaign.choose("metrics", out=campaign.paths.report)
    return write_report(campaign.paths, campaign.params, metrics, out)


def results_text(campaign: Campaign, done: CampaignResults) -> str:
    """Return the workload of the finished batches, people's time, and where to read on."""
    from boxloop.campaign.second_looks import read
    from boxloop.report.console import effort_text, where_to_look, workload_text
    from boxloop.report.review_time import read_effort
    from boxloop.report.second_looks import looks_text
    from boxloop.tracking.store_uri import ui_hint

    effort = read_effort(campaign.paths, done)
    hint = ui_hint(campaign.paths.root) if campaign.params.track.enabled else None
    parts = [workload_text(done), where_to_look(campaign.paths, hint)]
    if effort is not None:
        parts.insert(1, effort_text(effort, done))
    p = campaign.params
    parts.insert(-1, looks_text(read(campaign.paths, p.iterations), p.review.iou_threshold))
    return "\n\n".join(part.strip("\n") for part in parts if part)


def ledger_text(campaign: Campaign, done: CampaignResults, by: Literal["class", "reviewer"]) -> str:
    """Return the finished batches' ledger by class, or by reviewer and over time."""
    if not done.workloads:
        return "No batch is done yet: 'dvc repro' runs the campaign."
    if by == "class":
        from boxloop.campaign.by_class import read_by_class
        from boxloop.report.class_tables import class_text

        return class_text(read_by_class(campaign.paths, campaign.params, done))
    from boxloop.campaign.by_person import read_by_person
    from boxloop.report.person_tables import person_text

    return person_text(read_by_person(campaign.paths, done))
