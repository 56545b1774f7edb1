"""What a campaign begins with: labels that came with the dataset, proposals by another program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from boxloop.campaign import artifacts, class_changes
from boxloop.campaign.by_pixels import names_today
from boxloop.campaign.params_file import edit_params, listing
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.screening import name_images
from boxloop.core.types import Batch, Boxes, ImageSet, Proposals
from boxloop.errors import ArtifactError
from boxloop.files import file_digest
from boxloop.params import FILE


def keep(
    paths: CampaignPaths,
    params_file: Path,
    batch: Batch,
    boxes: Mapping[str, Boxes],
    digests: Mapping[str, str] | None = None,
) -> Path:
    """Write proposals to ``proposals/TURN.json``, and list them in params.yaml.

    DVC then sees, by way of the batch's own file, which turn has other proposals.

    Args:
        paths: of the campaign.
        params_file: its params.yaml, whose comments stay.
        batch: whose images they are of.
        boxes: scored boxes by image id, of every image of the batch; by the class names of today.
        digests: of the images' files: the boxes are theirs, whatever they are called later.

    Returns:
        The file.

    Raises:
        ParamsError: params.yaml cannot be edited; nothing was changed.
    """
    path = paths.given(batch.id)
    changes = class_changes.entries_of(class_changes.read(*paths.journals))
    made = Proposals(batch.id, FILE, FILE, 0.0, boxes, changes=changes)
    with listing(path):
        artifacts.write_proposals(path, made, digests)
        edit_params(params_file, [f"iterations.{batch.id}.proposals='{file_digest(path)}'"])
    return path


def read(
    paths: CampaignPaths,
    batch: Batch,
    score_floor: float,
    images: ImageSet | None = None,
    say: Callable[[str], object] | None = None,
) -> Proposals:
    """Return the proposals that a batch was given; none for an image that is another picture now.

    Args:
        paths: of the campaign.
        batch: whose ``given`` is the digest of the file.
        score_floor: boxes that score less are left out.
        images: of today; those of the campaign unless given.
        say: takes a sentence about images that are other pictures now.

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
    made, digests = artifacts.read_dated_proposals(path)
    own, changes = set(batch.image_ids), class_changes.read(*paths.journals)
    today = {image_id: image_id for image_id in made.boxes if image_id in own}
    if images is None and (changes or digests is not None):
        images = artifacts.read_images(paths.images)
    if images is not None and digests is not None:
        today = names_today(made.boxes, digests, (i for i in images.images if i.id in own))
    without = own - set(today.values())
    other = [i for i in batch.image_ids if i in without and i in made.boxes]
    lacks = [i for i in batch.image_ids if i in without and i not in made.boxes]
    if made.batch != batch.id or lacks or len(made.boxes) != len(own):
        raise ArtifactError(
            f"{path} is for other images than {batch.id} has now"
            f"{f' (it does not have {name_images(lacks)})' if lacks else ''}: {again}, or take"
            f" iterations.{batch.id}.proposals out"
        )
    if other and say is not None:
        say(
            f"{path} has proposals for other pixels than {name_images(other)} of {batch.id} has"
            f" now: none are shown there, until somebody imports theirs ('boxloop import-proposals"
            f" {batch.id} FILE')"
        )
    assert batch.given is not None
    named = {today[i]: boxes for i, boxes in made.boxes.items() if i in today}
    named |= {image_id: Boxes.empty(scored=True) for image_id in other}
    if changes and images is not None:
        named = class_changes.named_as_today(named, changes, images.classes, made.changes)
    boxes = {image_id: named[image_id].above(score_floor) for image_id in batch.image_ids}
    return Proposals(batch.id, FILE, batch.given, score_floor, boxes)
