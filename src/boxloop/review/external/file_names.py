"""Find the campaign's image by the file name that another tool gives back.

Tools drop folders or put their own in front, and Label Studio prefixes an upload with eight hex
digits and replaces what it does not like in a name. macOS writes accents as characters of their own
(NFD), most other systems do not (NFC): names are compared as NFC.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import takewhile
from pathlib import PurePosixPath
from urllib.parse import unquote

from boxloop.core.types import ImageRef

_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")
_NOT_IN_UPLOADS = re.compile(r"[^-\w.]")  # what Django, below Label Studio, takes out of a name
_Parts = tuple[str, ...]


class FileNames:
    """Index the names that the images of a campaign may come back by."""

    def __init__(self, images: Sequence[ImageRef]) -> None:
        """Index all images of the campaign, to tell them apart."""
        self._exact: dict[str, list[tuple[ImageRef, _Parts]]] = {}
        self._upload: dict[str, list[tuple[ImageRef, _Parts]]] = {}
        for image in images:
            path = PurePosixPath(image.path)
            for parts in {_parts(image.path), _parts(image.id + path.suffix)}:
                self._exact.setdefault(parts[-1], []).append((image, parts))
                self._upload.setdefault(_as_upload(parts[-1]), []).append((image, parts))

    def find(self, name: str) -> list[ImageRef]:
        """Return the images that a name may mean; none if unknown.

        A name with folders means the image whose path ends alike; a bare one that several images
        have is ambiguous, unless it is the whole of one image's name.
        """
        for plain in dict.fromkeys((name, unquote(name))):
            # Label Studio serves local files as /data/local-files/?d=folder/name.jpg
            parts = _parts(plain.rpartition("?d=")[2].replace("\\", "/"))
            if not parts:
                continue
            bare = _UPLOAD_PREFIX.sub("", parts[-1], count=1)
            for key, table in (
                (parts[-1], self._exact),
                (bare, self._exact),
                (_as_upload(bare), self._upload),
            ):
                if key in table:
                    return _closest((*parts[:-1], key), table[key])
        return []


def _parts(path: str) -> _Parts:
    return PurePosixPath(unicodedata.normalize("NFC", path)).parts


def _as_upload(name: str) -> str:
    return _NOT_IN_UPLOADS.sub("", name.replace(" ", "_"))


def _closest(parts: _Parts, candidates: list[tuple[ImageRef, _Parts]]) -> list[ImageRef]:
    best: dict[str, tuple[tuple[int, bool], ImageRef]] = {}
    for image, known in candidates:
        score = (_common_tail(parts, known), parts == known)
        if image.id not in best or score > best[image.id][0]:
            best[image.id] = score, image
    top = max(score for score, _ in best.values())
    return [image for score, image in best.values() if score == top]


def _common_tail(a: _Parts, b: _Parts) -> int:
    """Count the equal folders right before the file's own name."""
    folders = zip(a[-2::-1], b[-2::-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], folders))
