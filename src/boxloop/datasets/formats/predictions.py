"""A model's boxes on any number of images, as files for other programs.

They are written image by image from a stream that can be read more than once, so that a folder of
100,000 images needs no more memory than one of ten.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

from boxloop.core.types import Boxes, ImageRef
from boxloop.datasets.format_protocol import ExportContent
from boxloop.datasets.formats import voc

FORMATS = ("coco", "yolo", "voc")
"""Formats by name; the first is one file, the others are folders."""


@dataclass(frozen=True)
class Prediction:
    """What was found on one image.

    Attributes:
        name: of its file, below the folder of images; POSIX.
        width: pixels, after EXIF rotation; 0 where it could not be read.
        height: pixels.
        boxes: scored, the highest first.
        fault: why the image was skipped; None where it was not.
        file: bytes of the file and when they were written (ns), by which another one is told;
            empty where there is none, None where nobody looked.
    """

    name: str
    width: int = 0
    height: int = 0
    boxes: Boxes = field(default_factory=lambda: Boxes.empty(scored=True))
    fault: str | None = None
    file: tuple[int, ...] | None = None

    def to_line(self) -> str:
        """Return it as one line of JSON."""
        content: dict[str, Any] = {"image": self.name}
        if self.file is not None:
            content["file"] = self.file
        if self.fault is not None:
            return json.dumps({**content, "fault": self.fault}, ensure_ascii=False)
        assert self.boxes.scores is not None
        columns = (self.boxes.labels, self.boxes.scores, self.boxes.xyxy)
        rows = list(zip(*(column.tolist() for column in columns), strict=True))
        content |= {"size": [self.width, self.height], "boxes": rows}
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def of_line(cls, line: str) -> Prediction:
        """Read a line that :meth:`to_line` wrote.

        Raises:
            ValueError: it is cut short or is something else.
        """
        try:
            content = json.loads(line)
            file = tuple(content["file"]) if "file" in content else None
            if "fault" in content:
                return cls(content["image"], fault=content["fault"], file=file)
            rows = content["boxes"]
            boxes = Boxes.build(
                [row[2] for row in rows],
                [row[0] for row in rows],
                [row[1] for row in rows],
                prefix="p",
            )
            width, height = content["size"]
            return cls(content["image"], width, height, boxes, file=file)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"no prediction: {error}") from None


_END = ',\n"sha256": "{}"}}\n'
_AT_ONCE = 1 << 20

Stream = Callable[[], Iterable[Prediction]]
"""Reads all predictions once more."""


def write_coco(path: Path, stream: Stream, classes: Sequence[str], about: str) -> None:
    """Write one JSON file: images, categories, and scored annotations.

    ``annotations`` alone is a COCO results list, as pycocotools' ``loadRes`` takes it; ``skipped``
    lists the images that could not be read, and ``sha256`` is of all that stands before it, by
    which :func:`is_as_written` tells whether somebody changed the file.
    """
    categories = {name: number for number, name in enumerate(classes, start=1)}
    rows = [{"id": number, "name": name} for name, number in categories.items()]
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"info": {json.dumps({"description": about}, ensure_ascii=False)},\n')
        file.write(f'"categories": {json.dumps(rows, ensure_ascii=False)},\n')
        _write_list(file, "images", _coco_images(stream))
        file.write(",\n")
        _write_list(file, "annotations", _coco_annotations(stream, categories))
        file.write(",\n")
        faults = ({"file_name": p.name, "reason": p.fault} for p in stream() if p.fault is not None)
        _write_list(file, "skipped", faults)
        file.flush()
        file.write(_END.format(_digest(path)))


def is_as_written(path: Path) -> bool:
    """Return whether a JSON file is as :func:`write_coco` wrote it.

    Raises:
        OSError: it cannot be read.
    """
    written = path.stat().st_size - len(_END.format("0" * 64))
    if written <= 0:
        return False
    with path.open("rb") as file:
        file.seek(written)
        end = file.read()
    return end == _END.format(_digest(path, written)).encode()


def _digest(path: Path, size: int | None = None) -> str:
    """Return the SHA-256 of a file's first bytes, or of all."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        left = path.stat().st_size if size is None else size
        while left and (some := file.read(min(left, _AT_ONCE))):
            found.update(some)
            left -= len(some)
    return found.hexdigest()


def write_yolo(folder: Path, stream: Stream, classes: Sequence[str], about: str) -> None:
    """Write ``labels/NAME.txt`` by image: class, centre, size (all in [0, 1]) and score.

    ``classes.txt`` has the classes' names, a line each, counted from 0.
    """
    (folder / "labels").mkdir()
    name_of = _naming(stream)
    numbers = {name: i for i, name in enumerate(classes)}
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
    _write_about(folder, about, stream)
    for item in _readable(stream):
        lines = []
        for label, score, (x1, y1, x2, y2) in _rows(item.boxes):
            w, h = item.width, item.height
            values = ((x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h)
            place = " ".join(f"{value:.8g}" for value in values)
            lines.append(f"{numbers[label]} {place} {score:.5g}\n")
        path = folder / "labels" / f"{name_of(item.name)}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")


def write_voc(folder: Path, stream: Stream, classes: Sequence[str], about: str) -> None:
    """Write ``Annotations/NAME.xml`` by image, and a list of the images.

    The format has no place for scores.
    """
    _write_about(folder, about, stream)
    for name in ("Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    name_of = _naming(stream)
    for item in _readable(stream):
        image = ImageRef(name_of(item.name), item.name, item.width, item.height, "")
        names, boxes = {image.id: PurePosixPath(item.name)}, {image.id: item.boxes}
        voc.write(folder, ExportContent(tuple(classes), (image,), names, boxes, about))
    with (folder / "ImageSets" / "Main" / "trainval.txt").open("w", encoding="utf-8") as file:
        file.writelines(f"{name_of(item.name)}\n" for item in _readable(stream))


def _naming(stream: Stream) -> Callable[[str], str]:
    """Return what names the files of an image: without its ending, where that tells it apart."""
    names = {item.name for item in stream()}
    count = Counter(map(_bare, names))

    def name(image: str) -> str:
        bare = _bare(image)
        return image if count[bare] > 1 or bare in names else bare

    return name


def _bare(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _readable(stream: Stream) -> Iterator[Prediction]:
    return (item for item in stream() if item.fault is None)


def _rows(boxes: Boxes) -> Iterator[tuple[str, float, list[float]]]:
    assert boxes.scores is not None
    return zip(boxes.labels.tolist(), boxes.scores.tolist(), boxes.xyxy.tolist(), strict=True)


def _coco_images(stream: Stream) -> Iterator[dict[str, Any]]:
    for number, item in enumerate(_readable(stream), start=1):
        size = {"width": item.width, "height": item.height}
        yield {"id": number, "file_name": item.name, **size}


def _coco_annotations(stream: Stream, categories: dict[str, int]) -> Iterator[dict[str, Any]]:
    count = 0
    for number, item in enumerate(_readable(stream), start=1):
        for label, score, (x1, y1, x2, y2) in _rows(item.boxes):
            count += 1
            yield {
                "id": count,
                "image_id": number,
                "category_id": categories[label],
                "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
                "area": round((x2 - x1) * (y2 - y1), 2),
                "iscrowd": 0,
                "score": score,
            }


def _write_list(file: TextIO, key: str, rows: Iterable[Any]) -> None:
    file.write(f'"{key}": [')
    for number, row in enumerate(rows):
        file.write(f"{',' if number else ''}\n{json.dumps(row, ensure_ascii=False)}")
    file.write("]")


def _write_about(folder: Path, about: str, stream: Stream) -> None:
    with (folder / "README.txt").open("w", encoding="utf-8") as file:
        file.write(f"{about}\n")
        file.writelines(
            f"skipped {item.name}: {item.fault}\n" for item in stream() if item.fault is not None
        )
