"""Find the campaign's images by the file names that other tools give back.

Tools drop folders or put their own in front, and Label Studio prefixes an upload with eight hex
digits and replaces what it does not like in a name. macOS writes accents as characters of their own
(NFD), most other systems do not (NFC): names are compared as NFC.

What images are whose is decided for all names of a file together: ``clip1/001.jpg`` is not the
campaign's ``clip2/001.jpg``, though a name without folders, or with those of another machine, is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from boxloop.core.types import ImageRef
from boxloop.errors import DatasetError
from boxloop.review.validation import printable

_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
_NOT_IN_UPLOADS = re.compile(r"[^-\w.]")  # what Django, below Label Studio, takes out of a name
_OF_LAYOUT = re.compile(
    r"/|\.\.|images?|imgs?|jpegimages|labels?|annotations?|xmls?|data|obj_\w+_data", re.IGNORECASE
)
"""Folders that each format puts in front, which tell no image from another."""

_OF_SPLIT = re.compile(r"(train|val|valid|validation|test|default)\d*", re.IGNORECASE)
_NAMED = 5  # so many images are spelled out in an error

_Parts = tuple[str, ...]
_Known = tuple[ImageRef, _Parts, _Parts]  # an image, its name, and the folders that tell it


@dataclass(frozen=True)
class Match:
    """The images that a name may mean.

    Attributes:
        name: as the file has it.
        images: those that it fits best; several where it does not tell them apart.
        folders: its folders, but for those of a layout; none of an upload, which has lost its own.
        equal: number of them, right before the file's own name, that the images have, too.
        moved: whether it is a path of another machine, or a URL.
        text: whether it is that of a file that is called after its image.
    """

    name: str
    images: tuple[ImageRef, ...] = ()
    folders: _Parts = ()
    equal: int = 0
    moved: bool = False
    text: bool = False

    @property
    def nested(self) -> bool:
        """Whether the images' ids have folders."""
        return all(_folders(_parts(image.id)) for image in self.images)

    def roots(self) -> set[_Parts]:
        """Return the folders that the dataset lies in where the name was made."""
        found = set()
        for image in self.images:
            own = _folders(_parts(image.id))
            count = len(self.folders) - len(own)
            if count >= 0 and self.folders[count:] == own:
                found.add(self.folders[:count])
        return found


class _Table:
    """Names by what they end with, and the folder before it."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, list[_Known]]] = {}

    def add(self, key: str, image: ImageRef, parts: _Parts) -> None:
        folders = _folders(parts)
        near = self._names.setdefault(key, {}).setdefault("".join(folders[-1:]), [])
        near.append((image, parts, folders))

    def find(self, key: str, folders: _Parts) -> list[_Known]:
        """Return the names that end so, only those in a folder of that name where there are any."""
        groups = self._names.get(key, {})
        return groups.get("".join(folders[-1:])) or [known for g in groups.values() for known in g]


class _Tables:
    """Names as they are, and as Label Studio's uploads have them."""

    def __init__(self) -> None:
        self._exact, self._upload = _Table(), _Table()

    def add(self, image: ImageRef, parts: _Parts) -> None:
        self._exact.add(parts[-1], image, parts)
        self._upload.add(_as_upload(parts[-1]), image, parts)

    def match(
        self, name: str, parts: _Parts, *, uploads: bool = True, text: bool = False
    ) -> Match | None:
        """Return the images that a name may mean; None if unknown.

        Args:
            name: as the file has it.
            parts: of it.
            uploads: whether it may be one that Label Studio has changed.
            text: whether it is that of a text, without its ending.
        """
        bare = _UPLOAD_PREFIX.sub("", parts[-1], count=1)
        own = _folders(parts)
        for key, table in (
            (parts[-1], self._exact),
            (bare, self._exact),
            (_as_upload(bare), self._upload),
        ):
            # A text without the prefix is no upload's: it is called as its image is.
            if table is self._upload and (not uploads or (text and bare == parts[-1])):
                continue
            if known := table.find(key, own):
                uploaded = parts[-1] not in (key, bare)
                whole = (*parts[:-1], key)
                return _closest(name, whole, known, uploaded=uploaded, text=text)
        return None


class FileNames:
    """Index the names that the images of a campaign may come back by."""

    def __init__(self, images: Sequence[ImageRef]) -> None:
        """Index all images of the campaign, to tell them apart."""
        self._names, self._texts = _Tables(), _Tables()
        for image in images:
            path = PurePosixPath(image.path)
            for parts in {_parts(image.path), _parts(image.id + path.suffix)}:
                self._names.add(image, parts)
            # By the whole name where two images differ in their endings only.
            bare = path.with_suffix("").as_posix()
            for parts in {_parts(bare), _parts(image.id), _parts(image.path)}:
                self._texts.add(image, parts)

    def match(self, name: str) -> Match:
        """Return the images that a name may mean; none if unknown.

        A name with folders means the image whose path ends alike; a bare one that several images
        have is ambiguous, unless it is the whole of one image's name.
        """
        for plain in dict.fromkeys((name, unquote(name))):
            # Label Studio serves local files as /data/local-files/?d=folder/name.jpg
            path = plain.rpartition("?d=")[2]
            # On Linux a name may have a backslash, which elsewhere ends a folder's.
            for spelled in dict.fromkeys((path, path.replace("\\", "/"))):
                parts, known = _parts(spelled), self._names
                if parts and (match := known.match(name, parts, uploads="\\" not in spelled)):
                    return match
        return Match(name)

    def match_text(self, path: PurePosixPath) -> Match:
        """Return the images that a file of labels may be called after, whatever their endings."""
        name, parts = path.as_posix(), _parts(path.with_suffix("").as_posix())
        return self._texts.match(name, parts, text=True) or Match(name, text=True)

    def match_beside(self, name: str, file: PurePosixPath) -> Match:
        """Return the images that a file's content may mean by a name, which may lack its folder."""
        bare = "/" not in name and "\\" not in name
        return self.match((file.parent / name).as_posix() if bare else name)


def pair(matches: Mapping[str, Match], source: Path) -> dict[str, ImageRef | None]:
    """Return the image of each name of a file; None for those of other images.

    Where several names may mean one image, that counts which has the most of its folders.

    Args:
        matches: by the place in the file, as an error calls it.
        source: the file.

    Raises:
        DatasetError: a name may mean several images, or nothing tells which of several is an
            image's.
    """
    told = [match for match in matches.values() if match.folders and match.equal]
    roots = {root for match in told for root in match.roots()}
    claims: dict[str, list[str]] = {}
    for place, match in matches.items():
        if not match.images or _is_elsewhere(match, roots, told=bool(told)):
            continue
        if len(match.images) > 1:
            raise DatasetError(_ambiguous(match, place, source))
        claims.setdefault(match.images[0].id, []).append(place)
    found: dict[str, ImageRef | None] = dict.fromkeys(matches)
    for image_id, places in claims.items():
        most = max(matches[place].equal for place in places)
        first, *more = (place for place in places if matches[place].equal == most)
        if more:
            raise DatasetError(
                f"{source}: {first} and {more[0]} are both image {printable(image_id)}: leave one"
                " out"
            )
        found[first] = matches[first].images[0]
    return found


def _is_elsewhere(match: Match, roots: set[_Parts], *, told: bool) -> bool:
    """Return whether a name's folders are those of another image.

    Args:
        match: of the name.
        roots: where the dataset lies by the file's other names.
        told: whether the file has names whose folders are the campaign's.
    """
    if not match.folders or match.equal:
        return False
    if not match.nested:
        return told and match.folders not in roots
    return told or not (match.moved or all(map(_OF_SPLIT.fullmatch, match.folders)))


def _ambiguous(match: Match, place: str, source: Path) -> str:
    if match.text:
        folders = match.folders[len(match.folders) - match.equal :]
        name = "/".join((*folders, PurePosixPath(match.name).stem))
        return (
            f"{place}: several images are called {printable(name)}: put the texts into folders as"
            " the images are"
        )
    several = ", ".join(image.path for image in match.images[:_NAMED])
    return (
        f"{source}, {place}: '{printable(match.name)}' may be {several}: give it the folder that"
        " tells them apart"
    )


def _parts(path: str) -> _Parts:
    return PurePosixPath(unicodedata.normalize("NFC", path)).parts


def _folders(parts: _Parts) -> _Parts:
    """Return the folders of a name that tell images apart."""
    return tuple(part for part in parts[:-1] if not _OF_LAYOUT.fullmatch(part))


def _as_upload(name: str) -> str:
    return _NOT_IN_UPLOADS.sub("", name.replace(" ", "_"))


def _closest(
    name: str,
    parts: _Parts,
    candidates: Sequence[_Known],
    *,
    uploaded: bool = False,
    text: bool = False,
) -> Match:
    own = _folders(parts)
    best: dict[str, tuple[tuple[int, bool, int, bool], ImageRef]] = {}
    for image, known, theirs in candidates:
        # Those of a layout decide where nothing else does.
        score = (
            _common_tail(own, theirs),
            own == theirs,
            _common_tail(parts[:-1], known[:-1]),
            parts == known,
        )
        if image.id not in best or score > best[image.id][0]:
            best[image.id] = score, image
    top = max(score for score, _ in best.values())
    images = tuple(image for score, image in best.values() if score == top)
    moved = parts[0] == "/" or ":" in parts[0]
    return Match(name, images, () if uploaded else own, top[0], moved, text)


def _common_tail(a: _Parts, b: _Parts) -> int:
    """Count the equal folders right before the file's own name."""
    pairs = zip(reversed(a), reversed(b), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
