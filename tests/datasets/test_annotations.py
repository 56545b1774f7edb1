import math

import pytest

from boxloop.datasets import FaultKind
from boxloop.datasets.annotations import read_columns, to_float, to_size
from boxloop.datasets.faults import FaultLog


@pytest.mark.parametrize(
    ("value", "number"), [("1.5", 1.5), (" 2 ", 2.0), (3, 3.0), ("1e2", 100.0), (-0.5, -0.5)]
)
def test_numbers(value, number):
    assert to_float(value) == number


@pytest.mark.parametrize("value", ["", "x", None, [], {}, True, "1,5", "NaN"])
def test_what_is_no_number(value):
    assert math.isnan(to_float(value))


def test_a_number_too_large_for_a_float_is_none():
    assert not math.isfinite(to_float(10**400))


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        ("640", 480, (640, 480)),
        (640.9, "480.0", (640, 480)),
        (0, 480, None),
        (640, -1, None),
        (None, 480, None),
        (640, "inf", None),
        (1e9, 480, None),
    ],
)
def test_declared_sizes(width, height, size):
    assert to_size(width, height) == size


def test_label_files_have_their_places_counted_from_1(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("0 1 2\n\n  \nx\n")
    log = FaultLog()
    assert read_columns(file, "a", log) == [("line 1", ["0", "1", "2"]), ("line 4", ["x"])]
    assert log.faults == []
    file.write_bytes(b"\xff\xfe")
    assert read_columns(file, "a", log) is None
    assert [(f.kind, f.image_id) for f in log.faults] == [(FaultKind.MALFORMED_ANNOTATION, "a")]
    assert log.faults[0].detail == "is not UTF-8 text: save it as UTF-8"
