"""Files as CVAT and Label Studio export them; what is wrong with one is told, and nothing written.

The campaign is that of ``builders_campaign``: batch b01 waits, with seven proposals on two images.
"""

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from boxloop import __version__
from boxloop.campaign import artifacts, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.second_looks import SECOND_ID
from boxloop.core.planted import PlantedError
from boxloop.core.types import (
    Boxes,
    Corrections,
    Decision,
    ImageSet,
    Neighbour,
    NeighbourUse,
    Recheck,
)
from boxloop.params import load_params
from boxloop.review.fiftyone.session_inputs import ReviewRequest, read_assignment
from boxloop.review.fiftyone.session_registry import Session, claim

FIFTYONE = {"annotator": "fiftyone"}
CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
BIRD = [*CATEGORIES, {"id": 3, "name": "bird"}]
IMAGES = [
    {"id": 7, "file_name": "img02.png", "width": 64, "height": 48},
    {"id": 9, "file_name": "img03.png", "width": 64, "height": 48},
]


@pytest.fixture
def root(waiting):
    """Batch b00 is done, b01 waits for its review."""
    return waiting({"review": FIFTYONE}, comment="", annotator="fiftyone")


def box(image, category, bbox, **more):
    return {"image_id": image, "category_id": category, "bbox": bbox, "iscrowd": 0, **more}


def write(root, annotations, images=IMAGES, categories=CATEGORIES):
    numbered = [{"id": i, **a} if isinstance(a, dict) else a for i, a in enumerate(annotations, 1)]
    content = {"images": images, "annotations": numbered, "categories": categories}
    (root / "back.json").write_text(json.dumps(content), encoding="utf-8")
    return "back.json"


def submitted(root):
    return submissions.read(CampaignPaths(root).reviews)


TRUTH = [
    box(7, 1, [2, 2, 10, 10]),
    box(7, 1, [20, 2, 10, 10]),
    box(7, 2, [40, 2, 10, 10]),
    box(9, 2, [2, 2, 10, 10]),
    box(9, 1, [20, 2, 10, 10]),
    box(9, 1, [40, 2, 10, 10]),
]
SAID = "b01: 2 images; of the proposals 3 kept, 1 moved, 1 relabeled, 1 removed; 1 box added\n"


def test_a_tool_that_keeps_no_attributes(root, program):
    code, said = program("import-corrections", write(root, TRUTH), "--reviewer", " Ada ")
    assert (code, said.startswith(SAID)) == (0, True), said
    assert said.endswith("b01 is complete. Next: dvc repro\n")
    (taken,) = submitted(root)
    assert (taken.batch, taken.annotator, taken.reviewer) == ("b01", "import", "Ada")
    assert taken.proposals == artifacts.read_proposals(root / "data/proposals/b01.json")
    assert taken.score_threshold == 0.5
    assert taken.versions == {"boxloop": __version__}
    assert taken.boxes["img02"].ids.tolist() == ["t0", "t1", "t2"]
    # img03's t2 was not shown: the box there was drawn.
    assert taken.boxes["img03"].ids.tolist() == ["t0", "t1", "i0"]
    truth = artifacts.read_truth(root / "data/truth.json")
    for name, boxes in taken.boxes.items():
        assert boxes.xyxy.tolist() == truth[name].xyxy.tolist()
        assert boxes.labels.tolist() == truth[name].labels.tolist()


def test_ids_that_are_whole_floats_are_the_numbers_that_they_equal(root, program):
    keys = ("image_id", "category_id")
    floats = [{**row, **{key: float(row[key]) for key in keys}} for row in TRUTH]
    code, said = program("import-corrections", write(root, floats))
    assert (code, said.startswith(SAID)) == (0, True), said


def cvat(root, edit):
    """What CVAT makes of our own export: two decimals, ids and order of its own, attributes."""
    path = root / "out" / "annotations" / "instances_default.json"
    content = json.loads(path.read_text())
    kept = edit({a["attributes"]["boxloop_id"].partition("/")[2] + str(a["image_id"]): a
                 for a in content["annotations"]})  # fmt: skip
    content["annotations"] = [
        {
            "id": i,
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "segmentation": [],
            "area": 1.0,
            "bbox": [round(v, 2) for v in a["bbox"]],
            "iscrowd": 0,
            "attributes": {"occluded": False, "rotation": 0.0, **a.get("attributes", {})},
        }
        for i, a in enumerate(reversed(kept), start=1)
    ]
    (root / "back.json").write_text(json.dumps(content))
    return "back.json"


def edited(rows):
    """Moves t0, relabels t2 and removes t3 of the first image; draws one on the second."""
    rows["t01"]["bbox"] = [2, 2, 10, 10]
    rows["t21"]["category_id"] = 2
    del rows["t31"]
    return [*rows.values(), box(2, 1, [40, 2, 10, 10])]


def test_an_image_with_a_planted_error_that_was_missed_waits_for_its_second_look(root, program):
    """A file says neither that the error was undone, nor that anybody was told of it."""
    program("import-corrections", write(root, TRUTH))
    [before] = submitted(root)
    offered = before.proposals.boxes["img02"]
    error = PlantedError("shifted", "t0", "t0", str(offered.labels[0]), (9, 2, 19, 12), 0.9)
    planted = {"img02": (replace(error, state="missed", reviewer="ann"),)}
    made = replace(before, planted=planted, finished="2030-01-01T00:00:00+00:00")
    submissions.append(root / "reviews", made)
    code, said = program("import-corrections", write(root, TRUTH), "--redo")
    assert code != 0
    assert "img02 of b01 has a planted error that was missed" in said
    assert "'boxloop review b01 --planted' opens these images first" in said
    assert len(submitted(root)) == 2
    mended = {"img02": (replace(planted["img02"][0], state="mended"),)}
    submissions.append(root / "reviews", replace(made, planted=mended))
    code, said = program("import-corrections", write(root, TRUTH), "--redo")
    assert code == 0, said


def test_images_that_somebody_is_reviewing_are_left_to_that_session(root, program):
    session = Session("b01", "1/2", "ann", None, ("img02", "img09"))
    with claim(root / ".boxloop" / "sessions", session):
        code, said = program("import-corrections", write(root, TRUTH))
        assert code == 2
        assert "ann is reviewing b01, with 1 image of this file (img02), and could not" in said
        assert not submitted(root)
        assert program("import-corrections", write(root, [], IMAGES[1:]))[0] == 0
    assert program("import-corrections", write(root, [], IMAGES[:1]))[0] == 0


def test_a_reviewer_whose_name_would_be_two_peoples_is_refused(root, program):
    code, said = program("import-corrections", write(root, TRUTH), "--reviewer", "Smith, Jane")
    assert code != 0
    assert "stand between two people's names: give another name" in said
    assert not submitted(root)


def test_proposals_out_and_corrections_back_with_their_ids(root, program):
    program("export", "out", "--format", "coco", "--proposals", "b01", "--images", "none")
    code, said = program("import-corrections", cvat(root, edited))
    assert (code, said.startswith(SAID)) == (0, True), said
    (taken,) = submitted(root)
    assert sorted(taken.boxes["img02"].ids.tolist()) == ["t0", "t1", "t2"]
    assert sorted(taken.boxes["img03"].ids.tolist()) == ["i0", "t0", "t1"]


def test_deleted_and_drawn_again_is_told_where_ids_come_back(root, program):
    def redrawn(rows):
        again = copy.deepcopy(rows.pop("t11"))
        del again["attributes"]
        return [*rows.values(), again]

    program("export", "out", "--format", "coco", "--proposals", "b01")
    _, said = program("import-corrections", cvat(root, redrawn))
    assert "5 kept, 0 moved, 0 relabeled, 1 removed; 1 box added" in said


def test_ids_of_other_proposals_are_not_believed(root, program):
    program("export", "out", "--format", "coco", "--proposals", "b01")
    path = root / "data/proposals/b01.json"
    path.write_text(path.read_text().replace("0.9", "0.95"))
    code, said = program("import-corrections", cvat(root, edited))
    assert code == 0
    assert said.startswith(SAID)
    assert "The file was made from other proposals than data/proposals/b01.json has now" in said


def test_a_bare_id_names_no_proposal(root, program):
    """It may be of any file of proposals: only ids with the tag of this one are believed."""
    row = box(7, 1, [20, 2, 10, 10], attributes={"boxloop_id": "t0"})
    code, said = program("import-corrections", write(root, [row]))
    assert code == 0
    assert "is told by geometry" in said
    assert submitted(root)[0].boxes["img02"].ids.tolist() == ["t1"]


def test_a_drawn_box_gets_no_id_of_a_proposal_that_was_not_shown(root, program):
    path = root / "data/proposals/b01.json"
    content = json.loads(path.read_text())
    content["boxes"]["img03"][2]["id"] = "i0"
    path.write_text(json.dumps(content))
    assert program("import-corrections", write(root, TRUTH))[0] == 0
    assert submitted(root)[0].boxes["img03"].ids.tolist() == ["t0", "t1", "i1"]


def test_a_drawn_box_gets_no_id_of_a_label_that_was_deleted(root, program):
    program("import-corrections", write(root, TRUTH))
    rows = [*TRUTH[:5], box(9, 1, [40, 30, 10, 10])]  # elsewhere than i0 was
    assert program("import-corrections", write(root, rows), "--redo")[0] == 0
    assert submitted(root)[1].boxes["img03"].ids.tolist() == ["t0", "t1", "i1"]


def test_parts_add_up(root, program):
    first = write(root, TRUTH[:3], IMAGES[:1])
    _, said = program("import-corrections", first)
    assert "Still missing of b01: 1 image. Import them too, or 'boxloop review b01'" in said
    code, said = program("import-corrections", write(root, [], IMAGES[1:]), "--batch", "b01")
    assert code == 0
    assert "b01: 1 image (1 without boxes)" in said
    assert "b01 is complete" in said
    assert len(submitted(root)) == 2


def test_labels_are_those_of_the_pixels_that_the_images_have_now(root, program):
    program("import-corrections", write(root, TRUTH))
    images = artifacts.read_images(root / "data/images.json")
    first, second = images.subset(["img02", "img03"])
    assert submitted(root)[0].digests == {"img02": first.digest, "img03": second.digest}
    painted = [replace(i, digest="0" * 64) if i == first else i for i in images.images]
    artifacts.write_images(root / "data/images.json", ImageSet(tuple(painted), images.classes))
    # Of img02 nothing is held now, so that nothing is replaced.
    _, said = program("import-corrections", write(root, TRUTH))
    assert "img03 of b01 was submitted before" in said
    code, _ = program("import-corrections", write(root, TRUTH[:3], IMAGES[:1]))
    assert (code, submitted(root)[1].digests) == (0, {"img02": "0" * 64})


def repaint(root, *image_ids):
    images = artifacts.read_images(root / "data/images.json")
    painted = [replace(i, digest="0" * 64) if i.id in image_ids else i for i in images.images]
    artifacts.write_images(root / "data/images.json", ImageSet(tuple(painted), images.classes))


def test_boxes_that_were_drawn_on_other_pixels_are_refused(root, program):
    export = ("export", "out", "--format", "coco", "--images", "none")
    program(*export, "--proposals", "b01")
    repaint(root, "img02")
    code, said = program("import-corrections", write(root, TRUTH))
    assert (code, submitted(root)) == (2, [])
    assert said == (
        "boxloop: back.json was not taken in: other pixels than are now in image img02 were"
        " exported for it; leave these out of 'images', or 'boxloop export OUT --format coco"
        " --proposals b01' and correct them anew\n"
    )
    assert program("import-corrections", write(root, TRUTH[3:], IMAGES[1:]))[0] == 0
    # Another export hands out what is there now; that of labels has other images.
    program(*export)
    assert program("import-corrections", write(root, TRUTH[:3], IMAGES[:1]))[0] == 2
    program(*export, "--proposals", "b01")
    assert program("import-corrections", write(root, TRUTH[:3], IMAGES[:1]))[0] == 0
    assert submitted(root)[-1].digests == {"img02": "0" * 64}


@pytest.mark.parametrize("content", ["[]", "{", '{"digests": []}', '{"digests": {"img02": 1}}'])
def test_what_is_kept_of_an_export_may_be_damaged(root, program, content):
    program("export", "out", "--format", "coco", "--proposals", "b01", "--images", "none")
    (root / ".boxloop/exported.json").write_text(content)
    repaint(root, "img02")
    assert program("import-corrections", write(root, TRUTH))[0] == 0


def test_a_class_that_is_added_later_opens_what_was_imported(root, program):
    program("import-corrections", write(root, TRUTH))
    images = artifacts.read_images(root / "data/images.json")
    more = ImageSet(images.images, (*images.classes, "bird"))
    artifacts.write_images(root / "data/images.json", more)
    request = ReviewRequest("", "ada", wanted="bird")
    opened = read_assignment(CampaignPaths(root), load_params(root / "params.yaml"), request)
    assert [item.image.id for item in opened.items] == ["img02", "img03"]


def test_a_second_time_only_on_request(root, program):
    program("import-corrections", write(root, TRUTH))
    code, said = program("import-corrections", write(root, TRUTH[:4]))
    assert code == 2
    assert "img02, img03 of b01 were submitted before: --redo replaces those labels" in said
    (first,) = submitted(root)
    # As if it had been drawn without proposals: it counts so from then on.
    submissions.append(root / "reviews", replace(first, blind=("img03",)))
    code, _ = program("import-corrections", write(root, TRUTH[:4]), "--redo")
    assert code == 0
    newest = submissions.latest(submitted(root))
    assert len(newest["img03"].boxes["img03"]) == 1
    assert newest["img03"].blind == ("img03",)


def test_a_redo_of_a_blind_image_is_made_from_no_proposal(root, program):
    """Nobody saw any, so what was drawn where one lies is no proposal that was kept."""
    program("import-corrections", write(root, []))
    (first,) = submitted(root)
    submissions.append(root / "reviews", replace(first, blind=("img02",)))
    _, said = program("import-corrections", write(root, TRUTH[:3]), "--redo")
    assert said.startswith("b01: 2 images (1 without boxes); of the proposals 0 kept, 0 moved, 0 r")
    assert submitted(root)[2].boxes["img02"].ids.tolist() == ["i0", "i1", "i2"]


def test_a_redo_of_what_a_third_person_decided_has_the_ids_of_the_proposals(root, program):
    """As in a session: what was kept of the second person's boxes was made from proposals."""
    program("import-corrections", write(root, TRUTH))
    (first,) = submitted(root)
    label = first.boxes["img02"]
    kept = replace(label, ids=np.array([f"{SECOND_ID}{name}" for name in label.ids]))
    decision = Decision(label, kept, "eve", "ada", (first.finished, first.finished), 5.0)
    boxes = {**first.boxes, "img02": kept}
    decided = replace(first, boxes=boxes, decided={"img02": decision})
    submissions.append(root / "reviews", decided)
    code, said = program("import-corrections", write(root, TRUTH), "--redo")
    assert (code, said.startswith(SAID)) == (0, True), said
    assert submitted(root)[2].boxes == first.boxes


def test_a_redo_counts_against_what_was_shown_first(root, program):
    """Also once the detector proposes anew and shows less; each way of showing in its own file.

    Another order has moved the images here, and in their batch neighbours changed the proposals.
    """
    offered = artifacts.read_proposals(root / "data/proposals/b01.json")
    drawn = Boxes.build([(20, 2, 30, 12), (41, 2, 51, 12)], ["cat", "cat"], prefix="d")
    error = PlantedError("relabeled", "t0", "t0", "cat", (2, 2, 12, 12), 0.9, "caught", "ann")
    look = Recheck(drawn, "ann", "bob", 0.2)
    first = {
        "img02": (0.5, {"blind": ("img02",), "rechecked": {"img02": look}}),
        "img03": (0.3, {"planted": {"img03": (error,)}}),
    }
    for image_id, (threshold, more) in first.items():
        own = {image_id: offered.boxes[image_id]}
        near = NeighbourUse(1.0, None, "prior", {image_id: Neighbour("img00", 0.5)}, 1, own)
        shown = replace(offered, batch="b02", boxes=own, neighbours=near)
        made = Corrections(
            shown, threshold, "fiftyone", {image_id: drawn}, seconds={image_id: 0.1}, **more
        )
        submissions.append(root / "reviews", replace(made, finished=submissions.timestamp()))
    anew = {i: replace(b, xyxy=b.xyxy + 2.0) for i, b in offered.boxes.items()}
    path = root / "data/proposals/b01.json"
    artifacts.write_proposals(path, replace(offered, checkpoint="anew", boxes=anew))
    rows = [box(image, 1, [x, 2, 10, 10]) for image in (7, 9) for x in (20, 41)]
    _, said = program("import-corrections", write(root, rows), "--redo", "--reviewer", "ada")
    # img02 was blind; of img03 nothing of what was drawn became a proposal's.
    assert said.startswith("b01: 2 images; of the proposals 0 kept, 0 moved, 0 relabeled, 3 rem")
    one, other = submitted(root)[2:]
    assert (one.score_threshold, other.score_threshold) == (0.5, 0.3)
    assert (one.blind, other.planted) == (("img02",), {"img03": (error,)})
    assert (one.seconds, other.seconds) == ({"img02": 0.3}, {"img03": 0.1})
    for made, image_id in ((one, "img02"), (other, "img03")):
        own = {image_id: offered.boxes[image_id]}
        assert made.proposals == replace(offered, boxes=own)
        assert made.boxes == {image_id: drawn}


def test_a_redo_that_was_killed_between_two_submissions_goes_on(root, program):
    """The images were shown in two ways, so that they are two submissions."""
    offered = artifacts.read_proposals(root / "data/proposals/b01.json")
    for image_id, threshold in (("img02", 0.5), ("img03", 0.3)):
        own = {image_id: offered.boxes[image_id]}
        labels = {image_id: replace(own[image_id], scores=None)}
        made = Corrections(replace(offered, boxes=own), threshold, "fiftyone", labels)
        submissions.append(root / "reviews", replace(made, finished=submissions.timestamp()))
    again = ("import-corrections", write(root, TRUTH), "--redo", "--reviewer", "ada")
    _, told = program(*again)
    whole = submitted(root)
    files = submissions.submission_files(root / "reviews")
    left = [path for path in files if "ada" in path.name]
    assert len(whole) == 4
    assert len(left) == 2
    left[1].unlink()  # as if the import had been killed before it
    first = left[0].read_bytes()
    code, said = program(*again)
    assert (code, said.splitlines()[0]) == (0, told.splitlines()[0])
    assert [item.boxes for item in submitted(root)] == [item.boxes for item in whole]
    assert submissions.assemble(submitted(root), offered).revision == 3
    assert left[0].read_bytes() == first
    program(*again)  # a whole one is submitted once more, as asked for
    assert len(submitted(root)) == 6


def test_a_redo_believes_ids_only_of_what_was_shown_first(root, program):
    program("import-corrections", write(root, TRUTH))
    program("export", "out", "--format", "coco", "--proposals", "b01")
    _, said = program("import-corrections", cvat(root, edited), "--redo")
    assert said.startswith(SAID)
    assert "geometry" not in said
    path = root / "data/proposals/b01.json"
    offered = artifacts.read_proposals(path)
    anew = {i: b.select(np.arange(len(b))[::-1]) for i, b in offered.boxes.items()}
    anew = {i: replace(b, ids=offered.boxes[i].ids) for i, b in anew.items()}
    artifacts.write_proposals(path, replace(offered, boxes=anew))
    program("export", "out", "--format", "coco", "--proposals", "b01")
    _, said = program("import-corrections", cvat(root, lambda rows: rows.values()), "--redo")
    assert "of the proposals 6 kept" in said
    assert "By geometry is told what was kept, moved and relabeled of 2 images" in said


def test_labels_that_only_dvc_holds_are_not_replaced_unasked(root, program):
    """As in a fresh clone, where reviews/ is not there."""
    images = [
        {**i, "file_name": n} for i, n in zip(IMAGES, ("img00.png", "img01.png"), strict=True)
    ]
    code, said = program("import-corrections", write(root, [], images))
    assert code == 2
    assert "img00, img01 of b00 were submitted before" in said


def test_simulated_corrections_were_submitted_by_nobody(root, program):
    path = root / "data/corrections/b00.json"
    stored = replace(artifacts.read_corrections(path), annotator="simulated", finished=None)
    artifacts.write_corrections(path, stored)
    images = [
        {**i, "file_name": n} for i, n in zip(IMAGES, ("img00.png", "img01.png"), strict=True)
    ]
    code, said = program("import-corrections", write(root, [], images))
    assert (code, "b00 is complete" in said) == (0, True), said


def test_a_redo_keeps_the_seconds_of_before(root, program):
    images = [{**IMAGES[0], "file_name": "img00.png"}]
    code, said = program("import-corrections", write(root, TRUTH[:3], images), "--redo")
    # This folder has no dvc.yaml.
    assert code == 2
    assert "the labels of b00 are safe in reviews/, but DVC did not take them over" in said
    assert submitted(root)[0].seconds == {"img00": 10.0}


def test_a_file_of_label_studio(root, program):
    """As its converter (SDK 2.1) writes it: uploads, ids from 0, no size where there is no box."""
    images = [
        {"width": 64, "height": 48, "id": 0, "file_name": "/data/upload/1/3ffd1ab2-img02.png"},
        {"width": None, "height": None, "id": 1, "file_name": "/data/upload/1/4ffd1ab2-img03.png"},
    ]
    bbox = [20.000000000000004, 1.9999999999999998, 10.0, 10.000000000000002]
    extra = {"segmentation": [], "ignore": 0, "area": 100.00000000000001}
    rows = [box(0, 0, bbox, **extra), box(0, 1, [40.0, 2.0, 10.0, 10.0], **extra)]
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    code, said = program("import-corrections", write(root, rows, images, categories))
    expected = (
        "b01: 2 images (1 without boxes); of the proposals 1 kept, 0 moved, 1 relabeled, 4 removed;"
        " 0 boxes added\n"
    )
    assert (code, said.startswith(expected)) == (0, True), said
    assert submitted(root)[0].boxes["img02"].xyxy.tolist() == [[20, 2, 30, 12], [40, 2, 50, 12]]


def test_outlines_are_not_looked_at(root, program):
    rows = [{**TRUTH[0], "segmentation": [[2, 2, 12, 2, 12, 12]]}, *TRUTH[1:]]
    _, said = program("import-corrections", write(root, rows))
    assert "Not looked at: the outlines or masks of 1 box" in said


def test_one_batch_out_of_a_whole_project(root, program):
    names = ["img00.png", "img02.png", "img03.png", "img04.png"]
    images = [{"id": i, "file_name": n, "width": 64, "height": 48} for i, n in enumerate(names)]
    code, said = program("import-corrections", write(root, [], images))
    assert code == 2
    assert (
        "back.json has 1 image of b00 and 2 images of b01 and 1 image of b02: say by --batch"
        " which ones to take" in said
    )
    code, said = program("import-corrections", "back.json", "--batch", "b01")
    assert code == 0
    assert "Left out: 2 images of other batches" in said
    assert set(submitted(root)[0].boxes) == {"img02", "img03"}


def test_images_of_no_batch_need_more_batches_first(root, program):
    """The iterations were cut to the first batch."""
    params = load_params(root / "params.yaml").model_dump(mode="json")
    params["iterations"] = {"b00": params["iterations"]["b00"]}
    (root / "params.yaml").write_text(json.dumps(params))
    file = write(root, TRUTH)
    way = "2 images of no batch yet: list more iterations in params.yaml, then 'dvc repro'"
    code, said = program("import-corrections", file, "--redo")
    assert (code, said) == (2, f"boxloop: back.json has {way}\n")
    code, said = program("import-corrections", file, "--batch", "b00")
    assert (code, said) == (2, f"boxloop: back.json has no image of batch b00, but {way}\n")
    assert submitted(root) == []


def test_images_of_a_batch_that_is_not_made_yet_need_its_stage(root, program):
    for key in ("b01", "b02"):
        (root / f"data/batches/{key}.json").unlink()
    code, said = program("import-corrections", write(root, TRUTH))
    assert (code, said) == (
        2,
        "boxloop: back.json has 2 images of no batch yet: run 'dvc repro', which makes those that"
        " params.yaml lists\n",
    )


ROTATED = box(7, 1, [2, 2, 10, 10], attributes={"rotation": 30.0})


@pytest.mark.parametrize(
    ("annotations", "images", "message"),
    [
        ([box(7, 1, [60, 2, 18, 10])], IMAGES,
         "img02: box of class 'cat' at (60, 2) sticks out of the image by 14 px on the right"),
        ([box(7, 1, [2, 2, 0, 10])], IMAGES, "img02: box of class 'cat' at (2, 2) has no real"),
        ([box(7, 1, [2, 2, math.nan, 10])], IMAGES, "not four finite numbers"),
        ([box(7, 1, [2.0, 2, 10, 10]), box(7, 1, [2, 2, 10, 10])], IMAGES, "drawn twice?"),
        ([box(7, 1, ["2", 2, 10, 10])], IMAGES, "not four finite numbers"),
        ([box(7, 3, [2, 2, 10, 10])], IMAGES, "annotations[0] has the category 3, which the file"),
        ([box(7, 1, None)], IMAGES, "annotations[0] has no 'bbox' of four numbers"),
        ([{**TRUTH[0], "iscrowd": 1}], IMAGES, "annotations[0] is a crowd region (iscrowd: 1)"),
        ([ROTATED], IMAGES, "annotations[0] is rotated by 30 degrees"),
        ([box(7, 1, [2, 2, 10, 10], rotation=-90)], IMAGES, "is rotated by 90 degrees"),
        ([box(8, 1, [2, 2, 10, 10])], IMAGES, "annotations[0]: is of no image that the file lists"),
        ([7], IMAGES, "annotations[0]: is of no image that the file lists"),
        ([], [{**IMAGES[0], "width": 48, "height": 64}],
         "img02: the file says 48x64 pixels, but the upright image has 64x48"),
        ([], [{**IMAGES[0], "file_name": "x.png"}, IMAGES[1]],
         "lists 1 of 2 images that are none of the campaign's by their file names: x.png"),
        ([], [IMAGES[0], {**IMAGES[1], "file_name": "a/img02.png"}],
         "images[0] and images[1] are both image img02"),
        ([], [IMAGES[0], IMAGES[0]], "images[1]: the image id 7 occurs twice"),
        ([], [{"id": 1}], "images[0]: needs an 'id' and a 'file_name'"),
        ([], [], "lists no image"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_and_nothing_is_written(root, program, annotations, images, message):
    code, said = program("import-corrections", write(root, annotations, images))
    assert code == 2
    assert message in said
    assert "Traceback" not in said
    assert submitted(root) == []


def test_a_class_that_the_campaign_does_not_have(root, program):
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "wolf"}]
    _, said = program("import-corrections", write(root, TRUTH, IMAGES, categories))
    assert "back.json was not taken in, because 2 things are wrong in it:\n" in said
    assert "img02: box of class 'wolf' at (40, 2) is of none of the classes cat, dog\n" in said


def test_images_are_complete_for_the_classes_alone_that_the_file_lists(root, program):
    images = artifacts.read_images(root / "data/images.json")
    more = ImageSet(images.images, (*images.classes, "bird"))
    artifacts.write_images(root / "data/images.json", more)
    for redo in ([], ["--redo"]):
        code, said = program("import-corrections", write(root, TRUTH), *redo)
        assert code == 0
        assert (
            "back.json lists no category 'bird': 2 images (img02, img03) are not complete for it,"
            " until 'boxloop review --for bird', or the file with that category and --redo\n"
        ) in said
        assert submitted(root)[-1].classes == images.classes
    code, said = program("import-corrections", write(root, TRUTH[:3], IMAGES[:1], BIRD), "--redo")
    assert (code, "not complete" in said) == (0, False)
    assert submitted(root)[-1].classes == more.classes


def test_images_are_not_complete_for_what_the_file_marks(root, program):
    """By the key of LVIS, as boxloop's own export does."""
    marked = [{**IMAGES[0], "not_exhaustive_category_ids": [2.0, 7]}, IMAGES[1]]
    code, said = program("import-corrections", write(root, TRUTH, marked), "--redo")
    assert (code, said.startswith(SAID)) == (0, True), said
    note = "back.json marks image img02 as not complete for 'dog': 'boxloop review --for dog' opens"
    assert f"{note} it\n" in said
    found = {i: item.classes for item in submitted(root) for i in item.boxes}
    assert found == {"img02": ("cat",), "img03": ("cat", "dog")}


def test_an_image_that_is_complete_for_no_class_was_not_reviewed(root, program):
    marked = [{**IMAGES[0], "not_exhaustive_category_ids": [1, 2]}, IMAGES[1]]
    code, said = program("import-corrections", write(root, TRUTH, marked))
    assert (code, submitted(root)) == (2, [])
    assert said == (
        "boxloop: back.json marks image img02 as not complete for any class: leave it out of"
        " 'images'\n"
    )


@pytest.mark.parametrize("marks", ["dog", [True], 2, [None]])
def test_marks_that_are_no_ids_are_refused(root, program, marks):
    images = [{**IMAGES[0], "not_exhaustive_category_ids": marks}]
    code, said = program("import-corrections", write(root, TRUTH[:3], images))
    assert code == 2
    assert "img02: 'not_exhaustive_category_ids' is no list of category ids\n" in said
    assert submitted(root) == []


@pytest.mark.parametrize("categories", [[], [{"id": 1, "name": "wolf"}]])
def test_a_file_that_tells_of_no_class_of_the_campaign_is_refused(root, program, categories):
    code, said = program("import-corrections", write(root, [], IMAGES, categories))
    assert code == 2
    assert said == (
        "boxloop: back.json lists none of the classes cat, dog under 'categories', and its images"
        " are complete for those alone that it lists: add the classes that could be drawn\n"
    )
    assert submitted(root) == []


def test_a_long_list_of_faults_is_cut(root, program):
    rows = [box(7, 1, [2, 2 + i, 0, 0]) for i in range(25)]
    _, said = program("import-corrections", write(root, rows))
    assert len(said.splitlines()) == 22
    assert said.endswith("  and 5 more\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.json"], "nothing.json does not exist"),
        (["params.yaml"], "params.yaml has no list 'images'"),
        (["back.json", "--batch", "b09"], "there is no batch 'b09'"),
        (["back.json", "--batch", "b02"], "back.json has no image of batch b02, but of b01"),
        (["back.json", "--set", "review.annotator=simulated"], "review.annotator is 'simulated'"),
    ],
)
def test_what_cannot_be_taken_in_is_one_sentence(root, program, arguments, message):
    write(root, TRUTH)
    code, said = program("import-corrections", *arguments)
    assert code == 2
    assert message in said
    assert said.count("\n") == 1
    assert submitted(root) == []


def test_without_proposals_there_is_nothing_to_account_against(root, program):
    (root / "data/proposals/b01.json").unlink()
    code, said = program("import-corrections", write(root, TRUTH))
    assert code == 2
    assert "data/proposals/b01.json does not exist" in said
