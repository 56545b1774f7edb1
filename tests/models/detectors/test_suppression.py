"""Suppression for a whole batch, against plain loops over one image and class at a time."""

import pytest
import torch

from boxloop.models.detectors.suppression import detections

CLASSES, SIDE, THRESHOLD = 80, 800, 0.5


def crowded(count, seed):
    """Boxes of 8 to 20 pixels that overlap: pairs of one class, one of each moved a little."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low, high, *shape):
        return torch.rand(*shape, generator=generator) * (high - low) + low

    corner = uniform(0, SIDE - 30, count, 2)
    boxes = torch.cat([corner, corner + uniform(8, 20, count, 2)], dim=1)
    labels = torch.randint(1, CLASSES + 1, (count,), generator=generator)
    moved = boxes + uniform(-4, 4, count, 2).repeat(1, 2)
    boxes = torch.cat([boxes, moved]).clamp(0, SIDE)
    scores = torch.randperm(len(boxes), generator=generator) / len(boxes)
    return boxes, labels.repeat(2), scores


def by_plain_loops(boxes, labels, scores):
    """Keep a box unless a kept one of its class and of a higher score covers it."""
    kept = []
    for i in scores.argsort(descending=True).tolist():
        others = [k for k in kept if labels[k] == labels[i]]
        if all(iou(boxes[k].tolist(), boxes[i].tolist()) <= THRESHOLD for k in others):
            kept.append(i)
    return kept


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return common / (sum(areas) - common)


def suppress(images):
    boxes, labels, scores = (torch.cat(values) for values in zip(*images, strict=True))
    image = torch.arange(len(images)).repeat_interleave(len(images[0][0]))
    sizes = [(SIDE, SIDE)] * len(images)
    return detections(boxes, labels, scores, image, sizes, nms_threshold=THRESHOLD, most=1000)


# torchvision shifts the groups apart where there are up to 1,000 candidates, and loops otherwise.
@pytest.mark.parametrize("count", [30, 60])
def test_the_last_image_of_a_batch_is_suppressed_as_exactly_as_the_first(count):
    images = [crowded(count, seed) for seed in range(16)]
    found = suppress(images)
    for (boxes, labels, scores), mine in zip(images, found, strict=True):
        kept = by_plain_loops(boxes, labels, scores)
        assert len(kept) < len(boxes)
        assert torch.equal(mine["boxes"], boxes[kept])
        assert torch.equal(mine["labels"], labels[kept])
        assert torch.equal(mine["scores"], scores[kept])


def test_an_image_alone_has_the_boxes_that_it_has_anywhere_in_a_batch():
    images = [crowded(30, seed) for seed in range(20, 36)]
    for one, mine in zip(images, suppress(images), strict=True):
        [alone] = suppress([one])
        assert all(torch.equal(mine[name], alone[name]) for name in alone)


def test_no_candidates_are_no_detections():
    empty = torch.zeros(0)
    candidates = (torch.zeros(0, 4), empty.long(), empty, empty.long())
    [one, other] = detections(*candidates, [(8, 8)] * 2, nms_threshold=THRESHOLD, most=3)
    assert len(one["boxes"]) == len(other["boxes"]) == 0
