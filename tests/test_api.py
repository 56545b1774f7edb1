"""``import boxloop`` as a notebook uses it, and that it does what the stages do."""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from make_api_docs import api_docs

import boxloop
from boxloop import pipeline
from boxloop.campaign import artifacts
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import FittedThreshold
from boxloop.errors import ArtifactError, BoxloopError, DatasetError, ParamsError
from builders import boxes, proposed
from builders_transformers import tiny
from builders_zero_shot import tiny_zero_shot

ROOT = Path(__file__).parents[1]
ONE = boxes(("cat", 0, 0, 10, 10))
SURE = proposed(("cat", 0, 0, 10, 10, 0.9))
AT = {"iou_thresholds": [0.5, 0.7], "score_threshold": 0.05}
SETTINGS = {
    "features": {"network": "resnet18", "weights": "none", "input_size": 64, "device": "cpu"},
    "order": {"strategy": "dissimilar", "seed": 1},
    "batch": {"sizes": [6, 6, 6]},
    "train": {
        "weights": "none",
        "input_size": [64, 64],
        "steps": 8,
        "batch_size": 4,
        "warm_start": True,
        "device": "cpu",
    },
    "propose": {"score_floor": 0.01, "device": "cpu"},
    "review": {"score_threshold": 0.05},
    "account": {"score_thresholds": [0.05, 0.2]},
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return boxloop.load_dataset(folder, "demo", demo={"images": 18, "size": [64, 64]})


def test_every_public_name_is_there_and_documented():
    assert boxloop.__all__ == sorted(boxloop.__all__)
    for name in boxloop.__all__:
        assert getattr(boxloop, name).__doc__, name
    assert set(boxloop.__all__) <= set(dir(boxloop))
    with pytest.raises(AttributeError, match="attribute orders"):
        boxloop.orders  # noqa: B018


def test_importing_it_loads_nothing():
    code = "import boxloop, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = done.stdout.split()
    assert "boxloop" in loaded
    assert not {"numpy", "torch", "pydantic", "typer"} & set(loaded)


def test_the_page_of_the_api_is_made_from_the_docstrings():
    page = (ROOT / "docs" / "api.md").read_text()
    assert page == api_docs(), "make it anew: python docs/make_api_docs.py > docs/api.md"
    for name in boxloop.__all__:
        assert f"\n### `{name}" in page


def test_what_docstrings_refer_to_is_there():
    reference = re.compile(r":(?:attr|class|data|func|meth|mod):`~?(boxloop[\w.]*)`")
    files = Path(boxloop.__file__).parent.rglob("*.py")
    named = {name: path for path in files for name in reference.findall(path.read_text())}
    assert len(named) > 50
    for name, path in named.items():
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError) as error:
            pytest.fail(f"{path} refers to {name}: {error}")


@pytest.mark.parametrize("threshold", [0.05, "fitted"])
def test_a_simulation_is_what_the_stages_write(dataset, tmp_path, threshold):
    """Three turns that warm-start: the same edits, order and labels as from files."""
    settings = {**SETTINGS, "review": {"score_threshold": threshold}}
    simulated = boxloop.simulate(dataset, turns=3, **settings)
    paths = CampaignPaths(tmp_path)
    artifacts.write_images(paths.images, dataset.images)
    artifacts.write_truth(paths.truth, dataset.truth)
    params, said = simulated.params, []
    campaign = Campaign(paths, params, say=said.append)
    pipeline.features(campaign)
    assert pipeline.order(campaign) == simulated.order
    batches, rest = pipeline.batch(campaign)
    assert (tuple(batches), rest) == (simulated.batches, 0)
    pipeline.start(campaign)
    for key, offered in zip(params.iterations, simulated.proposals, strict=True):
        pipeline.train(campaign, key)
        made = pipeline.propose(campaign, key)
        assert (made.boxes, made.thresholds) == (offered.boxes, offered.thresholds)
        pipeline.review(campaign, key)
        pipeline.merge(campaign, key)
        pipeline.account(campaign, key)
    workloads = tuple(artifacts.read_workload(paths.workload(key)) for key in params.iterations)
    assert workloads == simulated.workloads
    assert artifacts.read_labeled(paths.labeled("b02")) == simulated.labeled
    # It did propose something.
    assert sum(w.ledger(0.5, 0.05).removals for w in workloads[1:]) > 0
    # Detectors of a few steps: how much is alike is anything.
    found = [p.fitted(0.5).found for p in simulated.proposals if p.thresholds]
    judged_by = {words.partition(" (at most")[0] for words in found}
    wanted = {"nothing to show", "held-out part of b00", "b01"}
    assert judged_by == (wanted if threshold == "fitted" else set())
    assert simulated.savings(0.5)[-1] == (18, simulated.totals(0.5).wt_reduction)
    assert boxloop.workload(workloads, iou_threshold=0.7) == simulated.totals(0.7)
    assert simulated.so_far(0.7)[-1] == simulated.totals(0.7)
    if threshold == 0.05:
        by_hand = [
            boxloop.account(offered, {i: dataset.truth[i] for i in offered.boxes}, **AT)
            for offered in simulated.proposals
        ]
        for made, one in zip(by_hand, simulated.workloads, strict=True):
            assert made.ledgers.items() <= one.ledgers.items()
            assert made.average_precision == one.average_precision
        assert boxloop.workload(by_hand, iou_threshold=0.7) == simulated.totals(0.7)
    # Of each turn who labeled it, how many images are, and the edits at two IoUs.
    assert len(said) == 3 * 4


def test_a_foundation_model_proposes_for_the_first_batch_of_a_simulation(dataset):
    pytest.importorskip("transformers")
    done = boxloop.simulate(
        dataset,
        turns=1,
        order={"strategy": "random"},
        batch={"size": 4},
        propose={"first": {"model": str(tiny_zero_shot())}, "device": "cpu"},
    )
    (offered,) = done.proposals
    assert offered.detector == "zero-shot owlv2"
    assert offered.fitted(0.5).score == 0.2
    assert sum(map(len, offered.boxes.values())) > 0
    assert done.results.began_with_proposals


def test_steps_by_hand(dataset):
    features = boxloop.extract_features(
        dataset, network="resnet18", weights="none", input_size=64, device="cpu"
    )
    order = boxloop.order(features, "similar", seed=2)
    first, *_ = boxloop.plan_batches(order, count=3)
    labeled = {image_id: dataset.truth[image_id] for image_id in first.image_ids}
    told = []
    detector, log = boxloop.train_detector(
        labeled,
        dataset,
        weights="none",
        steps=2,
        batch_size=2,
        input_size=(64, 64),
        device="cpu",
        progress=lambda step, steps, loss: told.append((step, steps)),
    )
    assert (log.steps, told, detector.classes) == (2, [(1, 2), (2, 2)], dataset.images.classes)
    found = boxloop.propose(detector, dataset.images.images[:4], score_floor=0.01)
    assert list(found.boxes) == [ref.id for ref in dataset.images.images[:4]]
    ledger = boxloop.compare(found, {k: dataset.truth[k] for k in found.boxes})
    objects = sum(len(dataset.truth[k]) for k in found.boxes)
    assert ledger.kept + ledger.additions == objects


def test_simnet_in_memory(dataset):
    features = boxloop.extract_features(
        dataset,
        network="resnet18",
        weights="simnet",
        input_size=64,
        device="cpu",
        simnet={"weights": "none", "epochs": 1, "batch_size": 9, "device": "cpu"},
    )
    plain = boxloop.extract_features(
        dataset, network="resnet18", weights="none", input_size=64, device="cpu"
    )
    assert features.vectors.shape == plain.vectors.shape == (18, 512)
    assert not np.allclose(features.vectors, plain.vectors)


def test_nothing_labeled_gives_a_detector_that_proposes_nothing(dataset):
    detector, log = boxloop.train_detector({}, dataset, steps=1)
    assert (detector.name, log.steps) == ("empty", 0)
    assert not any(map(len, boxloop.propose(detector, dataset).boxes.values()))


def nothing(dataset):
    """The detector that proposes nothing."""
    return boxloop.train_detector({}, dataset, steps=1)[0]


def twice(dataset):
    return [dataset.images.images[0], *dataset.images.images[:2]]


@pytest.mark.parametrize("kind", [list, np.array, np.float64, tuple])
def test_arrays_and_lists_are_taken_as_features(kind):
    rows = [[0.0], [5.0], [1.0], [9.0]]
    vectors = np.array(rows, dtype=kind) if kind is np.float64 else kind(rows)
    order = boxloop.order(vectors, "temporal")
    assert order.image_ids == ("0", "1", "2", "3")
    assert boxloop.order(vectors, seed=np.int64(3)) == boxloop.order(vectors, seed=3)
    named = boxloop.order(vectors, "similar", image_ids=["a", "b", "c", "d"], query_size=1)
    assert set(named.image_ids) == set("abcd")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda d: boxloop.order([1.0, 2.0]), ValueError, r"must be \(N, D\), got \(2,\)"),
        (lambda d: boxloop.order([["a"]]), ValueError, "an array .N, D. of numbers"),
        (lambda d: boxloop.order([[np.nan]]), ValueError, "must be finite"),
        (lambda d: boxloop.order([[1.0]], "best"), ParamsError, "there is no 'best'"),
        (lambda d: boxloop.plan_batches("abc"), ValueError, "exactly one of size"),
        (lambda d: boxloop.plan_batches("abc", count=4), ValueError, "cannot fill 4"),
        (lambda d: boxloop.plan_batches("abc", size=0), ValueError, "size must .* 1, got 0"),
        (lambda d: boxloop.plan_batches("abc", size=-5), ValueError, "got -5"),
        (lambda d: boxloop.plan_batches("abc", size=1.5), ValueError, "whole number .* got 1.5"),
        (lambda d: boxloop.plan_batches("abc", count=0), ValueError, "count must .* 1, got 0"),
        (lambda d: boxloop.plan_batches("abc", count=-1), ValueError, "got -1"),
        (lambda d: boxloop.plan_batches("abc", sizes=[4, -2]), ValueError, "sizes .* got -2"),
        *(
            (lambda d, given=given: boxloop.order([[1.0]], "random", **given), error, words)
            for given, error, words in (
                ({"seed": None}, ParamsError, "^order: seed: .* got nothing"),
                ({"seed": "x"}, ParamsError, "^order: seed: .* got 'x'"),
                ({"seed": -1}, ParamsError, "^order: seed: .* got -1"),
                ({"query_size": 1.5}, ParamsError, "^order: query_size: .* got 1.5"),
                ({"query_size": None}, ParamsError, "^order: query_size: .* got nothing"),
                ({"query_size": 0}, ParamsError, "^order: query_size: .* got 0"),
                ({"query_size": np.int64(-1)}, ParamsError, "^order: query_size: .* got -1"),
                ({"linkage": "x"}, ParamsError, "^order: linkage must be 'single', .* got 'x'"),
            )
        ),
        (lambda d: boxloop.workload(counted(), iou_threshold=0.6), ValueError, "one of 0.5, 0.7"),
        (lambda d: boxloop.workload(counted()[:1], iou_threshold=0.6), ValueError, "0.5, 0.7"),
        (lambda d: boxloop.workload([], cost_model="papr"), ParamsError, "mean 'paper'"),
        (lambda d: boxloop.workload([], cost_model=3), ValueError, "CostModel .* name .* got 3"),
        (lambda d: counted()[1].ledger(0.5, 0.3), ValueError, "threshold of 0.3: take one of 0.05"),
        (lambda d: boxloop.account({"a": SURE}, {}), ValueError, "proposals of a, and no final"),
        (lambda d: boxloop.account({"a": ONE}, {"a": ONE}), ValueError, "proposals need scores"),
        (
            lambda d: boxloop.account({}, {"a": ONE}, iou_thresholds=[50]),
            ParamsError,
            "account: iou_thresholds.0: ",
        ),
        (lambda d: boxloop.compare({"a": ONE, "b": ONE}, {"a": ONE}), ValueError, "of b, and no"),
        (lambda d: boxloop.extract_features("photos"), ValueError, "images must be a dataset"),
        (lambda d: boxloop.extract_features(d, netwrk="x"), ParamsError, "did you mean 'network'"),
        (lambda d: boxloop.train_detector({}, d), ParamsError, "exactly one of steps and epochs"),
        (lambda d: boxloop.propose(nothing(d), d, batch_size=0), ParamsError, "batch_size"),
        (lambda d: boxloop.propose(nothing(d), d, batch_size=2.5), ParamsError, "batch_size"),
        (lambda d: boxloop.propose(nothing(d), d, score_floor=None), ParamsError, "score_floor"),
        (lambda d: boxloop.propose(nothing(d), twice(d)), ValueError, "^images .* one image twice"),
        (lambda d: boxloop.extract_features(twice(d)), ValueError, "^images .* one image twice"),
        (lambda d: boxloop.plan_batches("abac", size=2), ValueError, "^order .* twice: a: name"),
        (
            lambda d: boxloop.train_detector({}, d, classes=["a", "b", "a"], steps=1),
            ValueError,
            "^classes hold one class twice: a: name each of them once$",
        ),
        (lambda d: boxloop.LabeledSet(("a", "a"), (), {}), ValueError, "classes must be unique"),
        *(
            (
                lambda d, score=score, held=held: held.above(score),
                ValueError,
                r"^threshold must be a number in \[0, 1\], got ",
            )
            for score in ("a", None, float("nan"), True, -0.1, 1.5, 1j)
            for held in (SURE, ONE)
        ),
        (lambda d: boxloop.order(np.ones((3, 2)) * 1j), ValueError, "^features .* none complex"),
        (lambda d: boxloop.order([[1, 2j]]), ValueError, "^features .* none complex"),
        (lambda d: boxloop.plan_batches("abc", sizes=[]), ValueError, "^sizes .* at least one"),
        (lambda d: boxloop.simulate(d, ordr={}), ParamsError, "did you mean 'order'"),
        *(
            (
                lambda d, given=given: boxloop.simulate(d, iterations=turns(b01=given)),
                ParamsError,
                "^iterations.b01 lists imported .*: leave them out, or give 'turns'$",
            )
            for given in ({"proposals": "d" * 64}, {"labels": ["d" * 16]})
        ),
        (lambda d: boxloop.load_dataset("x", "vok"), ParamsError, "did you mean 'voc'"),
        (lambda d: boxloop.load_dataset("nowhere", "voc"), DatasetError, "nowhere"),
        *(
            (
                lambda d, iou=iou: boxloop.compare({}, {}, iou_threshold=iou),
                ParamsError,
                "^compare: iou_threshold: .* got ",
            )
            for iou in (0, -1, 50, np.float32(50), np.nan, None, "x")
        ),
        (lambda d: boxloop.compare({}, proposed()), ValueError, "one image twice"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(dataset, call, error, words):
    with pytest.raises(error, match=words):
        call(dataset)
    assert not Path("nowhere").exists()


def turns(**given):
    """The section ``iterations`` of three turns, with other keys of some."""
    chain = {"b00": "empty", "b01": "b00", "b02": "b01"}
    return {key: {"previous": before, **given.get(key, {})} for key, before in chain.items()}


ANY = (3, 1.5, object(), [None], [[1]], {1: 2}, np.array([[1], [2]]), b"x")
ONE_KEY = {"a": ONE}
NO_MODEL = ("nowhere", ["cat"])


@pytest.mark.parametrize(
    ("named", "call"),
    [
        ("iou_thresholds", lambda d, v: boxloop.account({}, ONE_KEY, iou_thresholds=v)),
        ("score_threshold", lambda d, v: boxloop.account({}, ONE_KEY, score_threshold=v)),
        ("proposals", lambda d, v: boxloop.account(v, ONE_KEY)),
        ("proposals", lambda d, v: boxloop.account({"a": v}, ONE_KEY)),
        ("final", lambda d, v: boxloop.account({}, v)),
        ("final", lambda d, v: boxloop.account({}, {"a": v})),
        ("shown", lambda d, v: boxloop.compare(v, ONE_KEY)),
        ("shown", lambda d, v: boxloop.compare({"a": v}, ONE_KEY)),
        ("final", lambda d, v: boxloop.compare(ONE_KEY, v)),
        ("final", lambda d, v: boxloop.compare(ONE_KEY, {"a": v})),
        ("iou_threshold", lambda d, v: boxloop.compare(ONE, ONE, iou_threshold=v)),
        ("batches", lambda d, v: boxloop.workload(v)),
        ("iou_threshold", lambda d, v: boxloop.workload(counted(), iou_threshold=v)),
        ("cost_model", lambda d, v: boxloop.workload(counted(), cost_model=v)),
        ("order", lambda d, v: boxloop.plan_batches(v, size=1)),
        ("size", lambda d, v: boxloop.plan_batches("ab", size=[v])),
        ("count", lambda d, v: boxloop.plan_batches("ab", count=[v])),
        ("sizes", lambda d, v: boxloop.plan_batches("abc", sizes=v)),
        ("features", lambda d, v: boxloop.order({"a": v})),
        ("strategy", lambda d, v: boxloop.order([[1.0]], v)),
        ("image_ids", lambda d, v: boxloop.order([[1.0]], image_ids=v)),
        ("seed", lambda d, v: boxloop.order([[1.0]], seed=[v])),
        ("query_size", lambda d, v: boxloop.order([[1.0]], query_size=[v])),
        ("linkage", lambda d, v: boxloop.order([[1.0]], linkage=v)),
        ("progress", lambda d, v: boxloop.order([[1.0]], progress=v)),
        ("path", lambda d, v: boxloop.load_dataset(v, "demo")),
        ("format", lambda d, v: boxloop.load_dataset("nowhere", v)),
        ("progress", lambda d, v: boxloop.load_dataset("nowhere", "demo", progress=v)),
        ("images", lambda d, v: boxloop.extract_features(v)),
        ("simnet", lambda d, v: boxloop.extract_features(d, simnet=v)),
        ("progress", lambda d, v: boxloop.extract_features(d, progress=v)),
        ("labeled", lambda d, v: boxloop.train_detector(v, d, steps=1)),
        ("labeled", lambda d, v: boxloop.train_detector({"a": v}, d, steps=1)),
        ("images", lambda d, v: boxloop.train_detector({}, v, steps=1)),
        ("classes", lambda d, v: boxloop.train_detector({}, d, classes=v, steps=1)),
        ("progress", lambda d, v: boxloop.train_detector({}, d, progress=v, steps=1)),
        ("detector", lambda d, v: boxloop.propose(v, d)),
        ("images", lambda d, v: boxloop.propose(nothing(d), v)),
        ("score_floor", lambda d, v: boxloop.propose(nothing(d), d, score_floor=[v])),
        ("progress", lambda d, v: boxloop.propose(nothing(d), d, progress=v)),
        ("dataset", lambda d, v: boxloop.simulate(v)),
        ("turns", lambda d, v: boxloop.simulate(d, turns=[v])),
        ("params", lambda d, v: boxloop.simulate(d, params=v)),
        ("order", lambda d, v: boxloop.simulate(d, order=v)),
        ("progress", lambda d, v: boxloop.simulate(d, progress=v)),
        ("folder", lambda d, v: boxloop.load_model(v)),
        ("device", lambda d, v: boxloop.load_model("nowhere", device=v)),
        ("path", lambda d, v: boxloop.load_params(v)),
        ("overrides", lambda d, v: boxloop.load_params("nowhere", v)),
        ("model", lambda d, v: boxloop.load_zero_shot(v, ["cat"])),
        ("classes", lambda d, v: boxloop.load_zero_shot("nowhere", v)),
        ("prompts", lambda d, v: boxloop.load_zero_shot(*NO_MODEL, prompts=v)),
        ("device", lambda d, v: boxloop.load_zero_shot(*NO_MODEL, device=v)),
    ],
)
def test_an_argument_of_another_kind_is_named_in_a_sentence(dataset, named, call):
    for value in ANY:
        with pytest.raises((ValueError, BoxloopError)) as caught:
            call(dataset, value)
        said = str(caught.value)
        assert "\n" not in said
        assert len(said) < 300
        assert re.search(rf"(^|\W){named}(\.\w+)*:? .*must|{named}(\.\w+)*: .*should", said), said


def test_numbers_of_numpy_and_lists_of_them_are_taken():
    given = {"iou_thresholds": np.array([0.5, 0.75]), "score_threshold": np.float64(0.25)}
    made = boxloop.account({}, {"a": ONE}, **given)
    assert set(made.ledgers) == {(0.25, 0.5), (0.25, 0.75)}
    assert boxloop.workload([made], iou_threshold=np.float64(0.75)).objects == 1
    assert len(boxloop.plan_batches(np.array(["a", "b"]), sizes=np.array([1, 1]))) == 2
    few = boxloop.account({}, {"a": ONE}, iou_thresholds=(np.float64(0.5), 1))
    assert set(few.ledgers) == {(0.0, 0.5), (0.0, 1.0)}


def test_parameters_are_read_from_a_path_that_is_text(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("batch: {size: 7}\n")
    assert boxloop.load_params(str(path)) == boxloop.load_params(path)
    assert boxloop.load_params(str(path)).batch.size == 7


def counted():
    """The workload of two batches, accounted at IoUs of 0.5 and 0.7."""
    ledgers = {(0.05, iou): boxloop.Ledger(added=1) for iou in (0.5, 0.7)}
    return [
        boxloop.BatchWorkload(batch, "simulated", "empty", 1, 1, 0.05, ledgers, {})
        for batch in ("b00", "b01")
    ]


def test_an_image_without_proposals_may_be_left_out_of_a_comparison():
    empty = boxloop.Boxes.empty()
    assert boxloop.compare({}, {"a": ONE}) == boxloop.Ledger(added=1)
    assert boxloop.compare(ONE, ONE, iou_threshold=np.float32(1)) == boxloop.Ledger(kept=1)
    assert boxloop.compare({"a": ONE, "b": empty}, {"a": ONE}) == boxloop.Ledger(kept=1)
    assert boxloop.compare({"b": ONE}, {"b": empty}) == boxloop.Ledger(removed=1)


def test_a_campaign_is_accounted_by_hand():
    shown = proposed(("cat", 0, 0, 10, 10, 0.9), ("cat", 20, 0, 30, 10, 0.2))
    first = boxloop.account({}, {"a": ONE, "b": ONE})
    second = boxloop.account({"c": shown}, {"c": ONE, "d": ONE}, score_threshold=0.1)
    assert (first.detector, second.images, second.objects) == ("empty", 2, 2)
    assert second.ledger(0.5) == boxloop.Ledger(kept=1, removed=1, added=1)
    fewer = boxloop.account({"c": shown}, {"c": ONE, "d": ONE}, score_threshold=0.5)
    assert fewer.ledger(0.7) == boxloop.Ledger(kept=1, added=1)
    totals = boxloop.workload([first, second])
    assert (totals.wb, totals.wt) == (2 + 2, 2 + 1.5)
    assert boxloop.workload([first, second], cost_model="paper") == totals
    dear = boxloop.workload([first, second], cost_model=boxloop.CostModel(removed=3.0))
    assert dear.wt == 2 + 4


def test_a_threshold_that_was_fitted_gives_way_to_the_one_that_is_asked_for():
    rows = (FittedThreshold(0.5, 0.95, None, "prior"),)
    shown = {"c": proposed(("cat", 0, 0, 10, 10, 0.9))}
    fitted = boxloop.Proposals("b01", "fcos", "", 0.05, shown, rows)
    assert boxloop.account(fitted, {"c": ONE}).ledger(0.5) == boxloop.Ledger(kept=1)


def test_one_callback_serves_all_steps(dataset, tmp_path):
    told = []

    def tell(done, total, **note):
        told.append((done, total, *note))

    scenes = {"images": 2, "size": [64, 64]}
    boxloop.load_dataset(tmp_path, "demo", demo=scenes, progress=tell)
    small = {"network": "resnet18", "weights": "none", "input_size": 32, "device": "cpu"}
    table = boxloop.extract_features(dataset.images.images[:2], progress=tell, **small)
    boxloop.order(table, progress=tell)
    known = {ref.id: dataset.truth[ref.id] for ref in dataset.images.images[:2]}
    short = {"weights": "none", "steps": 1, "input_size": (64, 64), "device": "cpu"}
    detector, _ = boxloop.train_detector(known, dataset, progress=tell, **short)
    boxloop.propose(detector, dataset.images.images[:2], progress=tell)
    assert told.count((2, 2)) == 4
    assert (1, 1, "loss") in told


@pytest.mark.parametrize("detector", ["fasterrcnn_mobilenet_v3_large_320_fpn", "transformers"])
def test_a_box_that_no_detector_can_learn_is_named(dataset, detector):
    ref = dataset.images.images[0]
    known = {ref.id: boxes((dataset.images.classes[0], 1, 1, 1 + 1e-9, 9))}
    short = {"steps": 1, "input_size": (64, 64), "device": "cpu"}
    weights = str(tiny()) if detector == "transformers" else "none"
    with pytest.raises(ArtifactError, match=f"box .* of image '{ref.id}' .* has no area"):
        boxloop.train_detector(known, dataset, detector=detector, weights=weights, **short)


def test_a_simulation_needs_annotations(tmp_path):
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    bare = boxloop.load_dataset(tmp_path, "folder", classes=["cat"])
    with pytest.raises(DatasetError, match="has none"):
        boxloop.simulate(bare, turns=1)


def test_compare_of_one_image():
    truth = boxes(("cat", 0, 0, 10, 10), ("dog", 20, 0, 30, 10))
    shown = proposed(("cat", 0, 0, 10, 10, 0.9), ("cat", 20, 0, 30, 10, 0.8))
    assert boxloop.compare(shown, truth) == boxloop.Ledger(kept=1, relabeled=1)
