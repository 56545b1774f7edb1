"""Read image files as upright 8-bit RGB, whatever their mode; refuse damaged ones."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from boxloop import files
from boxloop.datasets.picture_kinds import describe_content
from boxloop.errors import DatasetError

Progress = Callable[[int, int], None]
"""Called with (done, total) after each image."""

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
    *(".png", ".apng", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif", ".avif"),
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    *(".pgm", ".ppm", ".pbm", ".pnm", ".pfm"),
)
"""Endings of image files, in lower case; the case does not matter."""

# Pillow looks at the content, not at the ending, and some of its other decoders start programs.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "DIB")
_PAGED = ("GIF", "TIFF", "WEBP", "PNG", "AVIF")  # what may hold several

SIDEWAYS = 5
"""From this EXIF orientation on, width and height change places."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG, _COMPRESSED_XMP = b"\x89PNG\r\n\x1a\n", b"XML:com.adobe.xmp\0\1"
_XMP = ("xmp", "XML:com.adobe.xmp")

_MOST_BYTES = 2**32
"""Of one file: an image, or the annotations of a whole set."""

_MOST_THREADS = 8
_MOST_AT_A_TIME = 16


@dataclass(frozen=True, slots=True)
class Probe:
    """Size and digest of an image that could be decoded, as its ``ImageRef`` has them.

    Attributes:
        width: pixels of the upright image.
        height: pixels of the upright image.
        digest: by :func:`digest_of`.
        orientation: by EXIF: 1 where the pixels lie as they are shown, up to 8.
        more: the file holds further pages or frames, which are not read.
    """

    width: int
    height: int
    digest: str
    orientation: int = 1
    more: bool = False


def read_image(path: Path, digest: str | None = None) -> NDArray[np.uint8]:
    """Read an image as (height, width, 3) uint8 RGB, upright (EXIF rotation applied).

    - Transparent pixels (RGBA, LA, a palette or a colour marked as transparent) are composited over
      white, as a page shows them.
    - 16-bit grey is scaled over its full range: 0..65535 becomes 0..255.
    - 32-bit integers are taken for 16-bit values where all of them fit (which is how Pillow hands
      over deep PGM files); otherwise the image's own range becomes 0..255.
    - Floats are taken as they are where they lie in 0..255, times 255 where they lie in 0..1;
      otherwise the image's own range becomes 0..255. NaN becomes black.
    - CMYK, YCbCr and LAB are converted by Pillow, which also undoes Adobe's inverted CMYK.
    - Of an animation, the first frame.

    Where ``digest`` is given, the file must still have this one (:func:`digest_of`): on other
    pixels, boxes and features would silently be wrong.

    Raises:
        DatasetError: the file is missing, unreadable, truncated, too large to be honest, or has
            changed.
    """
    return _to_rgb(_decode(read_bytes(path, digest), path)[0], path)


def read_bytes(path: Path, digest: str | None = None) -> bytes:
    """Read an image's file, which must have this digest (:func:`digest_of`) where one is given.

    Raises:
        DatasetError: it is missing, unreadable or has changed.
    """
    try:
        data = files.read_bytes(path, _MOST_BYTES)
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from None
    if digest is not None and digest_of(data) != digest:
        if is_read_otherwise(data, digest):
            raise DatasetError(
                f"{path} is turned by XMP alone, which boxloop followed when the dataset was read,"
                " and does no more, as browsers don't: run 'dvc repro -f dataset', then 'dvc repro'"
            )
        raise DatasetError(
            f"{path} has changed since the dataset was read: put the old file back, or run the"
            " stage 'dataset' and all that follow again"
        )
    return data


def digest_of(data: bytes) -> str:
    """Return what tells that an image has changed: the SHA-256 of its file's bytes.

    Where XMP alone says that the image is turned, of the bytes and a mark: older versions turned
    such images, and what was labeled or computed then is of other pixels.
    """
    found = hashlib.sha256(data)
    noted = b"tiff:Orientation" in data or (data.startswith(_PNG) and _COMPRESSED_XMP in data)
    if noted and _is_turned_by_xmp(data):
        found.update(b"\0as stored")
    return found.hexdigest()


def is_read_otherwise(data: bytes, digest: str) -> bool:
    """Return whether an older version of boxloop gave this digest to a file that it turned."""
    return hashlib.sha256(data).hexdigest() == digest != digest_of(data)


def probe_image(path: Path) -> Probe:
    """Decode a whole image and return its size and digest.

    Every pixel is decoded, so that truncation is found.

    Raises:
        DatasetError: as :func:`read_image`.
    """
    data = read_bytes(path)
    image, orientation = _decode(data, path)
    more = _holds_more(data)
    return Probe(image.width, image.height, digest_of(data), orientation, more)


def peek_image(path: Path) -> Probe:
    """Return the size and digest of an image by its header, without decoding its pixels.

    Raises:
        DatasetError: the file is missing, unreadable, or no image by its header; a truncated one is
            found when it is read.
    """
    data = read_bytes(path)
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            orientation, (width, height) = orientation_of(image), image.size
            # Pillow gives the size of a TIFF as it is shown, and of all others as it is stored.
            turned = orientation >= SIDEWAYS and image.format != "TIFF"
    except Exception:  # decoders raise nearly anything on damaged files
        return probe_image(path)  # which says what is wrong
    size = (height, width) if turned else (width, height)
    return Probe(*size, digest_of(data), orientation)


def read_orientation(path: Path) -> int:
    """Return the EXIF orientation of an image file, 1 to 8; 1 where nothing tells it."""
    try:
        with files.open_regular(path) as file, Image.open(file, formats=_FORMATS) as image:
            return orientation_of(image)
    except Exception:  # decoders raise nearly anything on damaged files
        return 1


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation of an opened image, 1 to 8; 1 where nothing tells it.

    One in XMP, which Pillow takes where EXIF has none, does not count: browsers, OpenCV and
    torchvision do not turn by it, so boxes are of the pixels as they are stored; and programs that
    turned a photo upright often left it behind.
    """
    try:
        if image.format == "PNG" and "exif" not in image.info:
            image.load()  # EXIF and XMP may follow the pixels
        for name in _XMP:
            image.info.pop(name, None)
        if note := image.info.get("exif"):
            exif = Image.Exif()  # opening a JPEG may have read its XMP already
            exif.load(note)
        else:
            exif = image.getexif()
        found = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF data: the pixels are fine as they are
        return 1
    return int(found) if found in range(1, 9) else 1


def probe_images(
    paths: Sequence[Path], progress: Progress | None = None
) -> list[Probe | DatasetError]:
    """Probe images in parallel; return an error in place of a failed one."""
    results: list[Probe | DatasetError] = []
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    # A few at a time: a task of a pool costs as much as decoding a small image, and 1 kB.
    some = max(1, min(_MOST_AT_A_TIME, len(paths) // (8 * threads)))
    probe = partial(or_error, probe_image)
    tasks = [paths[i : i + some] for i in range(0, len(paths), some)]
    with ThreadPoolExecutor(threads) as pool:
        try:
            for found in pool.map(lambda task: list(map(probe, task)), tasks):
                for result in found:
                    results.append(result)
                    if progress is not None:
                        progress(len(results), len(paths))
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C need not wait for the rest
    return results


def or_error(probe: Callable[[Path], Probe], path: Path) -> Probe | DatasetError:
    """Probe an image; return an error in place of raising it."""
    try:
        return probe(path)
    except DatasetError as error:
        return error


def as_jpeg(picture: Image.Image, quality: int = 80) -> bytes:
    """Return a picture as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def _decode(data: bytes, path: Path) -> tuple[Image.Image, int]:
    """Load every pixel and turn the image upright; return it and its EXIF orientation.

    Its mode stays.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=_FORMATS)
        if image.format == "TIFF":  # whose loading turns it, and forgets how
            orientation = orientation_of(image)
            image.load()
        else:
            image.load()
            if (orientation := orientation_of(image)) != 1:
                image = image.transpose(_TURNS[orientation])
    except Image.DecompressionBombError:
        raise DatasetError(
            f"{path} claims more pixels than boxloop opens"
            f" ({2 * (Image.MAX_IMAGE_PIXELS or 0):,}): make it smaller or leave it out"
        ) from None
    except UnidentifiedImageError:
        what = describe_content(data) if data else "is empty"
        raise DatasetError(f"{path} {what}") from None
    except MemoryError:
        raise DatasetError(f"{path} does not fit into memory") from None
    except Exception as error:  # decoders raise nearly anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{path} is damaged: {reason}") from None
    return image, orientation


def _is_turned_by_xmp(data: bytes) -> bool:
    """Return whether Pillow turns an image that EXIF data do not turn."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.getexif().get(ExifTags.Base.Orientation, 1) not in _TURNS:
                return False
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return orientation_of(image) == 1
    except Exception:  # decoders raise nearly anything on damaged files
        return False


def _holds_more(data: bytes) -> bool:
    """Return whether an image file that could be decoded holds further pages or frames."""
    try:
        with Image.open(io.BytesIO(data), formats=_PAGED) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # another format, or what follows the first page is damaged
        return False


def _to_rgb(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    try:
        if image.mode.startswith("I;16"):
            return _grey(_from_16_bit(np.asarray(image)))
        if image.mode in ("I", "F"):
            return _grey(_from_32_bit(np.asarray(image)))
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            image = Image.new("RGBA", layer.size, (255, 255, 255, 255))
            image.alpha_composite(layer)
        return np.array(image.convert("RGB"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be turned into RGB: {error}") from None


def _grey(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(values[..., None], 3, axis=2)


def _from_16_bit(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    # 65535 / 255 = 257; adding half of it rounds to the nearest.
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _from_32_bit(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    numbers = np.nan_to_num(values.astype(np.float64), nan=0.0)
    low, high = float(numbers.min()), float(numbers.max())
    if values.dtype.kind == "i" and low >= 0 and high <= 65535:
        return _from_16_bit(values)
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        numbers = numbers * 255
    elif low < 0 or high > 255:
        # Halved first: the difference of two large numbers must not overflow.
        span = high / 2 - low / 2
        numbers = (numbers / 2 - low / 2) / (span or 1.0) * 255
    return np.rint(numbers).astype(np.uint8)
