import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxloop.core.names import (
    fault_of_class,
    fault_of_id,
    fault_of_new_class,
    fault_of_reviewer,
    has_control,
    require_classes,
    require_ids,
)


@pytest.mark.parametrize(
    "name", ["a", "img 01", "größe", "猫", "a/b.png", "x" * 1000, "no", "\u00a0x"]
)
def test_a_line_of_text_may_be_a_name(name):
    assert fault_of_id(name) is None
    assert fault_of_class(name) is None
    require_ids([name])
    require_classes([name])
    assert not has_control(name)


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[2J", "\ud800", "a\0", "x" * 1001])
def test_nothing_else_may_be_one(name):
    assert fault_of_id(name)
    assert fault_of_class(name)
    with pytest.raises(ValueError, match="the id "):
        require_ids(["good", name])
    with pytest.raises(ValueError, match="the class "):
        require_classes(["good", name])


@pytest.mark.parametrize("name", [" ", "\u3000", "?"])
def test_a_class_is_not_blank_and_no_placeholder(name):
    assert fault_of_id(name) is None
    assert fault_of_class(name)


@pytest.mark.parametrize(
    "name", ["\u200b", "\u200b \u2060", " cat", "cat\u3000", "a\u2028b", "a\u2029b", "x" * 201]
)
def test_a_new_class_shows_one_short_line_and_older_ones_are_read_all_the_same(name):
    assert fault_of_class(name) is None
    assert fault_of_new_class(name)


@pytest.mark.parametrize("name", ["a", "größe", "猫", "a b", "a\u200db", "x" * 200])
def test_a_name_that_people_can_tell_may_be_a_new_class(name):
    assert fault_of_new_class(name) is None


@given(st.text())
def test_what_may_be_a_new_class_may_be_a_class(name):
    assert fault_of_new_class(name) or not fault_of_class(name)


def test_a_reviewer_is_one_person():
    """Several people's names are joined by a comma and a blank, and taken apart there."""
    for name in ("Jane Smith", "Smith,Jane", "李"):
        assert fault_of_reviewer(name) is None
    for name in ("Smith, Jane", "", "a\nb"):
        assert fault_of_reviewer(name)
