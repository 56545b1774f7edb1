"""Where a campaign belongs."""

from __future__ import annotations

from pathlib import Path

from boxloop.campaign.paths import workspace_of


def test_a_temporary_dvc_experiment_belongs_to_its_workspace(tmp_path: Path) -> None:
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmpab12"
    assert workspace_of(copy) == tmp_path.resolve()
    assert workspace_of(tmp_path / "exps" / "a") == (tmp_path / "exps" / "a").resolve()
