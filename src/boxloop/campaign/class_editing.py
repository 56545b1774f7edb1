"""Add a class to a campaign, rename one, or make one a part of another.

Each changes ``dataset.classes`` in params.yaml and has the images' file made anew, so that people
can choose by the new names at once; all else is DVC's. No label is touched.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from boxloop.campaign import artifacts, class_changes, screening, submissions
from boxloop.campaign.class_changes import ClassChange, Kind
from boxloop.campaign.params_file import edit_classes
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.names import fault_of_new_class
from boxloop.errors import BoxloopError, ParamsError, UserError
from boxloop.files import write_text
from boxloop.params import Params, load_params


@dataclass(frozen=True)
class ClassRow:
    """What is labeled of one class.

    Attributes:
        name: of the class.
        objects: boxes of it.
        images: images that hold such a box.
        incomplete: images that were reviewed before the class could be chosen.
    """

    name: str
    objects: int
    images: int
    incomplete: int


def table(paths: CampaignPaths, params: Params) -> list[ClassRow]:
    """Count what is labeled of each class: what people submitted, else what was simulated.

    Raises:
        UserError: the dataset was not read yet.
        ArtifactError: a file is damaged.
    """
    _known(paths, params)
    images = artifacts.read_images(paths.images)
    files, today = _corrections(paths, params), images.by_id()
    found = screening.read(paths.journals, files, images)
    labels = [
        boxes
        for path in files
        if path.exists() and not (made := artifacts.read_corrections(path)).by_person
        for image_id, boxes in made.boxes.items()
        if image_id in today
    ]
    newest = submissions.latest(found.submissions)
    labels += [item.boxes[i] for i, item in newest.items() if i in today]
    missing = screening.by_class(found.incomplete, images.classes)
    counts = {
        name: [n for boxes in labels if (n := int((boxes.labels == name).sum()))]
        for name in images.classes
    }
    return [ClassRow(k, sum(n), len(n), len(missing.get(k, ()))) for k, n in counts.items()]


def add(
    paths: CampaignPaths, params_file: Path, name: str, reread: Callable[[Params], object]
) -> str:
    """List a class after all others.

    Args:
        paths: of the campaign.
        params_file: its params.yaml, whose comments stay.
        name: of the class; of a set with annotations, one that occurs in them.
        reread: makes the images' file by the new parameters.

    Returns:
        What to tell.

    Raises:
        UserError: the name cannot be, or the dataset does not have it; nothing was changed.
    """
    params = load_params(params_file)
    known = _known(paths, params)
    _require_new(name, known)
    before = _count_without(paths, params, name)
    _apply(params_file, (*known, name), lambda names: names.append(name), reread)
    text = f"'{name}' is a class from now on."
    if before:
        text += (
            f" {before} images were reviewed without it: {screening.review_command(name)} opens"
            " them, and until then no training takes it for absent there."
        )
    return text + "\nNext: boxloop status"


def change(
    paths: CampaignPaths,
    params_file: Path,
    kind: Kind,
    old: str,
    new: str,
    reread: Callable[[Params], object],
) -> str:
    """Rename a class, or merge it into another one.

    Args:
        paths: of the campaign.
        params_file: its params.yaml, whose comments stay.
        kind: "rename" or "merge".
        old: the class that is to be no more.
        new: its new name, or the class that takes it in.
        reread: makes the images' file by the new parameters.

    Returns:
        What to tell.

    Raises:
        UserError: there is no such class, or the name cannot be; nothing was changed.
    """
    known = _known(paths, load_params(params_file))
    if old not in known:
        raise UserError(f"'{old}' is no class of this campaign: {', '.join(known)}")
    if kind == "rename":
        if new in known:
            raise UserError(f"'{new}' is a class already: 'boxloop classes merge' makes two one")
        _require_new(new, known)
    elif new not in known or new == old:
        raise UserError(f"'{new}' is no other class of this campaign: {', '.join(known)}")

    def edit(names: list[str]) -> None:
        if kind == "rename":
            names[names.index(old)] = new
        else:
            names.remove(old)

    after = list(known)
    edit(after)
    entries = class_changes.entries_of(class_changes.read(*paths.journals))
    made = ClassChange(kind, old, new, _after_all(paths), tuple(after), entries)
    stopped = _stopped(paths, made)
    if stopped is None:
        entry = class_changes.append(paths.reviews, made, after, by=_account())
    else:
        entry = paths.reviews / stopped.entry
    before = params_file.read_bytes()
    try:
        _apply(params_file, after, edit, reread)
    except BaseException:
        if stopped is None and params_file.read_bytes() == before:
            entry.unlink(missing_ok=True)  # nobody has read it yet
        raise
    what = f"is called '{new}'" if kind == "rename" else f"is a part of '{new}'"
    return (
        f"'{old}' {what} from now on; {entry} says so, and no label was rewritten.\nNext: dvc repro"
        "   (trains by the new names; commit reviews/ and params.yaml)"
    )


def _known(paths: CampaignPaths, params: Params) -> tuple[str, ...]:
    """Return the classes of the campaign.

    Raises:
        UserError: they are not known yet, or others were listed since the images were read.
    """
    listed = params.dataset.classes
    if not paths.images.exists():
        raise UserError(
            f"{paths.images} does not exist yet: list the classes in params.yaml, under"
            " dataset.classes, then dvc repro"
        )
    known = artifacts.read_images(paths.images).classes
    if listed is not None and listed != known:
        raise UserError(
            f"params.yaml lists the classes {', '.join(listed)}, but {paths.images} has"
            f" {', '.join(known)}: run 'dvc repro dataset' first"
        )
    return known


def _require_new(name: str, known: Sequence[str]) -> None:
    if fault := fault_of_new_class(name):
        raise UserError(f"the class {name!a:.100} {fault}: name another")
    if name in known:
        raise UserError(f"'{name}' is a class of this campaign already: {', '.join(known)}")


def _apply(
    params_file: Path,
    classes: Sequence[str],
    edit: Callable[[list[str]], object],
    reread: Callable[[Params], object],
) -> None:
    """Edit params.yaml, and read the dataset by it; where that fails, the file is as before.

    Raises:
        UserError: neither could be written, so that the new classes stand in params.yaml alone.
    """
    text = params_file.read_text(encoding="utf-8")
    edit_classes(params_file, classes, edit)
    try:
        reread(load_params(params_file))
    except BaseException as error:
        try:
            write_text(params_file, text)
        except UserError as left:
            raise UserError(
                f"{left}. It lists the new classes already, which stay: as soon as it can be"
                " written, run 'dvc repro dataset', and they count"
            ) from None
        if isinstance(error, BoxloopError):
            raise ParamsError(f"params.yaml stays as it was: {error}") from None
        raise


def _corrections(paths: CampaignPaths, params: Params) -> list[Path]:
    return [paths.corrections(key) for key in params.iterations]


def _count_without(paths: CampaignPaths, params: Params, name: str) -> int:
    """Count the images that will not be complete for a class once it is listed."""
    images = artifacts.read_images(paths.images)
    after = replace(images, classes=(*images.classes, name))
    found = screening.read(paths.journals, _corrections(paths, params), after)
    return len(screening.by_class(found.incomplete, after.classes).get(name, ()))


def _stopped(paths: CampaignPaths, made: ClassChange) -> ClassChange | None:
    """Return the same change where it was stopped after its entry was written.

    A second entry would say that what was submitted before lacked the merged class.
    """
    entries = class_changes.read(*paths.journals)
    last = entries[-1] if entries else None
    if last is None or replace(last, when=made.when) != made:
        return None
    return None if any(moment > last.when for moment in _submitted(paths)) else last


def _submitted(paths: CampaignPaths) -> list[datetime]:
    return [
        submissions.submitted_at(item, image_id)
        for look in (False, True)
        for _, item in submissions.read_files(*paths.journals, look=look)
        for image_id in item.boxes
    ]


def _after_all(paths: CampaignPaths) -> datetime:
    """Return the time, or one that is after all that the journal holds."""
    known = _submitted(paths)
    known += [entry.when for entry in class_changes.read(*paths.journals)]
    later = timedelta(microseconds=1)
    return max([datetime.now(UTC), *(moment + later for moment in known)])


def _account() -> str | None:
    with suppress(KeyError, OSError):  # an account without a name, as in some containers
        return getpass.getuser()
    return None
