"""The method stands on numpy and scipy alone."""

import ast
import sys
from pathlib import Path

import pytest

import boxloop.core

FILES = sorted(Path(boxloop.core.__path__[0]).glob("*.py"))
ALLOWED = (
    *("boxloop.core", "boxloop.errors", "boxloop.params.registry", "boxloop.params.words"),
    *("numpy", "scipy"),
)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_core_imports_numpy_scipy_and_itself(path):
    for name in imported(path):
        root = name.partition(".")[0]
        known = any(name == allowed or name.startswith(f"{allowed}.") for allowed in ALLOWED)
        assert root in sys.stdlib_module_names or known, name
