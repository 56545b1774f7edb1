"""What a campaign begins with: labels that came with the dataset, proposals by another program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from boxloop.campaign import artifacts, class_changes
from boxloop.campaign.params_file import edit_params, listing
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Batch, Boxes, Proposals
from boxloop.errors import ArtifactError
from boxloop.files import file_digest
from boxloop.params import FILE


def keep(paths: CampaignPaths, params_file: Path, batch: Batch, boxes: Mapping[str, Boxes]) -> Path:
    """Write proposals to ``proposals/TURN.json``, and list them in params.yaml.

    DVC then sees, by way of the batch's own file, which turn has other proposals.

    Args:
        paths: of the campaign.
        params_file: its params.yaml, whose comments stay.
        batch: whose images they are of.
        boxes: scored boxes by image id, of every image of the batch; by the class names of today.

    Returns:
        The file.

    Raises:
        ParamsError: params.yaml cannot be edited; nothing was changed.
    """
    path = paths.given(batch.id)
    changes = class_changes.entries_of(class_changes.read(*paths.journals))
    made = Proposals(batch.id, FILE, FILE, 0.0, boxes, changes=changes)
    with listing(path):
        artifacts.write_proposals(path, made)
        edit_params(params_file, [f"iterations.{batch.id}.proposals='{file_digest(path)}'"])
    return path


def read(paths: CampaignPaths, batch: Batch, score_floor: float) -> Proposals:
    """Return the proposals that a batch was given.

    Args:
        paths: of the campaign.
        batch: whose ``given`` is the digest of the file.
        score_floor: boxes that score less are left out.

    Raises:
        ArtifactError: the file is missing, is not the one that params.yaml lists, or does not have
            the batch's images.
    """
    path = paths.given(batch.id)
    again = f"import it again with 'boxloop import-proposals {batch.id} FILE'"
    if not path.exists():
        raise ArtifactError(
            f"{path} does not exist, but params.yaml lists proposals for {batch.id}: bring it back"
            f" from git, {again}, or take iterations.{batch.id}.proposals out"
        )
    if file_digest(path) != batch.given:
        raise ArtifactError(
            f"{path} is not the file that params.yaml lists under iterations.{batch.id}.proposals:"
            f" bring that one back from git, or {again}"
        )
    made = artifacts.read_proposals(path)
    if made.batch != batch.id or set(made.boxes) != set(batch.image_ids):
        raise ArtifactError(
            f"{path} is for other images than {batch.id} has now: {again}, or take"
            f" iterations.{batch.id}.proposals out"
        )
    assert batch.given is not None
    named = made.boxes
    if changes := class_changes.read(*paths.journals):
        today = artifacts.read_images(paths.images).classes
        named = class_changes.named_as_today(named, changes, today, made.changes)
    boxes = {image_id: named[image_id].above(score_floor) for image_id in batch.image_ids}
    return Proposals(batch.id, FILE, batch.given, score_floor, boxes)
