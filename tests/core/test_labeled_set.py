import pytest

from boxloop.core.labeled_set import merge, split
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


def many(count):
    table = {f"i{n}": boxes(("cat", 0, 0, 1 + n, 9)) for n in range(count)}
    return LabeledSet(("cat",), ("b00",), table)


@pytest.mark.parametrize(
    ("count", "fraction", "held"),
    [(9, 0.33, 3), (8, 0.33, 3), (30, 0.33, 10), (2, 0.01, 1), (6, 0.99, 5), (4, 0.5, 2)],
)
def test_a_split_holds_out_a_share_and_leaves_both_parts_something(count, fraction, held):
    whole = many(count)
    rest, out = split(whole, fraction, 0)
    assert (len(rest), len(out)) == (count - held, held)
    assert {**rest.boxes, **out.boxes} == whole.boxes
    assert not set(rest.boxes) & set(out.boxes)
    for part in (rest, out):
        assert list(part.boxes) == [i for i in whole.boxes if i in part.boxes]
        assert (part.classes, part.batches) == (whole.classes, whole.batches)


def test_the_seed_chooses_what_is_held_out():
    chosen = {seed: tuple(split(many(30), 0.33, seed)[1].boxes) for seed in (0, 0, 1, 2)}
    assert chosen[0] == tuple(split(many(30), 0.33, 0)[1].boxes)
    assert len(set(chosen.values())) == 3
    assert chosen[0] != tuple(many(30).boxes)[:10]


def test_one_image_cannot_be_split():
    with pytest.raises(ValueError, match="1 image cannot be split"):
        split(many(1), 0.5, 0)
