"""Keep which pixels images had when they were exported: what comes back was drawn on those."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.pixels import of_other_pixels
from boxloop.campaign.screening import name_images
from boxloop.core.types import ImageRef
from boxloop.errors import ArtifactError, DatasetError, UserError
from boxloop.files import make_folder, read_json, write_json


def keep(paths: CampaignPaths, images: Sequence[ImageRef]) -> None:
    """Keep the digests of exported images, in the place of those of earlier exports."""
    known = _read(paths)
    now = known | {image.id: image.digest for image in images}
    if now != known:
        with suppress(UserError):  # a campaign that only can be read takes no corrections either
            make_folder(paths.state)
            write_json(_file(paths), {"digests": now})


def require_same(paths: CampaignPaths, file: Path, batch: str, images: Sequence[ImageRef]) -> None:
    """Refuse boxes that were drawn on other pixels than the images of a file have now.

    Images that were exported nowhere, or by another clone, go by their names.

    Raises:
        DatasetError: there is such an image; names the way out.
    """
    others = of_other_pixels(_read(paths), {image.id: image for image in images})
    if others:
        named = name_images([image.id for image in images if image.id in others])
        raise DatasetError(
            f"{file} was not taken in: other pixels than are now in {named} were exported for it;"
            f" leave these out of 'images', or 'boxloop export OUT --format coco --proposals"
            f" {batch}' and correct them anew"
        )


def _file(paths: CampaignPaths) -> Path:
    return paths.state / "exported.json"


def _read(paths: CampaignPaths) -> dict[str, str]:
    """Return digests by image; none where the file is not there, or is damaged."""
    found = None
    with suppress(ArtifactError, OSError):
        found = read_json(_file(paths))
    table = found.get("digests") if isinstance(found, dict) else None
    rows = table.items() if isinstance(table, dict) else ()
    return {image_id: digest for image_id, digest in rows if isinstance(digest, str)}
