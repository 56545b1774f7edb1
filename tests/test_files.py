import fcntl
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxloop.errors import ArtifactError, UserError
from boxloop.files import (
    collection_paused,
    parse_json,
    read_bytes,
    read_json,
    read_text,
    write_json,
    write_text,
)

ODD = {
    "numbers": [0.1, 1e-300, -0.0, 2**70, 1e22, 3],
    "text": 'é "quoted" \n \u2028 ": {',
    "none": [None, True, False, [], {}],
}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ODD),
        json.dumps(ODD, ensure_ascii=False, separators=(" ,", " : ")),
        '{"a": [NaN, -Infinity], "b": {"a": [{"a": 1}, {"a": 2}]}}',
        " [] ",
        "7",
    ],
)
def test_parsing_gives_what_json_gives(text):
    assert repr(parse_json(text)) == repr(json.loads(text))
    assert repr(parse_json(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", r"is not valid JSON \(line 1, column 1\): Expecting value"),
        ('{\n"a": 1,}', r"is not valid JSON \(line 2, column 8\)"),
        ("[1] 2", "Extra data"),
        ("\ufeff[]", "byte order mark"),
        ("[" * 5000, "nested too deeply"),
        ("9" * 5000, "thousands of digits"),
        ('["\\ud800"]', "half of a surrogate pair"),
        (json.dumps({"\udfff": 1}), "half of a surrogate pair"),
        ('{"a": 1, "b": {"c": 2, "c": 2}}', "has the key 'c' twice"),
        ('{"a" : 1, "a" : 2, "b": "\\":"}', "has the key 'a' twice"),
        ('[{"a": 1, "\\u0061": 2}]', "has the key 'a' twice"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_what_no_program_should_write_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        parse_json(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ),
    st.sampled_from([(", ", ": "), (" ,", " :"), (",", ":"), (",\n", "\t:\n")]),
    st.booleans(),
)
def test_any_json_is_parsed_as_json_does(value, separators, ascii_):
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_)
    assert parse_json(text) == json.loads(text)


@given(st.data())
def test_a_key_that_comes_twice_is_found_wherever_it_is(data):
    inner = st.dictionaries(st.text(max_size=3), st.text(max_size=3) | st.lists(st.integers()))
    table = data.draw(inner.filter(bool))
    key, value = next(iter(table.items()))
    separators = data.draw(st.sampled_from([(", ", ": "), (",", " :")]))
    text = json.dumps(table, separators=separators)
    twice = text[:-1] + ", " + json.dumps(key) + separators[1] + json.dumps(value) + "}"
    with pytest.raises(ValueError, match="twice in one object"):
        parse_json(data.draw(st.sampled_from(["%s", "[1, %s]", '{"x": [[%s], {"{": 1}]}'])) % twice)


@pytest.mark.parametrize("what", ["folder", "pipe", "device", "link", "absent", "large"])
def test_only_regular_files_of_a_sane_size_are_opened(tmp_path, what):
    path = tmp_path / "a.json"
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path = Path("/dev/zero")
    elif what == "link":
        path.symlink_to("/dev/zero")
    elif what == "large":
        with path.open("wb") as file:
            file.truncate(2**34)
    with pytest.raises(ArtifactError, match=f"{path} (cannot be read: it|does not exist)"):
        read_json(path)
    with pytest.raises(OSError, match="a.json|zero"):
        read_bytes(path)


def test_text_is_read_with_plain_line_ends(tmp_path):
    (tmp_path / "a").write_bytes("é\r\nb\rc\n".encode())
    assert read_text(tmp_path / "a") == "é\nb\nc\n"


def test_no_name_is_too_odd(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "a\0b")
    with pytest.raises(UserError, match="no file can have this name"):
        write_text(tmp_path / "a\0b" / "c", "")


def test_a_pipe_is_not_written_over(tmp_path):
    os.mkfifo(tmp_path / "a")
    with pytest.raises(UserError, match="a was not replaced: it is a named pipe, not a file"):
        write_text(tmp_path / "a", "")


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


WRITER = """
import sys, time
from pathlib import Path
from boxloop.files import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_writer_left_goes_with_the_next_write_and_a_live_one_s_stays(tmp_path):
    path = tmp_path / "b01.json"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "writing\n"
            [temporary] = tmp_path.iterdir()
            older = time.time() - 10
            os.utime(temporary, (older, older))
            write_text(path, "first")
            assert sorted(tmp_path.iterdir()) == sorted([path, temporary])
        finally:
            process.kill()
    write_text(path, "second")
    assert list(tmp_path.iterdir()) == [path]


def test_the_age_of_a_temporary_file_tells_where_its_lock_does_not(tmp_path):
    """A writer locks its file just after making it, and some file systems know no locks."""
    path = tmp_path / "b01.json"
    young, held = (tmp_path / f".b01.json.abcd_12{number}.json" for number in (3, 4))
    young.write_text("half")
    os.utime(young, (time.time() + 60,) * 2)  # so that it stays young on a slow machine, too
    with held.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_text(path, "first")
        assert sorted(tmp_path.iterdir()) == sorted([path, young, held])
        os.utime(held, (time.time() - 4000,) * 2)
        write_text(path, "second")
    assert sorted(tmp_path.iterdir()) == sorted([path, young])
