"""The pool with real workers, on jobs that need nothing heavy: orders."""

import os

import psutil

from boxloop.campaign import artifacts
from boxloop.params import Params
from boxloop.study.pool import Job, Pool

PARAMS = Params.model_validate({"order": {"strategy": "random"}}).model_dump(mode="json")
SIMILAR = Params.model_validate({"order": {"strategy": "similar"}}).model_dump(mode="json")


def job(folder, name, needs=(), files=None, **changes):
    content = {
        "kind": "order",
        "params": PARAMS,
        "image_ids": [f"i{n}" for n in range(9)],
        "files": {"out": str(folder / f"{name}.json"), **(files or {})},
    }
    return Job(name, {**content, **changes}, needs)


def run(folder, jobs, *, size=2, gpus=(), on_end=lambda job, why: None):
    ended = {}

    def end(job, why):
        ended[job.name] = why
        on_end(job, why)

    failed = Pool(size, gpus=gpus, logs=folder / "logs").run(jobs, lambda *_: None, end)
    assert {name: why for name, why in ended.items() if why is not None}.keys() <= failed.keys()
    return ended, failed


def test_jobs_wait_for_what_they_need_and_fail_with_it(tmp_path):
    ended, failed = run(
        tmp_path,
        [
            job(tmp_path, "grandchild", ("child",)),
            job(tmp_path, "child", ("lame",)),
            job(tmp_path, "late", ("first", "no job of this list")),
            job(tmp_path, "lame", (), {"features": str(tmp_path / "nothing.npz")}, params=SIMILAR),
            job(tmp_path, "first"),
        ],
    )
    assert set(failed) == {"lame", "child", "grandchild"}
    assert "nothing.npz does not exist" in failed["lame"]
    assert failed["child"].startswith("it needs lame, which failed: ")
    assert ended["late"] is None
    assert len(artifacts.read_order(tmp_path / "late.json").image_ids) == 9


def test_a_fault_of_its_own_is_told_with_the_log_and_the_worker_goes_on(tmp_path):
    jobs = [job(tmp_path, "odd", image_ids=3), job(tmp_path, "fine")]
    _, failed = run(tmp_path, jobs, size=1)
    assert set(failed) == {"odd"}
    assert "TypeError" in failed["odd"]
    log = tmp_path / "logs" / "worker-0.log"
    assert str(log) in failed["odd"]
    assert "Traceback" in log.read_text()


def test_an_end_that_cannot_be_taken_in_is_a_failure(tmp_path):
    def full(job, why):
        raise OSError("the disk is full")

    _, failed = run(tmp_path, [job(tmp_path, "one")], on_end=full)
    assert failed == {"one": "the disk is full"}


def test_gpus_are_given_out_in_turn_and_cores_shared(tmp_path):
    seen = {}

    def look(job, why):
        for child in psutil.Process().children():
            if "boxloop.study.worker" in child.cmdline():
                environment = child.environ()
                seen[child.pid] = environment["CUDA_VISIBLE_DEVICES"]
                assert int(environment["OMP_NUM_THREADS"]) == max(1, (os.cpu_count() or 1) // 3)

    before = os.environ.pop("OMP_NUM_THREADS", None)
    try:
        jobs = [job(tmp_path, f"job{n}") for n in range(30)]
        run(tmp_path, jobs, size=3, gpus=["4", "7"], on_end=look)
    finally:
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before
    assert sorted(seen.values()) == ["4", "4", "7"]
    assert not [pid for pid in seen if psutil.pid_exists(pid)]
