"""Write the page of the images whose labels are likely to hold an error, each with a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from boxloop.campaign.doubts import Suspect
from boxloop.datasets.images import as_jpeg, read_image
from boxloop.errors import DatasetError
from boxloop.files import write_text
from boxloop.report.contact_sheets import FINAL_COLOR, PROPOSAL_COLOR, draw_dashed, ordered
from boxloop.report.html import render

DOUBT_COLOR = "#D55E00"
_SIDE = 320  # pixels of a picture
_LEAST = 48  # pixels of the image that are shown at least, each way


def write_page(path: Path, suspects: Sequence[Suspect], root: Path) -> None:
    """Write one HTML file that needs no network: rank, reason and a crop of each image.

    Args:
        path: of the page.
        suspects: the worst first.
        root: folder that relative image paths start from.
    """
    rows = [(suspect, draw_doubt(suspect, root)) for suspect in suspects]
    page = render(
        "report/doubts.html.j2",
        rows=rows,
        label_color=FINAL_COLOR,
        proposal_color=PROPOSAL_COLOR,
        doubt_color=DOUBT_COLOR,
    )
    write_text(path, page)


def draw_doubt(suspect: Suspect, root: Path) -> bytes | None:
    """Draw the part of an image that is in doubt.

    Labels are solid, the one in doubt in a color of its own, and the proposal that speaks against
    it is dashed.

    Returns:
        A JPEG; None where the image cannot be read.
    """
    try:
        image = Image.fromarray(read_image(root / suspect.image.path))
    except DatasetError:
        return None  # the reason is still useful
    doubt, labels, proposals = suspect.doubt, suspect.labels.xyxy, suspect.proposals.xyxy
    boxes = [suspect.place]
    if doubt.proposal is not None:
        boxes.append(tuple(proposals[doubt.proposal].tolist()))
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    center = (min(lefts) + max(rights)) / 2, (min(tops) + max(bottoms)) / 2
    side = max(_LEAST, 2 * max(max(rights) - min(lefts), max(bottoms) - min(tops)))
    left, top = (max(0, int(c - side / 2)) for c in center)
    right = max(left + 1, min(image.width, int(center[0] + side / 2) + 1))
    bottom = max(top + 1, min(image.height, int(center[1] + side / 2) + 1))
    scale = _SIDE / max(right - left, bottom - top)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    image = image.crop((left, top, right, bottom)).resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(image)

    def corners(row: Sequence[float]) -> tuple[float, float, float, float]:
        x1, y1, x2, y2 = row
        return ordered(
            (x1 - left) * scale,
            (y1 - top) * scale,
            (x2 - left) * scale - 1,
            (y2 - top) * scale - 1,
        )

    for row in labels.tolist():
        draw.rectangle(corners(row), outline=FINAL_COLOR, width=2)
    if doubt.label is not None:
        draw.rectangle(corners(labels[doubt.label].tolist()), outline=DOUBT_COLOR, width=3)
    if doubt.proposal is not None:
        draw_dashed(draw, corners(proposals[doubt.proposal].tolist()))
    return as_jpeg(image, quality=85)
