"""Whatever people do in whatever order, labels are those submitted last, and all sums agree."""

import shutil

import pytest

from boxloop.campaign import artifacts, class_changes, second_looks, submissions
from boxloop.campaign.by_class import read_by_class
from boxloop.campaign.by_person import read_by_person
from boxloop.campaign.results import read_results
from boxloop.campaign.status import status_text
from boxloop.core.edits import Ledger
from boxloop.core.labeled_set import merge
from boxloop.core.types import LabeledSet
from boxloop.core.workload import account
from boxloop.errors import ReviewPending
from boxloop.review.collect import collect
from builders_looks import BATCHES, Team, content

# Their work counts apart from that of the reviews.
LATER_LOOKS = ("qa", "also", "also, again", "disagreements")
# They change labels, and no first or second look at them.
BETWEEN_OR_AFTER = ("qa", "disagreements")
QUICK = [(0, 8), (2, 8)]  # seeds and numbers of steps: these two take every kind of step
SLOW = [pytest.param(seed, count, marks=pytest.mark.slow) for seed, count in ((7, 21), (9, 12))]


@pytest.mark.parametrize(("seed", "count"), [*QUICK, *SLOW])
def test_any_order_of_looks(tmp_path, seed, count):
    team, before, agreed = Team(tmp_path / "campaign", seed), {}, {}
    for kind in team.steps(count):
        made = reproduce(team)
        require_labels_submitted_last(team, made)
        require_sums_by_class(team)
        require_sums_by_person(team, made)
        require_nothing_to_take_over(team)
        if kind in LATER_LOOKS:
            require_same_workload(team, before, made)
        now = second_looks.read(team.paths, BATCHES).agreements(0.5)
        assert now == agreed or kind not in BETWEEN_OR_AFTER
        agreed = now
        require_the_same_without_journal(team, made)
        before = made


def reproduce(team):
    """Makes what the stages after the reviews do: the corrections, up to a batch that waits."""
    paths, params, made = team.paths, team.params, {}
    for key in BATCHES:
        out = paths.corrections(key)
        files = (paths.images, paths.truth, paths.proposals(key), out)
        try:
            made[key] = collect(paths, params.review, *files, say=lambda text: None)
        except ReviewPending:
            break
        assert artifacts.read_corrections(out) == made[key]
        artifacts.write_workload(paths.workload(key), workload(team, made[key]))
    return made


def workload(team, corrections):
    return account(corrections, team.params.account.iou_thresholds, (), {})


def require_labels_submitted_last(team, made):
    labeled = LabeledSet(artifacts.read_images(team.paths.images).classes, (), {})
    for corrections in made.values():
        assert not corrections.missed
        labeled = merge(labeled, corrections)
        for image_id, boxes in corrections.boxes.items():
            assert content(boxes) == team.labels[image_id], image_id
            assert content(labeled.boxes[image_id]) == team.labels[image_id], image_id


def require_sums_by_class(team):
    results = read_results(team.paths, team.params)
    rows = read_by_class(team.paths, team.params, results).batches
    for row, whole in zip(rows, results.workloads, strict=True):
        for iou in results.iou_thresholds:
            assert sum(row.ledgers[iou].edits.values(), Ledger()) == whole.ledger(iou)


def require_sums_by_person(team, named=()):
    """All is somebody's, and of those whom the corrections in ``named`` name."""
    results = read_results(team.paths, team.params)
    rows = read_by_person(team.paths, results)
    for whole in results.workloads:
        own = [row for row in rows if row.batch == whole.batch]
        assert sum((row.edits for row in own), Ledger()) == whole.edits
        assert sum(row.images for row in own) == sum(row.first for row in own) == whole.images
        if whole.batch in named:
            people = named[whole.batch].reviewer.split(", ")
            assert {row.reviewer for row in own if row.images} == set(people)


def require_nothing_to_take_over(team):
    text = status_text(team.paths, team.params)
    assert not any(words in text for words in ("newer labels", "other corrections")), text


def require_same_workload(team, before, made):
    for key in before:
        assert workload(team, made[key]) == workload(team, before[key]), key


def require_the_same_without_journal(team, made):
    """What DVC keeps has every label, and all that is told of it; class names are in git."""
    journal, hidden = team.paths.reviews, team.paths.root / "hidden"
    journal.rename(hidden)
    journal.mkdir()
    for entry in class_changes.files(hidden):
        shutil.copy(entry, journal)
    again = reproduce(team)
    for key in made:
        assert again[key] == made[key], key
    require_sums_by_person(team)
    assert not submissions.submission_files(journal)
    shutil.rmtree(journal)
    hidden.rename(journal)
