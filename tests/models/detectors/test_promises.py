"""What a detector of one's own returns, held to what detectors promise."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from boxloop.core.training_log import TrainingLog
from boxloop.core.types import Boxes, ImageRef
from boxloop.errors import DetectorError
from boxloop.models import detectors
from boxloop.models.checkpoint import DetectorCheckpoint, write_detector
from boxloop.models.detectors import held_out, promises
from boxloop.params.registry import DETECTORS
from boxloop.study.api import propose as propose_in_memory
from builders_detectors import CLASSES, drawn, labeled, train_params

REFS = tuple(ImageRef(f"i{n}", f"{n}.png", 40, 30, "0" * 64) for n in range(3))
LOG = replace(TrainingLog.of_nothing(), steps=1)


def one(corners=(1, 2, 40, 30), label="disc", score=0.5, box_id="p0"):
    return Boxes(np.array([corners]), np.array([label]), np.array([box_id]), np.array([score]))


GOOD = {ref.id: one() for ref in REFS}
TWO = Boxes.build([(0, 0, 9, 9)] * 2, ["disc"] * 2, [0.3, 0.4], prefix="p")


class Own:
    """A detector and its factory, all of whose methods answer what they are told to."""

    name, classes = "own", CLASSES

    def __init__(self, found=None, log=LOG, made="self", classes=CLASSES):
        self.found, self.log, self.made, self.classes = found, log, made, classes

    def train(self, labels, images, params, progress=None):
        return self.log

    def propose(self, images, *, score_floor, batch_size, progress=None):
        return {ref.id: one() for ref in images} if self.found is None else self.found

    def save(self, path, *, labeled_digest):
        pass

    def create(self, params, classes):
        return self if self.made == "self" else self.made

    def restore(self, checkpoint, device, params=None):
        return self.create(params, checkpoint.classes)


@pytest.fixture
def register():
    yield lambda made: DETECTORS.register("own", made)
    DETECTORS.unregister("own")


def propose(found):
    return promises.propose(Own(found), REFS, score_floor=0.1, batch_size=2)


def test_what_is_right_comes_back_in_the_order_of_the_images():
    assert propose(GOOD) == GOOD
    assert list(propose(dict(reversed(GOOD.items())))) == [ref.id for ref in REFS]
    nothing = {ref.id: Boxes.empty(scored=True) for ref in REFS}
    assert propose(nothing) == nothing
    assert promises.propose(Own({}), (), score_floor=0.1, batch_size=2) == {}
    assert promises.propose(Own(GOOD), REFS, score_floor=0.5, batch_size=2) == GOOD
    made = {key: one(score=float(np.float32(0.7))) for key in GOOD}
    assert promises.propose(Own(made), REFS, score_floor=0.7, batch_size=2) == made


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "returned None, not a dict"),
        ([one()] * 3, "returned a list, not a dict"),
        ({key: GOOD[key] for key in ("i0", "i2")}, "nothing for 1 of 3 images, the first 1.png"),
        ({**GOOD, "ghost": one()}, "an image that it was not asked for, 'ghost'"),
        ({**GOOD, "i1": {"boxes": []}}, "returned a dict for 1.png, not Boxes"),
        ({**GOOD, "i1": Boxes.build([(1, 1, 5, 5)], ["disc"])}, "without scores for 1.png"),
        ({**GOOD, "i1": one((1, 1, 45, 5))}, "beyond the edge of 1.png .40x30 pixels"),
        ({**GOOD, "i1": one((-9, 1, 5, 5))}, "beyond the edge of 1.png"),
        ({**GOOD, "i2": one(score=0.09)}, "less than the floor of 0.1 for 2.png"),
        ({**GOOD, "i2": TWO}, "not sorted by score, the highest first, for 2.png"),
        ({**GOOD, "i2": one(label="cat")}, "the class 'cat', which is not among those"),
        ({**GOOD, "i2": one(box_id="a\nb")}, r"the id 'a\\nb' holds a line break"),
        ({**GOOD, "i2": one(box_id="later:b00:1")}, "the id 'later:b00:1', where p0"),
    ],
)
def test_what_is_not_is_told_with_the_name_of_the_detector(found, said):
    own = Own()
    own.propose = lambda images, **_: found
    with pytest.raises(DetectorError, match=f"^the detector own .*propose.. .*{said}"):
        promises.propose(own, REFS, score_floor=0.1, batch_size=2)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (None, "returned None, not a TrainingLog"),
        ({"steps": 1}, "returned a dict, not a TrainingLog"),
        (replace(LOG, losses=({"step": 1, "time": 0, "total": float("nan")},)), "whose losses"),
        (replace(LOG, losses=({"step": 1, "time": 0, "a": np.float32(1)},)), "whose losses"),
        (replace(LOG, losses=({"step": 1, "time": 0, "a": 10**400},)), "whose losses"),
        (replace(LOG, losses=({"step": 1, "time": 0, "a": float("-inf")},)), "whose losses"),
        (replace(LOG, steps=10**400), "whose steps cannot be"),
        (replace(LOG, steps=1.5), "whose steps cannot be 1.5"),
        (replace(LOG, seconds=float("inf")), "whose seconds cannot be inf"),
        (replace(LOG, zoom=0.5), "whose zoom cannot be 0.5"),
        (replace(LOG, device="a\nb"), "whose device"),
    ],
)
def test_a_training_returns_a_log_that_can_be_written(log, said, register, tmp_path):
    refs, truth = drawn(tmp_path, 1)
    register(Own(log=log))
    with pytest.raises(DetectorError, match=rf"^the detector own .*train\(\) .*{said}"):
        detectors.train(train_params("own"), labeled(truth), refs)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, r"create\(\) returned None, which is no detector: it has no propose\(\)"),
        (
            Own(classes=("x",)),
            r"create\(\) returned a detector with the classes x, not square, disc",
        ),
    ],
)
def test_a_factory_makes_a_detector_for_the_classes(made, said, register):
    register(Own(made=made))
    with pytest.raises(DetectorError, match=said):
        detectors.create(train_params("own"), CLASSES)


def test_so_it_does_of_a_checkpoint(register, tmp_path):
    path = tmp_path / "own.pt"
    write_detector(path, DetectorCheckpoint("own", CLASSES, (0, 0), "", "none", 1))
    register(Own(made=None))
    with pytest.raises(DetectorError, match=r"restore\(\) returned None, which is no detector"):
        detectors.load(path)
    register(3)
    with pytest.raises(DetectorError, match=r"own is an int and no factory .* no restore\(\)"):
        detectors.load(path)
    # Told before anybody labels the first batch.
    with pytest.raises(DetectorError, match=r"own is an int and no factory .* no create\(\)"):
        detectors.train(train_params("own"), labeled({}), ())


def test_a_detector_that_saves_nothing_is_not_taken_for_the_one_before(tmp_path):
    path = tmp_path / "b01.pt"
    for before in (False, True):
        if before:
            path.write_bytes(b"the detector before")
        with pytest.raises(DetectorError, match=rf"save\(\) wrote nothing to {path}"):
            promises.save(Own(), path, labeled_digest="")


@pytest.mark.parametrize(
    ("options", "state", "said"),
    [
        ({"scale": np.float32(2)}, {}, "it holds something other than tensors and plain values"),
        ({"scale": [2.0]}, {}, "at options: must hold plain values by name"),
        ({}, {"layer": torch.tensor([1.0, torch.nan])}, "at state_dict, 'layer': must be finite"),
    ],
)
def test_a_detector_saves_what_can_be_loaded(tmp_path, options, state, said):
    path = tmp_path / "b01.pt"
    own = Own()
    content = DetectorCheckpoint("own", CLASSES, (0, 0), "", "none", 1, options, state)
    own.save = lambda to, labeled_digest: write_detector(to, content)
    with pytest.raises(
        DetectorError, match=rf"^the detector own .* save\(\) .*{said}.*put its code"
    ):
        promises.save(own, path, labeled_digest="")
    assert not path.exists()
    own.save = lambda to, labeled_digest: to.write_bytes(b"my own format")
    with pytest.raises(DetectorError, match=r"save\(\) wrote what cannot be loaded"):
        promises.save(own, path, labeled_digest="")
    sound = DetectorCheckpoint("own", CLASSES, (0, 0), "", "none", 1, {"scale": 2.0})
    own.save = lambda to, labeled_digest: write_detector(to, sound)
    promises.save(own, path, labeled_digest="")
    assert path.exists()


def test_all_who_ask_go_through_it(register, tmp_path):
    refs, truth = drawn(tmp_path, 9)
    less = {ref.id: one((1, 2, 9, 9)) for ref in refs[1:]}
    register(Own(found=less))
    with pytest.raises(DetectorError, match="its propose"):
        held_out.propose_for_held_out(train_params("own", held_out=0.33), labeled(truth), refs)
    with pytest.raises(DetectorError, match="nothing for 1 of 9 images, the first .*image0.png"):
        held_out.propose_together(Own(found=less), refs, score_floor=0.1, batch_size=2)
    with pytest.raises(DetectorError, match="nothing for 1 of 9 images, the first .*image0.png"):
        propose_in_memory(Own(found=less), refs)


def test_a_large_batch_costs_little():
    refs = [ImageRef(f"i{n}", f"{n}.png", 640, 480, "0" * 64) for n in range(2000)]
    corners = np.tile([1.0, 2.0, 600.0, 400.0], (100, 1))
    many = Boxes.build(corners, ["disc"] * 100, np.linspace(0.9, 0.1, 100), prefix="p")
    own = Own({ref.id: many for ref in refs})
    begin = time.process_time()
    promises.propose(own, refs, score_floor=0.1, batch_size=16)
    assert time.process_time() - begin < 1  # 200,000 boxes took 0.05 s
