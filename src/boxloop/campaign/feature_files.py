"""Write and read ``features.npz``: NumPy's archive of two arrays, opened with distrust."""

from __future__ import annotations

import math
import sys
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from boxloop.campaign.schemas import name_file
from boxloop.core.names import require_ids
from boxloop.core.types import FeatureTable
from boxloop.errors import ArtifactError
from boxloop.files import BAD_ARCHIVE, FEATURES, atomic_path, explained, open_regular

_NAMES = ("image_ids", "vectors")
_AGAIN = ": run 'boxloop features' again"
_MOST_BYTES = 2**36
"""Of one array, unpacked: a million vectors of 16,384 numbers."""


def write_features(path: Path, features: FeatureTable) -> None:
    """Write ``features.npz``: ``image_ids`` (N,) strings and ``vectors`` (N, D) float32."""
    with atomic_path(path, FEATURES) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            image_ids=np.asarray(features.image_ids, dtype=np.str_),
            vectors=np.ascontiguousarray(features.vectors, dtype=np.float32),
        )


def read_features(path: Path) -> FeatureTable:
    """Read ``features.npz``.

    Raises:
        ArtifactError: it is missing, damaged, or holds something else; names the array.
    """
    try:
        with explained(path), open_regular(path) as file, zipfile.ZipFile(file) as archive:
            ids, vectors = (_read_array(archive, name) for name in _NAMES)
    except _UnusableError as error:
        raise ArtifactError(f"{path}{error}{_AGAIN}") from None
    except BAD_ARCHIVE:
        raise ArtifactError(f"{path} is not a readable .npz file{_AGAIN}") from None
    if ids.ndim != 1 or ids.dtype.kind != "U":
        raise ArtifactError(
            f"{path}: image_ids must be (N,) strings, got {ids.dtype}{ids.shape}{_AGAIN}"
        )
    # NumPy makes texts of any four bytes, and Python fails at what is no character.
    four_bytes = np.dtype("u4").newbyteorder(ids.dtype.byteorder)
    points = np.frombuffer(ids.tobytes(), four_bytes)
    if points.size and int(points.max()) > sys.maxunicode:
        raise ArtifactError(f"{path}: image_ids are no texts{_AGAIN}")
    if vectors.dtype.kind not in "fiu":
        raise ArtifactError(f"{path}: vectors must be (N, D) numbers, got {vectors.dtype}{_AGAIN}")
    with name_file(path), np.errstate(over="ignore"):
        image_ids = tuple(ids.tolist())
        if not image_ids or not vectors.size:
            raise ValueError(f"vectors {vectors.shape} are of no image, or have no number")
        require_ids(image_ids)
        return FeatureTable(image_ids, vectors.astype(np.float32, copy=False))


class _UnusableError(Exception):
    """An array of the archive cannot be read; says why, after the file's name."""


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read an array whose header tells the size that it has, and whose type is plain."""
    try:
        entry = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise _UnusableError(f" has no array {name}") from None
    if entry.flag_bits & 1:
        raise _UnusableError(f": {name} is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _UnusableError(f": {name} is packed by a method that NumPy does not use")
    with archive.open(entry) as content:
        shape, dtype = _read_header(content)
        whole = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or entry.file_size != content.tell() + whole or whole > _MOST_BYTES:
            raise _UnusableError(f": {name} is not the array that its header tells")
    with archive.open(entry) as content:
        array: NDArray[Any] = npy.read_array(content, allow_pickle=False)
    return array


def _read_header(content: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    readers: dict[tuple[int, int], Any] = {
        (1, 0): npy.read_array_header_1_0,
        (2, 0): npy.read_array_header_2_0,
    }
    version = npy.read_magic(content)
    if version not in readers:
        raise ValueError(f"version {version}")
    shape, _, dtype = readers[version](content)
    if any(not isinstance(side, int) or isinstance(side, bool) or side < 0 for side in shape):
        raise ValueError(f"shape {shape}")
    return shape, dtype
