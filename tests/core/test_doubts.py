"""Planted label errors are found by the proposals of a detector that errs in its own ways."""

import numpy as np
import pytest

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
