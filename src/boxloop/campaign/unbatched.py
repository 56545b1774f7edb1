"""Find labels that wait outside of all batches, as after fewer or smaller ones."""

from __future__ import annotations

from boxloop.campaign import artifacts, screening, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import ImageSet, LabeledSet
from boxloop.params import Params
from boxloop.terminal import counted


def unbatched_note(
    paths: CampaignPaths, params: Params, images: ImageSet, labeled: LabeledSet, made: str
) -> str | None:
    """Say how many images people labeled that no batch has, and what brings them back.

    Args:
        paths: of the campaign.
        params: name the batches.
        images: of today; labels of others are none that count.
        labeled: the labels that are taken, whose images are none of these.
        made: what is made of those, such as "this export".

    Returns:
        None where there are none.

    Raises:
        ArtifactError: a batch, or a file of the journal, is damaged.
    """
    inside = artifacts.read_batch_of(map(paths.batch, params.iterations)).keys() | labeled.boxes
    known = submissions.latest(screening.read(paths.journals, (), images).submissions)
    today = images.by_id().keys()
    count = len((known.keys() & today) - inside)
    if not count:
        return None
    are = "is" if count == 1 else "are"
    what = counted(count, "labeled image")
    return f"{what} {are} in no batch, and not in {made}: list more iterations"
