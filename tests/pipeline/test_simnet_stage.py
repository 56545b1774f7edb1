"""The stage `simnet` in the real pipeline: trained only where it is asked for, and not twice."""

import json
import re

import numpy as np
import pytest
from campaigns import TINY, init, interrupt_at, repro

from boxloop.campaign import artifacts

SIMNET = (
    "features.weights=simnet",
    "simnet.weights=none",
    "simnet.epochs=2",
    "simnet.batch_size=6",
)


@pytest.mark.slow
def test_the_stage_trains_once_and_again_only_for_a_reason(tmp_path):
    folder = init(tmp_path / "tiny", *TINY, *SIMNET)
    repro(folder, "features")
    log = json.loads((folder / "data/simnet.json").read_text())
    assert log["steps"] == 2 * 4
    assert [row["step"] for row in log["losses"]] == list(range(1, 9))
    first = artifacts.read_features(folder / "data/features.npz")
    assert len(first.image_ids) == 24

    params = folder / "params.yaml"
    changed = re.sub(
        r"(features:.*?batch_size: )32", r"\g<1>5", params.read_text(), flags=re.DOTALL
    )
    params.write_text(changed)
    out = repro(folder, "features").stdout
    assert "Running stage 'features'" in out
    assert "Running stage 'simnet'" not in out
    again = artifacts.read_features(folder / "data/features.npz")
    np.testing.assert_allclose(again.vectors, first.vectors, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_killed_in_training_it_begins_anew_and_ends_the_same(tmp_path):
    reference = init(tmp_path / "reference", *TINY, *SIMNET)
    repro(reference, "features")
    folder = init(tmp_path / "killed", *TINY, *SIMNET)
    for after in (1.0, 2.2):
        assert interrupt_at(folder, "simnet", after=after)
        assert not (folder / "data/simnet.pt").exists()
    repro(folder, "features")
    for name in ("simnet.pt", "features.npz"):
        assert (folder / "data" / name).read_bytes() == (reference / "data" / name).read_bytes()
