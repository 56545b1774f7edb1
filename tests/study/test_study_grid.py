"""A cell is another one exactly when something that it depends on is."""

import json

import pytest

from boxloop.core.ordering import Strategy
from boxloop.core.types import ImageRef, ImageSet
from boxloop.errors import ParamsError
from boxloop.params import Params
from boxloop.params.registry import ORDERINGS
from boxloop.study.datasets import AnnotatedDataset, split_by_class
from boxloop.study.grid import cells
from builders import boxes
from builders_study import changed, spec


def dataset(pixels="0", box=10):
    refs = tuple(ImageRef(f"i{n}", f"/i{n}.png", 64, 64, pixels * 8 + str(n)) for n in range(12))
    truth = {
        ref.id: boxes(("cat" if n % 3 else "dog", 0, 0, box, 10)) for n, ref in enumerate(refs)
    }
    return AnnotatedDataset.of(ImageSet(refs, ("cat", "dog")), truth)


def grid(folder, whole=None, **changes):
    whole = whole or dataset()
    found = spec(folder, **changes)
    return {c.name: c for c in cells(found, whole, split_by_class(found, whole))}


def folders(folder, *args, **changes):
    return {name: cell.folder for name, cell in grid(folder, *args, **changes).items()}


def same(first, second):
    return {name for name in first if first[name] == second.get(name)}


def test_every_combination_once_and_features_only_where_they_are_used(tmp_path):
    found = grid(
        tmp_path,
        orderings=["random", "temporal", "similar", "dissimilar"],
        features={"a": {}, "b": {"input_size": 64}},
        detectors={"x": {}, "y": {"steps": 3}},
        seeds=[0, 4],
    )
    approaches = ["random", "temporal", "similar-a", "similar-b", "dissimilar-a", "dissimilar-b"]
    assert set(found) == {
        f"{a}.{d}.seed{s}" for a in approaches for d in ("x", "y") for s in (0, 4)
    }
    assert len({c.folder for c in found.values()}) == 24
    assert found["dissimilar-b.y.seed4"].params.features.input_size == 64


def test_an_ordering_from_outside_is_an_axis_like_the_others(tmp_path):
    ORDERINGS.register("mine", Strategy(sorted, needs_features=True, seeded=False))
    try:
        found = grid(tmp_path, orderings=["random", "mine"], seeds=[0])
    finally:
        ORDERINGS.unregister("mine")
    assert set(found) == {"random.ssd.seed0", "mine-plain.ssd.seed0"}
    assert found["mine-plain.ssd.seed0"].params.order.strategy == "mine"
    assert "seed" not in found["mine-plain.ssd.seed0"].inputs


ALL = {f"{a}.ssd.seed{s}" for a in ("random", "dissimilar-plain") for s in (0, 1)}
RANDOM = {name for name in ALL if name.startswith("random")}


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"seeds": [0, 1, 2]}, ALL),
        ({"orderings": ["dissimilar", "random", "temporal"]}, ALL),
        ({"title": "other", "sheet_images": 3}, ALL),
        ({"set": changed("review", score_threshold=0.3)}, ALL),
        ({"set": changed("account", iou_thresholds=[0.6])}, ALL),
        ({"set": changed("track", experiment="x")}, ALL),
        ({"set": changed("features", seed=3)}, RANDOM),
        ({"set": changed("order", linkage="average")}, RANDOM),
        ({"set": changed("train", steps=3)}, set()),
        ({"set": changed("propose", score_floor=0.06)}, set()),
        ({"set": changed("batch", size=6)}, set()),
        ({"turns": 3}, set()),  # without batch.size they decide how the order is cut
    ],
)
def test_a_changed_study_runs_only_what_is_new(tmp_path, changes, kept):
    assert same(folders(tmp_path), folders(tmp_path, **changes)) == kept


def test_one_more_turn_of_batches_of_a_size_goes_on_with_the_same_cells(tmp_path):
    sized = {"set": changed("batch", size=3)}
    assert same(folders(tmp_path, **sized), folders(tmp_path, turns=3, **sized)) == ALL


def test_simnet_counts_for_its_own_cells_alone(tmp_path):
    taught = {"features": {"plain": {}, "sim": {"weights": "simnet"}}}
    before = folders(tmp_path, **taught)
    after = folders(tmp_path, set=changed("simnet", epochs=3), **taught)
    assert same(before, after) == ALL


@pytest.mark.parametrize("other", [dataset(pixels="1"), dataset(box=11)], ids=["pixels", "truth"])
def test_another_dataset_is_another_study(tmp_path, other):
    assert same(folders(tmp_path), folders(tmp_path, other)) == set()


def test_the_bytes_of_a_weights_file_count_not_its_name(tmp_path):
    weights = tmp_path / "start.pt"
    weights.write_bytes(b"one")
    detectors = {"ssd": {"weights": "start.pt"}}
    before = folders(tmp_path, detectors=detectors)
    assert folders(tmp_path, detectors=detectors) == before
    weights.write_bytes(b"two")
    assert same(before, folders(tmp_path, detectors=detectors)) == set()


def network(folder, content):
    """A folder as save_pretrained of transformers writes it."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(content)


def test_the_bytes_of_a_network_of_transformers_count(tmp_path):
    first = {"set": changed("propose", first={"model": "net"})}
    detectors = {"ssd": {}, "detr": {"detector": "transformers", "weights": "net"}}
    network(tmp_path / "net", b"one")
    before = folders(tmp_path, detectors=detectors)
    asked = folders(tmp_path, **first)
    assert folders(tmp_path, detectors=detectors) == before
    network(tmp_path / "net", b"two")
    after = folders(tmp_path, detectors=detectors)
    assert same(before, after) == ALL  # those that take other weights
    assert same(asked, folders(tmp_path, **first)) == set()


def test_the_code_of_what_is_ones_own_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    mine = tmp_path / "my_parts.py"
    text = (
        "from boxloop.core.ordering import Strategy\n"
        "LAST = Strategy(lambda f, **_: f.image_ids[::-1], needs_features=False, seeded=False)\n"
    )
    mine.write_text(text)
    own = {
        "orderings": ["random", "my_parts:LAST"],
        "detectors": {"ssd": {}, "mine": {"detector": "my_parts:FACTORY"}},
        "set": changed("account", cost_model="my_parts:COSTS"),
    }
    before, counted = folders(tmp_path, **own), grid(tmp_path, **own)["random.ssd.seed0"].counted
    assert folders(tmp_path, **own) == before
    mine.write_text(f"{text}# other code\n")
    assert same(before, folders(tmp_path, **own)) == RANDOM
    # What edits cost trains nothing anew.
    assert grid(tmp_path, **own)["random.ssd.seed0"].counted != counted


def test_cells_without_such_things_are_called_what_they_always_were(tmp_path, monkeypatch):
    """A key more in what a cell depends on would have all finished cells done again."""
    monkeypatch.chdir(tmp_path)
    taught = {"plain": {}, "sim": {"weights": "simnet"}}
    (tmp_path / "start.pt").write_bytes(b"one")
    detectors = {"ssd": {}, "own": {"weights": "start.pt"}}
    before = grid(tmp_path, detectors=detectors, features=taught)
    always = {"format", "dataset", "batch", "train", "propose", "weights", "strategy", "batches"}
    assert before["random.own.seed0"].inputs.keys() == {*always, "seed"}
    chosen = before["dissimilar-sim.ssd.seed0"].inputs
    assert chosen.keys() == {*always, "seed", "order", "features"}
    assert before["random.ssd.seed0"].counted.keys() == {"review", "account"}
    # Folders that happen to be called as weights are none.
    for name in ("none", "simnet"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "simnet.json").write_text("{}")
    after = grid(tmp_path, detectors=detectors, features=taught)
    assert {n: c.folder for n, c in after.items()} == {n: c.folder for n, c in before.items()}


def test_one_class_at_a_time(tmp_path):
    found = grid(tmp_path, classes="each", seeds=[0], orderings=["random"])
    assert set(found) == {"cat.random.ssd.seed0", "dog.random.ssd.seed0"}
    assert len({c.folder for c in found.values()}) == 2
    tiny = spec(tmp_path, classes=["dog"])
    part = split_by_class(tiny, dataset())["dog"]
    assert [image.id for image in part.images.images] == ["i0", "i3", "i6", "i9"]
    assert part.images.classes == ("dog",)
    whole = split_by_class(spec(tmp_path, classes=["dog"], class_images="all"), dataset())
    assert (len(whole["dog"].images), whole["dog"].objects) == (12, 4)


def test_what_a_cell_depends_on_is_plain_json(tmp_path):
    for cell in grid(tmp_path).values():
        assert json.loads(json.dumps(cell.inputs)) == cell.inputs
        assert Params.model_validate(json.loads(json.dumps(cell.params.model_dump(mode="json"))))


@pytest.mark.parametrize(
    ("seeded", "orderings", "cell"),
    [
        (["features.seed"], ["random", "temporal"], "random.ssd.seed0"),
        ([], ["dissimilar"], "dissimilar-plain.ssd.seed0"),
        (["order.seed"], ["random", "temporal"], "temporal.ssd.seed0"),
    ],
)
def test_one_run_is_not_counted_once_per_seed(tmp_path, seeded, orderings, cell):
    """It would stand in the tables with an interval of zero."""
    with pytest.raises(ParamsError) as error:
        grid(tmp_path, seeded=seeded, orderings=orderings)
    assert str(error.value) == (
        f"{tmp_path / 'study.yaml'}: {cell} would be run again as that of seed 1, as nothing that"
        " 'seeded' lists changes it: add train.seed to 'seeded', or give one seed"
    )
    assert len(grid(tmp_path, seeded=seeded, orderings=orderings, seeds=[3])) == len(orderings)


def test_seeds_that_change_features_alone_are_of_orderings_that_use_them(tmp_path):
    found = folders(tmp_path, seeded=["features.seed"], orderings=["dissimilar"])
    assert len(set(found.values())) == 2
