"""Another model's boxes in place of the detector's: kept, counted, and never under people's edits.

The campaign is that of ``builders_campaign``: b00 is done, b01 has proposals, b02 has images.
"""

import json
from dataclasses import replace

import pytest

from boxloop import pipeline
from boxloop.campaign import artifacts, given
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import read_results
from boxloop.core.evidence import sweep
from boxloop.core.types import Boxes
from boxloop.errors import ArtifactError, ParamsError
from boxloop.files import file_digest
from boxloop.params import load_params
from boxloop.report.console import workload_text
from boxloop.report.tables import metrics
from boxloop.review.validation import RawBox, check_image
from builders_campaign import rename_image, swap_pixels

COMMENT = "# what the team agreed on\n"


@pytest.fixture
def root(waiting):
    return waiting({"review": {"score_threshold": "fitted"}}, COMMENT)


def row(image, label, bbox, score=0.9):
    return {"image_id": f"{image}.png", "label": label, "bbox": bbox, "score": score}


ROWS = [
    row("img04", "cat", [1, 1, 10, 10]),
    row("img04", "cat", [50, 30, 100, 100], 0.4),  # beyond the image of 64 x 48
    row("img04", "cat", [70, 50, 10, 10]),  # outside of it
    row("img04", "bird", [1, 1, 10, 10]),
    row("img00", "cat", [1, 1, 10, 10]),  # of another batch
    row("nobody", "cat", [1, 1, 10, 10]),
]


def save(root, content=ROWS):
    (root / "found.json").write_text(json.dumps(content))
    return "found.json"


def params():
    return load_params(CampaignPaths().root / "params.yaml")


def test_boxes_are_kept_clipped_and_everything_left_out_is_counted(root, program):
    code, said = program("import-proposals", "b02", save(root))
    assert code == 0, said
    assert said == (
        "b02: 2 boxes on 1 image\n"
        "Not in the file, so nothing is proposed there: img05 (1 of 2 images)\n"
        "Left out, boxes of class bird, which the campaign does not have: 1\n"
        "Left out, boxes of images that are not the campaign's: 1\n"
        "Left out, boxes of other batches: 1\n"
        "Left out, boxes without an area inside their image: 1\n"
        "Left out, images that are not the campaign's: 1\n"
        "Clipped, as they reach more than a pixel beyond their image:"
        " 1 box on 1 image, img04 for one\n"
        "Kept in proposals/b02.json, which git should keep too, as params.yaml names it\n"
        "Next: dvc repro\n"
    )
    kept = artifacts.read_proposals(root / "proposals/b02.json")
    assert kept.boxes["img04"].xyxy.tolist() == [[1, 1, 11, 11], [50, 30, 64, 48]]
    assert kept.boxes["img04"].scores.tolist() == [0.9, 0.4]
    assert len(kept.boxes["img05"]) == 0
    assert (root / "params.yaml").read_text().startswith(COMMENT)


def test_what_a_person_could_not_submit_is_left_out_and_counted(root, program):
    content = [
        row("img04", "cat", [1, 1, 10, 10], 0.4),
        row("img04", "cat", [1, 1, 10, 10], 0.9),
        row("img04", "cat", [60, 40, 10, 8], 0.8),
        row("img04", "cat", [60, 40, 30, 30], 0.7),  # the same box, once it is clipped
        row("img04", "dog", [1, 1, 10, 10], 0.3),
        row("img04", "cat", [20, 20, 0.5, 10]),
        row("img04", "cat", [63.5, 20, 10, 10]),  # half a pixel of it is inside
        row("img05", "cat", [-1, 20, 10, 10]),  # by a pixel, which is nothing to speak of
    ]
    code, said = program("import-proposals", "b02", save(root, content))
    assert code == 0, said
    assert "b02: 4 boxes on 2 images\n" in said
    assert "Left out, boxes less than a pixel wide or high inside their image: 2\n" in said
    assert "Left out, boxes that are another one's double, of its class: 2\n" in said
    assert "1 box on 1 image, img04 for one\n" in said
    assert "without an area" not in said
    kept = artifacts.read_proposals(root / "proposals/b02.json").boxes
    assert kept["img04"].scores.tolist() == [0.9, 0.8, 0.3]
    for ref in artifacts.read_images(root / "data/images.json").images:
        boxes = kept.get(ref.id, Boxes.empty())
        rows = zip(boxes.ids.tolist(), boxes.labels.tolist(), boxes.xyxy.tolist(), strict=True)
        raw = [RawBox(box_id, label, tuple(xyxy)) for box_id, label, xyxy in rows]
        assert check_image(ref, raw, ("cat", "dog"))[1] == []


def test_a_folder_whose_class_lists_contradict_each_other_is_told(root, program):
    (root / "found").mkdir()
    (root / "found/data.yaml").write_text("train: x\nnames: [cat, dog]\n")
    (root / "found/classes.txt").write_text("dog\ncat\n")
    (root / "found/img04.txt").write_text("0 0.5 0.5 0.5 0.5 0.9\n")
    code, said = program("import-proposals", "b02", "found")
    assert code == 0, said
    assert (
        "Note: found/classes.txt calls class 0 'dog', and data.yaml 'cat', which counts\n" in said
    )
    code, said = program("import-proposals", "b02", "found", "--names", "found/classes.txt")
    assert "Note" not in said
    kept = artifacts.read_proposals(root / "proposals/b02.json").boxes
    assert kept["img04"].labels.tolist() == ["dog"]


def test_the_turn_shows_them_by_its_threshold_and_a_detector_s_evidence_does_not_count(
    root, program
):
    campaign = Campaign(CampaignPaths(), params())
    pipeline.batch(campaign)
    before = (root / "data/batches/b02.json").read_bytes()
    program("import-proposals", "b02", save(root))
    campaign = Campaign(CampaignPaths(), params())
    pipeline.batch(campaign)
    batch = artifacts.read_batch(root / "data/batches/b02.json")
    assert batch.given == campaign.params.iterations["b02"].proposals
    assert (root / "data/batches/b02.json").read_bytes() != before
    (root / "data/training/b02.json").write_bytes((root / "data/training/b01.json").read_bytes())
    made = artifacts.read_proposals(root / "data/proposals/b01.json").boxes
    of_a_detector = sweep("b01", made, made, campaign.params.judged_ious, 0.05)
    artifacts.write_evidence(root / "data/evidence/b01.json", [of_a_detector])
    found = pipeline.propose(campaign, "b02")
    assert (found.detector, found.checkpoint) == ("file", batch.given)
    assert found.boxes["img04"].scores.tolist() == [0.9, 0.4]
    assert {f.found for f in found.thresholds} == {"prior"}
    assert artifacts.read_proposals(root / "data/proposals/b02.json") == found


def test_a_changed_or_missing_file_is_not_taken_for_the_one_that_was_imported(root, program):
    program("import-proposals", "b02", save(root))
    campaign = Campaign(CampaignPaths(), params())
    pipeline.batch(campaign)
    batch = artifacts.read_batch(root / "data/batches/b02.json")
    path = root / "proposals/b02.json"
    text = path.read_text()
    path.write_text(text.replace("0.9", "0.8"))
    with pytest.raises(ArtifactError, match="is not the file that params.yaml lists"):
        given.read(campaign.paths, batch, 0.05)
    path.unlink()
    with pytest.raises(ArtifactError, match="does not exist, but params.yaml lists proposals"):
        given.read(campaign.paths, batch, 0.05)
    path.write_text(text)
    with pytest.raises(ArtifactError, match="is for other images than b02 has now"):
        given.read(campaign.paths, type(batch)("b02", ("img05",), batch.given), 0.05)


def test_they_follow_the_pixels_that_they_are_of(root, program):
    rows = [row("img04", "cat", [4, 1, 10, 10]), row("img05", "cat", [5, 1, 10, 10])]
    program("import-proposals", "b02", save(root, rows))
    said = []

    def lefts():
        state = Campaign(CampaignPaths(), params())
        pipeline.batch(state)
        batch = artifacts.read_batch(root / "data/batches/b02.json")
        found = given.read(state.paths, batch, 0.05, say=said.append).boxes
        assert tuple(found) == batch.image_ids
        return {image_id: boxes.xyxy[0, 0] for image_id, boxes in found.items() if len(boxes)}

    assert lefts() == {"img04": 4, "img05": 5}
    swap_pixels("img04", "img05")
    assert lefts() == {"img04": 5, "img05": 4}
    rename_image("img04", "other")
    assert lefts() == {"other": 5, "img05": 4}
    assert not said
    swap_pixels("img05", None)
    assert lefts() == {"other": 5}
    assert said == [
        "proposals/b02.json has proposals for other pixels than image img05 of b02 has now: none"
        " are shown there, until somebody imports theirs ('boxloop import-proposals b02 FILE')"
    ]


def test_those_of_an_older_file_go_by_name(root, program):
    program("import-proposals", "b02", save(root))
    path = root / "proposals/b02.json"
    content = json.loads(path.read_text())
    assert set(content.pop("digests")) == {"img04", "img05"}
    path.write_text(json.dumps(content))
    batch = artifacts.read_batch(root / "data/batches/b02.json")
    batch = replace(batch, given=file_digest(path))
    swap_pixels("img04", "img05")
    found = given.read(CampaignPaths(), batch, 0.05).boxes
    assert {i: len(boxes) for i, boxes in found.items()} == {"img04": 2, "img05": 0}
    batch = replace(batch, image_ids=("img04", "other"))
    with pytest.raises(
        ArtifactError,
        match=r"is for other images than b02 has now \(it does not have image other\): import",
    ):
        given.read(CampaignPaths(), batch, 0.05)


def test_nothing_is_put_under_what_people_have_corrected(root, program):
    corrections = artifacts.read_corrections(root / "data/corrections/b00.json")
    text = (root / "data/corrections/b00.json").read_text()
    assert corrections.annotator == "simulated"
    by_person = text.replace('"annotator": "simulated"', '"annotator": "fiftyone"')
    by_person = by_person.replace('"finished": null', '"finished": "2026-01-01T00:00:00+00:00"')
    (root / "data/corrections/b00.json").write_text(by_person)
    before = (root / "params.yaml").read_bytes()
    code, said = program("import-proposals", "b00", save(root, [row("img00", "cat", [1, 1, 9, 9])]))
    assert code != 0
    assert "b00 is reviewed already, at least in part" in said
    assert not (root / "proposals").exists()
    assert (root / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([row("img00", "cat", [1, 1, 9, 9])], "found.json has no image of batch b02"),
        ([row("zz", "cat", [1, 1, 9, 9])], "has none of the campaign's images, but zz.png"),
        ([], "has none of the campaign's images, but no image"),
        (
            [row("img04", "bird", [1, 1, 9, 9])],
            "is for the classes bird, and the campaign has cat, dog",
        ),
    ],
)
def test_a_file_of_something_else_is_refused_and_nothing_written(root, program, content, said):
    before = (root / "params.yaml").read_bytes()
    code, output = program("import-proposals", "b02", save(root, content))
    assert code != 0
    assert said in output
    assert "Traceback" not in output
    assert not (root / "proposals").exists()
    assert (root / "params.yaml").read_bytes() == before


def test_an_import_that_cannot_be_listed_leaves_the_one_before(root, program):
    program("import-proposals", "b02", save(root))
    kept = (root / "proposals/b02.json").read_bytes()
    listed = (root / "params.yaml").read_text()
    campaign = Campaign(CampaignPaths(), params())
    pipeline.batch(campaign)
    batch = artifacts.read_batch(root / "data/batches/b02.json")
    (root / "params.yaml").write_text(f"{listed}nonsense: 1\n")
    none = dict.fromkeys(batch.image_ids, Boxes.empty(scored=True))
    with pytest.raises(ParamsError, match="nonsense"):
        given.keep(CampaignPaths(), root / "params.yaml", batch, none)
    assert (root / "proposals/b02.json").read_bytes() == kept
    assert given.read(campaign.paths, batch, 0.05).boxes["img04"].scores.tolist() == [0.9, 0.4]


def test_a_batch_that_is_not_there(root, program):
    assert "b07" in program("import-proposals", "b07", save(root))[1]
    (root / "data/batches/b02.json").unlink()
    assert "run 'dvc repro batch' first" in program("import-proposals", "b02", save(root))[1]


def test_the_paper_s_totals_stay_and_what_people_did_stands_beside_them(root):
    plain = read_results(CampaignPaths(), params())
    assert not plain.began_with_proposals
    assert "first_batch_as_corrected" not in metrics(plain)
    path = root / "data/workload/b00.json"
    path.write_text(path.read_text().replace('"detector": "empty"', '"detector": "file"'))
    begun = read_results(CampaignPaths(), params())
    assert begun.totals(0.5) == plain.totals(0.5)
    # Of b00 nothing was proposed in truth: five objects added are five objects drawn.
    assert begun.as_corrected(0.5).wt == begun.workloads[0].ledger(0.5).added
    saved = metrics(begun)["first_batch_as_corrected"]["wt_reduction"]["0.5"]
    assert saved == begun.as_corrected(0.5).wt_reduction
    assert "b00 was corrected, not drawn from scratch" in workload_text(begun)
