"""What a study knows before the first cell is run: its datasets, its cells, its folders."""

from __future__ import annotations

from pathlib import Path

from boxloop.campaign.paths import CampaignPaths
from boxloop.core import batching
from boxloop.errors import ParamsError
from boxloop.files import read_json
from boxloop.progress import reporting
from boxloop.study import datasets as materials
from boxloop.study.cell_files import Held, expected
from boxloop.study.datasets import Material
from boxloop.study.grid import Cell, approaches, cells
from boxloop.study.published import Totals, check_totals
from boxloop.study.spec import Spec
from boxloop.study.tables import Grid


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
            self.held = Held(CampaignPaths(self.shared / "test"), self.test.digest)
            self._note_overlap()
        self._note_size()
        self.cells = cells(spec, self.whole, self.parts)
        for cell in self.cells:
            self._check_batches(cell)

    @property
    def shared(self) -> Path:
        """Folder of what several cells use."""
        return self.root / "shared"

    def paths(self, cell: Cell) -> CampaignPaths:
        """Of the cell's folder."""
        return CampaignPaths(self.root / "cells" / cell.folder)

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
        paths = self.paths(cell)
        mark = paths.root / "cell.json"
        if not mark.exists():
            return False
        content = read_json(mark)
        same = (
            content.get("inputs") == cell.inputs
            and content.get("counted") == cell.counted
            and list(cell.params.iterations) == content.get("turns")
        )
        files = expected(paths, cell.params, self.held, checkpoints=False)
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
