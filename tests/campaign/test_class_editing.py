"""Classes that are added, renamed and merged, while people label."""

import json
import os
import resource
import shutil
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial

import numpy as np
import pytest
from PIL import Image

from boxloop import pipeline
from boxloop.campaign import artifacts, class_changes, existing, given, screening, submissions
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.class_editing import add, change, table
from boxloop.campaign.export import export
from boxloop.campaign.export.content import collect_proposals
from boxloop.campaign.kept import training_inputs
from boxloop.campaign.params_file import edit_params
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.status import status_text
from boxloop.core.completeness import find_incomplete
from boxloop.core.labeled_set import split
from boxloop.core.types import Batch, Boxes, Corrections, LabeledSet
from boxloop.core.workload import Ledger
from boxloop.errors import UserError
from boxloop.files import file_digest, read_json
from boxloop.params import load_params
from boxloop.review.collect import collect
from boxloop.review.external.corrections import import_file
from boxloop.review.fiftyone.session_inputs import ReviewRequest, read_assignment
from builders import boxes, proposals, proposed

PARAMS = """\
dataset:
  format: folder
  path: {pictures}
  classes:
    - cat   # the small ones
    - dog
review:
  annotator: fiftyone
  score_threshold: 0.5
iterations:
  b00: {{previous: empty}}
  b01: {{previous: b00}}
"""
BATCHES = {"b00": ("img0", "img1"), "b01": ("img2", "img3")}


@pytest.fixture
def campaign(tmp_path):
    """Four images in two batches, read by the real stage, with proposals; nothing reviewed."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(4):
        pixels = np.full((48, 64, 3), 10 * number, np.uint8)
        Image.fromarray(pixels).save(pictures / f"img{number}.png")
    root = tmp_path / "c"
    root.mkdir()
    (root / "params.yaml").write_text(PARAMS.format(pictures=pictures))
    made = Edited(CampaignPaths(root))
    made.read(load_params(made.file))
    for key, ids in BATCHES.items():
        artifacts.write_batch(made.paths.batch(key), Batch(key, ids))
        offered = replace(proposals(dict.fromkeys(ids, Boxes.empty(scored=True))), batch=key)
        artifacts.write_proposals(made.paths.proposals(key), offered)
    return made


class Edited:
    """A campaign, and what its commands do."""

    def __init__(self, paths):
        self.paths, self.file = paths, paths.root / "params.yaml"
        self.add = partial(add, paths, self.file, reread=self.read)
        self.rename = partial(change, paths, self.file, "rename", reread=self.read)
        self.merge = partial(change, paths, self.file, "merge", reread=self.read)

    def read(self, params):
        pipeline.dataset(Campaign(self.paths, params, say=lambda text: None))

    @property
    def classes(self):
        images, params = artifacts.read_images(self.paths.images), load_params(self.file)
        assert images.classes == params.dataset.classes
        return images.classes

    def open(self, key, redo=False):
        """What a session says that begins now, of the changes that its names follow."""
        return self.assign(key, redo).changes

    def assign(self, key, redo=False):
        request = ReviewRequest(key, "ada", redo=redo)
        return read_assignment(self.paths, load_params(self.file), request)

    def submit(self, key, *labels, reviewer="ada", changes=0):
        """Reviews a batch: on each image the first proposal kept, and these besides."""
        images = artifacts.read_images(self.paths.images)
        first, *_, last = images.classes
        shown = proposed((first, 0, 0, 9, 9, 0.9), (last, 20, 20, 29, 29, 0.8))
        by_id, names = images.by_id(), [first, *labels]
        xyxy = [(0, 0, 9, 9), *((30 + i, 30, 39 + i, 39) for i in range(len(labels)))]
        ids = ["p0", *(f"new{i}" for i in range(len(labels)))]
        final = Boxes(np.array(xyxy, float), np.array(names), np.array(ids))
        offered = replace(proposals(dict.fromkeys(BATCHES[key], shown)), batch=key)
        made = Corrections(
            offered,
            0.5,
            "fiftyone",
            dict.fromkeys(BATCHES[key], final),
            reviewer=reviewer,
            finished=submissions.timestamp(),
            digests={i: by_id[i].digest for i in BATCHES[key]},
            classes=images.classes,
            changes=changes,
        )
        return submissions.append(self.paths.reviews, made)

    def collect(self, key):
        paths, review = self.paths, load_params(self.file).review
        files = (paths.images, paths.truth, paths.proposals(key), paths.corrections(key))
        return collect(paths, review, *files, say=lambda text: None)

    def label(self, *keys):
        """Merges these batches as the stages do; gives everything labeled."""
        campaign = Campaign(self.paths, load_params(self.file), say=lambda text: None)
        artifacts.write_labeled(self.paths.labeled("empty"), LabeledSet(self.classes, (), {}))
        for key in keys:
            self.collect(key)
            pipeline.merge(campaign, key)
        return artifacts.read_labeled(self.paths.labeled(keys[-1]))

    def incomplete(self):
        images = artifacts.read_images(self.paths.images)
        found = screening.read(self.paths.journals, map(self.paths.corrections, BATCHES), images)
        return screening.by_class(found.incomplete, images.classes)

    def journal(self):
        return {path.name: path.read_bytes() for path in self.paths.reviews.iterdir()}


def test_a_class_is_added_in_its_place_and_the_comments_stay(campaign):
    campaign.submit("b00")
    text = campaign.add("traffic light")
    assert "2 images were reviewed without it: 'boxloop review --for \"traffic light\"'" in text
    assert campaign.classes == ("cat", "dog", "traffic light")
    lines = [" ".join(line.split()) for line in campaign.file.read_text().splitlines()]
    assert lines[4:7] == ["- cat # the small ones", "- dog", "- traffic light"]
    assert campaign.incomplete() == {"traffic light": ["img0", "img1"]}
    said = status_text(campaign.paths, load_params(campaign.file))
    assert "- 2 images (img0, img1) are not complete for 'traffic light'" in said
    campaign.submit("b01", "traffic light")
    rows = [(row.name, row.objects, row.images, row.incomplete) for row in table(
        campaign.paths, load_params(campaign.file))]  # fmt: skip
    assert rows == [("cat", 4, 4, 0), ("dog", 0, 0, 0), ("traffic light", 2, 2, 2)]


def test_images_that_are_gone_count_nowhere(campaign):
    """Their labels are kept, and count again once they are back."""
    campaign.submit("b00", "dog")
    campaign.submit("b01", "dog")
    (campaign.paths.root.parent / "pictures" / "img3.png").unlink()
    campaign.read(load_params(campaign.file))
    assert "3 images were reviewed without it" in campaign.add("bird")
    rows = table(campaign.paths, load_params(campaign.file))
    assert [(row.name, row.objects, row.images, row.incomplete) for row in rows] == [
        ("cat", 3, 3, 0), ("dog", 3, 3, 0), ("bird", 0, 0, 3)
    ]  # fmt: skip


def test_simulated_labels_of_images_that_are_gone_count_nowhere(campaign):
    offered = proposals(dict.fromkeys(BATCHES["b00"], Boxes.empty(scored=True)), "b00")
    final = dict.fromkeys(BATCHES["b00"], of_classes("cat"))
    made = Corrections(offered, 0.5, "simulated", final)
    artifacts.write_corrections(campaign.paths.corrections("b00"), made)
    (campaign.paths.root.parent / "pictures" / "img1.png").unlink()
    campaign.read(load_params(campaign.file))
    assert [(r.objects, r.images) for r in table(campaign.paths, load_params(campaign.file))] == [
        (1, 1), (0, 0)
    ]  # fmt: skip


def test_a_class_that_was_listed_by_hand_is_told_until_the_stage_ran(campaign):
    campaign.file.write_text(campaign.file.read_text().replace("- dog\n", "- dog\n    - car\n"))
    said = status_text(campaign.paths, load_params(campaign.file))
    assert "params.yaml lists the classes cat, dog, car, but data/images.json has cat, dog" in said
    with pytest.raises(UserError, match="run 'dvc repro dataset' first"):
        campaign.add("bus")


@pytest.mark.parametrize("name", ["cat", "?", " ", "a\nb", " car"])
def test_what_cannot_be_a_class_changes_nothing(campaign, name):
    before = campaign.file.read_bytes()
    with pytest.raises(UserError):
        campaign.add(name)
    assert campaign.file.read_bytes() == before


def test_a_dataset_that_cannot_be_read_changes_nothing(campaign):
    before, journal = campaign.file.read_bytes(), campaign.submit("b00")
    for path in (campaign.paths.root.parent / "pictures").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="params.yaml stays as it was: "):
        campaign.add("car")
    with pytest.raises(UserError, match="params.yaml stays as it was: "):
        campaign.rename("cat", "kitten")
    assert campaign.file.read_bytes() == before
    assert campaign.journal().keys() == {journal.name}


@pytest.mark.parametrize("command", ["rename", "add"])
def test_a_disk_that_fills_up_meanwhile_leaves_no_label_behind(campaign, command):
    """What params.yaml says already stays in the journal; the way out is to read the dataset."""
    campaign.submit("b00", "dog")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(params):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        campaign.read(params)

    edit = (
        partial(add, name="car")
        if command == "add"
        else partial(change, kind="rename", old="cat", new="kitten")
    )
    try:
        with pytest.raises(UserError, match="the new classes already.*'dvc repro dataset'"):
            edit(campaign.paths, campaign.file, reread=full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    first = "kitten" if command == "rename" else "cat"
    campaign.read(load_params(campaign.file))
    assert campaign.classes[0] == first
    assert campaign.collect("b00").boxes["img0"].labels.tolist() == [first, "dog"]


def test_labels_are_read_by_the_new_name_and_none_is_rewritten(campaign):
    campaign.submit("b00", "dog")
    first = campaign.collect("b00")
    before = campaign.journal()
    text = campaign.rename("cat", "kitten")
    assert "'cat' is called 'kitten' from now on" in text
    assert campaign.classes == ("kitten", "dog")
    assert "- kitten" in campaign.file.read_text()
    assert {name: campaign.journal()[name] for name in before} == before
    campaign.submit("b01", "dog")
    made = campaign.collect("b00")
    assert made.boxes["img0"].labels.tolist() == ["kitten", "dog"]
    assert made.proposals.boxes["img0"].labels.tolist() == ["kitten", "dog"]
    assert made.classes == ("kitten", "dog")
    assert not find_incomplete(made, campaign.classes)
    assert (made.finished, made.digests) == (first.finished, first.digests)
    assert artifacts.read_corrections(campaign.paths.corrections("b00")) == made
    assert campaign.incomplete() == {}


def test_a_class_after_the_first_batch_is_known_to_training_and_export(campaign, tmp_path):
    campaign.submit("b00")
    before = campaign.label("b00")
    assert not before.incomplete
    plain = campaign.paths.labeled("b00").read_bytes()
    assert b"incomplete" not in plain
    assert b"offered" not in campaign.paths.corrections("b00").read_bytes()
    campaign.add("car")
    campaign.submit("b01", "car")
    labeled = campaign.label("b00", "b01")
    assert labeled.incomplete == {"img0": ("car",), "img1": ("car",)}
    assert labeled.boxes.keys() == {"img0", "img1", "img2", "img3"}
    rest, held = split(labeled, 0.5, 0)
    assert {**rest.incomplete, **held.incomplete} == labeled.incomplete

    params = load_params(campaign.file)
    write = partial(export, campaign.paths, params, images="none")
    said = write(tmp_path / "coco", format_="coco")
    assert "2 of 4 images are marked as not complete for car" in said
    made = read_json(tmp_path / "coco/annotations/instances_default.json")
    marks = [row.get("not_exhaustive_category_ids") for row in made["images"]]
    assert marks == [[3], [3], None, None]
    said = write(tmp_path / "yolo", format_="yolo")
    assert "4 images, 6 boxes (yolo)" in said
    assert "2 of 4 images may hold car without a box" in said
    said = write(tmp_path / "skipped", format_="voc", incomplete="skip")
    assert "2 images, 4 boxes (voc)" in said
    assert "2 of 4 images are left out, because they are not complete for car" in said
    with pytest.raises(UserError, match="--incomplete mark needs --format coco"):
        write(tmp_path / "none", format_="voc", incomplete="mark")


def test_two_names_can_be_exchanged(campaign):
    campaign.submit("b00", "dog", "dog")
    for old, new in (("cat", "between"), ("dog", "cat"), ("between", "dog")):
        campaign.rename(old, new)
        # What is put together is read again, and must not follow a change twice.
        made = campaign.collect("b00")
    assert campaign.classes == ("dog", "cat")
    assert made.boxes["img0"].labels.tolist() == ["dog", "cat", "cat"]
    assert campaign.collect("b00") == made
    entries = class_changes.files(campaign.paths.reviews)
    assert made.changes == tuple(path.name for path in entries)
    assert len(entries) == 3


def test_merged_classes_are_one(campaign):
    campaign.submit("b00", "dog")
    campaign.merge("dog", "cat")
    assert campaign.classes == ("cat",)
    made = campaign.collect("b00")
    assert made.boxes["img0"].labels.tolist() == ["cat", "cat"]
    assert made.classes == ("cat",)
    said = status_text(campaign.paths, load_params(campaign.file))
    assert "not complete" not in said


def test_images_that_lacked_one_of_two_merged_classes_are_not_complete(campaign):
    campaign.submit("b00", "dog")
    campaign.add("puppy")
    campaign.submit("b01", "puppy")
    campaign.merge("dog", "puppy")
    assert campaign.classes == ("cat", "puppy")
    assert campaign.incomplete() == {"puppy": ["img0", "img1"]}
    assert find_incomplete(campaign.collect("b00"), campaign.classes) == {
        "img0": ("puppy",), "img1": ("puppy",)
    }  # fmt: skip
    # Also where nothing but those could be chosen.
    entry = class_changes.ClassChange("merge", "a", "b", class_changes.datetime.now())
    assert entry.names(("a",)) == ("?",)
    assert entry.names(()) == ()


def test_a_session_that_was_open_while_a_class_was_renamed(campaign):
    stale = campaign.paths.images.read_bytes()
    campaign.rename("cat", "kitten")
    today = campaign.paths.images.read_bytes()
    campaign.paths.images.write_bytes(stale)
    campaign.submit("b00")  # by the old name, after the change
    campaign.paths.images.write_bytes(today)
    assert campaign.collect("b00").boxes["img0"].labels.tolist() == ["kitten"]


def test_a_session_that_was_open_while_two_classes_became_one(campaign):
    stale, opened = campaign.paths.images.read_bytes(), campaign.open("b00")
    campaign.merge("dog", "cat")
    today = campaign.paths.images.read_bytes()
    campaign.paths.images.write_bytes(stale)
    campaign.submit("b00", "dog", changes=opened)
    campaign.paths.images.write_bytes(today)
    assert campaign.collect("b00").boxes["img0"].labels.tolist() == ["cat", "cat"]
    assert campaign.incomplete() == {}


@pytest.mark.parametrize(
    "chain",
    [
        [("rename", "cat", "lynx"), ("rename", "lynx", "puma")],
        [("rename", "cat", "lynx"), ("merge", "lynx", "dog")],
        [("merge", "cat", "dog"), ("rename", "dog", "animal")],
    ],
)
def test_a_name_that_is_free_again_is_that_of_the_new_class(campaign, chain):
    before = campaign.submit("b01")
    for kind, old, new in chain:
        change(campaign.paths, campaign.file, kind, old, new, campaign.read)
    campaign.add("cat")
    first = campaign.classes[0]
    campaign.submit("b00", "cat", changes=campaign.open("b00"))
    made = campaign.collect("b00")
    assert made.boxes["img0"].labels.tolist() == [first, "cat"]
    assert made.classes == campaign.classes
    assert "no class" not in status_text(campaign.paths, load_params(campaign.file))
    # What was labeled before all of it is of the class that has that name no more.
    assert artifacts.read_corrections(before).changes == 0
    assert campaign.collect("b01").boxes["img2"].labels.tolist() == [first]


def exported(campaign, folder):
    export(campaign.paths, load_params(campaign.file), folder, format_="coco", images="none")
    made = read_json(folder / "annotations/instances_default.json")
    names = {row["id"]: row["name"] for row in made["categories"]}
    return Counter(names[row["category_id"]] for row in made["annotations"])


def add_again(campaign):
    """Both classes are called as before, and one is another."""
    campaign.merge("dog", "cat")
    campaign.add("dog")


def exchange(campaign):
    for old, new in (("cat", "between"), ("dog", "cat"), ("between", "dog")):
        campaign.rename(old, new)
    names = sorted(load_params(campaign.file).dataset.classes)
    edit_params(campaign.file, [f"dataset.classes=[{', '.join(names)}]"])
    campaign.read(load_params(campaign.file))


@pytest.mark.parametrize(
    ("change_names", "today"),
    [(add_again, {"cat": 6}), (exchange, {"cat": 4, "dog": 2})],
)
def test_labels_of_before_do_not_pass_for_those_of_today_where_all_names_are_as_before(
    campaign, tmp_path, change_names, today
):
    campaign.submit("b00", "dog", "dog")
    campaign.label("b00")
    params, paths = load_params(campaign.file), campaign.paths
    artifacts.write(paths.detector("empty"), "any", {})
    files = (paths.images, paths.labeled("empty"), paths.detector("empty"))
    images, inputs = paths.images.read_bytes(), training_inputs(params.train, *files)
    assert exported(campaign, tmp_path / "before") == {"cat": 2, "dog": 4}
    change_names(campaign)
    assert load_params(campaign.file) == params
    assert paths.images.read_bytes() != images  # by which DVC sees it
    assert training_inputs(params.train, *files) == inputs
    sentence = (
        "classes were renamed or merged since data/corrections/b00.json was put together: run"
        " 'dvc repro' first"
    )
    with pytest.raises(UserError, match=sentence):
        exported(campaign, tmp_path / "stale")
    said = status_text(paths, params)
    assert f"- {sentence}\n" in said
    assert "Next: dvc repro   (brings everything up to date)" in said
    labeled = campaign.label("b00")
    assert labeled.incomplete == (
        {"img0": ("dog",), "img1": ("dog",)} if change_names is add_again else {}
    )
    assert exported(campaign, tmp_path / "today") == today
    assert sentence not in status_text(paths, params)


def test_a_change_that_another_clone_brings_alone_is_told(campaign, tmp_path):
    campaign.submit("b00", "dog")
    campaign.label("b00")
    other = clone(campaign)
    add_again(other)
    shutil.copytree(other.paths.reviews, campaign.paths.reviews, dirs_exist_ok=True)
    way = "dvc repro --single-item --force dataset, then dvc repro"
    with pytest.raises(UserError, match=f"run '{way}' first"):
        exported(campaign, tmp_path / "stale")
    assert f"Next: {way}" in status_text(campaign.paths, load_params(campaign.file))
    campaign.read(load_params(campaign.file))
    campaign.label("b00")
    assert exported(campaign, tmp_path / "today") == {"cat": 4}


def corrected(campaign, *labels):
    """A file of another program with boxes of these classes on each image of b01."""
    images = artifacts.read_images(campaign.paths.images)
    refs = [images.by_id()[i] for i in BATCHES["b01"]]
    content = {
        "images": [{"id": n, "file_name": ref.path, "width": 64, "height": 48}
                   for n, ref in enumerate(refs)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(images.classes)],
        "annotations": [{"image_id": n, "category_id": images.classes.index(name),
                         "bbox": [20 * i, 0, 9, 9]}
                        for n in range(2) for i, name in enumerate(labels)],
    }  # fmt: skip
    path = campaign.paths.root / "back.json"
    path.write_text(json.dumps(content))
    return import_file(campaign.paths, load_params(campaign.file), path, batch="b01")


def test_proposals_are_shown_by_the_new_names_before_dvc_made_them_anew(campaign):
    shown = proposed(("cat", 0, 0, 9, 9, 0.9), ("dog", 20, 0, 29, 9, 0.8))
    offered = replace(proposals(dict.fromkeys(BATCHES["b01"], shown)), batch="b01")
    artifacts.write_proposals(campaign.paths.proposals("b01"), offered)
    campaign.rename("cat", "lynx")
    campaign.rename("dog", "cat")
    for item in campaign.assign("b01").items:
        assert item.start.labels.tolist() == ["lynx", "cat"]
        assert item.proposals.boxes[item.image.id].labels.tolist() == ["lynx", "cat"]
    content = collect_proposals(campaign.paths, load_params(campaign.file), "b01")
    assert called(content.boxes) == {i: ["lynx", "cat"] for i in BATCHES["b01"]}
    said = corrected(campaign, "lynx", "cat").summary()
    assert "of the proposals 4 kept, 0 moved, 0 relabeled, 0 removed; 0 boxes added" in said


def offer(campaign, *names):
    """Has the stage pass on imported proposals, by names of now, as it does those of a detector."""
    shown = proposed(*((name, 20 * n, 0, 20 * n + 9, 9, 0.9) for n, name in enumerate(names)))
    batch = Batch("b01", BATCHES["b01"])
    given.keep(campaign.paths, campaign.file, batch, dict.fromkeys(batch.image_ids, shown))
    params = load_params(campaign.file)
    artifacts.write_batch(
        campaign.paths.batch("b01"), replace(batch, given=params.iterations["b01"].proposals)
    )
    return pipeline.propose(Campaign(campaign.paths, params, say=lambda text: None), "b01")


def free_and_give(campaign):
    campaign.rename("cat", "lynx")
    campaign.add("cat")


@pytest.mark.parametrize(
    ("change_names", "today"),
    [
        (free_and_give, ["lynx", "dog"]),
        (exchange, ["dog", "cat"]),
        (add_again, ["cat", "cat"]),
    ],
)
def test_proposals_follow_what_was_changed_after_them_whatever_is_called_so_now(
    campaign, change_names, today
):
    path = campaign.paths.proposals("b01")

    def shown():
        found = collect_proposals(campaign.paths, load_params(campaign.file), "b01").boxes
        items = campaign.assign("b01").items
        assert {i.image.id: i.start.labels.tolist() for i in items} == called(found)
        assert {i.image.id: called(i.proposals.boxes)[i.image.id] for i in items} == called(found)
        return called(found)["img2"]

    offer(campaign, "cat", "dog")
    assert b"changes" not in path.read_bytes()
    change_names(campaign)
    assert shown() == today
    made = offer(campaign, "cat", "dog")
    assert made.changes == artifacts.read_images(campaign.paths.images).changes
    assert shown() == ["cat", "dog"]
    exchange(campaign)
    assert shown() == ["dog", "cat"]
    said = corrected(campaign, "dog", "cat").summary()
    assert "of the proposals 4 kept, 0 moved, 0 relabeled, 0 removed; 0 boxes added" in said


def test_proposals_follow_a_merge_that_is_given_again_and_is_no_second_entry(campaign):
    add_again(campaign)
    offer(campaign, "cat", "dog")
    campaign.merge("dog", "cat")
    assert len(class_changes.files(campaign.paths.reviews)) == 1
    for item in campaign.assign("b01").items:
        assert item.start.labels.tolist() == ["cat", "cat"]


def test_labels_to_be_checked_follow_a_change_that_the_batches_did_not(campaign):
    """All of params.yaml is as before, so DVC does not cut them anew."""
    params = load_params(campaign.file)
    existing.keep(campaign.paths, params, campaign.file, "b01", {"img2": of_classes("cat", "dog")})
    params = load_params(campaign.file)
    artifacts.write_labeled(campaign.paths.labeled("empty"), LabeledSet(campaign.classes, (), {}))
    labels = existing.by_turn(campaign.paths, params, {})["b01"]
    batch = Batch("b01", ("img2",), labels=labels)
    artifacts.write_batch(campaign.paths.batch("b01"), batch)
    exchange(campaign)
    found = pipeline.propose(Campaign(campaign.paths, params, say=lambda text: None), "b01")
    assert called(found.boxes) == {"img2": ["dog", "cat"]}
    content = collect_proposals(campaign.paths, params, "b01")
    assert called(content.boxes) == {"img2": ["dog", "cat"]}


def put_off(entry):
    """The clock of the machine where a class was changed is a year ahead."""
    content = json.loads(entry.read_text())
    year = content["finished"][:4]
    later = str(int(year) + 1)
    content["finished"] = content["finished"].replace(year, later, 1)
    entry.unlink()
    (entry.parent / entry.name.replace(year, later, 1)).write_text(json.dumps(content))


def test_whatever_the_clocks_say_labels_follow_no_change_twice(campaign):
    campaign.rename("cat", "lynx")
    put_off(class_changes.files(campaign.paths.reviews)[0])
    campaign.add("cat")
    campaign.submit("b00", "cat", changes=campaign.open("b00"))
    assert campaign.collect("b00").boxes["img0"].labels.tolist() == ["lynx", "cat"]
    corrected(campaign, "cat", "dog")
    assert campaign.collect("b01").boxes["img2"].labels.tolist() == ["cat", "dog"]
    campaign.merge("dog", "lynx")  # at a time after that, which is to come
    campaign.submit("b00", "cat", changes=campaign.open("b00", redo=True))
    assert campaign.incomplete() == {}
    assert "complete" not in status_text(campaign.paths, load_params(campaign.file))


def merged(campaign, old, new):
    """Merges a branch in git where a class was renamed some minutes before; gives all changes."""
    [entry] = class_changes.read(campaign.paths.reviews)
    older = class_changes.ClassChange("rename", old, new, entry.when - timedelta(minutes=5))
    class_changes.append(campaign.paths.reviews, older, ())
    return class_changes.read(campaign.paths.reviews)


def test_a_change_that_git_brings_from_a_branch_is_followed_too(campaign):
    campaign.rename("cat", "lynx")
    campaign.submit("b00", "dog", changes=campaign.open("b00"))
    made = campaign.collect("b00")
    changes = merged(campaign, "dog", "wolf")
    for item in (made, *submissions.read(campaign.paths.reviews)):
        today = submissions.named_as_today(item, changes)
        assert today.boxes["img0"].labels.tolist() == ["lynx", "wolf"]


def clone(campaign):
    """The same campaign in another folder, whose pictures are the same."""
    root = campaign.paths.root.parent / "clone"
    shutil.copytree(campaign.paths.root, root)
    return Edited(CampaignPaths(root))


def merge_git(campaign, other, classes):
    """Merges another clone, with the classes that params.yaml then lists."""
    shutil.copytree(other.paths.reviews, campaign.paths.reviews, dirs_exist_ok=True)
    edit_params(campaign.file, [f"dataset.classes=[{', '.join(classes)}]"])
    campaign.read(load_params(campaign.file))


@pytest.mark.parametrize("renamed_first", [True, False])
def test_a_class_is_merged_into_one_that_another_branch_renamed(campaign, renamed_first):
    campaign.add("bird")
    campaign.submit("b00", "dog", changes=campaign.open("b00"))
    other = clone(campaign)
    steps = [lambda: campaign.rename("cat", "lynx"), lambda: other.merge("dog", "cat")]
    for step in steps if renamed_first else steps[::-1]:
        step()
    other.submit("b01", changes=other.open("b01"))
    merge_git(campaign, other, ["lynx", "bird"])
    assert campaign.collect("b00").boxes["img0"].labels.tolist() == ["lynx", "lynx"]
    assert campaign.collect("b01").boxes["img2"].labels.tolist() == ["lynx"]
    assert campaign.incomplete() == {}


def test_a_name_that_a_branch_gave_to_another_class_is_not_the_one_renamed_elsewhere(campaign):
    campaign.submit("b00", "dog", changes=campaign.open("b00"))
    other = clone(campaign)
    campaign.rename("cat", "lynx")
    other.rename("cat", "puma")
    other.rename("dog", "cat")
    merge_git(campaign, other, ["lynx", "cat"])
    changes = class_changes.read(campaign.paths.reviews)
    assert [(c.old, c.new) for c in changes] == [("cat", "lynx"), ("cat", "puma"), ("dog", "cat")]
    assert campaign.collect("b00").boxes["img0"].labels.tolist() == ["lynx", "cat"]


@pytest.mark.parametrize(("listed", "last"), [("puma", "lynx"), ("lynx", "puma")])
def test_a_class_that_two_branches_renamed_is_one_again_by_a_rename(campaign, listed, last):
    campaign.submit("b00", "dog", changes=campaign.open("b00"))
    other = clone(campaign)
    campaign.rename("cat", "lynx")
    other.rename("cat", "puma")
    other.submit("b01", changes=other.open("b01"))
    merge_git(campaign, other, [listed, "dog"])
    campaign.rename(listed, last)
    assert campaign.collect("b00").boxes["img0"].labels.tolist() == [last, "dog"]
    assert campaign.collect("b01").boxes["img2"].labels.tolist() == [last]
    assert campaign.incomplete() == {}


def test_an_entry_says_which_changes_it_knew(campaign):
    campaign.rename("cat", "lynx")
    campaign.merge("dog", "lynx")
    first, second = class_changes.files(campaign.paths.reviews)
    assert json.loads(first.read_text())["changes"] == []
    assert json.loads(second.read_text())["changes"] == [first.name]


def test_what_follows_a_change_of_another_branch_keeps_saying_so(campaign):
    there = "20990101T000000-rename.classes.json"
    campaign.submit("b00", "dog", changes=(there,))
    campaign.rename("cat", "lynx")
    (entry,) = class_changes.files(campaign.paths.reviews)
    assert campaign.collect("b00").changes == (entry.name, there)


def test_a_session_before_the_images_are_read_anew_says_nothing_of_changes(campaign):
    """Another person's change came with git, and its classes wait for ``dvc repro``."""
    stale = campaign.paths.images.read_bytes()
    assert campaign.open("b00") == ()
    campaign.rename("cat", "kitten")
    campaign.paths.images.write_bytes(stale)
    assert campaign.open("b00") == 0


def test_proposals_of_a_class_that_could_not_be_chosen_count_neither_for_nor_against(campaign):
    campaign.add("bird")
    bird = ("bird", 0, 0, 9, 9)
    offered = proposals(dict.fromkeys(BATCHES["b01"], proposed((*bird, 0.9))))
    final = {"img2": Boxes.empty(), "img3": boxes(bird)}
    before, today = ("cat", "dog"), {"img3": campaign.classes}
    made = Corrections(offered, 0.5, "fiftyone", final, classes=before, offered=today)
    artifacts.write_corrections(campaign.paths.corrections("b01"), made)
    artifacts.write_evidence(campaign.paths.evidence("b00"), ())
    params = load_params(campaign.file)
    counted = pipeline.account(Campaign(campaign.paths, params, say=lambda text: None), "b01")
    assert counted.average_precision["map_50"] == pytest.approx(1)
    (evidence,) = artifacts.read_evidence(campaign.paths.evidence("b01"))
    assert evidence.ledger(0.5, evidence.scores[0]) == Ledger(kept=1)


def called(boxes):
    return {i: b.labels.tolist() for i, b in boxes.items()}


def of_classes(*names, scored=False):
    xyxy = [(9 * i, 0, 9 * i + 8, 8) for i in range(len(names))]
    return Boxes.build(xyxy, list(names), [0.9] * len(names) if scored else None)


def test_imported_labels_follow_what_was_changed_after_them(campaign):
    """Their names may be used again: what they were when they were imported counts."""

    def keep(*names):
        params = load_params(campaign.file)
        labels = {"img2": of_classes(*names)}
        return existing.keep(campaign.paths, params, campaign.file, "b01", labels)

    def shown():
        params = load_params(campaign.file)
        return called(existing.by_turn(campaign.paths, params, {})["b01"])

    first = keep("cat")
    assert shown() == {"img2": ["cat"]}
    campaign.rename("cat", "kitten")
    assert shown() == {"img2": ["kitten"]}
    campaign.rename("dog", "cat")
    assert shown() == {"img2": ["kitten"]}
    again = keep("cat")
    assert again != first
    assert shown() == {"img2": ["cat"]}
    campaign.merge("cat", "kitten")
    assert shown() == {"img2": ["kitten"]}
    assert len(load_params(campaign.file).iterations["b01"].labels) == 2


def test_imported_proposals_follow_what_was_changed_after_them(campaign):
    batch = artifacts.read_batch(campaign.paths.batch("b01"))

    def keep(*names):
        boxes = dict.fromkeys(batch.image_ids, of_classes(*names, scored=True))
        given.keep(campaign.paths, campaign.file, batch, boxes)

    def shown():
        digest = load_params(campaign.file).iterations["b01"].proposals
        made = given.read(campaign.paths, replace(batch, given=digest), 0.05)
        return called(made.boxes)["img2"]

    keep("cat", "dog")
    campaign.rename("cat", "kitten")
    campaign.rename("dog", "cat")
    assert shown() == ["kitten", "cat"]
    keep("cat")
    assert shown() == ["cat"]
    # An older version did not say what a file follows: its names tell.
    path = campaign.paths.given("b01")
    made = replace(artifacts.read_proposals(path), changes=None)
    both = dict.fromkeys(batch.image_ids, of_classes("cat", "dog", scored=True))
    artifacts.write_proposals(path, replace(made, boxes=both))
    turn = "iterations.b01.proposals"
    edit_params(campaign.file, [f"{turn}='{file_digest(path)}'"])
    assert shown() == ["kitten", "cat"]


def test_what_was_imported_follows_a_change_that_git_brings(campaign):
    campaign.rename("cat", "lynx")
    batch = artifacts.read_batch(campaign.paths.batch("b01"))
    boxes = dict.fromkeys(batch.image_ids, of_classes("lynx", "dog", scored=True))
    given.keep(campaign.paths, campaign.file, batch, boxes)
    params = load_params(campaign.file)
    digest = params.iterations["b01"].proposals
    existing.keep(campaign.paths, params, campaign.file, "b01", {"img2": of_classes("lynx", "dog")})
    merged(campaign, "dog", "wolf")
    made = given.read(campaign.paths, replace(batch, given=digest), 0.05)
    assert called(made.boxes)["img2"] == ["lynx", "wolf"]
    labels = existing.by_turn(campaign.paths, load_params(campaign.file), {})["b01"]
    assert called(labels) == {"img2": ["lynx", "wolf"]}


def test_a_file_of_an_older_version_says_how_many_changes_it_follows(campaign):
    campaign.rename("cat", "lynx")
    campaign.rename("dog", "wolf")
    batch, path = artifacts.read_batch(campaign.paths.batch("b01")), campaign.paths.given("b01")
    boxes = dict.fromkeys(batch.image_ids, of_classes("cat", "dog", scored=True))
    for done, today in ((0, ["lynx", "wolf"]), (1, ["cat", "wolf"])):
        made = replace(proposals(boxes), batch="b01", changes=done)
        artifacts.write_proposals(path, made)
        found = given.read(campaign.paths, replace(batch, given=file_digest(path)), 0.05)
        assert called(found.boxes)["img2"] == today
        item = Corrections(
            made, 0.5, "fiftyone", {i: replace(b, scores=None) for i, b in boxes.items()},
            finished="2020-01-01T00:00:00+00:00", classes=("cat", "dog"), changes=done,
        )  # fmt: skip
        artifacts.write_corrections(campaign.paths.corrections("b01"), item)
        item = artifacts.read_corrections(campaign.paths.corrections("b01"))
        found = submissions.named_as_today(item, class_changes.read(campaign.paths.reviews))
        assert called(found.boxes)["img2"] == today


@pytest.mark.parametrize(
    ("names", "today"),
    [
        (("car", "truck"), ["vehicle", "car"]),  # before both
        (("vehicle", "truck"), ["vehicle", "car"]),  # between them
        (("vehicle", "car"), ["vehicle", "car"]),  # after
        (("car",), ["car"]),  # before or after: a detector is seldom older than its campaign
        (("bus",), ["bus"]),  # never
    ],
)
def test_names_tell_which_changes_a_file_follows(names, today):
    when = class_changes.datetime.now()
    changes = [
        class_changes.ClassChange("rename", old, new, when)
        for old, new in (("car", "vehicle"), ("truck", "car"))
    ]
    found = class_changes.named_as_today({"a": of_classes(*names)}, changes, ("vehicle", "car"))
    assert called(found) == {"a": today}


@pytest.mark.parametrize(
    ("kind", "old", "new", "sentence"),
    [
        ("rename", "bus", "car", "'bus' is no class of this campaign: cat, dog"),
        ("rename", "cat", "dog", "'dog' is a class already: 'boxloop classes merge' makes two one"),
        ("merge", "cat", "cat", "'cat' is no other class of this campaign"),
        ("merge", "cat", "bus", "'bus' is no other class of this campaign"),
    ],
)
def test_changes_that_cannot_be(campaign, kind, old, new, sentence):
    with pytest.raises(UserError, match=sentence):
        change(campaign.paths, campaign.file, kind, old, new, campaign.read)
    assert not campaign.paths.reviews.exists()


@pytest.fixture
def killed(campaign, monkeypatch):
    """Changes a class in a process that is killed when its entry is written."""

    def run(kind, old, new):
        pid = os.fork()
        if pid == 0:
            monkeypatch.setattr("boxloop.campaign.class_editing._apply", lambda *a: os._exit(9))
            change(campaign.paths, campaign.file, kind, old, new, campaign.read)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9

    return run


@pytest.mark.parametrize(
    ("kind", "old", "new", "again"),
    [
        ("rename", "cat", "lynx", ""),
        ("merge", "cat", "dog", ""),
        ("merge", "dog", "cat", ", unless the class was added again since"),
    ],
)
def test_a_change_that_was_stopped_is_told_and_goes_on(campaign, killed, kind, old, new, again):
    campaign.submit("b00", "dog")
    killed(kind, old, new)
    (entry,) = class_changes.files(campaign.paths.reviews)

    def said():
        return status_text(campaign.paths, load_params(campaign.file))

    command = f"'boxloop classes {kind} {old} {new}' goes on where it was stopped{again}\n"
    assert f"- reviews/{entry.name} says that '{old}' is " in said()
    assert command in said()
    change(campaign.paths, campaign.file, kind, old, new, campaign.read)
    assert class_changes.files(campaign.paths.reviews) == [entry]
    assert "stopped" not in said()
    made = campaign.collect("b00")
    assert made.boxes["img0"].labels.tolist() == [new if n == old else n for n in ("cat", "dog")]
    assert campaign.incomplete() == {}


def test_a_change_that_ended_is_not_told_whatever_is_listed_later(campaign):
    campaign.merge("dog", "cat")
    campaign.add("bird")
    campaign.add("dog")
    assert "stopped" not in status_text(campaign.paths, load_params(campaign.file))
    campaign.rename("bird", "crow")
    campaign.add("bird")
    assert "stopped" not in status_text(campaign.paths, load_params(campaign.file))
    campaign.merge("bird", "crow")
    campaign.add("bird")
    campaign.submit("b00", "bird", changes=campaign.open("b00"))
    assert "stopped" not in status_text(campaign.paths, load_params(campaign.file))
    campaign.merge("bird", "crow")  # what was submitted since has to follow
    assert len(class_changes.files(campaign.paths.reviews)) == 4
    assert campaign.collect("b00").boxes["img0"].labels.tolist() == ["cat", "crow"]


def test_a_change_that_ended_is_not_told_where_no_class_is_listed(tmp_path):
    """The classes are then those of the dataset, by the names of today."""
    file = tmp_path / "params.yaml"
    file.write_text("dataset: {demo: {images: 4, size: [64, 64]}}\n")
    made = Edited(CampaignPaths(tmp_path))
    made.read(load_params(file))
    old, other, *_ = artifacts.read_images(made.paths.images).classes
    made.rename(old, "thing")
    made.merge(other, "thing")
    file.write_text("dataset: {demo: {images: 4, size: [64, 64]}}\n")
    made.read(load_params(file))
    assert "stopped" not in status_text(made.paths, load_params(file))


def test_a_damaged_entry_is_named_with_the_way_out(campaign):
    campaign.submit("b00")
    campaign.rename("cat", "kitten")
    (entry,) = class_changes.files(campaign.paths.reviews)
    entry.write_text("{")
    with pytest.raises(UserError, match="it says what labels are called now, so bring it back"):
        campaign.collect("b00")
    assert "git checkout" in status_text(campaign.paths, load_params(campaign.file))


@pytest.mark.parametrize("name", ["\u200b", "x" * 201, "a\u2028b", "car "])
def test_no_class_is_renamed_to_what_a_dataset_would_be_refused_for(tmp_path, name):
    """The names that a set with annotations is read by are the old ones, which are as they were."""
    (tmp_path / "params.yaml").write_text("dataset: {demo: {images: 4, size: [64, 64]}}\n")
    made = Edited(CampaignPaths(tmp_path))
    made.read(load_params(made.file))
    before = artifacts.read_images(made.paths.images).classes
    with pytest.raises(UserError, match="name another") as caught:
        made.rename(before[0], name)
    assert str(caught.value).isprintable()
    assert artifacts.read_images(made.paths.images).classes == before
    assert not made.paths.reviews.exists()


def test_the_truth_of_a_dataset_is_read_by_the_new_names(tmp_path):
    (tmp_path / "params.yaml").write_text("dataset: {demo: {images: 4, size: [64, 64]}}\n")
    made = Edited(CampaignPaths(tmp_path))
    made.read(load_params(made.file))
    before = artifacts.read_images(made.paths.images).classes
    old, other, *rest = before
    counts = {k: len(b) for k, b in (artifacts.read_truth(made.paths.truth) or {}).items()}
    made.rename(old, "thing")
    assert made.classes == ("thing", other, *rest)
    made.merge(other, "thing")
    assert made.classes == ("thing", *rest)
    truth = artifacts.read_truth(made.paths.truth)
    assert {k: len(b) for k, b in truth.items()} == counts
    assert {label for b in truth.values() for label in b.labels.tolist()} <= set(made.classes)
    assert "thing" in {label for b in truth.values() for label in b.labels.tolist()}
    with pytest.raises(UserError, match="stays as it was: dataset.classes names 'ship', which"):
        made.add("ship")
    for name in (old, other):  # would be folded into what they are called now
        with pytest.raises(UserError, match=f"stays as it was: .* lists '{name}', .* 'thing'"):
            made.add(name)
    assert made.classes == ("thing", *rest)
    # A name that is in use no more can be given to another class all the same.
    made.rename(rest[0], old)
    assert made.classes == ("thing", old, *rest[1:])
