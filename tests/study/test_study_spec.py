import pytest

from boxloop.errors import ParamsError
from boxloop.study.spec import load_spec
from builders_study import changed, spec, study_file


def faults(folder, **changes):
    with pytest.raises(ParamsError) as caught:
        spec(folder, **changes)
    message = str(caught.value)
    assert "\n" not in message
    assert "study.yaml" in message
    return message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ordering": ["random"]}, "'ordering' is not a known key (did you mean 'orderings'?)"),
        (
            {"orderings": ["alphabetic"]},
            "orderings.0: there is no 'alphabetic' (known: similar, dissimilar, random, temporal)",
        ),
        ({"orderings": []}, "orderings must list at least one value or be left out, got []"),
        ({"seeds": []}, "seeds must list at least one value or be left out, got []"),
        ({"orderings": ["random", "random"]}, "orderings must not repeat a value"),
        ({"seeds": [1, 1]}, "seeds must not repeat a value"),
        ({"seeds": [-1]}, "seeds.0"),
        ({"seeds": "0"}, "seeds"),
        ({"detectors": {"a b": {}}}, "'a b' cannot be a name"),
        ({"detectors": {"ssd": {"stepz": 3}}}, "'train.stepz' is not a known key"),
        ({"features": {"x": {"network": 3}}}, "features.network"),
        ({"seeded": ["train.steps"]}, "got 'train.steps'"),
        *(
            (
                {"classes": given},
                f"yaml: classes: must be 'each' or a list of at least one class, got {shown}",
            )
            for given, shown in (
                ([], "[]"),
                ("car", "'car'"),
                (["car", 3], "['car', 3]"),
                ({"car": 1}, "{'car': 1}"),
            )
        ),
        ({"set": changed("propose", first={"model": ""})}, "propose.first.model must not be empty"),
        ({"classes": "each", "test": {}}, "test is for a study of all classes"),
        ({"test": {"images": 3}}, "dataset.images"),
        ({"paper": "coco"}, "'voc2007', 'kitti' or 'indoor'"),
        ({"set": {"dataset": {"format": "folder", "classes": ["a"]}}}, "truth"),
        ({"set": {"train": 3}}, "set.train"),
        ({"set": changed("train", seed=7)}, ": set.train.seed would be replaced by 'seeds'"),
        ({"detectors": {"a": {"seed": 5}}}, ": detectors.a.seed would be replaced by 'seeds'"),
        (
            {"features": {"a": {"seed": 5}}, "seeded": ["train.seed", "features.seed"]},
            ": features.a.seed would be replaced by 'seeds': take it out, or take features.seed out"
            " of 'seeded'",
        ),
        (
            {"features": {"a": {"simnet": {"seed": 5}}}, "seeded": ["train.seed", "simnet.seed"]},
            ": features.a.simnet.seed would be replaced by 'seeds'",
        ),
    ],
)
def test_a_fault_is_one_sentence_that_names_the_place(tmp_path, changes, words):
    assert words in faults(tmp_path, **changes)


def test_a_folder_of_images_alone_is_no_test_set(tmp_path):
    for test in ({"path": "x"}, {"path": "x", "classes": ["cup"]}, {}):
        told = faults(tmp_path, test={"format": "folder", **test})
        assert told == (
            f"{tmp_path / 'study.yaml'}, test: images of format 'folder' have no boxes to evaluate"
            " by: name a format whose images are labeled (known: demo, voc, coco, yolo, kitti)"
        )


def test_a_study_of_images_alone_is_told_before_its_test_set(tmp_path):
    alone = changed("dataset", format="folder", classes=["a"], path="x")
    del alone["dataset"]["demo"]
    told = faults(tmp_path, set=alone, test={"path": "y"})
    assert "a study corrects by the truth" in told


def test_a_base_that_is_not_there(tmp_path):
    with pytest.raises(ParamsError, match=r"nowhere\.yaml does not exist"):
        spec(tmp_path, params="nowhere.yaml")


def test_a_file_that_is_no_study(tmp_path):
    path = tmp_path / "study.yaml"
    for text in ("- 1", "a: [", "\x00"):
        path.write_text(text)
        with pytest.raises(ParamsError, match=r"study\.yaml"):
            load_spec(path)
    with pytest.raises(ParamsError, match="does not exist"):
        load_spec(tmp_path / "other.yaml")


def test_detectors_may_all_say_themselves_how_long_they_are_trained(tmp_path):
    train = {"weights": "none"}
    both = {"a": {"steps": 3}, "b": {"epochs": 2}}
    found = spec(tmp_path, set={"train": train}, detectors=both)
    assert found.params("random", None, "a", 0).train.steps == 3
    assert found.params("random", None, "b", 0).train.epochs == 2
    message = faults(tmp_path, set={"train": train}, detectors={**both, "c": {}})
    assert "set exactly one of steps and epochs" in message


def test_a_cell_takes_the_base_its_axes_and_its_seed(tmp_path):
    (tmp_path / "base.yaml").write_text("train: {steps: 7, weights: none}\nbatch: {size: 5}\n")
    found = spec(
        tmp_path,
        params="base.yaml",
        set={"propose": {"score_floor": 0.01}, "simnet": {"epochs": 3}},
        features={"sim": {"weights": "simnet", "simnet": {"margin": 2.0}}, "plain": {}},
        detectors={"long": {"epochs": 4}, "short": {}},
        turns=4,
    )
    params = found.params("dissimilar", "sim", "long", 9)
    assert (params.train.epochs, params.train.steps, params.train.weights) == (4, None, "none")
    assert (params.features.weights, params.simnet.margin, params.simnet.epochs) == ("simnet", 2, 3)
    assert (params.order.strategy, params.order.seed, params.train.seed) == ("dissimilar", 9, 9)
    assert (params.batch.size, params.propose.score_floor) == (5, 0.01)
    assert list(params.iterations) == ["b00", "b01", "b02", "b03"]
    assert found.params("random", None, "short", 0).train.steps == 7
    assert params.features.seed == 0  # features are made once, unless `seeded` says otherwise


def test_seeded_says_what_a_seed_sets(tmp_path):
    params = spec(tmp_path, seeded=["train.seed"]).params("random", None, "ssd", 5)
    assert (params.train.seed, params.order.seed) == (5, 0)


def test_paths_count_from_the_file_that_names_them(tmp_path):
    (tmp_path / "bases").mkdir()
    (tmp_path / "bases" / "weights.pt").write_bytes(b"x")
    (tmp_path / "bases" / "base.yaml").write_text(
        "dataset: {format: voc, path: ../data}\ntrain: {steps: 1, weights: weights.pt}\n"
    )
    path = study_file(tmp_path / "here", params="../bases/base.yaml", set={})
    params = load_spec(path).params("random", None, "ssd", 0)
    assert params.dataset.path == str(tmp_path / "data")
    assert params.train.weights == str(tmp_path / "bases" / "weights.pt")
    path = study_file(
        tmp_path / "here", params="../bases/base.yaml", set={"dataset": {"path": "mine"}}
    )
    assert load_spec(path).params("random", None, "ssd", 0).dataset.path == str(
        tmp_path / "here" / "mine"
    )


def test_a_network_of_transformers_is_found_beside_the_file_that_names_it(tmp_path):
    for name in ("net", "simnet"):
        (tmp_path / name).mkdir()
    (tmp_path / "net" / "config.json").write_text("{}")
    found = spec(
        tmp_path,
        set=changed("propose", first={"model": "net"}),
        features={"sim": {"weights": "simnet"}},  # no folder of that name
        detectors={"detr": {"detector": "transformers", "weights": "net"}},
    ).params("dissimilar", "sim", "detr", 0)
    net = str(tmp_path / "net")
    assert (found.train.weights, found.propose.first.model) == (net, net)
    assert found.features.weights == "simnet"


def test_the_command_line_overrides_the_study(tmp_path):
    found = load_spec(study_file(tmp_path), ["train.steps=11"])
    assert found.params("random", None, "ssd", 0).train.steps == 11


def test_a_seed_that_every_cell_would_replace_is_refused(tmp_path):
    """One of the base stays: a campaign's params.yaml lists it."""
    path = study_file(tmp_path)
    with pytest.raises(ParamsError, match="--set train.seed would be replaced by 'seeds'"):
        load_spec(path, ["train.seed=8"])
    assert load_spec(path, ["features.seed=8"]).params("similar", "plain", "ssd", 0)
    path = study_file(tmp_path, seeded=["order.seed"])
    assert load_spec(path, ["train.seed=8"]).params("random", None, "ssd", 0).train.seed == 8
    (tmp_path / "base.yaml").write_text("train: {steps: 7, weights: none, seed: 3}\n")
    found = spec(tmp_path, params="base.yaml", set={})
    assert found.params("random", None, "ssd", 1).train.seed == 1


def test_people_are_not_asked(tmp_path):
    found = spec(tmp_path, set=changed("review", annotator="fiftyone"))
    assert found.params("random", None, "ssd", 0).review.annotator == "simulated"


def test_the_test_set_is_another_part_or_another_set(tmp_path):
    voc = {"format": "voc", "path": "a", "split": "train", "classes": ["x"]}
    other = spec(tmp_path, set={"dataset": voc}, test={"split": "test"})
    base = other.params("random", None, "ssd", 0)
    part = other.test_dataset(base)
    assert (part.dataset.split, part.dataset.path) == ("test", str(tmp_path / "a"))
    own = spec(tmp_path, set={"dataset": voc}, test={"format": "coco", "path": "b"})
    whole = own.test_dataset(base)
    assert (whole.dataset.format, whole.dataset.split) == ("coco", None)
    assert whole.dataset.path == str(tmp_path / "b")
