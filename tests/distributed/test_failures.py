"""What is told of several failed processes: the cause, not what followed from it."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from boxloop.distributed.launch import _first_failure
from boxloop.errors import BoxloopError, ProcessError


def failure(exitcode=1, timestamp=0, **record):
    return SimpleNamespace(
        exitcode=exitcode,
        timestamp=timestamp,
        error_file_data={"message": "<NONE>", **({"boxloop": record} if record else {})},
    )


ENDED = failure(-signal.SIGTERM)


def test_a_sentence_before_all_else():
    lost = failure(traceback="Traceback: connection closed by peer", time=5.0)
    said = failure(2, sentence="a.png does not exist", exit_code=2, time=6.0)
    error = _first_failure({0: lost, 1: ENDED, 2: said}, 3)
    assert isinstance(error, BoxloopError)
    assert (str(error), error.exit_code) == ("a.png does not exist", 2)


def test_one_that_was_killed_before_those_that_missed_it(capsys):
    lost = failure(traceback="Traceback: connection closed by peer", time=5.0)
    error = _first_failure({0: lost, 1: failure(-signal.SIGKILL)}, 2)
    assert isinstance(error, ProcessError)
    assert "process 1 of 2 was ended from outside, by signal 9 (out of memory?)" in str(error)
    assert capsys.readouterr().err == ""


def test_the_first_of_several_faults_with_its_traceback(capsys):
    late, early = (failure(traceback=f"Traceback: {t}\n", time=t) for t in (7.0, 3.0))
    error = _first_failure({0: late, 1: early, 2: ENDED}, 3)
    assert "process 1 of 3 failed" in str(error)
    assert capsys.readouterr().err == "Traceback: 3.0\n"


@pytest.mark.parametrize(("exitcode", "how"), [(-15, "signal 15"), (7, "code 7")])
def test_one_without_a_word(exitcode, how):
    assert f"process 0 of 2 was ended from outside, by {how};" in str(
        _first_failure({0: failure(exitcode)}, 2)
    )


@pytest.mark.parametrize(
    ("raised", "code", "found"),
    [
        ("ParamsError('no')", 2, {"sentence": "no", "exit_code": 2}),
        ("FileNotFoundError(2, 'No such file', 'x.json')", 2, {"sentence": "x.json: No such file"}),
        ("ZeroDivisionError('oh')", 1, {"traceback": "ZeroDivisionError: oh"}),
    ],
)
def test_a_process_writes_down_why_it_failed_and_prints_nothing(tmp_path, raised, code, found):
    script = (
        "from boxloop.distributed import report_to_launcher\n"
        "from boxloop.errors import ParamsError\n"
        f"with report_to_launcher():\n    raise {raised}\n"
    )
    environment = {**os.environ, "RANK": "1", "TORCHELASTIC_ERROR_FILE": str(tmp_path / "error")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
    content = json.loads((tmp_path / "error").read_text())
    assert {"message", "extraInfo"} == set(content["message"])  # as torchrun reads it
    for name, value in found.items():
        told = content["boxloop"][name]
        assert value in told if isinstance(value, str) else value == told
