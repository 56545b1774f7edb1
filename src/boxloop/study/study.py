"""A study before its first cell is run: datasets, cells, folders."""

from __future__ import annotations

from pathlib import Path

from boxloop.campaign.paths import CampaignPaths
from boxloop.core import batching
from boxloop.errors import DatasetError, ParamsError
from boxloop.files import read_json
from boxloop.study.cell_files import Held, expected
from boxloop.study.datasets import (
    AnnotatedDataset,
    count_shared_images,
    load_annotated,
    load_test_set,
    split_by_class,
)
from boxloop.study.grid import Cell, Grid, approaches, cells
from boxloop.study.published import DatasetSize, check_size
from boxloop.study.spec import Spec
from boxloop.terminal import reporting

SHARED = "shared"


class Study:
    """A study's specification, datasets, cells and folder."""

    def __init__(self, spec: Spec, root: Path) -> None:
        """Read the datasets and check every cell's parameters.

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
            self.whole = load_annotated(any_params, self.shared / "drawn", report)
        self.parts = split_by_class(spec, self.whole)
        self.held: Held | None = None
        self.test: AnnotatedDataset | None = None
        test = spec.test_dataset(any_params)
        if test is not None:
            drawn = self.shared / "drawn-test"
            try:
                with reporting("reading the test set") as report:
                    self.test = load_test_set(test, drawn, self.whole, report)
            except DatasetError as error:
                raise DatasetError(f"{spec.path}, test: {error}") from None
            self.held = Held(CampaignPaths(self.shared / "test"), self.test.digest)
            if count := count_shared_images(self.whole, self.test):
                self.notes.append(
                    f"{count} of the {len(self.test.images)} images of the test set are among those"
                    " that are labeled: its precision is of images that detectors were trained on"
                )
        if spec.axes.paper is not None:
            images = self.whole.images
            size = DatasetSize(len(images), self.whole.objects, len(images.classes))
            note = check_size(spec.axes.paper, size)
            self.notes += [] if note is None else [note]
        self.cells = cells(spec, self.whole, self.parts)
        for cell in self.cells:
            self._check_batches(cell)

    @property
    def shared(self) -> Path:
        """The folder of files that several cells use."""
        return self.root / SHARED

    def paths(self, cell: Cell) -> CampaignPaths:
        """Return the paths in the cell's folder."""
        return CampaignPaths(self.root / "cells" / cell.folder)

    @property
    def grid(self) -> Grid:
        """The axes of the study."""
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
        turns = list(cell.params.iterations)
        wanted = {"inputs": cell.inputs, "counted": cell.counted, "turns": turns}
        same = isinstance(content, dict) and all(
            content.get(name) == value for name, value in wanted.items()
        )
        return same and all(path.exists() for path in expected(paths, cell.params, self.held))

    def _check_batches(self, cell: Cell) -> None:
        """Refuse batches that do not fit the number of images."""
        part = self.parts[cell.label]
        ids = [image.id for image in part.images.images]
        try:
            batching.plan(ids, list(cell.params.iterations), **cell.params.batch.model_dump())
        except ParamsError as error:
            where = "" if cell.label is None else f" (class {cell.label})"
            raise ParamsError(f"{self.spec.path}{where}: {error}") from None
