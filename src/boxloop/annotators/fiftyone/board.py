"""A batch in the App: one FiftyOne dataset, whose boxes people edit.

The App writes each edit to the database by itself. What boxloop adds about an image (reviewed or
not, active seconds) is written without touching ``last_modified_at``: the App compares that
time before it saves, and would take our write for another person's edit of the same boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fiftyone as fo
from bson import ObjectId

from boxloop.annotators.fiftyone import offers
from boxloop.annotators.fiftyone.desk import State
from boxloop.annotators.fiftyone.offers import Offer
from boxloop.annotators.fiftyone.work import Item, Work
from boxloop.checks import PLACEHOLDER
from boxloop.errors import UserError

FIELD = "boxes"
REVIEWED = "reviewed"
"""Tag of the images that a person is done with; the grid shows it."""

WORKSPACE = "review"
PANEL = "boxloop_review"


class Board:
    """The dataset of one batch, restricted to the images of one session."""

    def __init__(self, dataset: Any, work: Work) -> None:
        """Takes an open dataset; see :func:`open_board`."""
        self.dataset = dataset
        self.work = work
        self._order = {item.image.id: i for i, item in enumerate(work.items)}
        self._images = {item.image.id: item.image for item in work.items}
        self._offers: dict[str, tuple[str, Offer]] = {}

    @property
    def name(self) -> str:
        """Name of the dataset, which is that of the batch."""
        return str(self.dataset.name)

    @property
    def view_name(self) -> str | None:
        """Name of the saved view of this session's images; None where they are all of them."""
        return save_view(self.dataset, self.work)

    def states(self) -> list[State]:
        """Every image of the session as it is now, in the batch's order."""
        self.dataset.reload()
        boxes = f"{FIELD}.detections"
        paths = ["id", "image_id", "offer", "tags", "seconds"]
        paths += [f"{boxes}.id", f"{boxes}.label", f"{boxes}.bounding_box"]
        rows = zip(*self.dataset.values(paths), strict=True)
        found: dict[str, State] = {}
        for sample_id, image_id, offer_text, tags, seconds, ids, labels, places in rows:
            if image_id not in self._order:
                continue
            offer = self._offer(image_id, offer_text)
            raw = zip(ids or (), labels or (), places or (), strict=True)
            found[image_id] = State(
                sample_id,
                offer,
                tuple(offer.raw(*row) for row in raw),
                REVIEWED in (tags or ()),
                float(seconds or 0.0),
            )
        missing = [i for i in self._order if i not in found]
        if missing:
            raise UserError(
                f"image {missing[0]} of batch {self.work.batch} was deleted in the App: start"
                " 'boxloop review' again, which brings it back with its proposals"
            )
        return [found[image_id] for image_id in self._order]

    def _offer(self, image_id: str, text: str) -> Offer:
        known = self._offers.get(image_id)
        if known is None or known[0] != text:
            try:
                known = (text, offers.loads(text, self._images[image_id]))
            except (TypeError, ValueError):
                raise UserError(
                    f"the record of image {image_id} in the database is damaged (its field"
                    " 'offer'): what was shown there is not known any more"
                ) from None
            self._offers[image_id] = known
        return known[1]

    def version(self) -> object:
        """Changes whenever an edit is stored: the number of images and the newest change."""
        bounds = self.dataset.bounds("last_modified_at")
        return (len(self.dataset), bounds[1])

    def idle_seconds(self) -> float:
        """Seconds since the last edit was stored."""
        newest: datetime | None = self.dataset.bounds("last_modified_at")[1]
        if newest is None:
            return float("inf")
        return (datetime.now(UTC) - newest.replace(tzinfo=UTC)).total_seconds()

    def mark(self, sample_ids: Iterable[str], *, reviewed: bool) -> None:
        """Marks images as reviewed, or as not."""
        change = {"$addToSet" if reviewed else "$pull": {"tags": REVIEWED}}
        self._update(sample_ids, change)

    def add_seconds(self, seconds: Mapping[str, float]) -> None:
        """Adds active seconds, by sample id."""
        for sample_id, value in seconds.items():
            self._update([sample_id], {"$inc": {"seconds": value}})

    def _update(self, sample_ids: Iterable[str], change: Mapping[str, Any]) -> None:
        # Beside the SDK on purpose: see the module's docstring.
        ids = [ObjectId(sample_id) for sample_id in sample_ids if ObjectId.is_valid(sample_id)]
        self.dataset._sample_collection.update_many({"_id": {"$in": ids}}, change)


def open_board(work: Work, display: Mapping[str, Path]) -> Board:
    """Opens the dataset of a batch, and brings it in line with what there is to review.

    Work that was begun stays as it is, with the proposals that the person saw, also where its image
    was in another batch then. Images that nobody touched get the newest proposals.

    Args:
        work: the images of the session.
        display: the file that the App shows, by image id.
    """
    dataset = _dataset(work.batch)
    _recount(dataset)
    present = {sample["image_id"]: sample for sample in dataset}
    missing = {item.image.id: item for item in work.items if item.image.id not in present}
    begun = _begun_elsewhere(dataset, missing)
    new = [begun.get(i) or _sample(item, display[i]) for i, item in missing.items()]
    if new:
        dataset.add_samples(new, progress=False)
        present = {sample["image_id"]: sample for sample in dataset}
    for position, item in enumerate(work.items):
        _update(present[item.image.id], item, display[item.image.id], position)
    _prepare_app(dataset, work)
    return Board(dataset, work)


def _dataset(name: str) -> Any:
    if fo.dataset_exists(name):
        return fo.load_dataset(name)
    dataset = fo.Dataset(name, persistent=True)
    dataset.add_sample_field("image_id", fo.StringField)
    dataset.add_sample_field("position", fo.IntField)
    dataset.add_sample_field("offer", fo.StringField)
    dataset.add_sample_field("seconds", fo.FloatField)
    dataset.add_sample_field(FIELD, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    return dataset


def _recount(dataset: Any) -> None:
    """Has MongoDB count again after a crash.

    It loses its estimate of a collection's size then, and the App takes an estimate of zero for an
    empty dataset: "No samples yet".
    """
    samples = dataset._sample_collection
    if samples.estimated_document_count() != samples.count_documents({}):
        samples.database.command("validate", samples.name)


def _sample(item: Item, path: Path) -> Any:
    offer = offers.offer_of(item)
    return fo.Sample(
        filepath=str(path.absolute()),
        metadata=fo.ImageMetadata(width=item.image.width, height=item.image.height),
        image_id=item.image.id,
        position=0,
        offer=offers.dumps(offer),
        seconds=0.0,
        **{FIELD: _detections(offer)},
    )


def _detections(offer: Offer) -> Any:
    rows = offers.fraction_boxes(offer)
    return fo.Detections(
        detections=[
            fo.Detection(id=app_id, label=label, bounding_box=box, confidence=score)
            for app_id, label, box, score in rows
        ]
    )


def _update(sample: Any, item: Item, path: Path, position: int) -> None:
    """Gives a sample its place and, unless a person has begun with it, what there is to review."""
    changed = sample["position"] != position or sample.filepath != str(path.absolute())
    sample["position"], sample.filepath = position, str(path.absolute())
    offer = offers.offer_of(item)
    if sample["offer"] != offers.dumps(offer) and not _begun(sample, item):
        changed = True
        sample["offer"], sample[FIELD] = offers.dumps(offer), _detections(offer)
        sample["seconds"], sample.tags = 0.0, [tag for tag in sample.tags if tag != REVIEWED]
    if changed:
        sample.save()


def _begun(sample: Any, item: Item) -> bool:
    """Whether a person has worked on an image, and nobody has submitted it since."""
    try:
        offer = offers.loads(sample["offer"], item.image)
    except (TypeError, ValueError):
        return False
    if offer.item.base != item.base:
        return False
    if REVIEWED in sample.tags or (sample["seconds"] or 0.0) > 0:
        return True
    now = sample[FIELD].detections if sample[FIELD] is not None else []
    start = [(app_id, label, box) for app_id, label, box, _ in offers.fraction_boxes(offer)]
    return sorted((box.id, box.label, list(box.bounding_box)) for box in now) != sorted(start)


def _begun_elsewhere(dataset: Any, missing: Mapping[str, Item]) -> dict[str, Any]:
    """Takes images that were begun in another batch out of its dataset."""
    begun = {}
    for name in fo.list_datasets():
        if name == dataset.name or not missing:
            continue
        other = fo.load_dataset(name)
        if not other.has_field("offer"):
            continue
        for sample in other.match(fo.ViewField("image_id").is_in(list(missing))):
            item = missing[sample["image_id"]]
            if item.image.id not in begun and _begun(sample, item):
                begun[item.image.id] = fo.Sample.from_dict(sample.to_dict())
    return begun


# --- what the App shows ---------------------------------------------------------------------------


def _prepare_app(dataset: Any, work: Work) -> None:
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
    """Saves the view of a session's images, in their order; None where the dataset is just that."""
    wanted = [item.image.id for item in work.items]
    if dataset.values("image_id") == wanted:
        return None
    name = f"part {work.part.number} of {work.part.of}" if work.part.of > 1 else "this batch"
    view = dataset.match(fo.ViewField("image_id").is_in(wanted)).sort_by("position")
    dataset.save_view(name, view, overwrite=True)
    return str(name.replace(" ", "-"))
