"""COCO's average precision by hand and against pycocotools, VOC's against its development kit."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.core.types import Boxes
from boxloop.models.average_precision import (
    average_precision,
    average_precision_by_class,
    voc_average_precision,
)
from builders import CLASSES, any_boxes, boxes, proposed

# --- COCO ---


def test_a_precision_recall_curve_by_hand():
    """Two objects; found, missed-at-0.5 false alarm in between, found: AP50 = (1 + 2/3) / 2."""
    final = {"a": boxes(("cat", 0, 0, 10, 10), ("cat", 20, 0, 30, 10))}
    found = {
        "a": proposed(
            ("cat", 0, 0, 10, 10, 0.9), ("cat", 50, 0, 60, 10, 0.8), ("cat", 20, 0, 30, 10, 0.7)
        )
    }
    # COCO samples precision at 101 recalls: 51 at or below 0.5 with precision 1, 50 with 2/3.
    assert average_precision(found, final)["map_50"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_loose_box_counts_up_to_its_iou():
    final, found = {"a": boxes(("cat", 0, 0, 10, 10))}, {"a": proposed(("cat", 0, 0, 10, 7.7, 0.9))}
    result = average_precision(found, final)
    assert (result["map_50"], result["map_75"]) == (pytest.approx(1), pytest.approx(1))
    assert result["map"] == pytest.approx(6 / 10)  # 0.50 ... 0.75 of ten thresholds


def test_the_mean_over_the_classes_is_the_map():
    final = {"a": boxes(("cat", 0, 0, 10, 10), ("dog", 20, 0, 30, 10))}
    found = {"a": proposed(("cat", 0, 0, 10, 7.7, 0.9), ("dog", 50, 0, 60, 10, 0.8))}
    by_class = average_precision_by_class(found, final)
    assert by_class["cat"] == {"ap": pytest.approx(6 / 10), "ap_50": pytest.approx(1)}
    assert by_class["dog"] == {"ap": 0, "ap_50": 0}
    assert average_precision(found, final)["map"] == pytest.approx(3 / 10)
    assert average_precision_by_class(found, {"a": Boxes.empty()}) == {}


def test_each_iou_has_its_own_name():
    final, found = {"a": boxes(("cat", 0, 0, 10, 10))}, {"a": proposed(("cat", 0, 0, 10, 6.2, 0.9))}
    result = average_precision(found, final)
    assert (result["map_50"], result["map_75"]) == (pytest.approx(1), 0)
    assert result["map"] == pytest.approx(3 / 10)  # 0.50, 0.55 and 0.60


def test_classes_are_averaged():
    final = {"a": boxes(("cat", 0, 0, 10, 10)), "b": boxes(("dog", 0, 0, 10, 10))}
    found = {"a": proposed(("cat", 0, 0, 10, 10, 0.9)), "b": proposed(("cat", 0, 0, 10, 10, 0.8))}
    assert average_precision(found, final)["map"] == pytest.approx(0.5)


def test_nothing_to_find_has_no_precision():
    assert average_precision({"a": proposed(("cat", 0, 0, 1, 1, 0.9))}, {"a": Boxes.empty()}) == {}


def test_nothing_found_is_zero():
    assert average_precision({}, {"a": boxes(("cat", 0, 0, 1, 1))})["map"] == 0.0


@settings(max_examples=20, deadline=None)
@given(any_boxes(scored=False), any_boxes(scored=True))
def test_always_a_fraction_and_never_better_at_a_tighter_iou(final, found):
    result = average_precision({"a": found}, {"a": final})
    assert all(0 <= value <= 1 + 1e-9 for value in result.values())
    if result:
        assert result["map_75"] <= result["map_50"] + 1e-9


def test_boxes_away_from_the_origin_are_not_stretched():
    final = {"a": boxes(("cat", 50, 50, 60, 60))}
    found = {"a": proposed(("cat", 54, 50, 64, 60, 0.9))}  # IoU 60 / 140
    assert average_precision(found, final)["map_50"] == 0


def pycocotools(found, final, labels):
    """The reference implementation, with all its areas and limits."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def dataset(table):
        annotations = []
        for number, image_id in enumerate(final):
            for row in range(len(table.get(image_id, ()))):
                b = table[image_id]
                (x1, y1, x2, y2), label = b.xyxy[row].tolist(), str(b.labels[row])
                if label not in labels:
                    continue
                annotation = {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": labels.index(label),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
                if b.scores is not None:
                    annotation["score"] = float(b.scores[row])
                annotations.append(annotation)
        coco = COCO()
        coco.dataset = {
            "images": [{"id": number} for number in range(len(final))],
            "categories": [{"id": i, "name": name} for i, name in enumerate(labels)],
            "annotations": annotations,
        }
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(dataset(final), dataset(found), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(("map", "map_50", "map_75"), evaluator.stats[:3].tolist(), strict=True))


def near_and_far(rng, images, most, classes):
    """Proposals near objects and anywhere, with ties, other classes and images without any."""
    final, found = {}, {}
    for number in range(images):
        corner = rng.uniform(0, 300, (rng.integers(0, 9), 2))
        objects = np.concatenate([corner, corner + rng.uniform(2, 150, corner.shape)], axis=1)
        final[f"i{number}"] = Boxes.build(objects, rng.choice(classes, len(objects)).tolist())
        if number % 7 == 3:
            continue  # not even an entry
        shown = np.repeat(objects, rng.integers(0, 3, len(objects)), axis=0)
        shown = np.concatenate([shown, shown[:1].repeat(most, axis=0)])
        shown[:, 2:] += rng.normal(0, 6, (len(shown), 2))
        shown[:, 2:] = np.maximum(shown[:, 2:], shown[:, :2] + 0.5)
        names = rng.choice([*classes, "elephant"], len(shown)).tolist()
        scores = rng.random(len(shown)).round(2)
        found[f"i{number}"] = Boxes.build(shown, names, scores, prefix="p")
    return found, final


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("most", [3, 420], ids=["few", "over 100 of a class in an image"])
def test_the_digits_are_those_of_pycocotools(seed, most):
    classes = ["cat", "dog", "owl"]
    found, final = near_and_far(np.random.default_rng(seed), 25, most, classes)
    most_of_a_class = max(int((b.labels == "cat").sum()) for b in found.values())
    assert (most_of_a_class > 100) == (most > 100)
    result = average_precision(found, final)
    assert 0 < result["map"] < result["map_50"] < 1
    assert result == pycocotools(found, final, classes)


def test_the_digits_are_those_of_pycocotools_where_little_is_there():
    two = {"a": boxes(("cat", 0, 0, 9, 9)), "b": Boxes.empty()}
    for final, found in (
        (two, {}),
        (two, {"a": Boxes.empty(scored=True)}),
        (two, {"b": proposed(("cat", 0, 0, 9, 9, 0.9))}),
        (two, {"c": proposed(("cat", 0, 0, 9, 9, 0.9))}),
        (two, {"a": proposed(("owl", 0, 0, 9, 9, 0.9))}),
        (two, {"a": proposed(("cat", 0, 0, 9, 9, 0.9), ("cat", 0, 0, 9, 9, 0.9))}),
    ):
        assert average_precision(found, final) == pycocotools(found, final, ["cat"])


# --- PASCAL VOC ---


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / area


def devkit(found, truth, label):
    """VOCevaldet.m and VOCap.m (2012), and the eleven points of 2007, one step at a time."""
    objects = {
        k: [x for x, n in zip(b.xyxy, b.labels, strict=True) if n == label]
        for k, b in truth.items()
    }
    detected = {k: [False] * len(v) for k, v in objects.items()}
    total = sum(map(len, objects.values()))
    rows = []
    for image_id in truth:
        for x, n, s in zip(
            found[image_id].xyxy, found[image_id].labels, found[image_id].scores, strict=True
        ):
            if n == label:
                rows.append((s, image_id, x))
    rows.sort(key=lambda row: -row[0])
    tp, fp = [], []
    for _, image_id, box in rows:
        best, where = -1.0, None
        for j, other in enumerate(objects[image_id]):
            value = overlap(box, other)
            if value > best:
                best, where = value, j
        hit = best >= 0.5 and not detected[image_id][where]
        if hit:
            detected[image_id][where] = True
        tp.append(1 if hit else 0)
        fp.append(0 if hit else 1)
    tp, fp = np.cumsum(tp), np.cumsum(fp)
    recall, precision = tp / max(total, 1), tp / np.maximum(tp + fp, 1)
    eleven = 0.0
    for t in range(11):
        reached = [p for p, r in zip(precision, recall, strict=True) if r >= t / 10 - 1e-12]
        eleven += (max(reached) if reached else 0.0) / 11
    mrec, mpre = [0.0, *recall, 1.0], [0.0, *precision, 0.0]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    area = sum(
        (mrec[i] - mrec[i - 1]) * mpre[i] for i in range(1, len(mrec)) if mrec[i] != mrec[i - 1]
    )
    return eleven, area


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(any_boxes(scored=False), any_boxes(scored=True)), min_size=1, max_size=3))
def test_voc_is_the_development_kits(pairs):
    truth = {f"i{n}": final for n, (final, _) in enumerate(pairs)}
    found = {f"i{n}": shown for n, (_, shown) in enumerate(pairs)}
    labels = [c for c in CLASSES if any((b.labels == c).any() for b in truth.values())]
    result = voc_average_precision(found, truth)
    if not labels:
        assert result == {}
        return
    curves = [devkit(found, truth, label) for label in labels]
    assert result["voc07_map"] == pytest.approx(np.mean([c[0] for c in curves]))
    assert result["voc_map"] == pytest.approx(np.mean([c[1] for c in curves]))


def test_voc_curve_by_hand():
    """Found, false alarm, found, of four: precision 1, 1/2, 2/3 at recall 1/4, 1/4, 1/2."""
    truth = {"a": boxes(*(("cat", 20 * i, 0, 20 * i + 10, 10) for i in range(4)))}
    found = {
        "a": proposed(
            ("cat", 0, 0, 10, 10, 0.9), ("cat", 90, 50, 99, 60, 0.8), ("cat", 20, 0, 30, 10, 0.7)
        )
    }
    result = voc_average_precision(found, truth)
    assert result["voc_map"] == pytest.approx(0.25 * 1 + 0.25 * 2 / 3)
    # Recalls 0, 0.1, 0.2 reach precision 1; 0.3, 0.4, 0.5 reach 2/3.
    assert result["voc07_map"] == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)


def test_a_second_detection_of_an_object_is_wrong():
    truth = {"a": boxes(("cat", 0, 0, 10, 10))}
    twice = {"a": proposed(("cat", 0, 0, 10, 9, 0.9), ("cat", 0, 0, 10, 10, 0.8))}
    assert voc_average_precision(twice, truth)["voc_map"] == pytest.approx(1.0)
    late = {"a": proposed(("cat", 0, 0, 10, 4, 0.9), ("cat", 0, 0, 10, 10, 0.8))}
    assert voc_average_precision(late, truth)["voc_map"] == pytest.approx(0.5)


def test_voc_without_truth_or_proposals():
    assert voc_average_precision({}, {"a": Boxes.empty()}) == {}
    assert voc_average_precision({}, {"a": boxes(("cat", 0, 0, 1, 1))})["voc_map"] == 0.0
