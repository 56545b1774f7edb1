"""What ``boxloop detectors`` says."""

from __future__ import annotations

import textwrap

from boxloop.models import detectors
from boxloop.models.detectors.base import Description
from boxloop.params.registry import DETECTORS

_CLASSES = 3
"""That the parameters are counted for."""

_INDENT = "    "


def listing(width: int = 100) -> str:
    """List all detectors: what each is, how large, and which weights it can start from.

    Those of other packages that do not describe themselves are listed by name, and those that
    cannot be loaded with the reason.
    """
    blocks = [_block(name, width) for name in detectors.names()]
    notes = [
        f"Parameters for {_CLASSES} classes; input size (height x width, or shorter x longer side)"
        " unless train.input_size says otherwise. Weights marked * are at hand, the others are"
        " downloaded when they are first used; train.weights also takes none, a file, and DEFAULT,"
        " the last of a list.",
        "A detector of your own is train.detector: my_module:FACTORY, with my_module.py in the"
        " campaign's folder.",
    ]
    return "\n".join([*blocks, "", *(textwrap.fill(note, width) for note in notes)])


def _block(name: str, width: int) -> str:
    try:
        describe = getattr(DETECTORS.get(name), "describe", None)
        found = describe(_CLASSES) if describe is not None else None
    except Exception as error:  # foreign code may raise anything
        return _indented(name, [" ".join(str(error).split())], width)
    if not isinstance(found, Description):
        return name
    facts = []
    if found.parameters is not None:
        facts.append(f"{found.parameters / 1e6:.1f} million parameters")
    if found.input_size is not None:
        facts.append("{} x {} pixels".format(*found.input_size))
    if found.weights:
        marked = [f"{weights}{'*' if here else ''}" for weights, here in found.weights.items()]
        facts.append(f"weights {', '.join(marked)}")
    lines = [found.summary, "; ".join(facts)]
    return _indented(name, [line for line in lines if line], width)


def _indented(name: str, lines: list[str], width: int) -> str:
    filled = [
        textwrap.fill(line, width, initial_indent=_INDENT, subsequent_indent=_INDENT)
        for line in lines
    ]
    return "\n".join([name, *filled])
