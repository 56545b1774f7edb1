"""The simulated annotator: corrects proposals by the ground truth, as in the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from boxloop.campaign import artifacts
from boxloop.core.types import SIMULATED, Boxes, BoxesByImage, Corrections, ImageRef, Proposals
from boxloop.core.workload import pair
from boxloop.errors import DatasetError
from boxloop.params import ReviewParams
from boxloop.review.annotators import Annotator


class SimulatedAnnotator:
    """Knows the truth, edits as little as it can, and hands the whole truth back.

    A proposal that is right at the IoU threshold, or is moved or relabeled into place, hands its
    id on to the final box, as it would in the hands of a person; the final coordinates are the
    truth's, so the labels do not depend on the detector.
    """

    kind = SIMULATED

    def __init__(self, truth: BoxesByImage | None, iou_threshold: float) -> None:
        """Take the truth, None where there is none, and the IoU from which a proposal stays.

        Raises:
            DatasetError: there is no truth to simulate with.
        """
        if truth is None:
            raise DatasetError(
                "the simulated annotator needs ground truth, and a dataset of format 'folder' has"
                " none: set review.annotator to fiftyone, for people, or use annotated data"
            )
        self.truth = truth
        self.iou_threshold = iou_threshold

    def review(
        self, proposals: Proposals, images: Mapping[str, ImageRef], score_threshold: float
    ) -> Corrections:
        """Corrects the proposals of one batch; see ``boxloop.review.annotators``."""
        final = {}
        for image_id, proposed in proposals.boxes.items():
            if image_id not in self.truth:
                raise DatasetError(f"the truth does not cover image {image_id}")
            final[image_id] = self._correct(proposed.above(score_threshold), self.truth[image_id])
        proposals = replace(proposals, crops=None)  # what is not shown is no part of the work
        return Corrections(proposals, score_threshold, self.kind, final)

    def _correct(self, shown: Boxes, truth: Boxes) -> Boxes:
        ids = truth.ids.tolist()
        taken = set(shown.ids.tolist())
        ids = [f"new-{name}" if name in taken else name for name in ids]
        for pairs in pair(shown, truth, self.iou_threshold):
            for row, column in pairs:
                ids[column] = str(shown.ids[row])
        return Boxes(truth.xyxy, truth.labels, np.array(ids, dtype=np.str_))


def create(params: ReviewParams, truth: Path, submitted: Sequence[Corrections]) -> Annotator:
    """Return the simulated annotator; see :func:`boxloop.review.annotators.create`."""
    return SimulatedAnnotator(artifacts.read_truth(truth), params.iou_threshold)
