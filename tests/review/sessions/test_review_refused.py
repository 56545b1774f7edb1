"""`boxloop review` where there is nothing to open, or no right to: one sentence, and no server."""

import getpass
import subprocess
from dataclasses import replace

import pytest

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Boxes, FittedThreshold
from boxloop.errors import ArtifactError, ReviewPending, SessionError, UserError
from boxloop.params import load_params
from boxloop.review.fiftyone import session
from boxloop.review.fiftyone.app_process import bind
from boxloop.review.fiftyone.session_inputs import (
    ReviewRequest,
    read_assignment,
    require_same_pixels,
)
from boxloop.review.fiftyone.session_registry import Session, claim
from boxloop.review.fiftyone.shown_proposals import ShownProposals, dumps, loads
from boxloop.review.people import submission_notes
from builders_reviews import submission
from builders_sessions import campaign, images, offer
from builders_terminals import environment


@pytest.fixture
def paths(tmp_path, monkeypatch):
    made = campaign(tmp_path / "c", {"b00": images(2), "b01": images(2, first=2)})
    monkeypatch.chdir(made.root)
    return made


def review(paths, batch=None, *, overrides=(), **options):
    """The command, in this process; gives what it said."""
    said = []
    path = paths.root / "params.yaml"
    settings = {"reviewer": "ann", "part": None, "redo": False, "port": None, "browser": False}
    settings["say"] = said.append
    session.review(
        path,
        overrides,
        load_params(path, overrides),
        batch=batch,
        **(settings | options),
    )
    return "\n".join(said)


def test_the_session_says_from_which_score_on_proposals_are_drawn(paths):
    fitted = (FittedThreshold(0.5, 0.75, 0.321, "b00"), FittedThreshold(0.7, 0.1, 0.2, "b00"))
    offer(paths, "b01", images(2, first=2), thresholds=fitted)
    fit = ("review.score_threshold=fitted",)
    params = load_params(paths.root / "params.yaml", fit)
    made = read_assignment(paths, params, ReviewRequest("b01", "ann"))
    words = "shown from a score of 0.75, which should save 32.1 % of the time, judged by b00"
    assert made.shown == words
    assert {item.score_threshold for item in made.items} == {0.75}
    assert [len(item.drawn) for item in made.items] == [2, 2]  # of 0.9, 0.8, 0.7 and 0.2
    record = loads(dumps(ShownProposals.of(made.items[0])), made.items[0].image)
    assert record.item.proposals.thresholds == fitted
    submit(paths, "b01")
    again = read_assignment(paths, params, ReviewRequest("b01", "ann", redo=True))
    assert again.shown == ""
    fixed = load_params(paths.root / "params.yaml")
    with pytest.raises(UserError, match="submitted already"):
        read_assignment(paths, fixed, ReviewRequest("b01", "ann"))
    with pytest.raises(ArtifactError, match="b00.json has no score threshold fitted"):
        read_assignment(paths, params, ReviewRequest("b00", "ann"))


def submit(paths, key, image_ids=None):
    proposals = artifacts.read_proposals(paths.proposals(key))
    truth = dict.fromkeys(proposals.boxes, Boxes.empty())
    submissions.append(paths.reviews, submission(proposals, truth, image_ids))


@pytest.mark.parametrize(
    ("batch", "options", "says"),
    [
        ("b07", {}, "there is no batch b07: params.yaml lists b00, b01 under iterations"),
        ("b00", {"redo": True}, "batch b00 was not submitted yet: leave --redo out"),
        (None, {"redo": True}, "--redo needs the batch that is to be opened again"),
        ("b00", {"look": "also"}, "b00 is not labeled by a person yet: leave --also out"),
        (None, {"look": "also"}, "--also needs a batch: boxloop review b00 --also"),
        ("b00", {"look": "also", "planted": True}, "--planted and --also open different images"),
        (None, {"wanted": "cup", "qa": 3}, "open different images: leave out all but one"),
        ("b00", {"qa": 3}, "--qa opens images of all batches again: leave the batch and"),
        (None, {"wanted": "cup", "redo": True}, "--for cup opens images of all batches again"),
        ("b00", {"planted": True, "redo": True}, "--planted opens images again by itself"),
        ("b00", {"look": "disagreements", "redo": True}, "opens what is not decided yet"),
        ("b00", {"part": "3/2"}, "--part 3/2: must be like 1/2, the first of two parts"),
        ("b00", {"part": "1/3"}, "part 1/3 of batch b00 has no image: the batch has 2"),
        ("b00", {"reviewer": "  "}, "say who reviews: --reviewer NAME"),
        ("b00", {"reviewer": "a\nb"}, "has characters that cannot be shown"),
        ("b00", {"reviewer": "Smith, Jane"}, "stand between two people's names: give another name"),
    ],
)
def test_what_cannot_be_opened_is_told(paths, batch, options, says):
    with pytest.raises(UserError, match=says):
        review(paths, batch, **options)


def test_labels_that_were_committed_and_are_gone_are_told_before_they_are_drawn_again(paths):
    submit(paths, "b00")
    submit(paths, "b01")
    run = ("git", "-c", "user.name=t", "-c", "user.email=t@t.t")
    for words in (["init"], ["add", "reviews"], ["commit", "--message=x"]):
        subprocess.run([*run, *words], check=True, capture_output=True)
    assert review(paths) == "No batch waits for review. Next: dvc repro"
    for path in paths.reviews.iterdir():
        path.unlink()
    said = []
    with pytest.raises(UserError, match="there is no batch b07"):
        review(paths, "b07", say=said.append)
    [note] = said
    assert note.startswith(
        "Take note: the latest commit has 2 files in reviews/ that are not there"
    )
    assert "'git checkout HEAD -- reviews/b00-" in note


def test_a_simulation_needs_nobody(paths):
    with pytest.raises(UserError, match="review.annotator is 'simulated', which needs no person"):
        review(paths, overrides=["review.annotator=simulated"])


def test_a_submitted_batch_is_not_opened_again_by_mistake(paths):
    submit(paths, "b00")
    with pytest.raises(UserError, match="batch b00 is submitted already: 'boxloop review b00 --r"):
        review(paths, "b00")
    with pytest.raises(UserError, match="part 1/2 of batch b00 is submitted .* b00 --part 1/2 --r"):
        review(paths, "b00", part="1/2")


def test_the_batch_that_waits_is_the_first_that_is_not_wholly_submitted(paths):
    params = load_params(paths.root / "params.yaml")
    assert session.pending_batch(paths, params) == "b00"
    submit(paths, "b00", ["img00"])
    assert session.pending_batch(paths, params) == "b00"
    said = "No planted error waits for another look. Next: boxloop review b00"
    assert review(paths, planted=True) == said
    submit(paths, "b00", ["img01"])
    assert session.pending_batch(paths, params) == "b01"
    submit(paths, "b01")
    assert session.pending_batch(paths, params) is None
    assert review(paths) == "No batch waits for review. Next: dvc repro"
    assert review(paths, planted=True) == "No batch waits for review. Next: dvc repro"


def test_an_image_that_has_changed_since_the_dataset_was_read_is_not_opened(paths):
    params = load_params(paths.root / "params.yaml")
    made = read_assignment(paths, params, ReviewRequest("b00", "ann"))
    require_same_pixels(paths, made)
    changed = paths.root / made.items[1].image.path
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(ArtifactError, match=r"\(image img01\) has changed since .*'dvc repro'"):
        require_same_pixels(paths, made)
    with pytest.raises(ArtifactError, match="has changed since"):
        review(paths, "b00")


def test_labels_of_other_pixels_are_told_and_open_with_them_or_anew(paths):
    proposals = artifacts.read_proposals(paths.proposals("b00"))
    truth = dict.fromkeys(proposals.boxes, Boxes.build([(1, 1, 9, 9)], ["cat"]))
    digests = {"img00": "other", "img01": read_digests(paths)["img01"]}
    made = replace(submission(proposals, truth), digests=digests, classes=("cat", "dog"))
    submissions.append(paths.reviews, made)
    params = load_params(paths.root / "params.yaml")
    assert session.pending_batch(paths, params) == "b00"
    [note] = submission_notes(paths, params.iterations, proposals)
    assert "labels other pixels than are now in image img00" in note
    anew = read_assignment(paths, params, ReviewRequest("b00", "ann"))
    assert [item.image.id for item in anew.items] == ["img00"]
    assert anew.items[0].base == ""
    again = read_assignment(paths, params, ReviewRequest("b00", "ann", redo=True))
    assert [item.image.id for item in again.items] == ["img00", "img01"]
    assert [item.start.ids.tolist() for item in again.items] == [["t0"], ["t0"]]


def read_digests(paths):
    return {ref.id: ref.digest for ref in artifacts.read_images(paths.images).images}


def test_before_the_first_stage_nothing_waits(paths):
    params = load_params(paths.root / "params.yaml")
    for path in (paths.images, paths.proposals("b00"), paths.proposals("b01")):
        path.unlink()
    assert session.pending_batch(paths, params) is None
    with pytest.raises(UserError, match="b00 has no proposals yet"):
        review(paths, "b00")


def test_a_batch_without_proposals_does_not_wait(paths):
    paths.proposals("b00").unlink()
    paths.proposals("b01").unlink()
    assert "No batch waits" in review(paths)
    with pytest.raises(UserError, match="batch b01 has no proposals yet: 'dvc repro' makes them"):
        review(paths, "b01")


def test_the_reviewer_is_the_account_s_owner_unless_named(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "erika")
    assert session.reviewer_name(None) == "erika"
    assert session.reviewer_name(" Zoë B. ") == "Zoë B."

    def nobody():
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(getpass, "getuser", nobody)
    with pytest.raises(UserError, match="say who reviews"):
        session.reviewer_name(None)


def test_the_command_that_opens_a_session_again_is_complete():
    assert session.review_command(ReviewRequest("b02", "ann")) == "boxloop review b02"
    request = ReviewRequest("b02", "ann", "1/2", True)
    assert session.review_command(request) == "boxloop review b02 --part 1/2 --redo"
    request = ReviewRequest("b02", "bob b", "1/2", look="also")
    says = "boxloop review b02 --part 1/2 --reviewer 'bob b' --also"
    assert session.review_command(request) == says


def test_the_next_free_port_is_held_from_then_on():
    with bind(30_000) as one, bind(30_000) as two:
        ports = [server.getsockname() for server in (one, two)]
        assert ports[0] != ports[1]
        assert {host for host, _ in ports} == {"127.0.0.1"}
        first = ports[0][1]
    with bind(first) as again:
        assert again.getsockname()[1] == first


def test_ports_that_run_out_are_told():
    with (
        bind(65_535),
        pytest.raises(SessionError, match="no port is free from 65535"),
        bind(65_535),
    ):
        pass


def test_a_terminal_sees_one_sentence_and_an_exit_code(paths):
    done = subprocess.run(
        ["boxloop", "review", "b07"],
        cwd=paths.root,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == UserError.exit_code
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("boxloop: there is no batch b07")
    assert not (paths.root / ".boxloop").exists()
    assert ReviewPending.exit_code == 3


def test_without_a_campaign_it_says_so(tmp_path):
    done = subprocess.run(
        ["boxloop", "review"], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "go to a campaign's folder" in done.stderr
    assert CampaignPaths(tmp_path).state.exists() is False


def test_a_part_that_is_taken_or_submitted_is_not_named_as_free(paths):
    folder = paths.state / "sessions"

    def held(part, reviewer):
        items = read_assignment(
            paths, load_params(paths.root / "params.yaml"), ReviewRequest("b00", reviewer, part)
        ).items
        ids = tuple(item.image.id for item in items)
        return claim(folder, Session("b00", part, reviewer, None, ids))

    with held("2/2", "bob"):
        with pytest.raises(SessionError, match=r"part \(boxloop review b00 --part 1/2\)$"):
            review(paths, "b00", part="2/2", reviewer="eve")
        with held("1/2", "ann"), pytest.raises(SessionError, match="no other part of it is free$"):
            review(paths, "b00", part="2/2", reviewer="eve")
        submit(paths, "b00", ["img00"])
        with pytest.raises(SessionError, match="no other part of it is free$"):
            review(paths, "b00", part="2/2", reviewer="eve")
