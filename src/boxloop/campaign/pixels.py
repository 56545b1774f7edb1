"""Hold labels against the pixels that their images have now, by ``images.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from boxloop.core.types import Corrections, ImageRef
from boxloop.errors import ArtifactError


def of_other_pixels(corrections: Corrections, images: Mapping[str, ImageRef]) -> set[str]:
    """Return the images of corrections whose pixels are others now.

    Those that do not tell of which pixels they are (the simulated annotator's, and older ones)
    count by name, and images that are gone are none of them.
    """
    digests = corrections.digests.items()
    return {i for i, digest in digests if i in images and images[i].digest != digest}


def require_same(
    corrections: Corrections, source: Path, images: Mapping[str, ImageRef], read: Path
) -> None:
    """Refuse labels of images that are gone, or have other pixels now.

    Args:
        corrections: of a batch.
        source: their file.
        images: of today, by id.
        read: the file of these.

    Raises:
        ArtifactError: there is such an image; names the files and the way out.
    """
    others = of_other_pixels(corrections, images)
    for image_id in corrections.boxes:
        if image_id not in images:
            fault = f"image {image_id}, which is not in {read} now"
        elif image_id in others:
            fault = f"other pixels than image {image_id} has now in {read}"
        else:
            continue
        raise ArtifactError(
            f"{source} labels {fault}: run 'dvc repro' first, which takes labels along with their"
            " pixels, or says what waits for a person"
        )
