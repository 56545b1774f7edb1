"""`benchmarks/recount.py`, which uses nothing of boxloop, comes to the numbers of metrics.json."""

import shutil
import subprocess
import sys
from pathlib import Path

from boxloop.files import read_json, write_json
from boxloop.report.build import write_report
from builders_campaign import build_campaign, small_params

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "recount.py"


def _recount(folder):
    return subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True)


def test_a_script_recounts_a_campaign_from_what_people_submitted(tmp_path):
    params = small_params(3, review={"annotator": "fiftyone"})
    paths = build_campaign(tmp_path, params, annotator="fiftyone")
    for key in params.iterations:
        journal = paths.reviews / f"{key}-20240101T120000000000Z-ada.json"
        journal.parent.mkdir(exist_ok=True)
        shutil.copy(paths.corrections(key), journal)
    write_report(paths, params, paths.metrics, paths.report)
    done = _recount(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "IoU 0.5 b01: 6 objects, 4 kept, 0 moved, 1 relabeled, 1 removed, 1 added" in done.stdout
    metrics = read_json(paths.metrics)
    metrics["added"]["0.5"] += 1
    write_json(paths.metrics, metrics)
    wrong = _recount(tmp_path)
    assert (wrong.returncode, wrong.stdout.count("DIFFERENT")) == (1, 1)
