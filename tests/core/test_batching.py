import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxloop.core.batching import (
    cut,
    most_turns,
    plan,
    require_images,
    size_for,
    sizes_by_count,
    sizes_by_size,
)
from boxloop.errors import ParamsError

IDS = [f"i{n}" for n in range(10)]


def sizes(batches):
    return [len(batch.image_ids) for batch in batches]


@given(st.integers(1, 200), st.integers(1, 50))
def test_by_size_covers_everything_in_full_batches(total, size):
    result = sizes_by_size(total, size)
    assert sum(result) == total
    assert all(n == size for n in result[:-1])
    assert 0 < result[-1] <= size


@given(st.integers(1, 200), st.integers(1, 50))
def test_by_count_is_even(total, count):
    if count > total:
        with pytest.raises(ValueError, match="cannot fill"):
            sizes_by_count(total, count)
        return
    result = sizes_by_count(total, count)
    assert (len(result), sum(result)) == (count, total)
    assert max(result) - min(result) <= 1


@given(st.lists(st.integers(1, 5), max_size=5))
def test_cut_keeps_the_order(wanted):
    ids = [f"i{n}" for n in range(30)]
    batches = cut(ids, wanted, [f"b{n}" for n in range(len(wanted))])
    assert [i for batch in batches for i in batch.image_ids] == ids[: sum(wanted)]
    assert sizes(batches) == wanted


def test_plan_by_iterations_alone():
    batches = plan(IDS, ["b00", "b01", "b02"])
    assert [(b.id, len(b.image_ids)) for b in batches] == [("b00", 4), ("b01", 3), ("b02", 3)]


@pytest.mark.parametrize(
    ("section", "names", "expected"),
    [
        ({"size": 4}, ["a", "b", "c"], [4, 4, 2]),
        ({"size": 4}, ["a", "b"], [4, 4]),
        ({"count": 5}, ["a", "b"], [2, 2]),
        ({"sizes": (1, 2, 3)}, ["a", "b", "c"], [1, 2, 3]),
    ],
)
def test_plan(section, names, expected):
    assert sizes(plan(IDS, names, **section)) == expected


@pytest.mark.parametrize(
    ("section", "names", "message"),
    [
        ({"size": 5}, ["a", "b", "c"], "iterations lists 3 batches.*make 2.*take out c"),
        ({"size": 5}, ["a", "b", "c"], "take out c and what follows it, or set batch.size to 4$"),
        ({"size": 1}, [f"b{n:02d}" for n in range(11)], "take out b10 and what follows it$"),
        ({"count": 11}, ["a"], "10 images cannot fill 11 batches: set it to 10 or less$"),
        ({"count": 2}, ["a", "b", "c"], "take out c and what follows it, or set batch.count to 3$"),
        ({"sizes": (6, 6)}, ["a", "b"], "need 12 images"),
        ({"sizes": (6, 6)}, ["a", "b"], "take out b and what follows it, or lower them$"),
        ({"sizes": (16, 6)}, ["a"], "batches of 16 need 16 images, and there are 10: lower them$"),
        ({"sizes": (2, 2)}, ["a", "b", "c"], "take out c and what follows it, or list 3 sizes$"),
    ],
)
def test_plans_that_cannot_be_made_say_why(section, names, message):
    with pytest.raises(ParamsError, match=message):
        plan(IDS, names, **section)


@pytest.mark.parametrize(("section", "place"), [({}, "iterations"), ({"count": 11}, "batch.count")])
def test_too_few_images_are_told_where_the_number_stands(section, place):
    names = [f"b{n:02d}" for n in range(11)]
    with pytest.raises(ParamsError, match=f"{place}: 10 images cannot fill 11 batches"):
        plan(IDS, names, **section)


def test_what_no_label_is_left_for_is_told():
    with pytest.raises(ParamsError, match="every one has labels that are trusted"):
        plan([], ["a"], size=2)


SECTIONS = st.one_of(
    st.just({}),
    st.builds(lambda n: {"size": n}, st.integers(1, 40)),
    st.builds(lambda n: {"count": n}, st.integers(1, 40)),
    st.builds(lambda n: {"sizes": n}, st.lists(st.integers(1, 20), min_size=1, max_size=8)),
)


@given(st.integers(1, 60), st.integers(1, 12), SECTIONS)
def test_so_many_turns_and_no_more_can_be_cut(total, turns, section):
    ids = [f"i{n}" for n in range(total)]
    most = most_turns(total, turns, **section)
    # Without a section every number of turns is another cut.
    for count in range(1, turns + 1):
        names = [f"b{n}" for n in range(count)]
        if count <= most:
            assert all(sizes(plan(ids, names, **section)))
        else:
            with pytest.raises(ParamsError):
                require_images(total, names, **section)


@given(st.integers(1, 300), st.integers(1, 20))
def test_a_size_for_so_many_turns_fills_them(total, turns):
    if turns > total:
        with pytest.raises(ValueError, match="cannot fill"):
            size_for(total, turns)
        return
    size = size_for(total, turns)
    assert most_turns(total, turns, size=size) == turns
    # One image more in each would leave a turn without any, or is not needed for all to be in one.
    assert size * turns >= total or most_turns(total, turns, size=size + 1) < turns
