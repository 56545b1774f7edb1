"""Build the dataset that ``boxloop browse`` shows, in bulk, and what the App shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.brain as fob
from bson import ObjectId

from boxloop.campaign.export.fiftyone_documents import (
    BOXES,
    CLASSES,
    CLASSES_ABOUT,
    PLAIN,
    sample_document,
)
from boxloop.campaign.image_rows import REVIEWED, ImageRow
from boxloop.core.edits import EDITS
from boxloop.core.projection import principal_plane
from boxloop.core.types import FeatureTable
from boxloop.params import EMPTY, GIVEN

NAME = "campaign"
WORKSPACE = "campaign"
SCATTER = "features"
"""Key of the brain run with the principal components of the features."""

WORST, MOST_EDITS, NOT_REVIEWED = "worst proposals", "most edits", "never reviewed"

_MANY = 1_000  # documents that are inserted at once
_COLORS = {"labels": "#3fb950", "proposals": "#ff9f1c", "truth": "#58a6ff"}
_POOL = ["#58a6ff", "#ff9f1c", "#3fb950", "#f778ba", "#e3d026", "#a371f7", "#2dd4bf", "#ff6b6b"]
"""Of values, such as the batches: bright, as the App's background is dark."""
_GROUPS = {
    "labels": tuple(BOXES),
    "order": ("batch", "position", "distance", "status", CLASSES),
    "edits": ("edits", "saved", *EDITS),
    "review": ("reviewer", "seconds", "detector"),
    "tags": ("tags", "_label_tags"),
    "metadata": tuple(
        f"metadata.{name}"
        for name in ("width", "height", "size_bytes", "mime_type", "num_channels")
    ),
    # The App would add these groups, opened.
    "primitives": ("image_id", "filepath", "id", "created_at", "last_modified_at"),
}
_OPEN = ("labels", "order", "edits")


def build(
    rows: Sequence[ImageRow], display: Mapping[str, Path], features: FeatureTable | None
) -> Any:
    """Build the dataset in the database of this process, which has none of this name.

    Args:
        rows: the images, in the order in which the grid shows them.
        display: the file that the App shows, by image id.
        features: for the scatter, of the images that have any.
    """
    dataset = fo.Dataset(NAME, persistent=False)
    dataset.media_type = "image"
    for name, (kind, about) in PLAIN.items():
        dataset.add_sample_field(name, getattr(fo, f"{kind}Field"), description=about)
    dataset.add_sample_field(
        CLASSES, fo.ListField, subfield=fo.StringField, description=CLASSES_ABOUT
    )
    for name, about in BOXES.items():
        dataset.add_sample_field(
            name,
            fo.EmbeddedDocumentField,
            embedded_doc_type=fo.Detections,
            description=about,
        )
    _insert(dataset, rows, display)
    for name in ("position", "edits", "saved", "batch", "status"):
        dataset.create_index(name)
    _add_scatter(dataset, rows, features)
    _save_views(dataset)
    _configure(dataset, scatter=SCATTER in dataset.list_brain_runs())
    _forbid_changes(dataset)
    return dataset


def _insert(dataset: Any, rows: Sequence[ImageRow], display: Mapping[str, Path]) -> None:
    """Insert the images as documents: FiftyOne's own objects take 20 times as long."""
    common = {"_dataset_id": dataset._doc.id}
    common["created_at"] = common["last_modified_at"] = datetime.now(UTC)
    samples = dataset._sample_collection
    for start in range(0, len(rows), _MANY):
        part = rows[start : start + _MANY]
        documents = [
            sample_document(row, str(display[row.image.id].absolute()), ObjectId) for row in part
        ]
        samples.insert_many([document | common for document in documents], ordered=True)
    dataset.reload()


def _add_scatter(dataset: Any, rows: Sequence[ImageRow], features: FeatureTable | None) -> None:
    known = set() if features is None else set(features.image_ids)
    ids = [row.image.id for row in rows if row.image.id in known]
    if features is None or len(ids) < 2 or not features.vectors.size:
        return
    points = principal_plane(features.subset(ids).vectors)
    samples = dict(zip(dataset.values("image_id"), dataset.values("id"), strict=True))
    by_sample = {samples[image_id]: point for image_id, point in zip(ids, points, strict=True)}
    fob.compute_visualization(dataset, points=by_sample, num_dims=2, brain_key=SCATTER)


def _save_views(dataset: Any) -> None:
    """Save the views: what they select, a person can select in the sidebar, too."""
    field = fo.ViewField
    proposed = ~field("detector").is_in([None, EMPTY])
    corrected = dataset.match(proposed & (field("edits") > 0))
    views = {
        WORST: (
            corrected.sort_by("saved"),
            "Corrected images, those first whose proposals saved the least drawing",
        ),
        MOST_EDITS: (
            corrected.sort_by("edits", reverse=True),
            "Corrected images, those with the most edits first; of batches with proposals",
        ),
        NOT_REVIEWED: (
            dataset.match(~field("status").is_in([REVIEWED, GIVEN])),
            f"Images without labels; {CLASSES}, in the sidebar, tells it by class",
        ),
    }
    for name, (view, about) in views.items():
        dataset.save_view(name, view, description=about)


def _configure(dataset: Any, *, scatter: bool) -> None:
    """Configure sidebar, colours and workspace: the grid, and the scatter beside it."""
    config = dataset.app_config
    config.sidebar_groups = [
        fo.SidebarGroupDocument(name=name, paths=list(paths), expanded=name in _OPEN)
        for name, paths in _GROUPS.items()
    ]
    config.active_fields = fo.ActiveFields(exclude=False, paths=["batch", "labels", "proposals"])
    config.color_scheme = fo.ColorScheme(
        color_by="field",
        color_pool=_POOL,
        fields=[{"path": name, "fieldColor": color} for name, color in _COLORS.items()],
    )
    dataset.save()
    panels = [fo.Panel(type="Samples", pinned=True)]
    if scatter:
        panels.append(fo.Panel(type="Embeddings", pinned=True))
    spaces = fo.Space(
        children=[fo.Space(children=[p], active_child=p.component_id) for p in panels],
        orientation="horizontal",
        sizes=[0.55, 0.45] if scatter else [1.0],
    )
    dataset.save_workspace(WORKSPACE, spaces)


def _forbid_changes(dataset: Any) -> None:
    """Make every field read-only, which the App shows, and FiftyOne holds to."""
    for name in (*PLAIN, CLASSES, *BOXES):
        field = dataset.get_field(name)
        field.read_only = True
        field.save()
