"""Configure what the App shows of a batch: classes, sidebar, panel and images."""

from __future__ import annotations

from typing import Any

import fiftyone as fo

from boxloop.core.names import PLACEHOLDER
from boxloop.review.fiftyone.assignment import Assignment
from boxloop.review.fiftyone.sample_documents import FIELD

WORKSPACE = "review"
PANEL = "boxloop_review"

COLORS = {
    "constructor": "#b8377f",
    "hasOwnProperty": "#00796b",
    "isPrototypeOf": "#8d6e00",
    "propertyIsEnumerable": "#558b2f",
    "toLocaleString": "#0288d1",
    "toString": "#d84f2a",
    "valueOf": "#7e57c2",
    "__defineGetter__": "#827717",
    "__defineSetter__": "#546e7a",
    "__lookupGetter__": "#ad1457",
    "__lookupSetter__": "#2e7d32",
    "__proto__": "#bf6f00",
}
"""Of the classes that the App finds no color for, and would draw no box of.

It keeps the colors of classes in a JavaScript object, and every such object has something of these
names already. The colors are none of those that it gives to the other classes.
"""


def configure_app(dataset: Any, assignment: Assignment) -> None:
    """Configure classes, sidebar and workspace: the grid beside the review panel."""
    # The App gives a new box the first class: it must be one that has to be changed.
    placeholder = [PLACEHOLDER] if len(assignment.classes) > 1 else []
    schema = {
        "type": "detections",
        "component": "dropdown",
        "classes": [*placeholder, *assignment.classes],
        "attributes": [],
    }
    dataset.update_label_schema(FIELD, schema)
    dataset.activate_label_schemas(FIELD)
    config = dataset.app_config
    groups = fo.DatasetAppConfig.default_sidebar_groups(dataset)
    for group in groups:
        group.expanded = group.name in ("labels", "tags")
    config.sidebar_groups = sorted(groups, key=lambda group: group.name != "labels")
    config.active_fields = fo.ActiveFields(exclude=False, paths=["tags", FIELD])
    colors = [{"value": name, "color": color} for name, color in COLORS.items()]
    boxes = {"path": FIELD, "colorByAttribute": "label", "valueColors": colors}
    config.color_scheme = fo.ColorScheme(color_by="value", fields=[boxes])
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


def save_view(dataset: Any, assignment: Assignment) -> str | None:
    """Save the view of a session's images, in their order.

    Returns:
        Its name in the App's address; None where it would be the whole dataset as it stands, and
        nobody adds to that meanwhile.
    """
    wanted = [item.image.id for item in assignment.items]
    whole = len(wanted) == len(assignment.batch_images)
    if whole and dataset.values("image_id") == wanted:
        return None
    # Sessions side by side, on different images of a batch, need names of their own.
    part = assignment.part
    name = f"part {part.number} of {part.of}" if part.of > 1 else "this batch"
    name += " again" if assignment.redo else ""
    view = dataset.match(fo.ViewField("image_id").is_in(wanted)).sort_by("position")
    dataset.save_view(name, view, overwrite=True)
    return name.replace(" ", "-")
