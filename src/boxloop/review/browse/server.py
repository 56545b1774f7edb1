"""Serve the FiftyOne App for one ``boxloop browse``, in its own process.

It is started, told and ended as that of a review: see :mod:`boxloop.review.fiftyone.server`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from boxloop.campaign.image_rows import read_features, read_rows
from boxloop.campaign.paths import CampaignPaths
from boxloop.params import load_params
from boxloop.review.fiftyone.guard.app_requests import ReviewScope
from boxloop.review.fiftyone.server import Report, Served, run
from boxloop.review.fiftyone.session_inputs import display_file

OPERATORS = frozenset(
    f"@voxel51/operators/{name}"
    for name in ("get_label_schemas", "list_workspaces", "load_workspace")
)
"""The addresses of the operators that can run: none of them changes a label."""

ROUTES = frozenset(
    {
        "/embeddings/color-by-choices",
        *(
            f"/embeddings/v2/{name}"
            for name in (
                *("color", "geometry", "ids", "lasso-stage", "masks", "run-info", "runs-status"),
                "sample-info",
            )
        ),
    }
)
"""What the Embeddings panel asks for besides."""


def prepare(spec: dict[str, Any], report: Report) -> Served:
    """Build the dataset, and limit the App to looking at it."""
    from boxloop.review.browse import browse_dataset
    from boxloop.review.fiftyone.guard import fiftyone_limits

    params, paths = load_params(Path(spec["params"]), spec["overrides"]), CampaignPaths()
    rows = read_rows(paths, params)
    if count := sum(row.outdated for row in rows):
        have = "image has" if count == 1 else "images have"
        report(
            event="note",
            message=f"{count} {have} other pixels now than boxes were made for: those boxes are"
            " left out, until 'dvc repro' has made them anew.",
        )
    display = {row.image.id: display_file(paths, row.image, to_draw=False) for row in rows}
    dataset = browse_dataset.build(rows, display, read_features(paths))
    # Nothing is edited here, so a view may hide boxes.
    stages = fiftyone_limits.WHOLE | fiftyone_limits.PARTIAL
    fiftyone_limits.limit(dataset.name, OPERATORS, stages)
    present = [path for path in display.values() if path.is_file()]
    # No sample and no field: so no edit passes, whatever it is of.
    scope = ReviewScope.of(
        dataset.name, str(dataset._doc.id), (), "", present, OPERATORS, ROUTES, stages
    )
    path = f"/datasets/{dataset.name}?workspace={browse_dataset.WORKSPACE}"
    return Served(path, scope)


if __name__ == "__main__":
    run(sys.argv, prepare)
