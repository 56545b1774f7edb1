"""Rows that are checked together are what the model of one row makes of them."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from boxloop.campaign import box_rows
from boxloop.campaign.box_rows import BoxRows, BoxTable, boxes_in, boxes_out
from boxloop.errors import ArtifactError
from boxloop.files import read_json
from builders import any_boxes

TABLE = TypeAdapter(BoxTable)
ROW = {"id": "t0", "label": "cat", "xyxy": [0, 0.5, 5, 5]}

odd = st.sampled_from([None, True, "3", 1.5, 2, -1, 10**400, float("nan"), [], {}, [1, 2, 3]])
value = st.one_of(odd, st.just([0, 0, 1.5, 2]), st.lists(odd, min_size=4, max_size=4), st.just("x"))
row = st.dictionaries(st.sampled_from(["id", "label", "xyxy", "score", "more"]), value)
good = st.fixed_dictionaries(
    {"id": st.just("t0"), "label": st.just("x"), "xyxy": st.just([0, 0, 1.5, 2])},
    optional={"score": st.sampled_from([0, 1, 0.5])},
)
tables = st.one_of(
    odd, st.dictionaries(st.sampled_from("ab"), st.one_of(odd, st.lists(st.one_of(good, row))))
)


def checked(content):
    try:
        return TABLE.validate_python(content)
    except ValidationError as error:
        return str(error)


@settings(max_examples=300, deadline=None)
@given(tables)
def test_any_content_is_taken_or_refused_as_row_by_row(content):
    at_once = checked(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(box_rows, "_usual_rows", lambda table: None)
        one_by_one = checked(content)
    if isinstance(at_once, str):
        assert at_once == one_by_one
        return
    assert isinstance(one_by_one, BoxRows)
    for name, column in vars(one_by_one).items():
        mine = vars(at_once)[name]
        assert [tuple(x) if name == "xyxy" else x for x in mine] == column


def test_what_boxloop_writes_is_checked_at_once():
    for table in ({}, {"a": []}, {"a": [ROW], "b": []}, {"a": [{**ROW, "score": 0}]}):
        assert box_rows._usual_rows(table) is not None
    assert box_rows._usual_rows({"a": [ROW, {**ROW, "score": 0.5}]}) is None


@pytest.mark.parametrize("scored", [False, True])
def test_boxes_go_through_a_file(tmp_path, scored):
    @settings(max_examples=40, deadline=None)
    @given(st.lists(any_boxes(scored=scored), max_size=4))
    def check(many):
        known = {f"i{n}": boxes for n, boxes in enumerate(many)}
        read = TABLE.validate_python(json.loads(json.dumps(dict(boxes_out(known)))))
        assert boxes_in(tmp_path / "x.json", read, scored=scored) == known

    check()


def test_a_score_too_many_or_too_few_names_its_box(tmp_path):
    rows = TABLE.validate_python({"a": [], "b": [ROW, {**ROW, "id": "t1", "score": 0.5}]})
    for scored, box, word in ((True, "t0", "needs a"), (False, "t1", "must not carry a")):
        with pytest.raises(ArtifactError, match=f"x.json, image b, box {box}: {word} score"):
            boxes_in(tmp_path / "x.json", rows, scored=scored)


def test_numbers_are_read_to_the_last_digit(tmp_path):
    rng = np.random.default_rng(0)
    numbers = [
        *rng.uniform(0, 1000, 5000),
        *rng.uniform(0, 1, 5000),
        *np.exp(rng.normal(0, 200, 50)),
    ]
    path = tmp_path / "x.json"
    path.write_text(json.dumps([float(number) for number in numbers]))
    assert read_json(path) == [float(number) for number in numbers]
