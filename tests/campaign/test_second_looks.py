"""Second looks in the journal: apart from the labels, through copies, renamed classes and files."""

import json
import shutil
import statistics
from dataclasses import replace

import numpy as np
import pytest

from boxloop.campaign import artifacts, class_changes, second_looks, submissions
from boxloop.campaign.class_changes import ClassChange
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.rechecking import recheck_work
from boxloop.core.types import Batch, ImageSet, PlantedError
from boxloop.core.workload import account
from boxloop.errors import ArtifactError, UserError
from boxloop.params import load_params
from boxloop.report.second_looks import looks_text, to_entries
from boxloop.review.collect import collect
from boxloop.review.fiftyone import looks as sessions
from boxloop.review.fiftyone.assignment import Look, Part
from boxloop.review.fiftyone.qa import marked
from builders_sessions import CLASSES, campaign, images

BATCHES = {"b00": images(1, ()), "b01": images(6, first=1)}
IDS = list(BATCHES["b01"])
IOU = 0.5


@pytest.fixture
def paths(tmp_path):
    made = campaign(tmp_path / "c", BATCHES)
    for key, table in BATCHES.items():
        artifacts.write_batch(made.batch(key), Batch(key, tuple(table)))
    person(made, "ann", relabel=("img01",))
    return made


def assigned(paths, reviewer, look=None, redo=False):
    params = load_params(paths.root / "params.yaml")
    batch = artifacts.read_images(paths.images)
    refs = {i: ref for i, ref in batch.by_id().items() if i in IDS}
    return sessions.assign(paths, params, look, reviewer, Part(), refs, batch.classes, redo=redo)


def submission(paths, items, reviewer, batch="b01", *, relabel=(), remove=(), shift=0.0):
    """What a person makes of a session's images; boxes may be shifted by so many pixels."""
    final = {}
    for item in items:
        boxes, image_id = item.start, item.image.id
        if image_id in remove:
            boxes = boxes.select(np.arange(1, len(boxes)))
        labels = boxes.labels.copy()
        if image_id in relabel:
            labels[0] = "dog" if labels[0] == "cat" else "cat"
        final[image_id] = replace(
            boxes, labels=labels, xyxy=boxes.xyxy + np.array([shift, 0, shift, 0])
        )
    first = items[0]
    offered = {item.image.id: item.proposals.boxes[item.image.id] for item in items}
    return sessions.Corrections(
        replace(first.proposals, batch=batch, boxes=offered),
        first.score_threshold,
        "fiftyone",
        final,
        reviewer,
        dict.fromkeys(final, 2.0),
        submissions.timestamp(),
        digests={item.image.id: item.image.digest for item in items},
        classes=artifacts.read_images(paths.images).classes,
    )


def person(paths, reviewer, look=None, redo=False, **edits):
    """Takes a whole session: the first look, or a second or third one."""
    if look is None:
        proposals = artifacts.read_proposals(paths.proposals("b01"))
        refs = artifacts.read_images(paths.images).by_id()
        items = [sessions.new_item(refs[i], proposals, 0.5) for i in IDS]
        return submissions.append(paths.reviews, submission(paths, items, reviewer, **edits))
    assignment = assigned(paths, reviewer, look, redo)
    made = submission(paths, assignment.items, reviewer, **edits)
    sessions.writer(assignment)(paths.reviews, made)
    return None


ALSO, THIRD = Look("b01"), Look("b01", third=True)


def read(paths):
    return second_looks.read(paths, BATCHES)


def corrected(paths):
    params, out = load_params(paths.root / "params.yaml"), paths.corrections("b01")
    files = (paths.images, paths.truth, paths.proposals("b01"), out)
    return collect(paths, params.review, *files, say=lambda text: None)


def test_a_second_look_is_never_a_label(paths):
    before = corrected(paths)
    person(paths, "bob", ALSO, remove=("img02",))
    assert corrected(paths) == before
    assert len(submissions.read(paths.reviews)) == 1
    (file,) = submissions.submission_files(paths.reviews, look=True)
    assert file.name.endswith("-bob.look.json")
    ((_, item),) = submissions.read_files(paths.reviews, look=True)
    assert item.reviewer == "bob"
    # An older version knows format 1 only, and says of any other that a newer one wrote it.
    assert json.loads(file.read_text())["format"] == "boxloop/corrections@2"
    # Neither passes for the other under another name.
    file.rename(paths.reviews / file.name.replace(".look", ""))
    with pytest.raises(ArtifactError, match="is a second look, which its name does not say"):
        submissions.read(paths.reviews)


def test_a_label_under_the_name_of_a_look_is_refused(paths):
    (file,) = submissions.submission_files(paths.reviews)
    file.rename(file.with_suffix(".look.json"))
    with pytest.raises(ArtifactError, match="is no second look, which its name does not say"):
        read(paths)
    with pytest.raises(ArtifactError, match="it holds labels, so bring it back"):
        second_looks.for_status(paths, BATCHES, IOU)


def test_a_box_beyond_its_image_is_told_with_the_file(paths):
    for redo in (False, True):
        person(paths, "bob", ALSO, redo)
    _, bad = submissions.submission_files(paths.reviews, look=True)
    content = json.loads(bad.read_text())
    content["boxes"]["img03"][0]["xyxy"] = [1, 1, 5000, 9]
    bad.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=f"{bad.name}: a box of image img03 reaches beyond"):
        read(paths)


def test_copies_of_a_campaign_are_read_as_one(paths, tmp_path):
    person(paths, "bob", ALSO, remove=("img02",))
    person(paths, "eve", THIRD)
    found = read(paths)
    copy = tmp_path / "c" / ".dvc" / "tmp" / "exps" / "one"
    shutil.copytree(paths.root / "reviews", copy / "reviews")
    shutil.copytree(paths.root / "data", copy / "data")
    both = CampaignPaths(copy)
    assert len(both.journals) == 2
    assert [look.image_id for look in read(both).images] == [i.image_id for i in found.images]
    assert read(both).work == found.work
    # What nobody copied is read from the folder that it is a copy of.
    for file in submissions.submission_files(copy / "reviews", look=True):
        file.unlink()
    assert read(both).work == found.work


def test_a_decision_survives_without_the_journal_and_goes_through_the_stage_again(paths):
    corrected(paths)
    person(paths, "bob", ALSO, remove=("img02",))
    person(paths, "eve", THIRD, remove=("img02",))
    made = corrected(paths)
    assert set(made.decided) == {"img01", "img02"}
    assert made.reviewer == "ann"  # whose work WB and WT are of
    assert made.revision == 1
    assert made.decided["img02"].reviewer == "eve"
    assert len(made.boxes["img02"]) == 2
    for file in submissions.submission_files(paths.reviews):
        file.unlink()
    again = corrected(paths)  # from what DVC restores
    assert again == made
    assert artifacts.read_corrections(paths.corrections("b01")) == made


def test_a_damaged_decision_is_refused_by_name(paths):
    person(paths, "bob", ALSO, remove=("img02",))
    person(paths, "eve", THIRD)
    file = submissions.submission_files(paths.reviews)[-1]
    whole = json.loads(file.read_text())

    def damaged(change):
        content = json.loads(json.dumps(whole))
        change(content["decided"])
        file.write_text(json.dumps(content))
        with pytest.raises(ArtifactError, match=file.name):
            submissions.read(paths.reviews)

    for key in ("first", "shown", "images"):
        damaged(lambda decided, key=key: decided.pop(key))
        damaged(lambda decided, key=key: decided[key].pop("img01"))
        damaged(lambda decided, key=key: decided.update({key: []}))
        damaged(lambda decided, key=key: decided[key].update(img05=decided[key]["img01"]))
    damaged(lambda decided: decided["images"]["img01"].update(seconds=-1))
    damaged(lambda decided: decided["images"]["img01"].update(looks=["2024-01-01"]))
    damaged(lambda decided: decided["images"]["img01"].update(looks=["soon", "2024-01-01"]))
    damaged(lambda decided: decided["images"]["img01"].pop("reviewer"))
    damaged(lambda decided: decided["first"]["img01"][0].update(score=0.5))
    damaged(lambda decided: decided.update(more=1))
    file.write_text(json.dumps(whole))
    assert len(submissions.read(paths.reviews)) == 2


def test_classes_that_are_renamed_are_renamed_in_all_looks(paths):
    person(paths, "bob", ALSO, relabel=("img02",))
    person(paths, "eve", THIRD)
    before = read(paths)
    last = max(
        submissions.submitted_at(s, i) for s in submissions.read(paths.reviews) for i in s.boxes
    )
    change = ClassChange("rename", "cat", "lynx", last.replace(year=last.year + 1))
    class_changes.append(paths.reviews, change, ("lynx", "dog"))
    known = artifacts.read_images(paths.images)
    artifacts.write_images(paths.images, ImageSet(known.images, ("lynx", "dog")))
    after = read(paths)
    assert [look.image_id for look in after.images] == [look.image_id for look in before.images]
    assert after.work == before.work
    assert after.agreements(IOU) == before.agreements(IOU)
    names = {str(x) for look in after.images for b in (look.first, look.second) for x in b.labels}
    assert names == {"lynx", "dog"}
    (decision,) = [s for s in submissions.read(paths.reviews) if s.decided]
    assert {str(x) for d in decision.decided.values() for x in d.shown.labels} == {"lynx", "dog"}


def test_looks_at_other_pixels_do_not_count_and_are_told(paths):
    person(paths, "bob", ALSO, remove=("img02",))
    known = artifacts.read_images(paths.images)
    changed = [replace(r, digest="0" * 64) if r.id == "img02" else r for r in known.images]
    artifacts.write_images(paths.images, ImageSet(tuple(changed), CLASSES))
    found = read(paths)
    assert [look.image_id for look in found.images] == [i for i in IDS if i != "img02"]
    assert any("'boxloop review b01 --also'; with --redo it opens" in note for note in found.notes)


def test_looks_at_an_image_that_left_the_dataset_are_set_aside(paths):
    """As labels are: they are kept, and count again once the image is back."""
    known = artifacts.read_images(paths.images)
    apart = [replace(ref, digest=f"{i:064}") for i, ref in enumerate(known.images)]
    known = replace(known, images=tuple(apart))  # else it would be taken for one that is the same
    artifacts.write_images(paths.images, known)
    person(paths, "ann", relabel=("img01",))
    person(paths, "bob", ALSO, remove=("img02", "img03"))
    person(paths, "eve", THIRD)
    before = read(paths)
    left = tuple(ref for ref in known.images if ref.id != "img02")
    artifacts.write_images(paths.images, replace(known, images=left))
    (file,) = submissions.submission_files(paths.reviews, look=True)
    found = read(paths)
    assert [look.image_id for look in found.images] == [i for i in IDS if i != "img02"]
    assert [(row.look, row.images) for row in found.work] == [("second", 5), ("third", 2)]
    gone = f"{file} labels image img02, not among the dataset's images now: the labels are kept,"
    assert any(note.startswith(gone) for note in found.notes)
    assert second_looks.for_status(paths, BATCHES, IOU)[0].startswith("5 images have a second look")
    # Sessions open as well, and none shows the image.
    again = {item.image.id for item in assigned(paths, "bob", ALSO, redo=True).items}
    assert again == {look.image_id for look in found.images}
    person(paths, "bob", ALSO, redo=True, remove=("img04",))
    assert "img04" in {item.image.id for item in assigned(paths, "eve", THIRD).items}
    artifacts.write_images(paths.images, known)
    assert {look.image_id for look in read(paths).images} == {i.image_id for i in before.images}


def test_a_redone_second_look_opens_what_was_decided(paths):
    person(paths, "bob", ALSO, remove=("img02",))
    person(paths, "eve", THIRD)
    assert not read(paths).differing(IOU)
    person(paths, "bob", ALSO, redo=True, relabel=("img03",), remove=("img04",))
    found = read(paths)
    assert {look.image_id for look in found.differing(IOU)} == {"img01", "img02", "img03", "img04"}
    (work,) = (row for row in found.work if row.look == "second")
    assert (work.images, work.seconds) == (len(IDS), 2.0 * len(IDS))


def test_status_counts_what_a_third_person_decided(paths):
    person(paths, "bob", ALSO, remove=("img02",))
    assert second_looks.for_status(paths, BATCHES, IOU)[0].startswith(
        "6 images have a second look; on 2 two people differ: "
    )
    person(paths, "eve", THIRD)
    assert second_looks.for_status(paths, BATCHES, IOU)[0] == (
        "6 images have a second look, 2 of them decided by a third person; no two people differ."
    )


def test_status_names_the_batches_of_today(paths):
    """Those that the images were labeled in may have been cut anew since."""
    person(paths, "bob", ALSO, remove=("img02", "img03"))
    artifacts.write_batch(paths.batch("b00"), Batch("b00", ("img00", "img01", "img02")))
    artifacts.write_batch(paths.batch("b01"), Batch("b01", ("img04", "img05", "img06")))
    assert second_looks.for_status(paths, BATCHES, IOU) == (
        "6 images have a second look; on 3 two people differ: 'boxloop review b00 --disagreements"
        " --reviewer NAME' lets a third one decide (1 of them in no batch).",
        (),
    )
    known = artifacts.read_images(paths.images)
    changed = [
        replace(r, digest="0" * 64) if r.id in ("img02", "img03") else r for r in known.images
    ]
    artifacts.write_images(paths.images, ImageSet(tuple(changed), CLASSES))
    _, notes = second_looks.for_status(paths, BATCHES, IOU)
    (of_b00,) = [note for note in notes if "img02" in note and ".look.json" in note]
    assert "'boxloop review b00 --also'; with --redo it opens" in of_b00
    (of_none,) = [note for note in notes if "img03" in note and ".look.json" in note]
    assert "label it anew (once it is in a batch: list more iterations)" in of_none


def test_two_people_who_look_at_each_other_s_images_are_one_pair(paths):
    (item,) = submissions.read(paths.reviews)
    submissions.append(paths.reviews, replace(item.part(["img06"]), reviewer="kim"))
    person(paths, "kim", ALSO)
    person(paths, "ann", ALSO, remove=("img06",))
    assert {look.people for look in read(paths).images} == {("ann", "kim"), ("kim", "ann")}
    [(people, found)] = read(paths).agreements(IOU).items()
    assert (people, found.images, found.differing) == (("ann", "kim"), 6, 2)


def test_the_labels_of_a_redo_that_changes_nothing_stay_decided(paths):
    person(paths, "bob", ALSO, remove=("img02",))
    person(paths, "eve", THIRD, remove=("img02",))
    label = corrected(paths)
    redo = replace(label, decided={}, finished=submissions.timestamp(), submitted={}, revision=1)
    submissions.append(paths.reviews, redo)
    found = read(paths)
    assert not found.differing(IOU)
    assert found.agreements(IOU)["ann", "bob"].differing == 2  # of the looks, not of the decisions
    # Beside a newer second look it is the first one, which WB and WT count already.
    person(paths, "bob", ALSO, redo=True, relabel=("img03",))
    first = {look.image_id: look.first for look in read(paths).images}
    assert first["img02"] == label.boxes["img02"]


def qa(paths, reviewer, image_ids, **edits):
    """Takes a look for likely errors: at the labels that images have."""
    known = submissions.latest(submissions.read(paths.reviews))
    refs = artifacts.read_images(paths.images).by_id()
    chosen = sessions.Assignment(
        "second-look", CLASSES, (), (), reviewer, qa={i: known[i] for i in image_ids}
    )
    items = [sessions.submitted_item(refs[i], known[i]) for i in image_ids]
    made = submission(paths, items, reviewer, **edits)
    submissions.append(paths.reviews, marked(made, chosen))


def test_a_look_for_likely_errors_leaves_the_agreement_of_the_two_as_it_was(paths):
    person(paths, "bob", ALSO, relabel=("img02", "img03"))
    before, status = read(paths), second_looks.for_status(paths, BATCHES, IOU)
    # On img01 and img02 the two differ, on img04 they do not.
    qa(paths, "kim", ("img01", "img04"), relabel=("img04",), remove=("img01",))
    after = read(paths)
    assert after.agreements(IOU) == before.agreements(IOU)
    assert {look.people for look in after.images} == {("ann", "bob")}
    assert second_looks.for_status(paths, BATCHES, IOU) == status
    # So it is where what DVC has is all that is left, and where bob is who looks.
    corrected(paths)
    qa(paths, "bob", ("img04",), remove=("img04",))
    assert read(paths).agreements(IOU) == before.agreements(IOU)
    corrected(paths)
    for file in submissions.submission_files(paths.reviews):
        file.unlink()
    assert read(paths).agreements(IOU) == before.agreements(IOU)
    assert {look.people for look in read(paths).images} == {("ann", "bob")}


def test_a_third_person_decides_on_the_labels_with_what_a_look_put_right(paths):
    person(paths, "bob", ALSO, relabel=("img02", "img03"))
    before = read(paths)
    qa(paths, "kim", ("img02", "img03"), relabel=("img02",), remove=("img03",))
    # Of img02 kim makes what bob has: nothing is left to decide there.
    assert {look.image_id for look in read(paths).differing(IOU)} == {"img01", "img03"}
    assignment = assigned(paths, "eve", THIRD)
    known = submissions.latest(submissions.read(paths.reviews))["img03"].boxes["img03"]
    (start,) = (item.start for item in assignment.items if item.image.id == "img03")
    assert set(known.ids.tolist()) <= set(start.ids.tolist())
    assert any(words.startswith("bob has 'dog'") for words in assignment.notes["img03"])
    assert all(words.endswith("kim none") for words in assignment.notes["img03"])
    # Neither the first person nor who looked again decides what is theirs.
    assert [item.image.id for item in assigned(paths, "kim", THIRD).items] == ["img01"]
    for name in ("ann", "bob"):
        with pytest.raises(UserError, match=f"{name} is one of the two who differ on 2 images"):
            assigned(paths, name, THIRD)
    person(paths, "eve", THIRD)
    label = corrected(paths)
    assert label.decided["img03"].first == known
    assert recheck_work([label]).edits.removed == 1
    # The labels are decided now, or confirmed by a redo: the agreement is that of the two.
    assert not read(paths).differing(IOU)
    assert read(paths).agreements(IOU) == before.agreements(IOU)
    redo = replace(label.part(label.decided), decided={}, rechecked={}, submitted={})
    submissions.append(paths.reviews, replace(redo, finished=submissions.timestamp()))
    assert read(paths).agreements(IOU) == before.agreements(IOU)


def test_who_looked_again_is_told_to_have_another_person_decide(paths):
    person(paths, "bob", ALSO)
    qa(paths, "kim", ("img01",), remove=("img01",))
    with pytest.raises(UserError, match="kim looked again at the labels of 1 image of b01 on"):
        assigned(paths, "kim", THIRD)


def test_a_look_at_a_confirmed_decision_leaves_the_agreement_as_it_was(paths):
    person(paths, "bob", ALSO, remove=("img02",))
    person(paths, "eve", THIRD, remove=("img02",))
    redo = replace(corrected(paths), decided={}, finished=submissions.timestamp(), revision=1)
    submissions.append(paths.reviews, replace(redo, submitted={}))
    before = read(paths)
    qa(paths, "kim", ("img02", "img03"), relabel=("img02",))
    assert read(paths).agreements(IOU) == before.agreements(IOU)
    assert not read(paths).differing(IOU)


def test_every_number_can_be_recounted_from_the_journal(paths):
    """Thirty lines that use nothing of boxloop's."""
    person(paths, "bob", ALSO, relabel=("img02",), remove=("img03",), shift=2.0)
    person(paths, "eve", THIRD, remove=("img03",))
    entry = to_entries(read(paths), IOU)["second_looks"]

    files = [json.loads(path.read_text()) for path in sorted(paths.reviews.glob("*.json"))]
    files.sort(key=lambda file: file["finished"])
    first, second, third = {}, {}, {}
    for file in files:
        for image, boxes in file["boxes"].items():
            if file.get("look") == "second":
                second[image] = boxes
            elif image in file.get("decided", {}).get("images", {}):
                third[image] = (file["decided"]["shown"][image], boxes)
            else:
                first[image] = boxes

    def iou(a, b):
        (p, q, r, s), (t, u, v, w) = a["xyxy"], b["xyxy"]
        both = max(0, min(r, v) - max(p, t)) * max(0, min(s, w) - max(q, u))
        return both / ((r - p) * (s - q) + (v - t) * (w - u) - both)

    pairs = []
    for image in second:
        rows = [(iou(a, b), a, b) for a in first[image] for b in second[image]]
        left = [row for row in rows if row[0] >= entry["iou_threshold"]]
        while left:
            best = max(left, key=lambda row: (row[0], row[1]["label"] == row[2]["label"]))
            pairs.append(best)
            left = [row for row in left if row[1] is not best[1] and row[2] is not best[2]]
    same = [a["label"] == b["label"] for _, a, b in pairs]
    names = {a["label"] for _, a, _ in pairs}
    share = [[sum(p[k]["label"] == n for p in pairs) / len(pairs) for n in names] for k in (1, 2)]
    chance = sum(x * y for x, y in zip(*share, strict=True))
    total = sum(map(len, second.values())) + sum(len(first[image]) for image in second)
    removed = sum(len(shown) - len(final) for shown, final in third.values())

    found = entry["people"]["ann and bob"]
    assert (found["matched"], found["same_label"]) == (len(pairs), sum(same))
    assert found["found"]["value"] == pytest.approx(2 * len(pairs) / total)
    assert found["iou"]["value"] == pytest.approx(statistics.mean(row[0] for row in pairs))
    assert found["labels"]["value"] == pytest.approx(sum(same) / len(same))
    kappa = (sum(same) / len(same) - chance) / (1 - chance)
    assert found["kappa"]["value"] == pytest.approx(kappa)
    assert entry["work"]["third"]["eve"]["removed"] == removed == 1
    assert (entry["images"], entry["decided"], entry["open"]) == (len(second), len(third), 0)
    assert len(second) == found["images"] == 6
    text = looks_text(read(paths), IOU)
    assert f"decided by a third person: {len(third)}; still open: 0" in text
    assert "ann and bob" in text


def test_nobody_s_second_look_says_nothing(paths):
    assert to_entries(read(paths), IOU) == {}
    assert looks_text(read(paths), IOU) == ""
    assert second_looks.for_status(paths, BATCHES, IOU) == ("", ())


def test_a_decision_keeps_how_its_image_was_shown_and_looked_at_before(paths):
    """Blind, or with a planted error, or after a look for likely errors: all counts as before."""
    (item,) = submissions.read(paths.reviews)
    error = PlantedError("hidden", "p0", "", "cat", (10, 10, 30, 30), 0.9, "caught", "ann")
    tried = replace(item, blind=("img02",), planted={"img03": (error,)})
    submissions.append(paths.reviews, tried)
    counted = account(corrected(paths), (IOU,), (), {})
    known = submissions.latest(submissions.read(paths.reviews))
    looked = sessions.Assignment(
        "second-look", CLASSES, (), (), "kim", qa={"img04": known["img04"]}
    )
    fixed = replace(tried.part(["img04"]), reviewer="kim", seconds={"img04": 5.0})
    fixed = replace(fixed, boxes={"img04": fixed.boxes["img04"].select(np.array([0]))})
    submissions.append(paths.reviews, marked(fixed, looked))
    # The second person has no proposals either where the first one had none.
    second = {item.image.id: item for item in assigned(paths, "bob", ALSO).items}
    assert [i for i, item in second.items() if item.blind] == ["img02"]
    person(paths, "bob", ALSO, remove=["img03", "img04"])
    person(paths, "eve", THIRD, remove=("img03",))
    made = corrected(paths)
    assert {"img02", "img03", "img04"} <= made.decided.keys()
    assert (made.blind, made.planted) == (("img02",), {"img03": (error,)})
    assert (made.reviewer, made.rechecked["img04"].by) == ("ann", "kim")
    assert account(made, (IOU,), (), {}) == replace(counted, revision=made.revision)
    # What kim removed is kim's work still, whatever eve made of it.
    work = recheck_work([made])
    assert (work.images, work.edits.removed, work.edits.added) == (
        1,
        len(item.boxes["img04"]) - 1,
        0,
    )
    # Nobody who had a hand in an image's labels takes the second look at it.
    assert sessions.labelers(known["img01"], "img01") == {"ann"}
    assert sessions.labelers(made, "img04") == {"ann", "kim"}


def test_nobody_looks_a_second_time_at_a_planted_error_that_waits(paths):
    (item,) = submissions.read(paths.reviews)
    error = PlantedError("hidden", "p0", "", "cat", (10, 10, 30, 30), 0.9, "missed", "ann")
    submissions.append(paths.reviews, replace(item, planted={"img03": (error,)}))
    assert {item.image.id for item in assigned(paths, "bob", ALSO).items} == set(IDS) - {"img03"}


def test_whose_a_label_is_does_not_change_once_dvc_knows_it(paths):
    """What DVC has is put together of the batch, and names everybody who had a part in it."""
    (item,) = submissions.read(paths.reviews)
    submissions.append(paths.reviews, replace(item.part(["img06"]), reviewer="kim"))
    assert corrected(paths).reviewer == "ann, kim"
    assert set(IDS) - {"img06"} == {i.image.id for i in assigned(paths, "kim", ALSO).items}
    person(paths, "bob", ALSO)
    assert {look.people[0] for look in read(paths).images} == {"ann", "kim"}
