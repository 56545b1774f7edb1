"""Feature vectors by workers of Dask: the bytes of one process."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boxloop.distributed.places import here
from boxloop.errors import BoxloopError
from boxloop.models.features import extract
from boxloop.models.features_on import _shards, extract_on
from boxloop.params import FeaturesParams
from builders_detectors import drawn
from builders_jobs import spawned


@pytest.fixture(scope="module")
def refs(tmp_path_factory):
    found = drawn(tmp_path_factory.mktemp("scenes"), 22)[0]
    return (*found, replace(found[0], id="twin"))  # in a last batch that is smaller


def params(**changes):
    values = {"network": "resnet18", "weights": "none", "input_size": 64, "device": "cpu"}
    return FeaturesParams(**({**values, "batch_size": 4} | changes))


def test_shards_are_whole_batches_and_do_not_depend_on_the_workers():
    assert _shards(10, 4) == [range(0, 4), range(4, 8), range(8, 10)]
    assert {len(s) for s in _shards(1600, 10)} == {100}
    assert max(len(s) for s in _shards(1_000_000, 32)) == 2048
    for items, batch in ((1, 1), (7, 3), (100_000, 64), (5000, 3000)):
        shards = _shards(items, batch)
        assert [i for s in shards for i in s] == list(range(items))
        assert not [s for s in shards if s.start % batch]


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_no_byte(refs, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone, counts, killed = extract(refs, params()), [], []

    def progress(done, total):
        counts.append((done, total))
        if done and not killed:
            killed.append(spawned()[0])
            killed[0].kill()

    found = extract_on(here(2, gpus=(), logs=tmp_path), refs, params(), progress)
    assert killed
    assert counts[-1] == (23, 23)
    assert found.image_ids == alone.image_ids
    np.testing.assert_array_equal(found.vectors, alone.vectors)


def test_what_is_wrong_with_an_image_is_told_as_in_one_process(refs, tmp_path):
    gone = [*refs[:5], replace(refs[5], path=str(tmp_path / "gone.jpg"))]
    with pytest.raises(BoxloopError, match="gone.jpg") as alone:
        extract(gone, params())
    with pytest.raises(BoxloopError) as caught:
        extract_on(here(1, gpus=(), logs=Path(tmp_path)), gone, params())
    assert str(caught.value) == str(alone.value)
    assert caught.value.exit_code == alone.value.exit_code
