"""Write and read labeled sets: Parquet files, each of which names the one before it.

A turn's file holds the labels of its own batch, so that a campaign writes each box once. The
digest of the file before it is among its bytes: a change of any earlier batch changes all later
files, which is what DVC and the checkpoints' ``labeled_digest`` go by.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from boxloop.campaign.schemas import LabeledFile, check_content
from boxloop.core.box_columns import split_boxes
from boxloop.core.names import require_ids
from boxloop.core.types import Boxes, LabeledSet
from boxloop.errors import ArtifactError
from boxloop.files import atomic_path, file_digest, open_regular, parse_json, read_bytes

_KIND = "boxloop/labeled"
_FORMAT = f"{_KIND}@2"
_KEY = b"boxloop"
_OPTIONS = {
    "compression": "zstd",
    "use_dictionary": ["image", "label"],
    "write_page_checksum": True,
    # Nobody needs these here, and they are not small.
    "write_statistics": False,
    "store_schema": False,
}
_CHECKED = {"page_checksum_verification": True}
_START = 200  # bytes, among which a JSON file names its format
_EDGES = ("x1", "y1", "x2", "y2")
_COLUMNS = ("image", "label", *_EDGES)


def write_labeled(path: Path, labeled: LabeledSet, previous: Path | None = None) -> None:
    """Write one file of ``labeled/``.

    Boxes are numbered anew: t0, t1, ... in each image. The same labels give the same bytes.

    Args:
        path: the file to write or replace.
        labeled: what it holds itself.
        previous: the file whose labels come before these, if there is one.

    Raises:
        UserError: the file cannot be written.
        ArtifactError: it exists and is no labeled set, or ``previous`` cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata: dict[str, Any] = {"format": _FORMAT, "classes": labeled.classes}
    metadata["batches"] = labeled.batches
    if labeled.incomplete:
        metadata["incomplete"] = labeled.incomplete
    if previous is not None:
        metadata["previous"] = Path(os.path.relpath(previous, path.parent)).as_posix()
        metadata["previous_sha256"] = file_digest(previous)
    image_ids, edges, labels = [], [np.empty((0, 4))], list[str | None]()
    for image_id, boxes in labeled.boxes.items():
        # An image without a box is a row without one.
        image_ids += [image_id] * max(len(boxes), 1)
        edges.append(boxes.xyxy if len(boxes) else np.full((1, 4), np.nan))
        labels += boxes.labels.tolist() or [None]
    columns = [pa.array(image_ids, pa.string()), pa.array(labels, pa.string())]
    for column in np.concatenate(edges).T:
        columns.append(pa.array(column, pa.float64(), from_pandas=True))  # NaN becomes null
    table = pa.table(dict(zip(_COLUMNS, columns, strict=True)))
    with (
        atomic_path(path, _KIND) as temporary,
        pq.ParquetWriter(temporary, table.schema, **_OPTIONS) as writer,
    ):
        writer.write_table(table)
        # Under one key: the order of several would depend on the machine.
        writer.add_key_value_metadata({_KEY: json.dumps(metadata, ensure_ascii=False)})


def read_labeled(path: Path) -> LabeledSet:
    """Read a file of ``labeled/`` with all that come before it.

    Raises:
        ArtifactError: one of them is missing, was changed or is damaged; says how to get it back.
    """
    parts: list[Mapping[str, Boxes]] = []
    batches: list[str] = []
    classes: tuple[str, ...] = ()
    incomplete: dict[str, tuple[str, ...]] = {}
    for place, link, file in _chain(path, whole=True):
        if parts and link.classes != classes:
            raise ArtifactError(
                f"{place} is for the classes {', '.join(link.classes)}, but {path}, which continues"
                f" it, for {', '.join(classes)}: 'dvc repro' makes both anew"
            )
        classes = link.classes
        parts.append(_boxes_of(place, link, file))
        _check_incomplete(place, link, parts[-1])
        incomplete = {**link.incomplete, **incomplete}
        batches = [*link.batches, *batches]
    boxes: dict[str, Boxes] = {}
    for part in reversed(parts):
        twice = next((image_id for image_id in part if image_id in boxes), None)
        if twice is not None:
            raise ArtifactError(
                f"{path} holds image {twice} twice, in two batches: 'dvc repro' merges them anew"
            )
        boxes.update(part)
    return LabeledSet(classes, tuple(batches), boxes, incomplete)


def labeled_batches(path: Path) -> tuple[str, ...]:
    """Return the batches that a file of ``labeled/`` is made of, the oldest first.

    Reads the ends of the files alone, and does not look whether they were changed.

    Raises:
        ArtifactError: one of them is missing or is no labeled set.
    """
    links = [link for _, link, _ in _chain(path, whole=False)]
    return tuple(batch for link in reversed(links) for batch in link.batches)


def labeled_classes(path: Path) -> tuple[str, ...]:
    """Return the classes that a file of ``labeled/`` is for, by its end alone.

    Raises:
        ArtifactError: it is missing or is no labeled set.
    """
    return next(_chain(path, whole=False))[1].classes


def outdated(path: Path) -> tuple[Path, Path] | None:
    """Return the oldest file of a chain that is older than the one before it, and that one.

    None where each was made from the one that is there. Reads the files' ends, and their digests.

    Raises:
        ArtifactError: one of them is missing or is no labeled set.
    """
    found = None
    for place, link, _ in _chain(path, whole=False):
        before = place.parent / (link.previous or "")
        if link.previous is not None and before.is_file():
            found = (place, before) if file_digest(before) != link.previous_sha256 else found
    return found


def own_images(path: Path) -> tuple[str, ...]:
    """Return the images that a file of ``labeled/`` holds itself: those of its own batch.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    return tuple(own_boxes(path))


def own_boxes(path: Path) -> dict[str, Boxes]:
    """Return the boxes of these images, as :func:`own_images` does."""
    place, link, file = next(_chain(path, whole=True))
    return _boxes_of(place, link, file)


def _chain(path: Path, *, whole: bool) -> Iterator[tuple[Path, LabeledFile, Any]]:
    """Open a file and all before it, the newest first; where ``whole``, check their digests."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    place, wanted, by = path, None, path
    while True:
        try:
            if whole:
                content = read_bytes(place)
                if wanted not in (None, hashlib.sha256(content).hexdigest()):
                    raise _changed(place, by, content)
                _refuse_old(place, content[:_START])
                source: Any = pa.BufferReader(content)
            else:
                with open_regular(place) as file:
                    _refuse_old(place, file.read(_START))
                source = str(place)
            opened = pq.ParquetFile(source, read_dictionary=["image", "label"], **_CHECKED)
        except FileNotFoundError:
            if place == path:
                raise ArtifactError(
                    f"{path} does not exist: run the stage that makes it first"
                ) from None
            raise ArtifactError(
                f"{place} does not exist, but {by} was made from it{_restore(place)}"
            ) from None
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(place, error) from None
        except KeyError:
            raise _without_columns(place) from None
        with opened:
            link = _link(place, opened.metadata.metadata or {})
            yield place, link, opened
        if link.previous is None:
            return
        place, wanted, by = place.parent / link.previous, link.previous_sha256, place


def _restore(path: Path) -> str:
    return f": 'dvc checkout --force {path}' brings it back"


def _changed(path: Path, by: Path, content: bytes) -> ArtifactError:
    """Say that a file is not the one that the next was made from, and what helps."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    said = f"{path} is not the file that {by} was made from"
    try:
        with pq.ParquetFile(pa.BufferReader(content), **_CHECKED) as opened:
            _boxes_of(path, _link(path, opened.metadata.metadata or {}), opened)
    except (ArtifactError, pa.ArrowException, OSError, ValueError, KeyError):
        return ArtifactError(f"{said}{_restore(path)}")
    # A labeled set: as a rule of what was reviewed again since, where DVC has no other.
    return ArtifactError(
        f"{said}: 'dvc repro' makes {by} anew, or, where nothing of the former was submitted again,"
        f" 'dvc checkout --force {path}' brings it back"
    )


def _unreadable(path: Path, error: Exception) -> ArtifactError:
    # Of the system's errors some have a name, such as that of a file that nobody may read.
    why = getattr(error, "strerror", None)
    reason = f": {why}" if why else ""
    return ArtifactError(f"{path} is not a readable Parquet file{reason}{_restore(path)}")


def _without_columns(path: Path) -> ArtifactError:
    return ArtifactError(f"{path} has not the columns {', '.join(_COLUMNS)} of a labeled set")


def _refuse_old(path: Path, start: bytes) -> None:
    if b"boxloop/labeled@1" in start:
        raise ArtifactError(
            f"{path} is JSON, as boxloop 0.1 wrote labeled sets: 'dvc repro' makes a Parquet file"
            " of the same labels"
        )


def _link(path: Path, metadata: Mapping[bytes, bytes]) -> LabeledFile:
    """Return what the metadata of a file say."""
    try:
        content = parse_json(metadata.get(_KEY, b"{}"))
        present = content.pop("format", None) if isinstance(content, dict) else None
        if present != _FORMAT:
            what = f"of format {present}" if isinstance(present, str) else "another kind of table"
            raise ArtifactError(f"{path} is {what}, where one of format {_FORMAT} is needed")
        return check_content(path, content, LabeledFile)
    except ValueError:
        raise ArtifactError(
            f"{path}: its metadata do not tell classes, batches and the file before it: 'dvc repro'"
            " makes it anew"
        ) from None


def _check_incomplete(path: Path, link: LabeledFile, boxes: Mapping[str, Boxes]) -> None:
    for image_id, classes in link.incomplete.items():
        odd = next((name for name in classes if name not in link.classes), None)
        if image_id not in boxes or odd is not None or not classes:
            what = f"image {image_id}" if image_id not in boxes else f"class '{odd}'"
            raise ArtifactError(
                f"{path}: its metadata call {what} incomplete, which it does not hold: 'dvc repro'"
                " makes it anew"
            )


def _boxes_of(path: Path, link: LabeledFile, opened: Any) -> dict[str, Boxes]:
    """Return the boxes that a file holds itself."""
    import pyarrow as pa

    try:
        table = opened.read(columns=list(_COLUMNS), use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    try:
        image, label = (_dictionary(table[name]) for name in ("image", "label"))
        edges = [table[name].cast(pa.float64()) for name in _EDGES]
    except (pa.ArrowException, KeyError):
        raise _without_columns(path) from None
    except UnicodeDecodeError as error:
        raise _unreadable(path, error) from None
    if not len(table):
        return {}
    bare = np.asarray(table["label"].is_null())
    if table["image"].null_count or any(
        not np.array_equal(np.asarray(column.is_null()), bare) for column in edges
    ):
        raise ArtifactError(f"{path}: a row needs an image, and all of label and edges, or none")
    rows, image_ids = image
    begins = np.flatnonzero(np.diff(rows, prepend=-1))
    counts = np.diff(begins, append=len(rows))
    groups = [image_ids[row] for row in rows[begins].tolist()]
    beside = bare & (np.repeat(counts, counts) > 1)
    if len(set(groups)) < len(groups) or beside.any():
        raise ArtifactError(
            f"{path}: the rows of an image must be together, and a single one if it has no box"
        )
    numbers, names = label
    present = ~bare
    odd = next((name for name in names if name is not None and name not in link.classes), None)
    if odd is not None:
        raise ArtifactError(
            f"{path} carries the label '{odd}', which is not among its classes:"
            f" {', '.join(link.classes)}"
        )
    try:
        require_ids(groups)
        return split_boxes(
            groups,
            np.where(bare[begins], 0, counts).tolist(),
            np.stack([column.to_numpy() for column in edges], axis=1)[present],
            np.array(names or [""], np.str_)[numbers[present]],
        )
    except ValueError as error:
        raise ArtifactError(f"{path}, {error}") from None


def _dictionary(column: Any) -> tuple[Any, list[str]]:
    """Return (n,) indices, -1 where nothing is, and the strings that they point to."""
    import pyarrow as pa

    encoded = column.combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # of a table without rows
        encoded = pa.concat_arrays(encoded.chunks) if encoded.num_chunks else None
    if encoded is None:
        return np.empty(0, np.int64), []
    if not isinstance(encoded, pa.DictionaryArray):
        encoded = encoded.cast(pa.string()).dictionary_encode()
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return indices.astype(np.int64), encoded.dictionary.cast(pa.string()).to_pylist()
