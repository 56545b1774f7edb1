"""Tell where a campaign stands from its files alone: no torch, no MLflow, no DVC."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile

from boxloop.campaign import (
    batch_sizes,
    committed,
    mending,
    outside,
    recheck_results,
    screening,
    second_looks,
)
from boxloop.campaign.ahead import seen_by, seen_text
from boxloop.campaign.delivered import model_line
from boxloop.campaign.missed import missed_line
from boxloop.campaign.outlook import outlook_lines
from boxloop.campaign.own_costs import own_cost_lines
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import first_batch_in_words
from boxloop.campaign.standing import Standing, Step, Turn
from boxloop.campaign.submissions import submission_files, take_over
from boxloop.campaign.thresholds import in_words
from boxloop.campaign.trust import trust_line
from boxloop.core.threshold import NO_PROPOSALS
from boxloop.core.workload import find_cost_model, total
from boxloop.errors import ArtifactError
from boxloop.files import collection_paused
from boxloop.params import Params
from boxloop.terminal import counted, percent

_IN_WORDS = {
    Step.BATCH: "no images assigned yet",
    Step.TRAIN: "training is next",
    Step.PROPOSE: "detector is trained, proposing is next",
    Step.REVIEW: "proposals wait for review",
    Step.MERGE: "reviewed, merging is next",
    Step.ACCOUNT: "labeled, accounting is next",
    Step.DONE: "done",
}

_UP_TO_DATE = "Next: dvc repro   (brings everything up to date)"


def status_text(paths: CampaignPaths, params: Params) -> str:
    """Tell which stage every turn is at, what is saved so far, and the next command.

    A missing or damaged file is no failure here: it is named, with the way out.
    """
    with collection_paused():
        found, cut = Standing(paths, params), mending.find(paths)
    turns, known = found.turns, found.images
    if known is None and not found.notes and not cut and all(t.step is Step.BATCH for t in turns):
        return _begin(paths)
    found.check_labeled()
    known = None if known is None else known - found.given
    parts = [_summary(turns, known, found.given, found.outside), _table(turns)]
    parts.append(_shown(turns, params))
    parts.append(_listed("Proposals, by labeled crops:", {t.key: t.classes for t in turns}))
    parts.append(_listed("Proposals, by labels of neighbours:", {t.key: t.mended for t in turns}))
    parts.append(_saved(turns, params))
    parts.append(_ahead(turns, params, found.given))
    parts.append(batch_sizes.advise(paths, turns, params, found.given))
    parts.append(_rechecked(paths, turns, params))
    parts += [
        model_line(paths, next(reversed(_leading(turns)), None), renamed=bool(found.renamed.lines)),
        seen_text(seen_by(paths, params.iterations)),
    ]
    line, odd = _second_looks(paths, params, found)
    parts += [trust_line(paths), line]
    older, clash = mending.older_pipeline(paths.root), mending.conflict(paths.root)
    lost = committed.lacking(paths)
    told = (older, clash, lost and str(lost))
    notes = [*filter(None, told), *map(mending.in_words, cut), *found.notes, *odd]
    if notes:
        parts.append("Take note:\n" + "\n".join(f"- {line}" for line in notes))
    parts.append(screening.as_list(found.incomplete))
    if cut or older:
        parts.append(f"Next: {mending.COMMAND}, then dvc repro")
    elif found.newer:
        parts.append("Next: install the boxloop that wrote the newer files, then dvc repro")
    elif clash:
        parts.append("Next: settle the conflict in dvc.yaml, then dvc repro")
    elif found.damaged:
        parts.append("Next: bring the damaged files back, then dvc repro")
    elif lost:  # what comes next depends on these labels
        parts.append(f"Next: {lost.command}, then boxloop status   (or commit the removal)")
    elif found.renamed.way and paths.study is None:
        parts.append(f"Next: {found.renamed.way}   (brings everything up to date)")
    elif (newer := _newer(turns)) and paths.study is None:
        # DVC takes these batches for done, whatever the journal holds.
        parts.append(f"Next: {newer}, then dvc repro   (brings newer labels in)")
    elif found.outdated in _leading(turns) and paths.study is None:
        # A person who went on would review proposals that the next run replaces.
        parts.append(_UP_TO_DATE)
    else:
        parts.append(_next(paths, turns, found, params.review.asks_people))
    return "\n\n".join(part for part in parts if part)


def _begin(paths: CampaignPaths) -> str:
    """Say what comes first where nothing is there: a clone may have been run elsewhere."""
    if mending.has_outputs(paths.root):
        return (
            "Nothing is here of what dvc.lock lists, as in a new clone.\n\nNext: dvc pull"
            " --allow-missing   (brings what was pushed; without that, dvc repro makes it anew)"
        )
    try:
        submitted = submission_files(paths.reviews)
    except ArtifactError as error:
        fault = str(error).replace(f"{paths.root.as_posix()}/", "")
        return f"Nothing has been run yet.\n\nTake note:\n- {fault}\n\nNext: dvc repro"
    if submitted:
        return (
            f"Nothing has been run here yet. reviews/ holds {counted(len(submitted), 'submission')}"
            " of people: the labels count once their batches are there.\n\nNext: dvc repro"
        )
    return "Nothing has been run yet.\n\nNext: dvc repro"


def _second_looks(
    paths: CampaignPaths, params: Params, found: Standing
) -> tuple[str, tuple[str, ...]]:
    if found.damaged:
        return "", ()
    try:
        return second_looks.for_status(paths, params.iterations, params.review.iou_threshold)
    except ArtifactError as error:
        found.note_damage(paths.reviews, error)
        return "", ()


def _summary(turns: list[Turn], images: int | None, given: int, loose: int) -> str:
    reviewed = [turn for turn in turns if turn.objects is not None]
    labeled = sum(turn.images or 0 for turn in reviewed)
    objects = sum(turn.objects or 0 for turn in reviewed)
    of_all = "" if images is None else f" of {images}"
    came = f" {given} more came with labels." if given else ""
    counted = [turn.workload for turn in reviewed if turn.workload is not None]
    if trusted := sum(workload.given_images for workload in counted):
        boxes = sum(workload.given_objects for workload in counted)
        came += f" Labels of {trusted} of them ({boxes} objects) were given, and count in no"
        came += " saving."
    if there := sum(turn.submitted for turn in turns if turn.objects is None):
        came += f" Labels of {there} more are there, and count once their batches are done."
    if loose:
        came += f" {loose} more {'is' if loose == 1 else 'are'} labeled, and in no batch:"
        came += f" {'it counts' if loose == 1 else 'they count'} once more iterations are listed."
    return (
        f"{labeled}{of_all} images are labeled, with {objects} objects,"
        f" in {len(reviewed)} of {len(turns)} batches.{came}"
    )


def _table(turns: list[Turn]) -> str:
    width = max(5, *(len(turn.key) for turn in turns))
    lines = [f"{'Batch':<{width}}  Images  Objects  State"]
    begun = True
    for turn in turns:
        images = "-" if turn.images is None else str(turn.images)
        objects = "-" if turn.objects is None else str(turn.objects)
        if turn.damaged:
            state = "has a damaged file, see below"
        elif turn.objects is not None and Step.BATCH < turn.step <= Step.REVIEW:
            # A changed parameter has the detector trained anew; the labels stay.
            state = f"labeled; the step '{turn.step.name.lower()}' is due again"
        elif turn.step is Step.REVIEW and turn.submitted:
            state = f"{turn.submitted} of {turn.images} images submitted"
        elif turn.step in (Step.TRAIN, Step.PROPOSE) and not begun:
            state = "waits for the batch before it"
        else:
            state = _IN_WORDS[turn.step]
        lines.append(f"{turn.key:<{width}}  {images:>6}  {objects:>7}  {state}")
        begun = begun and turn.step is Step.DONE
    return "\n".join(lines)


def _shown(turns: list[Turn], params: Params) -> str:
    """Say from where on each batch's proposals are shown, and what that was expected to save."""
    words = {}
    for turn in turns:
        if turn.fitted is None or turn.fitted.found == NO_PROPOSALS:
            continue
        line = in_words(turn.fitted, turn.detector)
        iou = params.review.iou_threshold
        if turn.workload is not None and turn.workload.has(iou):
            model = find_cost_model(params.account.cost_model)
            saved = turn.workload.saving(iou, model)
            line += "" if saved is None else f"; it saved {percent(saved)}"
        words[turn.key] = line
    return _listed("Proposals, by the fitted score threshold:", words)


def _listed(title: str, by_turn: Mapping[str, str]) -> str:
    lines = [f"  {key}: {words}" for key, words in by_turn.items() if words]
    return "\n".join([title, *lines]) if lines else ""


def _leading(turns: list[Turn]) -> list[str]:
    """Return the finished turns before the one that is due."""
    return [turn.key for turn in takewhile(lambda t: t.step is Step.DONE, turns)]


def _newer(turns: list[Turn]) -> str:
    """Return the command that brings in newer labels of finished batches; empty without any."""
    leading = _leading(turns)
    keys = [turn.key for turn in turns if turn.newer and turn.key in leading]
    return take_over(*keys) if keys else ""


def _saved(turns: list[Turn], params: Params) -> str:
    workloads = []
    for turn in turns:
        if turn.workload is None:
            break
        workloads.append(turn.workload)
    if not workloads:
        return ""
    if len(workloads) == 1:
        return f"Nothing is saved yet: the first batch {first_batch_in_words(workloads[0])}."
    lines = [f"Saved so far, by {len(workloads)} batches:"]
    model = find_cost_model(params.account.cost_model)
    for iou in params.account.iou_thresholds:
        t = total(workloads, iou, cost_model=model)
        lines.append(
            f"  IoU {iou:<4g} {percent(t.wt_reduction):>7} of the time (WT),"
            f" {percent(t.wb_reduction):>7} of the boxes (WB)"
        )
    lines += [f"  {line}" for line in own_cost_lines(workloads, params.account)]
    return "\n".join(lines)


def _rechecked(paths: CampaignPaths, turns: list[Turn], params: Params) -> str:
    keys = [turn.key for turn in turns if turn.rechecked and not turn.damaged]
    work = recheck_results.read_rechecks(paths, keys) if keys else None
    if work is None:
        return ""
    model = find_cost_model(params.account.cost_model)
    return recheck_results.in_words(work, model, params.account.seconds_per_box)


def _ahead(turns: list[Turn], params: Params, given: int) -> str:
    done = [turn.workload for turn in takewhile(lambda turn: turn.workload, turns)]
    coming = list(takewhile(lambda turn: turn.images, turns[len(done) :]))
    sizes, submitted = [t.images or 0 for t in coming], [t.submitted for t in coming]
    lines = outlook_lines([w for w in done if w], sizes, params, given, submitted)
    return "\n".join(lines)


def _next(paths: CampaignPaths, turns: list[Turn], found: Standing, people: bool) -> str:
    due = next((turn for turn in turns if turn.step is not Step.DONE), None)
    # A stage that failed has no list of images, and what is known of batches is of before it.
    behind = found.behind or found.images is None
    if paths.study is not None:
        if due is not None or found.stale or behind:
            return f"Next: the study in {paths.study} goes on with this cell"
        return "Every batch is done. 'boxloop report' makes a page of it."
    if due is not None:
        waiting = (due.images or 0) - due.submitted
        if behind and due.step is Step.REVIEW:
            return _UP_TO_DATE
        if due.step is Step.REVIEW and people and waiting:
            images_wait = f"{waiting} image{'s wait' if waiting > 1 else ' waits'}"
            return f"Next: boxloop review {due.key}   ({images_wait} for a person)"
        if due.step is Step.REVIEW and people and due.missed:
            return f"Next: {missed_line(due.key, due.missed)}"
        review = "takes over the labels" if people else "goes on with the review"
        words = {
            Step.BATCH: "prepares the batches",
            Step.REVIEW: f"{review} of {due.key}",
        }.get(due.step, f"goes on with '{due.step.name.lower()}' of {due.key}")
        return f"Next: dvc repro   ({words})"
    if found.stale or behind or not paths.metrics.exists():
        return _UP_TO_DATE
    line = f"Every batch is done. Results: {paths.report / 'report.html'}"
    rest = (found.images or 0) - found.given - sum(turn.images or 0 for turn in turns)
    if rest > 0:
        way = "list more iterations in params.yaml, then dvc repro"
        line += f"\n{outside.in_words(rest, found.outside, way)}"
    return line
