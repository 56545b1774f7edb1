"""Names of params.yaml whose code is not of the package."""

import sys

import pytest

from boxloop.errors import ParamsError
from boxloop.params import Params
from boxloop.params.registry import ANNOTATORS, COST_MODELS, DETECTORS, FORMATS, ORDERINGS, Registry


def registry():
    return Registry("train.detector", {"own": "json:dumps"}, "boxloop.detectors")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An installed package with three entry points, one of which works."""
    info = tmp_path / "foreign_boxes-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-boxes\nVersion: 1.2\n")
    points = [
        "good = foreign_boxes:FACTORY",
        "bad = foreign_broken:X",
        "own = foreign_boxes:FACTORY",
    ]
    (info / "entry_points.txt").write_text("\n".join(["[boxloop.detectors]", *points]))
    (tmp_path / "foreign_boxes.py").write_text("FACTORY = 'made'")
    (tmp_path / "foreign_broken.py").write_text("raise OSError('no such\\nlibrary')")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("foreign_boxes", "foreign_broken"):
        sys.modules.pop(name, None)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The present folder, which is not on the path."""
    folder = tmp_path / "campaign"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part not in ("", str(folder))])
    yield folder
    for name in ("my_module", "my_package", "my_package.inner"):
        sys.modules.pop(name, None)


def test_an_entry_point_is_a_name_like_others(site):
    assert registry().get("good") == "made"
    assert list(registry()) == ["own", "good", "bad"]
    assert "good" in registry()


def test_an_own_name_keeps_its_meaning_and_costs_no_look_around(site):
    import json

    known = registry()
    assert known.get("own") is json.dumps
    assert "_installed" not in vars(known)


def test_a_broken_package_is_named_in_one_sentence(site):
    with pytest.raises(ParamsError) as error:
        registry().get("bad")
    assert str(error.value) == (
        "train.detector: 'bad' of the package foreign-boxes 1.2 cannot be loaded:"
        " OSError: no such library"
    )


def test_a_misspelled_entry_point_is_helped(site):
    with pytest.raises(ValueError, match="there is no 'goood' .did you mean 'good'"):
        registry().check("goood")


@pytest.mark.parametrize("reference", ["my_module:FACTORY", "my_package.inner:FACTORY"])
def test_a_module_of_the_present_folder(here, reference):
    (here / "my_package").mkdir()
    (here / "my_package" / "inner.py").write_text("FACTORY = 'inner'")
    (here / "my_module.py").write_text("FACTORY = 'own'")
    assert registry().check(reference) == reference
    assert registry().get(reference) == ("inner" if "inner" in reference else "own")


def test_files_of_the_present_folder_hide_no_library(here):
    (here / "colorsys.py").write_text("FACTORY = 'hidden'")
    sys.modules.pop("colorsys", None)
    with pytest.raises(ParamsError, match="AttributeError"):
        registry().get("colorsys:FACTORY")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "names the module my_module, which is neither in .*campaign nor installed"),
        ("", "'my_module:FACTORY' cannot be loaded: AttributeError"),
        ("import nothing_of_this_name", "cannot be loaded: ModuleNotFoundError"),
        ("def (", "cannot be loaded: SyntaxError"),
        ("raise SystemExit(3)", "cannot be loaded: SystemExit"),
    ],
)
def test_a_module_that_is_of_no_use_is_told_in_one_sentence(here, content, told):
    if content is not None:
        (here / "my_module.py").write_text(content)
    with pytest.raises(ParamsError, match=f"^train.detector: .*{told}") as error:
        registry().get("my_module:FACTORY")
    assert "\n" not in str(error.value)


def test_code_that_is_away_stands_for_nothing(here):
    assert registry().code_of("my_module:FACTORY") is None
    assert registry().code_of("my_package.inner:FACTORY") is None
    (here / "my_module.py").write_text("")
    assert registry().code_of("my_module:FACTORY") == here / "my_module.py"


@pytest.mark.parametrize("name", ["my module:X", "a:b:c", ":X", "x:", "1a:X", "a..b:X"])
def test_what_only_resembles_a_module_is_a_misspelling(name):
    with pytest.raises(ValueError, match="there is no"):
        registry().check(name)


def test_params_take_such_names_for_all_kinds():
    content = {
        "dataset": {"format": "mine:FORMAT"},
        "order": {"strategy": "mine:ORDER"},
        "train": {"detector": "mine.deep:FACTORY", "steps": 1},
        "review": {"annotator": "mine:create"},
        "account": {"cost_model": "mine:COSTS"},
    }
    assert Params.model_validate(content).train.detector == "mine.deep:FACTORY"


def test_every_kind_has_a_group_of_its_own():
    groups = [kind.group for kind in (FORMATS, ORDERINGS, DETECTORS, ANNOTATORS, COST_MODELS)]
    assert groups == [
        f"boxloop.{name}"
        for name in ("formats", "orderings", "detectors", "annotators", "cost_models")
    ]
