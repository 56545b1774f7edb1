"""Classes that were renamed or merged: an entry in the journal each, and no label is rewritten.

What was submitted before a change is read with the names of today. Entries lie beside people's
submissions, as ``20240101T120000000000Z-rename.classes.json``.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from boxloop import __version__
from boxloop.campaign import artifacts, pixels
from boxloop.campaign.moments import parse_time
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.schemas import Text, fault_of, parse
from boxloop.core.names import require_classes
from boxloop.core.planted import renamed
from boxloop.core.types import Boxes, BoxesByImage, Corrections, ImageSet, Proposals
from boxloop.errors import ArtifactError
from boxloop.params.words import PLACEHOLDER

SUFFIX = ".classes.json"
"""Of the entries' names; those of submissions have no dot before theirs."""

Kind = Literal["rename", "merge"]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    change: Kind
    old: Text
    new: Text
    by: Text | None
    finished: Text
    classes: tuple[Text, ...]
    # Not in older files.
    changes: tuple[Text, ...] | None = None
    versions: dict[Text, Text]

    @model_validator(mode="after")
    def _of_two_classes(self) -> _File:
        require_classes((self.old, self.new, *self.classes))
        if self.old == self.new:
            raise ValueError(f"'{self.old}' cannot have become itself")
        return self


@dataclass(frozen=True)
class ClassChange:
    """One class that got another name, or became a part of another class.

    Attributes:
        kind: which of the two.
        old: the name that is no more.
        new: the name in its place; of a merged class, that of the other one.
        when: labels that were submitted before follow.
        classes: of the campaign from then on, as its entry has them.
        known: the entries that were there then; None where an older one does not say.
    """

    kind: Kind
    old: str
    new: str
    when: datetime
    classes: tuple[str, ...] = ()
    known: tuple[str, ...] | None = field(default=None, compare=False)

    @property
    def entry(self) -> str:
        """The name of its file, which no other change of any branch has."""
        return f"{self.when.strftime('%Y%m%dT%H%M%S%fZ')}-{self.kind}{SUFFIX}"

    def name(self, label: str) -> str:
        """Return what a label is called after the change."""
        return self.new if label == self.old else label

    def names(self, offered: Sequence[str]) -> tuple[str, ...]:
        """Return which classes could be chosen, by the names after the change.

        Of two that were merged both had to be: else there may be objects without a box.
        """
        if self.kind == "merge" and not {self.old, self.new} <= set(offered):
            left = tuple(name for name in offered if name not in (self.old, self.new))
            # None would say that it is not known which they were.
            return left or ((PLACEHOLDER,) if offered else ())
        return tuple(dict.fromkeys(map(self.name, offered)))


def append(
    folder: Path, change: ClassChange, classes: Sequence[str], *, by: str | None = None
) -> Path:
    """Add an entry, which is on the disk when this returns.

    Args:
        folder: the journal; made where it is missing.
        change: at a time after all that was submitted.
        classes: of the campaign from now on.
        by: who did it.

    Raises:
        UserError: the folder cannot be written to.
        FileExistsError: there is one of the very same time.
    """
    path = folder / change.entry
    content = {
        "change": change.kind,
        "old": change.old,
        "new": change.new,
        "by": by,
        "finished": change.when.isoformat(timespec="microseconds"),
        "classes": list(classes),
        **({} if change.known is None else {"changes": list(change.known)}),
        "versions": {"boxloop": __version__},
    }
    artifacts.write(path, "classes", content, new=True)
    return path


def files(folder: Path) -> list[Path]:
    """List the entries of a journal, by name; no folder at all holds none."""
    try:
        return sorted(folder / name for name in os.listdir(folder) if name.endswith(SUFFIX))
    except OSError:  # whoever reads the submissions says so
        return []


def read(*folders: Path) -> tuple[ClassChange, ...]:
    """Read all entries, the oldest first; one that is in two of the folders counts once.

    Raises:
        ArtifactError: a file is damaged; names it and the way out.
    """
    found = {}
    for path in [path for folder in folders for path in files(folder)]:
        try:
            row = parse(path, "classes", _File)
            when = parse_time(row.finished)
        except (ArtifactError, ValueError) as error:
            own = isinstance(error, ArtifactError)
            fault = fault_of(error) if own else f"{path}, at finished: {error}"
            raise ArtifactError(
                f"{fault}; it says what labels are called now, so bring it back ('git"
                f" checkout {path}' where it was committed)"
            ) from None
        found[path.name] = ClassChange(row.change, row.old, row.new, when, row.classes, row.changes)
    order = sorted(found, key=lambda name: (found[name].when, name))
    return _joined([found[name] for name in order])


def _joined(changes: Sequence[ClassChange]) -> tuple[ClassChange, ...]:
    """Return changes, the oldest first, that lead to no name which another branch had given up.

    Where that branch renamed a class, whoever merged another one into it meant what it is now.
    """
    result: list[ClassChange] = []
    for change in changes:
        new = change.new
        for other in result:
            if change.known is None or other.entry in change.known:
                continue
            # This branch may have given the name up as well, and used it again for another class.
            own = set(change.known) - set(change.known if other.known is None else other.known)
            if not any(item.old == other.old for item in changes if item.entry in own):
                new = other.name(new)
        result.append(change if new == change.new else replace(change, new=new))
    return tuple(result)


def followed(
    changes: Sequence[ClassChange], listed: Sequence[str] | None, classes: Sequence[str]
) -> int | tuple[str, ...]:
    """Return which changes labels follow whose classes are chosen now.

    Args:
        changes: all of the campaign.
        listed: ``dataset.classes`` of params.yaml.
        classes: that can be chosen, those of the images' file.

    Returns:
        Their entries; 0, that nothing tells, where that file may be older than the last of them.
    """
    entries = entries_of(changes)
    return entries if not entries or listed == classes else 0


def unfinished(
    changes: Sequence[ClassChange], listed: Sequence[str], newest: datetime | None
) -> str:
    """Say of a change that it broke off after its entry was written; nothing where none did.

    Args:
        changes: all of the campaign.
        listed: the classes of params.yaml, or of the images where that lists none.
        newest: when people submitted something last.
    """
    last = changes[-1] if changes else None
    if last is None or last.old not in listed:
        return ""
    renamed, words = last.kind == "rename", f"'{last.old}' is a part of '{last.new}'"
    if renamed:
        words = f"'{last.old}' is called '{last.new}'"
    after = (last.name(name) for name in listed if renamed or name != last.old)
    if tuple(after) != last.classes:
        return ""
    # A merged class that was added again is the last one, too.
    again = not renamed and listed[-1] == last.old
    if again and newest is not None and newest > last.when:
        return ""
    return (
        f"reviews/{last.entry} says that {words}, but it is a class still: 'boxloop classes"
        f" {last.kind} {shlex.quote(last.old)} {shlex.quote(last.new)}' goes on where it was"
        " stopped" + (", unless the class was added again since" if again else "")
    )


def entries_of(changes: Iterable[ClassChange]) -> tuple[str, ...]:
    """Return the names that what follows these changes says so by."""
    return tuple(change.entry for change in changes)


def _left(changes: Sequence[ClassChange], done: int | Sequence[str]) -> list[ClassChange]:
    """Return the changes without those already followed: their entries, or how many."""
    if isinstance(done, int):
        return list(changes[done:])
    return [change for change in changes if change.entry not in done]


def applying(
    changes: Sequence[ClassChange],
    classes: Sequence[str],
    when: datetime,
    done: int | Sequence[str] = 0,
) -> list[ClassChange]:
    """Return the changes that labels have to follow.

    Args:
        changes: all of the campaign.
        classes: that could be chosen; none where that is not known.
        when: the labels were submitted. A session that was open while a class was renamed submits
            later, by the old name: where nothing else tells, what it offered does.
        done: the entries of those that the labels follow already; of older files how many.
    """
    left = _left(changes, done)
    if not isinstance(done, int):
        return left
    result = []
    for change in left:
        if when < change.when or (change.old in classes and change.new not in classes):
            result.append(change)
            classes = change.names(classes)
    return result


def follow(item: Corrections, changes: Sequence[ClassChange], when: datetime) -> Corrections:
    """Return what was submitted by the names of today; the same where nothing was renamed since."""
    if not changes or (isinstance(item.changes, int) and len(changes) < item.changes):
        return item
    for change in applying(changes, item.classes, when, item.changes):
        proposals = replace(item.proposals, boxes=rename(item.proposals.boxes, [change]))
        item = replace(
            item,
            proposals=proposals,
            boxes=rename(item.boxes, [change]),
            classes=change.names(item.classes),
            offered={i: change.names(names) for i, names in item.offered.items()},
            planted={i: renamed(e, {change.old: change.new}) for i, e in item.planted.items()},
            decided={
                i: replace(d, first=_rename(d.first, [change]), shown=_rename(d.shown, [change]))
                for i, d in item.decided.items()
            },
            rechecked={
                i: replace(look, before=_rename(look.before, [change]))
                for i, look in item.rechecked.items()
            },
        )
    done = () if isinstance(item.changes, int) else item.changes
    return replace(item, changes=tuple(sorted({*done, *entries_of(changes)})))


def followed_by_all(items: Iterable[Corrections]) -> int | tuple[str, ...]:
    """Return the changes that the names follow of what was read by the names of today."""
    found = {item.changes for item in items}
    # Several only where no entry is there: whatever knows the most of them was last made by them.
    entries = {name for known in found if not isinstance(known, int) for name in known}
    counts = [known for known in found if isinstance(known, int)]
    return tuple(sorted(entries)) if entries or not counts else max(counts)


def rename(boxes: BoxesByImage, changes: Iterable[ClassChange]) -> dict[str, Boxes]:
    """Return boxes by the names after some changes."""
    chosen = list(changes)
    return {image_id: _rename(item, chosen) for image_id, item in boxes.items()}


def named_as_today(
    boxes: BoxesByImage,
    changes: Sequence[ClassChange],
    classes: Sequence[str],
    done: int | Sequence[str] | None = None,
) -> dict[str, Boxes]:
    """Return boxes of a file that no person submitted by the names of today.

    Args:
        boxes: all of the file: a name may be used again, and others tell when it was.
        changes: all of the campaign.
        classes: of today.
        done: the entries of the changes that the file follows already, or of an older one how many;
            None where it does not say so.
    """
    if not changes:
        return dict(boxes)
    if done is None:
        done = _followed(boxes, changes, classes)
    return rename(boxes, _left(changes, done))


def read_proposals(paths: CampaignPaths, key: str, images: ImageSet) -> Proposals:
    """Read the proposals of a batch as people are to see them: by the names of today.

    A class may have been renamed after the stage had made them.

    Args:
        paths: of the campaign.
        key: of the batch.
        images: of today, with today's classes.

    Raises:
        ArtifactError: a file is missing or damaged, or an image is another one than they are for.
    """
    made, digests = artifacts.read_dated_proposals(paths.proposals(key))
    pixels.require_proposed(paths.proposals(key), digests, images)
    return as_today(made, read(*paths.journals), images)


def as_today(made: Proposals, changes: Sequence[ClassChange], images: ImageSet) -> Proposals:
    """Return proposals of a stage by the names of today.

    It says which changes they follow; where it says nothing there was none, or it was an older one.
    """
    done, names = made.changes, names_before(changes, images.classes)
    if done is None and images.changes and _names(made.boxes) <= set(names):
        done = 0
    boxes = named_as_today(made.boxes, changes, images.classes, done)
    # A merge that was given again, after the class was added again, is no second entry.
    boxes = rename(boxes, [change for change in changes if change.old not in images.classes])
    return replace(made, boxes=boxes, changes=None)


def _followed(boxes: BoxesByImage, changes: Sequence[ClassChange], classes: Sequence[str]) -> int:
    """Return after how many changes all names were classes, the latest time; 0 where never."""
    names, known = _names(boxes), classes
    for done in range(len(changes), 0, -1):
        if names <= set(known):
            return done
        known = names_before(changes[done - 1 : done], known)
    return 0


def _names(boxes: BoxesByImage) -> set[str]:
    return {name for item in boxes.values() for name in item.labels.tolist()}


def _rename(boxes: Boxes, changes: Sequence[ClassChange]) -> Boxes:
    before = boxes.labels.tolist()
    labels = before
    for change in changes:
        labels = [change.name(label) for label in labels]
    return boxes if labels == before else replace(boxes, labels=np.array(labels, dtype=np.str_))


def names_before(changes: Sequence[ClassChange], classes: Iterable[str]) -> tuple[str, ...]:
    """Return what classes are called in a dataset's own files, which no change touches."""
    names = list(classes)
    for change in reversed(changes):
        found: list[str] = []
        for name in names:
            if name != change.new:
                found.append(name)
            else:
                found += [change.old] if change.kind == "rename" else [change.new, change.old]
        names = found
    return tuple(dict.fromkeys(names))


def names_after(changes: Sequence[ClassChange], names: Iterable[str]) -> tuple[str, ...]:
    """Return what the classes of a dataset's own files are called now."""
    found = list(names)
    for change in changes:
        found = [change.name(name) for name in found]
    return tuple(dict.fromkeys(found))
