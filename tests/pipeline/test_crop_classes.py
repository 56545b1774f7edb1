"""Classes of labeled crops, through the stages of a turn."""

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boxloop import pipeline
from boxloop.campaign import artifacts, crop_classes, thresholds
from boxloop.campaign.by_class import read_by_class
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.delivery import read_labels
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import read_results
from boxloop.campaign.status import status_text
from boxloop.core.crop_classes import crop_boxes, own_boxes
from boxloop.core.types import Boxes, FeatureTable, ImageSet
from boxloop.errors import ArtifactError
from boxloop.files import file_digest
from boxloop.models.crop_classifier import CropClassifier
from boxloop.models.detectors import load
from boxloop.models.detectors.delivered import load_model
from boxloop.params import Params, chain
from boxloop.study.simulate import run as simulate
from builders_detectors import CLASSES, drawn
from builders_own_detector import module as own_detector

KEYS = ("b00", "b01", "b02")
OFF = {"propose": {"crops": "off"}}
FREE = "from boxloop import CostModel\nMODEL = CostModel(relabeled=0.0)\n"

_PROPOSE = """
        with open("places.json") as file:
            places = json.load(file)
        return {
            i.id: Boxes.build(places[Path(i.path).stem], ["square"] * 2, [0.9] * 2, prefix="p")
            for i in images
        }
"""
CONFUSED = own_detector(
    "confused", "Finds every object, and calls all of them squares.", _PROPOSE, log='"trained.txt"'
)


def params(**sections):
    content = {
        "order": {"strategy": "random"},
        "batch": {"size": 8},
        "train": {"detector": "confused_detector:FACTORY", "steps": 1},
        "track": {"enabled": False},
        "iterations": chain(3),
        **sections,
    }
    return Params.model_validate(content)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A folder with the scenes, and one finished campaign, which tests take copies of."""
    folder = tmp_path_factory.mktemp("workshop")
    refs, truth = drawn(folder / "scenes", 24)
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, truth, patch)
        run(folder / "finished", ImageSet(refs, CLASSES), truth)
    return folder, ImageSet(refs, CLASSES), truth


def enter(folder, truth, patch):
    """Work in a folder with the detector's module, and with the places that it finds."""
    patch.chdir(folder)
    patch.setattr(sys, "path", [*sys.path])
    patch.delitem(sys.modules, "confused_detector", raising=False)
    (folder / "confused_detector.py").write_text(CONFUSED)
    (folder / "trained.txt").touch()
    places = {i: boxes.xyxy.tolist() for i, boxes in truth.items()}
    (folder / "places.json").write_text(json.dumps(places))


def run(folder, images, truth, **sections):
    paths = CampaignPaths(folder)
    if not paths.images.exists():
        artifacts.write_images(paths.images, images)
        artifacts.write_truth(paths.truth, truth)
    made = Campaign(paths, params(**sections), say=lambda _: None)
    pipeline.order(made, [ref.id for ref in images.images])
    pipeline.batch(made)
    pipeline.start(made)
    for key in KEYS:
        pipeline.learn(made, key)
        pipeline.finish(made, key)
    return made


@pytest.fixture
def scene(tmp_path, workshop, monkeypatch):
    _, images, truth = workshop
    enter(tmp_path, truth, monkeypatch)
    return images, truth


@pytest.fixture
def finished(tmp_path, workshop, scene):
    """A copy of the finished campaign."""
    shutil.copytree(workshop[0] / "finished", tmp_path / "finished")
    return Campaign(CampaignPaths(tmp_path / "finished"), params(), say=lambda _: None)


@pytest.fixture
def campaign(tmp_path, scene):
    """Runs a campaign from its beginning, or again."""
    return lambda name, **sections: run(tmp_path / name, *scene, **sections)


def names(boxes):
    return {name for found in labels(boxes).values() for name in found}


def labels(boxes):
    return {i: b.labels.tolist() for i, b in boxes.items()}


def test_classes_of_crops_are_shown_where_the_detector_errs(finished, scene):
    made = finished
    paths, (_, truth) = made.paths, scene
    first = artifacts.read_proposals(paths.proposals("b00"))
    assert first.crops is None
    for key, judges in (("b01", "held-out part of b00"), ("b02", "b01")):
        offered = artifacts.read_proposals(paths.proposals(key))
        assert offered.crops.used
        assert offered.crops.found == judges
        assert offered.crops.expected_saving > 0.5
        assert labels(offered.boxes) == labels({i: truth[i] for i in offered.boxes})
        assert names(own_boxes(offered)) == {"square"}
        # What people had before them is all that the work is counted against.
        corrected = artifacts.read_corrections(paths.corrections(key))
        assert corrected.proposals == replace(offered, crops=None)
        ledger = artifacts.read_workload(paths.workload(key)).ledger(0.5)
        assert (ledger.kept, ledger.relabeled) == (16, 0)


def test_evidence_is_of_both_kinds_of_classes(finished):
    made = finished
    first, second = artifacts.read_evidence(made.paths.evidence("b02"))
    for item in (first, second):
        assert item.ledger(0.5, 0.9).relabeled == 8
        assert replace(item, edits=item.crops).ledger(0.5, 0.9).kept == 16


def test_off_shows_the_detectors_classes_without_training_again(finished, campaign, tmp_path):
    off = campaign("finished", **OFF)
    for key in KEYS[1:]:
        offered = artifacts.read_proposals(off.paths.proposals(key))
        assert not offered.crops.used
        assert names(offered.boxes) == {"square"}
    again = campaign("finished")
    offered = artifacts.read_proposals(again.paths.proposals("b02"))
    assert offered.crops.used
    assert (tmp_path / "trained.txt").read_text() == ""


def test_a_campaign_that_was_off_from_the_start_looks_at_no_crops(campaign, monkeypatch):
    monkeypatch.setattr("boxloop.models.crop_classifier.with_crops", None)
    off = campaign("off", **OFF)
    fixed = campaign("fixed", review={"score_threshold": 0.5})
    for made in (off, fixed):
        assert artifacts.read_proposals(made.paths.proposals("b02")).crops is None
        assert artifacts.read_training(made.paths.training("b01")).held_out.crops is None
        assert not any(item.crops for item in artifacts.read_evidence(made.paths.evidence("b02")))


def test_where_right_classes_could_save_little_no_crops_are_looked_at(
    campaign, monkeypatch, tmp_path
):
    monkeypatch.setattr("boxloop.models.crop_classifier.with_crops", None)
    module = tmp_path / "confused_detector.py"
    module.write_text(CONFUSED.replace('["square"] * 2', '["square", "disc"]'))
    made = campaign("right")
    assert artifacts.read_proposals(made.paths.proposals("b02")).crops is None


def test_crops_of_a_corrected_batch_are_judged_for_the_next_one(campaign, scene):
    """Where nothing was held out, the second batch is shown before anything is known."""
    from boxloop.datasets import Dataset

    made = campaign("unheld", train={**params().train.model_dump(), "held_out": 0.0})
    offered = [artifacts.read_proposals(made.paths.proposals(key)) for key in KEYS]
    assert offered[1].crops is None
    [first] = artifacts.read_evidence(made.paths.evidence("b01"))
    assert first.ledger(0.5, 0.05).relabeled == 8
    assert replace(first, edits=first.crops).ledger(0.5, 0.05).kept == 16
    assert (offered[2].crops.used, offered[2].crops.found) == (True, "b01")
    images, truth = scene
    found = simulate(Dataset(images=images, truth=truth), made.params)
    assert found.proposals[2].boxes == offered[2].boxes
    assert found.proposals[2].crops == offered[2].crops
    # The words of a batch tell how it was shown, and a model is judged by what was looked at then.
    assert list(crop_classes.by_crops(made.paths, KEYS)) == ["b02"]
    assert [item.batch for item in read_labels(made.paths, made.params).evidence] == ["b02"]


def test_a_corrected_batch_is_judged_by_the_labels_before_it(scene, tmp_path):
    """Of the first batch only squares are labeled, so crops of it can name nothing else."""
    images, truth = scene
    paths = CampaignPaths(tmp_path / "squares")
    unheld = params(train={**params().train.model_dump(), "held_out": 0.0})
    made = Campaign(paths, unheld, say=lambda _: None)
    artifacts.write_images(paths.images, images)
    artifacts.write_truth(paths.truth, truth)
    pipeline.order(made, [ref.id for ref in images.images])
    pipeline.batch(made)
    first = artifacts.read_batch(paths.batch("b00")).image_ids
    squares = {i: truth[i].select(truth[i].labels == "square") for i in first}
    artifacts.write_truth(paths.truth, {**truth, **squares})
    pipeline.start(made)
    for key in KEYS[:2]:
        pipeline.learn(made, key)
        pipeline.finish(made, key)
    [judged] = artifacts.read_evidence(paths.evidence("b01"))
    assert replace(judged, edits=judged.crops).ledger(0.5, 0.05).relabeled == 8


@pytest.mark.parametrize("fault", ["device", "weights"])
def test_a_machine_without_device_or_weights_finishes_a_batch(scene, tmp_path, monkeypatch, fault):
    images, truth = scene
    made = run(
        tmp_path / "first", images, truth, train={**params().train.model_dump(), "held_out": 0.0}
    )
    said = []
    unable = params(
        train={**params().train.model_dump(), "held_out": 0.0},
        propose={"device": "cuda:99" if fault == "device" else "auto"},
    )
    if fault == "weights":
        monkeypatch.setattr("boxloop.models.bundled._PACKAGE", "no_such_package")
    again = Campaign(made.paths, unable, say=said.append)
    pipeline.finish(again, "b01")
    assert any("labeled crops were not looked at for b01: " in str(line) for line in said)
    assert not any(item.crops for item in artifacts.read_evidence(made.paths.evidence("b01")))


def test_an_image_that_is_gone_keeps_nobody_from_going_on(scene, tmp_path):
    images, truth = scene
    copies = []
    for ref in images.images:
        path = tmp_path / Path(ref.path).name
        shutil.copyfile(ref.path, path)
        copies.append(replace(ref, path=path.as_posix()))
    paths, said = CampaignPaths(tmp_path / "gone"), []
    artifacts.write_images(paths.images, ImageSet(tuple(copies), CLASSES))
    artifacts.write_truth(paths.truth, truth)
    unheld = params(train={**params().train.model_dump(), "held_out": 0.0})
    made = Campaign(paths, unheld, say=said.append)
    pipeline.order(made, [ref.id for ref in copies])
    pipeline.batch(made)
    pipeline.start(made)
    for key in KEYS[:2]:
        pipeline.learn(made, key)
        if key == "b01":
            (tmp_path / Path(artifacts.read_batch(paths.batch(key)).image_ids[0] + ".png")).unlink()
        pipeline.finish(made, key)
    assert any("labeled crops were not looked at for b01: " in str(line) for line in said)
    [first] = artifacts.read_evidence(paths.evidence("b01"))
    assert not first.crops
    assert artifacts.read_workload(paths.workload("b01")).objects == 16


def test_a_batch_of_which_right_classes_could_save_little_is_not_looked_at(
    campaign, monkeypatch, tmp_path
):
    module = tmp_path / "confused_detector.py"
    module.write_text(CONFUSED.replace('["square"] * 2', '["square", "disc"]'))
    monkeypatch.setattr("boxloop.models.crop_classifier.with_crops", None)
    made = campaign("right", train={**params().train.model_dump(), "held_out": 0.0})
    assert not any(item.crops for item in artifacts.read_evidence(made.paths.evidence("b02")))


def test_fitting_anew_gives_what_proposing_gave(finished):
    made = finished
    path = made.paths.proposals("b02")
    text, offered = path.read_bytes(), artifacts.read_proposals(path)
    assert thresholds.refit(made.paths, made.params, "b02") == offered
    assert path.read_bytes() == text


@pytest.mark.parametrize(
    "others",
    [
        {"review": {"score_threshold": 0.5}},
        {"review": {"iou_threshold": 0.95}},
        {"account": {"cost_model": "relabeling_is_free:MODEL"}},
    ],
)
def test_changed_parameters_give_what_they_would_have_given_from_the_start(
    campaign, scene, tmp_path, others
):
    """There and back again, and no detector is trained or asked again."""
    (tmp_path / "relabeling_is_free.py").write_text(FREE)
    places = {i: (boxes.xyxy + 1).tolist() for i, boxes in scene[1].items()}
    (tmp_path / "places.json").write_text(json.dumps(places))
    fresh, other = results(campaign("fresh")), results(campaign("other", **others))
    assert fresh["edits"] != other["edits"]
    trained = (tmp_path / "trained.txt").read_text()
    (tmp_path / "places.json").unlink()  # without which the detector proposes nothing
    assert results(campaign("other")) == fresh
    back = results(campaign("fresh", **others))
    assert back["edits"] == other["edits"]
    if "score_threshold" not in str(others):  # a number, with which crops stay as they are
        assert back == other
    assert (tmp_path / "trained.txt").read_text() == trained


def test_crops_are_looked_at_anew_where_the_detector_found_boxes_itself(scene, tmp_path):
    """Not where labels of near images have moved them since: every batch shows the same scenes."""
    (tmp_path / "relabeling_is_free.py").write_text(FREE)
    drawings, drawn_truth = scene
    refs = [replace(drawings.images[n % 8], id=f"{n:02d}") for n in range(24)]
    truth = {ref.id: drawn_truth[drawings.images[n % 8].id] for n, ref in enumerate(refs)}
    for n in range(0, 24, 2):  # neighbours count where the detector's own classes are right
        truth[f"{n:02d}"] = truth[f"{n:02d}"].select(np.array([True, False]))
    places = {i: (boxes.xyxy + 1).tolist() for i, boxes in drawn_truth.items()}
    (tmp_path / "places.json").write_text(json.dumps(places))
    table = FeatureTable(tuple(truth), np.tile(np.eye(8, dtype=np.float32), (3, 1)))

    def run_near(name, **sections):
        artifacts.write_features(CampaignPaths(tmp_path / name).features, table)
        sections |= {"order": {"strategy": "temporal"}, "propose": {"neighbours": "fitted"}}
        return results(run(tmp_path / name, ImageSet(tuple(refs), CLASSES), truth, **sections))

    fresh, other = (
        run_near("fresh"),
        run_near("other", account={"cost_model": "relabeling_is_free:MODEL"}),
    )
    assert fresh["proposals"][0].crops.used
    assert other["proposals"][0].neighbours
    assert other["proposals"][0].crops is None
    assert run_near("other") == fresh


def results(made):
    """Everything that parameters decide about a campaign, as its files have it."""
    paths, done = made.paths, KEYS[1:]
    return {
        "proposals": [artifacts.read_proposals(paths.proposals(key)) for key in done],
        "held out": artifacts.read_training(paths.training("b01")).held_out,
        "evidence": artifacts.read_evidence(paths.evidence("b02")),
        "edits": [artifacts.read_workload(paths.workload(key)).ledger(0.5) for key in done],
    }


def test_labels_that_exist_stay_a_persons(finished):
    made = finished
    batch = artifacts.read_batch(made.paths.batch("b02"))
    image_id = batch.image_ids[3]
    given = Boxes.build([(5, 5, 30, 30)], ["disc"])
    artifacts.write_batch(made.paths.batch("b02"), replace(batch, labels={image_id: given}))
    offered = pipeline.propose(made, "b02")
    assert offered.crops.used
    assert image_id not in offered.crops.other
    assert offered.boxes[image_id].labels.tolist() == ["disc"]
    assert offered.boxes[image_id].scores.tolist() == [1.0]
    rest = [b for i, b in crop_boxes(offered).items() if i != image_id]
    assert max(float(b.scores.max()) for b in rest) < 1.0


def test_crops_that_are_looked_at_anew_score_below_labels_that_exist(campaign, tmp_path):
    """Where a batch has some, nothing else scores 1, however sure the detector is."""
    module = tmp_path / "confused_detector.py"
    module.write_text(CONFUSED.replace("[0.9] * 2", "[1.0] * 2"))
    (tmp_path / "relabeling_is_free.py").write_text(FREE)
    made = campaign("sure", account={"cost_model": "relabeling_is_free:MODEL"})
    batch = artifacts.read_batch(made.paths.batch("b02"))
    given = {batch.image_ids[3]: Boxes.build([(5, 5, 30, 30)], ["disc"])}
    artifacts.write_batch(made.paths.batch("b02"), replace(batch, labels=given))
    assert not pipeline.propose(made, "b02").crops
    now = Campaign(made.paths, params(), say=lambda _: None)
    pipeline.learn(now, "b01")
    pipeline.finish(now, "b01")
    _, anew = pipeline.learn(now, "b02")
    assert anew.crops.used
    rest = [boxes for i, boxes in crop_boxes(anew).items() if i not in given]
    assert max(float(boxes.scores.max()) for boxes in rest) < 1.0
    assert pipeline.propose(now, "b02") == anew


def test_status_and_report_say_whose_classes_were_shown(finished):
    made = finished
    words = crop_classes.by_crops(made.paths, KEYS)
    assert list(words) == ["b01", "b02"]
    saves = (
        "classes by the labeled crops most alike, which should save 75.0 % of the time more than"
    )
    assert words["b01"] == f"{saves} the detector's own, judged by the held-out part of b00"
    assert words["b02"] == f"{saves} the detector's own, judged by b01"
    text = status_text(made.paths, made.params)
    assert f"Proposals, by labeled crops:\n  b01: {words['b01']}" in text
    pipeline.report(made)
    page = (made.paths.report / "report.html").read_text()
    assert f"b02, before it was shown: {words['b02']}".replace("'", "&#39;") in page


def test_thresholds_by_class_are_of_the_classes_that_were_shown(finished, campaign):
    """No disc was ever proposed by the detector itself."""
    found = read_by_class(finished.paths, finished.params, read_results(finished.paths, params()))
    assert found.thresholds["disc"].least_wt < 1.0
    off = campaign("finished", **OFF)
    found = read_by_class(off.paths, off.params, read_results(off.paths, off.params))
    assert found.thresholds["disc"].least_wt == 1.0


def test_a_simulation_in_memory_does_the_same(finished, scene):
    from boxloop.datasets import Dataset

    images, truth = scene
    made = finished
    found = simulate(Dataset(images=images, truth=truth), made.params)
    for offered in found.proposals:
        stored = artifacts.read_proposals(made.paths.proposals(offered.batch))
        assert offered.boxes == stored.boxes
        assert offered.crops == stored.crops
        assert offered.thresholds == stored.thresholds


def test_a_delivered_model_has_the_classes_that_save_most(finished, scene):
    made, (images, truth) = finished, scene
    labels = read_labels(made.paths, made.params)
    assert labels.crops.used
    # Of what was held out, and of b01 and b02: by crops all are right.
    assert len(labels.evidence) == 3
    assert [item.ledger(0.5, 0.05).relabeled for item in labels.evidence] == [0, 0, 0]
    assert [item.ledger(0.5, 0.05).kept for item in labels.evidence] == [
        item.objects for item in labels.evidence
    ]
    assert names(labels.last.proposals.boxes) == {"square", "disc"}
    about = pipeline.deliver(made)
    folder = made.paths.root / "model"
    assert about.crops == file_digest(folder / "crops.npz")
    assert {row.label: row.least_wt < 1 for row in about.thresholds} == dict.fromkeys(CLASSES, True)
    card = (folder / "README.md").read_text()
    assert "those of the labeled crops most like a box" in card
    assert about.crops in card
    assert "labeled crops most like a box" in pipeline.model_text(made, about)
    model = load_model(folder)
    refs = list(images.images)
    found = model.predict([ref.path for ref in refs], batch_size=3)
    for ref, boxes in zip(refs, found, strict=True):
        assert sorted(boxes.labels) == sorted(truth[ref.id].labels)
    # The same boxes and scores as the classifier gives that was made of the same labels.
    classifier = CropClassifier(labels.labeled.boxes, refs)
    proposed = load(folder / "detector.pt", "cpu").propose(refs, score_floor=0.05, batch_size=4)
    expected = classifier.classify(refs, proposed)
    for ref, boxes in zip(refs, found, strict=True):
        np.testing.assert_allclose(sorted(boxes.scores), sorted(expected[ref.id].scores), atol=2e-3)


def test_a_model_of_crops_finds_what_its_threshold_asks_for(finished, scene):
    """The score with a class of crops is higher than the detector's own."""
    made, (images, _) = finished, scene
    module = Path("confused_detector.py")
    low = '[0.36] * 2, prefix="p").select(np.array([score_floor <= 0.36] * 2))'
    text = CONFUSED.replace('[0.9] * 2, prefix="p")', low)
    module.write_text(text.replace("import json\n", "import json\nimport numpy as np\n"))
    sys.modules.pop("confused_detector", None)
    pipeline.deliver(made)
    model = load_model(made.paths.root / "model")
    [found] = model.predict([images.images[0].path], threshold=0.55)
    assert len(found) == 2
    assert min(found.scores) > 0.55
    [found] = model.predict([images.images[0].path], threshold=0.65)
    assert len(found) == 0


def test_a_model_has_the_detectors_own_classes_where_crops_are_off(campaign):
    made = campaign("off", **OFF)
    labels = read_labels(made.paths, made.params)
    assert not labels.crops.used
    # Of what was held out, and of b01 and b02: half of all that the detector calls squares.
    wrong = [item.ledger(0.5, 0.9).relabeled for item in labels.evidence]
    assert [row * 2 for row in wrong] == [item.objects for item in labels.evidence]
    assert names(labels.last.proposals.boxes) == {"square"}
    assert pipeline.deliver(made).crops is None
    assert not (made.paths.root / "model" / "crops.npz").exists()


def test_the_best_box_comes_first_and_none_is_given_twice(finished, scene):
    """The detector offers one box around both objects, and each object under both classes."""
    made, (images, truth) = finished, scene
    module = Path("confused_detector.py")
    offers = """Boxes.build(
                [(0, 0, 96, 80), *places[Path(i.path).stem], *places[Path(i.path).stem]],
                ["square"] * 3 + ["disc"] * 2, [0.95, 0.9, 0.6, 0.5, 0.4], prefix="p",
            )"""
    begin = CONFUSED.index("Boxes.build(places")
    module.write_text(
        CONFUSED[:begin] + offers + CONFUSED[CONFUSED.index('prefix="p")', begin) + 11 :]
    )
    sys.modules.pop("confused_detector", None)
    pipeline.deliver(made)
    description = made.paths.root / "model" / "model.json"
    content = json.loads(description.read_text())
    description.write_text(json.dumps({**content, "apart": [["disc", "square"]]}))
    model = load_model(made.paths.root / "model")
    for ref in images.images:
        [found] = model.predict([ref.path], threshold=0.3)
        assert found.scores.tolist() == sorted(found.scores, reverse=True)
        own = [box in truth[ref.id].xyxy.tolist() for box in found.xyxy.tolist()]
        assert sum(own) == 2
        assert sorted(found.labels[own]) == ["disc", "square"]


def test_the_same_labels_are_delivered_again_without_their_images(finished, scene, tmp_path):
    pipeline.deliver(finished)
    folder = finished.paths.root / "model"
    before = (folder / "crops.npz").read_bytes()
    away = tmp_path / "away"
    files = [Path(ref.path) for ref in scene[0].images]
    try:
        away.mkdir()
        for path in files[1:]:  # of the first one the example for MLflow is made
            path.rename(away / path.name)
        assert pipeline.deliver(finished).crops == hashlib.sha256(before).hexdigest()
    finally:
        for path in files[1:]:
            (away / path.name).rename(path)
    assert (folder / "crops.npz").read_bytes() == before


def test_a_file_of_crops_by_another_version_is_made_anew(finished, monkeypatch):
    pipeline.deliver(finished)
    monkeypatch.setattr("boxloop.models.crop_classifier._MADE_BY", "a later version")
    pipeline.deliver(finished)
    with np.load(finished.paths.root / "model" / "crops.npz") as content:
        assert str(content["made_by"]) == "a later version"
    load_model(finished.paths.root / "model")


def test_proposals_that_are_gone_are_asked_for_before_a_model_is_made_without_them(finished):
    finished.paths.proposals("b02").unlink()
    with pytest.raises(ArtifactError, match=r"proposals/b02.json"):
        pipeline.deliver(finished)


def test_a_damaged_file_of_crops_is_told(finished):
    pipeline.deliver(finished)
    folder = finished.paths.root / "model"
    path = folder / "crops.npz"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(
        ArtifactError, match=r"crops.npz is not the file of crops that model.json .* anew"
    ):
        load_model(folder)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"crops.npz"):
        load_model(folder)


def test_a_delivered_model_keeps_one_box_per_place(campaign, scene, tmp_path):
    module = tmp_path / "confused_detector.py"
    twice = 'Boxes.build([(1, 1, 20, 20)] * 2, ["square", "disc"], [0.9, 0.8], prefix="p")'
    begin = CONFUSED.index("Boxes.build(places")
    module.write_text(CONFUSED[:begin] + twice + CONFUSED[CONFUSED.index(")\n", begin) + 1 :])
    made = campaign("twice", **OFF)
    offered = artifacts.read_proposals(made.paths.proposals("b02"))
    assert {tuple(b.labels) for b in offered.boxes.values()} == {("square",)}
    about = pipeline.deliver(made)
    assert about.apart == ()
    image = scene[0].images[0].path
    [found] = load_model(made.paths.root / "model").predict([image], threshold=0.0)
    assert found.labels.tolist() == ["square"]
    # One that was delivered before says nothing of it, and keeps both.
    description = made.paths.root / "model" / "model.json"
    older = json.loads(description.read_text())
    del older["apart"]
    description.write_text(json.dumps(older))
    [found] = load_model(made.paths.root / "model").predict([image], threshold=0.0)
    assert found.labels.tolist() == ["square", "disc"]
