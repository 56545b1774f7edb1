"""Take over a detector that was trained while people still corrected the batch before its turn.

Such a training lies in ``.boxloop/ahead/TURN/`` and is no file of DVC's. The stage ``learn`` takes
it over where it would itself train by the same parameters on the same labels, but for images that
were submitted later; the detector's log names those that it had seen. DVC then keeps it as it keeps
any other: a changed label or parameter has the stage train on everything.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from boxloop.campaign import artifacts, kept
from boxloop.campaign.at_work import in_turn
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.overlap import first_part
from boxloop.core.training_log import Seen, TrainingLog
from boxloop.core.types import LabeledSet
from boxloop.errors import ArtifactError
from boxloop.files import DETECTOR, atomic_path, file_digest, read_bytes
from boxloop.params import EMPTY, Params


class AheadPaths:
    """The files of a training ahead of its turn.

    Attributes:
        folder: whole where it exists: it is renamed into place.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.corrections = folder / "corrections.json"  # of the images that were submitted
        self.labeled = folder / "labeled.parquet"  # their labels, after those of earlier batches
        self.detector = folder / "detector.pt"
        self.training = folder / "training.json"
        self.proposals = folder / "proposals.json"

    @classmethod
    def of(cls, paths: CampaignPaths, turn: str) -> AheadPaths:
        """Return the files for a turn of a campaign."""
        return cls(paths.state / "ahead" / turn)


def following(params: Params, key: str) -> str | None:
    """Return the turn after one; None after the last."""
    return next((turn for turn, item in params.iterations.items() if item.previous == key), None)


def inputs_of(paths: CampaignPaths, params: Params, turn: str, labeled: Path) -> dict[str, str]:
    """Return digests of what the training for a turn is made of, with this labeled set."""
    before = params.iterations[turn].previous
    return kept.training_inputs(params.train, paths.images, labeled, paths.detector(before))


def is_current(paths: CampaignPaths, params: Params, turn: str) -> bool:
    """Return whether there is a training ahead by today's parameters, of whatever labels."""
    files = AheadPaths.of(paths, turn)
    try:
        inputs = inputs_of(paths, params, turn, files.labeled)
    except ArtifactError:
        return False
    return kept.has_trained(files.training, files.detector, inputs)


def put(paths: CampaignPaths, new: AheadPaths, turn: str, say: Callable[[str], object]) -> None:
    """Put a whole training ahead in its place, instead of the one before."""
    folder = AheadPaths.of(paths, turn).folder
    with _alone(paths, say):
        if folder.exists():
            shutil.rmtree(folder)
        new.folder.rename(folder)


def _alone(paths: CampaignPaths, say: Callable[[str], object]) -> AbstractContextManager[None]:
    """Keep trainings from being replaced while one is taken over, which is a matter of seconds."""
    return in_turn(paths, "ahead-files", say, "another training ahead is put in its place")


def take(
    paths: CampaignPaths, params: Params, turn: str, say: Callable[[str], object]
) -> TrainingLog | None:
    """Make a training ahead the turn's own: its detector, its log and its proposals.

    Returns:
        Its log; None where there is none, or none that fits, which is said.
    """
    files, before = AheadPaths.of(paths, turn), params.iterations[turn].previous
    if before == EMPTY or not files.folder.parent.exists():
        return None
    with _alone(paths, say):
        return _take(paths, params, turn, say) if files.folder.exists() else None


def _take(
    paths: CampaignPaths, params: Params, turn: str, say: Callable[[str], object]
) -> TrainingLog | None:
    files, before = AheadPaths.of(paths, turn), params.iterations[turn].previous
    try:
        if not is_current(paths, params, turn):
            raise ArtifactError("it was made of other images, labels or parameters")
        seen = _seen(files.labeled, paths.labeled(before), before)
        log = artifacts.read_training(files.training)
        offered, digests = artifacts.read_dated_proposals(files.proposals)
    except ArtifactError as error:
        say(f"{turn}: the detector that was trained ahead is not used: {error}")
        return None
    made_of = inputs_of(paths, params, turn, paths.labeled(before))
    with atomic_path(paths.detector(turn), DETECTOR) as temporary:
        shutil.copyfile(files.detector, temporary)
    made_of[kept.DETECTOR] = file_digest(paths.detector(turn))
    log = replace(log, made_of=made_of, seen=seen)
    # The log comes last of these two, as in `train`: where it is, the detector is whole.
    artifacts.write_training(paths.training(turn), log)
    artifacts.write_proposals(paths.proposals(turn), offered, digests)
    if seen is not None:
        say(f"{turn}: trained while {seen.batch} was corrected, on {seen.in_words()}")
    return log


def clear(paths: CampaignPaths, turn: str, say: Callable[[str], object]) -> None:
    """Remove a training ahead, once the turn has a detector."""
    folder = AheadPaths.of(paths, turn).folder
    if folder.exists():
        with _alone(paths, say):
            shutil.rmtree(folder, ignore_errors=True)


def as_seen(params: Params, labeled: LabeledSet, path: Path) -> tuple[LabeledSet, Seen | None]:
    """Return what of a labeled set a training sees, by ``train.overlap``.

    Args:
        params: of the campaign.
        labeled: everything labeled so far.
        path: its file, which tells the last batch.
    """
    if params.train.overlap is None:
        return labeled, None
    return first_part(labeled, artifacts.own_images(path), params.train.overlap)


def seen_by(paths: CampaignPaths, turns: Iterable[str]) -> dict[str, Seen]:
    """Return what the detectors had seen that did not see all labels before their turn, by turn.

    A missing or damaged log is passed over.
    """
    found = {}
    for turn in turns:
        try:
            if b'"seen"' in read_bytes(paths.training(turn)):
                seen = artifacts.read_training(paths.training(turn)).seen
                if seen is not None:
                    found[turn] = seen
        except (ArtifactError, OSError):
            continue
    return found


def seen_text(seen: Mapping[str, Seen]) -> str:
    """Say which detectors had not seen all labels before their turn; nothing where all had."""
    if not seen:
        return ""
    rows = ", ".join(f"that of {turn} on {item.in_words()}" for turn, item in seen.items())
    return f"Detectors that began while the batch before was labeled: {rows}."


def _seen(ahead: Path, now: Path, batch: str) -> Seen | None:
    """Return what of the last batch was seen; None where it was all of it.

    Raises:
        ArtifactError: a label that was seen is another now, or is gone.
    """
    then, today = artifacts.read_labeled(ahead), artifacts.read_labeled(now)
    changed = [
        i
        for i, boxes in then.boxes.items()
        if today.boxes.get(i) != boxes or then.incomplete.get(i) != today.incomplete.get(i)
    ]
    if changed or then.batches != today.batches or then.classes != today.classes:
        raise ArtifactError(
            f"labels that it had seen, of {len(changed)} images, were changed since"
            if changed
            else "its batches or classes are others now"
        )
    own = artifacts.own_images(now)
    images = tuple(i for i in own if i in then.boxes)
    return None if len(images) == len(own) else Seen(batch, images, len(own))
