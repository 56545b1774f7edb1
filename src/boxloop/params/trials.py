"""How people are tried while they review: without proposals, and with planted errors."""

from __future__ import annotations

from pydantic import Field

from boxloop.params.section import Fraction, Section, Seed


class TrialParams(Section):
    """What part of the work tells how well people review; nothing unless they are asked for.

    Attributes:
        blind_fraction: of a batch's images, those that people are shown without proposals.
        plant_fraction: of the proposals shown on the others, those that are shown wrong on purpose.
        seed: of which ones.
    """

    # These are left out where they are not set, so that digests of parameters stay as they were.
    blind_fraction: Fraction = Field(default=0.0, exclude_if=lambda value: value == 0)
    plant_fraction: Fraction = Field(default=0.0, exclude_if=lambda value: value == 0)
    seed: Seed = Field(default=0, exclude_if=lambda value: value == 0)
