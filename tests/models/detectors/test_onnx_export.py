"""The ONNX file finds what torch finds, or there is none."""

import dataclasses
import warnings

import pytest
import torch

from boxloop.models import detectors
from boxloop.models.detectors import onnx_export
from boxloop.models.detectors.empty import EmptyDetector
from boxloop.models.detectors.torchvision_detector import choosing_stage
from builders import proposed
from builders_detectors import CLASSES, drawn, labeled, train_params

FOUND = proposed(("cat", 0, 0, 10, 10, 0.9), ("dog", 5, 5, 30, 10, 0.7), ("cat", 1, 1, 5, 5, 0.1))


def test_boxes_agree_within_a_tolerance_in_any_order():
    near = proposed(
        ("dog", 5.05, 5, 30, 10, 0.7005), ("cat", 0, 0, 10, 9.95, 0.9), ("cat", 1, 1, 5, 5, 0.1)
    )
    assert onnx_export.agree(FOUND, near, 0.05)
    without_the_last = FOUND.select(FOUND.scores > 0.2)
    assert onnx_export.agree(FOUND, without_the_last, 0.0995)  # which is at the floor
    assert not onnx_export.agree(FOUND, without_the_last, 0.05)


def test_of_long_lists_the_end_may_differ():
    rows = [("cat", 5 * i, 0, 5 * i + 4, 4, 0.9 - i / 1000) for i in range(101)]
    assert onnx_export.agree(proposed(*rows), proposed(*rows[:100]), 0.05)
    assert not onnx_export.agree(proposed(*rows), proposed(*rows[1:]), 0.05)


@pytest.mark.parametrize(
    "other",
    [
        proposed(("cat", 0, 0, 10, 10, 0.9), ("cat", 1, 1, 5, 5, 0.1)),
        proposed(("cat", 0, 0, 10, 10, 0.9), ("cat", 5, 5, 30, 10, 0.7), ("cat", 1, 1, 5, 5, 0.1)),
        proposed(("cat", 0, 0, 10, 10.5, 0.9), ("dog", 5, 5, 30, 10, 0.7)),
        proposed(("cat", 0, 0, 10, 10, 0.9), ("dog", 5, 5, 30, 10, 0.69)),
        proposed(),
    ],
)
def test_a_missing_box_another_class_place_or_score_is_no_agreement(other):
    assert not onnx_export.agree(FOUND, other, 0.05)
    assert not onnx_export.agree(other, FOUND, 0.05)


def test_an_architecture_without_export_is_said(tmp_path):
    reason = onnx_export.export(EmptyDetector(CLASSES), tmp_path / "m.onnx", (), score_floor=0.1)
    assert reason == "the architecture empty has no export"


@pytest.mark.parametrize("name", ["fcos_efficientnet_lite0", "ssdlite320_mobilenet_v3_large"])
def test_the_graph_that_is_traced_finds_what_the_detector_finds(tmp_path, name):
    """On an image of the traced size and, where the size is open, on another one."""
    refs, truth = drawn(tmp_path, 3, (96, 80))
    params = train_params(name, weights="in1k" if name.startswith("fcos") else "none", steps=4)
    detector, _ = detectors.train(params, labeled(truth), refs)
    model = detector.model.eval()
    choosing_stage(model).score_thresh = 0.01  # after four steps no score is high
    shapes = [(64, 80), (96, 64)] if detector.size.keep_aspect else [(64, 64)]
    images = [torch.randint(0, 256, (3, *shape)).byte() for shape in shapes]
    with onnx_export._one_image(model), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch.jit.trace(onnx_export._Graph(model), (images[0],), check_trace=False)
        found = [graph(image) for image in images]
    with torch.no_grad():
        wanted = [model([image])[0] for image in images]
    for mine, other in zip(found, wanted, strict=True):
        assert len(other["boxes"]) > 0
        for values, name in zip(mine, ("boxes", "labels", "scores"), strict=True):
            torch.testing.assert_close(values, other[name], rtol=1e-4, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fcos_efficientnet_lite0", "ssdlite320_mobilenet_v3_large"])
def test_onnxruntime_finds_what_torch_finds(tmp_path, name):
    """On images of the traced size and of others, as boxes in pixels of each image."""
    onnxruntime = pytest.importorskip("onnxruntime")
    refs, truth = drawn(tmp_path / "a", 3, (96, 80))
    tall, _ = drawn(tmp_path / "b", 1, (70, 110), seed=3)
    params = train_params(name, weights="in1k" if name.startswith("fcos") else "none", steps=4)
    detector, _ = detectors.train(params, labeled(truth), refs)
    images = [*refs, *(dataclasses.replace(image, id=f"tall-{image.id}") for image in tall)]
    path = tmp_path / "m.onnx"
    assert onnx_export.export(detector, path, images[:1], score_floor=0.05) is None
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = detector.propose(images, score_floor=0.05, batch_size=1)
    assert sum(map(len, wanted.values())) > 0
    for image in images:
        found = onnx_export.run(session, detector, image, 0.05)
        assert onnx_export.agree(wanted[image.id], found, 0.05), image.id
