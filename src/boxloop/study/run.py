"""A study from beginning to end: datasets, shared files, cells side by side, what people read."""

from __future__ import annotations

import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from boxloop import __version__, batching, storage
from boxloop.errors import BoxloopError, ParamsError, StudyError, StudyStopped
from boxloop.layout import Layout
from boxloop.params import SIMNET, Params
from boxloop.progress import reporting
from boxloop.report.terminal import percent
from boxloop.study import material as materials
from boxloop.study.files import Held, expected
from boxloop.study.grid import (
    Cell,
    approaches,
    cells,
    features_inputs,
    order_inputs,
    simnet_inputs,
    slug,
)
from boxloop.study.material import Material
from boxloop.study.outputs import Outcome, write_outputs
from boxloop.study.paper import Totals, check_totals
from boxloop.study.pool import Job, Pool
from boxloop.study.results import Row, precision_rows, workload_rows
from boxloop.study.spec import Spec
from boxloop.study.tables import Grid
from boxloop.tracking.identity import digest

Print = Callable[[str], object]


class Study:
    """A study's folder, and everything that is known before the first cell is run."""

    def __init__(self, spec: Spec, root: Path) -> None:
        """Reads the datasets.

        Args:
            spec: of the study.
            root: its folder.

        Raises:
            DatasetError: a dataset cannot be used.
            ParamsError: a cell cannot be run with its parameters.
        """
        self.spec, self.root = spec, root.absolute()
        self.notes: list[str] = []
        any_params = spec.params("random", None, next(iter(spec.detectors)), spec.axes.seeds[0])
        with reporting("reading images") as report:
            self.whole = materials.load(any_params, self.shared / "drawn", report)
        self.parts = materials.by_class(spec, self.whole)
        self.held: Held | None = None
        self.test: Material | None = None
        test = spec.test_dataset(any_params)
        if test is not None:
            with reporting("reading the test set") as report:
                self.test = materials.load_test(
                    test, self.shared / "drawn-test", self.whole, report
                )
            self.held = Held(Layout(self.shared / "test"), self.test.digest)
            self._note_overlap()
        self._note_size()
        self.cells = cells(spec, self.whole, self.parts)
        for cell in self.cells:
            self._check_batches(cell)

    @property
    def shared(self) -> Path:
        """Folder of what several cells use."""
        return self.root / "shared"

    def layout(self, cell: Cell) -> Layout:
        """Of the cell's folder."""
        return Layout(self.root / "cells" / cell.folder)

    @property
    def grid(self) -> Grid:
        """What the tables are of."""
        rows = approaches(self.spec)
        found = {(c.approach, c.detector): c.params for c in self.cells}
        return Grid(
            rows,
            list(self.spec.detectors),
            self.cells[0].params.account.iou_thresholds,
            [label for label in self.parts if label is not None],
            self.spec.axes.seeds,
            self.spec.axes.paper,
            found,
        )

    def is_done(self, cell: Cell) -> bool:
        """Whether a cell was finished, with these inputs and thresholds, for this test set."""
        layout = self.layout(cell)
        mark = layout.root / "cell.json"
        if not mark.exists():
            return False
        content = storage.read_json(mark)
        same = (
            content.get("inputs") == cell.inputs
            and content.get("counted") == cell.counted
            and list(cell.params.iterations) == content.get("turns")
        )
        files = expected(layout, cell.params, self.held, checkpoints=False)
        return same and all(path.exists() for path in files)

    def _note_overlap(self) -> None:
        assert self.test is not None
        count = materials.overlap(self.whole, self.test)
        if count:
            self.notes.append(
                f"{count} of the {len(self.test.images)} images of the test set are among those"
                " that are labeled: its precision is of images that detectors were trained on"
            )

    def _note_size(self) -> None:
        name = self.spec.axes.paper
        if name is None:
            return
        images = self.whole.images
        note = check_totals(name, Totals(len(images), self.whole.objects, len(images.classes)))
        if note is not None:
            self.notes.append(note)

    def _check_batches(self, cell: Cell) -> None:
        """Tells before anything is computed whether the batches fit the number of images."""
        part = self.parts[cell.label]
        ids = [image.id for image in part.images.images]
        try:
            batching.plan(ids, cell.params.batch, list(cell.params.iterations))
        except ParamsError as error:
            where = "" if cell.label is None else f" (class {cell.label})"
            raise ParamsError(f"{self.spec.path}{where}: {error}") from None


def run(spec: Spec, root: Path, *, jobs: int | None, say: Print = print) -> None:
    """Runs a study, or what is left of it, and writes what people read.

    Args:
        spec: of the study.
        root: its folder; what is there already is kept.
        jobs: cells side by side; None takes one for each GPU, or one.
        say: told what a person may want to know.

    Raises:
        BoxloopError: the study cannot be run at all.
        StudyError: some cells failed; the others are done, and in the tables.
        StudyStopped: it was stopped by Ctrl-C or SIGTERM; no process is left.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / ".lock", timeout=0), _stoppable():
            _run(Study(spec, root), jobs, say)
    except Timeout:
        raise StudyError(f"another boxloop is at work in {root}: wait for it") from None
    except KeyboardInterrupt:
        raise StudyStopped("stopped; the same command goes on from here") from None


def _run(study: Study, jobs: int | None, say: Print) -> None:
    for note in study.notes:
        say(f"note: {note}")
    done = [cell for cell in study.cells if study.is_done(cell)]
    left = [cell for cell in study.cells if cell not in done]
    say(f"{len(study.cells)} cells: {len(done)} done before, {len(left)} to run, in {study.root}")
    axes = study.spec.axes.model_dump(mode="json")
    # For those who find the folder later, and for MLflow.
    storage.write_json(study.root / "study.json", {"study": axes, "params": study.spec.content})
    failed: dict[str, str] = {}
    if left:
        failed = _compute(study, left, jobs, say)
        for cell in left:
            if cell.name not in failed and not study.is_done(cell):
                failed[cell.name] = f"it did not finish; see {study.root / 'logs'}"
    outcome = _gather(study, failed)
    text, points, files = write_outputs(study.root, outcome)
    files.append(study.root / "study.json")
    say("\n" + text)
    track = study.spec.track
    if track.enabled:
        from boxloop.tracking.study import TrackedCell, track_study  # MLflow takes seconds

        track_study(
            study.root,
            study.spec.axes.title,
            track.experiment,
            [TrackedCell(*_tracked(cell, layout)) for cell, layout in outcome.finished],
            points,
            files,
            say,
        )
    if failed:
        # One line each, below the tables, where they are seen.
        for name, why in failed.items():
            say(f"failed: {name}: {why}")
        raise StudyError(
            f"{len(failed)} of {len(study.cells)} cells failed; the same command tries them again"
        )


# --- computing ------------------------------------------------------------------------------------


def _compute(study: Study, left: Sequence[Cell], jobs: int | None, say: Print) -> dict[str, str]:
    gpus = _gpus(left)
    size = jobs or max(1, len(gpus))
    # Two jobs may read them at once, so they are written before the first one starts.
    study.whole.write(Layout(study.shared))
    if study.held is not None and study.test is not None:
        study.test.write(study.held.layout)
    work = _jobs(study, left)
    turns = sum(len(cell.params.iterations) for cell in left)
    by_name = {cell.name: cell for cell in left}
    finished: dict[str, int] = {}
    started: dict[str, float] = {}
    failed: dict[str, str] = {}
    done: SimpleQueue[Cell] = SimpleQueue()

    with reporting("turns of all cells") as report:

        def progressed(job: Job, what: str, count: int, total: int) -> None:
            if job.name not in started:
                started[job.name] = time.time()
                if job.content["kind"] in ("simnet", "features"):
                    say(f"{job.name}: begun")
            if what == "turn":
                finished[job.name] = count
                report(sum(finished.values()), turns)
            elif sys.stderr.isatty():
                report(sum(finished.values()), turns, **{what: count / total})

        def ended(job: Job, why: str | None) -> None:
            if why is not None:
                say(f"{job.name} failed: {why}")
            elif job.name in by_name:
                cell = by_name[job.name]
                _mark(study, cell, started.get(job.name, time.time()))
                say(_saved(study, cell))
                done.put(cell)

        pool = Pool(size, gpus=gpus, logs=study.root / "logs")
        failures = pool.run(work, progressed, ended, _Tracking(study, done, say))
    for name, why in failures.items():
        if name in by_name:
            failed[name] = why
    return failed


def _gpus(left: Sequence[Cell]) -> list[str]:
    """What CUDA_VISIBLE_DEVICES can be set to, one for each GPU; none where devices are named."""
    devices = {
        device
        for cell in left
        for device in (
            cell.params.train.device,
            cell.params.propose.device,
            cell.params.features.device,
            cell.params.simnet.device,
        )
    }
    if devices != {"auto"}:
        return []
    import torch  # takes seconds

    if not torch.cuda.is_available():
        return []
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in given.split(",")] if given else []
    return names or [str(i) for i in range(torch.cuda.device_count())]


def _jobs(study: Study, left: Sequence[Cell]) -> list[Job]:
    """Everything that is to be computed, each thing once."""
    shared: dict[str, Job] = {}
    own: list[Job] = []
    for cell in left:
        order, needs = _order_job(study, cell, shared)
        layout = study.layout(cell)
        _prepare(study, cell, layout)
        held, simnet = study.held, _simnet(study, cell)
        content = {
            "kind": "cell",
            "params": cell.params.model_dump(mode="json"),
            "counted": cell.counted,
            "folder": str(layout.root),
            "order": str(order),
            "simnet": None if simnet is None else str(simnet.with_suffix(".json")),
            "held": None
            if held is None
            else {"folder": str(held.layout.root), "digest": held.digest},
            "checkpoints": study.spec.axes.checkpoints,
        }
        own.append(Job(cell.name, content, needs))
    return [*shared.values(), *own]


def _prepare(study: Study, cell: Cell, layout: Layout) -> None:
    """Writes what a campaign's folder begins with."""
    study.parts[cell.label].write(layout)
    path = layout.root / "params.yaml"
    content = cell.params.model_dump(mode="json")
    with storage.atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f"# The cell {cell.name} of a study, written by boxloop.\n")
        editor = YAML()
        editor.width = 100
        editor.dump(content, file)


def _order_job(study: Study, cell: Cell, shared: dict[str, Job]) -> tuple[Path, tuple[str, ...]]:
    """The file of a cell's order, and the jobs that it needs; shared jobs are added."""
    part = study.parts[cell.label]
    needs: tuple[str, ...] = ()
    features: Path | None = None
    if cell.approach.features is not None:
        features, needs = _features_job(study, cell, shared)
    inputs = order_inputs(cell, study.whole, part)
    out = study.shared / "orders" / f"{slug(cell.approach.name)}-{digest(inputs)[:16]}.json"
    name = f"order {out.stem}"
    if out.exists():
        return out, ()
    content = {
        "kind": "order",
        "params": cell.params.model_dump(mode="json"),
        "image_ids": [image.id for image in part.images.images],
        "features": None if features is None else str(features),
        "out": str(out),
    }
    shared.setdefault(name, Job(name, content, needs))
    return out, (name,)


def _features_job(study: Study, cell: Cell, shared: dict[str, Job]) -> tuple[Path, tuple[str, ...]]:
    params, kind = cell.params, cell.approach.features
    inputs = features_inputs(params, study.whole)
    out = study.shared / f"features-{kind}-{digest(inputs)[:16]}" / "features.npz"
    name = f"features {out.parent.name}"
    if out.exists():
        return out, ()
    simnet = _simnet(study, cell)
    content = {
        "kind": "features",
        "params": params.model_dump(mode="json"),
        "images": str(Layout(study.shared).images),
        "simnet": None if simnet is None else str(simnet),
        "out": str(out),
    }
    needs: tuple[str, ...] = ()
    if simnet is not None and not simnet.exists():
        needs = (simnet.parent.name,)
        shared.setdefault(
            needs[0], Job(needs[0], {**content, "kind": "simnet", "out": str(simnet)})
        )
    shared.setdefault(name, Job(name, content, needs))
    return out, (name,)


def _simnet(study: Study, cell: Cell) -> Path | None:
    """The file of the SimNet that a cell's features come from, if they do."""
    if cell.approach.features is None or cell.params.features.weights != SIMNET:
        return None
    name = f"simnet-{digest(simnet_inputs(cell.params, study.whole))[:16]}"
    return study.shared / name / "simnet.pt"


def _mark(study: Study, cell: Cell, started: float) -> None:
    """Notes that a cell is finished, and what it depended on."""
    storage.write_json(
        study.layout(cell).root / "cell.json",
        {
            "name": cell.name,
            "inputs": cell.inputs,
            "counted": cell.counted,
            "turns": list(cell.params.iterations),
            "seconds": time.time() - started,
            "machine": platform.node(),
            "boxloop": __version__,
        },
    )


def _saved(study: Study, cell: Cell) -> str:
    rows = [r for r in workload_rows(cell, study.layout(cell)) if r["shown"]]
    parts = (f"{percent(r['wt_reduction'])} of W_T at IoU {r['iou']:g}" for r in rows)
    return f"{cell.name}: saved {', '.join(parts)}"


# --- what came of it ------------------------------------------------------------------------------


def _gather(study: Study, failed: Mapping[str, str]) -> Outcome:
    rows: list[Row] = []
    precision: list[Row] = []
    finished: list[tuple[Cell, Layout]] = []
    for cell in study.cells:
        if cell.name in failed or not study.is_done(cell):
            continue
        layout = study.layout(cell)
        rows += workload_rows(cell, layout)
        if study.held is not None:
            precision += precision_rows(cell, layout, study.held)
        finished.append((cell, layout))
    if not rows:
        why = next(iter(failed.values()), "none was run")
        raise StudyError(f"no cell is finished, so there is no table: {why}")
    return Outcome(
        study.spec,
        study.whole,
        study.grid,
        tuple(rows),
        tuple(precision),
        tuple(finished),
        len(study.cells),
        tuple(study.notes),
        dict(failed),
    )


def _tracked(cell: Cell, layout: Layout) -> tuple[Layout, Params, str, Mapping[str, str]]:
    track = cell.params.track.model_copy(update={"campaign": cell.name})
    params = cell.params.model_copy(update={"track": track})
    tags = {
        "approach": cell.approach.name,
        "detector": cell.detector,
        "seed": str(cell.seed),
        **({} if cell.label is None else {"class": cell.label}),
    }
    return layout, params, digest([cell.folder, cell.counted]), tags


class _Tracking:
    """Brings cells to MLflow while others are computed; what fails here is done in the end."""

    def __init__(self, study: Study, done: SimpleQueue[Cell], say: Print) -> None:
        self._study, self._done, self._say = study, done, say
        self._enabled = study.spec.track.enabled

    def __call__(self) -> None:
        if not self._enabled or self._done.empty():
            return
        from boxloop.tracking.study import TrackedCell, track_cell  # MLflow takes seconds

        cell, track = self._done.get(), self._study.spec.track
        try:
            one = TrackedCell(*_tracked(cell, self._study.layout(cell)))
            title = self._study.spec.axes.title
            track_cell(self._study.root, title, track.experiment, one, self._say)
        except BoxloopError as error:
            self._enabled = False
            self._say(f"note: not in MLflow yet: {error}")


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and a closed terminal end a study as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), stop) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
