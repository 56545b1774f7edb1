"""The stage `review` on files: what is put together, what is refused, what is never lost."""

import hashlib
import shutil
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from boxloop.campaign import artifacts, class_changes, newer, submissions
from boxloop.campaign.dvc import bring_into_dvc
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Boxes, FittedThreshold, ImageRef, ImageSet, Proposals
from boxloop.errors import ArtifactError, ProtectedLabelsError, ReviewPending, UserError
from boxloop.files import write_text
from boxloop.params import ReviewParams
from boxloop.review.collect import collect
from builders_reviews import shifted, submission

PEOPLE = ReviewParams(annotator="fiftyone", score_threshold=0.5)
SIMULATED = ReviewParams(score_threshold=0.5)
IDS = ("a", "b", "c", "d")
TRUTH = {i: Boxes.build([(2, 2, 12, 12), (20, 2, 30, 12)], ["cat", "dog"]) for i in IDS}


def when(second):
    return f"2024-01-01T12:00:{second:02d}.000000+00:00"


class CampaignResults:
    """A folder with images, truth and the proposals of two batches of two images."""

    def __init__(self, root, image_ids=IDS):
        self.paths = CampaignPaths(root)
        self.said = []
        refs = tuple(ImageRef(i, f"{i}.png", 64, 48, "d") for i in IDS)
        artifacts.write_images(self.paths.images, ImageSet(refs, ("cat", "dog")))
        artifacts.write_truth(self.paths.truth, TRUTH)
        self.order(image_ids)

    def order(self, image_ids):
        """Cuts the images into batches anew, with new proposals."""
        for key, ids in (("b00", image_ids[:2]), ("b01", image_ids[2:])):
            boxes = {i: Boxes.build([(2, 2, 12, 10)], ["cat"], [0.9], prefix="p") for i in ids}
            artifacts.write_proposals(
                self.paths.proposals(key), Proposals(key, "ssd", "0" * 64, 0.05, boxes)
            )

    def submit(self, key, second, ids=None, *, by=0.0, **options):
        proposals = artifacts.read_proposals(self.paths.proposals(key))
        made = submission(proposals, shifted(TRUTH, by), ids, finished=when(second), **options)
        return submissions.append(self.paths.reviews, made)

    def collect(self, key, params=PEOPLE):
        paths, out = self.paths, self.paths.corrections(key)
        files = (paths.images, paths.truth, paths.proposals(key), out)
        collect(paths, params, *files, say=self.said.append)
        return artifacts.read_corrections(out)

    def files(self):
        return {p: p.read_bytes() for p in self.paths.root.rglob("*") if p.is_file()}


@pytest.fixture
def campaign(tmp_path):
    return CampaignResults(tmp_path)


def left_edges(corrections):
    return {i: float(b.xyxy[0, 0]) for i, b in corrections.boxes.items()}


def test_a_batch_waits_until_the_last_image_is_submitted(campaign):
    with pytest.raises(ReviewPending, match="b00 waits for its review, 2 images: 'boxloop review"):
        campaign.collect("b00")
    campaign.submit("b00", 1, ["b"])
    with pytest.raises(ReviewPending, match="1 of 2 images are submitted.*'boxloop review b00'"):
        campaign.collect("b00")
    assert not campaign.paths.corrections("b00").exists()
    campaign.submit("b00", 2, ["a"])
    made = campaign.collect("b00")
    assert list(made.boxes) == ["a", "b"]
    assert made.annotator == "fiftyone"
    assert campaign.said == ["b00: 4 boxes by fiftyone"]


def test_again_is_the_same_bytes(campaign):
    campaign.submit("b00", 1, ["b"])
    campaign.submit("b00", 2)
    campaign.collect("b00")
    before = campaign.files()
    campaign.collect("b00")
    assert campaign.files() == before
    campaign.paths.corrections("b00").unlink()
    campaign.collect("b00")
    assert campaign.files() == before


def test_a_simulation_passes_over_no_person_s_labels(campaign):
    campaign.submit("b00", 1, ["b"])
    before = campaign.files()
    with pytest.raises(ProtectedLabelsError, match=r"labeled 1 of the 2 images of b00.*reviews/"):
        campaign.collect("b00", SIMULATED)
    assert campaign.files() == before
    campaign.submit("b00", 2)
    campaign.collect("b00")
    before = campaign.files()
    with pytest.raises(ProtectedLabelsError, match="made by 'fiftyone', and 'simulated' does not"):
        campaign.collect("b00", SIMULATED)
    assert campaign.files() == before
    # Nobody labeled the other batch.
    assert campaign.collect("b01", SIMULATED).annotator == "simulated"


def test_simulated_labels_give_way_to_a_whole_batch_of_people_s_only(campaign):
    campaign.collect("b00", SIMULATED)
    campaign.submit("b00", 1, ["a"])
    before = campaign.files()
    with pytest.raises(ProtectedLabelsError, match=r"'simulated'.*1 of 2.*'boxloop review b00'"):
        campaign.collect("b00")
    assert campaign.files() == before
    campaign.submit("b00", 2, ["b"], by=1.0)
    assert left_edges(campaign.collect("b00")) == {"a": 2, "b": 3}


def show(campaign, pixels, image_ids):
    """Names what is in the image files now."""
    refs = tuple(ImageRef(i, f"{i}.png", 64, 48, f"of {p}") for i, p in pixels.items())
    artifacts.write_images(campaign.paths.images, ImageSet(refs, ("cat", "dog")))
    campaign.order(image_ids)


def submit_pixels(campaign, key, second, *, by):
    """Submits a batch as today's version does: with what was in the files."""
    path = campaign.submit(key, second, by=by)
    refs = artifacts.read_images(campaign.paths.images).by_id()
    item = artifacts.read_corrections(path)
    artifacts.write_corrections(
        path, replace(item, digests={i: refs[i].digest for i in item.boxes})
    )


def test_labels_of_pixels_that_are_replaced_are_kept(campaign):
    show(campaign, {i: i for i in IDS}, IDS)
    submit_pixels(campaign, "b00", 30, by=1.0)
    campaign.collect("b00")
    for path in campaign.paths.reviews.iterdir():
        path.unlink()
    show(campaign, {**{i: i for i in IDS}, "a": "new"}, IDS)
    submit_pixels(campaign, "b00", 40, by=5.0)
    assert left_edges(campaign.collect("b00")) == {"a": 7, "b": 7}
    show(campaign, {i: i for i in IDS}, IDS)  # the file is back
    assert left_edges(campaign.collect("b00")) == {"a": 3, "b": 7}


@pytest.mark.parametrize("with_journal", [True, False])
def test_images_that_are_numbered_anew_keep_their_labels(campaign, with_journal):
    show(campaign, {i: i for i in IDS}, IDS)
    for second, key in enumerate(("b00", "b01")):
        submit_pixels(campaign, key, second, by=1.0 + 2 * second)
        campaign.collect(key)
    if not with_journal:
        for path in campaign.paths.reviews.iterdir():
            path.unlink()
    # A frame was put before the others; nobody labels it.
    show(campaign, {"a": "new", "b": "a", "c": "b", "d": "c", "e": "d"}, ("b", "c", "d", "e"))
    assert left_edges(campaign.collect("b00")) == {"b": 3, "c": 3}
    assert left_edges(campaign.collect("b01")) == {"d": 5, "e": 5}
    # And away again.
    show(campaign, {i: i for i in IDS}, IDS)
    assert left_edges(campaign.collect("b01")) == {"c": 5, "d": 5}
    assert left_edges(campaign.collect("b00")) == {"a": 3, "b": 3}


def test_images_that_swap_places_across_batches_keep_their_labels(campaign):
    """Each batch has the same names as before, but other pixels; the journal is not there."""
    show(campaign, {i: i for i in IDS}, IDS)
    for second, key in enumerate(("b00", "b01")):
        submit_pixels(campaign, key, second, by=1.0 + 2 * second)
        campaign.collect(key)
    for path in campaign.paths.reviews.iterdir():
        path.unlink()
    show(campaign, {"a": "c", "b": "b", "c": "a", "d": "d"}, IDS)
    assert left_edges(campaign.collect("b00")) == {"a": 5, "b": 3}
    assert left_edges(campaign.collect("b01")) == {"c": 3, "d": 5}


def test_a_redo_is_newer_than_what_dvc_brought_back(campaign):
    campaign.submit("b00", 30, by=1.0)
    campaign.collect("b00")
    for path in campaign.paths.reviews.iterdir():
        path.unlink()  # a clone without reviews/
    path = campaign.submit("b00", 1, ["a"], by=5.0, reviewer="bob")  # the clock is behind
    assert artifacts.read_corrections(path).finished == "2024-01-01T12:00:30.000001+00:00"
    assert left_edges(campaign.collect("b00")) == {"a": 7, "b": 3}


@pytest.mark.parametrize("finished", [when(0), None])  # older ones do not tell
def test_labels_that_are_kept_become_no_newer(campaign, finished):
    made = {}
    for second, key in enumerate(("b00", "b09")):
        campaign.submit("b00", second, by=5.0 * second)
        made[key] = campaign.collect("b00")
    made["b00"] = replace(made["b00"], finished=finished)
    for key, item in made.items():
        artifacts.write_corrections(campaign.paths.corrections(key), item)
    for path in campaign.paths.reviews.iterdir():
        path.unlink()
    campaign.order(("c", "d", "a", "b"))
    campaign.submit("b00", 40)
    campaign.collect("b00")
    assert "the labels of 2 images that left it are kept" in campaign.said[-2]
    assert left_edges(campaign.collect("b01")) == {"a": 7, "b": 7}


@pytest.mark.parametrize("with_journal", [True, False])
def test_no_order_of_the_images_loses_a_label(campaign, with_journal):
    for second, key in enumerate(("b00", "b01")):
        campaign.submit(key, second, by=1.0 + second)
        campaign.collect(key)
    expected = {"a": 3, "b": 3, "c": 4, "d": 4}
    if not with_journal:
        for path in campaign.paths.reviews.iterdir():
            path.unlink()
    for order in ("cadb", "dbca", "abcd"):
        campaign.order(order)
        made = {}
        for key in ("b00", "b01"):
            made |= left_edges(campaign.collect(key))
        assert made == expected
    assert bool(list(campaign.paths.reviews.iterdir()))
    revisions = [
        artifacts.read_corrections(campaign.paths.corrections(k)).revision for k in ("b00", "b01")
    ]
    assert revisions == [1, 1]


def test_labels_that_leave_a_batch_are_kept_where_nobody_else_holds_them(campaign):
    campaign.submit("b00", 1, by=1.0)
    campaign.collect("b00")
    for path in campaign.paths.reviews.iterdir():
        path.unlink()
    campaign.submit("b01", 2)
    campaign.collect("b01")
    campaign.order("acbd")
    campaign.collect("b00")
    (kept,) = [e for e in submissions.read(campaign.paths.reviews) if "b" in e.boxes]
    assert left_edges(kept) == {"b": 3}
    assert any("labels of 1 image that left it are kept in" in line for line in campaign.said)
    assert left_edges(campaign.collect("b01")) == {"b": 3, "d": 2}


@pytest.mark.parametrize("submit", [CampaignResults.submit, submit_pixels])
def test_what_a_person_edited_in_the_file_by_hand_stays(campaign, submit):
    submit(campaign, "b00", 1, by=0.0)
    made = campaign.collect("b00")
    moved = replace(made, boxes={**made.boxes, "a": shifted(TRUTH, 5.0)["a"]})
    artifacts.write_corrections(campaign.paths.corrections("b00"), moved)
    assert left_edges(campaign.collect("b00")) == {"a": 7, "b": 2}
    campaign.order("bcad")
    campaign.submit("b00", 2, ["c"])
    campaign.submit("b01", 3, ["d"])
    campaign.collect("b00")
    assert left_edges(campaign.collect("b01")) == {"a": 7, "d": 2}
    # A later submission counts all the same.
    campaign.submit("b01", 9, ["a"], by=1.0)
    assert left_edges(campaign.collect("b01")) == {"a": 3, "d": 2}


@pytest.mark.parametrize("classes", [["cat", "dog"], ["lynx", "dog"]])
def test_a_class_that_a_person_edited_in_the_file_by_hand_stays(campaign, classes):
    """No change of classes was taken back: none was made, or it is there still."""
    campaign.submit("b00", 1)
    if "lynx" in classes:
        change_classes(campaign, "rename", "cat", "lynx", classes)
    made = campaign.collect("b00")
    dogs = replace(made.boxes["a"], labels=np.array(["dog", "dog"]))
    edited = replace(made, boxes={**made.boxes, "a": dogs})
    artifacts.write_corrections(campaign.paths.corrections("b00"), edited)
    made = campaign.collect("b00")
    assert [made.boxes[i].labels.tolist() for i in "ab"] == [["dog", "dog"], classes]


def change_classes(campaign, kind, old, new, classes):
    """Renames or merges a class, as its command does; gives the entry."""
    moment = datetime(2024, 1, 2, tzinfo=UTC)
    entry = class_changes.append(
        campaign.paths.reviews, class_changes.ClassChange(kind, old, new, moment), classes
    )
    list_classes(campaign, classes)
    return entry


def list_classes(campaign, classes):
    images = artifacts.read_images(campaign.paths.images)
    artifacts.write_images(campaign.paths.images, replace(images, classes=tuple(classes)))
    offered = artifacts.read_proposals(campaign.paths.proposals("b00"))
    of_today = {
        i: Boxes(b.xyxy, np.array(classes[:1]), b.ids, b.scores) for i, b in offered.boxes.items()
    }
    artifacts.write_proposals(campaign.paths.proposals("b00"), replace(offered, boxes=of_today))


@pytest.mark.parametrize(
    ("kind", "new", "classes"), [("merge", "dog", ["dog"]), ("rename", "lynx", ["lynx", "dog"])]
)
@pytest.mark.parametrize("submit", [CampaignResults.submit, submit_pixels])
def test_a_class_change_that_git_takes_back_leaves_people_s_labels(
    campaign, submit, kind, new, classes
):
    """What DVC has not made anew follows it still, at the very time of the submission."""
    submit(campaign, "b00", 1, by=0.0)
    entry = change_classes(campaign, kind, "cat", new, classes)
    assert campaign.collect("b00").boxes["a"].labels.tolist() == [new, "dog"]
    entry.unlink()
    list_classes(campaign, ["cat", "dog"])
    made = campaign.collect("b00")
    assert made.boxes["a"].labels.tolist() == ["cat", "dog"]
    assert (made.changes or (), made.revision) == ((), 1)
    assert campaign.said == ["b00: 4 boxes by fiftyone"] * 2


def test_an_edit_by_hand_stays_where_git_takes_a_class_change_back(campaign):
    """It differs by more than the names of the change, so no submission holds it."""
    campaign.submit("b00", 1)
    entry = change_classes(campaign, "merge", "cat", "dog", ["dog"])
    made = campaign.collect("b00")
    moved = replace(made.boxes["a"], xyxy=made.boxes["a"].xyxy + 5.0)
    edited = replace(made, boxes={**made.boxes, "a": moved})
    artifacts.write_corrections(campaign.paths.corrections("b00"), edited)
    entry.unlink()
    list_classes(campaign, ["cat", "dog"])
    made = campaign.collect("b00")
    assert left_edges(made) == {"a": 7, "b": 2}
    assert made.boxes["b"].labels.tolist() == ["cat", "dog"]


def test_a_redo_stays_where_git_takes_a_class_change_back(campaign):
    """It is of another time; the clone has the submission before it alone."""
    campaign.submit("b00", 1)
    entry = change_classes(campaign, "rename", "cat", "lynx", ["lynx", "dog"])
    made = campaign.collect("b00")
    dogs = replace(made.boxes["a"], labels=np.array(["dog", "dog"]))
    redone = replace(made, boxes={**made.boxes, "a": dogs}, finished=when(2), submitted={})
    artifacts.write_corrections(campaign.paths.corrections("b00"), redone)
    entry.unlink()
    list_classes(campaign, ["cat", "dog"])
    campaign.submit("b00", 3, ["b"])
    made = campaign.collect("b00")
    assert [made.boxes[i].labels.tolist() for i in "ab"] == [["dog", "dog"], ["cat", "dog"]]


def test_a_class_change_that_an_older_version_counted_is_taken_back_too(campaign):
    """Its files tell how many changes they follow, not which."""
    campaign.submit("b00", 1)
    entry = change_classes(campaign, "merge", "cat", "dog", ["dog"])
    made = replace(campaign.collect("b00"), changes=1)
    artifacts.write_corrections(campaign.paths.corrections("b00"), made)
    entry.unlink()
    list_classes(campaign, ["cat", "dog"])
    assert campaign.collect("b00").boxes["a"].labels.tolist() == ["cat", "dog"]


def test_labels_that_dvc_alone_holds_stay_without_the_entry_of_their_change(campaign):
    """A clone needs no reviews/."""
    campaign.submit("b00", 1)
    change_classes(campaign, "merge", "cat", "dog", ["dog"])
    made = campaign.collect("b00")
    for path in campaign.paths.reviews.iterdir():
        path.unlink()
    assert campaign.collect("b00") == made


def test_a_class_change_that_git_takes_back_is_kept_with_no_label(campaign):
    """The images leave their batch before it was put together anew."""
    campaign.submit("b00", 1)
    campaign.submit("b01", 2)
    entry = change_classes(campaign, "merge", "cat", "dog", ["dog"])
    campaign.collect("b00")
    entry.unlink()
    list_classes(campaign, ["cat", "dog"])
    campaign.order("cdab")
    for key in ("b00", "b01"):
        made = campaign.collect(key)
        assert all(boxes.labels.tolist() == ["cat", "dog"] for boxes in made.boxes.values())
    assert len(list(campaign.paths.reviews.iterdir())) == 2


def test_labels_by_a_change_that_git_took_back_are_older_than_the_submission(campaign):
    campaign.submit("b00", 1)
    entry = change_classes(campaign, "merge", "cat", "dog", ["dog"])
    made = campaign.collect("b00")
    images = artifacts.read_images(campaign.paths.images)
    assert newer.find(campaign.paths, {"b00": made}, images) == {}
    entry.unlink()
    list_classes(campaign, ["cat", "dog"])
    images = artifacts.read_images(campaign.paths.images)
    assert newer.find(campaign.paths, {"b00": made}, images) == {"b00": 2}
    journal = campaign.paths.reviews.rename(campaign.paths.root / "elsewhere")  # needed by no clone
    assert newer.find(campaign.paths, {"b00": made}, images) == {}
    journal.rename(campaign.paths.reviews)
    assert newer.find(campaign.paths, {"b00": campaign.collect("b00")}, images) == {}


def queued(workspace):
    """The copy of an experiment that was queued now, and is run later."""
    return CampaignResults(workspace.paths.root / ".dvc" / "tmp" / "exps" / "standalone" / "tmpx1")


@pytest.mark.parametrize(
    ("kind", "old", "new", "after"),
    [
        ("merge", "cat", "dog", ["dog"]),
        ("merge", "dog", "cat", ["cat"]),
        ("rename", "cat", "lynx", ["lynx", "dog"]),
    ],
)
def test_an_experiment_of_before_a_class_change_makes_no_label_another(
    campaign, kind, old, new, after
):
    campaign.submit("b00", 1)
    copy = queued(campaign)
    entry = change_classes(campaign, kind, old, new, after)
    list_classes(campaign, [*after, "bird"])  # and added one
    with pytest.raises(
        ArtifactError,
        match=f"{entry.name} says that '{old}' is '{new}' now.*images.json is of before that"
        ".*begin this experiment anew",
    ):
        copy.collect("b00")
    assert not copy.paths.corrections("b00").exists()
    list_classes(copy, after)
    assert set(copy.collect("b00").boxes["a"].labels) <= {*after}


@pytest.mark.parametrize("listed", [["dog", "cat"], ["cat", "dog"], ["dog", "bird", "cat"]])
def test_a_class_that_was_merged_and_added_again_is_another(campaign, listed):
    campaign.submit("b00", 1)
    change_classes(campaign, "merge", "cat", "dog", ["dog"])
    list_classes(campaign, listed)
    copy = queued(campaign)
    list_classes(copy, listed)
    for place in (campaign, copy):
        assert place.collect("b00").boxes["a"].labels.tolist() == ["dog", "dog"]


def test_a_redo_raises_the_revision(campaign):
    campaign.submit("b00", 1)
    assert campaign.collect("b00").revision == 1
    campaign.submit("b00", 2, ["a"], by=1.0, reviewer="bob")
    made = campaign.collect("b00")
    assert (made.revision, made.reviewer) == (2, "bob, ada")
    assert left_edges(made) == {"a": 3, "b": 2}
    assert campaign.collect("b00") == made


def test_an_experiment_s_copy_reads_the_journal_of_its_workspace(tmp_path):
    workspace = CampaignResults(tmp_path)
    workspace.submit("b00", 1)
    copy = CampaignResults(tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmpx1")
    before = {p: p.read_bytes() for p in tmp_path.glob("reviews/*")}
    assert left_edges(copy.collect("b00")) == {"a": 2, "b": 2}
    copy.order("cdab")
    with pytest.raises(ReviewPending):
        copy.collect("b00")
    assert {p: p.read_bytes() for p in tmp_path.glob("reviews/*")} == before


def test_labels_that_leave_a_batch_in_an_experiment_s_copy_are_kept_in_its_workspace(tmp_path):
    """DVC deletes the copy."""
    workspace = CampaignResults(tmp_path)
    copy = CampaignResults(tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmpx1")
    copy.submit("b00", 1, by=1.0)
    copy.collect("b00")
    shutil.rmtree(copy.paths.reviews)  # git does not know it
    copy.submit("b01", 2)
    copy.order("acbd")
    copy.collect("b00")
    shutil.rmtree(copy.paths.root)
    (kept,) = submissions.read(workspace.paths.reviews)
    assert left_edges(kept) == {"b": 3}
    assert f"are kept in {workspace.paths.reviews}" in copy.said[-2]


def test_a_damaged_journal_stops_every_annotator(campaign):
    path = campaign.submit("b00", 1)
    path.write_text(path.read_text()[:-20])
    for params in (PEOPLE, SIMULATED):
        with pytest.raises(ArtifactError, match=path.name):
            campaign.collect("b00", params)


def test_a_damaged_file_of_another_batch_is_named(campaign):
    campaign.submit("b00", 1)
    campaign.paths.corrections("b01").parent.mkdir(exist_ok=True)
    campaign.paths.corrections("b01").write_text('{"format": "boxloop/corrections@1"')
    with pytest.raises(ArtifactError, match=r"b01\.json is not valid JSON"):
        campaign.collect("b00")


def test_labels_of_another_image_are_noticed(campaign):
    big = {i: Boxes(b.xyxy * [4, 1, 4, 1], b.labels, b.ids) for i, b in TRUTH.items()}
    offered = artifacts.read_proposals(campaign.paths.proposals("b00"))
    submissions.append(campaign.paths.reviews, submission(offered, big, finished=when(1)))
    with pytest.raises(ArtifactError, match=r"image a in reviews/ reach beyond its 64x48 pixels"):
        campaign.collect("b00")


def test_jitter_at_the_border_is_no_other_image(campaign):
    edge = {i: Boxes.build(np.array([[0, 0, 64 + 1e-9, 48]]), ["cat"]) for i in IDS}
    offered = artifacts.read_proposals(campaign.paths.proposals("b00"))
    submissions.append(campaign.paths.reviews, submission(offered, edge, finished=when(1)))
    assert campaign.collect("b00").by_person


def test_images_that_the_dataset_no_longer_has(campaign):
    refs = artifacts.read_images(campaign.paths.images)
    artifacts.write_images(campaign.paths.images, ImageSet(refs.images[1:], refs.classes))
    with pytest.raises(ArtifactError, match=r"b00\.json: image a is not among"):
        campaign.collect("b00")


def test_a_folder_that_is_no_campaign_of_dvc_s(tmp_path):
    with pytest.raises(UserError, match=r"labels of b01 are safe in reviews/, but DVC did not"):
        bring_into_dvc(tmp_path, "b01")
    with pytest.raises(UserError, match=r"labels of b01 are safe in reviews/, but DVC did not"):
        bring_into_dvc(tmp_path / "nowhere", "b01")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "dvc.yaml",
            "stages:\n<<<<<<< HEAD\n  a:\n    cmd: x\n=======\n  b:\n    cmd: x\n>>>>>>> b\n",
            "dvc.yaml cannot be read, as a merge left a conflict in line 2 (<<<<<<<): keep one side"
            " of it, as 'git checkout --ours dvc.yaml' does",
        ),
        (
            "dvc.lock",
            "schema: '2.0'\n<<<<<<< HEAD\nstages: {}\n=======\nstages:\n>>>>>>> b\n",
            "dvc.lock cannot be read, as a merge left a conflict in line 2 (<<<<<<<): run 'boxloop"
            " mend'",
        ),
        ("dvc.yaml", "stages: [a\n", "'./dvc.yaml' is invalid"),
        ("dvc.yaml", "stages:\n  a:\n    cmds: x\n", "'./dvc.yaml' validation failed: 2 errors"),
    ],
)
def test_why_dvc_takes_no_labels_over_is_one_sentence(tmp_path, name, content, reason):
    command = [sys.executable, "-m", "dvc", "init", "-q", "--no-scm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    (tmp_path / "dvc.yaml").write_text("stages:\n  finish@b01:\n    cmd: echo b01\n")
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as told:
        bring_into_dvc(tmp_path, "b01")
    said = str(told.value).replace(f"{tmp_path}/", "")
    assert f"but DVC did not take them over ({reason}): run 'dvc repro" in said


def test_dvc_is_left_alone_where_the_dataset_has_changed_since(tmp_path):
    write_text(tmp_path / "data" / "images.json", "with a class more")
    locked = "  finish@b01:\n    cmd: x\n    deps:\n    - path: data/images.json\n      md5: "
    for text, stale in (("with a class more", False), ("as it was", True)):
        digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        write_text(tmp_path / "dvc.lock", f"schema: '2.0'\nstages:\n{locked}{digest}\n")
        with nullcontext() if stale else pytest.raises(UserError, match="labels of b01 are safe"):
            bring_into_dvc(tmp_path, "b01")


def test_the_stage_loads_nothing_heavy():
    code = (
        "import sys; import boxloop.cli, boxloop.review.collect;"
        "print([m for m in ('torch','fiftyone','mlflow','scipy','dvc','PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("annotator", ["simulated", "fiftyone"])
def test_a_fitted_threshold_is_that_of_the_review_s_iou(campaign, annotator):
    params = ReviewParams(annotator=annotator, iou_threshold=0.6)
    path = campaign.paths.proposals("b00")
    offered = artifacts.read_proposals(path)
    campaign.submit("b00", 1)
    if annotator == "simulated":
        for submitted in campaign.paths.reviews.iterdir():
            submitted.unlink()
    with pytest.raises(ArtifactError, match="b00.json has no score threshold fitted at IoU 0.6"):
        campaign.collect("b00", params)
    fitted = (FittedThreshold(0.5, 0.2, 0.1, "b"), FittedThreshold(0.6, 0.95, 0.1, "b"))
    artifacts.write_proposals(path, replace(offered, thresholds=fitted))
    made = campaign.collect("b00", params)
    if annotator == "simulated":
        assert made.score_threshold == 0.95
        assert made.proposals.thresholds == fitted
        assert not any("p0" in boxes.ids for boxes in made.boxes.values())
    else:
        assert made.score_threshold == 0.5  # what was shown then
        assert made.proposals.thresholds == ()


# --- what does not fit the images and classes of today --------------------------------------------


def described(made, digest, classes=("cat", "dog")):
    """A submission as today's version writes it."""
    return replace(made, digests=dict.fromkeys(made.boxes, digest), classes=classes)


def test_labels_of_other_pixels_are_said_and_asked_for_again(campaign):
    offered = artifacts.read_proposals(campaign.paths.proposals("b00"))
    made = described(submission(offered, TRUTH, ["a"], finished=when(1)), "other")
    path = submissions.append(campaign.paths.reviews, made)
    campaign.submit("b00", 2, ["b"])
    before = campaign.files()
    with pytest.raises(ReviewPending, match="1 of 2 images are submitted"):
        campaign.collect("b00")
    assert campaign.files().items() >= before.items()
    [note] = campaign.said
    assert note.startswith(f"b00: {path} labels other pixels than are now in image a,")
    assert "'boxloop review b00'" in note
    again = described(submission(offered, shifted(TRUTH, 1.0), ["a"], finished=when(3)), "d")
    submissions.append(campaign.paths.reviews, again)
    collected = campaign.collect("b00")
    assert left_edges(collected) == {"a": 3, "b": 2}
    assert collected.digests == {"a": "d"}
    # A simulation passes over none of them.
    with pytest.raises(ProtectedLabelsError):
        campaign.collect("b00", SIMULATED)


def test_corrections_that_dvc_brought_back_are_of_their_pixels_too(campaign):
    offered = artifacts.read_proposals(campaign.paths.proposals("b00"))
    made = described(submission(offered, TRUTH, finished=when(1)), "other")
    artifacts.write_corrections(campaign.paths.corrections("b00"), made)
    before = campaign.files()
    with pytest.raises(ReviewPending):
        campaign.collect("b00")
    assert campaign.files().items() >= before.items()


def test_no_submission_is_the_place_to_write_to(campaign):
    campaign.submit("b00", 1)
    paths, before = campaign.paths, campaign.files()
    for out in (*paths.reviews.glob("*.json"), paths.reviews / ".." / "reviews" / "new.json"):
        with pytest.raises(ProtectedLabelsError, match="among what people submitted"):
            collect(paths, PEOPLE, paths.images, paths.truth, paths.proposals("b00"), out)
    assert campaign.files() == before


def test_a_journal_that_cannot_be_looked_into_is_no_empty_one(campaign):
    campaign.paths.reviews.symlink_to(campaign.paths.root / "a disk that is not there")
    for params in (PEOPLE, SIMULATED):
        with pytest.raises(ArtifactError, match="reviews cannot be looked into"):
            campaign.collect("b00", params)


def test_a_batch_is_said_to_wait_also_where_that_cannot_be_noted(tmp_path):
    results = CampaignResults(tmp_path)
    (tmp_path / ".boxloop").write_text("")
    with pytest.raises(ReviewPending) as caught:
        results.collect("b01")
    waits, _, why = str(caught.value).partition("; but ")
    assert waits.startswith("batch b01 waits for its review, 2 images: ")
    place = tmp_path / ".boxloop"
    way = "is a file, not a folder: move it away, or use another place"
    assert why == f"{place / 'pending'} cannot be written: {place} {way}"
