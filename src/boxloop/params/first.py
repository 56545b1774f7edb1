"""The section ``propose.first``: a foundation model that proposes for the first batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator

from boxloop.errors import ParamsError
from boxloop.params.section import BatchSize, Fraction, Section, fault_of
from boxloop.params.words import ZERO_SHOT

USUAL_THRESHOLDS: Mapping[str, float] = {
    "grounding-dino": 0.35,
    "mm-grounding-dino": 0.35,
    "omdet-turbo": 0.3,
    "owlv2": 0.2,
    "owlvit": 0.2,
}
"""Scores from which boxes are usually shown, by architecture; no others can be asked."""


class FirstParams(Section):
    """A network of transformers that finds what texts name; it needs no training.

    Attributes:
        model: a local folder, as the library's ``save_pretrained`` writes it, or a name on the
            Hugging Face hub.
        prompts: what to look for, by class; a class that is not listed is looked for by its own
            name, and one with null is not looked for.
        score_threshold: boxes that score less are not shown; None takes what is usual for the
            architecture.
        batch_size: images that the network sees at once.
    """

    model: Annotated[str, Field(min_length=1)]
    prompts: dict[str, str | None] = Field(default_factory=dict)
    score_threshold: Fraction | None = None
    batch_size: BatchSize = 4

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_no_prompt(cls, values: Any) -> Any:
        """Take an empty ``prompts:`` for none."""
        if isinstance(values, Mapping) and values.get("prompts", {}) is None:
            return {**values, "prompts": {}}
        return values

    @model_validator(mode="after")
    def _prompts_are_plain(self) -> FirstParams:
        for name, prompt in self.prompts.items():
            why = fault_of(name) or fault_of(prompt or "")
            if prompt is not None and not prompt.strip():
                why = "is blank: null leaves a class out"
            if why is not None:
                raise ValueError(f"prompts: that of '{name[:100]}' {why}")
        return self

    def require_stored(self, score_floor: float) -> None:
        """Refuse a threshold below which nothing is stored.

        Raises:
            ValueError: it is below.
        """
        threshold = self.score_threshold
        if threshold is not None and threshold < score_floor:
            raise ValueError(
                f"first.score_threshold is {threshold:g}, but score_floor {score_floor:g} stores"
                " nothing that scores less: lower the floor, or raise the threshold"
            )

    def phrases(self, classes: Sequence[str]) -> dict[str, str]:
        """Return what to look for, by class, in the order of ``classes``.

        Raises:
            ParamsError: a prompt is of a class that is not among them, or no class has one.
        """
        unknown = sorted(self.prompts.keys() - set(classes))
        if unknown:
            raise ParamsError(
                f"propose.first.prompts names '{unknown[0]}', which is no class of the campaign:"
                f" it has {', '.join(classes)}"
            )
        asked = {name: self.prompts.get(name, name) for name in classes}
        found = {name: " ".join(text.split()) for name, text in asked.items() if text is not None}
        if not found:
            raise ParamsError(
                "propose.first.prompts leaves out every class, so nothing is looked for: give a"
                " class a prompt, or take propose.first out"
            )
        return found

    def shown_from(self, detector: str) -> tuple[float, str]:
        """Return the score from which boxes are shown, and why, in words.

        Args:
            detector: what stands for the model in its proposals.
        """
        architecture = detector.removeprefix(ZERO_SHOT)
        if self.score_threshold is not None:
            return self.score_threshold, f"as propose.first says for {architecture}"
        usual = USUAL_THRESHOLDS.get(architecture, 0.3)
        return usual, f"as is usual for {architecture}"
