"""Say whether the delivered model is of the labels that are there now."""

from __future__ import annotations

from pathlib import Path

from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import ArtifactError
from boxloop.files import file_digest, read_json

STAGE = Path("deliver") / "dvc.yaml"
"""Where docs/model.md has the optional stage put; its lock lies beside it."""


def model_line(paths: CampaignPaths, newest: str | None, *, renamed: bool = False) -> str:
    """Return a sentence about the model; nothing where neither a model nor its stage is there.

    Args:
        paths: of the campaign.
        newest: key of the last finished turn, if any.
        renamed: whether its labels are of before a change of classes.
    """
    has_stage = (paths.root / STAGE).exists()
    description = paths.model / "model.json"
    if not (has_stage or description.exists()):
        return ""
    command = f"dvc repro {STAGE.as_posix()}" if has_stage else "boxloop deliver"
    name = paths.model.relative_to(paths.root).as_posix()
    if not description.exists():
        return f"No model is delivered yet: '{command}' trains one on everything labeled."
    try:
        made_of = read_json(description)["made_of"]["labeled"]
    except (ArtifactError, KeyError, TypeError):
        return f"{name}/ holds no whole model: '{command}' delivers one."
    labels = None if newest is None else paths.labeled(newest)
    if labels is not None and labels.exists() and file_digest(labels) == made_of:
        if renamed:
            return (
                f"{name}/ is of classes that have changed: after 'dvc repro' '{command}' delivers"
                " anew."
            )
        return f"{name}/ holds a model of everything labeled."
    return f"{name}/ is of other labels than are there now: '{command}' delivers anew."
