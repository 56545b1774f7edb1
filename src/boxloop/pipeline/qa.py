"""Search finished batches for label errors; no stage, for it writes nothing that DVC knows."""

from __future__ import annotations

from boxloop.campaign.doubts import find_suspects
from boxloop.campaign.paths import CampaignPaths
from boxloop.params import Params
from boxloop.report.doubts import write_page


def qa_text(paths: CampaignPaths, params: Params, count: int) -> str:
    """Write the page of the worst images, and list them in words.

    Args:
        paths: of the campaign; the page is its ``doubts``.
        params: name the batches.
        count: the most images to list.

    Raises:
        UserError: no batch is finished that proposals were made for.
        ArtifactError: a file is damaged.
    """
    suspects = find_suspects(paths, params, count)
    if not suspects:
        return "Every image that there are proposals for had its second look."
    lines = []
    for suspect in suspects:
        kind = suspect.doubt.kind
        lines.append(f"{suspect.rank:>3}  {suspect.image.id}  {suspect.batch}  {kind}:")
        lines.append(f"     {suspect.reason}")
    write_page(paths.doubts, suspects, paths.root)
    lines.append(f"\nPictures: {paths.doubts}")
    if params.review.asks_people:
        lines.append(f"Next: boxloop review --qa {len(suspects)}   (opens exactly these)")
    return "\n".join(lines)
