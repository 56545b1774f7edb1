"""Export labels and proposals in a format that other programs read."""

from __future__ import annotations

from pathlib import Path

from boxloop.campaign.export import fiftyone_folder, handed_out
from boxloop.campaign.export.content import (
    TREATMENTS,
    collect_labels,
    collect_proposals,
    treat_incomplete,
)
from boxloop.campaign.export.folder import MODES, export_folder, put_images
from boxloop.campaign.export.splitting import Split
from boxloop.campaign.export.splitting_labels import split_labels
from boxloop.campaign.image_rows import read_rows
from boxloop.campaign.paths import CampaignPaths
from boxloop.datasets.format_protocol import writable_formats
from boxloop.datasets.images import Progress
from boxloop.errors import ParamsError
from boxloop.params import Params
from boxloop.terminal import counted

__all__ = ["FIFTYONE", "Split", "export"]

FIFTYONE = "fiftyone"
"""The format that holds all that is known of an image, and is written only."""


def export(
    paths: CampaignPaths,
    params: Params,
    out: Path,
    *,
    format_: str,
    images: str = "link",
    proposals: str | None = None,
    incomplete: str | None = None,
    split: Split | None = None,
    progress: Progress | None = None,
) -> str:
    """Write the labeled set, or the proposals of one batch, for other programs.

    ``out`` is a new or empty folder, or one that an earlier export made; ``images`` is one of
    :data:`MODES`, ``incomplete`` one of :data:`TREATMENTS`: unless given, images are marked where
    the format can, and kept where not. Returns one line that says what was written.

    Raises:
        ParamsError: there is no such format, mode or batch, or the format cannot carry proposals,
            or a split.
        UserError: nothing is labeled yet, it cannot be split, or the folder is in use; nothing was
            written.
        ArtifactError: a file of the campaign is missing, damaged or stale.
        DatasetError: an image is missing or has changed.
    """
    formats = writable_formats()
    marks = format_ == "coco"
    treatment = incomplete or ("mark" if marks else "keep")
    for option, value, known in (
        ("--format", format_, sorted({*formats, FIFTYONE})),
        ("--images", images, MODES),
        ("--incomplete", treatment, TREATMENTS),
    ):
        if value not in known:
            raise ParamsError(f"{option} must be one of {', '.join(known)}, got {value!r}")
    if proposals is not None and format_ != "coco":
        raise ParamsError(
            f"--proposals needs --format coco: the format '{format_}' has no place for the ids of"
            " proposals"
        )
    if treatment == "mark" and not marks:
        raise ParamsError(
            f"--incomplete mark needs --format coco: the format '{format_}' has no place for that;"
            " keep or skip those images"
        )
    if split is not None and proposals is not None:
        raise ParamsError("--split is of labels: leave it out, or --proposals")
    writer = formats.get(format_)
    if split is not None and writer is not None and not getattr(writer, "SPLITS", False):
        raise ParamsError(f"--split: the format '{format_}' does not write the sides apart")
    with export_folder(out) as folder:
        if proposals is None:
            content = treat_incomplete(collect_labels(paths, params), treatment)
        else:
            content = collect_proposals(paths, params, proposals)
        if split is not None:
            content = split_labels(paths, params, content, split)
        if writer is None:
            fiftyone_folder.write(folder, content, read_rows(paths, params))
        else:
            writer.write(folder, content)
        place = fiftyone_folder.IMAGES if writer is None else writer.IMAGES
        put_images(folder / place, content, paths.root, images, progress)
    handed_out.keep(paths, content.images)
    count = sum(len(boxes) for boxes in content.boxes.values())
    what = f"{counted(len(content.images))}, {counted(count, 'box')}"
    return f"{out}: {what} ({format_}); {content.about}"
