from pathlib import Path

import pytest

from boxloop.errors import ParamsError
from boxloop.params import Params, load_params

ROOT = Path(__file__).parents[1]


def load(tmp_path, text, *overrides):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return load_params(path, overrides)


def test_the_project_s_own_file_is_valid_and_lists_every_section():
    params = load_params(ROOT / "params.yaml")
    assert params.dataset.format == "demo"
    assert set(params.model_fields_set) == set(Params.model_fields)


def test_a_missing_file_means_defaults(tmp_path):
    assert load_params(tmp_path / "none.yaml").order.strategy == "dissimilar"


def test_values_are_read_as_dvc_reads_them(tmp_path):
    """YAML 1.2: in 1.1 these would be a text and two truth values."""
    text = "{train: {steps: 1, learning_rate: 1e-2}, dataset: {classes: [yes, no]}}"
    params = load(tmp_path, text, "train.weight_decay=1e-5")
    assert params.train.learning_rate == 0.01
    assert params.train.weight_decay == 1e-5
    assert params.dataset.classes == ("yes", "no")


def test_overrides(tmp_path):
    params = load(tmp_path, "order: {seed: 1}", "order.seed=3", "batch.sizes=[1, 2]")
    assert params.order.seed == 3
    assert params.batch.sizes == (1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("order: {strategi: similar}", r"'order.strategi' is not a known key \(did you mean 'str"),
        ("dataset: {demo: {imags: 3}}", r"'dataset.demo.imags' .*did you mean 'images'"),
        ("zzz: 1", r"'zzz' is not a known key \(known: dataset, "),
        (
            "order: {strategy: best}",
            r"order.strategy: there is no 'best' .known: similar, dissimilar, random",
        ),
        ("order: {seed: '1'}", "order.seed: input should be a valid integer, got '1'"),
        ("order: 5", "order must be a section with keys, got 5"),
        ("order:", "order must be a section with keys, got nothing"),
        ("batch: {sizes: 5}", "batch.sizes must be a list, got 5"),
        ("train: {steps: 1, learning_rate: .inf}", "learning_rate: .*finite"),
        ("train: {steps: 1, input_size: [300]}", "train.input_size.1 is missing"),
        ("account: {iou_thresholds: [0.5, 0.50]}", "must not repeat"),
        ("iterations: {empty: {previous: empty}}", "'empty' cannot name a batch"),
        ("iterations: {../b: {previous: empty}}", "'../b' cannot name a batch"),
        ("iterations: {b$1$: {previous: empty}}", "cannot name a batch"),
        ("order: {seed: 1}\norder: {seed: 2}", 'not valid YAML: .*duplicate key "order"'),
        ("order: {query_size: 0}", "order.query_size: input should be greater than 0, got 0"),
        ("batch: {size: 3, count: 2}", "batch: set one of size, count and sizes, not size and c"),
        ("batch: {sizes: []}", "at least one batch size"),
        ("train: {}", "train: set exactly one of steps and epochs"),
        ("train: {steps: 1, epochs: 1}", "exactly one of steps and epochs"),
        ("dataset: {format: folder}", "dataset: format 'folder' has no annotations"),
        ("dataset: {classes: [a, a]}", "must not repeat"),
        ("account: {iou_thresholds: [0.5, 2]}", "account.iou_thresholds.1: .* got 2"),
        ("account: {iou_thresholds: []}", "at least one value"),
        (
            "account: {iou_thresholds: [0.33333333]}",
            "iou_thresholds: 0.33333333 has more than 6 digits: write 0.333333$",
        ),
        (
            "review: {score_threshold: 0.01}",
            "score_threshold is 0.01, but propose.score_floor 0.05",
        ),
        (
            "review: {score_threshold: fited}",
            "score_threshold: must be 'fitted' or a number from 0",
        ),
        ("train: {steps: 1, zoom: 0.5}", "zoom: must be 'fitted' or a number from 1 to 8, got 0.5"),
        ("train: {steps: 1, zoom: fited}", "zoom: must be 'fitted' or a number from 1 to 8"),
        ("train: {steps: 1, zoom: true}", "zoom: must be 'fitted' or a number from 1 to 8"),
        (
            "train: {steps: 1, zoom: .nan}",
            "zoom: must be 'fitted' or a number from 1 to 8, got nan",
        ),
        ("review: {score_threshold: 1.5}", "must be 'fitted' or a number from 0 to 1, got 1.5"),
        ("review: {score_threshold: true}", "must be 'fitted' or a number from 0 to 1, got True"),
        ("review: {score_threshold: null}", "must be 'fitted' or a number from 0 to 1, got None"),
        ("review: {score_threshold: [0.5]}", "score_threshold: must be 'fitted' or a number"),
        ("train: {steps: 1, held_out: 1.0}", "train.held_out: input should be less than 1"),
        ("iterations: {}", "at least one batch"),
        ("iterations: {b00: {previous: b01}}", "iterations.b00.previous must be 'empty'"),
        (
            "iterations: {b00: {previous: empty}, b01: {previous: empty}}",
            "iterations.b01.previous must be 'b00', the one above it, got 'empty'",
        ),
        ("order: [", "params.yaml is not valid YAML"),
        (
            "order:\n<<<<<<< HEAD\n  seed: 1\n=======\n  seed: 2\n>>>>>>> theirs\n",
            r"params.yaml is not valid YAML: a merge left a conflict in line 2 \(<<<<<<<\)",
        ),
        ("3", "must hold sections"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, text, message):
    with pytest.raises(ParamsError, match=message) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert "params.yaml" in str(caught.value)


@pytest.mark.parametrize(
    "override", ["order", "order.seed", "=", "order..x=1", "order.seed.x=1", "a.b=["]
)
def test_bad_overrides_are_refused(tmp_path, override):
    with pytest.raises(ParamsError, match="--set"):
        load(tmp_path, "order: {seed: 1}", override)


def test_a_review_threshold_at_the_floor_is_accepted(tmp_path):
    params = load(tmp_path, "review: {score_threshold: 0.2}\npropose: {score_floor: 0.2}")
    assert params.review.score_threshold == params.propose.score_floor == 0.2


def test_the_threshold_is_fitted_unless_it_is_a_number(tmp_path):
    review = load(tmp_path, "propose: {score_floor: 0.6}").review
    assert review.score_threshold == "fitted"
    assert review.shown_from_in_words == "a score fitted to each batch"
    fixed = load(tmp_path, "review: {score_threshold: 1}").review
    assert (fixed.score_threshold, fixed.shown_from_in_words) == (1.0, "a score of 1")
    assert isinstance(fixed.score_threshold, float)


def test_thresholds_are_fitted_for_the_review_and_all_accounts(tmp_path):
    text = "review: {iou_threshold: 0.6}\naccount: {iou_thresholds: [0.5, 0.6]}"
    assert load(tmp_path, text).judged_ious == (0.6, 0.5)


def test_params_are_frozen(tmp_path):
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path, "{}").order.seed = 1
