from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.core.class_ledger import class_ledgers
from boxloop.core.edits import EDITS, Ledger
from boxloop.core.types import Boxes
from boxloop.core.workload import account
from builders import CLASSES, any_boxes, boxes, corrections, proposed

IOUS = (0.3, 0.5, 0.75)


@st.composite
def batches(draw, annotator):
    """A batch of two images; a person's final boxes are partly those that were shown."""
    shown, final = {}, {}
    for image_id in ("a", "b"):
        offered = draw(any_boxes(scored=True))
        drawn = draw(any_boxes(scored=False))
        if annotator != "simulated":
            fates = [
                draw(st.sampled_from(("keep", "move", "relabel", "drop"))) for _ in offered.ids
            ]
            rows = [i for i, fate in enumerate(fates) if fate != "drop"]
            kept = offered.select(np.array(rows, int))
            moves = np.array(
                [[3.0 * (fates[i] == "move"), 0, 3.0 * (fates[i] == "move"), 0] for i in rows]
            )
            other = {"cat": "dog", "dog": "cat"}
            labels = [
                other[name] if fates[i] == "relabel" else name
                for i, name in zip(rows, kept.labels.tolist(), strict=True)
            ]
            drawn = Boxes(
                np.concatenate([kept.xyxy + moves.reshape(-1, 4), drawn.xyxy]),
                np.array([*labels, *drawn.labels.tolist()], np.str_),
                np.array([*kept.ids.tolist(), *drawn.ids.tolist()], np.str_),
            )
        shown[image_id], final[image_id] = offered, drawn
    threshold = draw(st.sampled_from((0.1, 0.5, 0.7, 1.0)))
    if annotator != "simulated":  # what was not shown cannot be in what became of it
        final = {
            i: b.select(~np.isin(b.ids, shown[i].select(~shown[i].reach(threshold)).ids))
            for i, b in final.items()
        }
    return corrections(shown, final, threshold=threshold, annotator=annotator)


@pytest.mark.parametrize("annotator", ["simulated", "fiftyone"])
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_the_classes_sum_up_to_the_batch_for_each_kind_at_any_threshold(annotator, data):
    made = data.draw(batches(annotator))
    workload = account(made, IOUS, (0.1, 0.3, 0.6, 0.9), {})
    for (score, iou), ledger in workload.ledgers.items():
        found = class_ledgers(made, iou, score)
        assert sum(found.edits.values(), Ledger()) == ledger
        assert sum(found.objects.values()) == workload.objects
        assert sum(found.mistaken.values()) == ledger.relabeled
        for name, own in found.edits.items():
            finals = own.kept + own.moved + own.relabeled + own.added
            assert finals == found.objects.get(name, 0)


@settings(max_examples=20, deadline=None)
@given(batches("fiftyone"), st.sampled_from(IOUS))
def test_peoples_edits_by_class_are_those_of_a_plain_loop(made, iou):
    expected = {kind: Counter() for kind in EDITS}
    mistaken, images = Counter(), Counter()
    for image_id, final in made.boxes.items():
        rows = zip(final.ids.tolist(), final.labels.tolist(), final.xyxy.tolist(), strict=True)
        after = {name: (label, corners) for name, label, corners in rows}
        images.update({label for label, _ in after.values()})
        before = made.shown()[image_id]
        for name, label, box in zip(
            before.ids.tolist(), before.labels.tolist(), before.xyxy.tolist(), strict=True
        ):
            if name not in after:
                expected["removed"][label] += 1
                continue
            end, other = after.pop(name)
            if end != label:
                expected["relabeled"][end] += 1
                mistaken[label, end] += 1
                continue
            w = min(box[2], other[2]) - max(box[0], other[0])
            h = min(box[3], other[3]) - max(box[1], other[1])
            common = max(w, 0) * max(h, 0)
            areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
            right = common / (sum(areas) - common) >= iou
            expected["kept" if right else "moved"][label] += 1
        expected["added"].update(label for label, _ in after.values())
    found = class_ledgers(made, iou, made.score_threshold)
    for name in CLASSES:
        assert found.edits.get(name, Ledger()) == Ledger(**{k: expected[k][name] for k in EDITS})
    assert (found.mistaken, found.images) == (mistaken, images)


def test_a_relabeled_box_counts_for_what_it_became_and_a_removed_one_for_what_it_was_taken():
    shown = {"a": proposed(("cat", 0, 0, 10, 10, 0.9), ("cat", 50, 0, 60, 10, 0.8))}
    final = {"a": boxes(("dog", 0, 0, 10, 10), ("dog", 80, 0, 90, 10))}
    found = class_ledgers(corrections(shown, final), 0.5, 0.5)
    assert found.edits == {"cat": Ledger(removed=1), "dog": Ledger(relabeled=1, added=1)}
    assert found.mistaken == {("cat", "dog"): 1}
    assert found.images == {"dog": 1}


def test_images_whose_labels_were_given_count_nowhere():
    shown = {"a": proposed(("cat", 0, 0, 10, 10, 0.9)), "b": proposed()}
    final = {"a": boxes(("cat", 0, 0, 10, 10)), "b": boxes(("dog", 0, 0, 10, 10))}
    made = replace(corrections(shown, final, annotator="fiftyone"), given=("b",))
    assert class_ledgers(made, 0.5, 0.5).objects == {"cat": 1}
