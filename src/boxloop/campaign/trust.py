"""Read what a campaign's blind images and planted errors tell: from the journal and the truth."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from boxloop.campaign import artifacts, screening, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.edits import diff
from boxloop.core.existing import is_existing, makers
from boxloop.core.intervals import Estimate
from boxloop.core.looks import Look
from boxloop.core.names import UNNAMED
from boxloop.core.trust import Plant, Trust, judge_trust
from boxloop.core.types import NOTHING, BoxesByImage, Corrections
from boxloop.errors import ArtifactError
from boxloop.files import read_json
from boxloop.params import Params
from boxloop.params.words import EMPTY


def read_trust(paths: CampaignPaths, params: Params, batches: Sequence[str]) -> Trust | None:
    """Compare blind and helped images of people's batches, and judge their planted errors.

    What a person did at first counts, whatever became of the image later.

    Args:
        paths: where the journal, the corrections and the truth are.
        params: say whether the dataset's labels are the truth.
        batches: finished ones.

    Returns:
        None where no image was blind and nothing was planted.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    screened, ids = False, set[str]()
    for key in batches:
        corrected = artifacts.read_corrections(paths.corrections(key))
        screened = screened or bool(corrected.blind or corrected.planted)
        ids.update(corrected.boxes)
    if not screened:
        return None
    images = artifacts.read_images(paths.images)
    found = screening.read(paths.journals, map(paths.corrections, batches), images).submissions
    truth = None
    if params.dataset.labels == "ignored" and paths.truth.exists():
        truth = artifacts.read_truth(paths.truth)
        known = {} if truth is None else truth
        names = {name for i in ids if i in known for name in known[i].labels.tolist()}
        if not ids <= set(known) or not names <= set(images.classes):
            truth = None  # of other images, or in other words than the labels are today
    sizes = {ref.id: (ref.width, ref.height) for ref in images.images if ref.id in ids}
    return judge_trust(first_looks(found, sizes, truth), plants(found, ids))


def first_looks(
    found: Iterable[Corrections],
    sizes: Mapping[str, tuple[int, int]],
    truth: BoxesByImage | None,
) -> list[Look]:
    """Return how each image was labeled at first, in the order of time.

    Args:
        found: people's submissions; images that had labels before do not count.
        sizes: (width, height) in pixels by image id, of the finished batches.
        truth: by image id; None where it is not known.
    """
    first: dict[str, tuple[tuple[Any, ...], Corrections]] = {}
    for item in found:
        for place, image_id in enumerate(item.boxes):
            # What was put together of several submissions has several names, and the same times.
            when = submissions.submitted_at(item, image_id)
            key = (when, ", " in (item.reviewer or ""), item.batch, place)
            if image_id not in first or key[:2] < first[image_id][0][:2]:
                first[image_id] = (key, item)
    looks = []
    for image_id in sorted(first, key=lambda i: first[i][0]):
        item = first[image_id][1]
        proposed = item.proposals.boxes[image_id]
        shows = item.score_threshold < NOTHING and makers(item.proposals.detector) != {EMPTY}
        labeled = image_id in item.given or is_existing(proposed)
        if image_id not in sizes or labeled:
            continue
        final = item.boxes[image_id]
        looks.append(
            Look(
                image=image_id,
                batch=item.batch,
                reviewer=item.reviewer or UNNAMED,
                blind=image_id in item.blind,
                final=final,
                proposed=proposed.above(item.score_threshold),
                size=sizes[image_id],
                truth=None if truth is None else truth[image_id],
                alone=not shows,
                seconds=item.seconds.get(image_id),
                edits=diff(item.part([image_id]).shown()[image_id], final),
            )
        )
    return looks


def plants(found: Iterable[Corrections], image_ids: Collection[str]) -> list[Plant]:
    """Return the planted errors that were submitted, each as it is after its last submission.

    Args:
        found: people's submissions.
        image_ids: of the finished batches.
    """
    newest: dict[tuple[str, str], tuple[Any, Plant | None]] = {}
    for item in found:
        for image_id, errors in item.planted.items():
            when = submissions.submitted_at(item, image_id)
            for error in errors if image_id in image_ids else ():
                known = newest.get((image_id, error.box))
                if known is None or when >= known[0]:
                    who = error.reviewer or UNNAMED
                    plant = Plant(image_id, who, error.kind, error.state == "caught")
                    newest[image_id, error.box] = (when, plant if error.counts else None)
    return [plant for _, plant in newest.values() if plant is not None]


def trust_metrics(trust: Trust) -> dict[str, Any]:
    """Return the entry ``trust`` of metrics.json: numbers with their intervals, by person."""

    def numbers(value: Any) -> dict[str, Any]:
        ends = {"value": value.value, "low": value.low, "high": value.high}
        return ends | ({"images": value.images} if isinstance(value, Estimate) else {})

    def by_person(table: Mapping[Any, Estimate]) -> dict[str, Any]:
        return {who or "all": numbers(value) for who, value in table.items()}

    compared: dict[str, dict[str, Any]] = {}
    for c in trust.comparisons:
        parts = {"blind": c.blind, "helped": c.helped, "difference": c.difference}
        row = {name: numbers(value) for name, value in parts.items()}
        compared.setdefault(c.measure.name, {})[c.reviewer or "all"] = row
    caught: dict[str, dict[str, Any]] = {}
    for (kind, who), value in trust.caught.items():
        counted = {"caught": int(value.count), "planted": int(value.total)}
        caught.setdefault(kind or "all", {})[who or "all"] = counted | numbers(value)
    findings: dict[str, dict[str, Any]] = {}
    for f in trust.findings:
        findings.setdefault(f.reviewer, {})[f.fault] = {**numbers(f), "words": f.words}
    result = {
        "yardstick": trust.yardstick,
        "blind_images": trust.images[0],
        "helped_images": trust.images[1],
        "compared": compared,
        "seconds_per_box_from_scratch": by_person(trust.seconds_per_box),
        "margin": by_person(trust.margins),
        "pace": by_person(trust.paces),
        "planted": caught,
        "findings": findings,
    }
    return {"trust": {name: value for name, value in result.items() if value != {}}}


def trust_line(paths: CampaignPaths) -> str:
    """Return what the last report says of who needs help; empty where it names nobody."""
    try:
        content = read_json(paths.metrics) if paths.metrics.exists() else {}
    except ArtifactError:
        return ""
    trust = content.get("trust", {}) if isinstance(content, dict) else {}
    found = trust.get("findings", {}) if isinstance(trust, dict) else {}
    try:
        named = [f"{who} {f['words']}" for who, faults in found.items() for f in faults.values()]
    except (AttributeError, KeyError, TypeError):  # somebody else's file
        return ""
    return f"By the last report, {'; '.join(named)}." if named else ""
