"""Tell for which classes the images of a corrected file are complete: what could be drawn there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from boxloop.campaign.screening import name_images, review_command
from boxloop.errors import DatasetError
from boxloop.review.external.import_coco import ReviewedImage, list_names


def find_classes(
    file: Path, reviewed: Sequence[ReviewedImage], classes: Sequence[str]
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return by image the classes that it is complete for, and a note on each of the others.

    Those are the file's categories, save what it marks of an image. A tool may list only those that
    were used; then a person looks once more, which is better than a wrong negative.

    Args:
        file: that was read.
        reviewed: its images.
        classes: the campaign's.

    Raises:
        DatasetError: an image is complete for none.
    """
    complete: dict[str, tuple[str, ...]] = {}
    unlisted, marked = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for item in reviewed:
        own = item.image.id
        complete[own] = tuple(name for name in classes if name in item.categories)
        if not complete[own] and item.marked:
            raise DatasetError(
                f"{file} marks image {own} as not complete for any class: leave it out of 'images'"
            )
        if not complete[own]:
            raise DatasetError(
                f"{file} lists none of the classes {list_names(classes)} under 'categories', and"
                " its images are complete for those alone that it lists: add the classes that could"
                " be drawn"
            )
        for name in classes:
            if name not in complete[own]:
                (marked if name in item.marked else unlisted)[name].append(own)
    notes = [
        f"{file} lists no category '{name}': {name_images(found)} {_are(found)} not complete for"
        f" it, until {review_command(name)}, or the file with that category and --redo"
        for name, found in unlisted.items()
    ]
    notes += [
        f"{file} marks {name_images(found)} as not complete for '{name}': {review_command(name)}"
        f" opens {'it' if len(found) == 1 else 'them'}"
        for name, found in marked.items()
    ]
    return complete, notes


def _are(found: Sequence[str]) -> str:
    return "is" if len(found) == 1 else "are"
