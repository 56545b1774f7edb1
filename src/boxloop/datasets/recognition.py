"""Recognize what a folder holds: a format that boxloop reads, or another one and the way out.

Judged by names and a look into a few files; nothing is decoded. :func:`boxloop.datasets.load` has
the last word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from boxloop.datasets.coco_search import find_coco_files, look_into, root_of
from boxloop.datasets.file_listing import absolute, exists, list_files
from boxloop.datasets.foreign import VOC_XML, YOLO_LABELS, Foreign, name_file, name_json, read_head
from boxloop.datasets.images import SUFFIXES
from boxloop.datasets.yolo_names import CLASS_LISTS, DARKNET_KEYS, YAML_NAMES, YAML_SUFFIXES
from boxloop.errors import DatasetError
from boxloop.params.registry import FORMATS

_LOOKS = 5
"""So many files of a kind are looked into."""

_LOOKS_FOR_CLASSES = 50
"""KITTI's files that are looked into before its own classes are taken for all."""

_MOST_SETS = 20
_NAMES = re.compile(r"^names\s*:", re.MULTILINE)
_PARTS = re.compile(r"^(train|val|valid|validation|test)\s*:", re.MULTILINE)
_NO_LABELS = "the pictures alone can be read with --set dataset.format=folder"
_REPAIR = "put it right, export it again, or move it away where it is no part of the set"
_NAME_OTHERS = (
    "or name the files to read by --set dataset.format=coco --set dataset.annotations=FILE"
)


@dataclass(frozen=True)
class Recognized:
    """What a folder holds.

    Attributes:
        format: the ``dataset.format`` to read it by.
        path: the ``dataset.path``.
        what: what it is taken for, in words.
        settings: further keys of ``dataset``.
        also: what else lies there, and is not read.
    """

    format: str
    path: Path
    what: str
    settings: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    also: tuple[str, ...] = ()


def recognize(path: Path) -> Recognized:
    """Return what a folder, or a file that describes a set, is to be read as.

    Raises:
        DatasetError: nothing is there, or nothing that boxloop reads; says what it is, and the way
            out.
    """
    if not exists(path):
        raise DatasetError(f"{path} does not exist")
    path = absolute(path)
    return _recognize_folder(path) if path.is_dir() else _recognize_file(path)


def name_foreign(path: Path) -> str | None:
    """Return a sentence on what a file or folder holds that boxloop does not read, if it does."""
    if path.is_dir():
        return _find_foreign(_Tree(path))
    kind = name_file(path)
    return None if kind is None else kind.sentence(path)


def _recognize_file(file: Path) -> Recognized:
    text = read_head(file)
    if file.suffix.lower() in YAML_SUFFIXES and _NAMES.search(text):
        return _described(file, file.parent)
    if file.suffix.lower() == ".data":
        return Recognized("yolo", file.parent, f"a YOLO set that {file.name} describes")
    foreign = name_file(file)
    if foreign is not None:
        raise DatasetError(foreign.sentence(file))
    root = root_of(file)
    name = file.relative_to(root).as_posix()
    return Recognized("coco", root, f"COCO's JSON ({name})", {"annotations": name})


class _Tree:
    """The files below a folder, by what their names tell."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.broken: list[str] = []  # what the look for COCO finds: a sentence on each file
        self.files = list_files(root, ("",))
        self.images = self.of(*SUFFIXES)
        self.folders = {folder for path in self.files for folder in path.parents}

    def of(self, *suffixes: str) -> list[PurePosixPath]:
        return [path for path in self.files if path.suffix.lower() in suffixes]

    def top(self, *suffixes: str) -> list[PurePosixPath]:
        return [path for path in self.of(*suffixes) if len(path.parts) == 1]

    def has_folders(self, *names: str) -> bool:
        return all(PurePosixPath(name) in self.folders for name in names)

    def subfolders(self) -> list[str]:
        return sorted({path.parts[0] for path in self.files if len(path.parts) > 1})

    def head(self, path: PurePosixPath) -> str:
        return read_head(self.root / path)


def _recognize_folder(root: Path) -> Recognized:
    tree = _Tree(root)
    if not tree.files:
        raise DatasetError(f"{root} holds no file")
    found = _find_labeled(tree)
    if found is not None and found.format != "coco":
        return replace(found, also=(*found.also, *tree.broken))
    if found is not None and tree.broken:
        raise DatasetError(f"{tree.broken[0]}; {_REPAIR}, {_NAME_OTHERS}")
    if found is not None:
        return found
    foreign = _find_foreign(tree)
    if foreign is not None:
        raise DatasetError(foreign)
    if tree.broken:
        rest = f"; {_NO_LABELS}" if tree.images else ""
        raise DatasetError(f"{tree.broken[0]}; {_REPAIR}{rest}")
    if not tree.images:
        raise DatasetError(f"{root} holds no picture, and no annotations that boxloop reads")
    return Recognized("folder", root, "pictures without labels")


def _find_labeled(tree: _Tree) -> Recognized | None:
    """Return the labeled set that a folder is, or the one that it holds."""
    found = [item for look in _LOOKS_FOR if (item := look(tree)) is not None]
    if found:
        first = found[0]
        others = tuple(item.what for item in found[1:] if item.format != first.format)
        return Recognized(first.format, first.path, first.what, first.settings, first.also + others)
    inside = []
    for name in tree.subfolders()[:_MOST_SETS]:
        below = _Tree(tree.root / name)
        inside += [item for look in _LOOKS_FOR if (item := look(below)) is not None][:1]
    if len(inside) > 1:
        names = ", ".join(item.path.relative_to(tree.root).as_posix() for item in inside)
        raise DatasetError(f"{tree.root} holds several sets: name one of its folders {names}")
    return inside[0] if inside else None


# --- formats that are read ------------------------------------------------------------------------


def _described(file: Path, root: Path) -> Recognized:
    path = root if file.name in YAML_NAMES else file
    return Recognized("yolo", path, f"a YOLO set that {file.name} describes")


def _look_for_yaml(tree: _Tree) -> Recognized | None:
    for path in sorted(tree.top(*YAML_SUFFIXES), key=lambda path: path.name not in YAML_NAMES):
        text = tree.head(path)
        if _NAMES.search(text) and _PARTS.search(text):
            return _described(tree.root / path, tree.root)
    return None


def _look_for_darknet(tree: _Tree) -> Recognized | None:
    for path in tree.top(".data"):
        if {match[1] for match in DARKNET_KEYS.finditer(tree.head(path))} == {"names", "train"}:
            return Recognized("yolo", tree.root, f"a YOLO set that {path} describes")
    return None


def _look_for_voc(tree: _Tree) -> Recognized | None:
    if any(
        folder.name == "JPEGImages" and folder.parent / "Annotations" in tree.folders
        for folder in tree.folders
        if len(folder.parts) <= 3
    ):
        return Recognized("voc", tree.root, "VOC (Annotations/ and JPEGImages/)")
    for path in tree.of(".xml")[:_LOOKS]:
        if name_file(tree.root / path) == VOC_XML:
            return Recognized("voc", tree.root, f"VOC ({path} and others)")
    return None


def _look_for_kitti(tree: _Tree) -> Recognized | None:
    for base in ("training/", ""):
        if tree.has_folders(f"{base}image_2", f"{base}label_2"):
            labels = PurePosixPath(f"{base}label_2")
            files = [path for path in tree.of(".txt") if labels in path.parents]
            what = f"KITTI ({base}image_2 and {base}label_2)"
            return Recognized("kitti", tree.root, what, _own_classes(tree, files))
    return None


def _own_classes(tree: _Tree, files: Sequence[PurePosixPath]) -> dict[str, tuple[str, ...]]:
    """Return ``classes`` where label files name others than KITTI's, as the first files tell."""
    known = {*FORMATS.get("kitti").CLASSES, "DontCare"}
    found: set[str] = set()
    for number, path in enumerate(files):
        lines = tree.head(path).splitlines()
        found |= {columns[0] for line in lines if len(columns := line.split()) in (15, 16)}
        if number == _LOOKS_FOR_CLASSES and found <= known:
            break
    return {"classes": tuple(sorted(found - {"DontCare"}))} if found - known else {}


def _look_for_coco(tree: _Tree) -> Recognized | None:
    chosen, others, tree.broken = find_coco_files(tree.root, tree.of(".json"), tree.images)
    if not chosen:
        return None
    names = tuple(path.as_posix() for path in chosen)
    also = tuple(f"COCO's JSON ({path}) of the same pictures" for path in others)
    annotations = names[0] if len(names) == 1 else names
    what = f"COCO's JSON ({', '.join(names)})"
    return Recognized("coco", tree.root, what, {"annotations": annotations}, also)


def _look_for_yolo(tree: _Tree) -> Recognized | None:
    lists = [path for path in tree.of(".txt", ".names", ".labels") if path.name in CLASS_LISTS]
    near = [path for path in lists if path.parent.as_posix() in (".", "labels")]
    if not near or not _yolo_labels(tree):
        return None
    return Recognized("yolo", tree.root, f"a YOLO set with the classes of {near[0]}")


_LOOKS_FOR: Sequence[Callable[[_Tree], Recognized | None]] = (
    _look_for_yaml,
    _look_for_darknet,
    _look_for_voc,
    _look_for_kitti,
    _look_for_coco,
    _look_for_yolo,
)


def _yolo_labels(tree: _Tree) -> list[PurePosixPath]:
    """Return a few label files of YOLO's: named as a picture is."""
    stems = {path.stem for path in tree.images}
    named = [path for path in tree.of(".txt") if path.stem in stems][:_LOOKS]
    # Empty ones are of pictures without objects.
    return [p for p in named if not tree.head(p).strip() or name_file(tree.root / p) == YOLO_LABELS]


# --- formats that are not -------------------------------------------------------------------------


def _find_foreign(tree: _Tree) -> str | None:
    """Return a sentence on labels of another kind, with the way out."""
    for path in tree.of(".json")[:_LOOKS]:
        kind = name_json(look_into(tree.root / path)[0])
        if kind is not None:
            return _sentence(tree, path, kind)
    texts = (".xml", ".csv", ".tsv", ".xlsx", ".jsonl", ".ndjson", ".manifest")
    others = (".parquet", ".tfrecord", ".record", ".mat", ".pkl")
    for suffix in (*texts, *others):
        for path in tree.of(suffix)[:_LOOKS]:
            kind = name_file(tree.root / path)
            if kind is not None:
                return _sentence(tree, path, kind)
    labels = _yolo_labels(tree)
    if any(tree.head(path).strip() for path in labels):
        return (
            f"{tree.root} holds label files of YOLO's ({labels[0]}) without the names of the"
            " classes: write them into classes.txt in that folder, one in a line, in the order of"
            " their numbers"
        )
    if not tree.images:
        for path in tree.of(".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"):
            return f"{tree.root} holds an archive ({path}): unpack it, and name the folder"
    return None


def _sentence(tree: _Tree, path: PurePosixPath, kind: Foreign) -> str:
    rest = f"; {_NO_LABELS}" if tree.images else ""
    return f"{kind.sentence(tree.root / path)}{rest}"
