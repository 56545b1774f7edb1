"""What ``boxloop detectors`` says, of detectors of the package and of others."""

import pytest
from torchvision.models.detection import SSDLite320_MobileNet_V3_Large_Weights

from boxloop.models import detectors, weights
from boxloop.models.detectors.base import Description
from boxloop.models.detectors.listing import listing
from boxloop.params.registry import DETECTORS
from builders_detectors import train_params


class Plain:
    name = "plain"


class Broken(Plain):
    def describe(self, classes):
        raise ZeroDivisionError("no\nidea")


class Told(Plain):
    def describe(self, classes):
        return Description("finds nothing", 1_500_000, (40, 60), {"GOOD": True, "BAD": False})


@pytest.fixture
def others():
    entries = {"plain": Plain(), "broken": Broken(), "told": Told(), "absent": "no_such_module:X"}
    for name, entry in entries.items():
        DETECTORS.register(name, entry)
    yield
    for name in entries:
        DETECTORS.unregister(name)


def block(text, name):
    lines = iter(text.splitlines())
    assert name in lines  # and goes on behind it
    found = []
    for line in lines:
        if not line.startswith(" "):
            break
        found.append(line.strip())
    return found


def test_every_detector_is_listed_with_what_it_tells(others, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = weights.cached_file(SSDLite320_MobileNet_V3_Large_Weights.COCO_V1.url)
    file.parent.mkdir(parents=True)
    file.touch()
    text = listing()
    assert all(line.rstrip() == line and len(line) <= 100 for line in text.splitlines())
    assert block(text, "ssdlite320_mobilenet_v3_large")[-1] == (
        "2.2 million parameters; 320 x 320 pixels; weights IMAGENET1K_V1, IMAGENET1K_V2, COCO_V1*"
    )
    assert block(text, "told") == [
        "finds nothing",
        "1.5 million parameters; 40 x 60 pixels; weights GOOD*, BAD",
    ]
    assert block(text, "plain") == []
    assert block(text, "broken") == ["no idea"]
    assert "No module named 'no_such_module'" in block(text, "absent")[0]
    for name in detectors.names():
        assert name in text.splitlines()
    assert detectors.names()[-1] == "empty"


def test_the_parameters_are_those_of_the_model():
    name = "ssd300_mobilenet_v2"
    model = detectors.create(train_params(name), ("a", "b", "c")).model
    told = DETECTORS.get(name).describe(3).parameters
    assert told == sum(p.numel() for p in model.parameters())
