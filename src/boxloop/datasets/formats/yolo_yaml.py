"""What data.yaml says of the classes and the boxes of a YOLO set."""

from __future__ import annotations

import re
from pathlib import Path

from boxloop.datasets.exif import RAW, UPRIGHT
from boxloop.datasets.flat_yaml import FlatYaml
from boxloop.datasets.yolo_names import YAML_SUFFIXES
from boxloop.errors import DatasetError

_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")


def read_names(content: FlatYaml) -> dict[int, str]:
    """Return the classes by number.

    Raises:
        DatasetError: there are none, or they are not numbered.
    """
    pairs = content.pairs("names")
    if not pairs:
        raise DatasetError(f"{content.file} needs 'names', a list of the classes")
    names = {
        int(key): name.strip() for key, name in pairs.items() if name and _NUMBER.fullmatch(key)
    }
    if len(names) < len(pairs) or not all(names.values()):
        raise DatasetError(f"{content.file}: 'names' must map numbers to names")
    return dict(sorted(names.items()))


def read_keypoints(content: FlatYaml) -> int:
    """Return how many numbers follow the four of a box, of poses.

    Raises:
        DatasetError: ``kpt_shape`` is none.
    """
    if content.is_empty("kpt_shape"):
        return 0
    values = content.items("kpt_shape") or []
    if len(values) != 2 or not all(map(_NUMBER.fullmatch, values)) or values[1] not in ("2", "3"):
        raise DatasetError(
            f"{content.file}: kpt_shape must be [keypoints, 2 or 3], the numbers that each box has"
            " behind its four"
        )
    return int(values[0]) * int(values[1])


def keypoints_of(file: Path | None) -> int:
    """Return the numbers behind each box of a pose, where a file may say it."""
    if file is None or file.suffix.lower() not in YAML_SUFFIXES:
        return 0
    return read_keypoints(FlatYaml(file))


def read_exif(content: FlatYaml) -> str | None:
    """Return for which pixels the boxes of turned photos are, as an export of boxloop says it."""
    said = content.text("exif")
    return said if said in (RAW, UPRIGHT) else None
