"""Whatever names images get, in whichever clone: the newest labels of their pixels count."""

import random
import shutil

import pytest

from boxloop.campaign import artifacts, newer, submissions
from boxloop.campaign.status import status_text
from boxloop.core.types import Batch, Corrections, ImageRef, ImageSet, Proposals
from boxloop.errors import ReviewPending
from boxloop.review.collect import collect
from builders import boxes, proposed
from builders_campaign import build_campaign, small_params

KEYS = ("b00", "b01")
PARAMS = small_params(2, review={"annotator": "fiftyone", "score_threshold": 0.5})
SEEDS = [1, 2, 6, 11, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 24))]
SHOWN = proposed(("cat", 0, 0, 5, 5, 0.9))


class Clone:
    """One of the campaign's; ``names`` are its images' pixels by name when it was read last."""

    def __init__(self, root):
        self.paths = build_campaign(root, PARAMS, done=0, through="batch", annotator="fiftyone")
        self.names = {}

    def reproduce(self, names):
        """Does what the stages up to the reviews do, and takes in newer labels where they are."""
        self.names = dict(names)
        refs = [ImageRef(name, f"{name}.png", 64, 48, digest) for name, digest in names.items()]
        artifacts.write_images(self.paths.images, ImageSet(tuple(refs), ("cat", "dog")))
        order = sorted(names)
        for key, ids in zip(KEYS, (order[:2], order[2:]), strict=True):
            artifacts.write_batch(self.paths.batch(key), Batch(key, tuple(ids)))
            offered = Proposals(key, "ssd", "0" * 64, 0.05, dict.fromkeys(ids, SHOWN))
            artifacts.write_proposals(self.paths.proposals(key), offered)
        made = {}
        for key in KEYS:
            paths = self.paths
            files = (paths.images, paths.truth, paths.proposals(key), paths.corrections(key))
            try:
                made[key] = collect(paths, PARAMS.review, *files, say=lambda text: None)
            except ReviewPending:
                break
        return made

    def label(self, names, number):
        """Submits images; all of their boxes begin at ``number``."""
        item = Corrections(
            Proposals("b00", "ssd", "0" * 64, 0.05, dict.fromkeys(names, SHOWN)),
            0.5,
            "fiftyone",
            {name: boxes(("cat", number, 0, number + 5, 5)) for name in names},
            reviewer="ann",
            finished=f"2024-01-01T12:00:{number:02d}.000000+00:00",
            digests={name: self.names[name] for name in names},
            classes=("cat", "dog"),
        )
        submissions.append(self.paths.reviews, item)


def merge(clones):
    """Has each clone hold what was submitted in any."""
    for one in clones:
        for other in clones:
            if one is not other and one.paths.reviews.exists():
                shutil.copytree(one.paths.reviews, other.paths.reviews, dirs_exist_ok=True)


def rename(names, chance, spare):
    """Gives some images another name: a new one, one that was theirs before, or one another's."""
    chosen = chance.sample(sorted(names), chance.randint(1, len(names)))
    free = [*chosen, *chance.sample(spare, len(spare))]
    after = chance.sample(free, len(chosen))
    moved = dict(zip(after, (names[name] for name in chosen), strict=True))
    return {**{name: d for name, d in names.items() if name not in chosen}, **moved}


def by_pixels(made, names):
    """Numbers of the labels that were put together, by pixels."""
    found = {}
    for item in made.values():
        for name, final in item.boxes.items():
            found.setdefault(names[name], []).append(int(final.xyxy[0, 0]))
    return found


def require_nothing_newer(clone, made):
    images = artifacts.read_images(clone.paths.images)
    assert newer.find(clone.paths, made, images) == {}
    assert "newer labels" not in status_text(clone.paths, PARAMS)


@pytest.mark.parametrize("seed", SEEDS)
def test_of_each_image_the_newest_labels_count_in_every_clone(tmp_path, seed):
    chance = random.Random(seed)
    names = {f"i{n}": f"pixels {n}" for n in range(4)}
    spare = [f"j{n}" for n in range(3)]
    clones = [Clone(tmp_path / name) for name in ("one", "other")]
    for clone in clones:
        clone.reproduce(names)
    newest = dict.fromkeys(names.values(), 1)
    clones[0].label(names, 1)
    for number in range(2, 9):
        clone = chance.choice(clones)
        kind = chance.choice(["rename", "reproduce", "merge", "label"])
        if kind == "rename":
            names = rename(names, chance, [n for n in (*spare, "i0", "i1") if n not in names])
        elif kind == "reproduce":
            clone.reproduce(names)
        elif kind == "merge":
            merge(clones)
        else:
            chosen = chance.sample(sorted(clone.names), chance.randint(1, 4))
            clone.label(chosen, number)
            newest |= {clone.names[name]: number for name in chosen}
        print(kind, clone.paths.root.name, names)
    merge(clones)
    for clone in clones:
        made = clone.reproduce(names)
        assert by_pixels(made, names) == {pixels: [n] for pixels, n in newest.items()}
        require_nothing_newer(clone, made)


@pytest.mark.parametrize("seed", SEEDS)
def test_of_twins_one_has_the_newest_labels(tmp_path, seed):
    """Where twins get other names, nothing tells which of them is which."""
    chance = random.Random(seed)
    names = {"i0": "twin", "i1": "twin", "i2": "other", "i3": "twin"}
    spare = ["j0", "j1", "j2"]
    clones = [Clone(tmp_path / name) for name in ("one", "other")]
    for clone in clones:
        clone.reproduce(names)
    clones[0].label(names, 1)
    last = 1
    for number in range(2, 9):
        clone = chance.choice(clones)
        kind = chance.choice(["rename", "reproduce", "merge", "label"])
        if kind == "rename":
            twins = {name: "twin" for name in names if names[name] == "twin"}
            free = [n for n in (*spare, "i0", "i1", "i3") if n not in names]
            names = {"i2": "other", **rename(twins, chance, free)}
        elif kind == "reproduce":
            clone.reproduce(names)
        elif kind == "merge":
            merge(clones)
        else:
            twins = [name for name in clone.names if clone.names[name] == "twin"]
            clone.label(chance.sample(sorted(twins), chance.randint(1, 2)), number)
            last = number
        print(kind, clone.paths.root.name, names)
    merge(clones)
    for clone in clones:
        clone.reproduce(names)  # it may keep labels in the journal, of twins by other names
        made = clone.reproduce(names)
        assert max(by_pixels(made, names)["twin"]) == last
        require_nothing_newer(clone, made)
