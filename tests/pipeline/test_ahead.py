"""The next detector trains while people still correct a batch; what it had seen is on record."""

import shutil
import signal
import subprocess
import threading
import time
from dataclasses import replace

import pytest

from boxloop import pipeline
from boxloop.campaign import artifacts, submissions
from boxloop.campaign.ahead import AheadPaths, put, seen_by
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.overlap import training_ahead
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import read_results
from boxloop.campaign.status import status_text
from boxloop.core.planted import PlantedError
from boxloop.core.training_log import Seen
from boxloop.core.types import ImageSet
from boxloop.errors import ReviewPending, UserError
from boxloop.params import Params
from boxloop.pipeline import ahead as module
from boxloop.pipeline.ahead import ahead, halves_left
from boxloop.report.console import workload_text
from boxloop.report.tables import precision
from boxloop.review.fiftyone.assignment import Part
from builders_counting import done, install
from builders_detectors import CLASSES, drawn
from builders_reviews import submission, submit


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """People's campaign of three batches of four images, whose first one waits for them."""
    monkeypatch.chdir(tmp_path)
    install(tmp_path, monkeypatch)
    refs, truth = drawn(tmp_path / "scenes", 12, (60, 40))
    paths = CampaignPaths(tmp_path)
    artifacts.write_images(paths.images, ImageSet(refs, CLASSES))
    artifacts.write_truth(paths.truth, truth)
    content = {
        "order": {"strategy": "temporal"},
        "batch": {"size": 4},
        "train": {"detector": "counting_detector:FACTORY", "steps": 1},
        "review": {"annotator": "fiftyone"},
        "track": {"enabled": False},
        "iterations": {
            "b00": {"previous": "empty"},
            "b01": {"previous": "b00"},
            "b02": {"previous": "b01"},
        },
    }
    result = Campaign(paths, Params.model_validate(content), say=lambda _: None)
    pipeline.order(result, [ref.id for ref in refs])
    pipeline.batch(result)
    pipeline.start(result)
    pipeline.learn(result, "b00")
    return result


def ids(campaign, key):
    return artifacts.read_batch(campaign.paths.batch(key)).image_ids


def half(campaign, key):
    """Has half of a batch submitted, and the next detector trained on it."""
    submit(campaign.paths.root, key, ids(campaign, key)[:2])
    return ahead(campaign, key)


def rest(campaign, key, **options):
    submit(campaign.paths.root, key, ids(campaign, key)[2:], **options)
    pipeline.finish(campaign, key)


def of_another_seed(campaign):
    train = campaign.params.train.model_copy(update={"seed": 7})
    return replace(campaign, params=campaign.params.model_copy(update={"train": train}))


def test_what_was_trained_ahead_is_the_turn_s_own_when_its_batch_is_handed_in(campaign):
    paths, said = campaign.paths, []
    assert half(campaign, "b00").images == 2
    made = AheadPaths.of(paths, "b01")
    detector = made.detector.read_bytes()
    assert not paths.detector("b01").exists()  # nothing of DVC's was touched
    done()
    rest(campaign, "b00")
    log, offered = pipeline.learn(replace(campaign, say=said.append), "b01")
    assert done() == []
    assert said == ["b01: trained while b00 was corrected, on 2 of the 4 images of b00"]
    assert log.seen == Seen("b00", ids(campaign, "b00")[:2], 4)
    assert (log, detector) == (
        artifacts.read_training(paths.training("b01")),
        paths.detector("b01").read_bytes(),
    )
    assert tuple(offered.boxes) == ids(campaign, "b01")
    assert not made.folder.exists()
    # It is kept as any other is.
    assert pipeline.learn(campaign, "b01")[0] is None
    assert done() == []
    # The next one goes on from it, one half of a batch behind again.
    half(campaign, "b01")
    rest(campaign, "b01")
    assert pipeline.learn(campaign, "b02")[0].seen.batch == "b01"
    assert done() == ["trained", "proposed"]
    assert {turn: seen.of for turn, seen in seen_by(paths, campaign.params.iterations).items()} == {
        "b01": 4,
        "b02": 4,
    }
    with pytest.raises(ReviewPending):
        pipeline.finish(campaign, "b02")


def test_a_batch_that_is_redone_trains_on_everything(campaign):
    half(campaign, "b00")
    rest(campaign, "b00")
    pipeline.learn(campaign, "b01")
    done()
    submit(campaign.paths.root, "b00", ids(campaign, "b00")[3:], by=2.0)
    pipeline.finish(campaign, "b00")
    log, _ = pipeline.learn(campaign, "b01")
    assert done() == ["trained", "proposed"]
    assert (log.seen, log.images) == (None, 4)
    assert b'"seen"' not in campaign.paths.training("b01").read_bytes()


def test_one_that_is_taken_over_is_not_replaced_meanwhile(campaign, monkeypatch):
    half(campaign, "b00")
    made = AheadPaths.of(campaign.paths, "b01")
    detector, images = made.detector.read_bytes(), artifacts.read_training(made.training).images
    new = AheadPaths(made.folder.with_name(".new-b01"))
    shutil.copytree(made.folder, new.folder)
    new.detector.write_bytes(b"another one")
    other = threading.Thread(target=put, args=(campaign.paths, new, "b01", campaign.say))
    real = artifacts.read_training

    def read_log(path):
        log = real(path)
        if path == made.training and other.ident is None:
            other.start()
            other.join(1.0)  # as long as it wants to be the only one
        return log

    rest(campaign, "b00")
    monkeypatch.setattr("boxloop.campaign.ahead.artifacts.read_training", read_log)
    log, _ = pipeline.learn(campaign, "b01")
    other.join()
    assert (log.images, log.seen) == (images, Seen("b00", ids(campaign, "b00")[:2], 4))
    assert campaign.paths.detector("b01").read_bytes() == detector


@pytest.mark.parametrize("change", ["label", "parameter"])
def test_a_training_ahead_of_something_else_is_not_taken_over(campaign, change):
    half(campaign, "b00")
    said = []
    if change == "label":
        submit(campaign.paths.root, "b00", ids(campaign, "b00")[:1], by=2.0)
    else:
        campaign = of_another_seed(campaign)
    rest(campaign, "b00")
    done()
    log, _ = pipeline.learn(replace(campaign, say=said.append), "b01")
    assert done() == ["trained", "proposed"]
    assert (log.seen, log.images) == (None, 4)
    assert "is not used" in said[0]
    assert not AheadPaths.of(campaign.paths, "b01").folder.exists()


def test_what_a_kill_left_is_neither_used_nor_in_the_way(campaign):
    left = AheadPaths.of(campaign.paths, "b01").folder.with_name(".new-b01")
    left.mkdir(parents=True)
    (left / "detector.pt").write_bytes(b"half of a")
    half(campaign, "b00")
    assert not left.exists()
    left.mkdir()
    rest(campaign, "b00")
    assert pipeline.learn(campaign, "b01")[0].seen is not None


def test_it_begins_at_half_of_the_batch_and_ends_with_it(campaign, monkeypatch):
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.01)
    found = []
    beside = threading.Thread(target=lambda: found.append(ahead(campaign, "b00", wait=True)))
    beside.start()
    made = AheadPaths.of(campaign.paths, "b01")
    submit(campaign.paths.root, "b00", ids(campaign, "b00")[:1])
    time.sleep(0.1)
    assert not made.folder.exists()
    submit(campaign.paths.root, "b00", ids(campaign, "b00")[1:2])
    until(lambda: made.training.exists())
    # Half of the rest, which it trains on as well.
    submit(campaign.paths.root, "b00", ids(campaign, "b00")[2:3])
    until(lambda: len(artifacts.read_labeled(made.labeled)) == 3)
    submit(campaign.paths.root, "b00", ids(campaign, "b00")[3:])
    beside.join(120)
    assert found[0].images == 3
    pipeline.finish(campaign, "b00")
    assert pipeline.learn(campaign, "b01")[0].seen.images == ids(campaign, "b00")[:3]


def test_a_planted_error_that_was_missed_is_never_trained_on(campaign, monkeypatch):
    paths = campaign.paths
    submit(paths.root, "b00")
    pipeline.finish(campaign, "b00")
    pipeline.learn(campaign, "b01")
    first, second, *others = ids(campaign, "b01")
    truth, offered = (
        artifacts.read_truth(paths.truth),
        artifacts.read_proposals(paths.proposals("b01")),
    )
    made = submission(offered, truth, (first, second))
    box = (1.0, 1.0, 20.0, 20.0)
    missed = PlantedError("hidden", "p0", "", CLASSES[0], box, 0.9, "missed", "ada")
    submissions.append(paths.reviews, replace(made, planted={first: (missed,)}))
    assert ahead(campaign, "b01").images == 5
    seen = artifacts.read_labeled(AheadPaths.of(paths, "b02").labeled)
    assert second in seen.boxes
    assert first not in seen.boxes
    # Who waits for the whole batch does not wait for another look at that image.
    submit(paths.root, "b01", others)
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.01)
    beside = threading.Thread(target=ahead, args=(campaign, "b01"), kwargs={"wait": True})
    beside.start()
    beside.join(120)
    assert not beside.is_alive()


def until(true, seconds=120.0):
    end = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except Exception:  # between two states of a folder
            if time.monotonic() > end:
                raise
        assert time.monotonic() < end
        time.sleep(0.01)


def test_there_is_nothing_ahead_of_the_last_batch_or_of_nothing(campaign):
    assert ahead(campaign, "b00") is None
    for key in ("b02", "b07"):
        with pytest.raises(UserError, match=f"no batch follows '{key}': name one of b00, b01"):
            ahead(campaign, key)


def test_a_simulation_replays_it(campaign):
    """Half a batch behind, and with nothing of it a whole one: the second batch is drawn, too."""
    for share, seen, trained_on in ((0.5, 2, [2, 6]), (0.0, 0, [0, 4])):
        sections = campaign.params.model_dump()
        sections["review"] |= {"annotator": "simulated"}
        sections["train"] |= {"overlap": share}
        params = Params.model_validate(sections)
        simulated = Campaign(campaign.paths, params, say=lambda _: None)
        for key in params.iterations:
            pipeline.learn(simulated, key)
            pipeline.finish(simulated, key)
        logs = [artifacts.read_training(campaign.paths.training(key)) for key in ("b01", "b02")]
        assert [log.images for log in logs] == trained_on
        assert [len(log.seen.images) for log in logs] == [seen, seen]
        results = read_results(campaign.paths, params)
        assert [row["trained_on_images"] for row in precision(results)] == [0, *trained_on]
        said = f"that of b02 on {seen} of the 4 images of b01."
        assert said in " ".join(workload_text(results).split())
        assert said in status_text(campaign.paths, params)
        assert (results.workloads[1].detector == "empty") == (seen == 0)


def test_people_need_no_parameter():
    with pytest.raises(ValueError, match="'boxloop run --overlap', and need no parameter"):
        Params.model_validate(
            {"train": {"steps": 1, "overlap": 0.5}, "review": {"annotator": "fiftyone"}}
        )
    unset = Params.model_validate({"train": {"steps": 1}}).model_dump()
    assert "overlap" not in unset["train"]  # digests of older campaigns stay


def test_a_training_that_fails_or_is_killed_stops_nobody(campaign, monkeypatch):
    """Here the folder has no params.yaml; nor is there anything to train after the last batch."""
    monkeypatch.setattr("boxloop.campaign.overlap._SECONDS_TO_END", 120.0)
    said = []
    with training_ahead(campaign.paths, campaign.params, "b00", said.append):
        pass
    assert len(said) == 1
    assert said[0].startswith("b01: was not trained ahead (params.yaml does not exist: ")
    assert said[0].endswith("; now it trains on everything")

    trainings = instead_of_a_training(monkeypatch, "sleep", "600")

    def kill(key):
        with training_ahead(campaign.paths, campaign.params, key, said.append):
            for training in trainings:
                training.kill()

    kill("b00")
    kill("b02")
    assert said[1:] == ["b01: was not trained ahead (no reason given); now it trains on everything"]


def instead_of_a_training(monkeypatch, *command):
    """Has a command run in place of a training; gives the list of those that are started."""
    popen, started = subprocess.Popen, []

    def start(_, **options):
        started.append(popen(command, **options))
        return started[-1]

    monkeypatch.setattr("boxloop.campaign.overlap.subprocess.Popen", start)
    return started


@pytest.mark.parametrize("stale", [True, False])
def test_a_training_is_waited_for_unless_another_that_fits_is_there(campaign, monkeypatch, stale):
    half(campaign, "b00")
    if stale:
        campaign = of_another_seed(campaign)
    trainings = instead_of_a_training(monkeypatch, "sleep", "1" if stale else "600")
    with training_ahead(campaign.paths, campaign.params, "b00", campaign.say):
        pass
    assert trainings[0].returncode == (0 if stale else -signal.SIGTERM)


def test_a_batch_is_reviewed_in_halves(campaign):
    paths, params = campaign.paths, campaign.params
    assert halves_left(paths, params, "b00") == ("1/2", "2/2")
    first = Part.parse("1/2").share(ids(campaign, "b00"))
    submit(paths.root, "b00", first[:1])
    assert halves_left(paths, params, "b00") == ("1/2", "2/2")
    submit(paths.root, "b00", first[1:])
    assert halves_left(paths, params, "b00") == ("2/2",)
    for key in ("b01", "b02"):
        rest(campaign, {"b01": "b00", "b02": "b01"}[key])
        pipeline.learn(campaign, key)
        submit(paths.root, key, ids(campaign, key)[:2])
    assert halves_left(paths, params, "b02") == (None,)  # nothing trains on it
