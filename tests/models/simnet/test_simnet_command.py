"""`boxloop simnet` and `boxloop features --simnet` by hand."""

import json
import subprocess
import sys

import pytest

from boxloop import cli
from boxloop.campaign import artifacts
from boxloop.core.types import ImageSet
from builders import stage
from builders_detectors import CLASSES, drawn

PARAMS = """
simnet: {weights: none, epochs: 2, batch_size: 3, device: cpu}
features: {network: resnet18, weights: simnet, input_size: 32, device: cpu}
"""


@pytest.fixture
def program(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    artifacts.write_images(tmp_path / "images.json", ImageSet(drawn(tmp_path / "i", 5)[0], CLASSES))
    (tmp_path / "params.yaml").write_text(PARAMS)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["boxloop", *arguments])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


SIMNET = stage("simnet", "images.json", "simnet.pt", "simnet.json")
FEATURES = (*stage("features", "images.json", "features.npz"), "--simnet", "simnet.pt")


def test_train_and_extract(program, tmp_path):
    code, out, err = program(*SIMNET)
    assert code == 0
    assert "4 steps on the halves of 5 images from none" in out
    assert "loss=" in err
    log = json.loads((tmp_path / "simnet.json").read_text())
    assert log["format"] == "boxloop/simnet@1"
    assert [row["step"] for row in log["losses"]] == [1, 2, 3, 4]
    assert program(*FEATURES)[0] == 0
    assert artifacts.read_features(tmp_path / "features.npz").vectors.shape == (5, 512)


def test_where_it_is_not_asked_for_it_is_empty_and_loads_nothing_heavy(program, tmp_path):
    code, out, _ = program(*SIMNET, "--set", "features.weights=none")
    assert code == 0
    assert "not trained, because features.weights is none" in out
    assert (tmp_path / "simnet.pt").read_bytes() == b""
    code, _, err = program(*FEATURES)
    assert code == 2
    assert "boxloop: simnet.pt is empty, because SimNet was not asked for" in err
    assert not (tmp_path / "features.npz").exists()
    command = [*SIMNET, "--set", "features.weights=none"]
    script = f"import sys; sys.argv[1:] = {command!r}\nfrom boxloop.cli import main\n"
    script += "try: main()\nexcept SystemExit: pass\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "boxloop.cli" in done.stdout.split()
    assert "torch" not in done.stdout.split()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("simnet.batch_size=1", "simnet.batch_size: input should be greater than or equal to 2"),
        ("simnet.halves=up_down", "simnet.halves must be 'left_right' or 'top_bottom'"),
        ("simnet.epoch=3", "'simnet.epoch' is not a known key (did you mean 'epochs'?)"),
        ("features.network=resnet5", "did you mean resnet50"),
        ("simnet.weights=gone.pth", "simnet.weights: 'gone.pth' is neither a file nor weights"),
        ("simnet.learning_rate=1.0e+18", "lower simnet.learning_rate"),
    ],
)
def test_mistakes_are_one_sentence_and_write_nothing(program, tmp_path, override, message):
    code, _, err = program(*SIMNET, "--set", override, "--set", "simnet.epochs=8")
    assert code != 0
    (sentence,) = [line for line in err.splitlines() if line.startswith("boxloop: ")]
    assert message in sentence
    assert not (tmp_path / "simnet.pt").exists()
    assert not (tmp_path / "simnet.json").exists()
