"""A campaign whose second batch waits with proposals, and the command line in its folder."""

import json

import pytest

from builders_campaign import build_campaign, small_params
from builders_program import run_program


@pytest.fixture
def waiting(tmp_path, monkeypatch):
    """Makes the campaign, with params.yaml below a comment, and goes into its folder."""

    def make(sections, comment="# ours\n", **options):
        folder = tmp_path / "campaign"
        folder.mkdir()
        params = small_params(3, **sections)
        build_campaign(folder, params, done=1, through="proposals", **options)
        text = json.dumps(params.model_dump(mode="json"))
        (folder / "params.yaml").write_text(f"{comment}{text}\n", encoding="utf-8")
        monkeypatch.chdir(folder)
        return folder

    return make


@pytest.fixture
def program(root, monkeypatch, capsys):
    """Runs boxloop in the folder ``root``, a fixture of each file."""

    def run(*arguments):
        return run_program(monkeypatch, capsys, *arguments)

    return run
