"""The section ``simnet`` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from boxloop.params.section import NonNegative, Positive, PositiveFloat, Section, Seed

Halves = Literal["left_right", "top_bottom"]
Optimizer = Literal["adamw", "sgd"]
Schedule = Literal["one_cycle", "cosine", "constant"]


class SimNetParams(Section):
    """Training of SimNet, the similarity network (paper, section 3.1).

    The network is that of ``features``; it is trained only where ``features.weights`` is "simnet".

    Attributes:
        weights: initial weights, as in ``features``, but for "simnet".
        halves: how an image is cut into a positive pair; "left_right" is the paper's.
        epochs: passes over all images.
        batch_size: images per step, each with both halves.
        margin: alpha of the lifted structured loss.
        optimizer: "adamw", or "sgd" with momentum 0.9.
        learning_rate: the largest one of the schedule.
        weight_decay: of all parameters, vectors included.
        schedule: of the learning rate.
        seed: of the random weights, and of the order of the images.
        device: "auto", "cpu", "cuda", "cuda:<index>" or "mps".
    """

    weights: str = "in1k"
    halves: Halves = "left_right"
    epochs: Positive = 25
    batch_size: Annotated[int, Field(ge=2, le=4096)] = 32
    margin: PositiveFloat = 1.0
    optimizer: Optimizer = "adamw"
    learning_rate: PositiveFloat = 1e-4
    weight_decay: NonNegative = 1e-4
    schedule: Schedule = "one_cycle"
    seed: Seed = 0
    device: str = "auto"
