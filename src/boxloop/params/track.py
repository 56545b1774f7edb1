"""The section ``track``: what goes to MLflow."""

from __future__ import annotations

import warnings
from typing import Literal

from pydantic import field_validator

from boxloop.params.section import Section

with warnings.catch_warnings():
    # Pydantic warns of a field called like a method that Python gives every abstract class.
    warnings.filterwarnings("ignore", 'Field name "register"', UserWarning)

    class TrackParams(Section):
        """What goes to MLflow; the server is MLFLOW_TRACKING_URI or a sqlite file.

        Attributes:
            live: whether a long training shows its loss, its speed and the machine's load while it
                runs.
            models: what each turn's detector is as a logged model: "reference" points to the one
                copy of its checkpoint, "full" holds a copy of its own, "none" leaves it out.
            register: name in MLflow's registry that delivered models become versions of; None
                leaves them unregistered.
        """

        enabled: bool = True
        experiment: str = "boxloop"
        campaign: str = "campaign"
        checkpoints: bool = True
        live: bool = True
        models: Literal["none", "reference", "full"] = "reference"
        register: str | None = None

        @field_validator("experiment", "campaign")
        @classmethod
        def _are_names(cls, name: str) -> str:
            if not name.strip():
                raise ValueError("must not be blank")
            return name

        @field_validator("register")
        @classmethod
        def _is_of_a_model(cls, name: str | None) -> str | None:
            """Refuse what MLflow would, after the whole training."""
            if name is not None and (not name.strip() or name == "." or name.startswith("..")):
                raise ValueError("must name a model in MLflow's registry, or be null")
            for part in ("/", ":"):
                if part in (name or ""):
                    raise ValueError(f"must not hold '{part}', which MLflow's registry refuses")
            if {"'", '"'} <= set(name or ""):
                raise ValueError("must not hold both kinds of quotes: leave one kind out")
            return name
