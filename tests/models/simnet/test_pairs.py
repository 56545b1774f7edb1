"""The pair sampler: who is whose positive, and that every image has its turn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.models.simnet.pairs import (
    batches_per_epoch,
    draw_epoch,
    half_size,
    pair_labels,
    split_halves,
)

sizes = st.integers(2, 60)
batch_sizes = st.integers(2, 20)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@settings(max_examples=100, deadline=None)
@given(images=sizes, batch_size=batch_sizes, seed=st.integers(0, 2**31))
def test_an_epoch_is_every_image_once_in_batches_of_different_images(images, batch_size, seed):
    batches = list(draw_epoch(images, batch_size, generator(seed)))
    assert sorted(i for batch in batches for i in batch) == list(range(images))
    assert len(batches) == batches_per_epoch(images, batch_size)
    lengths = {len(batch) for batch in batches}
    assert min(lengths) >= 2
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) <= (3 if batch_size == 2 and images % 2 else batch_size)


@settings(max_examples=100, deadline=None)
@given(
    images=sizes,
    batch_size=batch_sizes,
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    halves=st.sampled_from(["left_right", "top_bottom"]),
)
def test_the_two_halves_of_an_image_are_the_only_positive_pair_it_is_in(
    images, batch_size, height, width, halves
):
    """Every pixel of the set tells its image and its place."""
    number = torch.arange(images).view(-1, 1, 1, 1) * 1000
    place = torch.arange(height).view(1, 1, -1, 1) * 10 + torch.arange(width).view(1, 1, 1, -1)
    pixels = (number + place).expand(-1, 3, -1, -1)
    for batch in draw_epoch(images, batch_size, generator()):
        parts, owners = split_halves(pixels[batch], halves), pair_labels(len(batch))
        assert len(parts) == len(owners) == 2 * len(batch)
        for owner in range(len(batch)):
            first, second = parts[owners == owner]  # exactly two
            assert set((first // 1000).flatten().tolist()) == {batch[owner]}
            assert set((second // 1000).flatten().tolist()) == {batch[owner]}
            whole = pixels[batch[owner]]
            if halves == "left_right":
                assert torch.equal(first, whole[:, :, : width // 2])
                assert torch.equal(second, whole[:, :, width - width // 2 :])
            else:
                assert torch.equal(first, whole[:, : height // 2])
                assert torch.equal(second, whole[:, height - height // 2 :])


def test_halves_lie_side_by_side_as_in_numpys_hsplit():
    image = torch.arange(24).view(1, 1, 4, 6).expand(-1, 3, -1, -1)
    first, second = split_halves(image, "left_right")
    left, right = np.hsplit(image[0].numpy().transpose(1, 2, 0), 2)
    assert first.permute(1, 2, 0).tolist() == left.tolist()
    assert second.permute(1, 2, 0).tolist() == right.tolist()


@pytest.mark.parametrize(
    ("size", "halves", "expected"),
    [(128, "left_right", (128, 64)), (128, "top_bottom", (64, 128)), (7, "left_right", (7, 3))],
)
def test_the_size_of_a_half(size, halves, expected):
    assert half_size(size, halves) == expected
    assert split_halves(torch.zeros(1, 3, size, size), halves).shape[-2:] == expected


def test_orders_differ_between_epochs_and_repeat_with_the_seed():
    def two_epochs(seed):
        source = generator(seed)
        return list(draw_epoch(20, 4, source)), list(draw_epoch(20, 4, source))

    assert two_epochs(1) == two_epochs(1)
    assert two_epochs(1) != two_epochs(2)
    first, second = two_epochs(1)
    assert first != second
