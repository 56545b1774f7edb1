"""Backbones by name: torchvision's classification networks, and those of timm."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from types import ModuleType

from boxloop.errors import ParamsError
from boxloop.models import torchvision_backbones
from boxloop.models.backbone import Backbone, Start

TIMM = "timm:"
"""In front of a name that both libraries have: timm's network is meant."""


def start(network: str, chosen: str, *, section: str) -> Start:
    """Load the weights that a user asks for.

    Args:
        network: a name of torchvision's, else of timm's; ``timm:NAME`` is always timm's.
        chosen: "none", a name of torchvision's enum for this network or of timm's weights for it,
            "DEFAULT", or a local file.
        section: of params.yaml that says so, for messages.

    Raises:
        ParamsError: there is no such network.
        WeightsError: the weights cannot be had.
    """
    library, name = _find(network)
    begin: Start = library.start(name, chosen, section=section)
    return begin


def build(
    network: str,
    begin: Start,
    sizes: Sequence[tuple[int, int]],
    *,
    seed: int,
    section: str = "features",
) -> Backbone:
    """Build a backbone with its weights, in evaluation mode on the CPU.

    Args:
        network: as :func:`start` takes it.
        begin: its weights.
        sizes: (height, width) in pixels of all images that it is to take; the first one is square.
        seed: of the weights that ``begin`` has no tensor for.
        section: of params.yaml that names the weights, for messages.

    Raises:
        ParamsError: the network cannot take images of these sizes.
        WeightsError: the weights do not fit.
    """
    library, name = _find(network)
    backbone: Backbone = library.build(name, begin, sizes, seed=seed, section=section)
    return backbone.eval()


def _find(network: str) -> tuple[ModuleType, str]:
    """Return the module that builds a network, and the network's name there."""
    theirs = torchvision_backbones.networks()
    if network in theirs:
        return torchvision_backbones, network
    with warnings.catch_warnings():
        # What timm imports warns in a notebook that has no widgets to draw progress bars with.
        warnings.filterwarnings("ignore", "IProgress not found")
        from boxloop.models import timm_backbones  # takes a second or two

    known = timm_backbones.networks()
    name = network.removeprefix(TIMM)
    if name in known:
        return timm_backbones, name
    names = known if network.startswith(TIMM) else (*theirs, *sorted({*known} - {*theirs}))
    close = difflib.get_close_matches(name, names, n=3)
    hint = "see torchvision.models and timm.list_models()"
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    raise ParamsError(f"features.network: there is no network '{network}' ({hint})")
