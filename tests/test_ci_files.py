"""docs/ci: as far as files can be checked without a CI."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from boxloop.cli import app

FOLDER = Path(__file__).parents[1] / "docs" / "ci"
SCRIPT = FOLDER / "report.sh"


def test_the_workflow_pulls_and_runs_the_script_that_lies_beside_it():
    workflow = YAML(typ="safe").load(FOLDER / "report.yaml")
    [job] = workflow["jobs"].values()
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert "dvc pull --allow-missing" in runs  # campaigns that are not done
    [report] = [run for run in runs if run.startswith("sh ")]
    assert (FOLDER / report.split()[1]).exists()
    for run in runs:
        subprocess.run(["sh", "-n"], input=run, text=True, check=True)


def test_the_script_uses_commands_that_exist():
    subprocess.run(["sh", "-n", SCRIPT], check=True)
    used = re.findall(r"\$\(boxloop ([\w-]+)", SCRIPT.read_text())
    assert used
    assert set(used) <= get_command(app).commands.keys()


@pytest.mark.parametrize(("lines", "shown"), [(2, "no change"), (4, "| row |")])
def test_a_table_without_rows_is_said_in_words(tmp_path, lines, shown):
    """With commands of those names that print tables of so many lines."""
    text = "| head |\\n|------|\\n" + "| row |\\n" * (lines - 2)
    for name, said in (("dvc", text), ("boxloop", "all is done"), ("git", "abc1234")):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\nprintf '{said}'\n")
        path.chmod(0o755)
    bare = f"{path.parent}:{Path(shutil.which('sh')).parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["sh", SCRIPT, "main"],
        env={"PATH": bare},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("# abc1234 against main\n")
    assert done.stdout.count(shown) == (2 if lines == 2 else 4)


def test_without_a_commit_to_compare_with_it_says_so(tmp_path):
    done = subprocess.run(["sh", SCRIPT], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "name the commit" in done.stderr
