"""Who does what: every item once, in whole batches, and the same batches as in one process."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop import distributed
from boxloop.distributed import ALONE, World
from boxloop.errors import ParamsError
from boxloop.models import devices
from boxloop.models.detectors.dataset import draw_shared_batches
from boxloop.models.simnet.pairs import shard

SIZES = st.integers(1, 7)


@given(st.integers(0, 200), st.integers(1, 40), SIZES)
def test_shares_follow_one_another_in_whole_batches(items, unit, size):
    shares = [World(rank, size).share(items, unit) for rank in range(size)]
    assert [i for share in shares for i in share] == list(range(items))
    assert all(share.start % unit == 0 for share in shares if share)
    lengths = [-(-len(share) // unit) for share in shares]
    assert max(lengths) - min(lengths) <= 1
    assert lengths[0] == max(lengths)
    assert shares == [ALONE.__class__(0, size).share(items, unit, rank=r) for r in range(size)]


@given(st.integers(1, 30), st.integers(1, 8), st.integers(1, 4), SIZES, st.integers(0, 3))
@settings(deadline=None)
def test_a_step_draws_the_same_images_in_any_number_of_processes(images, steps, each, size, seed):
    batch = each * size
    alone = list(draw_shared_batches(images, steps * batch, seed))
    shared = [
        list(draw_shared_batches(images, steps * batch, seed, batch=batch, rank=rank, size=size))
        for rank in range(size)
    ]
    assert [len(draws) for draws in shared] == [steps * each] * size
    for step in range(steps):
        together = [d for draws in shared for d in draws[step * each : (step + 1) * each]]
        assert together == alone[step * batch : (step + 1) * batch]


@given(st.lists(st.integers(0, 99), unique=True, max_size=40), SIZES)
def test_parts_of_a_batch_are_equal_and_lose_less_than_one_image_each(batch, size):
    parts = [shard(batch, rank, size) for rank in range(size)]
    assert len({len(p) for p in parts}) == 1
    together = [i for p in parts for i in p]
    assert together == batch[: len(together)]
    assert len(batch) - len(together) < size


def test_alone_nothing_is_exchanged():
    assert distributed.world() == ALONE
    assert ALONE.is_main
    assert distributed.gather("all") == ["all"]
    assert not distributed.launch_processes(1)
    with distributed.join() as world:
        assert world == ALONE


@pytest.mark.parametrize(
    ("name", "count", "local_rank", "expected"),
    [
        ("auto", 4, 2, "cuda:2"),
        ("cuda", 4, 3, "cuda:3"),
        ("auto", 0, 1, "cpu"),
        ("cpu", 4, 1, "cpu"),
    ],
)
def test_each_process_has_a_device_of_its_own(monkeypatch, name, count, local_rank, expected):
    pretend(monkeypatch, count, World(local_rank, 4, local_rank, 4))
    assert str(devices.pick(name)) == expected


@pytest.mark.parametrize(
    ("name", "count", "words"),
    [("cuda:1", 4, "is one device, and there are 4 processes"), ("auto", 2, "there are 2: lower")],
)
def test_devices_that_cannot_be_shared(monkeypatch, name, count, words):
    pretend(monkeypatch, count, World(3, 4, 3, 4))
    with pytest.raises(ParamsError, match=words):
        devices.pick(name)


def pretend(monkeypatch, gpus, world):
    """No machine of the tests has GPUs; what is computed on them is not pretended."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr(distributed, "world", lambda: world)
