"""Draw contact sheets: the first images of each batch with their boxes (paper, figure 2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from boxloop.campaign.pixels import of_other_pixels
from boxloop.core.types import Boxes, Corrections, ImageRef
from boxloop.datasets.images import as_jpeg, read_image
from boxloop.errors import DatasetError

FINAL_COLOR = "#0072B2"
PROPOSAL_COLOR = "#E69F00"
_WIDEST, _HIGHEST = 320, 240
_DASH, _GAP = 5, 4

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Thumbnail:
    """One picture of a contact sheet.

    Attributes:
        image_id: the image.
        jpeg: the picture with its boxes; None where the image cannot be read, or is ``other``.
        width: pixels of the thumbnail.
        height: pixels of the thumbnail.
        final: number of final boxes.
        shown: number of proposals that were shown.
        other: whether the image has other pixels now than were labeled.
    """

    image_id: str
    jpeg: bytes | None
    width: int
    height: int
    final: int
    shown: int
    other: bool = False

    @property
    def caption(self) -> str:
        """The image id and its numbers of boxes, in words."""
        boxes = f"{self.final} final {'box' if self.final == 1 else 'boxes'}"
        proposals = f"{self.shown} {'proposal' if self.shown == 1 else 'proposals'}"
        return f"{self.image_id}: {boxes}, {proposals}"


def draw_sheet(
    corrections: Corrections, images: dict[str, ImageRef], root: Path, first: int
) -> list[Thumbnail]:
    """Draw the first images of a batch.

    Args:
        corrections: of the batch.
        images: all images by id.
        root: folder that relative image paths start from.
        first: how many images.
    """
    thumbnails, others = [], of_other_pixels(corrections.digests, images)
    for image_id in list(corrections.boxes)[:first]:
        final, proposals = corrections.boxes[image_id], corrections.counted_on(image_id)
        other = image_id in others
        ref = None if other else images.get(image_id)
        picture = None if ref is None else draw_thumbnail(root / ref.path, ref, final, proposals)
        jpeg, width, height = picture or (None, _WIDEST, _HIGHEST)
        thumbnails.append(
            Thumbnail(image_id, jpeg, width, height, len(final), len(proposals), other)
        )
    return thumbnails


def draw_thumbnail(
    path: Path, ref: ImageRef, final: Boxes, proposals: Boxes
) -> tuple[bytes, int, int] | None:
    """Draw an image with final boxes (solid) and proposals (dashed).

    Returns:
        JPEG, width and height of the picture; None where the image cannot be read.
    """
    try:
        image = Image.fromarray(read_image(path))
    except DatasetError:
        # The report is still useful without this picture.
        return None
    scale = min(_WIDEST / image.width, _HIGHEST / image.height)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(image)
    sx, sy = width / ref.width, height / ref.height
    for x1, y1, x2, y2 in final.xyxy.tolist():
        # One pixel less, because x2 and y2 are exclusive edges.
        corners = ordered(x1 * sx, y1 * sy, x2 * sx - 1, y2 * sy - 1)
        draw.rectangle(corners, outline=FINAL_COLOR, width=2)
    for x1, y1, x2, y2 in proposals.xyxy.tolist():
        draw_dashed(draw, ordered(x1 * sx, y1 * sy, x2 * sx - 1, y2 * sy - 1))
    return as_jpeg(image), width, height


def small_picture(path: Path, side: int) -> bytes:
    """Return an image as detectors see it, of at most so many pixels a side, as a JPEG file.

    A grey one where it cannot be read.
    """
    try:
        picture = Image.fromarray(read_image(path))
        picture.thumbnail((side, side))
    except DatasetError:
        picture = Image.new("RGB", (64, 64), (128, 128, 128))
    return as_jpeg(picture)


def ordered(x1: float, y1: float, x2: float, y2: float) -> Corners:
    """Return corners that Pillow takes, also of a box of less than a pixel."""
    return x1, y1, max(x1, x2), max(y1, y2)


def draw_dashed(draw: ImageDraw.ImageDraw, corners: Corners) -> None:
    """Draw a dashed rectangle in the color of proposals."""
    x1, y1, x2, y2 = corners
    for y in (y1, y2):
        for x in _dashes(x1, x2):
            draw.line((x, y, min(x + _DASH, x2), y), fill=PROPOSAL_COLOR, width=2)
    for x in (x1, x2):
        for y in _dashes(y1, y2):
            draw.line((x, y, x, min(y + _DASH, y2)), fill=PROPOSAL_COLOR, width=2)


def _dashes(begin: float, end: float) -> list[float]:
    count = int((end - begin) // (_DASH + _GAP)) + 1
    return [begin + i * (_DASH + _GAP) for i in range(count)]
