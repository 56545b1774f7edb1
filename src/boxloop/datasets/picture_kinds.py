"""Pictures that boxloop does not read: what they are, and how they become readable."""

from __future__ import annotations

from pathlib import Path

from boxloop.files import open_regular

_HEIC = "convert it to JPEG, for example with 'heif-convert IN OUT.jpg'"
_RAW = "develop it to JPEG, for example with 'darktable-cli IN OUT.jpg'"
_OTHER = "convert it to PNG, for example with 'magick IN OUT.png'"
_VIDEO = "cut it into pictures, for example with 'ffmpeg -i IN frame_%06d.png'"
_ARCHIVE = "unpack it"

_KINDS = (
    ("a HEIC picture", _HEIC, "heic heif hif heics"),
    (
        "a raw photograph",
        _RAW,
        "dng cr2 cr3 crw nef nrw arw srf sr2 orf rw2 raf pef srw raw rwl x3f erf mrw 3fr iiq",
    ),
    (
        "a picture",
        _OTHER,
        "jxl jxr wdp hdp psd psb xcf svg svgz eps ai pdf djvu ico cur tga pcx xbm xpm sgi exr hdr "
        "dds qoi ras dcm dicom nii fits fit jls jpm mng wmf emf avifs heifs",
    ),
    ("a video", _VIDEO, "mp4 mov avi mkv webm m4v mpg mpeg wmv flv mts m2ts 3gp ogv"),
    ("an archive", _ARCHIVE, "zip tar tgz gz bz2 xz 7z rar zst"),
)
_BY_ENDING = {
    ending: (what, advice) for what, advice, endings in _KINDS for ending in endings.split()
}

_BESIDE = (
    "txt json jsonl xml yaml yml csv tsv md rst html htm py ipynb sh bat toml cfg ini conf log"
    " names data labels db sqlite pt pth onnx npz npy pkl parquet feather cache dvc lock license"
    " xlsx xls docx doc xmp aae thm info ds_store gitignore"
)
_NO_PICTURES = frozenset(_BESIDE.split())
"""Endings of files that may lie beside pictures."""

_CONTENT = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
)
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
START = 32
"""So many bytes of a file tell what it holds."""


def describe_ending(name: str) -> str | None:
    """Say of a file whose ending boxloop does not read that it is a picture; else None."""
    ending = name.rpartition(".")[2].lower()
    if ending not in _BY_ENDING:
        return None
    what, advice = _BY_ENDING[ending]
    return f"is {what} (.{ending}), which boxloop does not read: {advice}"


def may_be_picture(name: str) -> bool:
    """Return whether only a file's content can tell if it is a picture."""
    bare, dot, ending = name.rpartition(".")
    return not (dot and bare and ending.lower() in _NO_PICTURES)


def describe_misnamed(path: Path) -> str | None:
    """Say of a file with another ending that it holds a picture; else None."""
    try:
        with open_regular(path) as file:
            start = file.read(START)
    except OSError:
        return None
    kind = _kind_of(start)
    if kind is None:
        return None
    return f"holds a {kind} picture, but its name does not end as such names do: rename it"


def describe_content(start: bytes) -> str:
    """Say what bytes are that no decoder takes for a picture."""
    if _kind_of(start) == "HEIC":
        return f"is a HEIC picture, which boxloop does not read: {_HEIC}"
    return "is not an image that boxloop reads"


def _kind_of(start: bytes) -> str | None:
    """Return the kind of a picture by its first bytes."""
    if start[4:8] == b"ftyp":
        brand = start[8:12]
        return "HEIC" if brand in _HEIC_BRANDS else "AVIF" if brand == b"avif" else None
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    if start[:2] == b"BM" and start[6:10] == bytes(4):
        return "BMP"
    return next((kind for mark, kind in _CONTENT if start.startswith(mark)), None)
