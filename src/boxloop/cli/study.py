"""Commands of what comes out: reports, and studies that compare campaigns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boxloop.cli.app import app
from boxloop.cli.options import PARAMS, Overrides, ParamsFile, stage_params


@app.command()
def report(
    campaign: Path,
    metrics: Path,
    out: Path,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Write metrics.json, tables for `dvc plots`, figures and one HTML page."""
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.report.build import write_report
    from boxloop.report.console import effort_text, where_to_look, workload_text
    from boxloop.report.review_time import read_effort
    from boxloop.tracking.store_uri import ui_hint

    p, paths = stage_params(params, override), CampaignPaths(campaign)
    done = write_report(paths, p, metrics, out)
    print(workload_text(done))
    effort = read_effort(paths, done)
    if effort is not None:
        print(f"\n{effort_text(effort, done)}\n")
    print(where_to_look(paths, ui_hint(paths.root) if p.track.enabled else None))


@app.command()
def study(
    spec: Path,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the study; named after SPEC, here.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Cells side by side; one for each GPU.")
    ] = None,
    override: Overrides = None,
) -> None:
    """Compare orderings, features and detectors over several seeds, as study.yaml says."""
    from boxloop.study.run import run as run_study
    from boxloop.study.spec import load_spec

    folder = out or Path(spec.stem)
    run_study(load_spec(spec, override or ()), folder, jobs=jobs)


@app.command(name="detectors")
def list_detectors() -> None:
    """List the detectors that params.yaml may name."""
    from boxloop.models import detectors

    print("\n".join(detectors.names()))
