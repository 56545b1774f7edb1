"""How much images are enlarged, so that small objects become large enough to be found.

A detector that takes images of any size is trained on windows of enlarged images, at the cost of
whole ones that are not, and proposes for whole enlarged ones (compare SNIPER, Singh et al. 2018,
arXiv:1805.09300).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from boxloop.core.boxes import area
from boxloop.core.types import ImageRef, LabeledSet
from boxloop.errors import ParamsError
from boxloop.models.detectors.dataset import InputSize
from boxloop.params import FITTED

_ZOOMS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Factors that are chosen from. Proposing costs their square."""

_SIDE = 48.0
"""Pixels of the input, the square root of its area, that are enough for a box."""

_LEAST = 11.0
"""Pixels of the input, likewise, that a box needs at least: little more than a position of the
finest map, whose boxes were next to never found."""

_SMALL, _LARGE = 0.25, 0.75
"""Quantiles of the boxes' sides that are taken for those of small and of large objects."""

_OF_A_WINDOW = 1 / 3
"""How long a large object may be beside a window. Windows cut what is longer too often."""

_ENLARGED = 2.0
"""How many pixels of the input a pixel of an image becomes at most, along a side: what is not in
the image cannot be seen."""


def check_zoom(wanted: float | str, size: InputSize, name: str) -> None:
    """Refuse to enlarge images for a detector that cannot take windows of them.

    Raises:
        ParamsError: ``wanted`` is above 1, and the detector takes images of one size only.
    """
    if not size.keep_aspect and wanted not in (FITTED, 1):
        raise ParamsError(
            f"train.zoom: {name} takes images of one size only; raise train.input_size, or"
            " choose a detector that takes any, as fcos_efficientnet_lite0"
        )


def choose_zoom(
    wanted: float | str, labeled: LabeledSet, images: Sequence[ImageRef], size: InputSize, name: str
) -> float:
    """Choose how many times images are enlarged beyond a detector's input size.

    Args:
        wanted: ``train.zoom``, a factor or "fitted": about the cube root of what would make the
            labeled boxes large enough, and at least what lets tiny ones be found at all, as long as
            large ones fit well into a window. The more images are enlarged the less of them is in a
            window, so a number of steps sees less. The root is what saved most
            (docs/results/detectors.md).
        labeled: the boxes to fit it to.
        images: covers every image of ``labeled``.
        size: of the detector's input.
        name: of the detector, for the error.

    Raises:
        ParamsError: see :func:`check_zoom`.
    """
    check_zoom(wanted, size, name)
    if not size.keep_aspect:
        return 1.0
    if wanted != FITTED:
        return float(wanted)
    by_id = {image.id: image for image in images}
    sides, shares, scales = [], [], []
    for image_id, boxes in labeled.boxes.items():
        image = by_id.get(image_id)
        if image is None or len(boxes) == 0:
            continue
        scale = size.scale(image.height, image.width)
        own = np.sqrt(area(boxes.xyxy))
        sides.append(own * scale)
        shares.append(own / math.sqrt(image.width * image.height))
        scales.append(np.full(len(boxes), scale))
    if not sides:
        return 1.0
    small = float(np.quantile(np.concatenate(sides), _SMALL))
    large = float(np.quantile(np.concatenate(shares), _LARGE))
    most = min(_ENLARGED / float(np.median(np.concatenate(scales))), _OF_A_WINDOW / large)
    allowed = [zoom for zoom in _ZOOMS if zoom <= max(1.0, most)]
    enough = [zoom for zoom in allowed if zoom * small >= _LEAST] or allowed[-1:]
    best = math.log(max(_SIDE / small, 1.0)) / 3
    return min(enough, key=lambda zoom: abs(math.log(zoom) - best))
