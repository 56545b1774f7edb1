"""What a browser shows of a file: tests/browser holds it against a real one."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from boxloop.datasets.browsers import is_shown_as_read
from builders_datasets import save_with_xmp

PIXELS = np.full((16, 32, 3), 60, np.uint8)
ORIENTATION, SHORT, LONG = 0x0112, 3, 4


def _saved(path, *, mode="RGB", format_=None, turn=1, **how):
    exif = Image.Exif()
    if turn != 1:
        how["exif"] = exif
        exif[ORIENTATION] = turn
    picture = Image.fromarray(PIXELS).convert(mode)
    if "A" in mode:
        picture.putalpha(128)
    picture.save(path, format=format_, **how)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_plain_images_are_shown_as_they_are(tmp_path, suffix):
    assert is_shown_as_read(_saved(tmp_path / f"a{suffix}"))
    if suffix != ".webp":
        assert is_shown_as_read(_saved(tmp_path / f"grey{suffix}", mode="L"))


@pytest.mark.parametrize("turn", range(2, 9))
def test_browsers_turn_jpeg_by_exif_alone(tmp_path, turn):
    assert is_shown_as_read(_saved(tmp_path / "a.jpg", turn=turn))
    assert not is_shown_as_read(_saved(tmp_path / "a.webp", turn=turn))
    assert is_shown_as_read(save_with_xmp(tmp_path / "x.jpg", PIXELS, turn))
    assert is_shown_as_read(save_with_xmp(tmp_path / "x.webp", PIXELS, turn))
    # Not all browsers turn a PNG, and none where the note follows the pixels.
    path = _saved(tmp_path / "a.png", turn=turn)
    assert not is_shown_as_read(path)
    data = path.read_bytes()
    begin, end = data.index(b"eXIf") - 4, data.index(b"IDAT") - 4
    late = data[:begin] + data[end:-12] + data[begin:end] + data[-12:]
    path.write_bytes(late)
    assert not is_shown_as_read(path)


def _noted(path, *segments):
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "JPEG")
    parts = b"".join(b"\xff\xe1" + struct.pack(">H", len(s) + 2) + s for s in segments)
    path.write_bytes(stream.getvalue()[:2] + parts + stream.getvalue()[20:])
    return path


def _exif(kind, count, value, order=">", begin=b"Exif\0\0"):
    head = struct.pack(f"{order}2sHIH", b"MM" if order == ">" else b"II", 42, 8, 1)
    number = struct.pack(f"{order}{'H' if kind == SHORT else 'I'}", value).ljust(4, b"\0")
    entry = struct.pack(f"{order}HHI", ORIENTATION, kind, count) + number
    return begin + head + entry + bytes(4)


def test_a_note_that_browsers_and_boxloop_read_differently(tmp_path):
    path = tmp_path / "a.jpg"
    assert is_shown_as_read(_noted(path, _exif(SHORT, 1, 6)))
    assert is_shown_as_read(_noted(path, _exif(SHORT, 1, 6, "<")))
    assert is_shown_as_read(_noted(path, _exif(SHORT, 1, 1), _exif(SHORT, 1, 6)))
    assert is_shown_as_read(_noted(path, b"Exif\0\0garbage"))
    assert is_shown_as_read(_noted(path, b"Exif\0\0"))
    assert is_shown_as_read(_noted(path, b"Exif\0\0MM\0\x2a\xff\xff\xff\xff"))
    assert not is_shown_as_read(_noted(path, _exif(LONG, 1, 6)))
    assert not is_shown_as_read(_noted(path, _exif(SHORT, 1, 6, begin=b"Exif\0\xff")))


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.jpg", "TIFF"), ("a.png", "PPM"), ("a.jpg", "JPEG2000"), ("a.bmp", "DIB"),
        ("a.png", "AVIF"), ("a.tif", "TIFF"), ("a.tif", "PNG"), ("a.ppm", "JPEG"),
    ],
)  # fmt: skip
def test_the_content_counts_and_the_ending(tmp_path, name, format_):
    """The App takes a file of another ending for no image."""
    assert not is_shown_as_read(_saved(tmp_path / name, format_=format_))


@pytest.mark.parametrize(("name", "format_"), [("a.jpg", "PNG"), ("a.png", "JPEG")])
def test_browsers_know_their_own_formats_under_each_other_s_endings(tmp_path, name, format_):
    assert is_shown_as_read(_saved(tmp_path / name, format_=format_))


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_what_lies_behind_transparent_pixels_is_dark_in_the_app(tmp_path, suffix):
    assert not is_shown_as_read(_saved(tmp_path / f"a{suffix}", mode="RGBA"))
    path = tmp_path / "b.png"
    for mode, key in (("LA", None), ("P", 0), ("RGB", (60, 60, 60)), ("L", 60)):
        assert not is_shown_as_read(_saved(path, mode=mode, transparency=key)), mode
        assert is_shown_as_read(path, on_white=False)
    assert not is_shown_as_read(_saved(tmp_path / "a.tif", mode="RGBA"), on_white=False)


def test_of_what_moves_boxloop_reads_the_first_frame(tmp_path):
    for suffix in (".gif", ".png", ".webp"):
        more = [Image.fromarray(255 - PIXELS)]
        assert not is_shown_as_read(
            _saved(tmp_path / f"a{suffix}", save_all=True, append_images=more)
        )


def test_what_cannot_be_read_is_not_shown(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert not is_shown_as_read(tmp_path / "a.png")
    assert not is_shown_as_read(tmp_path / "none.png")
