import gc
import json

import pytest

from boxloop.files import collection_paused, parse_json, write_json

ODD = {
    "numbers": [0.1, 1e-300, -0.0, 2**70, 1e22, 3],
    "text": 'é "quoted" \n \u2028 \ud800',
    "none": [None, True, False, [], {}],
}


@pytest.mark.parametrize("text", [json.dumps(ODD), '{"a": 1, "a": [NaN, -Infinity]}', " [] "])
def test_parsing_gives_what_json_gives(text):
    assert repr(parse_json(text)) == repr(json.loads(text))


@pytest.mark.parametrize("text", ["", "{", '{"a": 1,}', "[1] 2", "\ufeff[]", "[" * 5000])
def test_parsing_fails_as_json_does(text):
    with pytest.raises((ValueError, RecursionError)) as expected:
        json.loads(text)
    with pytest.raises(type(expected.value)) as found:
        parse_json(text)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    ("depth", "text"),
    [
        (0, '{"a": [1, {"b": []}], "c": {}}'),
        (1, '{\n "a": [1, {"b": []}],\n "c": {}\n}'),
        (2, '{\n "a": [\n  1,\n  {"b": []}\n ],\n "c": {}\n}'),
        (3, '{\n "a": [\n  1,\n  {\n   "b": []\n  }\n ],\n "c": {}\n}'),
    ],
)
def test_a_file_has_a_line_for_each_container_down_to_a_depth(tmp_path, depth, text):
    write_json(tmp_path / "a.json", {"a": [1, {"b": []}], "c": {}}, depth=depth)
    assert (tmp_path / "a.json").read_text() == text + "\n"


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"rows": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"rows": [1.0, float("nan")]})
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]
    assert json.loads(path.read_text()) == {"rows": 1}


def test_collection_goes_on_as_it_was():
    assert gc.isenabled()
    with collection_paused():
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
