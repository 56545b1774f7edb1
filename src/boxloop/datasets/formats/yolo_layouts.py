"""The layouts of YOLO sets: which classes there are, and which images each part lists.

See :mod:`.yolo` for what they look like.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from boxloop.datasets.faults import FaultKind, FaultLog, printable
from boxloop.datasets.file_listing import (
    exists,
    pick_images,
    read_text,
    regular,
    require_folder,
    walk_all,
    within,
)
from boxloop.datasets.flat_yaml import FlatYaml
from boxloop.datasets.formats.yolo_paths import (
    find_doubts,
    list_class_files,
    read_class_list,
    read_class_lists,
    read_image_list,
    resolve,
)
from boxloop.datasets.formats.yolo_yaml import keypoints_of, read_exif, read_keypoints, read_names
from boxloop.datasets.yolo_names import DARKNET_KEYS, YAML_NAMES, YAML_SUFFIXES
from boxloop.errors import DatasetError

IMAGES = "images"

_SPLITS = ("train", "val", "test")
_ALIASES = {"validation": "val", "valid": "val"}
_NO_SPLITS = ("names", "nc", "path", "kpt_shape", "flip_idx", "download")
_MOST_FOLDERS = 5  # named in an error
_LONGEST = 300  # characters of a path
_NAMES_KEY = re.compile(r"^(names|train)\s*:", re.MULTILINE)


@dataclass
class Layout:
    """What the files of a YOLO set say of it.

    Attributes:
        root: the dataset's folder.
        source: what lists the images, as an error calls it.
        classes: name by number.
        parts: images by part (train, val, ...), relative to the root.
        absent: a sentence for each folder or list that does not exist, with its part.
        keypoints: how many numbers follow the four of a box, of poses.
        whole: whether all parts are read.
        ids_below: the folder of images that ids start below, where an export of boxloop says it.
        exif: for which pixels the boxes of turned photos are, where it says that.
        doubts: files that contradict the classes, and what they say.
    """

    root: Path
    source: str
    classes: dict[int, str] = field(default_factory=dict)
    parts: dict[str, list[PurePosixPath]] = field(default_factory=dict)
    absent: list[tuple[str, str]] = field(default_factory=list)
    keypoints: int = 0
    whole: bool = True
    ids_below: str | None = None
    exif: str | None = None
    doubts: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def images(self) -> set[PurePosixPath]:
        """The images of all parts."""
        return {image for images in self.parts.values() for image in images}

    def settle(self, unlisted: Iterable[str], log: FaultLog) -> None:
        """Count what no part lists, and judge what does not exist.

        Args:
            unlisted: images of the folder that are in none of the parts.
            log: where faults are named.

        Raises:
            DatasetError: images may be gone without a word.
        """
        rest = list(unlisted) if self.whole else []
        if rest:
            log.left_out[f"images that {self.source} does not list"] += len(rest)
        for part, sentence in self.absent:
            # Exports list a test split that they do not hold.
            if part != "test" or rest or not self.whole or not any(self.parts.values()):
                folders = sorted({name.rpartition("/")[0] or "." for name in rest})
                where = f"; images that are not listed lie in {', '.join(folders[:_MOST_FOLDERS])}"
                raise DatasetError(
                    f"{sentence}{where if folders else ''}: put the path right, or take it out"
                )
            log.add(FaultKind.MISSING_IMAGE, self.root, sentence)


def find_layout(root: Path, split: str | None, names: Sequence[str], log: FaultLog) -> Layout:
    """Read the files that describe a YOLO set.

    Args:
        root: ``dataset.path``: a folder, data.yaml or obj.data.
        split: ``dataset.split``.
        names: all files of the folder, relative to it.
        log: where faults are named.

    Raises:
        DatasetError: the layout is not YOLO's, or the split does not exist.
    """
    if not root.is_dir() and root.suffix.lower() in (*YAML_SUFFIXES, ".data") and regular(root):
        described, root = root, root.parent
    else:
        found = _find_description(require_folder(root), names)
        if found is None:
            return _from_folders(root, split, names, log)
        described = found
    read = _from_darknet if described.suffix.lower() == ".data" else _from_data_yaml
    layout = read(described, root, split, log)
    layout.doubts = find_doubts(layout.classes, described, root, names)
    return layout


def find_classes(
    root: Path, names: Sequence[str], log: FaultLog, given: Path | None = None
) -> tuple[dict[int, str], int] | None:
    """Return the classes by number that a folder names, and the numbers behind each box of a pose.

    None where it names none.

    Args:
        root: the folder.
        names: all its files, relative to it.
        log: where faults are named.
        given: the file that decides about the names, whatever the folder says.

    Raises:
        DatasetError: a file that names them is at fault, or several differ.
    """
    found = _find_description(root, names)
    described = found if found is not None and found.suffix.lower() in YAML_SUFFIXES else None
    if given is not None:
        return read_class_file(given, log), keypoints_of(given) or keypoints_of(described)
    if described is not None:
        classes = read_names(FlatYaml(described))
        for file, detail in find_doubts(classes, described, root, names):
            log.add(FaultKind.CLASS_NUMBERS, file, detail)
        return classes, keypoints_of(described)
    lists = list_class_files(root, names)
    return (read_class_lists(lists, log), 0) if lists else None


def find_exif(root: Path, names: Sequence[str]) -> str | None:
    """Return for which pixels the boxes of turned photos are, where a folder's data.yaml says it.

    The arguments are those of :func:`find_classes`.
    """
    found = _find_description(root, names)
    described = found is not None and found.suffix.lower() in YAML_SUFFIXES
    return read_exif(FlatYaml(found)) if found is not None and described else None


def read_class_file(file: Path, log: FaultLog) -> dict[int, str]:
    """Return the classes by number that a data.yaml names, or a text with one on each line.

    Raises:
        DatasetError: the file cannot be read, or names no class.
    """
    if file.suffix.lower() in YAML_SUFFIXES:
        return read_names(FlatYaml(file))
    return read_class_list(file, log)


def _find_description(root: Path, names: Sequence[str]) -> Path | None:
    """Find data.yaml by its name or content, else Darknet's obj.data."""
    top = sorted(name for name in names if "/" not in name and regular(root / name))
    for name in YAML_NAMES:
        if name in top:
            return root / name
    for endings in (YAML_SUFFIXES, (".data",)):
        files = [root / name for name in top if name.lower().endswith(endings)]
        found = [file for file in files if _has_keys(file, endings == YAML_SUFFIXES)]
        if len(found) > 1:
            several = ", ".join(file.name for file in found[:_MOST_FOLDERS])
            raise DatasetError(
                f"{root} holds several descriptions ({several}): set dataset.path to one of them"
            )
        if found:
            return found[0]
    return None


def _has_keys(file: Path, yaml: bool) -> bool:
    """Return whether a file has the keys of a description, by a look at its text."""
    try:
        text = read_text(file)
    except DatasetError:
        return False
    pattern = _NAMES_KEY if yaml else DARKNET_KEYS
    return {match[1] for match in pattern.finditer(text)} == {"names", "train"}


# --- data.yaml ------------------------------------------------------------------------------------


def _from_data_yaml(data_yaml: Path, root: Path, split: str | None, log: FaultLog) -> Layout:
    content = FlatYaml(data_yaml)
    layout = Layout(root, printable(data_yaml.name), read_names(content), whole=split is None)
    layout.keypoints, layout.ids_below = read_keypoints(content), content.text("ids_below")
    layout.exif = read_exif(content)
    keys = _find_splits(content)
    if split is not None:
        keys = _pick_split(split, keys, content)
    if not keys:
        raise DatasetError(f"{data_yaml} has none of the keys {', '.join(_SPLITS)}")
    base = _base(content.text("path"), root)
    given: dict[str, list[str]] = {}
    for part, key in keys.items():
        items = content.items(key)
        if items is None:
            raise DatasetError(f"{data_yaml}: {key} must be a path, or a list of paths")
        given[part] = items
    for part, items in given.items():
        others = [item for more in given.values() for item in more]
        for item in items:
            _add(layout, part, item, f"{data_yaml}: {keys[part]}", base, others, log)
    return layout


def _base(said: str | None, root: Path) -> Path:
    """Return the folder that the paths start from; the root where ``path`` is not inside it."""
    place = resolve(said, root, root) if said else None
    return place if place is not None and place.is_dir() else root


def _find_splits(content: FlatYaml) -> dict[str, str]:
    """Return the key of each split that is listed.

    Raises:
        DatasetError: a split is listed twice, or a key looks like a misspelled one.
    """
    keys: dict[str, str] = {}
    for key in (*_SPLITS, *_ALIASES):
        part = _ALIASES.get(key, key)
        if content.is_empty(key):
            continue
        if part in keys:
            raise DatasetError(f"{content.file} has both '{keys[part]}' and '{key}': keep one")
        keys[part] = key
    for key in content.keys:
        if key in (*_SPLITS, *_ALIASES, *_NO_SPLITS) or not key.isalpha():
            continue
        close = difflib.get_close_matches(key.lower(), _SPLITS + tuple(_ALIASES), 1, cutoff=0.7)
        if close and _ALIASES.get(close[0], close[0]) not in keys and not content.is_empty(key):
            raise DatasetError(f"{content.file}: '{key}' is no key: did you mean '{close[0]}'?")
    return keys


def _pick_split(split: str, keys: dict[str, str], content: FlatYaml) -> dict[str, str]:
    part = _ALIASES.get(split, split)
    if part in keys:
        return {part: keys[part]}
    if content.is_empty(split) or split in _NO_SPLITS:
        known = ", ".join(keys) or "none"
        raise DatasetError(f"dataset.split '{split}' is not in {content.file} (known: {known})")
    return {split: split}


# --- Darknet --------------------------------------------------------------------------------------


def _from_darknet(file: Path, root: Path, split: str | None, log: FaultLog) -> Layout:
    """Read obj.data, obj.names and lists of images, as Darknet and CVAT (YOLO 1.1) have them."""
    rows = (line.partition("=") for line in read_text(file).splitlines())
    content = {key.strip(): value.strip() for key, _, value in rows if value.strip()}
    place = _resolve_moved(content.get("names", ""), root)
    if place is None or not regular(place):
        raise DatasetError(f"{file} needs 'names', a file that lists the classes")
    layout = Layout(root, printable(file.name), read_class_list(place, log), whole=split is None)
    keys = {"train": "train", "val": "valid", "test": "test"}
    present = {part: key for part, key in keys.items() if key in content}
    if split is not None:
        part = _ALIASES.get(split, split)
        if part not in present:
            known = ", ".join(present) or "none"
            raise DatasetError(f"dataset.split '{split}' is not in {file} (known: {known})")
        present = {part: present[part]}
    for part, key in present.items():
        item = content[key]
        found = _resolve_moved(item, root)
        if found is not None:
            item = found.relative_to(root).as_posix()
        _add(layout, part, item, f"{file}: {key}", root, (), log)
    if not present:
        raise DatasetError(f"{file} has none of the keys {', '.join(keys.values())}")
    return layout


def _resolve_moved(item: str, root: Path) -> Path | None:
    """Find a file that is named from the folder that Darknet was started in."""
    parts = PurePosixPath(item.lstrip("/")).parts
    for count in range(len(parts)):
        place = within(root, "/".join(parts[count:]))
        if place is not None and regular(place):
            return place
    return None


# --- plain folders --------------------------------------------------------------------------------


def _from_folders(root: Path, split: str | None, names: Sequence[str], log: FaultLog) -> Layout:
    """Read ``images/`` and ``labels/``, or pictures and texts side by side."""
    lists = list_class_files(root, names)
    if not lists:
        raise DatasetError(
            f"{root} is not a YOLO set: it needs data.yaml, or images/, labels/ and classes.txt"
            " (or pictures, texts and classes.txt side by side)"
        )
    layout = Layout(root, f"{IMAGES}/", read_class_lists(lists, log), whole=split is None)
    base = root / IMAGES if (root / IMAGES).is_dir() else root
    if split is not None:
        places = (base / split, root / split / IMAGES, root / split)
        found = next((place for place in places if place.is_dir()), None)
        if found is None:
            raise DatasetError(f"dataset.split '{split}': {base / split} does not exist")
        base = found
    layout.parts[split or ""] = _list_images(base, root, log)
    return layout


def _list_images(folder: Path, root: Path, log: FaultLog) -> list[PurePosixPath]:
    """List the images below ``folder``, relative to ``root``, in no order."""
    inside = folder.relative_to(root).as_posix()
    start = "" if inside == "." else f"{inside}/"
    return [PurePosixPath(start + name) for name in pick_images(folder, walk_all(folder), log)]


def _add(
    layout: Layout,
    part: str,
    item: str,
    key: str,
    base: Path,
    others: Sequence[str],
    log: FaultLog,
) -> None:
    """Add the images of one folder or list to a part; ``key`` is what an error calls its place."""
    root, images, said = layout.root, layout.parts.setdefault(part, []), printable(item, _LONGEST)
    place = resolve(item, base, root, others)
    if place is None or (item.startswith("/") and exists(Path(item)) and not exists(place)):
        raise DatasetError(
            f"{key} '{said}' leads outside the dataset's folder {root}: set dataset.path to a"
            " folder that holds it"
        )
    if not exists(place):
        layout.absent.append(
            (part, f"{key} '{said}' does not exist (looked for {printable(str(place), _LONGEST)})")
        )
    elif place.is_dir():
        images += _list_images(place, root, log)
    elif place.suffix.lower() == ".txt" and regular(place):
        images += read_image_list(place, base, root, log)
    else:
        raise DatasetError(f"{key} '{place}' is neither a folder nor a .txt list of images")
