"""Change values of a params.yaml, and keep what people wrote around them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from boxloop.files import write_text
from boxloop.params import Params
from boxloop.params.loading import apply_override, check, read_sections, read_yaml


def edit_params(path: Path, overrides: Sequence[str]) -> None:
    """Write ``section.key=value`` overrides into a params.yaml; its comments stay.

    Raises:
        ParamsError: the file cannot be read, or cannot be used with these values; it stays as it
            was.
        UserError: the file cannot be written.
    """

    def edit(content: Any) -> None:
        for override in overrides:
            apply_override(content, override)

    _edit(path, edit)


def edit_classes(path: Path, classes: Sequence[str], change: Callable[[list[str]], object]) -> None:
    """Change the list ``dataset.classes`` of a params.yaml in its place; its comments stay.

    Args:
        path: the file.
        classes: the whole list, for a file that has none.
        change: of the list that is there.

    Raises:
        ParamsError: as for :func:`edit_params`.
        UserError: the file cannot be written.
    """

    def edit(content: Any) -> None:
        if content.get("dataset") is None:
            content["dataset"] = {}
        section = content["dataset"]
        if section.get("classes") is None:
            section["classes"] = list(classes)
        else:
            change(section["classes"])

    _edit(path, edit)


def _edit(path: Path, edit: Callable[[Any], None]) -> None:
    read_sections(path)  # for its errors
    editor = YAML()
    editor.width = 100
    editor.preserve_quotes = True
    content: Any = editor.load(path.read_text(encoding="utf-8"))
    edit(content)
    out = io.StringIO()
    editor.dump(content, out)
    check(Params, read_yaml(out.getvalue()), str(path))
    write_text(path, out.getvalue())
