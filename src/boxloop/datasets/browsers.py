"""Tell whether browsers show an image file as boxloop reads it.

Where they don't, boxes that people draw on it would land elsewhere.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import IO

from PIL import ExifTags, Image, JpegImagePlugin

from boxloop import files
from boxloop.datasets.images import orientation_of

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Endings of what the App takes for an image, and what browsers show; a GIF may move."""

_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
_SHORT = 3


def is_shown_as_read(path: Path, *, on_white: bool = True) -> bool:
    """Return whether browsers show a file with the pixels, and the turn, that boxloop reads.

    It is told by the file's beginning (of a PNG, by its list of chunks), not by its pixels: what
    could have transparent ones is taken for something that has.

    Args:
        path: of the file.
        on_white: whether it matters that boxloop puts white behind transparent pixels. The App puts
            a dark grey there.
    """
    if path.suffix.lower() not in _SUFFIXES:
        return False
    try:
        with files.open_regular(path) as file, Image.open(file, formats=_FORMATS) as image:
            if isinstance(image, JpegImagePlugin.JpegImageFile):
                return _turn_by_browsers(image) == orientation_of(image)
            if getattr(image, "is_animated", False) or (on_white and image.has_transparency_data):
                return False
            # Of WebP no browser follows EXIF; of PNG some do.
            noted = bool(image.info.get("exif")) or (image.format == "PNG" and _may_turn(file))
            return not noted or orientation_of(image) == 1
    except Exception:  # decoders raise nearly anything on damaged files
        return False


def _may_turn(file: IO[bytes]) -> bool:
    """Return whether a PNG holds what orientations are read from; reading it all is slow."""
    before = file.tell()  # from where Pillow reads on
    try:
        place, end = 8, file.seek(0, os.SEEK_END)
        while place + 12 <= end:
            file.seek(place)
            length, kind = struct.unpack(">I4s", file.read(8))
            if kind == b"eXIf":
                return True
            if kind in (b"tEXt", b"zTXt", b"iTXt") and file.read(16) == b"Raw profile type":
                return True
            place += length + 12
        return False
    finally:
        file.seek(before)


def _turn_by_browsers(image: JpegImagePlugin.JpegImageFile) -> int | None:
    """Return the orientation that browsers show a JPEG in; None where they may differ.

    They want the number to be one of 16 bits, and alone; Pillow takes any.
    """
    notes = [data for name, data in image.applist if name == "APP1" and data[:4] == b"Exif"]
    if not notes:
        return 1
    data = notes[0][6:]
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if notes[0][:6] != b"Exif\0\0":
        return None
    if order is None:
        return 1
    try:
        (begin,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, begin)
        for place in range(begin + 2, begin + 2 + 12 * count, 12):
            tag, kind, many, value = struct.unpack_from(f"{order}HHIH", data, place)
            if (tag, kind, many) == (ExifTags.Base.Orientation, _SHORT, 1):
                return value if value in range(1, 9) else 1
    except struct.error:
        pass
    return 1
