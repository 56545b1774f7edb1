from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxloop.campaign import artifacts, existing
from boxloop.campaign.digests import campaign_fingerprint
from boxloop.campaign.neighbours import (
    as_proposed,
    in_words,
    judge_by_files,
    mend,
    mend_by_files,
    mended,
    plan,
    recorded,
)
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.existing import SURE
from boxloop.core.neighbours import LIMITS, Choice, judge, merge
from boxloop.core.training_log import TrainingLog
from boxloop.core.types import Batch, FeatureTable, ImageRef, ImageSet, LabeledSet, Neighbour
from boxloop.errors import ArtifactError
from boxloop.params import Params, chain
from boxloop.params.sections import ProposeParams
from builders import any_boxes, boxes, corrections, proposals, proposed

ON = Params(propose=ProposeParams(neighbours="fitted"), iterations=chain(3))
OFF = Params(iterations=chain(3))
LABEL = boxes(("cat", 2, 0, 12, 10))
FOUND = proposed(("cat", 0, 0, 10, 10, 0.36), ("cat", 20, 20, 30, 30, 0.4))
OFFERED = proposals({"a": FOUND, "b": FOUND, "c": FOUND}, batch="b02")
NEAR = {"a": Neighbour("x", 0.1), "b": Neighbour("x", 0.34), "c": Neighbour("y", 0.1)}
BATCH = Batch("b02", ("a", "b", "c"), neighbours=NEAR)

LOG = TrainingLog.of_nothing()


@pytest.fixture
def files(tmp_path):
    """A turn's files; image y is of another size."""
    refs = [ImageRef(i, f"{i}.png", 64, 32 if i == "y" else 64, i * 8) for i in "abcxy"]
    names = ("images", "evidence", "labeled", "training", "batch", "proposals")
    found = {name: tmp_path / f"{name}.json" for name in names}
    artifacts.write_images(found["images"], ImageSet(tuple(refs), ("cat", "dog")))
    artifacts.write_evidence(found["evidence"], ())
    labels = LabeledSet(("cat", "dog"), ("b00",), {"x": LABEL, "y": LABEL})
    artifacts.write_labeled(found["labeled"], labels)
    artifacts.write_training(found["training"], LOG)
    artifacts.write_batch(found["batch"], BATCH)
    artifacts.write_proposals(found["proposals"], OFFERED)
    return found


def test_off_reads_nothing_and_changes_nothing(tmp_path):
    nowhere = dict.fromkeys(("images", "evidence", "labeled", "training"), tmp_path / "nowhere")
    assert mend_by_files(OFF, OFFERED, nowhere, BATCH) is OFFERED
    assert plan(OFF, [BATCH], tmp_path / "nowhere", []) == [BATCH]
    assert "neighbours" not in OFF.model_dump()["propose"]
    assert campaign_fingerprint(OFF, "x") != campaign_fingerprint(ON, "x")


@pytest.mark.parametrize("detector", ["empty", "file"])
def test_proposals_of_no_detector_stay(files, detector):
    offered = replace(OFFERED, detector=detector)
    assert mend_by_files(ON, offered, files, BATCH) is offered


def test_only_near_images_of_one_size_are_mended(files):
    made = mend_by_files(ON, OFFERED, files, BATCH)
    assert made.boxes == {**OFFERED.boxes, "a": merge(FOUND, LABEL)[0]}
    assert made.neighbours.images == {"a": NEAR["a"]}
    assert as_proposed(made) == OFFERED
    # Again, as where only the thresholds are fitted anew, it is the same.
    assert mend_by_files(ON, made, files, BATCH) == made
    assert mend_by_files(OFF, made, files, BATCH) == OFFERED


def test_labels_that_exist_stay_and_nothing_else_scores_as_they_do(files):
    """Older versions mended labels, too, and kept what was as sure as they are."""
    sure = proposed(("cat", 0, 0, 10, 10, 1.0), ("cat", 20, 20, 30, 30, 1.0))
    batch = replace(BATCH, labels={"c": boxes(("cat", 1, 0, 11, 10), ("cat", 40, 40, 50, 50))})
    artifacts.write_images(
        files["images"],
        ImageSet(tuple(ImageRef(i, f"{i}.png", 64, 64, i * 8) for i in "abcxy"), ("cat", "dog")),
    )
    offered = existing.add(batch, replace(OFFERED, boxes={"a": sure, "b": sure}))
    made = mend_by_files(ON, offered, files, batch)
    assert list(made.neighbours.images) == ["a"]
    assert made.boxes["c"] == offered.boxes["c"]
    assert made.boxes["a"].scores.max() < SURE
    assert mend_by_files(ON, made, files, batch) == made
    label, used = offered.boxes["c"], made.neighbours
    mended_label = merge(label, LABEL)[0]
    old = replace(
        made,
        boxes={**made.boxes, "a": merge(sure, LABEL)[0], "c": mended_label},
        neighbours=replace(
            used, images={**used.images, "c": NEAR["c"]}, own={"a": sure, "c": label}
        ),
    )
    assert mend_by_files(ON, old, files, batch) == made
    assert mend_by_files(OFF, old, files, batch) == offered


def test_a_part_held_out_of_the_first_batch_is_judged(files):
    labels = {"x": LABEL, "h": LABEL}
    artifacts.write_labeled(files["labeled"], LabeledSet(("cat", "dog"), ("b00",), labels))
    images = artifacts.read_images(files["images"])
    more = ImageRef("h", "h.png", 64, 64, "hhhh")
    artifacts.write_images(files["images"], replace(images, images=(*images.images, more)))
    batch = replace(BATCH, neighbours={**NEAR, "h": Neighbour("x", 0.1)})
    # What is right and shown anyway leaves nothing to save.
    saved = proposals({"h": proposed(("cat", 2, 0, 12, 10, 0.9))}, batch="held-out part of b00")
    artifacts.write_training(files["training"], replace(LOG, held_out=saved))
    assert mend_by_files(ON, OFFERED, files, batch) is OFFERED
    right = replace(saved, boxes={"h": proposed(("cat", 2, 0, 12, 10, 0.3))})
    artifacts.write_training(files["training"], replace(LOG, held_out=right))
    used = mend_by_files(ON, OFFERED, files, batch).neighbours
    assert (used.found, used.expected_saving) == ("held-out part of b00", 1.0)


def test_a_batch_is_judged_by_what_the_detector_proposed(files):
    made = mend_by_files(ON, OFFERED, files, BATCH)
    artifacts.write_proposals(files["proposals"], made)
    final = {"a": LABEL, "b": LABEL, "c": boxes()}
    corrected = corrections(made.boxes, final, batch="b02")
    empty = artifacts.Evidence("b02", 3, 2, (1.0,), ())
    judged = judge_by_files(ON, corrected, files, empty)
    near = {i: NEAR[i] for i in "ab"}
    shown = {0.5: 0.5, 0.7: 0.5}
    assert judged.neighbours == judge(OFFERED.boxes, {"x": LABEL}, near, final, shown, 0.05)
    assert judge_by_files(OFF, corrected, files, empty) is empty
    artifacts.write_evidence(files["evidence"], (judged,))
    assert artifacts.read_evidence(files["evidence"]) == (judged,)


def test_the_record_survives_its_file_and_says_what_was_done(files):
    made = mend_by_files(ON, OFFERED, files, BATCH)
    artifacts.write_proposals(files["proposals"], made)
    assert artifacts.read_proposals(files["proposals"]) == made
    assert artifacts.read_batch(files["batch"]) == BATCH
    text = in_words(made.neighbours)
    assert text == (
        "1 image mended by the labels of one not farther than 0.3 (1 box confirmed), of which"
        " nothing is known yet"
    )
    content = vars(made.neighbours)
    assert recorded(content) == text
    paths = CampaignPaths(files["proposals"].parent)
    for key, offered in (("b01", OFFERED), ("b02", made)):
        artifacts.write_proposals(paths.proposals(key), offered)
    assert mended(paths, ON, ["b01", "b02", "b03"]) == {"b02": text}
    assert mended(paths, OFF, ["b02"]) == {}
    assert recorded(None) == recorded({"images": 3}) == recorded([]) == ""


def test_a_record_of_other_images_is_refused(files):
    made = mend_by_files(ON, OFFERED, files, BATCH)
    artifacts.write_proposals(files["proposals"], made)
    text = files["proposals"].read_text()
    files["proposals"].write_text(text.replace('"a"', '"other"', 1))
    with pytest.raises(ArtifactError, match="proposals.json"):
        artifacts.read_proposals(files["proposals"])


@given(
    st.dictionaries(st.sampled_from("abc"), any_boxes(scored=True), min_size=1),
    any_boxes(scored=False),
    st.sampled_from([None, *LIMITS]),
    st.floats(0, 1),
)
def test_what_is_not_near_stays_the_very_same(table, labels, limit, distance):
    offered = proposals(table)
    near = {i: Neighbour("x", distance) for i in "ab"}
    made = mend(offered, {"x": labels}, near, Choice(limit, None, "prior"))
    if limit is None or distance > limit:
        assert made is offered
    assert as_proposed(made) == offered
    for image_id in table.keys() & {"c"}:
        assert made.boxes[image_id] is table[image_id]


def test_batches_name_neighbours_only_where_there_are_some(tmp_path):
    path, batches = tmp_path / "features.npz", [Batch("b00", ("a",)), Batch("b01", ("b", "c"))]
    far = np.eye(3, dtype=np.float32)
    artifacts.write_features(path, FeatureTable(("a", "b", "c"), far))
    assert plan(ON, batches, path, []) == batches
    artifacts.write_batch(tmp_path / "on.json", plan(ON, batches, path, [])[1])
    artifacts.write_batch(tmp_path / "off.json", batches[1])
    assert (tmp_path / "on.json").read_bytes() == (tmp_path / "off.json").read_bytes()
    near = np.array([[1, 0, 0], [1, 0.1, 0], [0, 0, 1]], np.float32)
    artifacts.write_features(path, FeatureTable(("a", "b", "c"), near))
    found = plan(ON, batches, path, [])[1].neighbours
    assert {i: n.image for i, n in found.items()} == {"b": "a"}
    with pytest.raises(ArtifactError, match=r"features.npz: image d has no feature vector"):
        plan(ON, [*batches, Batch("b02", ("d",))], path, [])
