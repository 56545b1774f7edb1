"""To and from other programs: labels and proposals in the formats that they read.

``boxloop export`` writes a folder in one of ``FORMATS``; ``boxloop import-corrections`` takes a
batch that was corrected elsewhere (``import_coco`` reads it, ``corrections`` takes it in).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from boxloop.campaign.export.content import Content, labeled_so_far, shown_proposals
from boxloop.campaign.export.folder import MODES, ImagesMode, Progress, export_folder, put_images
from boxloop.campaign.paths import CampaignPaths
from boxloop.datasets.formats import coco_writer, voc_writer, yolo_writer
from boxloop.errors import ParamsError
from boxloop.params import Params

__all__ = ["FORMATS", "ExportFormat", "chosen_format", "chosen_mode", "export"]

ExportFormat = Literal["coco", "voc", "yolo"]

_Writer = Callable[[Path, Content], None]

FORMATS: Mapping[ExportFormat, tuple[_Writer, str]] = {
    "coco": (coco_writer.write, coco_writer.IMAGES),
    "voc": (voc_writer.write, voc_writer.IMAGES),
    "yolo": (yolo_writer.write, yolo_writer.IMAGES),
}
"""The writer of a format, and the name of its folder of images."""


def chosen_format(name: str) -> ExportFormat:
    """The format of that name.

    Raises:
        ParamsError: there is none.
    """
    chosen: ExportFormat = _one_of(name, FORMATS, "--format")
    return chosen


def chosen_mode(name: str) -> ImagesMode:
    """What is to become of the images.

    Raises:
        ParamsError: there is no such mode.
    """
    chosen: ImagesMode = _one_of(name, MODES, "--images")
    return chosen


def _one_of(name: str, known: Collection[str], option: str) -> Any:
    if name not in known:
        raise ParamsError(f"{option} must be one of {', '.join(known)}, got {name!r}")
    return name


def export(
    paths: CampaignPaths,
    params: Params,
    out: Path,
    *,
    format_: ExportFormat,
    images: ImagesMode = "link",
    proposals: str | None = None,
    progress: Progress | None = None,
) -> str:
    """Writes the labeled set so far, or one batch of proposals, for other programs.

    Args:
        paths: where the campaign's files are.
        params: names the batches.
        out: a new or empty folder, or one that an earlier export made.
        format_: one of ``FORMATS``.
        images: whether to link to the images, copy them, or leave them where they are.
        proposals: key of a batch whose proposals are to be written instead.
        progress: called with (done, total) while images are linked or copied.

    Returns:
        One line that says what was written.

    Raises:
        ParamsError: there is no such batch, or the format cannot carry proposals.
        UserError: nothing is labeled yet, or the folder is in use; nothing was written.
        ArtifactError: a file of the campaign is missing, damaged or stale.
        DatasetError: an image is missing or has changed.
    """
    if proposals is not None and format_ != "coco":
        raise ParamsError(
            f"--proposals needs --format coco: the format '{format_}' has no place for the ids of"
            " proposals"
        )
    write, image_folder = FORMATS[format_]
    with export_folder(out) as folder:
        if proposals is None:
            content = labeled_so_far(paths, params)
        else:
            content = shown_proposals(paths, params, proposals)
        write(folder, content)
        put_images(folder / image_folder, content, paths.root, images, progress)
    count = sum(len(boxes) for boxes in content.boxes.values())
    return f"{out}: {len(content.images)} images, {count} boxes ({format_}); {content.about}"
