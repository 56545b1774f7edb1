"""Render the HTML page: a single file, without network access or scripts."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from boxloop.campaign.results import CampaignResults
from boxloop.core.edits import EDITS
from boxloop.core.workload import PAPER
from boxloop.params import Params
from boxloop.report.contact_sheets import FINAL_COLOR, PROPOSAL_COLOR, Thumbnail
from boxloop.report.review_time import Effort
from boxloop.report.tables import flatten
from boxloop.report.training_summary import Training
from boxloop.terminal import minutes, percent

_MOST_FAULTS = 50
"""Faults to list one by one; data/faults.json has all."""


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Attributes:
        name: of its file, without the ending.
        svg: the picture.
        title: a short heading.
        caption: what it shows, and how to read it.
        alt: its text alternative.
    """

    name: str
    svg: bytes
    title: str
    caption: str
    alt: str


@dataclass(frozen=True)
class DatasetFacts:
    """What the page shows of the dataset.

    Attributes:
        images: number of images.
        classes: names of the classes.
        labels: final boxes of each class so far.
        faults: content of data/faults.json; None where there is none.
    """

    images: int
    classes: tuple[str, ...]
    labels: Mapping[str, int]
    faults: Mapping[str, Any] | None


def render(
    campaign: CampaignResults,
    params: Params,
    figures: Sequence[Figure],
    sheets: Mapping[str, Sequence[Thumbnail]],
    facts: DatasetFacts,
    effort: Effort | None,
    trainings: Sequence[Training],
) -> str:
    """Return the page as HTML.

    Args:
        campaign: its finished batches.
        params: all parameters, which the page lists.
        figures: in the order in which they appear.
        sheets: the contact sheet of each batch, by key.
        facts: about the dataset.
        effort: people's work; None where all batches were simulated.
        trainings: of the detectors.
    """
    environment = Environment(
        loader=PackageLoader("boxloop.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "svg_uri": _svg_uri, "jpeg_uri": _jpeg_uri}
    thresholds = campaign.iou_thresholds
    return environment.get_template("page.html.j2").render(
        params=params,
        sections=_sections(params),
        campaign=campaign,
        totals={iou: campaign.totals(iou) for iou in thresholds},
        so_far={iou: campaign.so_far(iou) for iou in thresholds},
        sums={iou: campaign.edits(iou) for iou in thresholds},
        kinds=EDITS,
        paper_costs=campaign.cost_model == PAPER,
        hours_per_box=campaign.seconds_per_box / 3600,
        duration=_duration,
        minutes=minutes,
        figures=figures,
        sheets=sheets,
        facts=facts,
        effort=effort,
        trainings=trainings,
        faults=_listed_faults(facts.faults),
        fault_counts=_fault_counts(facts.faults),
        final_color=FINAL_COLOR,
        proposal_color=PROPOSAL_COLOR,
    )


def _svg_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _jpeg_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _duration(hours: float) -> str:
    """Format hours as hours or minutes."""
    if hours >= 10:
        return f"{hours:,.0f} h"
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"


def _sections(params: Params) -> dict[str, dict[str, str]]:
    """Return parameters as text by section; nested keys are joined by dots."""
    content = params.model_dump(mode="json", exclude={"iterations"})
    return {name: flatten(section) for name, section in content.items()}


def _fault_rows(faults: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    rows = (faults or {}).get("faults", [])
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _listed_faults(faults: Mapping[str, Any] | None) -> list[dict[str, str]]:
    names = ("kind", "file", "detail")
    return [
        {name: str(row.get(name) or "") for name in names}
        for row in _fault_rows(faults)[:_MOST_FAULTS]
    ]


def _fault_counts(faults: Mapping[str, Any] | None) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in _fault_rows(faults):
        kind = str(row.get("kind") or "other").replace("_", " ")
        counts[kind] = counts.get(kind, 0) + 1
    return counts
