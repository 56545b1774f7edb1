"""Which images of today a file speaks of that was made for earlier ones: those of its pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from boxloop.core.types import ImageRef, ImageSet


def digests_of(images: ImageSet, image_ids: Iterable[str]) -> dict[str, str]:
    """Return the digests by which a file of these images tells later which they were."""
    refs = images.by_id()
    return {image_id: refs[image_id].digest for image_id in image_ids}


def names_today(
    image_ids: Iterable[str], digests: Mapping[str, str] | None, images: Iterable[ImageRef]
) -> dict[str, str]:
    """Return today's id of each image by its id then; images that are gone are left out.

    Of several images that have the same pixels, the one of the same name is meant.

    Args:
        image_ids: of the file.
        digests: of their files then; None where an older one does not tell, which goes by name.
        images: of today, those that can be meant.
    """
    now = {image.id: image.digest for image in images}
    if digests is None:
        return {image_id: image_id for image_id in image_ids if image_id in now}
    then = {image_id: digests.get(image_id) for image_id in image_ids}
    found = {i: i for i, digest in then.items() if digest is not None and now.get(i) == digest}
    places: dict[str, list[str]] = {}
    for image_id, now_is in now.items():
        if image_id not in found:
            places.setdefault(now_is, []).append(image_id)
    for image_id, digest in then.items():
        free = places.get(digest or "")
        if image_id not in found and free:
            found[image_id] = free.pop(0)
    return {image_id: found[image_id] for image_id in then if image_id in found}
