"""Files that params.yaml lists by their digest: both are written, or neither."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from boxloop.campaign import existing, given
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Batch, Boxes
from boxloop.errors import ParamsError, UserError
from boxloop.params import load_params

BATCH = Batch("b00", ("a",))


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Nothing larger can be written, as on a disk that is full but for so much."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def some(count: int) -> dict[str, Boxes]:
    corners = np.arange(count)[:, None] + np.array([0.0, 0.0, 9.5, 9.5])
    return {"a": Boxes.build(corners.tolist(), ["cat"] * count, [0.5] * count)}


@pytest.fixture
def campaign(tmp_path: Path) -> tuple[CampaignPaths, Path]:
    """One whose params.yaml is longer than a file of one box, and shorter than one of many."""
    file = tmp_path / "params.yaml"
    file.write_text("iterations: {b00: {previous: empty}}\n" + "# a long comment\n" * 1000)
    return CampaignPaths(tmp_path), file


def contents(folder: Path) -> dict[str, bytes]:
    return {p.as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_proposals_stay_where_a_full_disk_lets_others_not_be_listed(
    campaign: tuple[CampaignPaths, Path],
) -> None:
    paths, file = campaign
    path = given.keep(paths, file, BATCH, some(1000))
    assert path.stat().st_size > 2 * file.stat().st_size
    before = contents(paths.root)
    with files_of_at_most(10_000), pytest.raises(UserError, match=r"params\.yaml cannot be"):
        given.keep(paths, file, BATCH, some(1))
    assert contents(paths.root) == before
    listed = load_params(file).iterations["b00"].proposals
    batch = Batch("b00", ("a",), given=listed)
    assert len(given.read(paths, batch, 0.0).boxes["a"]) == 1000
    given.keep(paths, file, BATCH, some(1))
    assert set(contents(paths.root)) == set(before)


@pytest.mark.parametrize("keep", ["proposals", "labels"])
def test_a_file_that_cannot_be_listed_is_gone_again(
    campaign: tuple[CampaignPaths, Path], keep: str
) -> None:
    paths, file = campaign
    before = contents(paths.root)
    plain = {"a": Boxes.build([(0, 0, 5, 5)], ["cat"])}
    write: Callable[[], Path] = {
        "proposals": lambda: given.keep(paths, file, BATCH, some(1)),
        "labels": lambda: existing.keep(paths, load_params(file), file, "b00", plain),
    }[keep]
    with files_of_at_most(10_000), pytest.raises(UserError, match=r"params\.yaml cannot be"):
        write()
    assert contents(paths.root) == before
    made = write()
    assert set(contents(paths.root)) == {*before, made.as_posix()}
    assert existing.read_file(made) if keep == "labels" else made.exists()


@pytest.mark.parametrize("links", [True, False])
def test_proposals_stay_where_others_cannot_be_listed(
    campaign: tuple[CampaignPaths, Path], monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    paths, file = campaign
    given.keep(paths, file, BATCH, some(3))
    file.write_text("iterations: {b00: {previous: b07}}\n")
    before = contents(paths.root)
    if not links:

        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr("os.link", refuse)
    with pytest.raises(ParamsError, match="b07"):
        given.keep(paths, file, BATCH, some(1))
    assert contents(paths.root) == before
