"""Which of people's labels count for the images and classes of today."""

from dataclasses import replace
from pathlib import Path

import pytest

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.screening import screen
from boxloop.core.types import Corrections, ImageRef, ImageSet
from builders import boxes, proposals, proposed

SHOWN = proposed(("cat", 0, 0, 5, 5, 0.9))


def image_set(*rows, classes=("cat", "dog")):
    """Images from rows of (id, digest)."""
    refs = [ImageRef(name, f"{name}.png", 64, 48, digest) for name, digest in rows]
    return ImageSet(tuple(refs), classes)


TODAY = image_set(("a", "pixels of a"), ("b", "pixels of b"))


def entry(ids, second=1, *, label="cat", x=0, classes=("cat", "dog"), digests=None, **fields):
    """A submission of images, as today's version writes it; its file is named by ``second``."""
    made = {i: f"pixels of {i}" for i in ids} if digests is None else digests
    final = {i: boxes((label, x, 0, x + 5, 5)) for i in ids}
    item = Corrections(
        proposals(dict.fromkeys(ids, SHOWN)),
        0.5,
        "fiftyone",
        final,
        reviewer="ada",
        finished=f"2024-01-01T12:00:{second:02d}.000000+00:00",
        digests=made,
        classes=classes,
        **fields,
    )
    return Path(f"reviews/{second}.json"), item


def counting(found):
    """Left edges of the labels that count, by image."""
    newest = submissions.latest(found.submissions)
    return {i: float(item.boxes[i].xyxy[0, 0]) for i, item in newest.items()}


def test_what_fits_counts_without_a_word():
    journal = [entry("ab", 1), entry("a", 2, x=7)]
    found = screen(journal, [], TODAY)
    assert found.submissions == [item for _, item in journal]
    assert found.submissions[0] is journal[0][1]
    assert found.notes == ()


def test_submissions_of_older_versions_count_by_the_image_s_name():
    found = screen([entry("ab", digests={}, classes=())], [], TODAY)
    assert counting(found) == {"a": 0, "b": 0}
    assert found.notes == ()


def test_labels_of_other_pixels_do_not_count():
    other = {"a": "other pixels", "b": "pixels of b"}
    found = screen([entry("ab", 1, digests=other)], [], TODAY)
    assert counting(found) == {"b": 0}
    [note] = found.notes
    assert note == (
        "reviews/1.json labels other pixels than are now in image a, and does not count there:"
        " bring back what was labeled, or label it anew ('boxloop review b01'; with --redo it opens"
        " with those labels)"
    )
    everything = screen([entry("ab", 1, digests=other)], [], TODAY, all_=True)
    assert counting(everything) == {"a": 0, "b": 0}


def test_labels_of_other_pixels_do_not_hide_those_of_the_right_ones():
    right, wrong = entry("a", 1, x=3), entry("a", 2, digests={"a": "other"})
    found = screen([right, wrong], [], TODAY)
    assert counting(found) == {"a": 3}
    assert "reviews/2.json labels other pixels" in found.notes[0]
    # Once labeled anew, there is nothing to say.
    assert screen([right, wrong, entry("a", 3, x=4)], [], TODAY).notes == ()


def test_a_class_that_is_no_more():
    found = screen(
        [entry("a", 1), entry("ab", 2, label="dog")],
        [],
        image_set(("a", "pixels of a"), ("b", "pixels of b"), classes=("cat",)),
    )
    assert counting(found) == {}  # not the older ones either, which the newer ones corrected
    assert found.notes == (
        "reviews/2.json uses 'dog', which is no class of this campaign now, and does not count for"
        " 2 images (a, b): list that class again, or label it anew ('boxloop review b01'; with"
        " --redo it opens with those labels)",
    )


def test_a_class_that_is_new_is_said():
    found = screen([entry("ab", classes=("dog", "cat"))], [], TODAY)
    assert found.notes == ()
    found = screen([entry("ab", classes=("cat",))], [], TODAY)
    assert counting(found) == {"a": 0, "b": 0}
    assert found.incomplete == {"a": ("dog",), "b": ("dog",)}
    assert found.notes == (
        "2 images (a, b) are not complete for 'dog', which could not be chosen when people"
        " reviewed: 'boxloop review --for dog' opens what is missing",
    )
    # The newest submission of an image says what it is complete for.
    found = screen([entry("ab", 1, classes=("cat",)), entry("a", 2)], [], TODAY)
    assert found.incomplete == {"b": ("dog",)}


def test_two_of_the_very_same_time_that_differ():
    first, second = entry("ab", 1), entry("a", 1, x=7)
    second = (Path("reviews/1-2.json"), second[1])
    found = screen([first, second], [], TODAY)
    assert counting(found) == {"b": 0}
    assert found.notes[0].startswith(
        "reviews/1-2.json and reviews/1.json are of the very same time and differ about image a"
    )
    same = (second[0], replace(first[1], reviewer="bob"))
    assert screen([first, same], [], TODAY).notes == ()
    assert counting(screen([first, second, entry("a", 2, x=9)], [], TODAY)) == {"a": 9, "b": 0}


def imported(ids, second, *, x, **fields):
    """Labels that were imported and trusted."""
    file, item = entry(ids, second, x=x, given=tuple(ids), **fields)
    return file, replace(item, annotator="given", reviewer=None)


def test_imported_labels_never_take_the_place_of_a_person_s():
    """Two clones that were merged: one imported what somebody had reviewed in the other."""
    person = entry("a", 1, x=7)
    for second in (1, 2):  # of the very same time, and newer
        given = (Path("reviews/given.json"), imported("ab", second, x=3)[1])
        for journal in ([person, given], [given, person]):
            for all_ in (False, True):
                found = screen(journal, [], TODAY, all_=all_)
                assert counting(found) == {"a": 7, "b": 3}
    assert found.notes == (
        "reviews/given.json has imported labels of image a, where a person's count: they are left"
        " alone",
    )
    # What was put together of them says it as well, but no more of it.
    restored = (Path("data/corrections/b01.json"), imported("ab", 2, x=3)[1])
    again = screen([person, given], [restored], TODAY)
    assert (counting(again), again.notes) == ({"a": 7, "b": 3}, found.notes)
    batch = proposals({"b": SHOWN})
    assert screen([person, given], [], TODAY, batch).notes == ()


def test_a_person_s_labels_take_the_place_of_imported_ones():
    given, redo = imported("ab", 1, x=3), entry("a", 2, x=7)
    found = screen([given, redo], [], TODAY)
    assert (counting(found), found.notes) == ({"a": 7, "b": 3}, ())
    # A redo, whose earlier labels go on to be known.
    assert found.submissions == [given[1], redo[1]]


def test_imported_labels_count_where_a_person_s_do_not():
    other = entry("a", 1, x=7, digests={"a": "other pixels"})
    assert counting(screen([other, imported("a", 2, x=3)], [], TODAY)) == {"a": 3}
    unknown = entry("a", 1, x=7, label="bird")
    assert counting(screen([unknown, imported("a", 2, x=3)], [], TODAY)) == {"a": 3}


def test_what_was_edited_by_hand_after_it_was_submitted_is_no_conflict():
    edited = (Path("data/corrections/b01.json"), entry("a", 1, x=7)[1])
    found = screen([entry("a", 1)], [edited], TODAY)
    assert counting(found) == {"a": 7}
    assert found.notes == ()


def test_an_image_of_another_name_keeps_its_labels():
    now = image_set(("new", "pixels of a"), ("b", "pixels of b"))
    timed = entry("ab", 1, seconds={"a": 2.5}, submitted={"a": "2024-01-01T11:00:00+00:00"})
    found = screen([timed], [], now)
    [item] = found.submissions
    assert list(item.boxes) == list(item.proposals.boxes) == ["new", "b"]
    assert (item.seconds, dict(item.digests)) == (
        {"new": 2.5},
        {"new": "pixels of a", "b": "pixels of b"},
    )
    assert item.submitted == {"new": "2024-01-01T11:00:00+00:00"}
    assert found.notes == (
        "reviews/1.json counts for image new (then a), because the files are the same",
    )
    # Labels under the name of today are the image's own.
    own = (Path("reviews/2.json"), entry(["new"], 2, x=9, digests={"new": "pixels of a"})[1])
    assert counting(screen([timed, own], [], now))["new"] == 9


def test_images_that_are_numbered_anew_keep_their_labels():
    journal = [entry("a", 1, x=1), entry("b", 2, x=2), entry("c", 3, x=3)]
    one = entry("abc", 4, x=4)
    shifted = [("a", "new"), *((new, f"pixels of {old}") for new, old in ("ba", "cb", "dc"))]
    found = screen(journal, [], image_set(*shifted))
    assert counting(found) == {"b": 1, "c": 2, "d": 3}
    assert found.notes[0] == (
        "reviews/1.json counts for image b (then a), because the files are the same"
    )
    assert list(screen([one], [], image_set(*shifted)).submissions[0].boxes) == ["b", "c", "d"]
    swapped = image_set(("a", "pixels of b"), ("b", "pixels of a"), ("c", "pixels of c"))
    assert counting(screen(journal, [], swapped)) == {"a": 2, "b": 1, "c": 3}


def test_where_names_go_to_and_fro_the_newest_labels_of_the_pixels_count():
    before = [entry("ab", 1, x=1)]
    redo = entry("b", 3, x=3, digests={"b": "pixels of a"})
    swapped = image_set(("a", "pixels of b"), ("b", "pixels of a"))
    assert counting(screen([*before, redo], [], swapped)) == {"a": 1, "b": 3}
    for all_ in (False, True):
        found = screen([*before, redo], [], TODAY, all_=all_)
        assert counting(found) == {"a": 3, "b": 1}
        assert found.notes == (
            "reviews/3.json counts for image a (then b), because the files are the same",
        )


def restored(ids, second, *, x=0, **fields):
    """What was put together of submissions, and came back with DVC."""
    return Path("data/corrections/b01.json"), entry(ids, second, x=x, **fields)[1]


def test_of_an_image_that_got_its_old_name_back_the_newest_labels_count():
    of_a = {"digests": {"c": "pixels of a"}}
    before, redo = [entry("a", 1, x=1), entry("a", 2, x=2)], entry("c", 5, x=5, **of_a)
    for files in ([], [restored("a", 2, x=2)], [restored("c", 5, x=5, **of_a)]):
        found = screen([*before, redo], files, TODAY)
        assert counting(found) == {"a": 5}
        [note] = found.notes
        assert note.endswith("counts for image a (then c), because the files are the same")
    assert counting(screen([*before, redo, entry("a", 6, x=6)], [], TODAY)) == {"a": 6}


def test_newer_labels_by_names_of_before_replace_what_was_put_together_since():
    """Another clone labeled the images anew while they were renamed here."""
    now = image_set(("new a", "pixels of a"), ("new b", "pixels of b"))
    digests = {"new a": "pixels of a", "new b": "pixels of b"}
    made = restored(digests, 1, x=1, digests=digests)
    found = screen([entry("ab", 1, x=1), entry("ab", 3, x=3)], [made], now)
    assert counting(found) == {"new a": 3, "new b": 3}


def test_labels_of_an_image_that_is_gone_go_to_a_twin_that_nobody_labeled():
    twins = image_set(("a", "pixels of a"), ("b", "pixels of a"))
    twin = entry("c", 5, x=5, digests={"c": "pixels of a"})
    for files in ([], [restored("a", 1, x=1)]):
        assert counting(screen([entry("a", 1, x=1), twin], files, twins)) == {"a": 1, "b": 5}


def test_where_all_twins_are_labeled_newer_labels_of_one_that_is_gone_replace_the_oldest():
    twins = image_set(("a", "pixels of a"), ("b", "pixels of a"))
    own = [entry("a", 2, x=2), entry("b", 1, x=1, digests={"b": "pixels of a"})]
    for second, expected in ((5, {"a": 2, "b": 5}), (0, {"a": 2, "b": 1})):
        twin = entry("c", second, x=second, digests={"c": "pixels of a"})
        journal = sorted([*own, twin], key=lambda row: row[1].finished)
        assert counting(screen(journal, [], twins)) == expected


@pytest.mark.parametrize("all_", [False, True])
def test_of_two_names_of_the_same_bytes_in_a_file_the_newer_labels_count(all_):
    path, item = entry("xy", 2, digests=dict.fromkeys("xy", "pixels of a"))
    edited = {"x": boxes(("cat", 7, 0, 9, 5)), "y": item.boxes["y"]}
    earlier = {"y": "2024-01-01T11:00:00+00:00"}
    both = replace(item, boxes=edited, submitted=earlier)
    assert counting(screen([(path, both)], [], TODAY, all_=all_)) == {"a": 7}
    together = screen([(path, replace(both, submitted={}))], [], TODAY)
    assert counting(together) == {}
    assert "are of the very same time and differ about image a" in together.notes[0]
    # Where there is an image for each, both count.
    twins = image_set(("a", "pixels of a"), ("b", "pixels of a"))
    assert counting(screen([(path, both)], [], twins, all_=all_)) == {"a": 7, "b": 0}


def test_labels_of_a_replaced_image_go_to_no_twin():
    twins = image_set(("a", "new"), ("b", "pixels of a"), ("c", "pixels of a"))
    found = screen([entry("a", 1)], [], twins)
    assert counting(found) == {}
    assert "labels other pixels than are now in image a" in found.notes[0]


def test_a_redo_opens_no_labels_of_other_pixels_beside_the_right_ones():
    wrong = entry("a", 2, x=2, digests={"a": "other"})
    assert counting(screen([entry("a", 1, x=1), wrong], [], TODAY, all_=True)) == {"a": 1}


def test_an_image_that_is_gone_is_said():
    now = image_set(("b", "pixels of b"))
    found = screen([entry("ab", digests={})], [], now)
    assert found.notes == (
        "reviews/1.json labels image a, not among the dataset's images now: the labels are kept,"
        " and count again once the image is back",
    )
    assert screen([entry("ab")], [], now, proposals({"b": SHOWN})).notes == ()


@pytest.mark.parametrize("version", ["99.0.0", "99.0.0rc1", "99"])
def test_a_newer_version_is_said(version):
    found = screen([entry("a", versions={"boxloop": version})], [], TODAY)
    assert counting(found) == {"a": 0}
    assert found.notes == (
        f"reviews/1.json was written by boxloop {version}, newer than this one, and counts for"
        " image a: install that version where it matters",
    )


@pytest.mark.parametrize("version", ["0.1.0", "", "unknown", "9" * 5000])
def test_a_version_that_is_not_newer(version):
    assert screen([entry("a", versions={"boxloop": version})], [], TODAY).notes == ()


def test_of_a_batch_alone():
    other = {"a": "other", "b": "other"}
    batch = proposals({"a": SHOWN}, batch="b07")
    [note] = screen([entry("ab", digests=other)], [], TODAY, batch).notes
    assert "image a," in note
    assert "'boxloop review b07'" in note


def test_many_images_are_counted():
    names = [f"i{n}" for n in range(9)]
    now = image_set(*((name, "now") for name in names))
    [note] = screen([entry(names)], [], now).notes
    assert "in 9 images (i0, i1, i2, ...), and" in note


def test_it_is_written_and_read_back(tmp_path):
    _, item = entry("ab")
    path = submissions.append(tmp_path, item)
    assert artifacts.read_corrections(path) == item
    assert submissions.assemble([item], proposals({"a": SHOWN})).digests == {"a": "pixels of a"}
    older = replace(item, classes=("dog", "bird", "cat"))
    parts = [item.part("a"), older.part("b")]
    both = submissions.assemble(parts, proposals(dict.fromkeys("ab", SHOWN)))
    assert both.classes == ("cat", "dog")
    unknown = replace(parts[1], classes=())
    assert not submissions.assemble([parts[0], unknown], both.proposals).classes
