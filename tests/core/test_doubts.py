"""Planted label errors are found by the proposals of a detector that errs in its own ways."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import logistic

from boxloop.core.boxes import iou_matrix
from boxloop.core.doubts import Doubt, find, worst_of_images
from boxloop.core.types import Boxes

CLASSES = ("circle", "square", "star")


def scene(rng, count):
    """Boxes of one image on a grid, which do not touch."""
    cells = rng.choice(16, count, replace=False)
    corners = np.stack([cells % 4, cells // 4], axis=1) * 60 + rng.uniform(5, 12, (count, 2))
    sides = rng.uniform(30, 42, (count, 2))
    return Boxes.build(np.hstack([corners, corners + sides]), rng.choice(CLASSES, count).tolist())


def proposed(rng, truth):
    """What a detector makes of it: misses, jitter, other classes, and boxes where nothing is."""
    rows, labels, scores = [], [], []
    for box, label in zip(truth.xyxy, truth.labels, strict=True):
        sure = np.clip(rng.normal(0.65, 0.15), 0.06, 0.95)
        if rng.random() < 0.1:
            sure = 0.06
        rows.append(box + rng.normal(0, 2, 4))
        labels.append(str(label))
        scores.append(sure)
        rows.append(box + rng.normal(0, 4, 4))
        labels.append(str(rng.choice([name for name in CLASSES if name != label])))
        scores.append(sure * rng.uniform(0.1, 0.7))
    for _ in range(10):
        corner = rng.uniform(0, 200, 2)
        rows.append(np.concatenate([corner, corner + rng.uniform(25, 45, 2)]))
        labels.append(str(rng.choice(CLASSES)))
        scores.append(rng.uniform(0.05, 0.35))
    return Boxes.build(np.array(rows), labels, np.array(scores), prefix="p")


def with_error(kind, boxes):
    """The labels with one error, in their first box."""
    xyxy, labels = boxes.xyxy.copy(), boxes.labels.tolist()
    if kind == "overlooked":
        return boxes.select(np.arange(len(boxes)) > 0)
    if kind == "mislabeled":
        labels[0] = next(name for name in CLASSES if name != labels[0])
    elif kind == "misplaced":
        xyxy[0] += [14, 8, 14, 8]
    else:
        corners = np.stack(np.meshgrid([5, 65, 125, 185], [5, 65, 125, 185]), -1).reshape(-1, 2)
        free = np.hstack([corners, corners + 38.0])
        xyxy = np.vstack([xyxy, free[iou_matrix(free, xyxy).sum(axis=1).argmin()]])
        labels.append("star")
    return Boxes.build(xyxy, labels)


KINDS = ("overlooked", "misplaced", "mislabeled", "no object")


@pytest.fixture(scope="module")
def campaign():
    """150 images, the first 20 of which have an error, five of each kind."""
    rng = np.random.default_rng(4)
    truth = {f"i{k:03d}": scene(rng, int(rng.integers(2, 6))) for k in range(150)}
    proposals = {image: proposed(rng, boxes) for image, boxes in truth.items()}
    planted = {f"i{k:03d}": KINDS[k % 4] for k in range(20)}
    labels = {i: with_error(planted[i], b) if i in planted else b for i, b in truth.items()}
    return labels, proposals, planted


def test_planted_errors_are_the_worst(campaign):
    labels, proposals, planted = campaign
    worst = worst_of_images(find(labels, proposals))
    found = [doubt for doubt in worst[:30] if doubt.image in planted]
    assert len(found) >= 16
    assert len({doubt.image for doubt in worst}) == len(worst)
    named = [doubt.kind == planted[doubt.image] for doubt in found]
    assert sum(named) >= len(named) - 3
    assert {doubt.kind for doubt in found} == set(KINDS)
    assert all(0 <= doubt.chance <= 1 for doubt in worst)


def test_a_doubt_points_at_the_boxes_in_question(campaign):
    labels, proposals, _ = campaign
    for doubt in find(labels, proposals)[:20]:
        own, offered = labels[doubt.image], proposals[doubt.image]
        if doubt.kind == "overlooked":
            assert doubt.label is None
            place = offered.xyxy[[doubt.proposal]]
            assert iou_matrix(own.xyxy, place).max(initial=0.0) < 0.3
        elif doubt.kind == "mislabeled":
            assert own.labels[doubt.label] != offered.labels[doubt.proposal]
        if doubt.label is not None and doubt.proposal is not None:
            pair = iou_matrix(own.xyxy[[doubt.label]], offered.xyxy[[doubt.proposal]])
            assert doubt.iou == pytest.approx(pair[0, 0])


def test_scores_that_are_low_all_over_change_little(campaign):
    """Some detectors never score over 0.5: fixed limits would find nothing."""
    labels, proposals, planted = campaign
    low = {
        i: Boxes(b.xyxy, b.labels, b.ids, np.maximum(b.scores * 0.5, 0.02))
        for i, b in proposals.items()
    }
    worst = worst_of_images(find(labels, low))[:30]
    assert sum(doubt.image in planted for doubt in worst) >= 15


def test_nothing_to_go_by():
    nothing, faint = Boxes.empty(), Boxes.build([[0, 0, 9, 9]], ["star"], [0.3])
    assert find({}, {}) == []
    assert find({"a": nothing}, {}) == []
    assert find({"a": nothing}, {"a": Boxes.empty(scored=True)}) == []
    (only,) = find({"a": nothing}, {"a": faint})
    assert (only.kind, only.label, only.proposal) == ("overlooked", None, 0)
    (missed,) = find({"a": Boxes.build([[0, 0, 9, 9]], ["star"])}, {"a": Boxes.empty(scored=True)})
    assert (missed.kind, missed.label, missed.proposal) == ("no object", 0, None)


def test_the_worst_of_each_image_comes_once():
    a, b = Doubt("a", "overlooked", 0.2, None, 0, 0.0), Doubt("a", "no object", 0.7, 0, None, 0.0)
    c = Doubt("c", "overlooked", 0.5, None, 0, 0.0)
    assert worst_of_images([a, b, c]) == [b, c]


def test_beside_exact_proposals_a_label_that_lies_a_little_off_stands_out():
    rng, labels, proposals = np.random.default_rng(0), {}, {}
    for k in range(100):
        box = scene(rng, 4)
        proposals[f"i{k}"] = Boxes.build(
            box.xyxy + rng.normal(0, 0.2, (4, 4)), box.labels.tolist(), np.full(4, 0.8), prefix="p"
        )
        xyxy = box.xyxy.copy()
        if k < 3:
            xyxy[0, :2] -= 3
        labels[f"i{k}"] = Boxes.build(xyxy, box.labels.tolist())
    worst = worst_of_images(find(labels, proposals))[:3]
    assert {(doubt.image, doubt.kind) for doubt in worst} == {
        (f"i{k}", "misplaced") for k in range(3)
    }
    assert all(0.8 < doubt.iou < 0.9 for doubt in worst)


def row(*boxes):
    """Boxes of (left, right, class, score), all 10 pixels high; labels have None for a score."""
    xyxy = [(left, 0, right, 10) for left, right, _, _ in boxes]
    scores = [score for *_, score in boxes]
    known = scores and scores[0] is not None
    return Boxes.build(xyxy, [name for _, _, name, _ in boxes], scores if known else None)


def chance(prior, odds):
    return prior * odds / (1 + prior * odds)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ((0.9, 0.7, 0.8, 0.4, 0.6, 0.3), (0.1, 0.2, 0.05, 0.5, 0.3, 0.2, 0.1, 0.7)),
        ((0.6, 0.5), (0.02, 0.8)),
        ((), (0.3, 0.9)),
        # Scores that tell nothing: whole steps of Newton's lead ever farther away.
        ((0.1, 0.1), (0.4,)),
        ((0.2, 0.9), (0.3, 0.5, 0.9)),
    ],
)
def test_a_proposal_in_an_empty_place_is_an_object_by_a_logistic_regression_on_the_scores(
    right, wrong
):
    """One image: a label and its proposal for each of ``right``, and proposals of nothing."""
    labels = [(20 * i, 20 * i + 10, "star", None) for i in range(len(right))]
    offered = [(20 * i, 20 * i + 10, "star", score) for i, score in enumerate((*right, *wrong))]
    found = [d for d in find({"a": row(*labels)}, {"a": row(*offered)}) if d.kind == "overlooked"]

    x, y = logit([*right, *wrong]), np.array([1] * len(right) + [0] * len(wrong))

    def loss(line):
        z = line[0] * x + line[1]
        ridge = 0.1 * ((line[0] - 1) ** 2 + line[1] ** 2) / 2
        return (np.logaddexp(0, z) - y * z).sum() + ridge

    slope, offset = minimize(loss, [1.0, 0.0], tol=1e-12).x
    expected = {
        len(right) + i: chance(0.05, np.exp(slope * logit(score) + offset))
        for i, score in enumerate(wrong)
    }
    assert {d.proposal: d.chance for d in found} == pytest.approx(expected, rel=1e-5)


def test_the_chance_of_a_label_where_the_detector_sees_nothing():
    """Rank among the labels, here seen least of four, against that among places without any."""
    a = row((0, 10, "star", None), (20, 30, "star", None))
    b = row((40, 50, "star", None), (60, 70, "star", None))
    seen_a = row((0, 10, "star", 0.9), (20, 30, "star", 0.1), (40, 50, "star", 0.2))
    seen_b = row((40, 50, "star", 0.8), (60, 70, "star", 0.7))
    found = find({"a": a, "b": b}, {"a": seen_a, "b": seen_b})
    # At the four places of the other image's labels it scores 0.2, and three times nothing.
    chances = {(d.image, d.label): d.chance for d in found if d.kind == "no object"}
    assert chances["a", 1] == pytest.approx(chance(0.002, (1 + 1) / (4 + 2) * (4 + 1) / (1 + 1)))
    assert chances["a", 0] == pytest.approx(chance(0.002, (0 + 1) / (4 + 2) * (4 + 1) / (4 + 1)))


@given(st.lists(st.sampled_from((0.0, 0.1, 0.2, 0.3)), min_size=12, max_size=12))
def test_ranks_of_labels_are_those_of_plain_loops_ties_included(scores):
    """Each image has three labels, and what the detector sees there and at the other's three."""
    places = [(20 * i, 20 * i + 10) for i in range(6)]
    labels, proposals, seen, elsewhere = {}, {}, {}, []
    for image, own, found in (("a", range(3), scores[:6]), ("b", range(3, 6), scores[6:])):
        labels[image] = row(*((*places[i], "star", None) for i in own))
        proposals[image] = Boxes.build([(a, 0, b, 10) for a, b in places], ["star"] * 6, found)
        seen |= {(image, i - own[0]): found[i] for i in own}
        elsewhere += [found[i] for i in range(6) if i not in own]
    chances = {
        key: chance(
            0.002,
            (sum(e >= score for e in elsewhere) + 1)
            / (len(elsewhere) + 2)
            * (len(seen) + 1)
            / (sum(other <= score for other in seen.values()) + 1),
        )
        for key, score in seen.items()
    }
    found = [d for d in find(labels, proposals) if d.kind == "no object"]
    assert {(d.image, d.label): d.chance for d in found} == pytest.approx(chances)


def test_a_batch_takes_room_by_its_labels_not_by_all_their_pairs():
    """Of 4,000 labels; each with each would be 16 MB."""
    places = [(20 * i, 0, 20 * i + 10, 10) for i in range(10)]
    labels = {f"i{k}": Boxes.build(places, ["star"] * 10) for k in range(400)}
    offered = Boxes.build(places, ["star"] * 10, np.linspace(0.1, 0.9, 10))
    tracemalloc.start()
    assert len(find(labels, dict.fromkeys(labels, offered))) >= 4000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6e6


def test_the_chance_of_another_class_is_that_of_its_lead_seen_from_the_other_side():
    """Two classes at each of four labels: the other one leads at the last."""
    scores = [(0.9, 0.1), (0.8, 0.3), (0.6, 0.2), (0.4, 0.7)]
    places = [(20 * i, 20 * i + 10) for i in range(4)]
    labels = row(*((*place, "star", None) for place in places))
    offered = row(
        *((*place, "star", own) for place, (own, _) in zip(places, scores, strict=True)),
        *((*place, "square", other) for place, (_, other) in zip(places, scores, strict=True)),
    )
    [found] = [d for d in find({"a": labels}, {"a": offered}) if d.kind == "mislabeled"]
    lead = [logit(other) - logit(own) for own, other in scores]
    middle = np.median(lead)
    width = np.median(np.abs(lead - middle)) / logit(0.75)  # half of all lie nearer than that
    usual = logistic(middle, width)
    odds = usual.pdf(-lead[3]) / usual.pdf(lead[3])
    assert (found.label, found.proposal) == (3, 7)
    assert found.chance == pytest.approx(chance(0.01, odds))


def test_the_chance_of_a_misplaced_label_is_of_an_overlap_by_anything_up_to_0_8():
    """Labels 10 wide and proposals of one score inside them: IoU 0.9, 0.8, 0.7 and 0.4."""
    widths = (9, 8, 7, 4)
    labels = row(*((20 * i, 20 * i + 10, "star", None) for i in range(4)))
    offered = row(*((20 * i, 20 * i + wide, "star", 0.5) for i, wide in enumerate(widths)))
    found = [d for d in find({"a": labels}, {"a": offered}) if d.kind == "misplaced"]
    overlap = logit(np.array(widths) / 10)
    middle = np.median(overlap)
    usual = logistic(middle, np.median(np.abs(overlap - middle)) / logit(0.75))
    # The density in the logit of an overlap that is spread evenly up to 0.8.
    expected = {
        i: chance(0.01, expit(overlap[i]) * expit(-overlap[i]) / 0.8 / usual.pdf(overlap[i]))
        for i in (2, 3)
    }
    assert {d.label: d.chance for d in found} == pytest.approx(expected)
