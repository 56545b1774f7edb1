"""The recalibration of batch norm against statistics of all images at once."""

import pytest
import torch
from torch import nn

from boxloop.models.batch_norm import calibration_batches, recalibrate_batch_norm

CPU = torch.device("cpu")


def test_statistics_are_the_plain_mean_over_batches():
    torch.manual_seed(0)
    images = 5 + 3 * torch.randn(12, 3, 4, 4)
    model = nn.BatchNorm2d(3, momentum=0.01)
    model.running_mean += 100
    model.eval()
    recalibrate_batch_norm(model, [(part,) for part in images.split(4)], CPU)
    torch.testing.assert_close(model.running_mean, images.mean((0, 2, 3)))
    expected = torch.stack([part.var((0, 2, 3)) for part in images.split(4)]).mean(0)
    torch.testing.assert_close(model.running_var, expected)
    assert model.momentum == 0.01
    assert model.training


def test_a_model_without_batch_norm_is_left_alone():
    def no_batches():
        raise AssertionError("a batch was read")
        yield

    model = nn.Linear(2, 2).eval()
    recalibrate_batch_norm(model, no_batches(), CPU)
    assert not model.training


@pytest.mark.parametrize(
    ("images", "batch_size", "limit", "batches"),
    [(6, 2, 6, 3), (6, 4, 6, 2), (6, 4, 3, 1), (3, 8, 100, 1), (5, 2, 0, 1)],
)
def test_batches_are_full_and_of_as_few_images_as_asked(images, batch_size, limit, batches):
    torch.manual_seed(0)
    found = list(calibration_batches(images, batch_size, limit))
    assert [len(batch) for batch in found] == [batch_size] * batches
    drawn = [i for batch in found for i in batch]
    different = min(images, max(1, limit))
    assert len(set(drawn)) == different
    assert drawn == [drawn[i % different] for i in range(len(drawn))]
    assert set(drawn) <= set(range(images))
