"""Check that a new campaign's dataset is where its parameters say."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from boxloop.datasets.file_listing import exists
from boxloop.datasets.obstacles import find_obstacle
from boxloop.errors import ParamsError
from boxloop.params import DatasetParams


def check_places(folder: Path, params: DatasetParams, overrides: Sequence[str]) -> list[str]:
    """Require the files and folders that an override names; return a note on others.

    Args:
        folder: of the campaign, which relative paths start from.
        params: the dataset's.
        overrides: values of ``--set``.

    Raises:
        ParamsError: a place that an override names does not exist, or begins with a tilde; or DVC
            could not watch it.
    """
    if params.format == "demo":
        return []
    notes = []
    given = {override.partition("=")[0].strip() for override in overrides}
    for key, name, place in _places(folder, params):
        if exists(place):
            stopped = find_obstacle(place)
            if stopped is not None:
                raise ParamsError(stopped)
            continue
        sentence = f"{key} '{name}' {_why(name, place, folder, key)}"
        if given & {"dataset", key}:
            raise ParamsError(f"--set {sentence}")
        notes.append(f"Still to be set in {folder / 'params.yaml'}: {sentence}")
        break  # what starts from there is not there either
    return notes


def _places(folder: Path, params: DatasetParams) -> Iterator[tuple[str, str, Path]]:
    """Yield key, value and place of everything that the section names."""

    def place(*names: str) -> Path:
        # The campaign's folder does not exist yet, so ".." can be resolved as text only.
        return Path(os.path.normpath(folder.absolute().joinpath(*names)))

    yield "dataset.path", params.path, place(params.path)
    named = params.annotations or ()
    for name in (named,) if isinstance(named, str) else named:
        yield "dataset.annotations", name, place(params.path, name)
    if params.images:
        yield "dataset.images", params.images, place(params.path, params.images)


def _why(name: str, place: Path, folder: Path, key: str) -> str:
    if name.startswith("~"):
        whole = os.path.expanduser(name)
        return f"begins with ~, which nothing unfolds in params.yaml: write '{whole}'"
    here = Path(name).absolute()
    if not Path(name).is_absolute() and exists(here):
        start = f"the campaign's folder {folder}" if key == "dataset.path" else "dataset.path"
        return f"starts from {start} and does not exist there: write '{here}'"
    return f"does not exist (looked for {place})"
