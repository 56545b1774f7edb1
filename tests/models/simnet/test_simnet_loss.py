"""The loss against the formula of Song et al. 2016, written as plain loops."""

import math

import numpy as np
import pytest
import torch

from boxloop.models.simnet.loss import lifted_structure_loss
from boxloop.models.simnet.pairs import pair_labels


def by_plain_loops(vectors, owners, margin):
    """Equation 4, term by term; P holds each positive pair once."""

    def distance(i, j):
        return math.sqrt(sum((a - b) ** 2 for a, b in zip(vectors[i], vectors[j], strict=True)))

    count, total, pairs = len(vectors), 0.0, 0
    for i in range(count):
        for j in range(i + 1, count):
            if owners[i] != owners[j]:
                continue
            negatives = 0.0
            for one in (i, j):
                for other in range(count):
                    if owners[other] != owners[one]:
                        negatives += math.exp(margin - distance(one, other))
            total += max(0.0, math.log(negatives) + distance(i, j)) ** 2
            pairs += 1
    return total / (2 * pairs)


@pytest.mark.parametrize("images", [2, 3, 7])
@pytest.mark.parametrize("margin", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("spread", [0.05, 1.0, 4.0])
def test_the_formula(images, margin, spread):
    rng = np.random.default_rng(images)
    vectors = rng.normal(scale=spread, size=(2 * images, 5))
    owners = pair_labels(images)
    found = lifted_structure_loss(margin)(torch.tensor(vectors), owners)
    expected = by_plain_loops(vectors.tolist(), owners.tolist(), margin)
    assert float(found) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_the_hinge_cuts_pairs_that_are_far_from_everything_else():
    vectors = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.1, 0.0], [50.1, 0.0]])
    assert float(lifted_structure_loss(1.0)(vectors, pair_labels(2))) == 0.0


def test_lengths_of_vectors_count():
    """The library would bring every vector to length one unless told otherwise."""
    torch.manual_seed(0)
    vectors = torch.randn(8, 4)
    loss = lifted_structure_loss(1.0)
    assert float(loss(vectors, pair_labels(4))) != pytest.approx(
        float(loss(3 * vectors, pair_labels(4)))
    )


def test_equal_halves_and_equal_images_have_a_finite_gradient():
    vectors = torch.ones(6, 4, requires_grad=True)
    loss = lifted_structure_loss(1.0)(vectors, pair_labels(3))
    loss.backward()
    # log(8 exp(1)): two halves with four negatives each, at distance 0.
    assert float(loss.detach()) == pytest.approx((math.log(8) + 1) ** 2 / 2)
    assert bool(vectors.grad.isfinite().all())


def test_a_step_down_the_gradient_brings_halves_together_and_images_apart():
    torch.manual_seed(1)
    vectors = torch.randn(8, 3, requires_grad=True)
    owners, loss = pair_labels(4), lifted_structure_loss(1.0)

    def gap(points):
        distances = torch.cdist(points, points)
        same = owners[:, None] == owners[None]
        return float(distances[~same].mean() - distances[same].sum() / 8)

    before = gap(vectors.detach())
    for _ in range(50):
        (gradient,) = torch.autograd.grad(loss(vectors, owners), vectors)
        vectors = (vectors - 0.05 * gradient).detach().requires_grad_()
    assert gap(vectors.detach()) > before + 0.5
