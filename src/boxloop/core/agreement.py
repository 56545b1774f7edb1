"""How far two people agree who labeled the same images.

Boxes of two people are matched one to one from an IoU on, the highest first; of equal ones, those
of one label first. The share matched is the positive agreement 2m / (a + b), for there is no count
of places without an object (Hripcsak and Rothschild 2005, "Agreement, the F-measure, and
reliability in information retrieval", J. Am. Med. Inform. Assoc. 12:296). Labels of matched boxes
are corrected for chance by kappa (Cohen 1960, "A coefficient of agreement for nominal scales",
Educ. Psychol. Meas. 20:37). Intervals are percentiles of a bootstrap over images (Efron 1979,
"Bootstrap methods", Ann. Statist. 7:1), since boxes of one image are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from boxloop.core.boxes import iou_matrix, match, same_label
from boxloop.core.types import Boxes, Corrections, Floats

RESAMPLES = 2000
COVERAGE = 0.95
_AT_ONCE = 200  # resamples, of which the counts of all images are in memory
_TIE = 1e-9


@dataclass(frozen=True)
class Matched:
    """Boxes of two people on one image: positions in either's boxes.

    Attributes:
        pairs: (first person's, second person's, IoU) of one object each.
        first: those of the first person alone.
        second: those of the second person alone.
    """

    pairs: tuple[tuple[int, int, float], ...]
    first: tuple[int, ...]
    second: tuple[int, ...]


def match_people(first: Boxes, second: Boxes, iou_threshold: float) -> Matched:
    """Match the boxes of two people on one image, whatever their labels are."""
    iou = iou_matrix(first.xyxy, second.xyxy)
    ranked = iou + _TIE * same_label(first, second)
    found = sorted(match(ranked, iou >= iou_threshold, iou_threshold))
    rows, columns = {row for row, _ in found}, {column for _, column in found}
    return Matched(
        tuple((row, column, float(iou[row, column])) for row, column in found),
        tuple(i for i in range(len(first)) if i not in rows),
        tuple(i for i in range(len(second)) if i not in columns),
    )


def differ(first: Boxes, second: Boxes, iou_threshold: float) -> bool:
    """Return whether two people see an image differently: other objects, or other labels."""
    found = match_people(first, second, iou_threshold)
    if found.first or found.second:
        return True
    return any(first.labels[i] != second.labels[j] for i, j, _ in found.pairs)


@dataclass(frozen=True)
class Statistic:
    """A number with its 95 % interval; all None where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Agreement:
    """The agreement of two people on the images that both labeled.

    Attributes:
        images: that both labeled.
        differing: those of them that they see differently.
        boxes: (first person's, second person's).
        matched: pairs of boxes.
        same_label: those of them that have one label.
        found: 2 matched / (sum of boxes), the positive agreement.
        iou: mean IoU of the matched boxes.
        labels: share of the matched boxes that have one label.
        kappa: of these labels, Cohen's; not defined where all have the same label.
    """

    images: int
    differing: int
    boxes: tuple[int, int]
    matched: int
    same_label: int
    found: Statistic
    iou: Statistic
    labels: Statistic
    kappa: Statistic


def agree(images: Sequence[tuple[Boxes, Boxes]], iou_threshold: float, seed: int = 0) -> Agreement:
    """Compare what two people made of the same images.

    Args:
        images: the boxes of either, in one order of the two; at least one image.
        iou_threshold: IoU from which two boxes are of one object.
        seed: of the bootstrap.
    """
    labels = sorted({str(name) for pair in images for boxes in pair for name in boxes.labels})
    place = {name: number for number, name in enumerate(labels)}
    # Columns: boxes of either, matched, sum of their IoU, of one label; then either's labels of
    # the matched boxes.
    counts = np.zeros((len(images), 5 + 2 * len(labels)))
    differing = 0
    for row, (first, second) in zip(counts, images, strict=True):
        found = match_people(first, second, iou_threshold)
        same = sum(first.labels[i] == second.labels[j] for i, j, _ in found.pairs)
        row[:5] = len(first), len(second), len(found.pairs), sum(p[2] for p in found.pairs), same
        for i, j, _ in found.pairs:
            row[5 + place[str(first.labels[i])]] += 1
            row[5 + len(labels) + place[str(second.labels[j])]] += 1
        differing += bool(found.first or found.second or same < len(found.pairs))
    whole = counts.sum(axis=0)
    values = _figures(whole[None, :])[0]
    resampled = _resample(counts, seed)
    estimates = [_estimate(v, column) for v, column in zip(values, resampled.T, strict=True)]
    return Agreement(
        len(images),
        differing,
        (int(whole[0]), int(whole[1])),
        int(whole[2]),
        int(whole[4]),
        *estimates,
    )


def _figures(sums: Floats) -> Floats:
    """Return (R, 4) found, iou, labels and kappa of (R, C) sums; NaN where not defined."""
    a, b, matched, iou, same = sums[:, :5].T
    half = (sums.shape[1] - 5) // 2
    by_chance = (sums[:, 5 : 5 + half] * sums[:, 5 + half :]).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        observed, expected = same / matched, by_chance / matched**2
        kappa = np.where(by_chance < matched**2, (observed - expected) / (1 - expected), np.nan)
        return np.stack([2 * matched / (a + b), iou / matched, observed, kappa], axis=1)


def _resample(counts: Floats, seed: int) -> Floats:
    """Return (RESAMPLES, 4) figures of images drawn with replacement."""
    rng, n = np.random.default_rng(seed), len(counts)
    parts = []
    for _ in range(0, RESAMPLES, _AT_ONCE):
        often = rng.multinomial(n, np.full(n, 1 / n), size=_AT_ONCE)
        parts.append(_figures(often @ counts))
    return np.concatenate(parts)


def _estimate(value: float, resampled: Floats) -> Statistic:
    if not np.isfinite(value):
        return Statistic(None)
    known = resampled[np.isfinite(resampled)]
    low, high = (
        np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
        if len(known)
        else (
            value,
            value,
        )
    )
    return Statistic(float(value), float(low), float(high))


def by_first_person(corrections: Corrections) -> Corrections:
    """Return what edits are counted by: where a third person decided, the first person's boxes."""
    if not corrections.decided:
        return corrections
    first = {image_id: item.first for image_id, item in corrections.decided.items()}
    return replace(corrections, boxes={**corrections.boxes, **first}, decided={})
