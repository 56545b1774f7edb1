"""Read a dataset by the class names of today, whatever its own files call them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from boxloop import datasets
from boxloop.campaign import class_changes
from boxloop.campaign.class_changes import ClassChange
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import ImageSet
from boxloop.datasets import Dataset
from boxloop.datasets.images import Progress
from boxloop.errors import ParamsError
from boxloop.params import DatasetParams


def stale(paths: CampaignPaths, params: DatasetParams, images: ImageSet | None) -> Iterator[str]:
    """Say where classes were listed after the images were read: nobody can choose them yet."""
    if images is not None and params.classes not in (None, images.classes):
        yield (
            f"params.yaml lists the classes {', '.join(params.classes or ())}, but"
            f" {paths.images.relative_to(paths.root)} has {', '.join(images.classes)}: 'dvc repro"
            " dataset' brings them in, before anything is trained"
        )


def load(
    paths: CampaignPaths, params: DatasetParams, drawn: Path, progress: Progress | None = None
) -> Dataset:
    """Read the dataset of a campaign; see :func:`boxloop.datasets.load` for arguments and errors.

    Classes that were renamed or merged have their old names in the dataset's annotations still, and
    their new ones in ``params``. A format without annotations has no other names than those.

    Raises:
        ArtifactError: what was recorded of a change cannot be read.
        ParamsError: a class is listed by a name that another one has in the annotations.
    """
    changes = class_changes.read(*paths.journals)
    found = _load(changes, params, drawn, progress)
    # DVC sees by them that labels have other names, also where all classes are called as before.
    known = class_changes.entries_of(changes)
    return replace(found, images=replace(found.images, changes=known))


def _load(
    changes: Sequence[ClassChange],
    params: DatasetParams,
    drawn: Path,
    progress: Progress | None,
) -> Dataset:
    if not changes or params.format == "folder":
        return datasets.load(params, drawn, progress)
    if params.classes is not None:
        _require_unlike_before(changes, params.classes)
        own = class_changes.names_before(changes, params.classes)
        params = params.model_copy(update={"classes": own})
    found = datasets.load(params, drawn, progress)
    classes = class_changes.names_after(changes, found.images.classes)
    truth = None if found.truth is None else class_changes.rename(found.truth, changes)
    return replace(found, images=replace(found.images, classes=classes), truth=truth)


def _require_unlike_before(changes: Sequence[ClassChange], classes: Sequence[str]) -> None:
    """Refuse a class by a name that the annotations have for what is called otherwise now.

    Raises:
        ParamsError: one is; its boxes would be of the other class.
    """
    names = class_changes.names_after(changes, class_changes.names_before(changes, classes))
    for name in classes:
        if name not in names:
            [now] = class_changes.names_after(changes, [name])
            raise ParamsError(
                f"dataset.classes lists '{name}', the name in the dataset's annotations of what is"
                f" called '{now}' since it was renamed or merged: list another name"
            )
