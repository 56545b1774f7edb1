"""Images read ahead of their use, and kept in memory where they fit."""

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from boxloop.core.types import ImageRef
from boxloop.datasets.images import read_image
from boxloop.errors import DatasetError, ProcessError
from boxloop.models.image_loader import ImageCache, prefetch, read_resized, resized_batches
from builders_detectors import drawn


@pytest.fixture(scope="module")
def refs(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("scenes"), 5, (40, 30))[0]


def test_an_image_that_fits_keeps_its_bytes(refs):
    pixels = read_image(Path(refs[0].path))
    found = read_resized(refs[0], (30, 40)).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("budget", [3 * 5 * 20 * 24, 3 * 5 * 20 * 24 - 1])
def test_images_are_kept_where_all_of_them_fit(refs, budget):
    cache = ImageCache(refs, [(20, 24)] * 5, budget=budget)
    assert cache.in_memory == (budget == 7200)
    assert len(cache) == 5
    expected = [read_resized(ref, (20, 24)) for ref in refs]
    assert all(torch.equal(cache[i], image) for i, image in enumerate(expected))
    plan = [[3, 0], [4, 4, 1]]
    for indices, batch in zip(plan, cache.batches(iter(plan), depth=2), strict=True):
        assert torch.equal(batch, torch.stack([expected[i] for i in indices]))


def test_images_may_differ_in_size(refs):
    cache = ImageCache(refs[:2], [(20, 24), (9, 7)])
    assert [tuple(cache[i].shape) for i in range(2)] == [(3, 20, 24), (3, 9, 7)]


def test_prefetch_keeps_the_order_and_its_distance():
    started = []

    def work(number):
        started.append(number)
        return number * number

    stream = prefetch(work, range(50), depth=4)
    assert next(stream) == 0
    assert len(started) <= 6
    assert list(stream) == [n * n for n in range(1, 50)]


def test_prefetch_passes_an_error_on():
    with pytest.raises(ZeroDivisionError):
        list(prefetch(lambda n: 1 // n, [1, 0, 2]))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.filterwarnings("ignore:.*pin_memory")
def test_batches_are_read_in_order_by_threads_and_by_processes(refs, device):
    """No GPU is needed to read for one."""
    batches = list(resized_batches(refs, lambda _: (20, 24), 2, torch.device(device)))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    expected = torch.stack([read_resized(ref, (20, 24)) for ref in refs])
    assert torch.equal(torch.stack([image for batch in batches for image in batch]), expected)
    assert not list(resized_batches([], lambda _: (20, 24), 2, torch.device(device)))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.filterwarnings("ignore:.*pin_memory")
def test_a_missing_image_is_told_in_one_sentence(refs, tmp_path, device):
    gone = ImageRef("gone", str(tmp_path / "gone.png"), 8, 8, "0")
    batches = resized_batches([*refs, gone], lambda _: (20, 24), 2, torch.device(device))
    assert len(next(batches)) == len(next(batches)) == 2
    with pytest.raises(DatasetError, match=r"^[^\n]*gone\.png does not exist$"):
        next(batches)


@pytest.mark.filterwarnings("ignore:.*pin_memory")
def test_a_killed_reader_is_told_in_one_sentence(refs):
    batches = resized_batches(refs * 20, lambda _: (20, 24), 2, torch.device("cuda"))
    next(batches)
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(ProcessError, match="^a process that reads images was killed, probably"):
        list(batches)
