"""What all sections of params.yaml have in common: strict types, bounded numbers, plain texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(gt=0, le=10**9)]
Turns = Annotated[int, Field(gt=0, le=10**5)]
PositiveFloat = Annotated[float, Field(gt=0, le=1e18)]
NonNegative = Annotated[float, Field(ge=0, le=1e9)]
MOST_PIXELS, MOST_ZOOM = 8192, 8
"""Of a side, and how many times it is enlarged."""
Pixels = Annotated[int, Field(gt=0, le=MOST_PIXELS)]
BatchSize = Annotated[int, Field(gt=0, le=4096)]
IoU = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]

_LONGEST_TEXT = 4096
"""Characters of a value: as many as a path may have."""


def fault_of(text: str) -> str | None:
    """Say what is wrong with a text, whatever it names; None where nothing is."""
    if len(text) > _LONGEST_TEXT:
        return f"has {len(text):,} characters, more than {_LONGEST_TEXT:,}"
    # A block of YAML ends in a line break that nobody means.
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text.rstrip("\n")):
        return "holds a line break, a control character or half of a surrogate pair"
    return None


class Section(BaseModel):
    """Keys with values: unknown keys and values of other types are refused, lists become tuples."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _lists_become_tuples(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}

    @model_validator(mode="after")
    def _texts_are_plain(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            for text in value if isinstance(value, tuple) else (value,):
                why = fault_of(text) if isinstance(text, str) else None
                if why is not None:
                    raise ValueError(f"{name} {why}: name something else")
        return self
