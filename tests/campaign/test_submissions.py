import os
import re
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.submissions import append, assemble, latest, missing, read
from boxloop.core.types import Boxes, Corrections, FittedThreshold
from boxloop.errors import ArtifactError, ReviewPending, UserError
from builders import any_boxes, boxes, corrections, proposals, proposed

IDS = ("a", "b", "c")
OFFERED = proposals(
    {
        "a": proposed(("cat", 0, 0, 5, 5, 0.9), ("dog", 9, 9, 12, 12, 0.4)),
        "b": proposed(("cat", 0, 0, 5, 5, 0.2)),
        "c": proposed(),
    }
)


def when(second):
    return f"2024-01-01T12:00:{second:02d}.000000+00:00"


def entry(ids, second, *, x=0, threshold=0.5, batch="b01", detector="ssd", floor=0.05, **fields):
    """A submission whose boxes tell it from the others: they begin at ``x``."""
    offered = replace(
        OFFERED,
        batch=batch,
        detector=detector,
        score_floor=floor,
        boxes={i: OFFERED.boxes[i] for i in ids},
    )
    final = {i: boxes(("cat", x, 0, x + 5, 5)) for i in ids}
    given_ = {"reviewer": "ada", "finished": when(second), **fields}
    return Corrections(offered, threshold, "fiftyone", final, **given_)


# --- files ----------------------------------------------------------------------------------------


def test_a_submission_is_a_file_of_its_own_and_is_read_back(tmp_path):
    folder = tmp_path / "reviews"
    first, second = entry("ab", 1, seconds={"a": 2.5}), entry("c", 2, reviewer="Zoë de Vries")
    paths = [append(folder, second), append(folder, first)]
    assert [path.name for path in paths] == [
        "b01-20240101T120002000000Z-zoe-de-vries.json",
        "b01-20240101T120001000000Z-ada.json",
    ]
    assert read(folder) == [first, second]
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in paths)


@pytest.mark.parametrize(
    ("name", "slug"),
    [("李", "unnamed"), (None, "unnamed"), ("../../etc", "etc"), ("a" * 300, "a" * 40)],
)
def test_any_name_makes_a_file_s_name(tmp_path, name, slug):
    path = append(tmp_path, entry("a", 1, reviewer=name))
    assert path.name == f"b01-20240101T120001000000Z-{slug}.json"
    assert path.parent == tmp_path
    assert read(tmp_path)[0].reviewer == name


def test_nothing_in_the_journal_is_ever_replaced(tmp_path):
    made = {append(tmp_path, entry(i, 1, x=n)): n for n, i in enumerate("abc")}
    assert len(made) == 3
    for path, x in made.items():
        (only,) = artifacts.read_corrections(path).boxes.values()
        assert only.xyxy[0, 0] == x


def test_two_at_the_same_moment(tmp_path):
    """Many writers of one name: every one of them gets a file, and no file is torn."""
    start = threading.Barrier(8)
    faults = []

    def work(number):
        start.wait()
        try:
            for _ in range(5):
                append(tmp_path, entry("a", 1, x=number))
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sorted(e.boxes["a"].xyxy[0, 0] for e in read(tmp_path)) == sorted([*range(8)] * 5)


def test_where_files_cannot_have_two_names(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    paths = [append(tmp_path, entry("a", 1)), append(tmp_path, entry("b", 1))]
    assert len(set(paths)) == 2
    assert len(read(tmp_path)) == 2


@pytest.mark.parametrize(("ids", "second"), [("a", 1), ("a", 2), ("ac", 3)])
def test_a_clock_that_was_set_back_cannot_hide_a_redo(tmp_path, ids, second):
    append(tmp_path, entry("ab", 2, x=1))
    append(tmp_path, entry(ids, second, x=7, submitted={"a": when(0)}))
    counts = latest(read(tmp_path))
    assert counts["a"].boxes["a"].xyxy[0, 0] == 7
    assert counts["b"].boxes["b"].xyxy[0, 0] == 1


def test_a_redo_is_the_newest_of_its_pixels_whatever_their_name_was(tmp_path):
    append(tmp_path, entry("a", 9, x=1, digests={"a": "pixels"}))
    append(tmp_path, entry("c", 9, x=1, digests={"c": "others"}))
    path = append(tmp_path, entry("b", 2, x=7, digests={"b": "pixels"}))
    assert artifacts.read_corrections(path).finished == "2024-01-01T12:00:09.000001+00:00"
    # What is only kept is no newer than labels of other pixels by its name.
    path = append(tmp_path, entry("a", 3, x=7, digests={"a": "third"}), kept=True)
    assert artifacts.read_corrections(path).finished == when(3)


def test_a_simulation_is_no_submission(tmp_path):
    with pytest.raises(ValueError, match="needs a person"):
        append(tmp_path, corrections({"a": proposed()}, {"a": Boxes.empty()}))
    with pytest.raises(ValueError, match="needs a person and a time"):
        append(tmp_path, replace(entry("a", 1), finished=None))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_looked_into_is_no_empty_one(tmp_path):
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "link").symlink_to(tmp_path / "not mounted")
    for folder in (tmp_path / "file", tmp_path / "link"):
        with pytest.raises(UserError, match=r"cannot be looked into \(.*may hold people's labels"):
            append(folder, entry("a", 1))
        with pytest.raises(ArtifactError, match=f"{folder} cannot be looked into"):
            read(folder)


def test_no_journal_is_an_empty_one(tmp_path):
    assert read(tmp_path / "nowhere") == []


def test_a_submission_of_a_future_format_is_told(tmp_path):
    path = append(tmp_path, entry("a", 1))
    path.write_text(path.read_text().replace("corrections@1", "corrections@3"))
    says = "of format boxloop/corrections@3, which a newer boxloop wrote: .*it holds labels"
    with pytest.raises(ArtifactError, match=says):
        read(tmp_path)


def test_a_submission_removes_what_killed_writers_left_and_nothing_else(tmp_path):
    submitted = append(tmp_path, entry("a", 1))
    left = tmp_path / f".{submitted.name}.abcd_123.json"
    own = [tmp_path / name for name in (".hidden.json", ".b01-notes.json", f".{submitted.name}")]
    young = tmp_path / f".{submitted.name}.abcd_124.json"
    for path in (left, young, *own):
        path.write_text("{}")
    for path in (left, *own):
        os.utime(path, (0, 0))
    append(tmp_path, entry("b", 2))
    assert not left.exists()
    assert all(path.exists() for path in (young, *own))


@pytest.mark.parametrize(
    "moment", ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00", "9999-12-31"]
)
def test_a_time_at_the_end_of_the_calendar_is_refused(tmp_path, moment):
    """No later submission could ever be newer, which its images would need."""
    path = append(tmp_path, entry("a", 1))
    path.write_text(re.sub(r'"finished": "[^"]*"', f'"finished": "{moment}"', path.read_text()))
    with pytest.raises(ArtifactError, match=f"'{re.escape(moment)}' is not a time"):
        read(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace("boxloop/corrections@1", "boxloop/labeled@1"),
        lambda text: text.replace('"fiftyone"', '"simulated"'),
        lambda text: re.sub(r'"finished": "[^"]*"', '"finished": null', text),
        lambda text: re.sub(r'"finished": "[^"]*"', '"finished": "yesterday"', text),
        lambda text: text.replace('"submitted": {}', '"submitted": {"a": "noon"}'),
    ],
)
def test_a_damaged_file_is_one_sentence_and_nothing_is_passed_over(tmp_path, change):
    append(tmp_path, entry("b", 1))
    path = append(tmp_path, entry("a", 2))
    before = path.read_text()
    path.write_text(change(before))
    assert path.read_text() != before
    with pytest.raises(ArtifactError, match=f"{path.name}.*it holds labels") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_other_files_may_lie_there(tmp_path):
    append(tmp_path, entry("a", 1))
    (tmp_path / "README.md").write_text("Committed by hand.")
    (tmp_path / ".b01-half-written.json").write_text("{")
    assert len(read(tmp_path)) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not valid JSON (line 1, column 2)"),
        ("[]", "is another kind of file, where one of format boxloop/corrections@1 is needed"),
        ('{"format": "boxloop/corrections@1", "batch": 1}', "at "),
    ],
)
@pytest.mark.parametrize("look", [False, True])
def test_what_no_stage_makes_again_is_brought_back(tmp_path, content, words, look):
    path = append(tmp_path, entry("a", 1), look=look)
    path.write_text(content)
    with pytest.raises(ArtifactError) as told:
        submissions.read_files(tmp_path, look=look)
    assert words in str(told.value)
    assert "run the stage" not in str(told.value)
    assert f"; it holds labels, so bring it back ('git checkout {path}'" in str(told.value)


@pytest.mark.parametrize("look", [False, True])
def test_a_conflict_of_a_merge_in_a_submission_is_told_as_such(tmp_path, look):
    path = append(tmp_path, entry("a", 1), look=look)
    own = path.read_text()
    path.write_text(f"<<<<<<< HEAD\n{own}=======\n{own}>>>>>>> theirs\n")
    end = ".look.json" if look else ".json"
    beside = f"{str(path).removesuffix(end)}-theirs{end}"
    with pytest.raises(ArtifactError) as told:
        submissions.read_files(tmp_path, look=look)
    assert str(told.value) == (
        f"{path} cannot be read, as a merge left a conflict in line 1 (<<<<<<<): keep one side of"
        f" it, as 'git checkout --ours {path}' does; both hold labels, so keep the other one in a"
        f" file beside it: 'git -C {tmp_path} show :3:./{path.name} > {beside}'"
    )


def test_a_merge_of_what_was_kept_and_of_what_was_submitted_loses_neither(tmp_path):
    """A clone without the journal keeps a part; another one has the whole."""
    whole = entry("abc", 1)
    submitted = append(tmp_path / "ann", whole)
    kept = [append(tmp_path / "bob", whole.part(ids), kept=True) for ids in (["b"], ["c"])]
    names = [submitted.name, *(path.name for path in kept)]
    assert len({*names}) == 3
    stem = submitted.name.removesuffix(".json")
    assert all(re.fullmatch(rf"{stem}\.kept-[0-9a-f]{{8}}\.json", name) for name in names[1:])
    # The same labels are kept by the same name anywhere, so git has no conflict there either.
    again = append(tmp_path / "eve", whole.part(["b"]), kept=True)
    assert (again.name, again.read_bytes()) == (kept[0].name, kept[0].read_bytes())
    own = whole.part(["b"])
    relabeled = replace(own, boxes={"b": boxes(("dog", 0, 0, 5, 5))})
    others = (entry("b", 1, x=5), relabeled, replace(own, digests={"b": "other pixels"}))
    # Each in a clone of its own: in one folder any other name would do.
    clones = [append(tmp_path / f"{n}", item, kept=True) for n, item in enumerate(others)]
    assert len({again.name, *(path.name for path in clones)}) == 4
    everything = read(tmp_path / "ann", tmp_path / "bob")
    assert latest(everything) == dict.fromkeys("abc", whole)  # the person's own comes first


def test_two_journals_are_read_as_one_and_a_shared_file_counts_once(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    path = append(one, entry("a", 2))
    two.mkdir()
    (two / path.name).write_bytes(path.read_bytes())
    append(two, entry("b", 1))
    assert [e.finished for e in read(one, two)] == [when(1), when(2)]
    (two / path.name).write_text(path.read_text().replace('"ada"', '"bob"'))
    assert sorted(e.reviewer for e in read(one, two)) == ["ada", "ada", "bob"]


def test_times_are_compared_as_times(tmp_path):
    append(tmp_path, entry("a", 0, x=1, finished="2024-01-01T13:00:00+02:00"))
    append(tmp_path, entry("b", 0, x=2, finished="2024-01-01T11:30:00"))
    append(tmp_path, entry("c", 0, x=3, finished="2024-01-01T11:15:00Z"))
    assert [next(iter(e.boxes)) for e in read(tmp_path)] == ["a", "c", "b"]


# --- putting a batch together ---------------------------------------------------------------------


def test_the_newest_of_each_image_counts():
    entries = [entry("abc", 1, x=1), entry("b", 2, x=2), entry("c", 3, x=3), entry("b", 4, x=4)]
    result = assemble(entries, OFFERED)
    assert [float(b.xyxy[0, 0]) for b in result.boxes.values()] == [1, 4, 3]
    assert list(result.boxes) == list(result.proposals.boxes) == list("abc")
    assert result.finished == when(4)
    assert result.submitted == {"a": when(1), "c": when(3)}
    assert result.revision == 4


def test_a_batch_in_parts_is_not_redone():
    parts = [entry("c", 1, reviewer="bob"), entry("ab", 2, reviewer="ada, bob")]
    result = assemble(parts, OFFERED)
    assert result.revision == 1
    assert result.reviewer == "ada, bob"


def test_what_is_missing_is_counted_with_the_command():
    with pytest.raises(ReviewPending, match=r"batch b01 waits .*, 3 images: 'boxloop review b01'"):
        assemble([], OFFERED)
    with pytest.raises(ReviewPending, match=r"1 of 3 images are submitted.*'boxloop review b01'"):
        assemble([entry("b", 1)], OFFERED)
    assert missing([entry("b", 1)], "cba") == ["c", "a"]


def test_what_was_shown_stays_whatever_thresholds_the_parts_had():
    low = entry("b", 1, threshold=0.1, detector="ssd", floor=0.01)
    high = entry("ac", 2, threshold=0.5, detector="faster", floor=0.05)
    result = assemble([low, high], OFFERED)
    assert result.score_threshold == 0.1
    assert result.shown() == {**high.shown(), **low.shown()}
    assert result.proposals.boxes["a"].scores.tolist() == [0.9]
    assert result.proposals.score_floor == 0.01
    assert result.proposals.detector == "faster, ssd"


def test_labels_that_were_given_say_nothing_of_what_was_shown_elsewhere():
    given_ = entry("b", 1, threshold=0.0, given=("b",), versions={"boxloop": "1"})
    seen = entry("ac", 2, threshold=0.5, versions={"boxloop": "2"})
    result = assemble([given_, seen], OFFERED)
    assert (result.score_threshold, result.versions) == (0.5, {"boxloop": "2"})
    assert result.shown()["a"].scores.tolist() == [0.9]
    assert assemble([replace(given_, given=()), seen], OFFERED).score_threshold == 0.0


def test_what_was_expected_stays_where_all_was_shown_by_that():
    fitted = (FittedThreshold(0.5, 0.5, 0.3, "b00"),)

    def by(item, thresholds):
        return replace(item, proposals=replace(item.proposals, thresholds=thresholds))

    parts = by(entry("b", 1), fitted), by(entry("ac", 2), fitted)
    assert assemble(parts, OFFERED).proposals.thresholds == fitted
    assert assemble([parts[0], entry("ac", 2)], OFFERED).proposals.thresholds == ()


def test_of_what_nothing_was_shown_not_even_a_sure_proposal_counts_as_shown():
    low, none = entry("b", 1, threshold=0.1), entry("ac", 2, threshold=1.0)
    sure = {i: replace(b, scores=np.ones(len(b))) for i, b in none.proposals.boxes.items()}
    none = replace(none, proposals=replace(none.proposals, boxes=sure))
    result = assemble([low, none], OFFERED)
    assert result.score_threshold == 0.1
    assert [len(result.shown()[i]) for i in "ac"] == [0, 0]


def test_images_come_from_other_batches_too():
    """Another order has moved them."""
    result = assemble([entry("ac", 1, batch="b07"), entry("b", 2, batch="b03")], OFFERED)
    assert result.batch == "b01"
    assert result.revision == 1


def test_the_offered_proposals_of_today_do_not_matter():
    entries = [entry("abc", 1)]
    other = replace(OFFERED, detector="new", boxes=dict.fromkeys("abc", proposed()))
    assert assemble(entries, other) == assemble(entries, OFFERED)


def test_kinds_versions_and_names_are_joined():
    one = replace(entry("a", 1), versions={"boxloop": "1", "fiftyone": "2"})
    two = replace(entry("bc", 2), annotator="import", versions={"boxloop": "2"}, reviewer=None)
    result = assemble([one, two], OFFERED)
    assert result.annotator == "fiftyone+import"
    assert result.by_person
    assert result.versions == {"boxloop": "1, 2", "fiftyone": "2"}
    assert result.reviewer == "ada"
    again = assemble([one, two, result], OFFERED)
    assert again == result


def test_seconds_are_those_of_the_submission_that_counts():
    entries = [entry("abc", 1, seconds=dict.fromkeys("abc", 5.0)), entry("b", 2, seconds={"b": 9})]
    assert assemble(entries, OFFERED).seconds == {"a": 5.0, "b": 9.0, "c": 5.0}
    assert assemble([*entries, entry("c", 3)], OFFERED).seconds == {"a": 5.0, "b": 9.0}


def test_an_assembled_file_stands_in_for_a_lost_journal():
    entries = [entry("abc", 1), entry("b", 2, x=2)]
    held = assemble(entries, OFFERED)
    assert assemble([held], OFFERED) == held
    assert assemble([*entries, held], OFFERED) == held
    # Older than the file as a whole, but newer than that image of it.
    late = replace(entry("a", 1, x=9), finished="2024-01-01T12:00:01.500000+00:00")
    result = assemble([late, held], OFFERED)
    assert [float(b.xyxy[0, 0]) for b in result.boxes.values()] == [9, 2, 0]
    assert (held.revision, result.revision) == (2, 3)


def test_a_batch_says_the_same_whatever_was_put_together_before_a_merge():
    """Of people who do not know of each other: each of them may have had a batch already."""
    ann, bob = entry("abc", 1, x=1, reviewer="ann"), entry("abc", 2, x=2, reviewer="bob")
    eve, cy = entry("b", 3, reviewer="eve"), entry("a", 4, reviewer="cy")
    everything = [ann, bob, eve, cy]
    expected = assemble(everything, OFFERED)
    assert expected.revision == 4
    for known in ([ann], [bob], [ann, bob], [bob, eve], [ann, eve], [bob, cy], [ann, eve, cy]):
        held = assemble(known, OFFERED)
        assert held.revision == len(known)
        assert assemble([*everything, held], OFFERED) == expected
        # Nor does it matter that some come first, and others later.
        halfway = assemble([ann, bob, eve, held] if cy not in known else [*known, held], OFFERED)
        assert assemble([*everything, halfway], OFFERED) == expected


def test_what_was_redone_stays_counted_where_its_files_are_gone():
    redone = [entry("abc", 1), entry("abc", 2), entry("ab", 3)]
    held = assemble(redone, OFFERED)
    assert held.revision == 3
    for left in ([], redone[2:], redone[1:], redone[:1], redone):
        assert assemble([*left, held], OFFERED).revision == 3
        assert assemble([*left, entry("c", 4), held], OFFERED).revision == 4


def test_a_part_of_it():
    whole = entry("abc", 3, seconds={"a": 1.0, "b": 2.0}, submitted={"b": when(1)})
    piece = whole.part(["b", "c"])
    assert list(piece.boxes) == list(piece.proposals.boxes) == ["b", "c"]
    assert (piece.seconds, piece.submitted) == ({"b": 2.0}, {"b": when(1)})


def test_a_batch_without_images():
    with pytest.raises(ValueError, match="b01 has no image"):
        assemble([], proposals({}))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from(IDS), min_size=1),
            st.integers(0, 9),
            st.sampled_from([0.1, 0.3, 0.5, 0.9]),
            any_boxes(scored=True),
        ),
        max_size=6,
    ),
    st.permutations(IDS),
)
def test_against_plain_loops(rows, order):
    entries = []
    for number, (ids, second, threshold, offer) in enumerate(rows):
        item = entry(sorted(ids), second, x=number, threshold=threshold)
        offered = replace(item.proposals, boxes=dict.fromkeys(sorted(ids), offer))
        entries.append(replace(item, proposals=offered))
    entries.sort(key=lambda e: e.finished)
    today = replace(OFFERED, boxes={i: proposed() for i in order})
    chosen = {}
    for item in entries:
        for image_id in item.boxes:
            chosen[image_id] = item
    if set(chosen) != set(IDS):
        with pytest.raises(ReviewPending):
            assemble(entries, today)
        return
    result = assemble(entries, today)
    assert list(result.boxes) == list(order)
    shown = result.shown()
    for image_id, item in chosen.items():
        assert result.boxes[image_id] == item.boxes[image_id]
        assert shown[image_id] == item.shown()[image_id]
        assert submissions.submitted_at(result, image_id) == submissions.submitted_at(
            item, image_id
        )
    assert np.isclose(result.score_threshold, min(e.score_threshold for e in chosen.values()))
    assert assemble([*entries, result], today) == result
