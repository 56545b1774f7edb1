import numpy as np
import pytest

from boxloop.core.overlap import first_part, is_due
from boxloop.core.training_log import Seen
from boxloop.core.types import Boxes, LabeledSet
from boxloop.review.fiftyone.assignment import Part


def boxes(x=1.0):
    return Boxes.build(np.array([[x, 1, 9, 9]]), ["car"])


def labeled(**batches):
    table = {i: boxes() for ids in batches.values() for i in ids}
    return LabeledSet(("car", "bus"), tuple(batches), table, dict.fromkeys(table, ("bus",)))


@pytest.mark.parametrize(
    ("share", "known", "batches"),
    [
        (0, "ab", ("b00",)),
        (0.01, "abc", ("b00", "b01")),
        (0.5, "abcd", ("b00", "b01")),
        (0.66, "abcd", ("b00", "b01")),
    ],
)
def test_the_first_part_of_the_last_batch_is_known(share, known, batches):
    part, seen = first_part(labeled(b00="ab", b01="cde"), "cde", share)
    assert "".join(part.boxes) == "".join(part.incomplete) == known
    assert part.batches == batches
    assert seen == Seen("b01", tuple(known[2:]), 3)


@pytest.mark.parametrize(("share", "images", "seen"), [(0.55, 100, 55), (0.07, 100, 7)])
def test_a_share_that_is_whole_images_is_not_rounded_up(share, images, seen):
    assert share * images > seen  # in floating point
    last = [f"i{number}" for number in range(images)]
    _, found = first_part(labeled(b00="a", b01=last), last, share)
    assert len(found.images) == seen


def test_all_of_it_is_what_the_strict_loop_sees():
    everything = labeled(b00="ab", b01="cde")
    for share in (0.67, 0.99):
        assert first_part(everything, "cde", share) == (everything, None)
    assert first_part(LabeledSet(("car",), (), {}), (), 0.5)[1] is None


def test_it_is_due_from_half_on_then_at_half_of_the_rest_and_at_every_change():
    def of(count):
        return {f"i{n}": boxes() for n in range(count)}

    due = [count for count in range(17) if is_due(of(count), None, 16)]
    assert due == list(range(8, 17))
    assert next(count for count in range(8, 17) if is_due(of(count), of(8), 16)) == 12
    # The last few images of a batch are not worth a training of their own.
    assert [count for count in range(14, 17) if is_due(of(count), of(14), 16)] == [16]
    assert is_due({**of(8), "i3": boxes(2.0)}, of(8), 16)
    assert is_due(of(7), of(8), 16)
    assert not is_due({}, None, 0)
    assert [count for count in range(6) if is_due(of(count), None, 5)] == [2, 3, 4, 5]


@pytest.mark.parametrize("total", range(2, 10))
def test_it_is_due_once_the_first_of_two_parts_is_submitted(total):
    first = Part.parse("1/2").share([f"i{n}" for n in range(total)])
    assert is_due({image_id: boxes() for image_id in first}, None, total)


def test_what_was_seen_is_a_part():
    with pytest.raises(ValueError, match="2 images of b01, which has 2"):
        Seen("b01", ("a", "b"), 2)
    with pytest.raises(ValueError, match="each once"):
        Seen("b01", ("a", "a"), 4)
    assert Seen("b01", ("a",), 4).in_words() == "1 of the 4 images of b01"
