"""The table of experiments, from what DVC tells of them."""

from __future__ import annotations

import pytest

from boxloop import cli
from boxloop.campaign.experiments import experiments_text
from boxloop.errors import UserError

ROWS = """\
Experiment,rev,typ,Created,parent,wt_reduction.0.5,wb_reduction.0.5,map.map,train.steps,order.strategy
,workspace,baseline,,,0.5,-0.25,0.4567,30,random
,master,baseline,2026-01-01T00:00:00,,,,,60,dissimilar
hot-name,abc1234,branch_base,2026-01-02T00:00:00,,0.7,0.6,0.5,60,my_module_of_a_long_name:STRATEGY
"""


@pytest.fixture
def dvc(tmp_path, monkeypatch):
    """A command in DVC's place, which writes down how it was called."""

    def answer(text, code=0):
        (tmp_path / "rows.csv").write_text(text)
        script = f'cat rows.csv; echo "$@" > called; exit {code}'
        monkeypatch.setattr("boxloop.campaign.experiments.DVC", ("sh", "-c", script, "dvc"))

    return answer


def test_what_was_saved_stands_beside_what_differs(tmp_path, dvc):
    dvc(ROWS)
    assert experiments_text(tmp_path, ["-A"]).splitlines() == [
        "Experiment  WT 0.5   WB 0.5    mAP  train.steps  order.strategy",
        "workspace   50.0 %  -25.0 %  0.457  30           random",
        "master           -        -      -  60           dissimilar",
        "  hot-name  70.0 %   60.0 %  0.500  60           my_module_of_a_long_n...",
    ]
    called = (tmp_path / "called").read_text()
    assert called.startswith("exp show --csv --only-changed")
    assert called.endswith("-A\n")


def test_other_metrics_and_digests_of_files_are_left_out(tmp_path, dvc):
    """Whatever the report counts besides: it is the savings and the parameters that compare."""
    others = (
        *("by_class.map.map.wt_reduction.0.5", "costs.hours.0.5", "trust.accepted", "qa.fixed"),
        *("measured_hours", "images", "map.map_50", "data/images.json", "State", "deliver/x.yaml"),
    )
    header, *lines = ROWS.splitlines()
    text = [",".join([header, *others]), *(line + ",7" * len(others) for line in lines)]
    dvc(ROWS)
    wanted = experiments_text(tmp_path, [])
    dvc("\n".join(text) + "\n")
    assert experiments_text(tmp_path, []) == wanted


def test_dvc_s_reason_is_passed_on(tmp_path, dvc):
    dvc("ERROR: you are not inside of a DVC repository\n", code=1)
    with pytest.raises(UserError, match=r"campaign's folder: you are not inside of a DVC"):
        experiments_text(tmp_path, [])


@pytest.mark.parametrize("option", ["--json", "--md", "--csv", "-q"])
def test_options_that_change_the_output_are_refused(tmp_path, dvc, option):
    dvc(ROWS)
    with pytest.raises(UserError, match=f"leave {option} out, or ask DVC itself"):
        experiments_text(tmp_path, ["-A", option])
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize("text", ["usage: dvc experiments show [-h]\n", "Experiment,rev\na,b\n"])
def test_what_is_no_table_of_experiments_is_said(tmp_path, dvc, text):
    dvc(text)
    with pytest.raises(UserError, match=r"columns Experiment, rev, typ: leave out what .*\(-Ah\)"):
        experiments_text(tmp_path, ["-Ah"])


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_of_the_command_and_not_of_dvc_s(tmp_path, dvc, monkeypatch, capsys, option):
    dvc(ROWS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["boxloop", "experiments", option])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert "Compare experiments: what each saved" in capsys.readouterr().out
    assert not (tmp_path / "called").exists()
