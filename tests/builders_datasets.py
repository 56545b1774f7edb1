"""Tiny datasets on disk, in the layouts that the importers read."""

import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from boxloop import datasets
from boxloop.datasets import Dataset, FaultKind
from boxloop.params import DatasetParams


def image(path: Path, width: int = 40, height: int = 30, seed: int | None = None) -> Path:
    """A noisy image, so that its bytes depend on the seed, or on the end of its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if seed is None:
        seed = zlib.crc32("/".join(path.parts[-3:]).encode("utf-8", "surrogateescape"))
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def save_with_xmp(
    path: Path, pixels: np.ndarray, orientation: int, *, compressed: bool = False, **how: object
) -> Path:
    """An image that is turned by a note in XMP; that of a PNG file may be ``compressed``."""
    note = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
        f' tiff:Orientation="{orientation}"/></rdf:RDF></x:xmpmeta>'
    )
    if path.suffix == ".png":
        how["pnginfo"] = info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", note, zip=compressed)
    elif path.suffix == ".tif":
        how["tiffinfo"] = {700: note.encode(), **dict(how.pop("exif", {}))}
    else:
        how["xmp"] = note.encode()
    Image.fromarray(pixels).save(path, **how)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def voc_object(name: object, xmin: object, ymin: object, xmax: object, ymax: object) -> str:
    return (
        f"<object><name>{name}</name><difficult>0</difficult><part><name>head</name>"
        "<bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>"
        f"<bndbox><xmax>{xmax}</xmax><xmin>{xmin}</xmin><ymax>{ymax}</ymax><ymin>{ymin}</ymin>"
        "</bndbox></object>"
    )


def voc_xml(*objects: str, size: tuple[int, int] = (40, 30), filename: str = "x.jpg") -> str:
    return (
        f"<annotation><filename>{filename}</filename><size><width>{size[0]}</width>"
        f"<height>{size[1]}</height><depth>3</depth></size>{''.join(objects)}</annotation>"
    )


def voc_item(root: Path, name: str, *objects: str, suffix: str = ".jpg") -> None:
    image(root / "JPEGImages" / f"{name}{suffix}")
    text(root / "Annotations" / f"{name}.xml", voc_xml(*objects))


def coco_content(**changes: object) -> dict[str, object]:
    """One image 'a.png' (40x30) of id 1 with a dog at (1, 2)-(11, 22)."""
    content: dict[str, object] = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 18, "bbox": [1, 2, 10, 20], "iscrowd": 0}
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
    }
    return {**content, **changes}


def coco(root: Path, **changes: object) -> Path:
    text(root / "instances.json", json.dumps(coco_content(**changes)))
    image(root / "images" / "a.png")
    return root


KITTI_CAR = "Car 0.00 0 -1.57 5.5 6.25 20 25.5 1.5 1.6 3.9 1.0 1.5 20.0 -1.5"
KITTI_DONTCARE = "DontCare -1 -1 -10 1.0 1.0 9.0 9.0 -1 -1 -1 -1000 -1000 -1000 -10"


def kitti_item(root: Path, name: str, *lines: str) -> None:
    image(root / "image_2" / f"{name}.png")
    text(root / "label_2" / f"{name}.txt", "\n".join(lines))


def load(root: Path, format_: str, **params: object) -> Dataset:
    """Loads ``root`` by the public entry."""
    given = DatasetParams.model_validate({"format": format_, "path": str(root), **params})
    return datasets.load(given, root.parent / f"{root.name}-drawn")


def kinds(dataset: Dataset) -> list[FaultKind]:
    return [fault.kind for fault in dataset.faults]


def ids(dataset: Dataset) -> list[str]:
    return [ref.id for ref in dataset.images.images]
