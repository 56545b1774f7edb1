"""The notebook that is shown to newcomers runs as it is committed, and shows what it showed."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

PATH = Path(__file__).parents[1] / "docs" / "quickstart.ipynb"


def texts(notebook):
    """What the cells print."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output["text"] for output in outputs if output["output_type"] == "stream"]


def pictures(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_it_is_committed_with_its_pictures_and_without_errors():
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    assert pictures(notebook) == 2
    assert any("saved" in text for text in texts(notebook))
    kinds = {o["output_type"] for cell in notebook.cells for o in cell.get("outputs", [])}
    assert "error" not in kinds
    assert not [text for text in texts(notebook) if "/tmp" in text]


@pytest.mark.slow
def test_it_runs(tmp_path):
    notebook = nbformat.read(PATH, as_version=4)
    before, shown = texts(notebook), pictures(notebook)
    resources = {"metadata": {"path": str(tmp_path)}}
    patience = {"timeout": 800, "startup_timeout": 600}
    NotebookClient(notebook, kernel_name="python3", resources=resources, **patience).execute()
    after = texts(notebook)
    # Sums depend on the number of threads: the last lines may differ in their digits.
    assert len(after) == len(before)
    assert after[0] == before[0]
    assert pictures(notebook) == shown
