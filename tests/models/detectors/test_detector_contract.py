"""What every detector must do; one that is added to the registry is held to it, too."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from boxloop.campaign import artifacts
from boxloop.core.boxes import iou_matrix
from boxloop.core.types import Boxes, LabeledSet
from boxloop.errors import ArtifactError, BoxloopError, DivergedError, ParamsError, WeightsError
from boxloop.models import detectors, devices
from boxloop.models.tensor_files import is_safetensors, read_tensors
from boxloop.params.registry import DETECTORS
from builders_detectors import CLASSES, drawn, drawn_small, labeled, train_params

HEAVY = {
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_resnet50_fpn",
    "ssd300_vgg16",
    "fcos_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "fasterrcnn_resnet50_fpn_v2",
}
ALL = [
    pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name
    for name in detectors.names()
]
LEARNING = [name for name in ALL if name != "empty"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def trained(scenes):
    """Trains each detector once for all tests of this file that only look at it."""
    refs, truth = scenes
    known = {}

    def train(name):
        if name not in known:
            known[name] = detectors.train(train_params(name), labeled(truth), refs)
        return known[name]

    return train


def propose(detector, refs, floor=0.05, batch_size=3):
    return detector.propose(refs, score_floor=floor, batch_size=batch_size)


def matched(truth, found):
    """Count the boxes that one of the same class was found for, at IoU 0.5."""
    right = 0
    for image_id, boxes in truth.items():
        overlaps = iou_matrix(boxes.xyxy, found[image_id].xyxy)
        same = boxes.labels[:, None] == found[image_id].labels[None, :]
        right += int(((overlaps >= 0.5) & same).any(axis=1).sum())
    return right


@pytest.mark.parametrize("name", ALL)
def test_names_itself_and_its_classes(trained, name):
    detector, _ = trained(name)
    assert detector.name == name
    assert detector.classes == CLASSES


@pytest.mark.parametrize("name", LEARNING)
def test_tells_how_the_training_went(trained, name):
    _, log = trained(name)
    assert (log.steps, log.images, log.boxes, log.batch_size) == (2, 4, 8, 2)
    assert log.epochs == pytest.approx(1.0)
    assert [row["step"] for row in log.losses] == [1, 2]
    for row in log.losses:
        parts = [v for k, v in row.items() if k not in ("step", "total", "learning_rate", "time")]
        assert len(parts) >= 2
        assert row["total"] == pytest.approx(sum(parts), rel=1e-3, abs=1e-5)
        assert np.isfinite(list(row.values())).all()
    assert log.seconds > 0
    assert log.images_per_second == pytest.approx(4 / log.seconds)
    assert 0 <= log.wait_fraction < 1
    assert log.parameters > (100_000 if name == "transformers" else 1_000_000)
    assert log.device == "cpu"
    assert log.initial_weights.startswith(train_params(name).weights)


@pytest.mark.parametrize("name", ALL)
def test_a_log_survives_json(trained, name, tmp_path):
    _, log = trained(name)
    artifacts.write_training(tmp_path / "log.json", log)
    assert artifacts.read_training(tmp_path / "log.json") == log


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("floor", [0.02, 0.2])
def test_proposals_are_what_they_promise(scenes, trained, name, floor):
    refs, _ = scenes
    detector, _ = trained(name)
    told = []
    found = detector.propose(
        refs, score_floor=floor, batch_size=3, progress=lambda done, total: told.append(done)
    )
    assert list(found) == [ref.id for ref in refs]
    for ref in refs:
        boxes = found[ref.id]
        assert isinstance(boxes, Boxes)
        assert boxes.scores is not None
        assert boxes.ids.tolist() == [f"p{i}" for i in range(len(boxes))]
        assert set(boxes.labels.tolist()) <= set(CLASSES)
        assert (boxes.scores >= floor).all()
        assert (np.diff(boxes.scores) <= 0).all()
        assert (boxes.xyxy >= 0).all()
        assert (boxes.xyxy[:, [0, 2]] <= ref.width).all()
        assert (boxes.xyxy[:, [1, 3]] <= ref.height).all()
        np.testing.assert_array_equal(boxes.xyxy, np.round(boxes.xyxy, 2))
        np.testing.assert_array_equal(boxes.scores, np.round(boxes.scores, 5))
    assert name == "empty" or told == [3, 4]


@pytest.mark.parametrize("name", ALL)
def test_proposals_do_not_depend_on_the_company(scenes, trained, name):
    refs, _ = scenes
    detector, _ = trained(name)
    together, alone = propose(detector, refs), propose(detector, refs, batch_size=1)
    for image_id, boxes in together.items():
        # The last digits of a convolution differ between batch sizes.
        assert abs(len(boxes) - len(alone[image_id])) <= 2
        n = min(5, len(boxes), len(alone[image_id]))
        np.testing.assert_allclose(boxes.scores[:n], alone[image_id].scores[:n], atol=2e-3)


@pytest.mark.parametrize("name", ALL)
def test_no_images_no_proposals(trained, name):
    assert propose(trained(name)[0], ()) == {}


@pytest.mark.parametrize("name", ALL)
def test_a_saved_detector_is_the_same_detector(scenes, trained, name, tmp_path):
    refs, _ = scenes
    detector, _ = trained(name)
    detector.save(tmp_path / "one.pt", labeled_digest="ab" * 32)
    again = detectors.load(tmp_path / "one.pt", "cpu")
    assert (again.name, again.classes) == (detector.name, detector.classes)
    assert propose(again, refs) == propose(detector, refs)


@pytest.mark.parametrize("name", ["empty", "ssdlite320_mobilenet_v3_large", "transformers"])
def test_a_text_is_a_place_to_save_to(trained, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    detector, _ = trained(name)
    detector.save("one.pt", labeled_digest="ab" * 32)
    assert detectors.load(tmp_path / "one.pt", "cpu").classes == detector.classes


@pytest.mark.parametrize("name", ALL)
def test_equal_checkpoints_have_equal_bytes(trained, name, tmp_path):
    detector, _ = trained(name)
    detector.save(tmp_path / "one.pt", labeled_digest="ab" * 32)
    detector.save(tmp_path / "another_name.pt", labeled_digest="ab" * 32)
    detectors.load(tmp_path / "one.pt", "cpu").save(
        tmp_path / "reloaded.pt", labeled_digest="ab" * 32
    )
    first = (tmp_path / "one.pt").read_bytes()
    assert first == (tmp_path / "another_name.pt").read_bytes()
    assert first == (tmp_path / "reloaded.pt").read_bytes()


@pytest.mark.parametrize("name", ALL)
def test_a_checkpoint_holds_plain_data_only(trained, name, tmp_path):
    detector, _ = trained(name)
    detector.save(tmp_path / "d.pt", labeled_digest="ab" * 32)
    if name == "empty":  # a line of JSON
        content = json.loads((tmp_path / "d.pt").read_text())
        assert content == {
            "architecture": name,
            "classes": list(CLASSES),
            "labeled_digest": "ab" * 32,
        }
        return
    content = read_tensors(tmp_path / "d.pt")
    assert is_safetensors(tmp_path / "d.pt") == (name == "transformers")
    assert content["architecture"] == name
    assert content["classes"] == list(CLASSES)
    assert content["labeled_digest"] == "ab" * 32
    assert content["steps"] == 2


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_bytes(scenes, trained, name, tmp_path):
    refs, truth = scenes
    trained(name)[0].save(tmp_path / "first.pt", labeled_digest="x")
    torch.manual_seed(99)  # what ran before must not matter
    again, _ = detectors.train(train_params(name), labeled(truth), refs)
    again.save(tmp_path / "again.pt", labeled_digest="x")
    assert (tmp_path / "first.pt").read_bytes() == (tmp_path / "again.pt").read_bytes()


def test_another_seed_gives_other_weights(scenes, trained, tmp_path):
    refs, truth = scenes
    name = "ssdlite320_mobilenet_v3_large"
    other, _ = detectors.train(train_params(name, seed=1), labeled(truth), refs)
    one, two = trained(name)[0].model.state_dict(), other.model.state_dict()
    assert not torch.equal(one["backbone.extra.0.0.0.weight"], two["backbone.extra.0.0.0.weight"])


def test_training_leaves_the_global_random_state_alone(scenes):
    refs, truth = scenes
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    detectors.train(train_params("ssdlite320_mobilenet_v3_large"), labeled(truth), refs)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("name", LEARNING)
def test_warm_start_goes_on_from_the_previous_detector(scenes, trained, name, tmp_path):
    refs, truth = scenes
    detector, _ = trained(name)
    detector.save(tmp_path / "b00.pt", labeled_digest="x")
    warm = train_params(name, warm_start=True, steps=1)
    started = detectors.create(warm, CLASSES, tmp_path / "b00.pt")
    assert propose(started, refs) == propose(detector, refs)
    log = started.train(labeled(truth), refs, warm)
    assert "b00.pt" in log.initial_weights
    started.save(tmp_path / "b01.pt", labeled_digest="x")
    assert read_tensors(tmp_path / "b01.pt")["steps"] == 3


def test_without_warm_start_the_previous_detector_is_ignored(tmp_path):
    params = train_params("ssdlite320_mobilenet_v3_large", warm_start=False)
    detector = detectors.create(params, CLASSES, tmp_path / "missing.pt")
    assert detector.name == params.detector


def test_warm_start_from_the_empty_detector_begins_with_the_weights(tmp_path):
    from boxloop.models.detectors.empty import EmptyDetector

    EmptyDetector(CLASSES).save(tmp_path / "empty.pt", labeled_digest="x")
    params = train_params("ssdlite320_mobilenet_v3_large", warm_start=True)
    detector = detectors.create(params, CLASSES, tmp_path / "empty.pt")
    assert detector.initial_weights == "none"


def test_warm_start_refuses_another_architecture_and_other_classes(trained, tmp_path):
    trained("ssdlite320_mobilenet_v3_large")[0].save(tmp_path / "b.pt", labeled_digest="x")
    with pytest.raises(ParamsError, match=r"b\.pt.*warm_start"):
        detectors.create(
            train_params("ssd300_mobilenet_v2", warm_start=True), CLASSES, tmp_path / "b.pt"
        )
    same = train_params("ssdlite320_mobilenet_v3_large", warm_start=True)
    with pytest.raises(ArtifactError, match=r"square, disc.*square, blob"):
        detectors.create(same, ("square", "blob"), tmp_path / "b.pt")


OF_ANY_SIZE = [
    "fcos_efficientnet_lite0",
    pytest.param("fasterrcnn_mobilenet_v3_large_320_fpn", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", OF_ANY_SIZE)
def test_a_zoomed_detector_is_kept_and_goes_on(scenes, name, tmp_path):
    refs, truth = scenes
    params = train_params(name, zoom=2.0)
    detector, log = detectors.train(params, labeled(truth), refs)
    assert log.zoom == 2.0
    artifacts.write_training(tmp_path / "log.json", log)
    assert artifacts.read_training(tmp_path / "log.json") == log
    detector.save(tmp_path / "b00.pt", labeled_digest="x")
    assert read_tensors(tmp_path / "b00.pt")["input_size"] == [128, 128]  # of what it proposes for
    again = detectors.load(tmp_path / "b00.pt", "cpu")
    assert propose(again, refs) == propose(detector, refs)
    again.save(tmp_path / "again.pt", labeled_digest="x")
    assert (tmp_path / "again.pt").read_bytes() == (tmp_path / "b00.pt").read_bytes()
    warm = train_params(name, warm_start=True, steps=1)
    started = detectors.create(warm, CLASSES, tmp_path / "b00.pt")
    assert propose(started, refs) == propose(detector, refs)
    assert started.train(labeled(truth), refs, warm).zoom == 1.0  # which params say now
    started.save(tmp_path / "b01.pt", labeled_digest="x")
    content = read_tensors(tmp_path / "b01.pt")
    assert content["input_size"] == [64, 64]
    assert "zoom" not in content["options"]


def test_large_images_are_proposed_for_a_few_at_a_time(scenes):
    refs, truth = scenes
    detector, _ = detectors.train(
        train_params("fcos_efficientnet_lite0", zoom=2.0), labeled(truth), refs
    )
    told = []
    detector.propose(
        refs, score_floor=0.5, batch_size=8, progress=lambda done, total: told.append(done)
    )
    assert told == [2, 4]  # 8 whole ones have as many pixels


def test_batches_of_large_images_are_the_same_in_every_share(tmp_path):
    """A network's last bits depend on a batch; shares of processes begin at multiples of 8."""
    refs, truth = drawn(tmp_path, 16)
    detector, _ = detectors.train(
        train_params("fcos_efficientnet_lite0", zoom=1.5, steps=1), labeled(truth), refs
    )

    def ends(share):
        told = []
        detector.propose(
            share, score_floor=0.5, batch_size=8, progress=lambda done, total: told.append(done)
        )
        return told

    assert ends(refs) == [*ends(refs[:8]), *(8 + done for done in ends(refs[8:]))]


def test_finds_small_objects_where_images_are_enlarged(tmp_path):
    refs, truth = drawn_small(tmp_path)
    found = {}
    for zoom in (1.0, 4.0):
        params = train_params(
            "fcos_efficientnet_lite0",
            weights="in1k",
            input_size=(96, 96),
            zoom=zoom,
            steps=40,
            batch_size=8,
            learning_rate=2e-3,
        )
        detector, log = detectors.train(params, labeled(truth), refs)
        found[zoom] = matched(truth, propose(detector, refs, floor=0.2))
    assert log.zoom == 4.0
    assert found[4.0] >= 26  # of 32
    assert found[1.0] < 10


@pytest.mark.parametrize("name", [p for p in LEARNING if p != "transformers"])
def test_offers_more_boxes_where_images_are_crowded(tmp_path, name):
    """A shelf holds hundreds of objects; torchvision's models stop at 100 to 300 boxes."""
    refs, truth = drawn(tmp_path, 2, (320, 320))
    corners = [(20 * column, 20 * row) for row in range(16) for column in range(16)]
    rows = [(x, y, x + 18, y + 18) for x, y in corners]
    crowded = {"image0": Boxes.build(rows, ["disc"] * 256), "image1": truth["image1"]}
    params = train_params(name, steps=1, input_size=(256, 256), learning_rate=1e-6)
    few, many = (detectors.train(params, labeled(known), refs)[0] for known in (truth, crowded))
    # Hardly trained, they offer as much as they may.
    usual = len(propose(few, refs, floor=0.0)["image0"])
    assert 100 <= usual <= 300
    offered = len(propose(many, refs, floor=0.0)["image0"])
    assert usual < offered <= 512
    many.save(tmp_path / "many.pt", labeled_digest="x")
    again = detectors.load(tmp_path / "many.pt", "cpu")
    assert propose(again, refs) == propose(many, refs)
    few.save(tmp_path / "few.pt", labeled_digest="x")
    assert "crowd" not in read_tensors(tmp_path / "few.pt")["options"]


@pytest.mark.slow
def test_a_first_stage_keeps_enough_regions_of_a_crowd(tmp_path):
    """Of 150 regions, which this detector usually looks at, no more objects can be found."""
    refs, truth = drawn(tmp_path, 2, (320, 320))
    rows = [(20 * (n % 16), 20 * (n // 16)) for n in range(256)]
    crowd = Boxes.build([(x, y, x + 18, y + 18) for x, y in rows], ["disc"] * 256)
    params = train_params("fasterrcnn_mobilenet_v3_large_320_fpn", steps=1, input_size=(256, 256))
    detector, _ = detectors.train(params, labeled(truth | {"image0": crowd}), refs)
    detector.model.roi_heads.nms_thresh = 1.0  # each region is offered, whatever it overlaps
    found = propose(detector, refs, floor=0.0)["image0"]
    assert (found.labels == "disc").sum() > 200


@pytest.mark.parametrize("name", ["ssd300_mobilenet_v2", "transformers"])
def test_a_detector_of_one_size_does_not_zoom(scenes, name):
    refs, truth = scenes
    _, log = detectors.train(train_params(name, zoom="fitted"), labeled(truth), refs)
    assert log.zoom == 1.0
    with pytest.raises(ParamsError, match=rf"train\.zoom: {name} takes images of one size only"):
        detectors.train(train_params(name, zoom=2.0), labeled(truth), refs)


@pytest.mark.parametrize("name", ALL)
def test_images_without_any_box_are_background(tmp_path, name):
    refs, truth = drawn(tmp_path, 3, without_boxes=True)
    detector, log = detectors.train(train_params(name, steps=1), labeled(truth), refs)
    assert all(np.isfinite(row["total"]) for row in log.losses)
    assert set(propose(detector, refs)) == set(truth)


@pytest.mark.parametrize("name", ALL)
def test_one_image_is_enough(tmp_path, name):
    refs, truth = drawn(tmp_path, 1)
    detector, _ = detectors.train(train_params(name, steps=1, batch_size=1), labeled(truth), refs)
    assert set(propose(detector, refs)) == {"image0"}


@pytest.mark.parametrize("name", LEARNING)
def test_images_of_different_shapes_go_together(tmp_path, name):
    wide, wide_truth = drawn(tmp_path / "wide", 1, (120, 60))
    tall, tall_truth = drawn(tmp_path / "tall", 2, (50, 90))
    refs, truth = (*wide, tall[1]), {"image0": wide_truth["image0"], "image1": tall_truth["image1"]}
    params = train_params(name, input_size=(48, 80), batch_size=2, steps=1)
    detector, log = detectors.train(params, labeled(truth), refs)
    assert log.images == 2
    together = propose(detector, refs, 0.01)
    assert list(together) == ["image0", "image1"]
    for ref in refs:  # nor does the shape of the other change what is found in an image
        alone = propose(detector, [ref], 0.01)[ref.id]
        assert together[ref.id].labels.tolist() == alone.labels.tolist()
        np.testing.assert_allclose(together[ref.id].scores, alone.scores, atol=1e-4)
        np.testing.assert_allclose(together[ref.id].xyxy, alone.xyxy, atol=0.02)


def test_nothing_labeled_gives_the_empty_detector():
    none = LabeledSet(CLASSES, (), {})
    detector, log = detectors.train(train_params("ssd300_mobilenet_v2"), none, ())
    assert detector.name == "empty"
    assert (log.steps, log.images) == (0, 0)


def test_nothing_labeled_still_tells_a_misspelled_detector():
    known = train_params("ssd300_mobilenet_v2")
    misspelled = known.model_copy(update={"detector": "ssd300_mobilenetv2"})
    with pytest.raises(ParamsError, match="did you mean 'ssd300_mobilenet_v2'"):
        detectors.train(misspelled, LabeledSet(CLASSES, (), {}), ())


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("fcos_efficientnet_lite0", "in1k"),
        pytest.param("ssdlite320_mobilenet_v3_large", "none", marks=pytest.mark.slow),
        pytest.param("ssd300_mobilenet_v2", "none", marks=pytest.mark.slow),
    ],
)
def test_learns_what_it_is_shown(tmp_path, name, weights):
    """Ends at pixels of the image: a wrong scale, offset or label anywhere would show."""
    refs, truth = drawn(tmp_path, 8, (150, 100))
    params = train_params(
        name,
        weights=weights,
        input_size=(96, 96),
        steps=70,
        batch_size=8,
        learning_rate=2e-3,
        augment=("hflip",),
    )
    detector, log = detectors.train(params, labeled(truth), refs)
    assert log.losses[-1]["total"] < 0.5 * log.losses[0]["total"]
    assert matched(truth, propose(detector, refs, floor=0.4)) >= 13  # of 16


@pytest.mark.parametrize("name", LEARNING)
def test_a_training_that_diverges_says_so(scenes, name):
    refs, truth = scenes
    params = train_params(name, learning_rate=1e12, schedule="constant", steps=12)
    with pytest.raises(DivergedError, match=r"step \d+ of 12 \(learning rate .*lower train"):
        detectors.train(params, labeled(truth), refs)


def test_epochs_count_passes_over_the_images(scenes):
    refs, truth = scenes
    told = []
    _, log = detectors.train(
        train_params("ssdlite320_mobilenet_v3_large", epochs=3, batch_size=3),
        labeled(truth),
        refs,
        progress=lambda step, steps, loss: told.append((step, steps)),
    )
    assert log.steps == 4  # 3 passes over 4 images, 3 at a time
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_image_or_a_class_that_is_not_known(scenes):
    refs, truth = scenes
    params = train_params("ssdlite320_mobilenet_v3_large")
    with pytest.raises(ArtifactError, match="image3"):
        detectors.train(params, labeled(truth), refs[:3])
    odd = {"image0": Boxes.build([[1, 1, 9, 9]], ["blob"])}
    with pytest.raises(ArtifactError, match="'blob' in image 'image0'.*square, disc"):
        detectors.train(params, labeled(odd), refs)


def test_input_sizes_that_cannot_be():
    with pytest.raises(ParamsError, match="at least 32"):
        detectors.create(train_params("ssd300_mobilenet_v2", input_size=(16, 64)), CLASSES)
    with pytest.raises(ParamsError, match="shorter side, longer side"):
        detectors.create(
            train_params("fasterrcnn_mobilenet_v3_large_320_fpn", input_size=(128, 64)), CLASSES
        )


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_listing_detectors_loads_nothing_heavy():
    loaded = run(
        "from boxloop.models import detectors; detectors.names(); import sys; print(*sys.modules)"
    )
    assert "boxloop.models.detectors" in loaded
    assert not {"torch", "torchvision", "PIL"} & set(loaded)


def test_the_empty_detector_does_without_torchvision(tmp_path):
    code = f"""
import sys
from pathlib import Path
from boxloop.models import detectors, devices
from boxloop.params import TrainParams
from boxloop.campaign import artifacts
from boxloop.core.types import ImageRef, LabeledSet
path = Path({str(tmp_path / "empty.pt")!r})
detector, _ = detectors.train(TrainParams(steps=1), LabeledSet(("a",), (), {{}}), ())
detector.save(path, labeled_digest="x")
image = ImageRef("i", "i.png", 8, 8, "0")
found = detectors.load(path, "cpu").propose([image], score_floor=0.1, batch_size=1)
print(len(found["i"]), "torchvision" in sys.modules)
"""
    assert run(code) == ["0", "False"]


def test_misspelled_weights_are_told_before_anything_is_labeled():
    none = LabeledSet(CLASSES, (), {})
    for weights in ("COCO_V2", "in1k"):  # the latter are the default detector's
        params = train_params("ssd300_mobilenet_v2", weights=weights)
        with pytest.raises(WeightsError, match=f"'{weights}' is neither a file nor weights of ssd"):
            detectors.train(params, none, ())


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        (
            "ssd300_mobilenet_v2",
            {"zoom": 2.0},
            r"train\.zoom: ssd300_mobilenet_v2 takes images of one",
        ),
        ("ssd300_mobilenet_v2", {"input_size": (16, 16)}, "at least 32 pixels"),
        ("fcos_efficientnet_lite0", {"input_size": (16, 64)}, "at least 32 pixels"),
        ("fcos_efficientnet_lite0", {"input_size": (640, 320)}, "is .shorter side, longer side"),
        ("transformers", {"zoom": 2.0}, r"train\.zoom: transformers takes images of one"),
        ("transformers", {"input_size": (16, 16)}, "at least 32 pixels"),
        ("transformers", {"weights": "rtdetr"}, "'rtdetr' is not a network of transformers"),
        ("transformers", {"weights": "none"}, "'none' is not a network of transformers"),
    ],
)
def test_what_a_detector_cannot_take_is_told_before_anything_is_labeled(name, given, words):
    none = LabeledSet(CLASSES, (), {})
    with pytest.raises(BoxloopError, match=words):
        detectors.train(train_params(name, **given), none, ())


def test_a_detector_of_ones_own_may_look_at_its_parameters_before_anything_is_labeled():
    class Factory:
        name = "own"

        def check(self, params):
            raise ParamsError(f"train.steps: own takes 7, got {params.steps}")

    DETECTORS.register("own", Factory())
    params = train_params("own", weights="none", steps=3)
    try:
        with pytest.raises(ParamsError, match=r"own takes 7, got 3"):
            detectors.train(params, LabeledSet(CLASSES, (), {}), ())
    finally:
        DETECTORS.unregister("own")


FAMILIES = [
    "fcos_efficientnet_lite0",
    "ssd300_mobilenet_v2",
    pytest.param("fasterrcnn_mobilenet_v3_large_320_fpn", marks=pytest.mark.slow),
    pytest.param("retinanet_resnet50_fpn_v2", marks=pytest.mark.slow),
    "transformers",
]
"""One detector of each code that decodes boxes: bfloat16 takes a CPU twenty times as long."""


@pytest.mark.parametrize("name", FAMILIES)
def test_half_precision_trains_and_proposes(scenes, name, monkeypatch):
    """What a GPU computes in; a CPU can as well, only slowly.

    Without oneDNN: on processors with AMX its gradient of a bfloat16 convolution that sees a single
    pixel is now and then what lay in memory, NaN for instance (torch 2.15).
    """
    with torch.backends.mkldnn.flags(enabled=False):
        half_precision_trains_and_proposes(scenes, name, monkeypatch)


def half_precision_trains_and_proposes(scenes, name, monkeypatch):
    refs, truth = scenes
    # Hardly a step: the first thing that some learn is to propose nothing.
    params = train_params(name, learning_rate=1e-5)
    monkeypatch.setattr(devices, "precision", lambda device: torch.bfloat16)
    detector, log = detectors.train(params, labeled(truth), refs)
    assert np.isfinite([row["total"] for row in log.losses]).all()
    half = propose(detector, refs, floor=0.01)
    assert any(len(boxes) for boxes in half.values())
    monkeypatch.setattr(devices, "precision", lambda device: None)
    # The second of two stages looks at other places where the first one rounds otherwise.
    if not name.startswith("fasterrcnn"):
        for image_id, boxes in propose(detector, refs, floor=0.01).items():
            n = min(3, len(boxes), len(half[image_id]))
            np.testing.assert_allclose(half[image_id].scores[:n], boxes.scores[:n], atol=0.05)
    # Boxes lie where float32 puts them, not on the coarse grid of bfloat16.
    corners = np.concatenate([boxes.xyxy[:20] for boxes in half.values()])
    inside = corners[(corners > 1) & (corners < 79)]
    coarse = torch.tensor(inside).to(torch.bfloat16).double().numpy()
    assert (np.abs(coarse - inside) > 0.011).any()
