"""Where initial weights come from, with files made on the spot: nothing is downloaded."""

import pickle
import urllib.request
from pathlib import Path

import pytest
import torch
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2, mobilenet_v3_large, resnet18
from torchvision.models.detection import (
    SSDLite320_MobileNet_V3_Large_Weights,
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_resnet50_fpn,
    fasterrcnn_resnet50_fpn_v2,
    fcos_resnet50_fpn,
    retinanet_resnet50_fpn_v2,
    ssd300_vgg16,
    ssdlite320_mobilenet_v3_large,
)

from boxloop.errors import WeightsError
from boxloop.models import detectors, weights
from builders_detectors import CLASSES, drawn, labeled, train_params

SSDLITE = "ssdlite320_mobilenet_v3_large"
SSD = "ssd300_mobilenet_v2"
MOBILE_RCNN = "fasterrcnn_mobilenet_v3_large_320_fpn"
RESNET_RCNN = "fasterrcnn_resnet50_fpn"


@pytest.fixture(scope="module")
def coco():
    """A detector of 91 classes as torchvision builds it, with random weights."""
    torch.manual_seed(1)
    return ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=91)


def saved(content, path):
    torch.save(content, path)
    return str(path)


def state(detector):
    return detector.model.state_dict()


def create(name, source, **changes):
    return detectors.create(train_params(name, weights=str(source), **changes), CLASSES)


def test_a_detection_file_gives_everything_but_the_class_heads(coco, tmp_path):
    path = saved(coco.state_dict(), tmp_path / "coco.pth")
    detector = create(SSDLITE, path)
    own = state(detector)
    replaced = [n for n, t in coco.state_dict().items() if not torch.equal(own[n].cpu(), t)]
    assert replaced
    assert all(n.startswith("head.classification_head") for n in replaced)
    total = len([n for n in own if not n.endswith("num_batches_tracked")])
    assert f"({total - 12} of {total} tensors of the detector)" in detector.initial_weights
    assert path in detector.initial_weights


def test_the_fitted_detector_trains(coco, tmp_path):
    path = saved({"model": coco.state_dict(), "epoch": 3}, tmp_path / "coco.pth")
    refs, truth = drawn(tmp_path / "images")
    _, log = detectors.train(train_params(SSDLITE, weights=path), labeled(truth), refs)
    assert "of the detector" in log.initial_weights


@pytest.mark.parametrize(
    ("reference", "side", "frozen"),
    [
        (ssdlite320_mobilenet_v3_large, (320, 320), False),
        (ssd300_vgg16, (300, 300), False),
        (fasterrcnn_mobilenet_v3_large_320_fpn, (320, 640), True),
        pytest.param(fasterrcnn_resnet50_fpn, (320, 640), True, marks=pytest.mark.slow),
        pytest.param(fasterrcnn_resnet50_fpn_v2, (160, 320), False, marks=pytest.mark.slow),
        (fcos_resnet50_fpn, (160, 320), True),
        (retinanet_resnet50_fpn_v2, (160, 320), False),
    ],
)
def test_the_architecture_is_torchvisions(reference, side, frozen, tmp_path):
    """Same tensors, and with the same tensors the same detections."""
    name = reference.__name__
    torch.manual_seed(0)
    theirs = reference(weights=None, weights_backbone=None, num_classes=len(CLASSES) + 1).eval()
    if reference in (fcos_resnet50_fpn, retinanet_resnet50_fpn_v2):  # they would answer nothing
        logits = theirs.head.classification_head.cls_logits
        torch.nn.init.normal_(logits.weight, std=0.05)
        logits.bias.data = torch.tensor([-100.0, 0.0, 0.1]).repeat(len(logits.bias) // 3)
    ours = create(name, saved(theirs.state_dict(), tmp_path / "w.pth"), input_size=side)
    assert ours.options.get("frozen_norm", False) == frozen
    counted = {k for k in theirs.state_dict() if not k.endswith("num_batches_tracked")}
    assert {k for k in state(ours) if not k.endswith("num_batches_tracked")} == counted
    if not name.startswith("ssd"):
        theirs.transform.min_size, theirs.transform.max_size = (side[0],), side[1]
    pixels = torch.randint(
        0, 256, (3, side[0], side[0]), generator=torch.Generator().manual_seed(2)
    ).byte()
    with torch.inference_mode():
        expected = theirs([pixels / 255])[0]
        found = ours.model([pixels])[0]
    assert len(found["scores"]) == len(expected["scores"]) > 0
    top = slice(0, 20)
    torch.testing.assert_close(found["scores"][top], expected["scores"][top], rtol=1e-3, atol=1e-4)
    if not frozen:  # equal scores come in any order where the norms are frozen at nothing
        torch.testing.assert_close(found["boxes"][:5], expected["boxes"][:5], rtol=1e-3, atol=0.1)


@pytest.mark.parametrize(
    ("name", "network"),
    [(SSDLITE, mobilenet_v3_large), (MOBILE_RCNN, mobilenet_v3_large), (SSD, mobilenet_v2)],
)
def test_a_classification_file_gives_the_backbone(name, network, tmp_path):
    torch.manual_seed(2)
    source = network(weights=None)
    detector = create(name, saved(source.state_dict(), tmp_path / "imagenet.pth"))
    first = source.state_dict()["features.0.0.weight"]
    assert any(t.shape == first.shape and torch.equal(t, first) for t in state(detector).values())
    total = len([n for n in source.state_dict() if not n.endswith("num_batches_tracked")])
    assert f"{total} of {total} tensors of the backbone" in detector.initial_weights


def test_pretrained_two_stage_detectors_keep_their_first_layers(tmp_path):
    source = mobilenet_v3_large(weights=None)
    pretrained = create(MOBILE_RCNN, saved(source.state_dict(), tmp_path / "w.pth"))
    fresh = create(MOBILE_RCNN, "none")
    frozen = {n for n, p in pretrained.model.named_parameters() if not p.requires_grad}
    assert {n.split(".")[2] for n in frozen} == {"0", "1", "2", "3", "4", "5", "6"}
    assert all(p.requires_grad for p in fresh.model.parameters())
    fresh_norms = [m for m in fresh.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    norms = [m for m in pretrained.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert fresh_norms
    assert not norms


def test_a_checkpoint_of_ones_own_is_a_weights_file(tmp_path):
    first = create(SSDLITE, "none", seed=4)
    first.save(tmp_path / "own.pt", labeled_digest="x")
    second = create(SSDLITE, tmp_path / "own.pt")
    assert all(torch.equal(t, state(second)[n]) for n, t in state(first).items())
    with pytest.raises(WeightsError, match=rf"own\.pt is a {SSDLITE}, not a {SSD}"):
        create(SSD, tmp_path / "own.pt")


def test_a_detector_that_was_trained_on_nothing_is_called_that(tmp_path):
    empty, _ = detectors.train(train_params(SSDLITE), labeled({}), ())
    empty.save(tmp_path / "b00.pt", labeled_digest="x")
    sentence = r"b00\.pt is a detector that was trained on nothing: name that of a later batch"
    for name in (SSDLITE, "transformers"):
        with pytest.raises(WeightsError, match=sentence):
            create(name, tmp_path / "b00.pt")


# --- torchvision's weights by name ---


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of torch's, and a network without a way out."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    # The process keeps the proxies of its first request, which may be one of another test's.
    monkeypatch.setattr(urllib.request, "_opener", None)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def file_name(member):
    return member.url.rsplit("/", 1)[-1]


def test_coco_weights_are_taken_from_torchs_cache(hub, coco):
    member = SSDLite320_MobileNet_V3_Large_Weights.COCO_V1
    saved(coco.state_dict(), hub / file_name(member))
    detector = create(SSDLITE, "COCO_V1")
    assert detector.initial_weights.startswith("COCO_V1 (")
    name = "head.regression_head.module_list.0.1.weight"
    assert torch.equal(state(detector)[name], coco.state_dict()[name])


@pytest.mark.parametrize("member", list(MobileNet_V2_Weights), ids=lambda m: m.name)
def test_imagenet_weights_are_taken_from_torchs_cache(hub, member):
    source = mobilenet_v2(weights=None)
    saved(source.state_dict(), hub / file_name(member))
    detector = create(SSD, member.name)
    assert detector.initial_weights.startswith(f"{member.name} (")
    assert torch.equal(
        state(detector)["backbone.features.0.0.0.weight"], source.features[0][0].weight
    )


def test_a_failed_download_names_the_ways_out(hub, capsys):
    with pytest.raises(WeightsError) as error:
        create(SSDLITE, "COCO_V1")
    message = str(error.value)
    member = SSDLite320_MobileNet_V3_Large_Weights.COCO_V1
    for part in ("COCO_V1", file_name(member), str(hub), "local file", "weights: none"):
        assert part in message
    assert "\n" not in message
    assert capsys.readouterr().out == ""
    assert list(hub.iterdir()) == []


def test_default_is_the_best_that_there_is(hub, coco):
    member = SSDLite320_MobileNet_V3_Large_Weights.DEFAULT
    saved(coco.state_dict(), hub / file_name(member))
    assert "of the detector" in create(SSDLITE, "DEFAULT").initial_weights
    saved(mobilenet_v2(weights=None).state_dict(), hub / file_name(MobileNet_V2_Weights.DEFAULT))
    assert "of the backbone" in create(SSD, "DEFAULT").initial_weights


def test_weights_of_vgg_that_expect_other_pixels_are_not_offered():
    with pytest.raises(WeightsError, match="known: none, COCO_V1, DEFAULT, IMAGENET1K_FEATURES$"):
        create("ssd300_vgg16", "IMAGENET1K_V1")


def test_there_are_no_coco_weights_for_the_ssd_of_the_paper(hub):
    with pytest.raises(WeightsError, match="no detection weights.*DEFAULT, IMAGENET1K_V1"):
        create(SSD, "COCO_V1")


def test_unknown_names_and_missing_files():
    with pytest.raises(WeightsError, match=r"neither a file nor weights.*none, COCO_V1"):
        create(SSDLITE, "COCO_V7")
    with pytest.raises(WeightsError, match=r"nowhere/x\.pth"):
        create(SSDLITE, "nowhere/x.pth")


# --- files that cannot be used ---


def test_nothing_fits(tmp_path):
    path = saved(resnet18(weights=None).state_dict(), tmp_path / "resnet.pth")
    with pytest.raises(WeightsError, match=r"none of the \d+ tensors of .*resnet\.pth"):
        create(SSDLITE, path)


@pytest.mark.parametrize("source", ["detector", "backbone"])
def test_a_file_of_another_network_is_refused_though_some_of_it_fits(source, coco, tmp_path):
    whole = coco if source == "detector" else mobilenet_v3_large(weights=None)
    tensors = {n: t for n, t in whole.state_dict().items() if not n.endswith("_tracked")}
    half = (len(tensors) + 1) // 2
    path = saved(dict(list(tensors.items())[:half]), tmp_path / "half.pth")
    assert f"({half} of {len(tensors)} tensors" in create(SSDLITE, path).initial_weights
    path = saved(dict(list(tensors.items())[: half - 1]), tmp_path / "less.pth")
    few = rf"less.pth has only {half - 1} of the {len(tensors)} tensors of the model \(not '"
    with pytest.raises(WeightsError, match=few):
        create(SSDLITE, path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_none_are_found_in_the_file_not_in_the_training(tmp_path, value):
    broken = mobilenet_v3_large(weights=None).state_dict()
    broken["features.2.block.0.0.weight"][0] = value
    broken["foreign.weight"] = torch.tensor([value])
    path = saved(broken, tmp_path / "w.pth")
    sentence = r"w\.pth .* tensor 'features.2.block.0.0.weight' .* not finite"
    with pytest.raises(WeightsError, match=sentence):
        create(SSDLITE, path)
    del broken["features.2.block.0.0.weight"]
    broken["features.2.block.0.0.weight"] = torch.zeros_like(
        mobilenet_v3_large(weights=None).state_dict()["features.2.block.0.0.weight"]
    )
    create(SSDLITE, saved(broken, tmp_path / "w.pth"))  # what fits nothing, harms nothing


@pytest.mark.parametrize(
    "content", [b"", b"text", b"PK\x03\x04" + bytes(40)], ids=["empty", "text", "zip"]
)
def test_damaged_files(tmp_path, content):
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.pth cannot be used") as error:
        create(SSDLITE, path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"model": {}}, 7])
def test_files_without_tensors(tmp_path, content):
    with pytest.raises(WeightsError, match="no state dict"):
        create(SSDLITE, saved(content, tmp_path / "w.pth"))


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (self.marker, "w"))


def test_weights_files_are_not_executed(tmp_path):
    path, marker = tmp_path / "evil.pth", tmp_path / "executed"
    path.write_bytes(pickle.dumps({"x": Attack(str(marker))}, protocol=2))
    with pytest.raises(WeightsError, match=r"evil\.pth cannot be used"):
        create(SSDLITE, path)
    assert not marker.exists()


def test_the_cache_is_torchs(hub):
    assert weights.cached_file("scheme://host/models/a-12345678.pth") == Path(
        hub / "a-12345678.pth"
    )
