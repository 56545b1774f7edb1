"""Find what the paths in YOLO's files mean, in the folder that the set lies in today.

Exports say ``../train/images`` for ``train/images``, give the folder that the set lay in on another
machine, or start from the folder that a training was started in. Nothing outside the dataset's
folder is ever meant.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.datasets.file_listing import Spellings, exists, read_text, regular, within
from boxloop.datasets.flat_yaml import FlatYaml
from boxloop.datasets.images import SUFFIXES
from boxloop.datasets.yolo_names import CLASS_LISTS
from boxloop.errors import DatasetError
from boxloop.terminal import counted

_SAMPLE = 50  # entries of a list that show where they start from


def resolve(item: str, base: Path, root: Path, others: Sequence[str] = ()) -> Path | None:
    """Return the place that a path means; None where it leads outside ``root``.

    The place may not exist, where none does that it could mean.

    Args:
        item: the path as the file has it.
        base: the folder that relative paths start from.
        root: the dataset's folder.
        others: further paths that were written by the same hand.
    """
    places = list(_places(item, base, root))
    for place in places:
        if exists(found := Spellings().find(place)):
            return found
    plain = _plain(item)
    if plain.startswith("/") and not exists(Path(item)):
        moved = [_plain(other) for other in (item, *others) if _plain(other).startswith("/")]
        dropped = _count_moved(moved, root)
        return root / _drop(plain, dropped) if dropped else root / plain.lstrip("/")
    return places[0] if places else None


def _places(item: str, base: Path, root: Path) -> Iterator[Path]:
    for name in dict.fromkeys((item, _plain(item))):
        if name.startswith("/"):
            inside = _below(name, root)
            if inside is not None:
                yield inside
            continue
        for start in (base, root):
            plain = name
            while (place := within(start, plain)) is None and plain.startswith("../"):
                plain = plain.removeprefix("../")
            if place is not None:
                yield place
        # from the folder above, as where a training was started there
        parts = [part for part in PurePosixPath(posixpath.normpath(name)).parts if part != ".."]
        if parts[:1] == [root.resolve().name]:
            yield root.joinpath(*parts[1:])


def _plain(name: str) -> str:
    """Return a path with slashes and without a drive, as Windows' are not."""
    if "\\" not in name and not PureWindowsPath(name).drive:
        return name
    return PureWindowsPath(name).as_posix().removeprefix(PureWindowsPath(name).drive)


def _below(name: str, root: Path) -> Path | None:
    """Return an absolute path as one below ``root``; None where it is not."""
    plain = posixpath.normpath(name)
    for top in (root.absolute().as_posix(), root.resolve().as_posix()):
        if plain == top or plain.startswith(f"{top.rstrip('/')}/"):
            return root / plain[len(top) :].lstrip("/")
    return None


def _drop(name: str, count: int) -> str:
    return "/".join(PurePosixPath(name.lstrip("/")).parts[count:])


def _count_moved(names: Sequence[str], root: Path) -> int:
    """Return how many leading folders of absolute paths belong to another machine; 0 if unknown.

    The paths must agree on it, and what is left must say enough: a single folder called "images"
    is in every set.
    """
    parts = [PurePosixPath(posixpath.normpath(name).lstrip("/")).parts for name in names]
    for count in range(1, min(map(len, parts))):
        tails = {part[count:] for part in parts}
        enough = len(tails) > 1 or min(map(len, tails)) > 1
        if (enough or parts[0][count - 1] == root.resolve().name) and all(
            exists(root.joinpath(*tail)) for tail in tails
        ):
            return count
    return 0


def read_image_list(file: Path, base: Path, root: Path, log: FaultLog) -> list[PurePosixPath]:
    """Read a .txt list of images, relative to ``root``; ``./`` starts from the file's own folder.

    Lines that name no image of the dataset are logged.
    """
    lines = [line.strip() for line in read_text(file).splitlines()]
    find = _starting_point([line for line in lines if line], file, base, root)
    found: dict[PurePosixPath, int] = {}
    for number, name in enumerate(lines, start=1):
        if not name:
            continue
        path = find(name)
        if path is None:
            detail = f"line {number}: '{name}' leads outside the dataset's folder"
            log.add(FaultKind.PATH_OUTSIDE_DATASET, file, detail)
        elif not name.lower().endswith(SUFFIXES):
            detail = f"line {number}: '{name}' is not an image file"
            log.add(FaultKind.UNREADABLE_IMAGE, file, detail)
        elif (image := PurePosixPath(path.relative_to(root).as_posix())) in found:
            detail = f"line {number}: '{name}' is in line {found[image]}, too"
            log.add(FaultKind.DUPLICATE_ID, file, detail)
        else:
            found[image] = number
    return list(found)


_Find = Callable[[str], Path | None]


def _starting_point(names: Sequence[str], file: Path, base: Path, root: Path) -> _Find:
    """Return how the entries of a list are to be understood: the way that finds most of them."""

    def as_said(name: str) -> Path | None:
        name = _plain(name)
        if name.startswith("/"):
            return _below(name, root)
        start = file.parent if name.startswith("./") else base
        return within(root, (start / name).relative_to(root).as_posix())

    def from_(start: Path) -> _Find:
        inside = PurePosixPath(start.relative_to(root).as_posix())
        return lambda name: within(root, (inside / _plain(name).lstrip("/")).as_posix())

    def without(count: int) -> _Find:
        return lambda name: within(root, _drop(posixpath.normpath(_plain(name)), count))

    sample = names[:: max(1, len(names) // _SAMPLE)]
    depth = max((len(PurePosixPath(_plain(name)).parts) for name in sample), default=0)
    best: _Find = as_said
    most = 0
    for way in (as_said, from_(root), from_(file.parent), *map(without, range(1, depth))):
        hits = sum(path is not None and exists(path) for path in map(way, sample))
        if hits > most:
            best, most = way, hits
        if most == len(sample):
            break
    if best is as_said:
        return best

    def either(name: str) -> Path | None:
        said = as_said(name)
        return said if said is not None and regular(said) else best(name)

    return either


def read_class_list(file: Path, log: FaultLog) -> dict[int, str]:
    """Read a list of classes, one per line: names by number, from 0 on.

    A blank line has a number, too, as in Darknet and LabelImg; it is logged.

    Raises:
        DatasetError: the file cannot be read, or names no class.
    """
    lines = read_text(file).rstrip().splitlines()
    names = {number: line.strip() for number, line in enumerate(lines) if line.strip()}
    if not names:
        raise DatasetError(f"{file} names no class: write one per line, in the order of numbers")
    for number in range(len(lines)):
        if number not in names:
            detail = f"line {number + 1}: is blank, and counts as class {number} without a name"
            log.add(FaultKind.MALFORMED_ANNOTATION, file, detail)
    return names


def list_class_files(root: Path, names: Sequence[str]) -> list[Path]:
    """Return the lists of classes among all files of a folder, which are relative to it."""
    lists = [root / name for name in names if name.rpartition("/")[2] in CLASS_LISTS]
    lists += [root / n for n in names if n.endswith(".names") and root / n not in lists]
    return [file for file in lists if regular(file)]


def read_class_lists(lists: Sequence[Path], log: FaultLog) -> dict[int, str]:
    """Read class lists that may lie in several folders; one may be a longer version of another.

    Raises:
        DatasetError: one cannot be read or names no class, or two differ.
    """
    longest: tuple[dict[int, str], Path] | None = None
    for file in lists:
        classes = read_class_list(file, log if longest is None else FaultLog())
        if longest is None:
            longest = classes, file
            continue
        known = longest[0]
        if any(known.get(number, name) != name for number, name in classes.items()):
            raise DatasetError(
                f"{longest[1]} and {file} number the classes differently: keep the right one, or"
                " read each folder as a set of its own"
            )
        if len(classes) > len(known):
            longest = classes, file
    assert longest is not None
    return longest[0]


def find_doubts(
    classes: Mapping[int, str], described: Path, root: Path, names: Sequence[str]
) -> list[tuple[Path, str]]:
    """Return what contradicts the names of a description: files, and what each of them says.

    Nothing of it counts: lists that a program has left behind are often of something else.

    Args:
        classes: what the description names, by number.
        described: data.yaml or obj.data.
        root: the folder of the set.
        names: all its files, relative to it.
    """
    doubts = []
    for file in list_class_files(root, names):
        try:
            listed = read_class_list(file, FaultLog())
        except DatasetError:
            continue
        differs = [number for number, name in listed.items() if classes.get(number, name) != name]
        if differs:
            said, counts = listed[differs[0]], classes[differs[0]]
            what = f"calls class {differs[0]} '{said}', and {described.name} '{counts}'"
            doubts.append((file, f"{what}, which counts"))
    if len(doubts) > 1:
        (file, detail), more = doubts[0], counted(len(doubts) - 1, "more list")
        doubts = [(file, f"{detail} ({more} contradict{'s' if len(doubts) == 2 else ''} it)")]
    number = None if described.suffix.lower() == ".data" else FlatYaml(described).text("nc")
    if number not in (None, str(len(classes)), str(max(classes) + 1)):
        doubts.append((described, f"says nc: {number} beside {len(classes)} names, which count"))
    return doubts
