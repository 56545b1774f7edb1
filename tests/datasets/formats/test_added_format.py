"""A format from outside the package: one file, one registration, read and exported."""

import json

import pytest

from boxloop import datasets
from boxloop.campaign import artifacts
from boxloop.campaign.export import export
from boxloop.campaign.paths import CampaignPaths
from boxloop.datasets import FaultKind
from boxloop.datasets.format_protocol import writable_formats
from boxloop.errors import DatasetError, ParamsError
from boxloop.params import DatasetParams
from boxloop.params.registry import FORMATS
from builders_campaign import build_campaign, small_params
from builders_datasets import image, kinds, text

SOURCE = '''
"""A table: file, class, x1, y1, x2, y2."""

from boxloop.datasets.annotations import AnnotatedBox, Annotation, to_float
from boxloop.datasets.cleaning import build_dataset, probe_refs
from boxloop.datasets.faults import FaultLog
from boxloop.datasets.file_listing import ids_of, list_images, read_text

KEYS = ("split",)
IMAGES = "pictures"


def load(params, root, progress=None):
    file, log = root / f"{params.split or 'boxes'}.csv", FaultLog()
    paths = list_images(root / IMAGES)
    boxes = {path.as_posix(): [] for path in paths}
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        name, label, *corners = line.split(",")
        corners = tuple(to_float(corner) for corner in corners)
        boxes[name].append(AnnotatedBox(label, corners, f"line {number}", line))
    ids = ids_of(paths)
    refs = probe_refs([(i, root / IMAGES / p) for i, p in zip(ids, paths)], log, progress)
    found = {i: Annotation(file, boxes[p.as_posix()]) for i, p in zip(ids, paths)}
    classes = sorted({box.label for rows in boxes.values() for box in rows})
    return build_dataset(params, refs, found, classes, log)


def write(folder, content):
    lines = [
        ",".join([str(content.names[i]), label, *map(str, xyxy)])
        for i, b in content.boxes.items()
        for label, xyxy in zip(b.labels.tolist(), b.xyxy.tolist())
    ]
    (folder / "boxes.csv").write_text("\\n".join(lines))
'''


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Registers the format 'table', and the format 'bare', which cannot be written."""
    text(tmp_path / "code" / "outside_table.py", SOURCE)
    text(tmp_path / "code" / "outside_bare.py", SOURCE.partition("def write")[0])
    monkeypatch.syspath_prepend(tmp_path / "code")
    FORMATS.register("table", "outside_table")
    FORMATS.register("bare", "outside_bare")
    yield
    FORMATS.unregister("table")
    FORMATS.unregister("bare")


def load(root, **keys):
    params = DatasetParams.model_validate({"format": "table", "path": str(root), **keys})
    return datasets.load(params, root.parent / "drawn")


def test_it_is_read_and_cleaned(tmp_path, table):
    root = tmp_path / "set"
    image(root / "pictures" / "a.png", 40, 30)
    image(root / "pictures" / "b.png", 40, 30)
    text(root / "boxes.csv", "a.png,dog,1,2,11,12\na.png,cat,5,5,5,9\na.png,cat,30,5,60,9")
    found = load(root)
    assert found.images.classes == ("cat", "dog")
    assert found.truth["a"].xyxy.tolist() == [[1, 2, 11, 12], [30, 5, 40, 9]]
    assert len(found.truth["b"]) == 0
    assert kinds(found) == [FaultKind.ZERO_SIZE_BOX, FaultKind.BOX_CLIPPED]
    text(root / "train.csv", "b.png,dog,1,2,11,12")
    assert [len(boxes) for boxes in load(root, split="train").truth.values()] == [0, 1]
    with pytest.raises(DatasetError, match=r"dataset\.images means nothing to format 'table'"):
        load(root, images="x")


def test_the_labels_of_a_campaign_are_exported_to_it(tmp_path, table):
    root = tmp_path / "campaign"
    root.mkdir()
    params = small_params(3)
    build_campaign(root, params, done=2)
    (root / "params.yaml").write_text(json.dumps(params.model_dump(mode="json")))
    paths = CampaignPaths(root)
    said = export(paths, params, tmp_path / "out", format_="table", images="copy")
    assert "4 images" in said
    assert "(table)" in said
    labeled = artifacts.read_labeled(paths.labeled("b01"))
    found = load(tmp_path / "out")
    assert found.faults == ()
    assert set(found.truth) == set(labeled.boxes)
    for image_id, boxes in labeled.boxes.items():
        assert found.truth[image_id].xyxy.tolist() == boxes.xyxy.tolist()
        assert found.truth[image_id].labels.tolist() == boxes.labels.tolist()
    message = "--format must be one of coco, fiftyone, table, voc, yolo, got 'bare'"
    with pytest.raises(ParamsError, match=message):
        export(paths, params, tmp_path / "out", format_="bare")
    with pytest.raises(ParamsError, match="--proposals needs --format coco"):
        export(paths, params, tmp_path / "out", format_="table", proposals="b02")


def test_the_formats_of_the_package_that_can_be_written():
    assert list(writable_formats()) == ["coco", "voc", "yolo"]
