"""Name the formats that boxloop does not read, with the export to choose or the way to convert.

All of it is judged by content: people rename files, and many tools call theirs alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from boxloop.datasets.faults import printable
from boxloop.datasets.images import SUFFIXES
from boxloop.files import open_regular

_HEAD = 4096
"""Bytes at the start of a file that are enough to tell what it is."""

_LONGEST = 60  # characters of a file in a sentence

_CONVERT = "write it as COCO's JSON (docs/datasets.md shows how in a few lines of Python)"


class Foreign(NamedTuple):
    """A format that is not read where it was found.

    Attributes:
        name: what it is, after "is" or "holds".
        way: what to do instead.
    """

    name: str
    way: str

    def sentence(self, place: Path | str) -> str:
        """Return one sentence about the file or folder that holds it."""
        return f"{place} is {self.name}: {self.way}"


# --- JSON -----------------------------------------------------------------------------------------

_COCO_EXPORT = "export it again as COCO"
_LABELME = Foreign(
    "LabelMe's JSON, one file per picture, which boxloop does not read",
    "convert the folder to COCO by 'pip install labelme2coco' and 'labelme2coco FOLDER'",
)
_LABEL_STUDIO = Foreign(
    "Label Studio's own JSON, which boxloop does not read",
    "export the project again as 'COCO' or 'YOLO with Images'",
)
_SUPERVISELY = Foreign(
    "Supervisely's JSON, which boxloop does not read",
    "export the project by Supervisely's app 'Export to COCO'",
)
_VIA = Foreign(
    "a project of the VGG Image Annotator, which boxloop does not read",
    "choose 'Export Annotations (COCO format)' in it",
)


def _dicts(content: Any) -> list[dict[str, Any]]:
    """Return the first few objects of a list, or of an object's values."""
    values = list(content.values()) if isinstance(content, dict) else content
    some = values[:5] if isinstance(values, list) else []
    return [value for value in some if isinstance(value, dict)]


def _all_have(content: Any, *keys: str) -> bool:
    found = _dicts(content)
    return bool(found) and all(set(keys) <= set(entry) for entry in found)


def _is_label_studio(content: Any) -> bool:
    if not isinstance(content, list | dict):
        return False
    tasks = _dicts(content) if isinstance(content, list) else [content]
    full = [t for t in tasks if isinstance(t.get("data"), dict)]
    results = any({"annotations", "completions", "predictions"} & set(t) for t in full)
    return results or (
        isinstance(content, list)
        and any({"annotation_id", "lead_time", "annotator"} <= set(task) for task in tasks)
    )


def _annotations(content: Any) -> Any:
    return content.get("annotations") if isinstance(content, dict) else None


_JSON_KINDS: tuple[tuple[Callable[[Any], bool], Foreign], ...] = (
    (lambda c: isinstance(c, dict) and {"shapes", "imagePath"} <= set(c), _LABELME),
    (_is_label_studio, _LABEL_STUDIO),
    (
        lambda c: (
            isinstance(c, dict)
            and (
                ({"objects", "size"} <= set(c))
                or ({"classes", "projectType"} <= set(c))
                # Of FiftyOne's metadata.json, "classes" are an object.
                or all(isinstance(c.get(key), list) for key in ("classes", "tags"))
            )
        ),
        _SUPERVISELY,
    ),
    (
        lambda c: (
            (isinstance(c, dict) and ("_via_img_metadata" in c or "_via_settings" in c))
            or (isinstance(c, dict) and _all_have(c, "filename", "regions"))
        ),
        _VIA,
    ),
    (
        lambda c: isinstance(c, list) and _all_have(c, "image_id", "category_id", "bbox"),
        Foreign(
            "a list of detections in COCO's format of results, without images and categories",
            "name the annotation file that they were made for, with 'images', 'annotations' and"
            " 'categories'",
        ),
    ),
    (
        lambda c: isinstance(c, list) and _all_have(c, "image", "annotations"),
        Foreign("CreateML's JSON, which boxloop does not read", f"{_COCO_EXPORT}, or {_CONVERT}"),
    ),
    (
        lambda c: isinstance(c, list) and _all_have(c, "name", "labels"),
        Foreign("BDD100K's (Scalabel's) JSON, which boxloop does not read", _CONVERT),
    ),
    (
        lambda c: isinstance(c, dict) and isinstance(c.get("items"), list) and "categories" in c,
        Foreign(
            "Datumaro's JSON, which boxloop does not read",
            f"{_COCO_EXPORT} ('datum convert -f coco_instances', or COCO 1.0 in CVAT)",
        ),
    ),
    (
        lambda c: (
            isinstance(c, dict)
            and (isinstance(c.get("samples"), list) or {"media_type", "sample_fields"} <= set(c))
        ),
        Foreign(
            "FiftyOne's own JSON, which boxloop does not read",
            "export the dataset as fiftyone.types.COCODetectionDataset",
        ),
    ),
    (
        lambda c: (
            isinstance(c, list | dict)
            and any({"data_row", "projects"} <= set(e) or "Labeled Data" in e for e in _row(c))
        ),
        Foreign("Labelbox's JSON, which boxloop does not read", _CONVERT),
    ),
    (
        lambda c: _all_have(_annotations(c), "segments_info"),
        Foreign(
            "COCO's panoptic JSON, which has masks and no boxes",
            "name the file of the instances (instances_*.json)",
        ),
    ),
    (
        lambda c: _all_have(_annotations(c), "caption"),
        Foreign(
            "COCO's JSON of captions, which has no boxes",
            "name the file of the instances (instances_*.json)",
        ),
    ),
)


def _row(content: Any) -> list[dict[str, Any]]:
    return _dicts(content) if isinstance(content, list) else [content]


def name_json(content: Any) -> Foreign | None:
    """Name the format of a JSON file's content; None where it is no known one, or COCO's."""
    return next((kind for is_kind, kind in _JSON_KINDS if is_kind(content)), None)


def is_coco(content: Any) -> bool:
    """Return whether a JSON file's content is COCO's, of detections."""
    lists = ("images", "annotations", "categories")
    found = isinstance(content, Mapping) and all(isinstance(content.get(k), list) for k in lists)
    return found and name_json(content) is None


# --- everything else ------------------------------------------------------------------------------

CVAT_XML = Foreign(
    "CVAT's own XML ('CVAT for images' or 'for video'), which boxloop does not read",
    "export the task again as 'COCO 1.0', 'PASCAL VOC 1.1' or 'Ultralytics YOLO Detection 1.0',"
    " with 'Save images' where the pictures are not at hand",
)
VOC_XML = Foreign(
    "a VOC annotation, one file per picture",
    "set dataset.format to voc and dataset.path to the folder that holds them and the pictures",
)
YOLO_LABELS = Foreign(
    "a label file of YOLO's, one per picture",
    "set dataset.format to yolo and dataset.path to the folder of the set",
)
_ARCHIVE = Foreign("an archive", "unpack it, and name the folder or the file in it")
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")
_BINARY = {
    ".parquet": "a Parquet table",
    ".tfrecord": "TensorFlow's records",
    ".record": "TensorFlow's records",
    ".pkl": "a Python pickle",
    ".mat": "a MATLAB file",
    ".h5": "an HDF5 file",
    ".npy": "a NumPy array",
    ".npz": "a NumPy archive",
}
_TABLES = (".csv", ".tsv", ".xlsx", ".xls", ".ods")
_ROOT_TAG = re.compile(r"<(?![?!])\s*([\w:.-]+)")
_YOLO_LINE = re.compile(r"\s*\d+(\s+[-+.\deE]+){4,}\s*$")


def _head(file: Path) -> bytes:
    """Return the first bytes of a file; none of what cannot be read, or is no regular file."""
    try:
        with open_regular(file) as opened:
            return opened.read(_HEAD)
    except OSError:
        return b""


def read_head(file: Path) -> str:
    """Return the beginning of a text file, and nothing where it cannot be read."""
    return _decode(_head(file))


def is_wide(head: bytes) -> bool:
    """Return whether a text begins as in UTF-16, of which no format is read, but is told what."""
    return head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head[:2]


def _decode(head: bytes) -> str:
    if not is_wide(head):
        return head.decode("utf-8-sig", "replace")
    big = head.startswith((b"\xfe\xff", b"\0"))
    return head.decode("utf-16-be" if big else "utf-16-le", "replace").removeprefix("\ufeff")


def name_file(file: Path) -> Foreign | None:
    """Name the format of a file that is not JSON; None where it may be JSON, or is unknown."""
    head = _head(file)
    if not head:
        return None
    suffix = file.suffix.lower()
    if head.startswith(_ARCHIVES) or head[257:262] == b"ustar":
        if suffix in _TABLES:
            return _table("a spreadsheet")
        return _ARCHIVE
    if suffix in _BINARY:
        return Foreign(f"{_BINARY[suffix]}, which boxloop does not read", _CONVERT)
    if suffix in SUFFIXES:
        return Foreign("a picture", "name the file of the annotations, or the folder")
    text = _decode(head).lstrip()
    if text.startswith("<"):
        return _name_xml(text)
    if text.startswith(("{", "[")):
        return _name_lines(text) if suffix in (".jsonl", ".ndjson", ".manifest") else None
    line = text.partition("\n")[0].strip()
    if suffix in _TABLES or (suffix != ".json" and _looks_like_table(line)):
        return _table(f"a table (CSV) that begins with '{printable(line, _LONGEST)}'")
    if suffix in (".yaml", ".yml"):
        return Foreign(
            "a YAML file, as YOLO sets have one", "set dataset.format to yolo, or name a JSON file"
        )
    if suffix == ".txt" and _YOLO_LINE.match(line):
        return YOLO_LABELS
    return None


def _table(what: str) -> Foreign:
    return Foreign(f"{what}, which boxloop does not read", _CONVERT)


def _looks_like_table(line: str) -> bool:
    columns = re.split(r"[,;\t]", line)
    return len(columns) >= 4 and not line.startswith(("#", "//"))


def _name_xml(text: str) -> Foreign:
    tags = _ROOT_TAG.findall(text)
    root = tags[0] if tags else "?"
    if root == "annotations":
        return CVAT_XML
    if root == "annotation":
        return VOC_XML
    if root.lower() == "html":
        return Foreign("a web page", "download the file itself, for which one may have to log in")
    return Foreign(
        f"XML (<{printable(root, _LONGEST)}>) of a kind that boxloop does not read", _CONVERT
    )


def _name_lines(text: str) -> Foreign:
    of = ""
    if '"data_row"' in text:
        of = " (Labelbox's)"
    elif '"source-ref"' in text:
        of = " (of SageMaker Ground Truth)"
    elif '"type": "dataset"' in text or '"type":"dataset"' in text:
        of = " (Ultralytics' NDJSON)"
    return Foreign(f"JSON Lines{of}, which boxloop does not read", _CONVERT)
