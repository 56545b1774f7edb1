"""Run a study from beginning to end: compute the cells, write the tables, track."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from boxloop.distributed import addresses
from boxloop.errors import StudyError, StudyStopped
from boxloop.files import write_json
from boxloop.report.tables import Row
from boxloop.study.report import Outcome, write_outputs
from boxloop.study.results import precision_rows, workload_rows
from boxloop.study.spec import Spec
from boxloop.study.study import SHARED, Study
from boxloop.study.tracking import StudyTracker
from boxloop.terminal import counted

Print = Callable[[str], object]

LOCK = ".lock"
CONTENT = "study.json"
"""What is written once nothing can be refused any more."""


def run(
    spec: Spec, root: Path, *, jobs: int | None, on: str | None = None, say: Print = print
) -> None:
    """Run a study, or what is left of it, and write its tables and page.

    Args:
        spec: of the study.
        root: its folder; what is there already is kept.
        jobs: cells in parallel on this machine; None takes one per GPU, or one.
        on: address or file of a Dask scheduler whose workers compute instead, if any.
        say: called with messages for the user.

    Raises:
        BoxloopError: the study cannot be run at all.
        StudyError: some cells failed; the others are done, and in the tables.
        StudyStopped: it was stopped by Ctrl-C or SIGTERM; no process is left.
    """
    if on is not None:
        addresses.find(on)  # before the dataset is read
    root = root.absolute()
    new = [folder for folder in (root, *root.parents) if not folder.exists()]
    own = [path for path in (root / LOCK, root / SHARED) if not path.exists()]
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / LOCK, timeout=0), _stoppable(), _gone_if_refused(root, new, own):
            _run(Study(spec, root), jobs, on, say)
    except Timeout:
        raise StudyError(f"another boxloop is at work in {root}: wait for it") from None
    except KeyboardInterrupt:
        raise StudyStopped("stopped; the same command goes on from here") from None


def _run(study: Study, jobs: int | None, on: str | None, say: Print) -> None:
    for note in study.notes:
        say(f"note: {note}")
    done = [cell for cell in study.cells if study.is_done(cell)]
    left = [cell for cell in study.cells if cell not in done]
    cells = counted(len(study.cells), "cell")
    say(f"{cells}: {len(done)} done before, {len(left)} to run, in {study.root}")
    axes = study.spec.axes.model_dump(mode="json")
    # Documents the folder, and becomes an artifact in MLflow.
    write_json(study.root / CONTENT, {"study": axes, "params": study.spec.content})
    tracker = StudyTracker(study, say)
    failed: dict[str, str] = {}
    if left:
        from boxloop.study.computing import compute  # Dask takes a second or two

        failed = compute(study, left, jobs, on, tracker, say)
    for cell in left:
        if cell.name not in failed and not study.is_done(cell):
            failed[cell.name] = f"it did not finish; see {study.root / 'logs'}"
    outcome = _collect(study, failed)
    text, points, files = write_outputs(outcome)
    say("\n" + text)
    tracker.track_all(outcome.finished, points, [*files, study.root / CONTENT])
    if failed:
        # Below the tables, where they are not overlooked.
        for name, why in failed.items():
            say(f"failed: {name}: {why}")
        raise StudyError(
            f"{len(failed)} of {len(study.cells)} cells failed; the same command tries them again"
        )


def _collect(study: Study, failed: Mapping[str, str]) -> Outcome:
    rows: list[Row] = []
    precision: list[Row] = []
    finished = [c for c in study.cells if c.name not in failed and study.is_done(c)]
    for cell in finished:
        rows += workload_rows(cell, study.paths(cell))
        if study.held is not None:
            precision += precision_rows(cell, study.paths(cell), study.held)
    if not rows:
        why = next(iter(failed.values()), "none was run")
        raise StudyError(f"no cell is finished, so there is no table: {why}")
    return Outcome(study, rows, precision, finished, failed)


@contextmanager
def _gone_if_refused(root: Path, new: Sequence[Path], own: Sequence[Path]) -> Iterator[None]:
    """Take away what a study made, where it ends before it has begun.

    Args:
        root: its folder.
        new: folders that were not there, the study's own and those above it.
        own: what it makes in its folder, and was not there.
    """
    try:
        yield
    finally:
        if not (root / CONTENT).exists():
            for path in (root,) if new else own:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            for folder in new[1:]:
                with suppress(OSError):  # another one is at work there by now
                    folder.rmdir()


@contextmanager
def _stoppable() -> Iterator[None]:
    """Treat SIGTERM and a closed terminal like Ctrl-C."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), stop) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
