"""Write what the forecasts are tested on: the counts of every batch of finished campaigns.

    python benchmarks/campaign_rows.py NAME=FOLDER ... > tests/core/campaigns.csv

A row per batch and IoU threshold, of every campaign with at least four batches.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import read_results
from boxloop.params import load_params

COLUMNS = ["campaign", "order", "iou", "batch", "images", "objects", "added", "removed", "map_50"]
FEWEST = 4


def main() -> None:
    """Read the folders that were named, and print the rows."""
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(COLUMNS)
    for word in sys.argv[1:]:
        name, _, folder = word.rpartition("=")
        params = load_params(Path(folder) / "params.yaml")
        campaign = read_results(CampaignPaths(Path(folder)), params)
        if len(campaign.workloads) < FEWEST:
            continue
        for iou in campaign.iou_thresholds:
            for batch in campaign.workloads:
                edits, precision = batch.ledger(iou), batch.average_precision.get("map_50")
                row = [name, params.order.strategy, iou, batch.batch, batch.images, batch.objects]
                row += [edits.additions, edits.removals]
                out.writerow([*row, "" if precision is None else round(precision, 4)])


if __name__ == "__main__":
    main()
