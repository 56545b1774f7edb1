import json

import pytest

from boxloop.datasets.coco_json import read_content
from boxloop.errors import DatasetError

_SHAPES = {"shapes": [{"label": "cat", "points": [[1, 2], [3, 4]]}], "imagePath": "a.jpg"}
_TASK = {"id": 1, "data": {"image": "/a.jpg"}, "annotations": [{"result": []}]}
_MIN = {"id": 1, "image": "/a.jpg", "annotation_id": 3, "annotator": 1, "lead_time": 2.5}
_SUPERVISELY = {"description": "", "size": {"height": 3, "width": 4}, "objects": [], "tags": []}
_FIFTYONE = {"media_type": "image", "sample_fields": [], "tags": [], "classes": {"labels": ["a"]}}
_COCO = {"images": [], "annotations": [{"image_id": 1, "caption": "x"}], "categories": []}


@pytest.mark.parametrize(
    ("content", "name", "way"),
    [
        (_SHAPES, "LabelMe", "labelme2coco FOLDER"),
        ([_TASK], "Label Studio's own JSON", "as 'COCO'"),
        (_TASK, "Label Studio's own JSON", "as 'COCO'"),
        ([_MIN], "Label Studio's own JSON", "as 'COCO'"),
        (_SUPERVISELY, "Supervisely", "'Export to COCO'"),
        ({"classes": [], "tags": [], "projectType": "images"}, "Supervisely", "'Export to COCO'"),
        ({"classes": [{"title": "cat"}], "tags": []}, "Supervisely", "'Export to COCO'"),
        ({"a.jpg1": {"filename": "a.jpg", "regions": []}}, "VGG Image Annotator", "COCO format"),
        ({"_via_settings": {}, "_via_img_metadata": {}}, "VGG Image Annotator", "COCO format"),
        ([{"image_id": 1, "category_id": 1, "bbox": [], "score": 1}], "format of results", "name"),
        ([{"image": "a.jpg", "annotations": []}], "CreateML", "export it again as COCO"),
        ([{"name": "a.jpg", "labels": []}], "BDD100K", "docs/datasets.md"),
        ({"categories": {"label": {}}, "items": []}, "Datumaro", "coco_instances"),
        ({"samples": [{"filepath": "a.jpg"}]}, "FiftyOne's own JSON", "COCODetectionDataset"),
        (_FIFTYONE, "FiftyOne's own JSON", "COCODetectionDataset"),
        ([{"data_row": {}, "projects": {}}], "Labelbox", "docs/datasets.md"),
        (_COCO, "captions", "instances_"),
        ({**_COCO, "annotations": [{"segments_info": []}]}, "panoptic", "instances_"),
    ],
)
def test_json_of_other_formats_is_named_with_the_way_out(tmp_path, content, name, way):
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetError) as caught:
        read_content(file)
    assert str(caught.value).startswith(f"{file} is ")
    assert name in str(caught.value)
    assert way in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("a.xml", b"<?xml version='1.0'?>\n<annotations><image id='0'/>", "CVAT's own XML"),
        ("a.json", b"\xef\xbb\xbf <!-- x --><annotations>", "CVAT's own XML"),
        ("a.xml", b"<annotation><object/></annotation>", "dataset.format to voc"),
        ("a.xml", b"<opencv_storage>", "<opencv_storage>"),
        ("a.json", b"<!DOCTYPE html><html>", "a web page"),
        ("a.csv", b"filename,width\na.jpg,3\n", "a table .CSV. that begins with 'filename,width'"),
        ("a.txt", b"image;label;x;y\n", "a table"),
        ("a.xlsx", b"PK\x03\x04...", "a spreadsheet"),
        ("a.zip", b"PK\x03\x04...", "an archive: unpack it"),
        ("a.json", b"\x1f\x8b\x08", "an archive: unpack it"),
        ("a.tar", b"a.json" + bytes(251) + b"ustar\x00", "an archive: unpack it"),
        ("a.parquet", b"PAR1", "a Parquet table"),
        ("a.jpg", b"\xff\xd8\xff", "a picture: name the file of the annotations"),
        ("a.ndjson", b'{"type": "dataset"}\n{"type": "image"}', "Ultralytics' NDJSON"),
        ("a.jsonl", b'{"data_row": {}}', "JSON Lines .Labelbox's."),
        ("data.yaml", b"names: [a]\n", "dataset.format to yolo"),
        ("a.txt", b"0 0.5 0.5 0.25 1e-1\n", "dataset.format to yolo"),
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"", "not valid JSON"),
    ],
)
def test_files_that_are_not_json_are_named(tmp_path, file, content, words):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DatasetError, match=words) as caught:
        read_content(tmp_path / file)
    assert str(caught.value).startswith(str(tmp_path / file))
    assert "\n" not in str(caught.value)


def test_a_folder_or_nothing_instead_of_a_file(tmp_path):
    with pytest.raises(DatasetError, match="is a folder, not a file"):
        read_content(tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        read_content(tmp_path / "a.json")


def test_cocos_own_files_are_taken(tmp_path):
    content = {"images": [{"id": 1}], "annotations": [{"id": 1, "bbox": []}], "categories": [1]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert read_content(tmp_path / "a.json") == {**content, "info": None}
