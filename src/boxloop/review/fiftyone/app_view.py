"""What the App shows of a batch: the classes to choose from, the sidebar, the panel, the images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fiftyone as fo

from boxloop.review.fiftyone.assignment import Work
from boxloop.review.fiftyone.sample_documents import FIELD
from boxloop.review.validation import PLACEHOLDER

WORKSPACE = "review"
PANEL = "boxloop_review"


def prepare_app(dataset: Any, work: Work) -> None:
    """Has the App offer the classes, and show the grid with the review panel beside it."""
    schema = {
        "type": "detections",
        "component": "dropdown",
        # The App gives a new box the first class: it must be one that has to be changed.
        "classes": [PLACEHOLDER, *work.classes] if len(work.classes) > 1 else list(work.classes),
        "attributes": [],
    }
    dataset.update_label_schema(FIELD, schema)
    dataset.activate_label_schemas(FIELD)
    config = dataset.app_config
    groups = fo.DatasetAppConfig.default_sidebar_groups(dataset)
    config.sidebar_groups = _sidebar(groups)
    config.active_fields = fo.ActiveFields(exclude=False, paths=["tags", FIELD])
    config.color_scheme = fo.ColorScheme(color_by="value")
    dataset.save()
    samples = fo.Panel(type="Samples", pinned=True)
    review = fo.Panel(type=PANEL, pinned=True)
    spaces = fo.Space(
        children=[
            fo.Space(children=[samples], active_child=samples.component_id),
            fo.Space(children=[review], active_child=review.component_id),
        ],
        orientation="horizontal",
        sizes=[0.72, 0.28],
    )
    dataset.save_workspace(WORKSPACE, spaces, overwrite=True)


def _sidebar(groups: Sequence[Any]) -> list[Any]:
    """The boxes and tags on top; the rest folded away."""
    for group in groups:
        group.expanded = group.name in ("labels", "tags")
    return sorted(groups, key=lambda group: group.name != "labels")


def save_view(dataset: Any, work: Work) -> str | None:
    """Saves the view of a session's images, in their order.

    Returns:
        Its name in the App's address; None where it would be the whole dataset as it stands, and
        nobody adds to that meanwhile.
    """
    wanted = [item.image.id for item in work.items]
    whole = len(wanted) == len(work.batch_images)
    if whole and dataset.values("image_id") == wanted:
        return None
    # Sessions side by side, on different images of a batch, need names of their own.
    name = f"part {work.part.number} of {work.part.of}" if work.part.of > 1 else "this batch"
    name += " again" if work.redo else ""
    view = dataset.match(fo.ViewField("image_id").is_in(wanted)).sort_by("position")
    dataset.save_view(name, view, overwrite=True)
    return name.replace(" ", "-")
