"""Let the latest detector propose a class for the images that are not complete for it."""

from __future__ import annotations

from boxloop.campaign import artifacts, later
from boxloop.campaign.campaign import Campaign
from boxloop.core.types import NOTHING, Proposals
from boxloop.errors import ArtifactError, DetectorError
from boxloop.files import file_digest


def propose_for(campaign: Campaign, wanted: str) -> Proposals | None:
    """Have the boxes of a class proposed that ``boxloop review --for`` shows.

    No class is trained on images that are not complete for it, so of that class, and of no other,
    their boxes are out of sample. What was proposed before is kept while its detector, its images
    and its threshold stay.

    Returns:
        Boxes of the class alone, by image; None where no detector knows it, or no image needs it.
    """
    paths, p = campaign.paths, campaign.params.propose
    path, asked = later.proposals_file(paths, wanted), later.ask(paths, campaign.params, wanted)
    if asked is None:
        path.unlink(missing_ok=True)
        return None
    checkpoint = paths.detector(asked.turn)
    digest = file_digest(checkpoint)
    try:
        known = later.read(paths, wanted)
    except ArtifactError:  # nobody's work: it is made anew
        known = None
    ids = [image.id for image in asked.images]
    made_of = None if known is None else (known.checkpoint, known.score_floor)
    if known is not None and made_of == (digest, asked.threshold) and set(ids) <= set(known.boxes):
        return known
    if asked.threshold >= NOTHING:
        path.unlink(missing_ok=True)
        return None
    from boxloop.models import detectors
    from boxloop.models.detectors import promises

    try:
        model = detectors.load(checkpoint, p.device)
        if wanted not in model.classes:
            path.unlink(missing_ok=True)
            return None
        with campaign.reporting(f"proposing {wanted}") as report:
            boxes = promises.propose(
                model,
                asked.images,
                score_floor=asked.threshold,
                batch_size=p.batch_size,
                progress=report,
            )
    except (ArtifactError, DetectorError) as error:  # which must not keep people from their work
        campaign.say(f"nothing is proposed of {wanted}: {error}")
        path.unlink(missing_ok=True)
        return None
    shown = {i: later.of_class(boxes[i], wanted, asked.threshold) for i in ids}
    made = Proposals(asked.turn, model.name, digest, asked.threshold, shown)
    artifacts.write_proposals(path, made)
    return made
