"""Foundation models for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from boxloop.params import FirstParams, check
from boxloop.params.arguments import require_list, require_mapping, require_path, require_text

if TYPE_CHECKING:
    from boxloop.models.detectors.transformers.zero_shot import ZeroShotDetector


def load_zero_shot(
    model: str,
    classes: Sequence[str],
    *,
    prompts: Mapping[str, str | None] | None = None,
    device: str = "auto",
) -> ZeroShotDetector:
    """Load a foundation model, which finds what texts name without any training.

    Args:
        model: a local folder, or a name on the Hugging Face hub, of Grounding DINO, OWL-ViT,
            OWLv2 or OmDet-Turbo.
        classes: names of what it is to propose.
        prompts: what to look for, by class: its name unless given; None leaves a class out.
        device: "auto", "cpu", "cuda", "cuda:<index>" or "mps".

    Returns:
        What :func:`boxloop.propose` takes.

    Raises:
        ParamsError: transformers is not installed, the prompts cannot be used, or there is no such
            device.
        WeightsError: the model cannot be had, or is of another kind.
    """
    from boxloop.models.detectors.transformers.zero_shot import load

    require_path("model", model)
    require_list("classes", classes, str, "texts")
    if prompts is not None:
        require_mapping("prompts", prompts, str | None, "a dict of texts by class")
    require_text("device", device)
    content = {"model": str(model), "prompts": dict(prompts or {})}
    return load(check(FirstParams, content, "load_zero_shot"), tuple(classes), device)
