"""Find the images that an annotation file names, wherever an export has put them.

Tools write names that start from the annotation file's folder, from a folder beside it, from a
folder of a split, or from the disk of another machine; with backslashes; or as a URL. So names are
compared with what lies in the dataset's folder, and nothing outside of it is ever reached.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from boxloop.datasets.file_listing import exists, list_images, within
from boxloop.errors import DatasetError

_SAMPLE = 200
"""So many names decide about a folder."""

_DRIVE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
"""A Windows drive, or the scheme of a URL."""


class ImageFolder:
    """A folder of images, and how an annotation file's names lead into it.

    Attributes:
        folder: where the names start.
        listed: the image files below it, relative to it.
    """

    def __init__(self, folder: Path, skipped: int = 0) -> None:
        """Take a folder; ``skipped`` leading folders of each name are not in it."""
        self.folder = folder
        self.listed = list_images(folder)
        self._skipped = skipped
        self._known = _index(self.listed)

    def find(self, name: str) -> Path | None:
        """Return the image that a name means, or where it should lie; None where that is outside.

        Names may differ from the disk's in case and in Unicode's normal form, where one file alone
        is meant.
        """
        literal = within(self.folder, name)
        if not self._skipped and literal not in (None, self.folder) and exists(literal):
            return literal
        parts = _parts(name, self.folder)
        if parts is not None and len(parts) > self._skipped:
            found = self._known.get(_key("/".join(parts[self._skipped :])))
            if found is not None:
                return self.folder / found
        return literal if literal != self.folder else None


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
                f"{file} lists {len(names):,} images, such as '{_shown(some[0])}', and none of them"
                f" lies in {base}: set {key} to the folder that holds them"
            )
        return ImageFolder(usual)
    best = _choose(places, file, root, base)
    most = places[best]
    if sum(_is_there(usual, name) for name in some) >= most:
        return ImageFolder(usual)
    return ImageFolder(base / best.folder, best.skipped)


def _vote(names: Iterable[str], base: Path) -> Counter[_Place]:
    """Count how many names each place would lead to a file for."""
    by_name: dict[str, list[PurePosixPath]] = {}
    for path in list_images(base):
        by_name.setdefault(_key(path.name), []).append(path)
    votes = Counter[_Place]()
    for name in names:
        parts = _parts(name, base)
        for path in by_name.get(_key(parts[-1]), []) if parts else []:
            assert parts is not None
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


def _index(paths: Iterable[PurePosixPath]) -> dict[str, PurePosixPath]:
    """Index paths whatever their case and Unicode's form; those that are alike are left out."""
    index: dict[str, PurePosixPath] = {}
    alike = set()
    for path in paths:
        if index.setdefault(_key(path.as_posix()), path) != path:
            alike.add(_key(path.as_posix()))
    for key in alike:
        del index[key]
    return index


def _key(text: str) -> str:
    return text.casefold() if text.isascii() else unicodedata.normalize("NFC", text).casefold()


def _shown(name: str) -> str:
    text = "".join(char if char.isprintable() else "?" for char in name)
    return text if len(text) <= 80 else f"{text[:80]}..."
