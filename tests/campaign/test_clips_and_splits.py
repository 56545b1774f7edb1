"""Clips are found by names and features, and no split ever cuts one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxloop.campaign.export.clips import find_clips, merge
from boxloop.campaign.export.splitting import SPLITS, Split, split
from boxloop.core.types import FeatureTable, ImageRef
from boxloop.errors import ParamsError, UserError


def images(*paths, same=()):
    return tuple(
        ImageRef(path, path, 10, 10, "same" if path in same else f"digest of {path}")
        for path in paths
    )


def clips(*paths, features=None, same=()):
    found = images(*paths, same=same)
    table = None
    if features is not None:
        vectors = np.array(features, dtype=np.float32).reshape(len(paths), -1)
        table = FeatureTable(tuple(paths), vectors)
    return [set(clip) for clip in find_clips(found, table)]


def test_by_names_alone():
    found = clips("a/v7_001.jpg", "a/v7_002.jpg", "b/v7_003.jpg", "a/IMG_1.jpg", "a/IMG_2.jpg")
    assert found == [
        {"a/v7_001.jpg", "a/v7_002.jpg"}, {"b/v7_003.jpg"}, {"a/IMG_1.jpg"}, {"a/IMG_2.jpg"}
    ]  # fmt: skip
    assert clips("frame_9.png", "frame_10.png", "x.png") == [
        {"frame_9.png", "frame_10.png"}, {"x.png"}
    ]  # fmt: skip


def test_the_same_picture_more_than_once():
    one, two = "a_jpg.rf.0123abcd.jpg", "a_jpg.rf.89ef0123.jpg"
    assert clips(one, "b.jpg", two) == [{one, two}, {"b.jpg"}]
    assert clips("x.png", "y.png", "z.png", same=("x.png", "z.png")) == [
        {"x.png", "z.png"}, {"y.png"}
    ]  # fmt: skip


def test_features_tell_a_clip_from_photographs_that_are_counted():
    names = [f"IMG_{i}.jpg" for i in range(8)]
    # Far from each other, all of them: no clip.
    far = np.eye(8) * 10
    assert clips(*names, features=far) == [{name} for name in names]
    # A clip over a cut, beside photographs.
    apart = np.eye(10) * 10
    clip = [apart[8 + i // 4] + i / 100 for i in range(8)]
    others = [f"p{i}.jpg" for i in "abcdefgh"]
    table = [*clip, *apart[:8]]
    assert clips(*names, *others, features=table) == [set(names), *({name} for name in others)]


def test_near_duplicates_in_a_row_without_a_number():
    table = [[0, 0], [0.1, 0], [100, 0], [0, 100], [100, 100]]
    assert clips("a", "b", "c", "d", "e", features=table)[0] == {"a", "b"}


def test_images_without_features_are_judged_by_name():
    found = images("frame1.png", "frame2.png")
    table = FeatureTable(("frame1.png",), np.zeros((1, 3), np.float32))
    assert find_clips(found, table) == [("frame1.png", "frame2.png")]


@st.composite
def divided(draw):
    """Images of some folders, divided into clips, in batches."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=8))
    paths = [
        f"{draw(st.sampled_from('xyz'))}/{clip}-{i}.png"
        for clip, n in enumerate(sizes)
        for i in range(n)
    ]
    found = draw(st.permutations(images(*paths)))
    groups = {}
    for image in found:
        groups.setdefault(image.id.split("/")[1].split("-")[0], []).append(image.id)
    cuts = sorted(draw(st.sets(st.integers(1, len(found)), max_size=4)))
    batches = {image.id: f"b{sum(cut <= i for cut in cuts)}" for i, image in enumerate(found)}
    return found, [tuple(clip) for clip in groups.values()], batches


@pytest.mark.parametrize("how", SPLITS)
@given(content=divided(), val=st.sampled_from([0.1, 0.2, 0.5, 0.9]), seed=st.integers(0, 3))
def test_no_split_cuts_a_clip(how, content, val, seed):
    found, groups, batches = content
    try:
        sides, _ = split(Split(how, val, seed), found, groups, batches)
    except UserError:  # one side would be empty
        folders = {image.id: image.path.split("/")[0] for image in found}
        units = merge(groups, folders) if how == "group" else groups
        late = {key for key in batches.values() if key != batches[found[0].id]}
        clean = [c for c in groups if all(batches[i] in late for i in c)]
        assert not clean if how == "by-batch" else len(units) < 2
        return
    train, val_ids = set(sides["train"]), set(sides["val"])
    assert train | val_ids == {image.id for image in found}
    assert not train & val_ids
    assert train
    assert val_ids
    for clip in groups:
        assert set(clip) <= train or set(clip) <= val_ids
    if how == "group":
        assert not {i[0] for i in train} & {i[0] for i in val_ids}
    assert split(Split(how, val, seed), found, groups, batches)[0] == sides


def test_random_comes_near_to_the_fraction_and_depends_on_the_seed():
    found = images(*(f"{i}.png" for i in range(100)))
    groups = [(image.id,) for image in found]
    batches = dict.fromkeys((image.id for image in found), "b00")
    made = [split(Split("random", 0.25, seed), found, groups, batches)[0] for seed in (0, 1)]
    assert [len(sides["val"]) for sides in made] == [25, 25]
    assert made[0] != made[1]


@pytest.mark.parametrize(("how", "val"), [("time", 0.2), ("random", 0.0), ("random", 1.0)])
def test_what_cannot_be_asked_for(how, val):
    with pytest.raises(ParamsError, match="--split|--val"):
        Split(how, val)


@pytest.mark.parametrize("how", SPLITS)
def test_one_clip_is_split_in_no_way(how):
    """Whichever way is asked for, none of the others is advised: it would be refused, too."""
    found = images("v/f1.png", "w/f2.png", "v/f3.png")
    batches = {"v/f1.png": "b00", "w/f2.png": "b00", "v/f3.png": "b01"}
    with pytest.raises(UserError, match="are one clip, which is never cut") as caught:
        split(Split(how), found, [tuple(batches)], batches)
    assert "in a folder of its own" in str(caught.value)
    assert "take --split" not in str(caught.value)


@pytest.mark.parametrize(
    ("how", "batches"), [("group", ["b00", "b01"]), ("by-batch", ["b00", "b00"])]
)
def test_another_way_is_advised_only_where_it_works(how, batches):
    found = images("v/f1.png", "v/x.png")
    of = dict(zip(("v/f1.png", "v/x.png"), batches, strict=True))
    groups = [(image.id,) for image in found]
    with pytest.raises(UserError, match="take --split random"):
        split(Split(how), found, groups, of)
    assert split(Split("random"), found, groups, of)[0]["val"]
