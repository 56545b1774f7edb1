"""No stage writes over a file that it did not make, whatever the file is called."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from boxloop import files
from boxloop.campaign import artifacts
from boxloop.core.types import FeatureTable
from boxloop.errors import ArtifactError
from boxloop.files import require_writable
from boxloop.models.checkpoint import (
    DetectorCheckpoint,
    SimNetCheckpoint,
    write_detector,
    write_simnet,
)
from boxloop.models.detectors.empty import EmptyDetector

NORMAL = ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
DETECTOR = DetectorCheckpoint("any", ("cat",), (8, 8), "0", "none", 1, {}, {"a": torch.ones(3)})


def document(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<a thesis>")


def weights(path):
    torch.save({"a": torch.ones(3)}, path)


def table(path):
    with path.open("wb") as file:
        np.savez(file, x=np.ones(3))


def text(path):
    path.write_text("milk, bread")


def other(path):
    artifacts.write(path, "truth", {"boxes": None})


FOREIGN = [document, weights, table, text, other]


def detector(path):
    write_detector(path, DETECTOR)


def safe_detector(path):
    write_detector(path, DETECTOR, safetensors=True)


def empty_detector(path):
    EmptyDetector(("cat",)).save(path, labeled_digest="0")


def simnet(path):
    state = {"a": torch.ones(3)}
    write_simnet(path, SimNetCheckpoint("any", 8, "left_right", "none", 1, *NORMAL, state))


def features(path):
    artifacts.write_features(path, FeatureTable(("a", "b"), np.ones((2, 3), np.float32)))


OWN = {
    detector: files.DETECTOR,
    safe_detector: files.DETECTOR,
    empty_detector: files.DETECTOR,
    simnet: files.SIMNET,
    features: files.FEATURES,
}


@pytest.mark.parametrize("write", OWN)
@pytest.mark.parametrize("make", FOREIGN)
def test_what_is_not_of_its_kind_is_left_alone(tmp_path, write, make):
    path = tmp_path / "thesis.docx"
    make(path)
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match="thesis.docx is .* and was not replaced"):
        write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", OWN)
def test_what_is_of_its_kind_is_replaced(tmp_path, write):
    path = tmp_path / "file"
    path.touch()  # an empty file is nothing to lose
    write(path)
    write(path)
    for other_write, kind in OWN.items():
        if kind == OWN[write]:
            other_write(path)
            require_writable(path, kind)
        else:
            with pytest.raises(ArtifactError, match=f"is a file of format {OWN[write]}"):
                other_write(path)


@pytest.mark.parametrize("write", [detector, simnet, features])
@pytest.mark.parametrize("cut", [1, 9, 60, 500])
def test_half_an_archive_is_nobody_s(tmp_path, write, cut):
    path = tmp_path / "file"
    write(path)
    half = path.read_bytes()[:cut]
    path.write_bytes(half)
    with pytest.raises(ArtifactError, match="is not one of boxloop's files and was not replaced"):
        write(path)
    assert path.read_bytes() == half


def test_a_report_replaces_reports_alone(tmp_path):
    from boxloop.report.build import write_report
    from builders_campaign import build_campaign, small_params

    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    metrics, out = tmp_path / "metrics.json", tmp_path / "out"
    for _ in range(2):
        write_report(paths, params, metrics, out)
    mine = Path(tmp_path / "mine")
    mine.mkdir()
    (mine / "report.html").write_text("<title>of mine</title>")
    (tmp_path / "list.json").write_text('["milk"]')
    with pytest.raises(ArtifactError, match="mine was not made by 'boxloop report'"):
        write_report(paths, params, metrics, mine)
    with pytest.raises(ArtifactError, match="list.json was not made by 'boxloop report'"):
        write_report(paths, params, tmp_path / "list.json", out)
    assert (mine / "report.html").read_text() == "<title>of mine</title>"
    assert (tmp_path / "list.json").read_text() == '["milk"]'
