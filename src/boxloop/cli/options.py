"""What several commands take, and how they read it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from boxloop.campaign import artifacts
from boxloop.core.types import ImageRef, ImageSet
from boxloop.errors import ArtifactError, ParamsError
from boxloop.params import Params, load_params

ParamsFile = Annotated[Path, typer.Option("--params", help="Parameters file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a parameter: section.key=value. May be repeated."),
]
Processes = Annotated[
    int,
    typer.Option(
        "--processes",
        min=1,
        envvar="BOXLOOP_PROCESSES",
        help="Processes on this machine that share the work, one for each GPU.",
    ),
]
PARAMS = Path("params.yaml")


def stage_params(path: Path, overrides: list[str] | None) -> Params:
    """The parameters; those of a stage by hand may be defaults, but no named file may be missing.

    Raises:
        ParamsError: the file that ``--params`` names does not exist.
    """
    if path != PARAMS and not path.exists():
        raise ParamsError(f"{path} does not exist: name a params.yaml, or leave --params out")
    return load_params(path, overrides or ())


def campaign_params(path: Path, overrides: list[str] | None) -> Params:
    """The parameters of the campaign whose folder this is.

    Raises:
        ParamsError: it is no campaign's folder.
    """
    if not path.exists():
        raise ParamsError(
            f"{path} does not exist: go to a campaign's folder, or make one with"
            " 'boxloop init FOLDER'"
        )
    return stage_params(path, overrides)


def listed(images: ImageSet, source: Path, image_ids: Sequence[str]) -> tuple[ImageRef, ...]:
    """The images that the file ``source`` lists."""
    with artifacts.faults_of(source):
        return images.subset(image_ids)


def same_classes(images: ImageSet, images_file: Path, classes: Sequence[str], source: Path) -> None:
    """Refuses to bring together what was made for different classes."""
    if tuple(classes) != images.classes:
        raise ArtifactError(
            f"{source} is for the classes {', '.join(classes)}, but {images_file} has"
            f" {', '.join(images.classes)}: run the stages after 'dataset' again"
        )
