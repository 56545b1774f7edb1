"""A campaign in use: its files, its parameters, and whom its stages tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import ParamsError
from boxloop.params import EMPTY, Params
from boxloop.terminal import Report, quiet


@dataclass(frozen=True)
class Campaign:
    """What a stage works on, and whom it tells.

    Attributes:
        paths: the campaign's files.
        params: all sections of params.yaml.
        files: other places for the files of this stage, by the names that its docstring lists.
        reporting: shows the progress of a job, given in a few words.
        say: told what a person may want to know.
        share_out: has several processes do the work, and tells whether they did.
        on: address or file of a Dask scheduler whose workers do what they can do, if any.
    """

    paths: CampaignPaths
    params: Params
    files: Mapping[str, Path] = field(default_factory=dict)
    reporting: Callable[[str], AbstractContextManager[Report]] = quiet
    say: Callable[[str], object] = print
    share_out: Callable[[], bool] = lambda: False
    on: str | None = None

    def choose(self, *names: str, **own: Path) -> tuple[Path, ...]:
        """Return the places of a stage's files: as given, else the campaign's own.

        The places that ``CampaignPaths`` has by ``names`` come first, then those of ``own``.

        Raises:
            TypeError: ``files`` names something that is not among them.
        """
        places = {**{name: getattr(self.paths, name) for name in names}, **own}
        odd = self.files.keys() - places.keys()
        if odd:
            raise TypeError(f"this stage has no file '{min(odd)}', but {', '.join(places)}")
        return tuple(self.files.get(name, path) for name, path in places.items())

    def before(self, turn: str) -> str:
        """Return the key of the turn before; any where that turn's labels or evidence are given.

        Raises:
            ParamsError: params.yaml does not list the turn.
        """
        known = self.params.iterations
        if turn in known:
            return known[turn].previous
        if self.files.keys() & {"labeled", "evidence"}:
            return EMPTY
        raise ParamsError(f"iterations does not list '{turn}': {', '.join(known)}")
