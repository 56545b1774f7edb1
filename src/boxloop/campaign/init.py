"""Make a new campaign's folder: pipeline, parameters, git and DVC."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from boxloop.campaign import watching
from boxloop.campaign.at_work import require_no_dvc
from boxloop.campaign.dvc import DVC
from boxloop.campaign.new_batches import fit_batches
from boxloop.campaign.params_file import edit_params
from boxloop.campaign.places import check_places
from boxloop.core.types import SIMULATED
from boxloop.datasets.check import as_overrides, find_settings
from boxloop.errors import ParamsError, UserError
from boxloop.files import make_folder, read_text, write_text
from boxloop.params import (
    DatasetParams,
    Params,
    apply_override,
    chain,
    check,
    check_overridden,
    load_params,
    read_yaml,
)
from boxloop.params.loading import read_sections

_FILES = ("dvc.yaml", ".gitignore", ".dvcignore")
_DEMO = Path(__file__).parents[1] / "datasets" / "demo_scenes.py"
_FILLED_IN = re.compile(r"\$\{(\w+(?:\.\w+)?)")
"""Parameters that dvc.yaml has in its own texts, such as ``${dataset.path}``."""

_TRIALS = (
    ("blind_fraction", 0.05, "of the images, shown without proposals: what do people find alone?"),
    ("plant_fraction", 0.0, "of the proposals, shown wrong on purpose: are they caught?"),
)
"""What people are tried by, unless params.yaml says otherwise."""

_FOOTER = "Having any troubles?"
"""How what DVC adds to each error begins."""

_ANNOTATOR = {"review", "review.annotator"}


def create(
    folder: Path,
    *,
    params: Path | None,
    batches: int | None,
    overrides: Sequence[str],
    data: Path | None = None,
    planned: bool = False,
) -> list[str]:
    """Make a folder in which ``dvc repro`` runs a campaign.

    Args:
        folder: new or empty.
        params: a params.yaml to begin with; ``recipes/starter.yaml`` where None.
        batches: number of turns to list under ``iterations``.
        overrides: ``section.key=value``, written into the new params.yaml with its comments kept.
        data: what the section ``dataset`` is filled for, see :mod:`boxloop.datasets.recognition`.
        planned: whether the batches are known to have images; else what nobody chose of them is
            changed where they have not, see :mod:`boxloop.campaign.new_batches`.

    Returns:
        What a person should know, one sentence each.

    Raises:
        UserError: the folder holds files, or git or DVC failed; nothing was made.
        DatasetError: ``data`` holds nothing that boxloop reads; nothing was made.
        ParamsError: the parameters cannot be used, or name what does not exist; nothing was made.
    """
    text, made, notes = _prepare(folder, params, batches, overrides, data, planned)
    source = _pipeline()
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    make_folder(folder)
    _require_empty(folder)  # still: a large dataset is looked at for minutes
    try:
        # It tells another process that makes a campaign here to keep away.
        write_text(folder / "params.yaml", text, new=True)
    except FileExistsError:
        raise UserError(_not_empty(folder)) from None
    except BaseException:
        _remove(new)
        raise
    try:
        for name in _FILES:
            shutil.copyfile(source / name, folder / name)
        watching.watch(folder, made.dataset)
        _init_repositories(folder)
    except BaseException:
        # Half a campaign would be in the way of the next attempt.
        for name in (*_FILES, "params.yaml"):
            (folder / name).unlink(missing_ok=True)
        for name in (".git", ".dvc"):
            shutil.rmtree(folder / name, ignore_errors=True)
        _remove(new)
        raise
    return notes


def _require_empty(folder: Path) -> None:
    if any(folder.iterdir()):
        raise UserError(_not_empty(folder))


def _not_empty(folder: Path) -> str:
    return f"{folder} is not empty: name a new folder for the campaign"


def _remove(new: Sequence[Path]) -> None:
    """Remove new folders, unless somebody has put something there meanwhile."""
    with contextlib.suppress(OSError):
        for folder in new:
            folder.rmdir()


def renew(folder: Path, say: Callable[[str], object]) -> None:
    """Put today's pipeline in the place of an older version's, which is moved aside.

    Args:
        folder: of a campaign.
        say: told what became of each file.

    Raises:
        UserError: DVC runs the old one, or a file cannot be written.
        ParamsError: params.yaml cannot be used.
    """
    require_no_dvc(folder, "by the dvc.yaml of before")
    old, source = folder / "dvc.yaml", _pipeline()
    params = folder / "params.yaml"
    content, made = read_sections(params), load_params(params)
    wanted = _watched_and_missing(content)
    if made.dataset.format == "demo" and not (folder / made.dataset.path).exists():
        wanted.append(f"dataset.path={json.dumps(_DEMO.as_posix())}")
    if wanted:
        edit_params(params, wanted)
        say(f"params.yaml has what DVC wants there, too: {', '.join(wanted)}")
    for name in _FILES[1:]:
        _add_lines(folder / name, read_text(source / name))
    aside = folder / f"dvc.yaml.older-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    shutil.copyfile(old, aside)
    write_text(old, read_text(source / "dvc.yaml"))
    watching.watch(folder, load_params(params).dataset)
    say(f"dvc.yaml is today's; the one of before is {aside.name}, with stages of your own, if any")


def _add_lines(path: Path, wanted: str) -> None:
    """Add the lines to a list of patterns that it lacks."""
    present = read_text(path) if path.exists() else ""
    known = present.splitlines()
    new = [line for line in wanted.splitlines() if line not in known and line[:1] not in ("", "#")]
    if new:
        start = present if present.endswith("\n") or not present else f"{present}\n"
        write_text(path, start + "".join(f"{line}\n" for line in new))


def preview(
    folder: Path,
    *,
    params: Path | None,
    batches: int | None,
    overrides: Sequence[str],
    data: Path | None = None,
) -> Params:
    """Return the parameters of the campaign that :func:`create` would make; make nothing.

    ``dataset.path`` is absolute. Arguments and errors are those of :func:`create`.
    """
    return _placed(folder, _prepare(folder, params, batches, overrides, data)[1])


def _placed(folder: Path, made: Params) -> Params:
    """Return parameters whose ``dataset.path`` is absolute."""
    place = os.path.normpath(folder.absolute() / made.dataset.path)
    return made.model_copy(update={"dataset": made.dataset.model_copy(update={"path": place})})


def _prepare(
    folder: Path,
    params: Path | None,
    batches: int | None,
    overrides: Sequence[str],
    data: Path | None,
    planned: bool = False,
) -> tuple[str, Params, list[str]]:
    """Return the text of a new params.yaml, what it says, and what a person should know."""
    if set("{}") & set(str(folder.absolute())):
        # Its progress bars take the path for a template.
        raise UserError(
            f"{folder.absolute()} has a brace in its path, where DVC cannot work: name a folder"
            " without one"
        )
    try:
        os.fspath(folder.absolute()).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{folder.absolute()} is not UTF-8, where DVC cannot work: name a folder whose whole"
            " path is"
        ) from None
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a new folder for the campaign")
    if folder.exists():
        _require_empty(folder)
    if shutil.which("git") is None:
        raise UserError("git is not installed, and DVC keeps a campaign's states with it")
    recipe = params or _pipeline() / "recipes" / "starter.yaml"
    notes = []
    if data is not None:
        found, section = find_settings(data, [o for o in overrides if o.startswith("dataset.")])
        if found.format == "folder" and not section.get("classes"):
            raise ParamsError(
                f"{data} holds pictures without labels: say what is to be labeled, for example"
                " --set 'dataset.classes=[cat, dog]'"
            )
        notes.append(f"{data}: {found.what}; 'boxloop check {data}' tells what is in it")
        overrides = [*as_overrides(section), *overrides]
    overrides = _by_people(overrides)
    check_overridden(read_sections(recipe), overrides, str(recipe))
    named = _named(folder) if params is None else []
    text = _edit(recipe, batches, [*named, *overrides])
    made = check(Params, read_yaml(text), str(recipe))
    missing = check_places(folder, made.dataset, overrides)
    notes += missing
    if not missing and not planned:
        keys = {override.partition("=")[0].strip().partition(".")[0] for override in overrides}
        fitted = fit_batches(
            _placed(folder, made),
            turns_chosen=params is not None or batches is not None or "iterations" in keys,
            sizes_chosen=params is not None or "batch" in keys,
        )
        notes += fitted.notes
        if fitted.turns is not None:
            text = _edit(recipe, fitted.turns, [*named, *overrides, *fitted.overrides])
            made = check(Params, read_yaml(text), str(recipe))
    if made.review.asks_people and made.dataset.labels == "ignored":
        notes += _ignored_labels(made.dataset)
    elif params is None and not missing and not made.review.asks_people:
        notes += _replayed(made.dataset, overrides)
    return text, made, notes


def _by_people(overrides: Sequence[str]) -> list[str]:
    """Have people review where labels that exist are to be used, which means something only then.

    An annotator that is named stays.
    """
    wanted = {key.strip(): value.strip() for key, _, value in (o.partition("=") for o in overrides)}
    if wanted.get("dataset.labels", "ignored") == "ignored" or wanted.keys() & _ANNOTATOR:
        return list(overrides)
    return [*overrides, "review.annotator=fiftyone"]


def _named(folder: Path) -> list[str]:
    """Call a campaign of the starter recipe by its folder, in MLflow and on its page."""
    name = folder.absolute().name
    if not name.strip() or not name.isprintable():
        return []
    # JSON is YAML, and leaves a name that looks like a number or a date what it is.
    quoted = json.dumps(name, ensure_ascii=False)
    return [f"track.campaign={quoted}", f"report.title={quoted}"]


def _ignored_labels(dataset: DatasetParams) -> list[str]:
    """Say what becomes of labels, where the format has any; 'dvc repro' counts them."""
    if dataset.format in ("demo", "folder"):
        return []
    return [
        f"labels that {dataset.path} has are ignored, as people label: --set dataset.labels=trusted"
        " has the first detector learn from them, and proposed has people check them first"
    ]


def _replayed(dataset: DatasetParams, overrides: Sequence[str]) -> list[str]:
    """Say who corrects where nobody chose it: the starter recipe replays labels that exist."""
    chosen = {override.partition("=")[0].strip() for override in overrides} & _ANNOTATOR
    if chosen or dataset.format == "demo":
        return []
    return [
        f"labels that {dataset.path} has are replayed: a simulated annotator corrects by them. To"
        " label it yourself: --set review.annotator=fiftyone"
    ]


def _pipeline() -> Path:
    """Return the folder of dvc.yaml: in an installed package, or at the top of a clone."""
    package = Path(__file__).parents[1]
    inside = package / "template"
    return inside if inside.exists() else package.parents[1]


def _edit(path: Path, batches: int | None, overrides: Sequence[str]) -> str:
    """Return the text of a params.yaml with overrides, its comments kept; it was checked before."""
    editor = YAML()
    editor.width = 100
    content: Any = editor.load(read_text(path))
    if content is None:
        raise ParamsError(f"{path} is empty: it must hold sections such as 'order:'")
    for override in overrides:
        apply_override(content, override)
    if batches is not None:
        content["iterations"] = chain(batches)
    for missing in _watched_and_missing(content):
        apply_override(content, missing)
    dataset, review = content.get("dataset"), content.get("review")
    default = DatasetParams().format
    format_ = dataset.get("format", default) if isinstance(dataset, dict) else None
    if isinstance(dataset, dict) and format_ == "demo":
        # The demo's source is the code that draws it, wherever boxloop is installed.
        dataset["path"] = str(_DEMO)
    given = {override.partition("=")[0] for override in overrides}
    if format_ == "folder" and isinstance(review, dict) and not given & _ANNOTATOR:
        # Images without annotations leave nothing to simulate with: people review them.
        review["annotator"] = "fiftyone"
    if isinstance(review, CommentedMap) and review.get("annotator", SIMULATED) != SIMULATED:
        _offer_trials(review)
    out = io.StringIO()
    editor.dump(content, out)
    return out.getvalue()


def _watched_and_missing(content: dict[str, Any]) -> list[str]:
    """Return overrides for what dvc.yaml names and a params.yaml lacks, by its defaults.

    DVC itself knows no defaults, and stops where params.yaml lacks one of these.
    """
    text = read_text(_pipeline() / "dvc.yaml")
    stages = [stage.get("do", stage) for stage in read_yaml(text)["stages"].values()]
    named = [name for stage in stages for name in stage.get("params", ())]
    made = Params()
    defaults = made.model_dump(mode="json")
    # Of a whole section only what it cannot do without: the rest stays boxloop's to say.
    bare = made.model_copy(update={name: getattr(made, name) for name in defaults})
    needed = bare.model_dump(mode="json", exclude_unset=True)
    wanted = []
    for name in dict.fromkeys([*named, *_FILLED_IN.findall(text)]):
        section, _, key = name.partition(".")
        values = content.get(section, {})
        if section not in defaults or not isinstance(values, dict):
            continue
        if key and key not in values:
            wanted.append(f"{name}={json.dumps(defaults[section][key])}")
        elif not key and section not in content:
            wanted.append(f"{name}={json.dumps(needed[section])}")
    # A section goes first: written after one of its keys it would replace that.
    return sorted(wanted, key=lambda override: "." in override.partition("=")[0])


def _offer_trials(review: CommentedMap) -> None:
    """Have people's own recall measured, where nothing is said of that."""
    for name, value, comment in reversed(_TRIALS):
        if name not in review:
            review.insert(list(review).index("annotator") + 1, name, value, comment=comment)


def _init_repositories(folder: Path) -> None:
    top = subprocess.run(
        ["git", "rev-parse", "--show-toplevel"], cwd=folder, capture_output=True, text=True
    )
    if top.returncode != 0:
        _run(["git", "init", "--quiet"], folder)
    inside = top.returncode == 0 and Path(top.stdout.strip()) != folder.resolve()
    subdir = ["--subdir"] if inside else []
    _run([*DVC, "init", "--quiet", *subdir], folder)
    shutil.copyfile(_pipeline() / ".dvc" / "config", folder / ".dvc" / "config")


def _run(command: list[str], folder: Path) -> None:
    # DVC reports its use to its makers until the campaign's own settings, copied later, forbid it.
    quiet = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=folder, env=quiet, capture_output=True, text=True)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).splitlines()
        reason = [line for line in lines if line.strip() and not line.startswith(_FOOTER)]
        last = reason[-1] if reason else "it does not say why"
        raise UserError(f"'{' '.join(command[-3:])}' failed in {folder}: {last}")
