"""The structure, held against the imports: one way, no circles, heavy things where they belong."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

PACKAGE = Path(__file__).parents[1] / "src" / "boxloop"
FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(path):
    parts = ("boxloop", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def imports(path, *, top_level_only=False):
    """Full names of the modules that a file imports."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def roots(path, **options):
    return {name.partition(".")[0] for name in imports(path, **options)}


FLOORS = (
    {"errors"},
    {"files", "terminal"},
    {"params", "distributed"},
    {"core"},
    {"datasets"},
    {"models", "campaign"},
    {"report", "review"},
    {"tracking"},
    {"pipeline"},
    {"study"},
    {"cli"},
    {"__main__"},
)
"""The rooms of the package; imports go down only."""


def room(name):
    return name.split(".")[1]


def folder(name):
    """The package that a module lies in; at the top, the module itself."""
    place = MODULES[name].parent
    return room(name) if place == PACKAGE else place.relative_to(PACKAGE).as_posix()


def arrows(place):
    """Pairs of places, one of which imports from the other."""
    found = set()
    for name, path in MODULES.items():
        for target in imports(path):
            if "boxloop" not in (name, target) and target in MODULES:
                found.add((place(name), place(target)))
    return {(a, b) for a, b in found if a != b}


def circles(pairs):
    """The nodes from which the arrows lead back to themselves."""
    graph = {}
    for a, b in pairs:
        graph.setdefault(a, set()).add(b)

    def reached(start):
        seen, left = set(), [start]
        while left:
            for target in graph.get(left.pop(), set()) - seen:
                seen.add(target)
                left.append(target)
        return seen

    return {node for node in graph if node in reached(node)}


def test_there_is_something_to_check():
    assert len(FILES) > 20
    assert circles({("a", "b"), ("b", "c"), ("c", "b")}) == {"b", "c"}


def test_no_circles_between_modules():
    assert not circles(arrows(lambda name: name))


def test_no_circles_between_packages():
    assert not circles(arrows(folder))


def test_imports_go_down_the_floors():
    heights = {name: i for i, names in enumerate(FLOORS) for name in names}
    assert heights.keys() == {room(name) for name in MODULES if name != "boxloop"}
    assert not {(a, b) for a, b in arrows(room) if heights[a] <= heights[b]}


def test_the_house_stays_small():
    """At most 20 rooms and 80 arrows at the top, and files that fit a head."""
    assert len({room(name) for name in MODULES if name != "boxloop"}) <= 20
    assert len(arrows(room)) <= 80
    lengths = sorted(len(path.read_text().splitlines()) for path in FILES)
    assert lengths[-1] <= 400
    assert lengths[len(lengths) // 2] <= 150


_PARTS = ("types", "box_set", "decision", "feature_table", "planted", "recheck", "uses")
TYPES = [f"boxloop.core.{name}" for name in _PARTS]
"""The modules that :mod:`boxloop.core.types` offers from one place."""


@pytest.mark.parametrize("name", [*TYPES, "boxloop.errors"])
def test_types_and_errors_stand_on_numpy_alone(name):
    outside = {i for i in imports(MODULES[name]) if i not in TYPES}
    assert {i.partition(".")[0] for i in outside} <= {*sys.stdlib_module_names, "numpy"}


@pytest.mark.parametrize(
    "name",
    ["boxes", "box_validation", "ordering", "batching", "workload", "labeled_set", "box_columns"],
)
def test_the_method_does_no_io_and_knows_no_framework(name):
    path = MODULES[f"boxloop.core.{name}"]
    heavy = {"torch", "torchvision", "mlflow", "fiftyone", "typer", "PIL", "pathlib", "json"}
    assert not roots(path) & heavy
    calls = [n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    assert not [c for c in calls if isinstance(c, ast.Name) and c.id in ("open", "print")]


@pytest.mark.parametrize(
    ("library", "place"),
    [
        ("mlflow", "boxloop.tracking"),
        ("typer", "boxloop.cli"),
        (
            "torchvision",
            ("boxloop.models.detectors", "boxloop.models.torchvision_backbones"),
        ),
        ("transformers", "boxloop.models.detectors.transformers"),
        (
            "huggingface_hub",
            ("boxloop.models.detectors.transformers", "boxloop.models.weights"),
        ),
        ("pytorch_metric_learning", "boxloop.models.simnet"),
        (
            "ruamel",
            (
                "boxloop.params",
                "boxloop.campaign.init",
                "boxloop.campaign.params_file",
                "boxloop.datasets.flat_yaml",
                "boxloop.datasets.formats.yolo",
                "boxloop.study.jobs",
            ),
        ),
        ("faster_coco_eval", "boxloop.models.average_precision"),
        ("pyarrow", "boxloop.campaign.labeled_files"),
        ("distributed", "boxloop.distributed."),
        ("dask", "boxloop.distributed."),
    ],
)
def test_a_library_is_used_in_its_place_only(library, place):
    users = {name for name, path in MODULES.items() if library in roots(path)}
    assert users
    assert all(name.startswith(place) for name in users), users


def test_nothing_imports_the_command_line():
    users = {n for n, p in MODULES.items() if "boxloop.cli" in set(imports(p))}
    assert users == {"boxloop.__main__"}


def test_nothing_reads_the_environment_or_the_folder_on_import():
    reads = ("os.environ", "os.getenv(", "os.getcwd(", "Path.cwd(", "open(", "load_params(")
    reads += (".exists(", ".read_text(", ".read_bytes(", ".resolve(", ".stat(")
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            text = ast.unparse(node)
            assert not [read for read in reads if read in text], (name, text)


def test_help_loads_nothing_heavy():
    code = "import boxloop.cli, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "torch",
        "torchvision",
        "mlflow",
        "matplotlib",
        "scipy",
        "pandas",
        "PIL",
        "pyarrow",
        "dask",
    }


STEPS = {"learn": ("train", "propose"), "finish": ("review", "merge", "account", "track")}
"""What the two stages of a turn are made of."""

STAGES = {
    name: stage
    for file in ("dvc.yaml", "recipes/deliver.yaml")
    for name, stage in YAML(typ="safe").load(PACKAGE.parents[1] / file)["stages"].items()
}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_a_function_a_command_and_a_section_of_one_name(name):
    from typer.main import get_command

    from boxloop import pipeline
    from boxloop.cli import app
    from boxloop.params import Params

    stage = STAGES[name].get("do", STAGES[name])
    assert stage["cmd"].split()[:2] == ["boxloop", name]
    assert name in get_command(app).commands
    function = getattr(pipeline, name)
    assert function.__module__.startswith("boxloop.pipeline.")
    first, *more = inspect.signature(function).parameters
    assert first == "campaign"
    assert (more[:1] == ["turn"]) == ("foreach" in STAGES[name])
    # Some stages have no parameters; none has parameters without a section of its own, or of one of
    # its steps. (`start` tells the turns of all parameters, `deliver` does what a next turn would.)
    if "params" in stage and name not in ("start", "deliver"):
        sections = {key.partition(".")[0] for key in stage["params"]}
        assert sections & Params.model_fields.keys() & {name, *STEPS.get(name, ())}


@pytest.mark.parametrize("name", [step for steps in STEPS.values() for step in steps])
def test_a_step_is_a_function_and_a_command(name):
    from typer.main import get_command

    from boxloop import pipeline
    from boxloop.cli import app

    assert name in get_command(app).commands
    assert list(inspect.signature(getattr(pipeline, name)).parameters) == ["campaign", "turn"]


def test_every_section_is_of_a_stage_or_a_step():
    from boxloop.params import Params

    known = {*STAGES, *(step for steps in STEPS.values() for step in steps)}
    assert set(Params.model_fields) - {"iterations"} <= known
    everything = STAGES["start"]["params"]
    assert set(Params.model_fields) - {"iterations", "report"} == set(everything)
