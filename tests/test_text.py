"""Numbers as people read them."""

from boxloop.terminal import duration, minutes, percent


def test_a_percentage_has_one_decimal():
    assert [percent(f) for f in (0.12345, 0.534, 1.0, -0.858)] == [
        *("12.3 %", "53.4 %", "100.0 %", "-85.8 %")
    ]
    assert [percent(f) for f in (-0.0004, 0.0004, -0.0006)] == ["0.0 %", "0.0 %", "-0.1 %"]


def test_minutes_have_one_decimal():
    assert [minutes(s) for s in (0, 2100, 360_000)] == ["0.0 min", "35.0 min", "6,000.0 min"]


def test_a_duration_has_the_units_that_suit_it():
    assert [duration(s) for s in (0.4, 48, 59.6, 185, 4330)] == [
        *("0 s", "48 s", "1 min 0 s", "3 min 5 s", "1 h 12 min")
    ]
