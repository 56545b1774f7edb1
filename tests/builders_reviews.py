"""Submissions as people make them, without the App: for tests of what becomes of them."""

from dataclasses import replace

import numpy as np

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Boxes
from boxloop.review.simulated import SimulatedAnnotator


def submission(
    proposals, truth, image_ids=None, *, threshold=0.5, reviewer="ada", finished=None, seconds=10.0
):
    """What a person who sees the truth makes of proposals.

    Args:
        proposals: of a batch.
        truth: final boxes by image id.
        image_ids: those that are submitted; all unless given.
        threshold: proposals from this score on are shown.
        reviewer: the person's name.
        finished: ISO 8601; now unless given.
        seconds: spent on each image; None where not measured.
    """
    ids = list(proposals.boxes) if image_ids is None else list(image_ids)
    shown = replace(proposals, boxes={i: proposals.boxes[i] for i in ids})
    made = SimulatedAnnotator(truth, 0.5).review(shown, {}, threshold)
    return replace(
        made,
        annotator="fiftyone",
        reviewer=reviewer,
        seconds={} if seconds is None else dict.fromkeys(ids, seconds),
        finished=submissions.timestamp() if finished is None else finished,
        versions={"boxloop": "0.1.0"},
    )


def shifted(truth, by):
    """The truth with every box narrower by so many pixels: labels that can be told from it."""
    move = np.array([by, 0, 0, 0])
    return {image_id: Boxes(b.xyxy + move, b.labels, b.ids) for image_id, b in truth.items()}


def submit(folder, key, image_ids=None, *, by=0.0, **options):
    """Adds a submission for a batch of a campaign to its journal, as `boxloop review` does."""
    paths = CampaignPaths(folder)
    truth = shifted(artifacts.read_truth(paths.truth), by)
    proposals = artifacts.read_proposals(paths.proposals(key))
    return submissions.append(paths.reviews, submission(proposals, truth, image_ids, **options))
