"""Split the labels of a campaign: reads what its clips and batches are."""

from __future__ import annotations

from dataclasses import replace

from boxloop.campaign import artifacts
from boxloop.campaign.export.clips import find_clips
from boxloop.campaign.export.splitting import Split, split
from boxloop.campaign.paths import CampaignPaths
from boxloop.datasets.format_protocol import ExportContent
from boxloop.params import GIVEN, Params


def split_labels(
    paths: CampaignPaths, params: Params, content: ExportContent, wanted: Split
) -> ExportContent:
    """Return the content with its two sides, and what to know of them in its line.

    Clips are found among all images of the dataset, labeled or not.

    Raises:
        UserError: it cannot be split that way.
        ArtifactError: a file is damaged.
    """
    images = artifacts.read_images(paths.images).images
    features = artifacts.read_features(paths.features) if paths.features.exists() else None
    present = {image.id for image in content.images}
    found = ([i for i in clip if i in present] for clip in find_clips(images, features))
    clips = [tuple(clip) for clip in found if clip]
    batch_of = artifacts.read_batch_of(map(paths.batch, params.iterations))
    batches = {image_id: batch_of.get(image_id, GIVEN) for image_id in present}
    sides, note = split(wanted, content.images, clips, batches)
    counts = ", ".join(f"{name} {len(ids)}" for name, ids in sides.items())
    return replace(content, sides=sides, about=f"{content.about}; {counts}: {note}")
