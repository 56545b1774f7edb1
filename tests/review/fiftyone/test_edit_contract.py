"""The same edits give the same corrections, by a simulation or by a person in the App.

The person works through the App's own HTTP endpoints, on a real server and database.
"""

import pytest

from boxloop.campaign import artifacts, submissions
from boxloop.core.types import Boxes
from boxloop.core.workload import account
from boxloop.errors import DatasetError, ReviewPending
from boxloop.params import ReviewParams, load_params
from boxloop.review import annotators
from builders_sessions import OFFERED, A, B, C, D, Session, campaign, scored

FREE = (40, 45, 60, 65)
MOVED = (20, 10, 40, 30)  # IoU with A: 1/3
NUDGED = (12, 10, 32, 30)  # IoU with A: 9/11


# What a person does to the proposals A cat, B dog, C cat; what is left; and the counts at IoU 0.5:
# kept, moved, relabeled, removed, added.
EDITS = {
    "nothing": (lambda app: None, [("cat", A), ("dog", B), ("cat", C)], (3, 0, 0, 0, 0)),
    "move": (
        lambda app: app.move("a", "p0", MOVED),
        [("cat", MOVED), ("dog", B), ("cat", C)],
        (2, 1, 0, 0, 0),
    ),
    "nudge": (
        lambda app: app.move("a", "p0", NUDGED),
        [("cat", NUDGED), ("dog", B), ("cat", C)],
        (3, 0, 0, 0, 0),
    ),
    "relabel": (
        lambda app: app.relabel("a", "p1", "cat"),
        [("cat", A), ("cat", B), ("cat", C)],
        (2, 0, 1, 0, 0),
    ),
    "relabel and move": (
        lambda app: (app.relabel("a", "p0", "dog"), app.move("a", "p0", NUDGED)),
        [("dog", NUDGED), ("dog", B), ("cat", C)],
        (2, 0, 1, 0, 0),
    ),
    "remove": (lambda app: app.delete("a", "p1"), [("cat", A), ("cat", C)], (2, 0, 0, 1, 0)),
    "remove all": (
        lambda app: [app.delete("a", box) for box in ("p0", "p1", "p2")],
        [],
        (0, 0, 0, 3, 0),
    ),
    "add": (
        lambda app: app.draw("a", FREE, "dog"),
        [("cat", A), ("dog", B), ("cat", C), ("dog", FREE)],
        (3, 0, 0, 0, 1),
    ),
    "add what was proposed, but not shown": (
        lambda app: app.draw("a", D, "dog"),
        [("cat", A), ("dog", B), ("cat", C), ("dog", D)],
        (3, 0, 0, 0, 1),
    ),
    "undo of a removal": (
        lambda app: app.restore("a", app.delete("a", "p0")),
        [("cat", A), ("dog", B), ("cat", C)],
        (3, 0, 0, 0, 0),
    ),
    "there and back": (
        lambda app: (app.move("a", "p0", MOVED), app.move("a", "p0", A)),
        [("cat", A), ("dog", B), ("cat", C)],
        (3, 0, 0, 0, 0),
    ),
    "added, then removed": (
        lambda app: app.delete("a", app.draw("a", FREE, "dog")),
        [("cat", A), ("dog", B), ("cat", C)],
        (3, 0, 0, 0, 0),
    ),
    "all at once": (
        lambda app: (
            app.move("a", "p0", MOVED),
            app.relabel("a", "p1", "cat"),
            app.delete("a", "p2"),
            app.draw("a", FREE, "dog"),
        ),
        [("cat", MOVED), ("cat", B), ("dog", FREE)],
        (0, 1, 1, 1, 1),
    ),
}


@pytest.fixture
def paths(tmp_path):
    """A batch of two images: three boxes are shown on one, none on the other."""
    first = {"z": ()}
    return campaign(tmp_path / "c", {"b00": first, "b01": {"a": OFFERED, "b": ()}})


def proposals_of(paths):
    return artifacts.read_proposals(paths.proposals("b01"))


def by_simulation(paths, server, edit, final):
    labels, xyxy = zip(*final, strict=True) if final else ((), ())
    artifacts.write_truth(paths.truth, {"a": Boxes.build(xyxy, labels), "b": Boxes.empty()})
    annotator = annotators.create(ReviewParams(), paths.truth, ())
    return annotator.review(proposals_of(paths), {}, 0.5)


def by_person(paths, server, edit, final):
    session = Session(server, paths, "b01")
    edit(session.app)
    session.finish()
    params = load_params(paths.root / "params.yaml").review
    annotator = annotators.create(params, paths.truth, submissions.read(paths.reviews))
    return annotator.review(proposals_of(paths), {}, 0.5)


REVIEWS = {"simulated": by_simulation, "fiftyone": by_person}


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("kind", REVIEWS)
def test_the_same_edits_give_the_same_corrections(datasets, server, paths, kind, name):
    edit, final, counts = EDITS[name]
    made = REVIEWS[kind](paths, server, edit, final)
    assert made.annotator == kind
    assert made.proposals == proposals_of(paths)
    assert list(made.boxes) == ["a", "b"]
    boxes = made.boxes["a"]
    assert boxes.scores is None
    found = {
        (label, tuple(xyxy)) for label, xyxy in zip(boxes.labels, boxes.xyxy.round(6), strict=True)
    }
    assert found == {(label, tuple(map(float, xyxy))) for label, xyxy in final}
    assert len(boxes) == len(final)
    assert len(made.boxes["b"]) == 0
    ledger = account(made, [0.5], [], {}).ledger(0.5)
    kinds = (ledger.kept, ledger.moved, ledger.relabeled, ledger.removed, ledger.added)
    assert kinds == counts
    # A box that nobody touched has the very coordinates that were proposed.
    offered = scored(OFFERED)
    for i, box_id in enumerate(offered.ids.tolist()):
        for row in boxes.xyxy[boxes.ids == box_id]:
            if kind == "fiftyone" and abs(row - offered.xyxy[i]).max() < 1e-3:
                assert row.tolist() == offered.xyxy[i].tolist()


def test_a_box_that_is_drawn_anew_is_not_the_one_that_was_removed(datasets, server, paths):
    """By ids, which a simulation does not have: one removal and one addition."""

    def edit(app):
        app.delete("a", "p0")
        app.draw("a", A, "cat")

    made = by_person(paths, server, edit, None)
    edits = account(made, [0.5], [], {}).edits
    assert (edits.kept, edits.removed, edits.added) == (2, 1, 1)
    assert not set(made.boxes["a"].ids) & {"p0", "p3"}


def test_the_order_of_the_boxes_does_not_matter(datasets, server, paths):
    def edit(app):
        for box in ("p2", "p0"):
            app.restore("a", app.delete("a", box))

    made = by_person(paths, server, edit, None)
    assert account(made, [0.5], [], {}).edits.kept == 3
    assert made.boxes["a"].ids.tolist() == ["p1", "p2", "p0"]


def test_who_when_how_long_and_with_what(datasets, server, paths):
    def edit(app):
        app.add_seconds(a=4.0)
        app.add_seconds(a=2.0, b=1.5)

    made = by_person(paths, server, edit, None)
    assert made.reviewer == "ann"
    assert made.seconds == {"a": 6.0, "b": 1.5}
    assert set(made.versions) == {"boxloop", "fiftyone"}
    assert submissions.parse_time(made.finished) <= submissions.parse_time(submissions.timestamp())


@pytest.mark.parametrize("kind", REVIEWS)
def test_work_on_other_images_does_not_stand_in_for_a_batch(datasets, server, paths, kind):
    """Stale: the batch has come to hold an image that nobody has seen."""
    REVIEWS[kind](paths, server, lambda app: None, [])
    offered = proposals_of(paths)
    more = type(offered)(
        "b01", "ssd", "1" * 64, 0.05, {**offered.boxes, "c": Boxes.empty(scored=True)}
    )
    params = ReviewParams(annotator=kind)
    known = submissions.read(paths.reviews)
    with pytest.raises((DatasetError, ReviewPending), match=r"image c|2 of 3 images"):
        annotators.create(params, paths.truth, known).review(more, {}, 0.5)
