"""Progress, counts, checks and submission of a session, through the App's endpoints."""

import json
import threading
import time
from dataclasses import replace

import pytest

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.at_work import changing
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Boxes
from boxloop.core.workload import account, total
from boxloop.errors import UserError
from boxloop.params import load_params
from boxloop.review.collect import collect
from boxloop.review.fiftyone import controller as controller_module
from boxloop.terminal import percent
from builders_reviews import submission
from builders_sessions import OFFERED, A, B, C, D, Session, campaign, images, offer

MOVED = (20, 10, 40, 30)  # IoU with A: 1/3


@pytest.fixture
def paths(tmp_path):
    return campaign(tmp_path / "c", {"b00": images(2, ()), "b01": images(4, first=2)})


@pytest.fixture
def open_session(datasets, server, paths):
    return lambda key="b00", **options: Session(server, paths, key, **options)


def by_the_pipeline(paths, *keys):
    """What the stages after the review make of the journal: totals by IoU threshold."""
    params = load_params(paths.root / "params.yaml")
    workloads = []
    for key in keys:
        out = paths.corrections(key)
        files = (paths.images, paths.truth, paths.proposals(key), out)
        collect(paths, params.review, *files, say=lambda text: None)
        corrections = artifacts.read_corrections(out)
        workload = account(corrections, params.account.iou_thresholds, (), {})
        artifacts.write_workload(paths.workload(key), workload)
        workloads.append(artifacts.read_workload(paths.workload(key)))
    return {iou: total(workloads, iou) for iou in params.account.iou_thresholds}


def draw_first_batch(open_session):
    session = open_session("b00")
    session.app.draw("img00", A, "cat")
    session.app.draw("img00", B, "dog")
    session.app.draw("img01", C, "cat")
    return session


# --- while people work ----------------------------------------------------------------------------


def test_progress_and_counts_follow_every_edit(open_session):
    app = open_session("b01").app
    assert app.overview()["reviewed"] == 0
    app.mark("img02")
    app.relabel("img02", "p0", "dog")
    app.move("img02", "p1", MOVED)
    app.relabel("img03", "p0", "dog")  # not marked: not counted yet
    view = app.overview()
    assert view["reviewed"] == 1
    assert view["objects"] == 3
    assert view["edits"] == {"kept": 1, "moved": 1, "relabeled": 1, "removed": 0, "added": 0}
    app.delete("img02", "p2")
    app.draw("img02", D, "cat")
    app.mark("img03")
    view = app.overview()
    assert view["edits"] == {"kept": 2, "moved": 1, "relabeled": 2, "removed": 1, "added": 1}
    app.mark("img02", reviewed=False)
    assert app.overview()["edits"] == {
        "kept": 2, "moved": 0, "relabeled": 1, "removed": 0, "added": 0
    }  # fmt: skip


def test_the_summary_calls_a_loss_one(open_session, paths):
    draw_first_batch(open_session).finish()
    by_the_pipeline(paths, "b00")
    session = open_session("b01")
    for image in session.app.samples():
        for box in ("p0", "p1", "p2"):
            session.app.delete(image, box)
    text = session.finish()
    assert "at IoU 0.5: WB 15 boxes (400.0 % more work), WT 9 T (200.0 % more work)" in text


def test_the_next_image_is_one_that_waits_in_order_and_round_again(open_session):
    session = open_session("b01")
    samples = session.app.samples()
    names = {sample: name for name, sample in samples.items()}
    assert names[session.app.mark("img03")["next"]] == "img04"
    assert names[session.app.mark("img05")["next"]] == "img02"
    assert names[session.app.mark("img02")["next"]] == "img04"
    assert session.app.mark("img04")["next"] is None
    assert session.controller.next_waiting(None) is None


def test_the_first_batch_is_drawn_from_scratch(open_session, paths):
    session = draw_first_batch(open_session)
    session.app.mark()
    view = session.app.overview()
    assert view["first_batch"]
    assert view["edits"]["added"] == 3
    assert [(s["wt"], s["wb"]) for s in view["saved"]] == [(0, 0), (0, 0)]
    text = session.submit()["summary"]
    assert "Batch b00: 2 images with 3 boxes are submitted by ann." in text
    assert "0 kept, 0 moved, 0 relabeled, 0 removed, 3 added" in text
    assert "at IoU 0.5: WB 3 boxes (0.0 % saved), WT 3 T (0.0 % saved)" in text
    assert by_the_pipeline(paths, "b00")[0.5].wb == 3
    (made,) = submissions.read(paths.reviews)
    assert made.changes == ()  # a class that is renamed later is told by that, not by the time


def test_faults_of_marked_images_show_at_once_the_others_when_it_is_submitted(open_session):
    session = open_session("b01")
    session.app.relabel("img02", "p0", "?")
    session.app.relabel("img03", "p0", "?")
    assert session.app.overview()["faults"] == []
    session.app.mark("img02")
    (fault,) = session.app.overview()["faults"]
    assert (fault["image"], "no class chosen" in fault["message"]) == ("img02", True)
    result = session.submit()
    told = [(fault["image"], fault["message"]) for fault in result["faults"]]
    waits = [image for image, message in told if message == "is not marked as reviewed yet"]
    assert waits == ["img03", "img04", "img05"]
    assert len(told) == 5
    # From then on the list shrinks while they are put right.
    assert len(session.app.overview()["faults"]) == 5
    session.app.relabel("img03", "p0", "cat")
    session.app.mark("img03")
    assert len(session.app.overview()["faults"]) == 3


# --- time -----------------------------------------------------------------------------------------


def test_a_marked_image_with_a_fault_is_counted_nowhere_and_said(open_session):
    first = draw_first_batch(open_session)
    first.app.add_seconds(img00=4.0)
    first.finish()
    session = open_session("b01")
    session.app.mark("img02")
    session.app.add_seconds(img02=2.0)
    whole = session.app.overview()
    assert whole["not_counted"] == 0
    session.app.move("img03", "p0", (-30, 10, 10, 30))
    session.app.add_seconds(img03=3.0)
    session.app.mark("img03")
    view = session.app.overview()
    assert (view["reviewed"], view["not_counted"]) == (2, 1)
    assert view["cost_seconds"]["spent"] == 2.0
    for counted in ("objects", "edits", "cost", "cost_seconds", "saved", "kept_below"):
        assert view[counted] == whole[counted]
    session.app.move("img03", "p0", MOVED)
    assert session.app.overview()["not_counted"] == 0
    assert session.app.overview()["objects"] == 6


def test_no_more_seconds_count_than_have_passed(open_session):
    session = open_session("b01")
    begun = time.monotonic()
    session.app.add_seconds(img02=2.0, img03=1.5)
    assert session.app.overview()["seconds"] == 3.5
    session.app.add_seconds(img02=1e6)
    assert session.app.overview()["seconds"] < 20 + time.monotonic() - begun
    session.app.add_seconds(img02=1e6, img03=1e6, img04=1e6)
    assert session.app.overview()["seconds"] < 40 + time.monotonic() - begun


def test_two_windows_count_the_time_once(open_session):
    session = open_session("b01")
    begun = time.monotonic()
    for _ in range(20):  # more often than one clock would send as much
        session.app.add_seconds(img02=4.0)
    assert session.app.overview()["seconds"] < 10 + time.monotonic() - begun


def test_seconds_of_images_of_another_session_do_not_count(open_session):
    session = open_session("b01", part="1/2")
    samples = session.dataset._samples.distinct("_id")
    session.app.call("add_seconds", seconds={str(sample): 1.0 for sample in samples} | {"x": 5.0})
    assert session.app.overview()["seconds"] == 2.0


def test_edits_marks_and_seconds_at_one_time_do_not_undo_each_other(open_session):
    """The App writes an image's whole record with each edit; what was noted meanwhile must stay."""
    session = open_session("b01")
    sample = session.app.samples()["img02"]
    stop, added = threading.Event(), []

    def add():
        while not stop.is_set():
            session.dataset.add_seconds({sample: 1.0})
            session.dataset.set_reviewed([sample], len(added) % 2 == 0)
            added.append(1.0)

    thread = threading.Thread(target=add)
    thread.start()
    relabeled = 0
    while relabeled < 25 or len(added) <= 25:
        session.app.relabel("img02", "p0", ("cat", "dog")[relabeled % 2])
        relabeled += 1
    stop.set()
    thread.join()
    image = session.dataset.read()[0]
    assert image.seconds == sum(added)
    assert image.reviewed is (len(added) % 2 == 1)
    session.dataset.read()
    tags = session.app.record("img02")[0]["tags"]
    assert tags == (["reviewed"] if image.reviewed else [])


# --- what it comes to -----------------------------------------------------------------------------


def edit(session, names):
    """Work on four images: two kept wholly, one of each other kind."""
    first, second = names[:2]
    session.app.move(first, "p0", MOVED)
    session.app.relabel(first, "p1", "cat")
    session.app.delete(second, "p2")
    session.app.draw(second, D, "cat")


def test_the_summary_is_what_the_pipeline_then_says(open_session, paths):
    draw_first_batch(open_session).finish()
    # DVC has not run since: the first batch is known from the journal alone.
    session = open_session("b01", part="1/2")
    names = list(session.app.samples())
    edit(session, names)
    session.finish()
    session = open_session("b01", reviewer="bob")
    session.app.delete("img04", "p0")
    session.app.mark()
    view = {s["iou"]: s for s in session.app.overview()["saved"]}
    text = session.submit()["summary"]
    told = by_the_pipeline(paths, "b00", "b01")
    assert set(told) == set(view) == {0.5, 0.7}
    for iou, totals in told.items():
        assert view[iou]["wb"] == totals.wb_reduction
        assert view[iou]["wt"] == totals.wt_reduction
        line = f"so far, {totals.objects} objects, at IoU {iou:g}: WB {totals.wb} boxes"
        assert line in text
        assert f"WT {totals.wt:g} T ({percent(totals.wt_reduction)} saved)" in text
    # By hand: 3 drawn at first; 1 moved, 1 relabeled (2 each), 2 removed, 1 added.
    assert told[0.5].wb == 3 + 4 + 3
    assert told[0.5].wt == 3 + 2 + 1 + 1 + 1


def test_a_batch_before_that_nobody_knows_tells_no_saving(open_session):
    session = open_session("b01")
    session.app.mark()
    assert session.app.overview()["saved"] == []
    assert "so far" not in session.finish()


def test_several_detectors_in_one_batch_are_kept_apart(open_session, paths):
    draw_first_batch(open_session).finish()
    session = open_session("b01")
    edit(session, ["img02", "img03"])
    newer = (("dog", B, 0.9),)
    offer(paths, "b01", images(4, newer, first=2), detector="other")
    session = open_session("b01")
    session.app.relabel("img04", "p0", "cat")
    text = session.finish()
    made = {m.proposals.detector: m for m in submissions.read(paths.reviews)}
    assert set(made) == {"empty", "ssd", "other"}
    assert set(made["ssd"].boxes) == {"img02", "img03"}
    told = by_the_pipeline(paths, "b00", "b01")[0.5]
    assert f"WB {told.wb} boxes" in text
    corrections = artifacts.read_corrections(paths.corrections("b01"))
    assert corrections.proposals.detector == "ssd, other"
    known = artifacts.read_images(paths.images)
    assert corrections.digests == {i: known.by_id()[i].digest for i in corrections.boxes}
    assert corrections.classes == known.classes


# --- the submission -------------------------------------------------------------------------------


def test_submitting_twice_is_submitting_once(open_session, paths):
    session = draw_first_batch(open_session)
    first = session.finish()
    assert session.submit()["summary"] == first
    assert session.said == [first]
    assert len(submissions.read(paths.reviews)) == 1
    assert session.app.overview()["submitted"] == first


def test_two_windows_that_submit_at_one_moment_submit_once(open_session, paths):
    session = draw_first_batch(open_session)
    session.app.mark()
    session.controller._wait_for_autosave = lambda: None
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(session.app.submit())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({result["summary"] for result in results}) == 1
    assert len(results) == 4
    assert len(session.said) == len(submissions.read(paths.reviews)) == 1


def test_work_that_somebody_else_submitted_meanwhile_is_refused(open_session, paths):
    mine = open_session("b01")
    mine.app.mark()
    made = submission_of(paths, "b01", ["img03"], reviewer="bob")
    result = mine.submit()
    assert [(f["image"], "was submitted by bob" in f["message"]) for f in result["faults"]] == [
        ("img03", True)
    ]
    assert [m.reviewer for m in submissions.read(paths.reviews)] == ["bob"]
    # Started again, it is about the others only, which are marked as they were.
    session = open_session("b01")
    assert session.app.reviewed() == {"img02", "img04", "img05"}
    session.finish()
    assert submissions.latest(submissions.read(paths.reviews))["img03"].finished == made.finished


@pytest.mark.parametrize("finished", ["2024-01-01 12:00:00+00:00", "2024-01-01T12:00:00+00:00"])
def test_labels_of_another_program_can_be_redone_however_their_time_is_written(
    open_session, paths, finished
):
    submission_of(paths, "b01", ["img02"], finished=finished)
    session = open_session("b01", redo=True)
    session.app.relabel("img02", "p0", "dog")
    session.finish()
    assert len(submissions.read(paths.reviews)) == 2


def submission_of(paths, key, image_ids, **options):
    from builders_reviews import submission

    proposals = artifacts.read_proposals(paths.proposals(key))
    truth = {i: replace(proposals.boxes[i], scores=None) for i in image_ids}
    made = submission(proposals, truth, image_ids, **options)
    submissions.append(paths.reviews, made)
    return made


def test_a_journal_that_cannot_be_written_is_told_and_nothing_is_lost(open_session, paths):
    session = draw_first_batch(open_session)
    session.app.mark()
    paths.reviews.write_text("in the way")
    error = session.submit()["error"]
    assert error.startswith(f"The batch is not submitted: {paths.reviews} cannot be looked into")
    assert f"let your account write to {paths.reviews}" in error
    paths.reviews.unlink()
    assert "summary" in session.submit()


def test_a_disk_that_is_full_half_way_is_told_and_the_rest_follows(
    open_session, paths, monkeypatch
):
    """Two detectors' proposals make two files; the second one finds no room."""
    draw_first_batch(open_session).finish()
    edit(open_session("b01"), ["img02", "img03"])
    offer(paths, "b01", images(4, (("dog", B, 0.9),), first=2), detector="other")
    session, append, count = open_session("b01"), submissions.append, len(list_files(paths))
    session.app.mark()

    def full(folder, corrections):
        if len(list_files(paths)) > count:
            raise UserError("reviews/x.json cannot be written: No space left on device")
        return append(folder, corrections)

    monkeypatch.setattr(submissions, "append", full)
    assert "No space left on device. No box is lost." in session.submit()["error"]
    assert len(list_files(paths)) == count + 1
    monkeypatch.setattr(submissions, "append", append)
    assert "summary" in session.submit()
    assert len(list_files(paths)) == count + 2
    corrections = submissions.read(paths.reviews)
    assert [item.revision for item in corrections] == [1, 1, 1]


def list_files(paths):
    return submissions.submission_files(paths.reviews)


def test_a_damaged_journal_is_named(open_session, paths):
    session = draw_first_batch(open_session)
    session.app.mark()
    paths.reviews.mkdir()
    (paths.reviews / "b00-x.json").write_text("{")
    assert "b00-x.json is not valid JSON" in session.submit()["error"]
    assert "b00-x.json" in session.app.call("overview")["error"]


def test_a_submission_waits_for_the_app_to_save(open_session, monkeypatch):
    """Edits reach the database up to three seconds late; one of a moment ago is still included."""
    monkeypatch.setattr(controller_module, "AUTOSAVE_SECONDS", 5.0)
    session = draw_first_batch(open_session)
    session.app.mark()
    session.app.add_seconds(img00=1.0)  # the person was there a moment ago
    late = threading.Timer(0.5, lambda: session.app.relabel("img00", first_box(session), "dog"))
    late.start()
    begun = time.monotonic()
    assert "summary" in session.app.submit()
    assert 5.0 <= time.monotonic() - begun < 60
    late.join()
    (made,) = submissions.read(session.paths.reviews)
    assert made.boxes["img00"].labels.tolist() == ["dog", "dog"]


def first_box(session):
    return session.app.record("img00")[0]["boxes"]["detections"][0]["_id"]["$oid"]


def test_a_submission_does_not_wait_for_a_colleague_who_goes_on_editing(open_session, monkeypatch):
    monkeypatch.setattr(controller_module, "AUTOSAVE_SECONDS", 60.0)
    mine = open_session("b01", part="1/2")
    mine.app.mark()
    colleague = open_session("b01", part="2/2", reviewer="bob")
    samples = colleague.dataset._samples
    stop = threading.Event()

    def work():
        while not stop.is_set():
            samples.update_one({"image_id": "img05"}, {"$currentDate": {"last_modified_at": True}})
            time.sleep(0.1)

    thread = threading.Thread(target=work)
    thread.start()
    mine.controller._last_activity = time.monotonic() - 100
    samples.update_many({"image_id": {"$ne": "img05"}}, {"$set": {"last_modified_at": LONG_AGO}})
    begun = time.monotonic()
    assert "summary" in mine.controller.submit()
    assert time.monotonic() - begun < 30
    stop.set()
    thread.join()


LONG_AGO = submissions.parse_time("2024-01-01T00:00:00+00:00")


def test_a_clock_that_was_set_back_does_not_hold_a_submission_up(open_session, monkeypatch):
    monkeypatch.setattr(controller_module, "AUTOSAVE_SECONDS", 0.5)
    session = draw_first_batch(open_session)
    session.app.mark()
    ahead = submissions.parse_time("2100-01-01T00:00:00+00:00")
    session.dataset._samples.update_many({}, {"$set": {"last_modified_at": ahead}})
    begun = time.monotonic()
    assert "summary" in session.app.submit()
    assert time.monotonic() - begun < 60


# --- again ----------------------------------------------------------------------------------------


def test_time_that_was_not_all_measured_stays_unknown_after_a_redo(open_session, paths):
    """As of what another tool corrected: the rest alone would pass for all of it."""
    offered = artifacts.read_proposals(paths.proposals("b00"))
    unlabeled = dict.fromkeys(offered.boxes, Boxes.empty())
    submissions.append(paths.reviews, submission(offered, unlabeled, ["img00"], seconds=None))
    submissions.append(paths.reviews, submission(offered, unlabeled, ["img01"], seconds=4.0))
    session = open_session("b00", redo=True)
    session.app.add_seconds(img00=2.0, img01=1.0)
    session.finish()
    made = submissions.latest(submissions.read(paths.reviews))
    assert {i: item.seconds.get(i) for i, item in made.items()} == {"img00": None, "img01": 5.0}


def test_a_redo_begins_from_the_labels_and_goes_on_counting(open_session, paths):
    draw_first_batch(open_session).finish()
    session = open_session("b01")
    session.app.add_seconds(img02=3.0)
    session.app.relabel("img02", "p0", "dog")
    drawn = session.app.draw("img02", D, "cat")
    session.finish()
    offer(paths, "b01", images(4, (("cat", A, 0.6),), first=2), detector="other")

    session = open_session("b01", redo=True, reviewer="bob")
    assert session.app.reviewed() == set()
    assert session.app.overview()["redo"]
    session.app.add_seconds(img02=2.0)
    session.app.relabel("img02", drawn, "dog")
    session.app.move("img02", "p0", MOVED)
    text = session.finish()
    assert "are submitted again by bob" in text
    made = submissions.latest(submissions.read(paths.reviews))["img02"]
    # The proposals are those that were shown at first, and the edits count from there.
    assert made.proposals.detector == "ssd"
    assert made.seconds["img02"] == 5.0
    assert made.boxes["img02"].labels.tolist() == ["dog", "dog", "cat", "dog"]
    told = by_the_pipeline(paths, "b00", "b01")[0.5]
    assert f"WB {told.wb} boxes" in text
    assert artifacts.read_corrections(paths.corrections("b01")).revision == 2


def test_a_redo_of_an_early_batch_tells_the_totals_of_all(open_session, paths):
    draw_first_batch(open_session).finish()
    open_session("b01").finish()
    session = open_session("b00", redo=True)
    session.app.draw("img01", A, "dog")
    text = session.finish()
    told = by_the_pipeline(paths, "b00", "b01")[0.5]
    assert told.objects == 4 + 12
    assert f"so far, 16 objects, at IoU 0.5: WB {told.wb} boxes" in text


def test_a_redo_can_be_stopped_and_gone_on_with(open_session, paths):
    open_session("b01").finish()
    session = open_session("b01", redo=True)
    session.app.relabel("img02", "p0", "dog")
    session.app.mark("img02")
    session = open_session("b01", redo=True)
    assert session.app.reviewed() == {"img02"}
    session.finish()
    made = submissions.latest(submissions.read(paths.reviews))["img02"]
    assert made.boxes["img02"].labels.tolist() == ["dog", "dog", "cat"]


def test_a_redo_that_somebody_overtook_is_refused(open_session, paths):
    open_session("b01").finish()
    session = open_session("b01", redo=True)
    session.app.mark()
    submission_of(paths, "b01", ["img04"], reviewer="bob")
    (fault,) = session.submit()["faults"]
    assert "was submitted by bob while you worked on it" in fault["message"]


def test_a_submission_waits_for_a_command_that_changes_labels_and_then_looks(open_session, paths):
    open_session("b01").finish()
    session = open_session("b01", redo=True)
    session.app.mark()
    results = []
    submitting = threading.Thread(target=lambda: results.append(session.submit()))
    with changing(paths, print):  # as an import holds it between its look and its writing
        submitting.start()
        submitting.join(1)
        submission_of(paths, "b01", ["img04"], reviewer="bob")
    submitting.join(60)
    assert "was submitted by bob while you worked on it" in results[0]["faults"][0]["message"]


def test_only_submitted_images_can_be_redone(open_session):
    with pytest.raises(UserError, match="batch b01 was not submitted yet: leave --redo out"):
        open_session("b01", redo=True)
    open_session("b01", part="1/2").finish()
    session = open_session("b01", redo=True)
    assert set(session.app.samples()) == {"img02", "img03"}
    # Beside it, somebody reviews the rest, in a view of its own.
    rest = open_session("b01", reviewer="bob")
    assert rest.dataset.view != session.dataset.view


def test_a_summary_says_what_does_not_count_for_a_class_that_is_gone(open_session, paths):
    session = open_session("b01", part="1/2")
    known = artifacts.read_images(paths.images)
    artifacts.write_images(paths.images, replace(known, classes=("feline", "dog")))
    said = session.finish()
    assert "2 of these images do not count: 'cat' is no class of this campaign now" in said
    assert "'boxloop status'" in said
    assert "2 images of b01 wait for somebody else" in said


# --- parts ----------------------------------------------------------------------------------------


def test_parts_are_disjoint_and_the_batch_is_done_when_all_are(open_session, paths):
    one, two = (open_session("b01", part=part) for part in ("1/2", "2/2"))
    names = [{s.image.id for s in session.assignment.items} for session in (one, two)]
    assert names == [{"img02", "img03"}, {"img04", "img05"}]
    assert (one.dataset.view, two.dataset.view) == ("part-1-of-2", "part-2-of-2")
    two.finish()
    assert "2 images of b01 wait for somebody else" in two.said[0]
    session = open_session("b01", part="1/2")
    assert "wait for" not in session.finish()
    assert not submissions.missing(
        submissions.read(paths.reviews), [f"img0{i}" for i in range(2, 6)]
    )


def test_more_parts_than_images_leave_some_without(open_session):
    session = open_session("b00", part="3/3")
    assert len(session.assignment.items) == 1
    with pytest.raises(UserError, match="part 1/3 of batch b00 has no image: the batch has 2"):
        open_session("b00", part="1/3")


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "1/", "/2", "a/b", "1/2/3", "-1/2", "1.5/2"])
def test_a_part_that_is_none_is_refused(open_session, part):
    with pytest.raises(UserError, match=r"must be like 1/2"):
        open_session("b00", part=part)


def test_unknown_batches_and_batches_without_proposals_are_told(open_session, paths):
    with pytest.raises(UserError, match="there is no batch b07: params.yaml lists b00, b01"):
        open_session("b07")
    CampaignPaths(paths.root).proposals("b01").unlink()
    with pytest.raises(UserError, match="batch b01 has no proposals yet: 'dvc repro' makes them"):
        open_session("b01")


def test_other_thresholds_of_the_account_count_in_the_session_too(open_session, paths):
    path = paths.root / "params.yaml"
    content = json.loads(path.read_text())
    content["account"] = {"iou_thresholds": [0.3]}
    path.write_text(json.dumps(content))
    draw_first_batch(open_session).finish()
    session = open_session("b01")
    session.app.move("img02", "p0", MOVED)  # IoU 1/3: right at this threshold
    session.app.mark()
    (saved,) = session.app.overview()["saved"]
    assert (saved["iou"], saved["wb"]) == (0.3, 1 - 3 / (3 + 4 * len(OFFERED[:3])))
