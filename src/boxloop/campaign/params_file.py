"""Change values of a params.yaml, and keep what people wrote around them."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from boxloop.files import atomic_path, write_text
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


@contextmanager
def listing(path: Path) -> Iterator[None]:
    """Put a file back where what is done meanwhile fails: it is written, then listed.

    A file that params.yaml names by its digest would be another one otherwise. It is kept beside
    it meanwhile, as a full disk has no room to write it anew.

    Args:
        path: the file; one that was not there is deleted again.
    """
    before = path.with_name(f".{path.name}.before")
    before.unlink(missing_ok=True)  # of one who was killed
    if path.is_file():
        _keep(path, before)
    try:
        yield
    except BaseException:
        if before.exists():
            before.replace(path)
        elif path.is_file():
            path.unlink()
        raise
    before.unlink(missing_ok=True)


def _keep(path: Path, kept: Path) -> None:
    try:
        os.link(path, kept)
    except OSError:  # some network and USB file systems have no hard links
        with atomic_path(kept) as temporary:
            shutil.copyfile(path, temporary)


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
