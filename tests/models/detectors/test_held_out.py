"""A first detector that proposes for images which it has not seen."""

import numpy as np
import pytest

from boxloop.core.labeled_set import split
from boxloop.core.training_log import TrainingLog
from boxloop.core.types import Boxes, LabeledSet
from boxloop.errors import DivergedError
from boxloop.models import detectors
from boxloop.models.detectors import held_out
from boxloop.params.registry import DETECTORS
from builders_detectors import drawn, labeled, train_params


class Remembers:
    """A detector that proposes one box for each image that it was not trained on."""

    name, classes = "remembers", ("square", "disc")

    def __init__(self, diverges=False):
        self.seen, self.calls, self.diverges = set(), [], diverges

    def train(self, labels, images, params, progress=None):
        if self.diverges:
            raise DivergedError("training diverged")
        assert set(labels.boxes) == {ref.id for ref in images}
        self.seen = set(labels.boxes)
        if progress:
            progress(1, 1, 0.5)
        return TrainingLog.of_nothing()

    def propose(self, images, *, score_floor, batch_size, progress=None):
        self.calls.append((score_floor, batch_size, [ref.id for ref in images]))
        one = Boxes.build([(0, 0, 9, 9)], ["disc"], [0.5], prefix="p")
        return {ref.id: one for ref in images if ref.id not in self.seen}

    def create(self, params, classes):
        return self


@pytest.fixture
def remembers():
    made = Remembers()
    DETECTORS.register("remembers", made)
    yield made
    DETECTORS.unregister("remembers")


@pytest.fixture
def scene(tmp_path):
    return drawn(tmp_path, 9)


def test_it_proposes_for_the_part_that_it_has_not_seen(remembers, scene):
    refs, truth = scene
    params, told = train_params("remembers", held_out=0.33, seed=4, batch_size=5), []
    found = held_out.propose_for_held_out(
        params, labeled(truth), refs, progress=lambda *step: told.append(step)
    )
    rest, held = split(labeled(truth), 0.33, 4)
    assert found.batch == "held-out part of b00"
    assert (found.detector, found.score_floor) == ("remembers", 0.05)
    assert list(found.boxes) == list(held.boxes)
    assert remembers.seen == set(rest.boxes)
    assert remembers.calls == [(0.05, 5, list(held.boxes))]
    assert told == [(1, 1, 0.5)]


def test_a_training_that_diverges_tells_nothing(remembers, scene):
    remembers.diverges = True
    refs, truth = scene
    assert held_out.propose_for_held_out(train_params("remembers"), labeled(truth), refs) is None


def test_images_are_held_out_of_the_first_batch_alone(scene):
    _, truth = scene
    params, first = train_params("empty"), labeled(truth)
    assert held_out.holds_out(params, first)
    assert not held_out.holds_out(train_params("empty", held_out=0.0), first)
    assert not held_out.holds_out(params, LabeledSet(first.classes, ("b00", "b01"), truth))
    assert not held_out.holds_out(params, LabeledSet(first.classes, (), {}))
    for count in (5, 6):
        few = {image_id: truth[image_id] for image_id in list(truth)[:count]}
        assert held_out.holds_out(params, labeled(few)) == (count == 6)


def test_the_detector_that_follows_has_the_same_bits(scene):
    refs, truth = scene
    params = train_params("ssdlite320_mobilenet_v3_large", steps=1)
    plain, _ = detectors.train(params, labeled(truth), refs)
    assert held_out.propose_for_held_out(params, labeled(truth), refs) is not None
    after, _ = detectors.train(params, labeled(truth), refs)
    for name, tensor in plain.model.state_dict().items():
        other = after.model.state_dict()[name]
        np.testing.assert_array_equal(tensor.numpy(), other.numpy(), err_msg=name)


def test_alone_a_process_proposes_for_all(remembers, scene):
    refs, _ = scene
    told = []
    found = held_out.propose_together(
        remembers, refs, score_floor=0.1, batch_size=2, progress=lambda *done: told.append(done)
    )
    assert list(found) == [ref.id for ref in refs]
    assert remembers.calls == [(0.1, 2, [ref.id for ref in refs])]
