"""Labels that come later: trusted without a review, or shown as proposals; none is lost.

The campaign is that of ``builders_campaign``: people did b00, b01 has proposals, b02 has images.
"""

import json
import shutil
from dataclasses import replace

import pytest

from boxloop import pipeline
from boxloop.campaign import artifacts, existing, submissions
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.export.content import collect_labels, collect_proposals
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import read_results
from boxloop.campaign.status import status_text
from boxloop.core.types import Boxes
from boxloop.errors import ReviewPending
from boxloop.params import load_params
from boxloop.report.console import workload_text
from boxloop.report.tables import metrics
from boxloop.review.fiftyone.assignment import submitted_item
from boxloop.review.fiftyone.session_registry import Session, claim
from builders_campaign import rename_image, swap_pixels
from builders_reviews import submit

PEOPLE = {"review": {"annotator": "fiftyone"}}


@pytest.fixture
def root(waiting):
    return waiting(PEOPLE, annotator="fiftyone")


def save(root, names, name="labels.json", **more):
    """COCO's JSON with one cat in each of these images."""
    images = [
        {"id": i, "file_name": f"{n}.png", "width": 64, "height": 48} for i, n in names.items()
    ]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [2, 2, 10, 10]} for i in names]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "bird"}]
    content = {"images": images, "annotations": boxes, "categories": categories}
    for key, rows in more.items():
        content[key] = content[key] + rows
    (root / name).write_text(json.dumps(content))
    return name


def campaign():
    return Campaign(CampaignPaths(), load_params(CampaignPaths().root / "params.yaml"))


def test_what_is_not_taken_is_counted_and_named(root, program):
    file = save(
        root,
        {1: "img00", 2: "img02", 3: "img04", 4: "nobody"},
        images=[{"id": 5, "file_name": "img05.png", "width": 64, "height": 48}],
        annotations=[
            {"id": 10, "image_id": 2, "category_id": 2, "bbox": [1, 1, 5, 5]},
            {"id": 11, "image_id": 2, "category_id": 1, "bbox": [1, 1, 0, 5]},
            {"id": 12, "image_id": 3, "category_id": 1, "bbox": [1, 1, 9, 9], "iscrowd": 1},
        ],
    )
    code, said = program("import-labels", file, "--as", "proposed")
    assert code == 0, said
    kept = next((root / "proposals").glob("labels-*.json"))
    assert said == (
        "Labels that are proposed from now on: 2 boxes on 2 images\n"
        "  of b01: 1 image\n"
        "  of b02: 1 image\n"
        "No box of: dog. Where the file never had that class, its images may show such objects all"
        " the same\n"
        "Left alone, images that are labeled already: 1\n"
        "Not taken, images without a box: 1\n"
        "Left out, images that are not the campaign's: 1 (nobody.png)\n"
        "Left out, boxes of class bird, which the campaign does not have: 1\n"
        "Left out, crowd regions: 1\n"
        "At fault, zero size box: 1\n"
        "  labels.json: annotations[5] (cat): bbox [1, 1, 0, 5] has no width or no height\n"
        f"Kept in proposals/{kept.name}, which git should keep too, as params.yaml names it\n"
        "Next: dvc repro\n"
    )
    assert (root / "params.yaml").read_text().startswith("# ours")


def test_proposed_labels_are_shown_from_the_first_open_batch_on(root, program):
    before = (root / "data/batches/b00.json").read_bytes()
    program("import-labels", save(root, {1: "img02", 2: "img04"}), "--as", "proposed")
    turns = campaign().params.iterations
    assert [len(turn.labels) for turn in turns.values()] == [0, 1, 0]
    pipeline.batch(campaign())
    assert (root / "data/batches/b00.json").read_bytes() == before
    shown = {k: list(artifacts.read_batch(root / f"data/batches/{k}.json").labels) for k in turns}
    assert shown == {"b00": [], "b01": ["img02"], "b02": ["img04"]}
    # Once more with other boxes: said, and both files stay.
    moved = save(root, {1: "img02"}, annotations=[])
    text = (root / moved).read_text().replace("[2, 2, 10, 10]", "[3, 3, 10, 10]")
    (root / moved).write_text(text)
    _, said = program("import-labels", moved, "--as", "proposed")
    assert "which these replace: 1 (the old ones stay in their file)" in said
    assert len(list((root / "proposals").glob("labels-*.json"))) == 2
    pipeline.batch(campaign())
    labels = artifacts.read_batch(root / "data/batches/b01.json").labels
    assert labels["img02"].xyxy.tolist() == [[3, 3, 13, 13]]
    params = (root / "params.yaml").read_bytes()
    program("import-labels", moved, "--as", "proposed")
    assert (root / "params.yaml").read_bytes() == params


def shown(root):
    """Left edge of each label that is shown as a proposal, by image."""
    said = []
    state = Campaign(CampaignPaths(), campaign().params, say=said.append)
    batches, _ = pipeline.batch(state)
    labels = {i: boxes for batch in batches for i, boxes in batch.labels.items()}
    return {i: boxes.xyxy[0, 0] for i, boxes in labels.items()}, said


def import_proposed(root, program):
    """Labels of img02 and img04, whose left edges are 2 and 4."""
    file = root / save(root, {2: "img02", 4: "img04"})
    content = json.loads(file.read_text())
    content["annotations"][1]["bbox"][0] = 4
    file.write_text(json.dumps(content))
    assert program("import-labels", file.name, "--as", "proposed")[0] == 0


def test_proposed_labels_follow_the_pixels_that_they_are_of(root, program):
    import_proposed(root, program)
    assert shown(root) == ({"img02": 2, "img04": 4}, [])
    swap_pixels("img02", "img04")  # folders that were swapped
    assert shown(root) == ({"img02": 4, "img04": 2}, [])
    rename_image("img02", "other")
    assert shown(root) == ({"other": 4, "img04": 2}, [])


def test_proposed_labels_of_pixels_that_are_gone_are_said(root, program):
    import_proposed(root, program)
    swap_pixels("img02", None)  # another photo by that name
    rename_image("img04", None)
    file = next((root / "proposals").iterdir()).relative_to(root)
    found, said = shown(root)
    assert found == {}
    assert said == [
        f"{file} has labels of 2 images (img02, img04) whose pixels are not in the dataset now, and"
        " they are not shown: bring the images back, or import their labels again with 'boxloop"
        " import-labels'"
    ]


def test_proposed_labels_of_an_older_file_go_by_name(root, program):
    boxes = as_boxes({"img02": 2, "img04": 4})
    path = existing.keep(CampaignPaths(), campaign().params, root / "params.yaml", "b01", boxes)
    assert "digests" not in path.read_text()
    swap_pixels("img02", "img04")
    assert shown(root) == ({"img02": 2, "img04": 4}, [])
    rename_image("img04", "other")
    found, said = shown(root)
    assert found == {"img02": 2}
    assert len(said) == 1
    assert "has labels of image img04 that the dataset does not have now" in said[0]


def as_boxes(lefts):
    return {i: Boxes.build([(left, 2, left + 9, 11)], ["cat"]) for i, left in lefts.items()}


def test_trusted_labels_need_no_review_and_count_apart(root, program):
    untouched = (root / "params.yaml").read_bytes()
    code, said = program("import-labels", save(root, {1: "img02", 2: "img05"}), "--as", "trusted")
    assert code == 0, said
    assert "Kept in reviews/given-" in said
    assert (root / "params.yaml").read_bytes() == untouched
    state = campaign()
    paths = state.paths
    assert "1 of 2 images submitted" in status_text(paths, state.params)
    assert submissions.read(paths.reviews)[-1].changes == ()
    assert [image.id for image in collect_proposals(paths, state.params, "b01").images] == ["img03"]
    with pytest.raises(ReviewPending, match="1 of 2 images are submitted"):
        pipeline.review(state, "b01")
    # The other image is reviewed: its proposals stay as they are.
    offered = artifacts.read_proposals(paths.proposals("b01"))
    rest = artifacts.read_corrections(paths.corrections("b00"))
    shown = offered.boxes["img03"].above(0.5)
    person = replace(
        rest,
        proposals=replace(offered, boxes={"img03": offered.boxes["img03"]}),
        boxes={"img03": replace(shown, scores=None)},
        seconds={"img03": 8.0},
        finished="2026-01-01T00:00:00+00:00",
    )
    submissions.append(paths.reviews, person)
    corrections = pipeline.review(state, "b01")
    assert corrections.given == ("img02",)
    assert corrections.score_threshold == 0.5
    assert corrections.proposals.detector == state.params.train.detector
    pipeline.merge(state, "b01")
    pipeline.account(state, "b01")
    results = read_results(paths, state.params)
    workload = results.workloads[1]
    assert (workload.images, workload.objects) == (1, 2)
    assert (workload.given_images, workload.given_objects) == (1, 1)
    assert workload.edits.kept == 2
    assert workload.measured_seconds == 8.0
    numbers = metrics(results)
    assert (numbers["images"], numbers["objects"]) == (3, 7)
    assert numbers["given"] == {"images": 1, "objects": 1}
    assert "The labels of 1 more image (1 object) were imported" in workload_text(results)
    assert "4 of 6 images are labeled" in status_text(paths, state.params)
    assert "Labels of 1 of them (1 objects) were given" in status_text(paths, state.params)
    assert "take note" not in status_text(paths, state.params).lower()
    evidence = artifacts.read_evidence(paths.evidence("b01"))
    assert [(item.images, item.objects) for item in evidence] == [(1, 2)]
    content = collect_labels(paths, state.params)
    assert len(content.images) == 4
    assert "1 image: labels that were imported and trusted" in content.about


def test_a_batch_of_trusted_labels_alone_is_done_without_anybody(root, program):
    program("import-labels", save(root, {1: "img02", 2: "img03"}), "--as", "trusted")
    state = campaign()
    # Asked for all the same, its proposals are those of all images.
    assert len(collect_proposals(state.paths, state.params, "b01").images) == 2
    corrections = pipeline.review(state, "b01")
    assert corrections.annotator == "given"
    pipeline.merge(state, "b01")
    pipeline.account(state, "b01")
    results = read_results(state.paths, state.params)
    numbers = metrics(results)
    assert (numbers["images"], numbers["objects"]) == (2, 5)
    assert numbers["given"] == {"images": 2, "objects": 2}
    assert numbers["measured_hours"] == pytest.approx(20 / 3600)
    assert len(artifacts.read_labeled(state.paths.labeled("b01"))) == 4


def test_labels_of_images_that_somebody_is_reviewing_are_not_trusted(root, program):
    file = save(root, {1: "img02", 2: "img03"})
    with claim(root / ".boxloop" / "sessions", Session("b01", None, "ann", None, ("img03",))):
        code, said = program("import-labels", file, "--as", "trusted")
        assert code == 2
        assert "ann is reviewing b01, with 1 image of this file (img03)" in said
        assert not (root / "reviews").exists()
    assert program("import-labels", file, "--as", "trusted")[0] == 0


def test_labels_of_people_are_never_replaced(root, program):
    before = sorted((root / "reviews").glob("*")) if (root / "reviews").exists() else []
    for use in ("trusted", "proposed"):
        code, said = program("import-labels", save(root, {1: "img00"}), "--as", use)
        assert code != 0
        assert "was not taken in: all that it has boxes of is labeled already (1 image)" in said
    after = sorted((root / "reviews").glob("*")) if (root / "reviews").exists() else []
    assert before == after
    assert not (root / "proposals").exists()


@pytest.mark.parametrize("here", ["reviewed", "imported"])
@pytest.mark.parametrize("first", ["reviewed", "imported"])
def test_a_review_stays_when_a_clone_that_imported_its_images_is_merged(
    root, program, tmp_path, monkeypatch, here, first
):
    other = tmp_path / "clone"
    shutil.copytree(root, other)
    clones = {here: root, ({"reviewed", "imported"} - {here}).pop(): other}

    def review():
        monkeypatch.chdir(clones["reviewed"])
        submit(CampaignPaths().root, "b01", by=1)

    def take_labels():
        monkeypatch.chdir(clones["imported"])
        file = save(CampaignPaths().root, {1: "img02", 2: "img03"})
        assert program("import-labels", file, "--as", "trusted")[0] == 0

    for step in [review, take_labels] if first == "reviewed" else [take_labels, review]:
        step()
    monkeypatch.chdir(root)
    pipeline.review(campaign(), "b01")
    for file in (other / "reviews").iterdir():  # git merge
        shutil.copy(file, root / "reviews")
    said = []
    state = Campaign(campaign().paths, campaign().params, say=said.append)
    corrections = pipeline.review(state, "b01")
    assert (corrections.given, corrections.annotator) == ((), "fiftyone")
    assert corrections.boxes["img02"].xyxy[0].tolist() == [3, 2, 12, 12]  # of A, by a pixel
    notes = [line for line in said if "left alone" in line]
    status = status_text(state.paths, state.params)
    if first == "reviewed":
        assert len(notes) == 1
        assert notes[0].endswith(
            " has imported labels of 2 images (img02, img03), where a person's count: they are left"
            " alone"
        )
        assert "where a person's count: they are left alone" in status
    else:  # as by a redo
        assert not notes
        assert "left alone" not in status
    pipeline.merge(state, "b01")
    pipeline.account(state, "b01")
    assert "given" not in metrics(read_results(state.paths, state.params))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nothing.json", "--as", "trusted"), "nothing.json does not exist"),
        (("data", "--as", "trusted"), "data holds neither VOC's XML files nor YOLO's texts"),
        (("labels.json", "--as", "done"), "--as 'done': labels are trusted or proposed"),
        (
            ("labels.json", "--as", "trusted", "--exif", "turned"),
            "--exif 'turned': boxes are for raw or upright pixels",
        ),
        (("strange.json", "--as", "trusted"), "has none of the campaign's images, but nobody.png"),
    ],
)
def test_what_cannot_be_taken_is_one_sentence(root, program, arguments, sentence):
    save(root, {1: "img02"})
    save(root, {1: "nobody"}, "strange.json")
    code, said = program("import-labels", *arguments)
    assert code != 0
    assert sentence in said
    assert len(said.strip().splitlines()) == 1


def test_a_simulated_campaign_takes_none(root, program):
    text = (root / "params.yaml").read_text().replace('"fiftyone"', '"simulated"')
    (root / "params.yaml").write_text(text)
    code, said = program("import-labels", save(root, {1: "img02"}), "--as", "trusted")
    assert code != 0
    assert "review.annotator is 'simulated'" in said


def test_labels_go_before_another_model_s_boxes(root, program):
    program("import-labels", save(root, {1: "img04"}), "--as", "proposed")
    rows = [
        {"image_id": f"{name}.png", "label": "dog", "bbox": [20, 20, 9, 9], "score": 1.0}
        for name in ("img04", "img05")
    ]
    (root / "found.json").write_text(json.dumps(rows))
    code, said = program("import-proposals", "b02", "found.json")
    assert code == 0, said
    pipeline.batch(campaign())
    found = pipeline.propose(campaign(), "b02")
    assert found.detector == "labels, file"
    assert {i: b.labels.tolist() for i, b in found.boxes.items()} == {
        "img04": ["cat"],
        "img05": ["dog"],
    }
    batch = artifacts.read_batch(root / "data/batches/b02.json")
    assert found.checkpoint.endswith(f", {batch.given}")


def test_trusted_labels_can_be_opened_again_as_what_they_are(root, program):
    program("import-labels", save(root, {1: "img02"}), "--as", "trusted")
    [given] = submissions.read(root / "reviews")
    images = artifacts.read_images(root / "data/images.json").by_id()
    item = submitted_item(images["img02"], given)
    assert item.start.xyxy.tolist() == item.drawn.xyxy.tolist() == [[2, 2, 12, 12]]
    assert item.start.ids.tolist() == item.drawn.ids.tolist()


def test_trusted_labels_of_other_pixels_do_not_count_and_it_is_said(root, program):
    program("import-labels", save(root, {1: "img02"}), "--as", "trusted")
    paths = CampaignPaths()
    images = artifacts.read_images(paths.images)
    changed = [replace(i, digest="other") if i.id == "img02" else i for i in images.images]
    artifacts.write_images(paths.images, replace(images, images=tuple(changed)))
    said = status_text(paths, campaign().params)
    assert "labels other pixels than are now in image img02" in said
    assert "'boxloop review b01'; with --redo" in said
    assert "submitted" not in said
