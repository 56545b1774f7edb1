"""A batch that is opened again: what was begun stays, what nobody touched is up to date."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.names import PLACEHOLDER
from boxloop.errors import ArtifactError, UserError
from boxloop.params import load_params
from boxloop.review.fiftyone import session_inputs
from builders_sessions import OFFERED, SIZE, A, B, C, Session, campaign, images, offer

NEWER = (("dog", B, 0.9), ("cat", C, 0.6))


@pytest.fixture
def paths(tmp_path):
    return campaign(tmp_path / "c", {"b00": images(3), "b01": images(2, first=3)})


@pytest.fixture
def open_session(datasets, server, paths):
    return lambda key="b00", **options: Session(server, paths, key, **options)


def shown(session, image_id):
    """(label, score) of the boxes that the App draws."""
    rows = session.app.record(image_id)[0]["boxes"]["detections"]
    return [(row["label"], row.get("confidence")) for row in rows]


def offered(session, image_id):
    (image,) = (i for i in session.dataset.read() if i.image_id == image_id)
    return image.shown.item.drawn.labels.tolist()


def test_the_grid_has_the_images_in_the_order_of_the_batch(open_session, paths):
    session = open_session()
    assert [name for _, name, _ in session.app.overview()["samples"]] == ["img00", "img01", "img02"]
    assert session.dataset.view is None
    offer(paths, "b00", dict.fromkeys(["img02", "img00", "img01"], OFFERED))
    session = open_session()
    assert [name for _, name, _ in session.app.overview()["samples"]] == ["img02", "img00", "img01"]
    view = session.dataset.dataset.load_saved_view("this batch")
    assert session.dataset.view == "this-batch"
    assert view.values("image_id") == ["img02", "img00", "img01"]


def test_proposals_above_the_threshold_are_drawn(open_session):
    session = open_session()
    assert shown(session, "img00") == [("cat", 0.9), ("dog", 0.8), ("cat", 0.7)]


def test_a_new_box_has_to_be_given_a_class(open_session):
    schema = open_session().dataset.dataset.label_schemas["boxes"]
    assert schema["classes"] == [PLACEHOLDER, "cat", "dog"]


def test_where_there_is_only_one_class_a_new_box_has_it(datasets, server, tmp_path):
    rows = (("cat", A, 0.9),)
    session = Session(server, campaign(tmp_path / "c", {"b00": images(1, rows)}, classes=["cat"]))
    assert session.dataset.dataset.label_schemas["boxes"]["classes"] == ["cat"]
    session.finish()


def test_work_that_was_begun_is_there_again(open_session):
    session = open_session()
    session.app.relabel("img00", "p0", "dog")
    session.app.mark("img01")
    session.app.add_seconds(img02=2.0)
    before = session.dataset.read()
    after = open_session().dataset.read()
    assert [(s.boxes, s.reviewed, s.seconds) for s in after] == [
        (s.boxes, s.reviewed, s.seconds) for s in before
    ]
    assert [s.seconds for s in after] == [0, 0, 2.0]


@pytest.mark.parametrize(
    "begin",
    [
        lambda app: app.relabel("img00", "p0", "dog"),
        lambda app: app.delete("img00", "p1"),
        lambda app: app.mark("img00"),
        lambda app: app.add_seconds(img00=1.0),
    ],
)
def test_only_images_that_nobody_touched_get_the_newest_proposals(open_session, paths, begin):
    begin(open_session().app)
    offer(paths, "b00", images(3, NEWER), detector="other")
    session = open_session()
    assert offered(session, "img00") == ["cat", "dog", "cat"]
    assert offered(session, "img01") == offered(session, "img02") == ["dog", "cat"]
    assert shown(session, "img01") == [("dog", 0.9), ("cat", 0.6)]
    session.finish()
    first, second = submissions.read(paths.reviews)
    assert {tuple(made.boxes): made.proposals.detector for made in (first, second)} == {
        ("img00",): "empty",
        ("img01", "img02"): "other",
    }


def test_another_threshold_shows_other_proposals_where_nobody_began(open_session, paths):
    open_session().app.mark("img00")
    path = paths.root / "params.yaml"
    path.write_text(path.read_text().replace('"score_threshold": 0.5', '"score_threshold": 0.1'))
    session = open_session()
    assert offered(session, "img00") == ["cat", "dog", "cat"]
    assert offered(session, "img01") == ["cat", "dog", "cat", "dog"]
    session.finish()
    made = submissions.read(paths.reviews)
    assert {tuple(m.boxes): m.score_threshold for m in made} == {
        ("img00",): 0.5,
        ("img01", "img02"): 0.1,
    }


def reorder(paths):
    """Puts img00 and img03 into each other's batch."""
    table = images(5)
    offer(paths, "b00", {i: table[i] for i in ("img03", "img01", "img02")}, detector="empty")
    offer(paths, "b01", {i: table[i] for i in ("img00", "img04")})


def test_an_image_takes_its_work_along_to_another_batch(open_session, paths):
    session = open_session()
    session.app.relabel("img00", "p0", "dog")
    session.app.add_seconds(img00=3.0)
    session.app.mark("img00", "img01")
    reorder(paths)
    session = open_session("b01")
    assert session.app.reviewed() == {"img00"}
    assert shown(session, "img00")[0][0] == "dog"
    session.app.relabel("img00", "p1", "cat")
    session = open_session("b00")
    assert session.app.reviewed() == {"img01"}
    assert [name for _, name, _ in session.app.overview()["samples"]] == ["img03", "img01", "img02"]

    # And back, with what was done there, although the old dataset once had it.
    for key, table in (("b00", images(3)), ("b01", images(2, first=3))):
        offer(paths, key, table)
    session = open_session("b00")
    session.finish()
    made = {i: m for m in submissions.read(paths.reviews) for i in m.boxes}
    assert made["img00"].boxes["img00"].labels.tolist() == ["dog", "cat", "cat"]
    assert made["img00"].seconds["img00"] == 3.0
    assert set(made) == {"img00", "img01", "img02"}


def test_an_image_that_nobody_touched_is_where_its_batch_is(open_session, paths, datasets):
    open_session("b00")
    open_session("b01")
    reorder(paths)
    open_session("b00")
    open_session("b01")
    ids = {name: datasets.load_dataset(name).values("image_id") for name in ("b00", "b01")}
    assert sorted(ids["b00"]) == ["img01", "img02", "img03"]
    assert sorted(ids["b01"]) == ["img00", "img04"]


class Killed(BaseException):
    pass


@pytest.fixture
def kill(datasets, monkeypatch):
    """Has a call of a step of an opening be its end, after so many that were done."""
    from fiftyone.core.dataset import Dataset
    from pymongo.collection import Collection

    def killed(step, work, after=0):
        owner = Dataset if step == "add_samples" else Collection
        original, left = getattr(owner, step), [after]

        def die(*args, **kwargs):
            if not left[0]:
                raise Killed
            left[0] -= 1
            return original(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(owner, step, die)
            with pytest.raises(Killed):
                work()

    return killed


@pytest.mark.parametrize("step", ["insert_many", "bulk_write", "delete_one", "add_samples"])
def test_an_opening_that_was_killed_is_made_good(open_session, paths, datasets, kill, step):
    session = open_session("b00")
    session.app.relabel("img00", "p0", "dog")
    session.app.mark("img00", "img01")
    open_session("b01")
    datasets.load_dataset("b01")._sample_collection.delete_one({"image_id": "img03"})
    table = images(5)
    offer(paths, "b00", {i: table[i] for i in ("img01", "img02")}, detector="empty")
    offer(paths, "b01", {i: table[i] for i in ("img04", "img00", "img03")})
    kill(step, lambda: open_session("b01"))
    session = open_session("b01")
    assert [name for _, name, _ in session.app.overview()["samples"]] == ["img04", "img00", "img03"]
    assert session.app.reviewed() == {"img00"}
    assert shown(session, "img00")[0][0] == "dog"
    assert datasets.load_dataset("b00").values("image_id") == ["img01", "img02"]
    assert open_session("b00").app.reviewed() == {"img01"}


@pytest.mark.parametrize("after", [0, 1])
def test_a_redo_that_was_killed_counts_nothing_as_reviewed(open_session, kill, after):
    """Killed before the notes are taken back, and between that and the new proposals."""
    open_session().finish()
    kill("bulk_write", lambda: open_session(redo=True), after=after)
    assert open_session(redo=True).app.reviewed() == set()


def test_a_dataset_that_was_only_begun_is_made_good(datasets, open_session):
    datasets.Dataset("b00", persistent=True)
    assert len(open_session().app.overview()["samples"]) == 3


def test_what_is_submitted_is_not_asked_again(open_session, paths):
    session = open_session(part="1/3")
    session.app.relabel("img00", "p0", "dog")
    session.finish()
    session = open_session()
    assert [name for _, name, _ in session.app.overview()["samples"]] == ["img01", "img02"]
    session.finish()
    with pytest.raises(UserError, match="batch b00 is submitted already: 'boxloop review b00 --re"):
        open_session()
    # Whatever becomes of the proposals.
    offer(paths, "b00", images(3, NEWER), detector="other")
    with pytest.raises(UserError, match="submitted already"):
        open_session()


def test_without_its_database_a_batch_starts_from_the_proposals(datasets, open_session):
    session = open_session()
    session.app.relabel("img00", "p0", "dog")
    open_session(part="3/3").finish()
    datasets.delete_datasets("*")
    session = open_session()
    assert [name for _, name, _ in session.app.overview()["samples"]] == ["img00", "img01"]
    assert shown(session, "img00")[0][0] == "cat"
    assert session.app.reviewed() == set()


def test_a_window_of_yesterday_does_not_save_over_new_proposals(open_session, paths):
    session = open_session()
    _, version = session.app.record("img00")
    offer(paths, "b00", images(3, NEWER))
    session = open_session()
    operation = {"op": "replace", "path": "/boxes/detections/0/label", "value": "cat"}
    with pytest.raises(OSError, match="412"):
        session.app._patch("img00", [operation], version)
    assert session.app.edit("img00", lambda boxes: [operation])


def test_a_campaign_that_was_moved_shows_its_images(open_session, paths, server, datasets):
    session = open_session()
    session.app.relabel("img00", "p0", "dog")
    moved = paths.root.with_name("mövéd folder")
    paths.root.rename(moved)
    session = Session(server, replace(paths, root=moved))
    record, _ = session.app.record("img00")
    assert record["filepath"] == str(moved / "data/images/00000.png")
    assert session.app.media(record["filepath"]) == (moved / "data/images/00000.png").read_bytes()
    assert shown(session, "img00")[0][0] == "dog"


def test_names_of_all_kinds(datasets, server, tmp_path):
    ids = ["a/b/../c", "ünïcode 图像", "with 'quotes\" & $more", "x" * 150, ".", "a b%2F?#"]
    classes = ["été/hiver", "$gt", "a, b", "猫", "cat.dog"]
    rows = tuple((label, (20 * i, 0, 20 * i + 15, 9), 0.9) for i, label in enumerate(classes))
    paths = campaign(tmp_path / "c", {"b00": dict.fromkeys(ids, rows)}, classes=classes)
    session = Session(server, paths)
    for image_id in ids:
        session.app.relabel(image_id, "p0", "猫")
        session.app.add_seconds(**{image_id: 1.0})
    session.finish()
    (made,) = submissions.read(paths.reviews)
    assert list(made.boxes) == ids
    expected = ["猫", *classes[1:]]
    assert all(boxes.labels.tolist() == expected for boxes in made.boxes.values())
    assert set(made.seconds.values()) == {1.0}


def test_formats_that_browsers_do_not_show_are_shown_as_copies(datasets, server, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    paths = campaign(tmp_path / "c", {"b00": images(1)}, suffix=".tiff", pixels=pixels)
    session = Session(server, paths)
    path = session.app.record("img00")[0]["filepath"]
    assert path.endswith(".png")
    assert path.startswith(str(paths.state.absolute()))
    (tmp_path / "got.png").write_bytes(session.app.media(path))
    with Image.open(tmp_path / "got.png") as image:
        assert (np.asarray(image) == pixels).all()
    session.finish()


def test_an_image_that_is_gone_is_named(paths):
    (paths.root / "data/images/00001.png").unlink()
    params = load_params(paths.root / "params.yaml")
    request = session_inputs.ReviewRequest("b00", "ann")
    assignment = session_inputs.read_assignment(paths, params, request)
    with pytest.raises(ArtifactError, match=r"00001.png \(image img01\) is gone"):
        session_inputs.display_files(paths, assignment)


def test_an_image_of_another_size_has_to_be_looked_at_again(open_session, paths):
    session = open_session()
    session.app.relabel("img00", "p0", "dog")
    session.app.mark()
    known = artifacts.read_images(paths.images)
    larger = tuple(replace(r, width=200) if r.id == "img00" else r for r in known.images)
    artifacts.write_images(paths.images, replace(known, images=larger))
    session = open_session()
    assert session.app.reviewed() == {"img01", "img02"}


def renumber(paths, digests):
    """Gives images other files of the same size, as an inserted video frame does."""
    known = artifacts.read_images(paths.images)
    refs = tuple(replace(r, digest=digests.get(r.id, r.digest)) for r in known.images)
    artifacts.write_images(paths.images, replace(known, images=refs))


def test_work_that_was_begun_follows_its_pixels(open_session, paths):
    renumber(paths, {f"img{n:02d}": f"{n}" * 64 for n in range(5)})
    session = open_session()
    session.app.relabel("img00", "p0", "dog")
    session.app.mark("img00")
    session.app.add_seconds(img00=5.0)
    session.app.relabel("img02", "p1", "cat")
    renumber(paths, {f"img{n:02d}": f"{n - 1}" * 64 for n in range(1, 5)} | {"img00": "f" * 64})
    session = open_session()  # img02 is img03 now, of another batch
    assert [(s.reviewed, s.seconds) for s in session.dataset.read()] == [
        (False, 0),
        (True, 5.0),
        (False, 0),
    ]
    assert [shown(session, f"img{n:02d}")[0][0] for n in range(3)] == ["cat", "dog", "cat"]
    assert shown(session, "img02")[1] == ("dog", 0.8)
    (told,) = session.told
    assert "begun on 1 image (img02) is of other pixels than are there now" in told
    session.finish()
    assert submissions.read(paths.reviews)[0].digests["img01"] == "0" * 64
    other = open_session("b01")
    assert shown(other, "img03")[1] == ("cat", 0.8)
    assert other.told == []
    assert open_session("b01").told == []


def test_a_copy_of_the_folder_is_a_campaign_like_any(open_session, paths, server, tmp_path):
    open_session().app.mark("img00")
    shutil.copytree(paths.root, tmp_path / "copy")
    copy = Session(server, CampaignPaths(tmp_path / "copy"), reviewer="bob")
    copy.finish()
    assert not submissions.read(paths.reviews)
