import hashlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxloop.datasets.images import (
    SUFFIXES,
    Probe,
    peek_image,
    probe_image,
    probe_images,
    read_image,
    read_orientation,
)
from boxloop.errors import DatasetError
from builders_datasets import save_with_xmp


def _save(path: Path, pixels: np.ndarray, mode: str | None = None, **how: object) -> Path:
    picture = Image.fromarray(pixels)
    (picture if mode is None else picture.convert(mode)).save(path, **how)
    return path


RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOUR = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=2)


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


def test_rgb_is_taken_as_it_is(tmp_path):
    pixels = read_image(_save(tmp_path / "a.png", COLOUR))
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, COLOUR)


def test_grey_and_bilevel(tmp_path):
    np.testing.assert_array_equal(read_image(_save(tmp_path / "l.png", RAMP)), _grey(RAMP))
    bilevel = read_image(_save(tmp_path / "1.png", (RAMP > 99).astype(np.uint8) * 255, "1"))
    np.testing.assert_array_equal(bilevel, _grey((RAMP > 99) * 255))


def test_palette_without_and_with_transparency(tmp_path):
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(tmp_path / "p.png")
    expected = np.array([[[10, 20, 30], [40, 50, 60], [70, 80, 90]]])
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), expected)
    picture.save(tmp_path / "t.png", transparency=1)
    expected[0, 1] = 255
    np.testing.assert_array_equal(read_image(tmp_path / "t.png"), expected)
    picture.save(tmp_path / "half.png", transparency=bytes([255, 0, 128]))
    assert read_image(tmp_path / "half.png")[0, 1].tolist() == [255, 255, 255]
    np.testing.assert_allclose(read_image(tmp_path / "half.png")[0, 2], [162, 167, 172], atol=1)


def test_alpha_is_composited_over_white(tmp_path):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, :3] = (100, 0, 200)
    rgba[0, :, 3] = (255, 0, 128)
    pixels = read_image(_save(tmp_path / "rgba.png", rgba))
    np.testing.assert_allclose(pixels[0], [[100, 0, 200], [255, 255, 255], [177, 127, 227]], atol=1)
    grey = read_image(_save(tmp_path / "la.png", rgba[..., [0, 3]]))
    np.testing.assert_allclose(grey[0, :, 0], [100, 255, 177], atol=1)
    keyed = Image.fromarray(np.array([[0, 7]], np.uint8))
    keyed.save(tmp_path / "key.png", transparency=7)
    assert read_image(tmp_path / "key.png")[0, :, 0].tolist() == [0, 255]


def test_16_bit_grey_is_scaled_over_its_full_range(tmp_path):
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    for name in ("a.png", "a.tif"):
        pixels = read_image(_save(tmp_path / name, values))
        np.testing.assert_array_equal(pixels, _grey(np.array([[0, 0, 1, 1, 128, 255]])))


def test_deep_pgm_is_scaled_over_its_full_range(tmp_path):
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 3 1 65535\n" + struct.pack(">3H", 0, 32768, 65535))
    assert read_image(path)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 65535], [0, 255]),
        ([0, 65536], [0, 255]),
        ([0, 50000, 100000], [0, 128, 255]),
        ([-1000, 0, 1000], [0, 128, 255]),
        ([-(2**31), 0, 2**31 - 1], [0, 128, 255]),
        ([0, 255], [0, 1]),  # of 65535
    ],
)
def test_32_bit_integers(tmp_path, values, expected):
    deep = _save(tmp_path / "deep.tif", np.array([values], np.int32))
    assert read_image(deep)[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 17.2, 255.0], [0, 17, 255]),
        ([-1000.0, 0.0, 1000.0], [0, 128, 255]),
        ([0.0, 300.0, 600.0], [0, 128, 255]),
        ([-3e38, 0.0, 3e38], [0, 128, 255]),
        ([float("nan"), 40.0, 80.0], [0, 40, 80]),
        ([-5.0, -5.0, -5.0], [0, 0, 0]),
    ],
)
def test_floats(tmp_path, values, expected):
    path = _save(tmp_path / "f.tif", np.array([values], np.float32))
    assert read_image(path)[0, :, 0].tolist() == expected


def test_infinite_floats_do_not_crash(tmp_path):
    path = _save(tmp_path / "f.tif", np.array([[-np.inf, 0, np.inf]], np.float32))
    assert read_image(path)[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk_jpeg_that_adobe_inverts(tmp_path):
    # Pillow writes CMYK JPEGs with Adobe's marker and inverted, as Photoshop does.
    cmyk = np.zeros((16, 16, 4), np.uint8)
    cmyk[..., 0] = 255  # full cyan, no black: red is missing, green and blue are there
    path = tmp_path / "c.jpg"
    Image.fromarray(cmyk, "CMYK").save(path, quality=95)
    assert b"Adobe" in path.read_bytes()
    np.testing.assert_allclose(read_image(path)[8, 8], [0, 255, 255], atol=6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    wide = np.zeros((16, 32, 3), np.uint8)
    wide[:8, :8] = 255  # the stored image's upper left corner
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = _save(tmp_path / "o.jpg", wide, exif=exif, quality=95)
    # EXIF 2.3, tag Orientation: where row 0 and column 0 of the stored image are to be shown.
    turned = {
        1: wide,
        2: wide[:, ::-1],
        3: wide[::-1, ::-1],
        4: wide[::-1],
        5: wide.transpose(1, 0, 2),
        6: wide.transpose(1, 0, 2)[:, ::-1],
        7: wide.transpose(1, 0, 2)[::-1, ::-1],
        8: wide.transpose(1, 0, 2)[::-1],
    }[orientation]
    pixels = read_image(path)
    assert pixels.shape == turned.shape
    np.testing.assert_allclose(pixels.astype(int), turned.astype(int), atol=8)
    probe = probe_image(path)
    assert (probe.height, probe.width) == turned.shape[:2]


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s in Image.registered_extensions()])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_peek_tells_what_decoding_tells(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = _save(tmp_path / f"a{suffix}", np.zeros((16, 32, 3), np.uint8), exif=exif)
    peek = peek_image(picture)
    assert (peek.height, peek.width) == read_image(picture).shape[:2]
    assert peek == probe_image(picture)
    assert read_orientation(picture) == peek.orientation


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("note", [None, 0x0131])
def test_an_orientation_in_xmp_alone_does_not_count(tmp_path, suffix, note):
    """Browsers, OpenCV and torchvision don't turn by it either."""
    wide = np.zeros((16, 32, 3), np.uint8)
    wide[:8, :8] = 255
    exif = Image.Exif()
    if note is not None:
        exif[note] = "a program"
    path = save_with_xmp(tmp_path / f"a{suffix}", wide, 6, exif=exif)
    with Image.open(path) as picture:
        assert picture.getexif()[0x0112] == 6  # so Pillow would turn it
    pixels = read_image(path)
    assert pixels.shape == wide.shape
    assert np.abs(pixels.astype(int) - wide).max() <= 8
    assert peek_image(path) == probe_image(path)
    assert (read_orientation(path), probe_image(path).orientation) == (1, 1)
    exif[0x0112] = 3
    path = save_with_xmp(tmp_path / f"both{suffix}", wide, 6, exif=exif)
    assert read_orientation(path) == probe_image(path).orientation == 3
    assert np.abs(read_image(path).astype(int) - wide[::-1, ::-1]).max() <= 8


@pytest.mark.parametrize(("name", "compressed"), [("a.jpg", False), ("a.png", True)])
def test_what_was_read_when_xmp_still_turned_is_of_other_pixels(tmp_path, name, compressed):
    path = save_with_xmp(tmp_path / name, COLOUR, 3, compressed=compressed)
    assert (b"tiff:Orientation" in path.read_bytes()) is not compressed
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    now = probe_image(path).digest
    assert now != before
    assert peek_image(path).digest == now
    assert read_image(path, now).shape == COLOUR.shape
    with pytest.raises(DatasetError, match="is turned by XMP alone, .*'dvc repro -f dataset'"):
        read_image(path, before)
    with pytest.raises(DatasetError, match="has changed"):
        read_image(path, "0" * 64)
    exif = Image.Exif()
    exif[0x0112] = 1
    for path in (
        save_with_xmp(tmp_path / "b.jpg", COLOUR, 1),
        save_with_xmp(tmp_path / "c.jpg", COLOUR, 3, exif=exif),
        save_with_xmp(tmp_path / "d.png", COLOUR, 1, compressed=True),
    ):
        assert probe_image(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("data", [b"MM\0\x2a\xff\xff\xff\xff", b"garbage", b""])
def test_damaged_exif_leaves_the_image_as_it_is(tmp_path, data):
    path = _save(tmp_path / "e.jpg", COLOUR, exif=b"Exif\0\0" + data)
    assert read_image(path).shape == (16, 16, 3)
    assert peek_image(path) == probe_image(path)
    assert read_orientation(path) == probe_image(path).orientation == 1


def test_what_is_no_image_has_no_orientation(tmp_path):
    (tmp_path / "a.jpg").write_text("?")
    assert read_orientation(tmp_path / "a.jpg") == read_orientation(tmp_path / "none.jpg") == 1


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), v, np.uint8)) for v in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif")[0, 0].tolist() == [10, 10, 10]


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.webp", "a.png"])
def test_further_pages_or_frames_are_noticed(tmp_path, name):
    pages = [Image.new("RGB", (9, 7), color) for color in ("red", "blue")]
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    assert probe_image(tmp_path / name).more
    pages[0].save(tmp_path / name)
    assert not probe_image(tmp_path / name).more


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.gif", "a.webp"])
def test_truncation_is_found_when_probing(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = _save(tmp_path / name, noise).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    for act in (probe_image, read_image):
        with pytest.raises(DatasetError, match=f"{name} is damaged|{name} is not an image"):
            act(tmp_path / name)


def test_what_is_no_image(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"a\.jpg is empty"):
        read_image(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_text("<html>404</html>")
    with pytest.raises(DatasetError, match=r"b\.jpg is not an image"):
        read_image(tmp_path / "b.jpg")
    with pytest.raises(DatasetError, match=r"c\.jpg does not exist"):
        read_image(tmp_path / "c.jpg")
    with pytest.raises(DatasetError, match="cannot be read: it is a folder"):
        read_image(tmp_path)


def test_postscript_is_not_handed_to_an_interpreter(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "EPS")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    with pytest.raises(DatasetError, match="is not an image that boxloop reads"):
        read_image(tmp_path / "a.png")


def _png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


def test_a_decompression_bomb_is_one_sentence(tmp_path):
    (tmp_path / "bomb.png").write_bytes(_png_that_claims(60_000, 60_000))
    with pytest.raises(DatasetError, match=r"bomb\.png claims more pixels"):
        probe_image(tmp_path / "bomb.png")


def test_the_command_line_says_nothing_of_pillow_s_warnings(tmp_path):
    (tmp_path / "photos").mkdir()
    _save(tmp_path / "photos" / "a.jpg", COLOUR, exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff")
    sets = ["dataset.format=folder", "dataset.path=photos", "dataset.classes=[cat]"]
    done = subprocess.run(
        [Path(sys.executable).parent / "boxloop", "dataset"]
        + [part for value in sets for part in ("--set", value)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    assert "arning" not in done.stdout + done.stderr


def test_the_digest_is_of_the_files_bytes(tmp_path):
    path = _save(tmp_path / "a.png", COLOUR)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert probe_image(path) == Probe(16, 16, expected)


def test_probing_many_keeps_their_order_and_reports_progress(tmp_path):
    paths = [
        _save(tmp_path / f"{i}.png", np.zeros((1 + i % 7, 1 + i % 5, 3), np.uint8))
        for i in range(40)
    ]
    paths[13].write_bytes(b"nothing")
    seen: list[tuple[int, int]] = []
    results = probe_images(paths, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 40) for i in range(1, 41)]
    for i, result in enumerate(results):
        if i == 13:
            assert isinstance(result, DatasetError)
        else:
            assert isinstance(result, Probe)
            assert (result.width, result.height) == (1 + i % 5, 1 + i % 7)
