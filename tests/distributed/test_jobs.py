"""Jobs on real workers of Dask, here and at a scheduler."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

import boxloop
import builders_jobs
from boxloop.distributed import places
from boxloop.distributed.jobs import TRIES, Job, Jobs
from boxloop.distributed.places import at, here
from boxloop.errors import ProcessError
from builders_database import kill_all
from builders_jobs import spawned, wait_for


def job(folder, name, needs=(), work=builders_jobs.write, lock=None, **content):
    return Job(name, work, {"out": str(folder / name), **content}, needs, lock)


def run(folder, jobs, *, size=2, gpus=(), place=None, on_end=lambda job: None, meanwhile=None):
    """Gives results by name, errors by name, and what was said."""
    ended, said = {}, []

    def end(job, why, outcome):
        assert job.name not in ended
        ended[job.name] = outcome.result
        on_end(job)

    place = place or here(size, gpus=gpus, logs=folder / "logs")
    everything = Jobs(jobs, lambda *_: None, end, said.append)
    failed = everything.run(place, meanwhile or (lambda: None))
    wait_for(lambda: not spawned())
    return ended, failed, said


def test_jobs_wait_for_what_they_need_and_fail_with_it(tmp_path):
    def full(job):
        if job.name == "full":
            raise OSError("the disk is full")

    ended, failed, _ = run(
        tmp_path,
        [
            job(tmp_path, "grandchild", ("child",)),
            job(tmp_path, "child", ("lame",)),
            job(tmp_path, "late", ("first", "no job of this list"), work=builders_jobs.look),
            job(tmp_path, "lame", work=builders_jobs.lack),
            job(tmp_path, "odd", work=builders_jobs.blunder),
            job(tmp_path, "full"),
            job(tmp_path, "first"),
        ],
        on_end=full,
    )
    assert set(ended) == {"grandchild", "child", "late", "lame", "odd", "full", "first"}
    assert set(failed) == {"lame", "child", "grandchild", "odd", "full"}
    assert failed["lame"] == f"{tmp_path / 'lame'} does not exist"
    assert failed["child"].startswith("it needs lame, which failed: ")
    assert failed["full"] == "the disk is full"
    assert "first" in ended["late"]
    # A fault of boxloop's own: the log has the rest, and the worker went on.
    assert "TypeError" in failed["odd"]
    logs = [p for p in (tmp_path / "logs").iterdir() if str(p) in failed["odd"]]
    assert "Traceback" in logs[0].read_text()


@pytest.mark.parametrize("asked", [None, "5"])
def test_gpus_are_given_out_in_turn_and_cores_shared(tmp_path, monkeypatch, asked):
    """Who names a number of threads for OpenMP alone gets no other number from MKL."""
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    for variable in threads:
        monkeypatch.delenv(variable, raising=False)
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    wanted = asked or str(max(1, (os.cpu_count() or 1) // 3))
    before = dict(os.environ)
    free = tmp_path / "free"
    jobs = [job(tmp_path, f"job{n}", work=builders_jobs.hold, until=str(free)) for n in range(3)]
    seen = [job(tmp_path, f"seen{n}", (f"job{n}",)) for n in range(3)]

    def meanwhile():
        # Each has one, so that each worker is asked.
        if all((tmp_path / f"job{n}").exists() for n in range(3)):
            free.touch()

    ended, failed, _ = run(tmp_path, [*jobs, *seen], size=3, gpus=["4", "7"], meanwhile=meanwhile)
    assert not failed
    assert len({ended[f"job{n}"] for n in range(3)}) == 3
    for name in ("seen0", "seen1", "seen2"):
        environment = ended[name][1]
        slot = int(environment["BOXLOOP_WORKER_LOG"][-5])
        assert environment["CUDA_VISIBLE_DEVICES"] == ["4", "7", "4"][slot]
        assert {environment[variable] for variable in threads} == {wanted}
    assert dict(os.environ) == before


@pytest.mark.slow
def test_a_job_whose_worker_dies_is_done_by_another_a_few_times(tmp_path):
    free = tmp_path / "free"
    jobs = [
        job(tmp_path, "fatal", work=builders_jobs.die),
        job(tmp_path, "unlucky", work=builders_jobs.hold, until=str(free)),
        job(tmp_path, "child", ("unlucky",)),
    ]

    def meanwhile():
        found = tmp_path / "unlucky"
        pids = found.read_text().split() if found.exists() else []
        if len(pids) == 1:
            try:
                os.kill(int(pids[0]), signal.SIGKILL)
            except ProcessLookupError:
                return
        elif pids:
            free.touch()

    ended, failed, said = run(tmp_path, jobs, meanwhile=meanwhile)
    assert set(failed) == {"fatal"}
    assert f"its worker was ended from outside {TRIES} times (out of memory?)" in failed["fatal"]
    assert str(tmp_path / "logs") in failed["fatal"]
    assert len((tmp_path / "fatal").read_text().split()) == TRIES
    assert ended["unlucky"] == int((tmp_path / "unlucky").read_text().split()[1])
    assert "unlucky: its worker was ended from outside; begun again" in said


def test_a_worker_that_dies_while_it_starts_is_started_again(tmp_path):
    free, seen = tmp_path / "free", []

    def meanwhile():
        new = [c for c in spawned() if c.pid not in seen]
        seen.extend(c.pid for c in new)
        if (tmp_path / "one").exists() and len(seen) == 1:
            with contextlib.suppress(psutil.NoSuchProcess):  # killed, and no other came yet
                psutil.Process(seen[0]).kill()
        elif new and len(seen) == 2:
            kill_all(*new)
        elif len(seen) > 2:
            free.touch()

    jobs = [job(tmp_path, "one", work=builders_jobs.hold, until=str(free))]
    ended, failed, _ = run(tmp_path, jobs, size=1, meanwhile=meanwhile)
    assert not failed
    assert ended["one"] in seen[2:]


@pytest.mark.slow
def test_a_job_waits_for_a_worker_that_was_lost_and_still_computes(tmp_path):
    lock = tmp_path / "locks" / "one"
    lock.parent.mkdir()
    held = FileLock(lock, thread_local=False)
    held.acquire()

    def release():
        time.sleep(3)  # in which the job would be done
        (tmp_path / "released").touch()
        held.release()

    releasing = threading.Thread(target=release)

    def end(job):
        if job.name == "other":
            releasing.start()

    one = job(tmp_path, "one", lock=lock, work=builders_jobs.look)
    jobs = [one, job(tmp_path, "other", lock=tmp_path / "two")]
    ended, failed, _ = run(tmp_path, jobs, on_end=end)
    releasing.join()
    assert not failed
    assert {"other", "released"} <= ended["one"]


CODE = """
import sys
from pathlib import Path
import builders_jobs
from boxloop.distributed.jobs import Job, Jobs
from boxloop.distributed.places import at, here
folder, address = Path(sys.argv[1]), sys.argv[2:]
jobs = [Job(str(n), builders_jobs.hold, {"out": str(folder / str(n)), "until": str(folder / "no")})
        for n in range(2)]
place = at(address[0], folder) if address else here(2, gpus=(), logs=folder / "logs")
if __name__ == "__main__":
    Jobs(jobs, lambda *_: None, lambda *_: None, print).run(place)
"""


def start(folder, *address):
    """A process with two jobs that never end, and the process ids of their workers."""
    (folder / "main.py").write_text(CODE)
    command = [sys.executable, str(folder / "main.py"), str(folder), *address]
    tests = str(Path(__file__).parents[1])
    # A test run in the background may ignore Ctrl-C, and hand that on.
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    path = f"{tests}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "PYTHONPATH": path}
    process = subprocess.Popen(command, env=environment, preexec_fn=hear)
    wait_for(lambda: all((folder / n).exists() and (folder / n).read_text() for n in "01"))
    return process, [psutil.Process(int((folder / n).read_text())) for n in "01"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_local_workers_end_with_the_process_that_started_them(tmp_path, how):
    process, workers = start(tmp_path)
    children = psutil.Process(process.pid).children(recursive=True)
    assert {w.pid for w in workers} <= {c.pid for c in children}
    process.send_signal(how)
    process.wait(120)
    _, alive = psutil.wait_procs(children, timeout=120)
    assert not alive


def test_local_workers_do_not_hear_the_terminal(tmp_path):
    process, workers = start(tmp_path)
    try:
        for worker in workers:
            worker.send_signal(signal.SIGINT)
        gone, _ = psutil.wait_procs(workers, timeout=3)
        assert not gone
    finally:
        process.kill()
        process.wait(120)


LATE = """
import logging, sys
from pathlib import Path
from boxloop.distributed.places import here
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with here(1, gpus=(), logs=folder / "logs")() as place:
        address = place.client.scheduler.address
    for name in ("distributed.batched", "distributed.client", "distributed.gc", "distributed.nanny",
                 "tornado.application"):
        try:
            raise ConnectionError(address)
        except ConnectionError:
            logging.getLogger(name).exception("a connection that was closed with its worker")
"""


def test_dask_has_nothing_to_say_after_its_end_either(tmp_path):
    (tmp_path / "main.py").write_text(LATE)
    command = [sys.executable, str(tmp_path / "main.py"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_workers_elsewhere_drop_the_jobs_of_a_process_that_is_gone(tmp_path):
    with builders_jobs.scheduler(tmp_path) as (file, processes):
        process, workers = start(tmp_path, str(file))
        assert {w.pid for w in workers} == {p.pid for p in processes[:2]}
        process.kill()
        process.wait(120)
        (tmp_path / "no").touch()
        # They take what the next process gives them.
        jobs = [job(tmp_path, "new0"), job(tmp_path, "new1")]
        ended, failed, _ = run(tmp_path, jobs, place=at(str(file), tmp_path))
        assert not failed
        assert {ended["new0"][0], ended["new1"][0]} <= {p.pid for p in processes[:2]}

        # Without a scheduler they end, and so does whoever waits for them.
        def meanwhile():
            if (tmp_path / "last").exists():
                processes[-1].kill()

        last = job(tmp_path, "last", work=builders_jobs.hold, until=str(tmp_path / "never"))
        with pytest.raises(ProcessError, match="does not answer any more"):
            run(tmp_path, [last], place=at(str(file), tmp_path), meanwhile=meanwhile)
        assert [p.wait(240) is not None for p in processes] == [True] * 3


@pytest.mark.slow
def test_a_worker_that_cannot_take_part_is_told_in_one_sentence(tmp_path):
    place = at("tcp://127.0.0.1:9", tmp_path)
    with pytest.raises(ProcessError, match="the scheduler tcp://127.0.0.1:9 cannot be reached"):
        run(tmp_path, [job(tmp_path, "one")], place=place)
    with pytest.raises(ProcessError, match="has not written its file"):
        run(tmp_path, [job(tmp_path, "one")], place=at(str(tmp_path / "no.json"), tmp_path))
    other = tmp_path / "other" / "boxloop"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "0.0.1"\n')
    path = f"{other.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with (
        builders_jobs.scheduler(tmp_path, workers=1, PYTHONPATH=path) as (file, _),
        pytest.raises(ProcessError, match="cannot take part: .*boxloop"),
    ):
        run(tmp_path, [job(tmp_path, "one")], place=at(str(file), tmp_path))


def test_what_keeps_a_worker_out(tmp_path):
    there, missing = tmp_path / "there", tmp_path / "nothing" / "token"
    there.touch()
    assert places._look(boxloop.__version__, str(there)) == ""
    assert f"it does not see {missing.parent}" in places._look(boxloop.__version__, str(missing))
    said = places._look("9.9", str(there))
    assert said.startswith(f"it has boxloop {boxloop.__version__}, and this is 9.9")
