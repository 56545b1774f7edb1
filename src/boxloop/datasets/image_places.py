"""Find the images that an annotation file names, wherever an export has put them.

Tools write names that start from the annotation file's folder, from a folder beside it, from a
folder of a split, or from the disk of another machine; with backslashes; or as a URL. So names are
compared with what lies in the dataset's folder, and nothing outside of it is ever reached.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from boxloop.datasets.faults import printable
from boxloop.datasets.file_listing import composed, exists, walk, within
from boxloop.datasets.images import SUFFIXES
from boxloop.errors import DatasetError

_SAMPLE = 200
"""So many names decide about a folder."""

_DRIVE = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:(?=/)")
"""A Windows drive, or the scheme of a URL; names of files may have a colon, too."""


class ImageFolder:
    """A folder of images, and how an annotation file's names lead into it.

    Attributes:
        folder: where the names start.
    """

    def __init__(self, folder: Path, skipped: int = 0) -> None:
        """Take a folder; ``skipped`` leading folders of each name are not in it."""
        self.folder = folder
        self._start = f"{folder.as_posix()}/"
        self._skipped = skipped
        self._names = set(_images(folder))

    @property
    def listed(self) -> set[str]:
        """The paths of all image files below the folder."""
        return {self._start + name for name in self._names}

    @cached_property
    def _known(self) -> dict[str, str]:
        """Paths whatever their case and Unicode's form, without those that are alike."""
        index: dict[str, str] = {}
        alike = set()
        for name in self._names:
            if index.setdefault(_key(name), name) != name:
                alike.add(_key(name))
        return {key: name for key, name in index.items() if key not in alike}

    def find(self, name: str) -> str | None:
        """Return the image that a name means, or where it should lie; None where that is outside.

        Names may differ from the disk's in case and in Unicode's normal form, where one file alone
        is meant.
        """
        if not self._skipped and name in self._names:
            return self._start + name
        literal = within(self.folder, name)
        literal = None if literal == self.folder else literal
        if not self._skipped and literal is not None and exists(literal):
            return literal.as_posix()
        parts = _parts(name, self.folder)
        if parts is not None and len(parts) > self._skipped:
            found = self._known.get(_key("/".join(parts[self._skipped :])))
            if found is not None:
                return self._start + found
        return literal.as_posix() if literal is not None else None


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder below the dataset's, and how many leading folders of the names it lacks."""

    folder: PurePosixPath
    skipped: int


def find_folder(
    names: Sequence[str], file: Path, root: Path, usual: Path, *, fixed: bool
) -> ImageFolder:
    """Find the folder that an annotation file's names start from.

    Args:
        names: of the images that the file lists.
        file: the annotation file.
        root: the dataset's folder.
        usual: the folder that they should start from.
        fixed: whether the user named that folder, so that no other one is searched.

    Raises:
        DatasetError: the images lie nowhere, or may lie in several folders.
    """
    some = names[:: max(1, len(names) // _SAMPLE)]
    if all(_is_there(usual, name) for name in some):
        return ImageFolder(usual)
    base = usual if fixed else root
    places = _vote(some, base)
    if not places:
        if not any(_is_there(usual, name) for name in some):
            key = "dataset.images" if fixed else "dataset.path"
            raise DatasetError(
                f"{file} lists {len(names):,} images, such as '{printable(some[0], 80)}', and none"
                f" of them lies in {base}: set {key} to the folder that holds them"
            )
        return ImageFolder(usual)
    best = _choose(places, file, root, base)
    most = places[best]
    if sum(_is_there(usual, name) for name in some) >= most:
        return ImageFolder(usual)
    return ImageFolder(base / best.folder, best.skipped)


def _vote(names: Sequence[str], base: Path) -> Counter[_Place]:
    """Count how many names each place would lead to a file for."""
    by_name: dict[str, list[PurePosixPath]] = {}
    listed = [parts for name in names if (parts := _parts(name, base)) is not None]
    wanted = {_key(parts[-1]) for parts in listed}
    for image in _images(base):
        if (key := _key(image.rpartition("/")[2])) in wanted:
            by_name.setdefault(key, []).append(PurePosixPath(image))
    votes = Counter[_Place]()
    for parts in listed:
        for path in by_name.get(_key(parts[-1]), []):
            pairs = zip(reversed(path.parts), reversed(parts), strict=False)
            for equal, (ours, theirs) in enumerate(pairs, start=1):
                if _key(ours) != _key(theirs):
                    break
                votes[_Place(PurePosixPath(*path.parts[:-equal]), len(parts) - equal)] += 1
    return votes


def _choose(votes: Counter[_Place], file: Path, root: Path, base: Path) -> _Place:
    """Return the place of the most images; of several, the one that the annotation file means.

    Where whole names lead to files, those without their first folders count for nothing: they may
    mean other pictures of the same name.
    """
    inside = file.relative_to(root) if file.is_relative_to(root) else Path(file.name)
    words = set(re.split(r"[\W_]+", inside.with_suffix("").as_posix().lower()))

    def rank(place: _Place) -> tuple[int, int, bool, bool]:
        folder = base / place.folder
        beside = file.parent != root and folder.is_relative_to(file.parent)
        named = any(part.lower() in words for part in place.folder.parts)
        return -place.skipped, votes[place], beside, named

    order = sorted(votes, key=rank, reverse=True)
    equals = [place.folder for place in order if rank(place) == rank(order[0])]
    if len(equals) > 1:
        places = [base / folder for folder in sorted(equals)]
        shown = [
            (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
            for path in places
        ]
        raise DatasetError(
            f"the images of {file} may lie in {' or '.join(shown[:5])}: set dataset.images to one"
            " of them"
        )
    return order[0]


def _is_there(folder: Path, name: str) -> bool:
    path = within(folder, name)
    return path is not None and path != folder and exists(path)


def _parts(name: str, folder: Path) -> tuple[str, ...] | None:
    """Return the folders and the file that a name consists of; None where it goes upwards.

    Of an absolute path within ``folder``, what follows the folder.
    """
    for inside in {folder.absolute().as_posix(), folder.resolve().as_posix()}:
        if name.startswith(f"{inside}/"):
            name = name[len(inside) + 1 :]
    plain = unquote(name.rpartition("?d=")[2]) if "?d=" in name or "%" in name else name
    plain = _DRIVE.sub("", plain.replace("\\", "/"), count=1)
    parts = tuple(part for part in plain.split("/") if part not in ("", "."))
    return parts if parts and ".." not in parts and "\0" not in plain else None


def _images(folder: Path) -> Iterator[str]:
    return (name for name in walk(folder) if name.lower().endswith(SUFFIXES))


def _key(text: str) -> str:
    return composed(text).casefold()
