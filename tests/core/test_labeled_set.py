import pytest

from boxloop.core.labeled_set import merge
from boxloop.core.types import Boxes, LabeledSet
from boxloop.errors import UserError
from builders import boxes, corrections, proposed

FIRST = LabeledSet(("cat", "dog"), ("b00",), {"a": boxes(("cat", 0, 0, 1, 1))})


def test_merge_adds_a_batch_and_keeps_what_was_there():
    final = {"b": boxes(("dog", 0, 0, 1, 1)), "c": Boxes.empty()}
    result = merge(FIRST, corrections({"b": proposed(), "c": proposed()}, final))
    assert result.batches == ("b00", "b01")
    assert result.boxes == {**FIRST.boxes, **final}
    assert result.classes == FIRST.classes


def test_the_same_labels_are_the_same_set_whatever_led_to_them():
    drawn, kept = boxes(("dog", 0, 0, 1, 1)), boxes(("dog", 0, 0, 1, 1), prefix="p")
    results = [merge(FIRST, corrections({"b": proposed()}, {"b": b})) for b in (drawn, kept)]
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("image", "label", "batch", "message"),
    [
        ("b", "cat", "b00", "batch b00 is in the labeled set already"),
        ("a", "cat", "b01", "image a of batch b01 was labeled in an earlier batch"),
        ("b", "cow", "b01", "image b of batch b01 carries the label 'cow'"),
    ],
)
def test_what_does_not_fit_is_refused(image, label, batch, message):
    item = corrections({image: proposed()}, {image: boxes((label, 0, 0, 1, 1))}, batch=batch)
    with pytest.raises(UserError, match=message):
        merge(FIRST, item)
