"""Who is named: the right person, with the right number, and nobody where nobody is at fault."""

from __future__ import annotations

from functools import cache

import pytest
from scipy.stats import binomtest

from boxloop.campaign.trust import first_looks, plants
from boxloop.core.looks import Look
from boxloop.core.trust import Plant, Trust, judge_trust
from boxloop.core.types import Boxes, Corrections, ImageSet
from builders import proposed
from builders_people import played, sizes

FAULTS = {
    "leaves_wrong_labels": {"accepts_labels": True},
    "draws_wide": {"wider": 3.0},
    "misses_small": {"misses_below": 450.0},
    "gets_slower": {"slows": 2.5},
}


@cache
def campaign(fault: str | None, seed: int) -> tuple[ImageSet, dict[str, Boxes], list[Corrections]]:
    people = {"ada": {}, "bob": FAULTS.get(fault or "", {}), "cid": {}}
    return played(people, seed=seed)


def judged(fault: str | None, seed: int, *, by_truth: bool = True) -> Trust:
    images, truth, submitted = campaign(fault, seed)
    size = sizes(images)
    looks = first_looks(submitted, size, truth if by_truth else None)
    trust = judge_trust(looks, plants(submitted, size))
    assert trust is not None
    return trust


def named(trust: Trust) -> set[tuple[str, str]]:
    return {(f.reviewer, f.fault) for f in trust.findings}


@pytest.mark.parametrize(
    "fault",
    [
        "draws_wide",
        "gets_slower",
        pytest.param("leaves_wrong_labels", marks=pytest.mark.slow),
        pytest.param("misses_small", marks=pytest.mark.slow),
    ],
)
def test_the_right_person_is_named_and_nobody_else(fault: str) -> None:
    trust = judged(fault, 0)
    assert ("bob", fault) in named(trust)
    assert {who for who, _ in named(trust)} == {"bob"}
    [found] = [f for f in trust.findings if f.fault == fault]
    true = {"draws_wide": 3.0, "gets_slower": 2.5}.get(fault)
    assert true is None or found.low <= true <= found.high
    measured = {"draws_wide": trust.margins, "gets_slower": trust.paces}
    if fault in measured:
        shown = measured[fault]["bob"]
        assert found.low < shown.low < shown.high < found.high
    assert found.words


@pytest.mark.parametrize("fault", ["draws_wide", "gets_slower"])
def test_the_truth_is_not_needed_for_all(fault: str) -> None:
    trust = judged(fault, 0, by_truth=False)
    assert trust.yardstick == "proposals"
    assert named(trust) == {("bob", fault)}


@pytest.mark.slow
@pytest.mark.parametrize("by_truth", [True, False])
def test_nobody_is_named_where_nobody_is_at_fault(by_truth: bool) -> None:
    """One campaign of twenty may name somebody; tolerances make it fewer."""
    found = [judged(None, seed, by_truth=by_truth).findings for seed in range(5)]
    assert found == [()] * 5


def planted(who: str, kind: str, caught: int, missed: int) -> list[Plant]:
    outcomes = [True] * caught + [False] * missed
    return [Plant(f"{who}{kind}{i}", who, kind, found) for i, found in enumerate(outcomes)]


def test_planted_errors_are_told_by_kind_and_person() -> None:
    trust = judge_trust(
        [],
        [
            *planted("ada", "relabeled", 18, 2),
            *planted("ada", "hidden", 19, 1),
            *planted("bob", "relabeled", 1, 19),
            *planted("bob", "hidden", 15, 5),
        ],
    )
    assert trust is not None
    counts = {key: (value.count, value.total) for key, value in trust.caught.items()}
    assert counts == {
        (None, None): (53, 80),
        (None, "ada"): (37, 40),
        (None, "bob"): (16, 40),
        ("relabeled", None): (19, 40),
        ("relabeled", "ada"): (18, 20),
        ("relabeled", "bob"): (1, 20),
        ("hidden", None): (34, 40),
        ("hidden", "ada"): (19, 20),
        ("hidden", "bob"): (15, 20),
    }
    [finding] = trust.findings
    assert (finding.reviewer, finding.fault) == ("bob", "misses_planted_relabeled")
    assert finding.words == "caught 1 of 20 proposals relabeled"
    assert trust.comparisons == ()


@pytest.mark.parametrize("people", [1, 4])
@pytest.mark.parametrize("kinds", [("hidden",), ("hidden", "relabeled")])
def test_all_people_and_questions_together_share_one_chance_of_twenty(
    people: int, kinds: tuple[str, ...]
) -> None:
    """Each of eight questions and one per kind, asked of each person, has its part (Bonferroni)."""
    others = [p for i in range(people - 1) for p in planted(f"other{i}", "hidden", 20, 0)]
    others += [p for kind in kinds[1:] for p in planted("ada", kind, 20, 0)]
    trust = judge_trust([], [*planted("ada", "hidden", 3, 17), *others])
    assert trust is not None
    [found] = trust.findings
    one_side = 0.05 / ((8 + len(kinds)) * people)
    ends = binomtest(3, 20).proportion_ci(1 - 2 * one_side, "wilson")
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


def test_who_is_at_fault_by_the_interval_that_is_shown_need_not_be_named() -> None:
    trust = judge_trust([], planted("ada", "hidden", 5, 15))
    assert trust is not None
    assert trust.caught["hidden", None].high == pytest.approx(0.469, abs=5e-4)  # below one half
    assert trust.findings == ()


def test_a_few_misses_name_nobody() -> None:
    trust = judge_trust([], planted("ada", "hidden", 0, 3))
    assert trust is not None
    assert trust.findings == ()
    assert trust.caught[None, None].value == 0


def test_where_nothing_was_tried_there_is_nothing_to_tell() -> None:
    assert judge_trust([]) is None
    nothing = Boxes.empty()
    assert judge_trust([Look("i", "b01", "ada", False, nothing, proposed(), (9, 9))]) is None


def test_batches_without_blind_images_are_not_compared_with() -> None:
    def look(name: str, batch: str, blind: bool, found: bool) -> Look:
        box = Boxes.build([(10, 10, 30, 30)], ["cat"])
        final = box if found else Boxes.empty()
        return Look(name, batch, "ada", blind, final, proposed(), (99, 99), box)

    looks = [look(f"a{i}", "b01", i < 4, True) for i in range(12)]
    looks += [look(f"b{i}", "b02", False, False) for i in range(12)]
    trust = judge_trust(looks)
    assert trust is not None
    recall = next(c for c in trust.comparisons if c.measure.name == "recall")
    assert (recall.blind.images, recall.helped.images, recall.helped.value) == (4, 8, 1.0)
    assert trust.images == (4, 20)


@pytest.mark.parametrize("inside", [2, 3])
def test_margins_rest_on_as_many_images_as_comparisons(inside: int) -> None:
    """A box that fills its image has no side of which a margin can be told."""

    def look(number: int) -> Look:
        box = (10, 10, 30, 30) if number < inside else (0, 0, 99, 99)
        boxes = Boxes.build([box], ["cat"])
        return Look(f"i{number}", "b01", "ada", True, boxes, proposed(), (99, 99), boxes)

    trust = judge_trust([look(i) for i in range(4)])
    assert trust is not None
    assert {who: value.images for who, value in trust.margins.items()} == (
        {None: 3} if inside == 3 else {}
    )


def test_of_two_who_differ_nobody_is_named_without_the_truth() -> None:
    people = {"ada": {}, "bob": FAULTS["draws_wide"]}
    images, _, submitted = played(people, batches=(10, 60, 60))
    size = sizes(images)
    trust = judge_trust(first_looks(submitted, size, None), plants(submitted, size))
    assert trust is not None
    assert trust.margins["bob"].value - trust.margins["ada"].value > 2
    assert named(trust) == set()
