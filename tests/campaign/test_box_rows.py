import json
from pathlib import Path

import pytest

from boxloop.campaign import artifacts
from boxloop.campaign.box_rows import boxes_of_rows
from boxloop.campaign.schemas import LabeledFile, boxes_in, check

ROW = {"id": "t0", "label": "dog", "xyxy": [0, 0.1, 2, 3e2]}
OTHER = {**ROW, "id": "t1"}


def test_rows_that_are_right_give_what_the_careful_reading_gives():
    table = {"a": [ROW, OTHER], "b": [], "c": [ROW]}
    content = {"classes": [], "batches": [], "boxes": table}
    careful = check(Path("x"), content, LabeledFile).boxes
    assert boxes_of_rows(table) == boxes_in(Path("x"), careful)
    assert list(boxes_of_rows(table)) == ["a", "b", "c"]


def test_scored_rows_have_scores():
    found = boxes_of_rows({"a": [{**ROW, "score": 1}, {**OTHER, "score": 0.25}]}, scored=True)
    assert found["a"].scores.tolist() == [1, 0.25]


@pytest.mark.parametrize(
    "table",
    [
        None,
        [],
        {"a": None},
        {"a": {"id": 1}},
        {"a": [None]},
        {"a": ["odd"]},
        {"a": [{}]},
        {"a": [{**ROW, "odd": 1}]},
        {"a": [{"id": "t0", "label": "dog", "odd": 1}]},
        {"a": [{**ROW, "id": 1}]},
        {"a": [{**ROW, "label": None}]},
        {"a": [{**ROW, "xyxy": 1}]},
        {"a": [{**ROW, "xyxy": "0123"}]},
        {"a": [{**ROW, "xyxy": [0, 0, 1]}]},
        {"a": [{**ROW, "xyxy": [0, 0, 1]}, {**OTHER, "xyxy": [0, 0, 1, 2, 3]}]},
        {"a": [{**ROW, "xyxy": [0, 0, True, 2]}]},
        {"a": [{**ROW, "xyxy": [0, 0, 10**400, 2]}]},
        {"a": [{**ROW, "xyxy": [0, 0, 0, 2]}]},
        {"a": [ROW, ROW]},
    ],
)
def test_what_is_not_right_is_left_to_the_careful_reading(table):
    with pytest.raises(ValueError, match=r"."):
        boxes_of_rows(table)


def test_the_file_of_a_dataset_is_read_at_once(tmp_path, monkeypatch):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"format": "boxloop/truth@1", "boxes": {"a": [ROW, OTHER]}}))
    expected = boxes_of_rows({"a": [ROW, OTHER]})
    monkeypatch.delattr(artifacts, "check")  # the careful reading
    assert artifacts.read_truth(path) == expected
