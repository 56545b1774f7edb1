"""A detector and an annotator that are not of the package, in a campaign of two turns.

What else can be added from outside has its test beside its kind: formats, orderings, cost models.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from boxloop import pipeline
from boxloop.campaign import artifacts
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.training_log import TrainingLog
from boxloop.core.types import Boxes, ImageSet
from boxloop.errors import DetectorError, ParamsError
from boxloop.models.checkpoint import DetectorCheckpoint, write_detector
from boxloop.params import Params
from boxloop.params.registry import ANNOTATORS, DETECTORS
from boxloop.review.simulated import SimulatedAnnotator
from builders_detectors import CLASSES, drawn


@dataclass
class MeanBox:
    """Proposes one box everywhere: the mean of those it was shown."""

    classes: tuple[str, ...]
    box: np.ndarray
    name: str = "mean_box"

    def train(self, labeled, images, params, progress=None):
        self.box = np.concatenate([b.xyxy for b in labeled.boxes.values()]).mean(axis=0)
        return replace(TrainingLog.of_nothing(), steps=1, images=len(labeled))

    def propose(self, images, *, score_floor, batch_size, progress=None):
        row = Boxes.build([self.box.tolist()], [self.classes[0]], [0.9], prefix="p")
        return {image.id: row for image in images}

    def save(self, path, *, labeled_digest):
        state = {"box": torch.tensor(self.box)}
        write_detector(
            path,
            DetectorCheckpoint(
                self.name, self.classes, (0, 0), labeled_digest, "none", 1, {}, state
            ),
        )


class Factory:
    name = "mean_box"

    def create(self, params, classes):
        return MeanBox(classes, np.zeros(4))

    def restore(self, checkpoint, device, params=None):
        return MeanBox(checkpoint.classes, checkpoint.state["box"].numpy())


@dataclass
class Cautious:
    """The truth, but for the first box of each image."""

    truth: dict
    kind: str = "cautious"

    def review(self, proposals, images, score_threshold):
        made = SimulatedAnnotator(self.truth, 0.5).review(proposals, images, score_threshold)
        fewer = {i: b.select(np.arange(1, len(b))) for i, b in made.boxes.items()}
        return replace(made, annotator=self.kind, boxes=fewer)


@pytest.fixture
def added():
    DETECTORS.register("mean_box", Factory())
    ANNOTATORS.register(
        "cautious", lambda params, truth, submitted: Cautious(artifacts.read_truth(truth))
    )
    yield
    DETECTORS.unregister("mean_box")
    ANNOTATORS.unregister("cautious")


def params(detector="mean_box", annotator="cautious"):
    content = {
        "order": {"strategy": "temporal"},
        "batch": {"size": 3},
        "train": {"detector": detector, "steps": 1},
        "review": {"annotator": annotator},
        "iterations": {"b00": {"previous": "empty"}, "b01": {"previous": "b00"}},
    }
    return Params.model_validate(content)


def begun(folder):
    """A campaign of six images, its batches cut."""
    refs, truth = drawn(folder / "scenes", 6, (150, 100))
    paths = CampaignPaths(folder)
    artifacts.write_images(paths.images, ImageSet(refs, CLASSES))
    artifacts.write_truth(paths.truth, truth)
    campaign = Campaign(paths, params(), say=lambda _: None)
    pipeline.order(campaign, [ref.id for ref in refs])
    pipeline.batch(campaign)
    pipeline.start(campaign)
    return campaign, refs, truth


def finish(campaign, turn):
    pipeline.review(campaign, turn)
    pipeline.merge(campaign, turn)
    return pipeline.account(campaign, turn)


def test_they_take_part_in_a_campaign(tmp_path, added):
    campaign, refs, truth = begun(tmp_path)
    paths = campaign.paths
    for turn in ("b00", "b01"):
        pipeline.train(campaign, turn)
        pipeline.propose(campaign, turn)
        workload = finish(campaign, turn)
    assert (workload.detector, workload.annotator) == ("mean_box", "cautious")
    labeled = artifacts.read_labeled(paths.labeled("b01"))
    assert len(labeled) == 6
    assert all(len(labeled.boxes[i]) == len(truth[i]) - 1 for i in truth)
    proposals = artifacts.read_proposals(paths.proposals("b01"))
    first = np.concatenate([labeled.boxes[ref.id].xyxy for ref in refs[:3]]).mean(axis=0)
    for boxes in proposals.boxes.values():
        np.testing.assert_allclose(boxes.xyxy, [first])


def test_a_detector_that_leaves_an_image_out_is_refused_before_a_person_sees_the_batch(
    tmp_path, added, monkeypatch
):
    campaign, _, _ = begun(tmp_path)
    pipeline.learn(campaign, "b00")
    finish(campaign, "b00")
    whole = MeanBox.propose
    monkeypatch.setattr(MeanBox, "propose", lambda own, images, **kw: whole(own, images[1:], **kw))
    with pytest.raises(DetectorError, match="mean_box .* nothing for 1 of 3 images, the first"):
        pipeline.learn(campaign, "b01")
    assert not campaign.paths.proposals("b01").exists()


def test_names_that_nobody_registered_are_refused():
    with pytest.raises(ValueError, match="there is no 'mean_box'"):
        params()
    with pytest.raises(ParamsError, match="train.detector: there is no 'mean_box'"):
        DETECTORS.get("mean_box")
