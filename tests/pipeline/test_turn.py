"""A turn's two stages, and what the first of them keeps when it runs again."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from boxloop import pipeline
from boxloop.campaign import artifacts, kept
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import ImageSet
from boxloop.errors import ArtifactError
from boxloop.params import Params
from builders_counting import done, install
from builders_detectors import CLASSES, drawn


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A campaign with its first turn done; returns a function that makes it with other values."""
    monkeypatch.chdir(tmp_path)
    install(tmp_path, monkeypatch)
    refs, truth = drawn(tmp_path / "scenes", 6, (150, 100))
    paths = CampaignPaths(tmp_path)
    artifacts.write_images(paths.images, ImageSet(refs, CLASSES))
    artifacts.write_truth(paths.truth, truth)

    def with_(**sections):
        content = {
            "order": {"strategy": "temporal"},
            "batch": {"size": 3},
            "train": {"detector": "counting_detector:FACTORY", "steps": 1},
            "track": {"enabled": False},
            "iterations": {"b00": {"previous": "empty"}, "b01": {"previous": "b00"}},
        }
        for name, values in sections.items():
            content[name] = {**content.get(name, {}), **values}
        return Campaign(paths, Params.model_validate(content), say=lambda _: None)

    campaign = with_()
    pipeline.order(campaign, [ref.id for ref in refs])
    pipeline.batch(campaign)
    pipeline.start(campaign)
    pipeline.learn(campaign, "b00")
    pipeline.finish(campaign, "b00")
    return with_


def test_a_turn_learns_and_is_finished(begun):
    campaign = begun()
    log, found = pipeline.learn(campaign, "b01")
    assert done() == ["trained", "proposed"]
    assert log.steps == 1
    said = []
    corrections, labeled, counted = pipeline.finish(replace(campaign, say=said.append), "b01")
    # In the order in which it happened.
    marks = ["boxes by", "images are labeled", "at IoU 0.5", "at IoU 0.7", "tracked"]
    assert [mark for line in said for mark in marks if mark in line] == marks
    assert corrections.proposals == found
    assert len(labeled) == 6
    assert counted == artifacts.read_workload(campaign.paths.workload("b01"))
    assert campaign.paths.tracked("b01").exists()


@pytest.mark.parametrize(
    ("changes", "work"),
    [
        ({}, []),
        ({"account": {"seconds_per_box": 10.0}}, []),
        ({"account": {"iou_thresholds": [0.3]}}, []),
        ({"review": {"score_threshold": 0.7}}, []),
        ({"propose": {"batch_size": 1}}, []),
        ({"propose": {"score_floor": 0.2}}, ["proposed"]),
        ({"train": {"seed": 1}}, ["trained", "proposed"]),
        ({"train": {"warm_start": False}}, ["trained", "proposed"]),
        ({"train": {"zoom": 1}}, []),  # as without it
        ({"train": {"zoom": "fitted"}}, ["trained", "proposed"]),
    ],
)
def test_only_what_changed_is_done_again(begun, changes, work):
    pipeline.learn(begun(), "b01")
    done()
    log, found = pipeline.learn(begun(**changes), "b01")
    assert done() == work
    assert (log is not None) == ("trained" in work)
    assert found == artifacts.read_proposals(begun().paths.proposals("b01"))


def test_the_threshold_is_fitted_anew_without_the_detector(begun):
    _, before = pipeline.learn(begun(), "b01")
    _, found = pipeline.learn(begun(account={"iou_thresholds": [0.3, 0.6]}), "b01")
    assert [fitted.iou_threshold for fitted in found.thresholds] == [0.5, 0.3, 0.6]
    assert found.boxes == before.boxes


def read_anew(paths, image_id, digest):
    """What ``boxloop dataset`` writes once a file has other pixels."""
    images = artifacts.read_images(paths.images)
    refs = (
        replace(ref, digest=digest if ref.id == image_id else ref.digest) for ref in images.images
    )
    artifacts.write_images(paths.images, ImageSet(tuple(refs), images.classes))


def test_proposals_tell_of_which_pixels_they_are_and_are_made_anew_for_others(begun):
    campaign = begun(review={"score_threshold": 0.5})
    pipeline.learn(campaign, "b01")
    path, images = campaign.paths.proposals("b01"), campaign.paths.images
    item = artifacts.read_batch(campaign.paths.batch("b01"))
    known = {ref.id: ref.digest for ref in artifacts.read_images(images).images}
    _, told = artifacts.read_dated_proposals(path)
    assert told == {image_id: known[image_id] for image_id in item.image_ids}
    pipeline.learn(begun(review={"score_threshold": "fitted"}), "b01")  # fits the threshold alone
    assert artifacts.read_dated_proposals(path)[1] == told

    def stays():
        detector = campaign.paths.detector("b01")
        return kept.has_proposed(path, detector, item, 0.05, images=images)

    assert stays()
    read_anew(campaign.paths, next(i for i in known if i not in told), "0" * 64)
    assert stays()
    read_anew(campaign.paths, item.image_ids[1], "1" * 64)
    assert not stays()


def people_labeled(campaign, turn):
    """Has the corrections of a batch tell of which pixels they are, as people's do."""
    path = campaign.paths.corrections(turn)
    made, images = artifacts.read_corrections(path), artifacts.read_images(campaign.paths.images)
    digests = {ref.id: ref.digest for ref in images.images if ref.id in made.boxes}
    moment = "2024-01-01T12:00:00+00:00"
    made = replace(made, annotator="import", finished=moment, digests=digests)
    artifacts.write_corrections(path, made)


@pytest.mark.parametrize(
    ("step", "turn"), [("merge", "b00"), ("account", "b00"), ("train", "b01"), ("learn", "b01")]
)
def test_steps_by_hand_put_no_labels_on_pixels_that_they_were_not_made_for(begun, step, turn):
    """The dataset is read anew, and what takes its labels along was not run yet."""
    campaign = begun()
    people_labeled(campaign, "b00")
    getattr(pipeline, step)(campaign, turn)
    first = artifacts.read_batch(campaign.paths.batch("b00")).image_ids[0]
    read_anew(campaign.paths, first, "0" * 64)
    with pytest.raises(ArtifactError) as refused:
        getattr(pipeline, step)(campaign, turn)
    said = str(refused.value)
    assert said.startswith(f"{campaign.paths.corrections('b00')} labels other pixels than image ")
    assert f"image {first} has now" in said
    assert "run 'dvc repro' first" in said


def test_a_training_by_hand_takes_no_simulated_labels_that_the_dataset_has_no_more(begun):
    campaign = begun()
    truth = artifacts.read_truth(campaign.paths.truth)
    one, other = artifacts.read_batch(campaign.paths.batch("b00")).image_ids[:2]
    swapped = {**truth, one: truth[other], other: truth[one]}
    artifacts.write_truth(campaign.paths.truth, swapped)
    with pytest.raises(ArtifactError, match=r"b00\.json has other boxes of image .* than .*truth"):
        pipeline.train(campaign, "b01")


def test_a_training_reads_corrections_only_where_the_dataset_is_newer(begun):
    """There can be very much of them, and DVC has nothing come between two turns."""
    campaign = begun()
    path, labeled = campaign.paths.corrections("b00"), campaign.paths.labeled("b00")
    path.write_text("damaged")
    dataset = (campaign.paths.images, campaign.paths.truth)
    for moment, file in enumerate((*dataset, labeled), start=1):
        os.utime(file, (moment, moment))
    pipeline.train(campaign, "b01")
    for file in dataset:
        os.utime(file, (9, 9))
        with pytest.raises(ArtifactError, match="is not valid JSON"):
            pipeline.train(campaign, "b01")
        os.utime(file, (1, 1))


def test_a_review_by_hand_simulates_by_no_proposals_for_other_pixels(begun):
    campaign = begun()
    pipeline.learn(campaign, "b01")
    last = artifacts.read_batch(campaign.paths.batch("b01")).image_ids[-1]
    read_anew(campaign.paths, last, "0" * 64)
    with pytest.raises(ArtifactError, match=f"boxes for other pixels than image {last} has now"):
        pipeline.review(campaign, "b01")


def test_proposing_by_hand_shows_no_labels_that_the_dataset_has_no_more(begun):
    campaign = begun(dataset={"labels": "proposed"}, review={"annotator": "fiftyone"})
    paths = campaign.paths
    pipeline.batch(campaign)
    pipeline.propose(campaign, "b01")
    truth = artifacts.read_truth(paths.truth)
    one, other = artifacts.read_batch(paths.batch("b01")).image_ids[:2]
    artifacts.write_truth(paths.truth, {**truth, one: truth[other], other: truth[one]})
    with pytest.raises(
        ArtifactError, match=r"b01\.json shows other labels on image .* 'dvc repro'"
    ):
        pipeline.propose(campaign, "b01")
    pipeline.batch(campaign)
    pipeline.propose(campaign, "b01")


@pytest.mark.parametrize("folder", ["detectors/b01.pt", "training/b01.json"])
def test_a_file_that_is_gone_or_another_one_s_is_made_again(begun, folder):
    campaign = begun()
    pipeline.learn(campaign, "b01")
    done()
    path = campaign.paths.root / "data" / folder
    path.unlink()
    pipeline.learn(campaign, "b01")
    assert done() == ["trained", "proposed"]
    before = campaign.paths.root / "data" / folder.replace("b01", "b00")
    path.write_bytes(before.read_bytes())
    pipeline.learn(campaign, "b01")
    assert done() == ["trained", "proposed"]


def test_other_labels_and_other_code_train_again(begun):
    campaign = begun()
    pipeline.learn(campaign, "b01")
    done()
    truth = artifacts.read_truth(campaign.paths.truth)
    fewer = {key: boxes.select([0]) for key, boxes in truth.items()}
    artifacts.write_truth(campaign.paths.truth, fewer)
    pipeline.finish(campaign, "b00")
    pipeline.learn(campaign, "b01")
    assert done() == ["trained", "proposed"]
    source = campaign.paths.root / "counting_detector.py"
    source.write_text(source.read_text() + "# another version\n")
    pipeline.learn(campaign, "b01")
    assert done()[0] == "trained"


def test_another_detector_before_and_other_images_train_again(begun):
    campaign = begun()
    paths = campaign.paths
    pipeline.learn(campaign, "b01")
    done()
    paths.detector("b00").write_bytes(paths.detector("b01").read_bytes())
    pipeline.learn(campaign, "b01")
    assert done() == ["trained", "proposed"]
    images = artifacts.read_images(paths.images)
    repainted = replace(images.images[0], digest="0" * 64)
    artifacts.write_images(paths.images, replace(images, images=(repainted, *images.images[1:])))
    pipeline.learn(campaign, "b01")
    assert done()[0] == "trained"


def test_other_images_of_a_batch_are_proposed_for_without_a_training(begun):
    campaign = begun()
    place = campaign.paths.batch("b01")
    batch = artifacts.read_batch(place)
    pipeline.learn(campaign, "b01")
    done()
    artifacts.write_batch(place, replace(batch, image_ids=batch.image_ids[::-1]))
    _, found = pipeline.learn(campaign, "b01")
    assert done() == ["proposed"]
    assert tuple(found.boxes) == batch.image_ids[::-1]


@pytest.mark.parametrize(
    ("made_of", "same"),
    [
        ({"labeled": "1", "previous": "2"}, True),
        ({"labeled": "1", "previous": "2", "weights": "3"}, True),  # which need not lie here
        ({"labeled": "1", "previous": "3"}, False),
        ({"labeled": "1"}, False),
        ({"labeled": "1", "previous": "2", "code": "3"}, False),
    ],
)
def test_a_training_is_the_same_where_all_it_is_made_of_is(made_of, same):
    assert kept.is_made_of(made_of, {"labeled": "1", "previous": "2"}) == same


@pytest.mark.parametrize("name", ["own.pt", "network"])
@pytest.mark.parametrize("warm_start", [True, False])  # b00's detector is the empty one
def test_another_file_of_weights_under_the_same_name_trains_again(begun, name, warm_start):
    campaign = begun(train={"weights": name, "warm_start": warm_start})
    place = campaign.paths.root / name
    file = place if name == "own.pt" else place / "model.safetensors"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"one")
    pipeline.learn(campaign, "b01")
    assert done() == ["trained", "proposed"]
    (file.parent / "README.md").touch()
    pipeline.learn(campaign, "b01")
    assert done() == []
    file.write_bytes(b"another")
    pipeline.learn(campaign, "b01")
    assert done() == ["trained", "proposed"]
    file.unlink()  # as on a machine that it was not brought to
    if name == "network":
        (file.parent / "README.md").unlink()
        file.parent.rmdir()
    pipeline.learn(campaign, "b01")
    assert done() == []


def test_a_log_that_does_not_tell_of_the_weights_keeps_its_detector(begun):
    campaign = begun(train={"weights": "own.pt"})
    (campaign.paths.root / "own.pt").write_bytes(b"one")
    log, _ = pipeline.learn(campaign, "b01")
    older = {name: value for name, value in log.made_of.items() if name != "weights"}
    assert older != log.made_of
    artifacts.write_training(campaign.paths.training("b01"), replace(log, made_of=older))
    done()
    pipeline.learn(campaign, "b01")
    assert done() == []


def test_a_training_that_goes_on_from_a_detector_asks_for_no_weights(begun):
    campaign = begun(train={"weights": "own.pt"})
    (campaign.paths.root / "own.pt").write_bytes(b"one")
    pipeline.learn(campaign, "b01")
    paths, params = campaign.paths, campaign.params.train
    inputs = [
        kept.training_inputs(p, paths.images, paths.labeled("b00"), paths.detector("b01"))
        for p in (params, params.model_copy(update={"warm_start": False}))
    ]
    assert ["weights" in each for each in inputs] == [False, True]


def test_the_first_turn_imports_neither_torch_nor_mlflow(begun):
    code = """
import sys
from boxloop import pipeline
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.params import Params
campaign = Campaign(CampaignPaths(), Params.model_validate({"track": {"enabled": False}}))
pipeline.start(campaign)
pipeline.learn(campaign, "b00")
pipeline.finish(campaign, "b00")
heavy = {"torch", "torchvision", "timm", "mlflow", "matplotlib", "fiftyone", "scipy"}
print(sorted(heavy & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"
