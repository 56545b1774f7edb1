"""``boxloop init`` with a plan of the batches."""

import sys

import pytest

from boxloop import cli
from boxloop.core.batch_plan import Prices, follow, plan
from boxloop.params import load_params

DEMO = (
    *("--set", "dataset.format=demo", "--set", "dataset.demo={images: 50, size: [32, 32]}"),
    *("--set", "train.weights=none", "--set", "features.weights=none"),
)


@pytest.fixture
def init(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["boxloop", "init", str(tmp_path / "c"), *arguments])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return run


def test_a_plan_makes_nothing_and_planned_makes_what_it_says(init, tmp_path):
    options = ("--wait", "1", "--objects", "4", *DEMO)
    code, said, _ = init("--plan", *options)
    assert code == 0
    assert not (tmp_path / "c").exists()
    assert "With --planned in place of --plan, " in said
    sizes = plan(50, Prices(4 * 35.0, 120.0), follow())
    code, again, _ = init("--planned", *options)
    assert code == 0
    assert again.startswith(said.partition("With --planned")[0])
    made = load_params(tmp_path / "c" / "params.yaml")
    assert made.batch.sizes == sizes
    assert len(made.iterations) == len(sizes)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--planned", "--batches", "3"], "--planned chooses the sizes of batches itself"),
        (["--wait", "3"], "--wait and --objects are for a plan: add --plan"),
        (["--plan", "--set", "batch.size=0"], "batch.size"),
    ],
)
def test_what_is_refused_makes_nothing(init, tmp_path, arguments, sentence):
    code, said, error = init(*arguments, *DEMO)
    assert code != 0
    assert sentence in error
    assert said == ""
    assert not (tmp_path / "c").exists()
