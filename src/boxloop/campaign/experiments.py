"""Compare experiments by what a person compares: savings, mAP, and the parameters that differ.

``dvc exp show`` has a column for each parameter and for the digest of each dependency, a hundred
for a few turns, and no setting that hides any.
"""

from __future__ import annotations

import csv
import io
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from boxloop.campaign.dvc import DVC, environment, reason_of
from boxloop.errors import UserError
from boxloop.params import Params
from boxloop.terminal import percent, printable

_SAVING = re.compile(r"(wt|wb)_reduction\.(.+)")
_PRECISION = "map.map"
_NAMES = ("Experiment", "rev", "typ")
"""Of DVC's own columns, those that name a row; they stay also where all rows have the same."""
_SHOWN = rf"{_SAVING.pattern}|{re.escape(_PRECISION)}$"
_KEPT = f"{_SHOWN}|({'|'.join(_NAMES)})$"
"""What other metrics there are follows from these, or matters less."""
_PARAMETER = re.compile(rf"({'|'.join(Params.model_fields)})\.")

_OTHER_OUTPUT = ("--csv", "--json", "--md", "-q", "--quiet")
_LONGEST = 24


def experiments_text(root: Path, options: Sequence[str]) -> str:
    """Return a table of the experiments: what each saved, and how its parameters differ.

    Args:
        root: the campaign's folder.
        options: more of ``dvc exp show``, such as ``-A`` for all commits.

    Raises:
        UserError: DVC failed, or an option asks for other output than can be read.
    """
    for option in options:
        if option in _OTHER_OUTPUT:
            raise UserError(
                f"'boxloop experiments' prints a table of its own: leave {option} out, or ask DVC"
                f" itself ('dvc exp show {option}')"
            )
    command = [*DVC, "exp", "show", "--csv", "--only-changed", "--no-pager"]
    command += ["--keep", _KEPT, *options]
    done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True)
    if done.returncode != 0:
        reason = reason_of(done.stderr or done.stdout, root)
        raise UserError(
            f"'dvc exp show' failed in {root.resolve()}, which should be a campaign's folder:"
            f" {reason}"
        )
    reader = csv.DictReader(io.StringIO(done.stdout))
    if not set(_NAMES) <= set(reader.fieldnames or _NAMES):
        raise UserError(
            f"'dvc exp show' printed no table with the columns {', '.join(_NAMES)}: leave out what"
            f" changes its output ({' '.join(options) or 'no option was given'})"
        )
    rows = list(reader)
    if not rows:
        return "There are no experiments and no commits yet: 'git add -A && git commit' makes one."
    return _table(rows)


def _table(rows: Sequence[dict[str, str]]) -> str:
    # Protected from --only-changed are what was saved and mAP; the rest differs.
    changed = [name for name in rows[0] if _PARAMETER.match(name)]
    shown = [name for name in rows[0] if re.fullmatch(_SHOWN, name)]
    lines = [["Experiment", *map(_title, shown), *changed]]
    lines += [
        [_name(row), *(_number(name, row[name]) for name in shown), *(row[n] for n in changed)]
        for row in rows
    ]
    texts = [[_cut(cell or "-") for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    last = len(shown)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 0 < i <= last else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in texts
    )


def _title(name: str) -> str:
    """Return "WT 0.5" for "wt_reduction.0.5"."""
    found = _SAVING.fullmatch(name)
    return "mAP" if found is None else f"{found[1].upper()} {found[2]}"


def _name(row: dict[str, str]) -> str:
    indent = "" if row["typ"] == "baseline" else "  "
    return indent + (row["Experiment"] or row["rev"])


def _number(name: str, text: str) -> str:
    try:
        value = float(text)
    except ValueError:  # not computed, or it failed
        return text
    return f"{value:.3f}" if name == _PRECISION else percent(value)


def _cut(text: str) -> str:
    text = printable(text, lines=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
