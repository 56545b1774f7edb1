"""The batches of a new campaign, beside the images that there are."""

import pytest

from boxloop import pipeline
from boxloop.campaign import init
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.batching import plan
from boxloop.datasets import load
from boxloop.errors import ParamsError
from boxloop.params import Params, chain, check, load_params
from builders_datasets import image, text, voc_item, voc_object


@pytest.fixture(autouse=True)
def no_repository_around(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))


def voc_set(folder, images, labeled=None):
    for k in range(images):
        if labeled is None or k < labeled:
            voc_item(folder, f"{k:03}", voc_object("cup", 2, 2, 12, 12), suffix=".png")
        else:
            image(folder / "JPEGImages" / f"{k:03}.png")
    return folder


@pytest.fixture
def made(tmp_path):
    """Make a campaign; return its parameters and the notes."""

    def make(data, *overrides, batches=None, params=None):
        folder = tmp_path / "c"
        notes = init.create(folder, params=params, batches=batches, overrides=overrides, data=data)
        return load_params(folder / "params.yaml"), notes

    return make


def cut(params, tmp_path):
    images = load(params.dataset, tmp_path / "drawn").images.images
    batches = plan([i.id for i in images], list(params.iterations), **params.batch.model_dump())
    return [len(batch.image_ids) for batch in batches]


def test_a_small_set_is_cut_into_batches_that_have_images(tmp_path, made):
    params, notes = made(voc_set(tmp_path / "set", 60))
    assert cut(params, tmp_path) == [20, 20, 20]
    said = f"{tmp_path}/set has 60 images to be labeled: batch.size is 20, which fills 3 batches"
    assert said in notes
    assert "size: 20                # or count" in (tmp_path / "c" / "params.yaml").read_text()


@pytest.mark.parametrize(
    ("images", "batches", "sizes"), [(60, 8, [8] * 7 + [4]), (2, None, [1, 1]), (1, None, [1])]
)
def test_what_nobody_chose_gives_way(tmp_path, made, images, batches, sizes):
    params, _ = made(voc_set(tmp_path / "set", images), batches=batches)
    assert cut(params, tmp_path) == sizes


def test_fewer_batches_of_a_size_that_was_chosen(tmp_path, made):
    params, notes = made(voc_set(tmp_path / "set", 30), "batch.size=20")
    assert cut(params, tmp_path) == [20, 10]
    assert any("they make 2 batches, and iterations lists no more" in note for note in notes)


def test_only_images_that_can_be_used_count(tmp_path, made):
    """Images without an annotation are left out, or in no batch where labels are trusted."""
    root = voc_set(tmp_path / "set", 40, labeled=12)
    text(root / "JPEGImages" / "000.png", "no picture")
    params, _ = made(root)
    assert params.batch.size == 4
    (tmp_path / "c").rename(tmp_path / "before")
    params, _ = made(root, "dataset.labels=trusted")
    assert params.batch.size == 10


@pytest.mark.parametrize(
    ("overrides", "batches", "ways"),
    [
        (["batch.size=100"], 8, "--batches 1, or --set batch.size=4$"),
        (["batch.size=1"], 31, "--batches 30$"),
        ([], 31, "--batches 30$"),
        (["batch={sizes: [20, 20]}"], 2, "--batches 1, or other batch.sizes$"),
        (["batch={count: 40}"], 2, "batch section: --batches 2 --set batch.count=2$"),
    ],
)
def test_numbers_that_do_not_fit_make_nothing(tmp_path, made, overrides, batches, ways):
    with pytest.raises(ParamsError, match=f"has 30 images to be labeled, too few for .*{ways}"):
        made(voc_set(tmp_path / "set", 30), *overrides, batches=batches)
    assert not (tmp_path / "c").exists()


def test_numbers_of_a_recipe_are_chosen(tmp_path, made):
    own = text(
        tmp_path / "own.yaml",
        "batch: {size: 20}\niterations:\n  x: {previous: empty}\n  y: {previous: x}\n"
        "  z: {previous: y}\n",
    )
    with pytest.raises(
        ParamsError, match="too few for 3 batches by the batch section: --batches 2"
    ):
        made(voc_set(tmp_path / "set", 30), params=own)


def test_a_set_that_is_much_larger_than_the_batches_is_not_read(tmp_path, made, monkeypatch):
    def load_nothing(*arguments):
        raise AssertionError("read")

    monkeypatch.setattr("boxloop.campaign.new_batches.load", load_nothing)
    params, _ = made(voc_set(tmp_path / "set", 13), "batch.size=3", batches=2)
    assert params.batch.size == 3
    (tmp_path / "c").rename(tmp_path / "before")
    with pytest.raises(AssertionError, match="read"):
        made(tmp_path / "set", "batch.size=4", batches=2)


@pytest.mark.parametrize(
    ("overrides", "batches", "said"),
    [
        (["batch.size=3"], 2, "about 13 images, of which these 2 batches take 6: --planned makes"),
        (["batch.size=7"], 1, "13 images to be labeled, of which this batch takes 7: --planned"),
        (["batch={count: 4}"], 3, "about 13 images, of which these 3 batches take 10: --planned"),
        (["batch.size=7"], 2, None),
        (["batch={count: 4}"], 4, None),
    ],
)
def test_images_beyond_the_batches_are_told(tmp_path, made, overrides, batches, said):
    _, notes = made(voc_set(tmp_path / "set", 13), *overrides, batches=batches)
    beyond = [note for note in notes if "of which" in note]
    assert len(beyond) == (said is not None)
    assert all(f"set has {said}" in note for note in beyond)


def test_a_set_that_cannot_be_used_yet_is_said_to_be_one(tmp_path, made):
    root = tmp_path / "set"
    text(root / "JPEGImages" / "a.png", "no picture")
    text(root / "Annotations" / "a.xml", "<annotation/>")
    params, notes = made(root)
    assert params.batch.size == 100
    assert any(note.startswith(f"{root} cannot be used yet: ") for note in notes)


@pytest.mark.parametrize(("labels", "most"), [("proposed", 5), ("trusted", 2)])
def test_the_first_stage_says_it_before_the_slow_ones(tmp_path, labels, most):
    root = voc_set(tmp_path / "set", 10, labeled=6)
    dataset = {"format": "voc", "path": str(root), "labels": labels}
    said = []

    def read(turns):
        sections = {"dataset": dataset, "batch": {"size": 2}, "iterations": chain(turns)}
        sections["review"] = {"annotator": "fiftyone"}
        params = check(Params, sections, "params.yaml")
        pipeline.dataset(Campaign(CampaignPaths(tmp_path), params, say=said.append))

    with pytest.raises(ParamsError, match=f"{2 * most} images make {most} .*batch.size to 1"):
        read(most + 1)
    # What is in the set was said, as it tells why so few are left.
    assert said[0].startswith("10 images, 6 boxes")
    assert not (tmp_path / "data" / "images.json").exists()
    read(most)
    assert (tmp_path / "data" / "images.json").exists()
