"""Whether the labels of a batch still count, and what `boxloop status` sends a person to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boxloop.campaign import artifacts, existing, given, outside, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.status import status_text
from boxloop.core.types import Batch, Boxes, BoxesByImage, Corrections, ImageSet, Proposals
from boxloop.files import write_json
from boxloop.params import GIVEN, Params, load_params
from builders_campaign import build_campaign, small_params

LATER = "2024-01-02T12:00:00+00:00"


def people_params(batches: int = 3) -> Params:
    return small_params(batches, review={"annotator": "fiftyone"})


@pytest.fixture
def paths(tmp_path: Path) -> CampaignPaths:
    """b00 and b01 are labeled by a person, with the digests of the images; b02 waits for one."""
    paths = build_campaign(
        tmp_path, people_params(), done=2, through="proposals", annotator="fiftyone"
    )
    for key in ("b00", "b01"):
        label(paths, key)
    return paths


def label(paths: CampaignPaths, key: str) -> None:
    """Gives the corrections of a batch their digests, and puts them into the journal."""
    now = artifacts.read_images(paths.images).by_id()
    made = artifacts.read_corrections(paths.corrections(key))
    made = replace(made, digests={i: now[i].digest for i in made.boxes})
    artifacts.write_corrections(paths.corrections(key), made)
    submissions.append(paths.reviews, made, kept=True)


def change_images(paths: CampaignPaths, **digests: str) -> None:
    images = artifacts.read_images(paths.images)
    changed = tuple(replace(ref, digest=digests.get(ref.id, ref.digest)) for ref in images.images)
    artifacts.write_images(paths.images, replace(images, images=changed))


def rename_image(paths: CampaignPaths, before: str, after: str) -> None:
    images = artifacts.read_images(paths.images)
    changed = tuple(replace(ref, id=after) if ref.id == before else ref for ref in images.images)
    artifacts.write_images(paths.images, ImageSet(changed, images.classes))


def cut(paths: CampaignPaths, key: str, *image_ids: str, propose: bool = True) -> None:
    """Has the stage `batch` choose other images, and `learn` propose for them."""
    artifacts.write_batch(paths.batch(key), Batch(key, image_ids))
    if propose:
        known = artifacts.read_proposals(paths.proposals(key))
        boxes = dict(zip(image_ids, known.boxes.values(), strict=True))
        artifacts.write_proposals(paths.proposals(key), replace(known, boxes=boxes))


def state(text: str, key: str) -> str:
    row = next(line for line in text.splitlines() if line.startswith(f"{key} "))
    return row.split(maxsplit=3)[3]


def last(text: str) -> str:
    return text.splitlines()[-1]


def test_labels_that_count_leave_a_batch_done(paths: CampaignPaths) -> None:
    text = status_text(paths, people_params())
    assert (state(text, "b00"), state(text, "b01")) == ("done", "done")
    assert last(text) == "Next: boxloop review b02   (2 images wait for a person)"
    assert "Take note" not in text


def test_a_labeled_image_of_other_pixels_waits_in_its_batch(paths: CampaignPaths) -> None:
    change_images(paths, img01="other pixels")
    text = status_text(paths, people_params())
    assert state(text, "b00") == "1 of 2 images submitted"
    assert state(text, "b01") == "done"
    assert text.startswith("2 of 6 images are labeled, with 6 objects, in 1 of 3 batches.")
    assert last(text) == "Next: boxloop review b00   (1 image waits for a person)"


def test_the_same_where_dvc_alone_holds_the_labels(paths: CampaignPaths) -> None:
    for path in paths.reviews.iterdir():
        path.unlink()
    assert state(status_text(paths, people_params()), "b00") == "done"
    change_images(paths, img01="other pixels")
    text = status_text(paths, people_params())
    assert state(text, "b00") == "1 of 2 images submitted"
    assert last(text) == "Next: boxloop review b00   (1 image waits for a person)"


@pytest.mark.parametrize("new", ["lynx", "dog"])
def test_a_class_change_that_was_taken_back_is_told(paths: CampaignPaths, new: str) -> None:
    """What DVC has not made anew follows it still: 'lynx' is no class, 'dog' another one."""
    made = artifacts.read_corrections(paths.corrections("b00"))
    entry = "20240102T000000000000Z-rename.classes.json"
    made = replace(made, boxes=rename(made.boxes, "cat", new), changes=(entry,))
    artifacts.write_corrections(paths.corrections("b00"), made)
    text = status_text(paths, people_params())
    assert (state(text, "b00"), state(text, "b01")) == ("done", "done")
    assert (
        "- data/corrections/b00.json follows a change of classes that was taken back since: 'dvc"
        " repro --single-item --force dataset, then dvc repro' goes by what people submitted\n"
        in text
    )
    assert last(text).startswith("Next: dvc repro --single-item --force dataset, then dvc repro  ")


def test_a_class_change_that_was_taken_back_and_renamed_no_box_is_not_told(
    paths: CampaignPaths,
) -> None:
    made = artifacts.read_corrections(paths.corrections("b00"))
    made = replace(made, changes=("20240102T000000000000Z-rename.classes.json",))
    artifacts.write_corrections(paths.corrections("b00"), made)
    text = status_text(paths, people_params())
    assert "taken back" not in text
    assert "dvc repro --single-item" not in text


def rename(table: BoxesByImage, old: str, new: str) -> dict[str, Boxes]:
    return {
        i: replace(b, labels=np.where(b.labels == old, new, b.labels)) for i, b in table.items()
    }


def test_a_labeled_image_by_another_name_is_taken_over(paths: CampaignPaths) -> None:
    rename_image(paths, "img01", "new")
    cut(paths, "b00", "img00", "new")
    text = status_text(paths, people_params())
    assert state(text, "b00") == "2 of 2 images submitted"
    assert last(text) == "Next: dvc repro   (takes over the labels of b00)"


def test_two_labeled_files_that_were_swapped_are_taken_over(paths: CampaignPaths) -> None:
    now = artifacts.read_images(paths.images).by_id()
    change_images(paths, img00=now["img01"].digest, img01=now["img00"].digest)
    text = status_text(paths, people_params())
    assert state(text, "b00") == "2 of 2 images submitted"
    assert last(text) == "Next: dvc repro   (takes over the labels of b00)"


def test_labels_of_a_class_that_is_gone_wait(paths: CampaignPaths) -> None:
    images = artifacts.read_images(paths.images)
    artifacts.write_images(paths.images, replace(images, classes=("cat",)))
    text = status_text(paths, people_params())
    assert state(text, "b00") == "proposals wait for review"
    assert last(text) == "Next: boxloop review b00   (2 images wait for a person)"


def test_a_batch_of_other_images_is_proposed_for_and_then_waits(paths: CampaignPaths) -> None:
    """All batches change at once, and DVC stops at the first one that waits."""
    cut(paths, "b00", "img00", "img05", propose=False)
    cut(paths, "b01", "img01", "img02", propose=False)
    assert last(status_text(paths, people_params())) == (
        "Next: dvc repro   (goes on with 'propose' of b00)"
    )
    cut(paths, "b00", "img00", "img05")
    text = status_text(paths, people_params())
    assert state(text, "b00") == "1 of 2 images submitted"
    assert last(text) == "Next: boxloop review b00   (1 image waits for a person)"
    assert "data/corrections/b01.json is of other images than" in text
    # No label is lost: those that count are told, and the second batch is not what is next.
    assert text.startswith(
        "0 of 6 images are labeled, with 0 objects, in 0 of 3 batches. Labels of 3 more are there,"
        " and count once their batches are done. 1 more is labeled, and in no batch: it counts once"
        " more iterations are listed.\n"
    )
    assert state(text, "b01") == "waits for the batch before it"


def test_without_the_list_of_images_nobody_is_sent_to_a_review(paths: CampaignPaths) -> None:
    """A stage `dataset` that failed: DVC has removed what it was about to write."""
    paths.images.unlink()
    assert last(status_text(paths, people_params())) == (
        "Next: dvc repro   (brings everything up to date)"
    )


def test_a_batch_of_images_that_are_gone_is_cut_first(paths: CampaignPaths) -> None:
    images = artifacts.read_images(paths.images)
    artifacts.write_images(paths.images, replace(images, images=images.images[:-1]))
    text = status_text(paths, people_params())
    assert (
        "- data/batches/b02.json lists images that are not in data/images.json now: 'dvc repro'"
        " cuts the batches anew" in text
    )
    assert last(text) == "Next: dvc repro   (brings everything up to date)"


def test_classes_that_were_listed_since_come_in_first(paths: CampaignPaths) -> None:
    listed = {"dataset": {"classes": ["cat", "dog", "owl"], "path": "photos"}}
    params = small_params(3, review={"annotator": "fiftyone"}, **listed)
    text = status_text(paths, params)
    assert "has cat, dog: 'dvc repro dataset' brings them in" in text
    assert last(text) == "Next: dvc repro   (brings everything up to date)"


def test_labels_that_must_be_merged_anew_do_not_hide_an_earlier_batch_that_waits(
    paths: CampaignPaths,
) -> None:
    """'dvc repro' stops at b00: what of b01 is older than b00 is not next."""
    redone = artifacts.read_labeled(paths.labeled("b00"))
    fewer = {**redone.boxes, "img01": redone.boxes["img01"].select([0])}
    artifacts.write_labeled(
        paths.labeled("b00"), replace(redone, boxes=fewer), paths.labeled("empty")
    )
    change_images(paths, img01="other pixels")
    text = status_text(paths, people_params())
    assert "data/labeled/b01.parquet is older than data/labeled/b00.parquet" in text
    assert last(text) == "Next: boxloop review b00   (1 image waits for a person)"


def test_corrections_that_nothing_merged_come_first(paths: CampaignPaths) -> None:
    """As after 'boxloop review --collect' and 'account' by hand, or an edit of the file itself."""
    made = artifacts.read_corrections(paths.corrections("b00"))
    moved = replace(made.boxes["img01"], xyxy=made.boxes["img01"].xyxy + 1)
    boxes = {**made.boxes, "img01": moved}
    artifacts.write_corrections(paths.corrections("b00"), replace(made, boxes=boxes))
    write_json(paths.metrics, {})
    for batches in (2, 3):  # the next one waits for people, or there is none
        text = status_text(paths, people_params(batches))
        assert (
            "- data/labeled/b00.parquet is older than data/corrections/b00.json, of which it is"
            " made: 'dvc repro' merges them again" in text
        )
        assert last(text) == "Next: dvc repro   (brings everything up to date)"


# --- newer labels ---------------------------------------------------------------------------------


def submit_again(paths: CampaignPaths, key: str, reviewer: str = "fay") -> None:
    made = artifacts.read_corrections(paths.corrections(key))
    submissions.append(paths.reviews, replace(made, reviewer=reviewer, finished=LATER))


def test_newer_labels_come_next_by_the_command_that_brings_them_in(paths: CampaignPaths) -> None:
    """DVC does not watch the journal: a plain 'dvc repro' is up to date."""
    submit_again(paths, "b01")
    assert last(status_text(paths, people_params())) == (
        "Next: dvc repro --single-item --force finish@b01, then dvc repro"
        "   (brings newer labels in)"
    )
    submit_again(paths, "b00", "bob")
    assert last(status_text(paths, people_params())) == (
        "Next: dvc repro --single-item --force finish@b00 finish@b01, then dvc repro"
        "   (brings newer labels in)"
    )


def test_the_same_in_a_finished_campaign(paths: CampaignPaths) -> None:
    write_json(paths.metrics, {})
    submit_again(paths, "b01")
    assert last(status_text(paths, people_params(2))) == (
        "Next: dvc repro --single-item --force finish@b01, then dvc repro"
        "   (brings newer labels in)"
    )


def test_newer_labels_wait_while_an_earlier_batch_does(paths: CampaignPaths) -> None:
    submit_again(paths, "b01")
    change_images(paths, img01="other pixels")
    text = status_text(paths, people_params())
    assert last(text) == "Next: boxloop review b00   (1 image waits for a person)"
    assert "'dvc repro --single-item --force finish@b01' brings them in" in text


# --- labels in no batch ---------------------------------------------------------------------------


def test_labels_that_are_in_no_batch_are_told(paths: CampaignPaths) -> None:
    write_json(paths.metrics, {})
    text = status_text(paths, people_params(1))
    assert text.startswith(
        "2 of 6 images are labeled, with 5 objects, in 1 of 1 batches. 2 more are labeled, and in"
        " no batch: they count once more iterations are listed.\n"
    )
    assert last(text) == (
        "4 images are in no batch: list more iterations in params.yaml, then dvc repro (2 of them"
        " are labeled, and count in no batch)"
    )


def test_they_are_told_while_batches_wait(paths: CampaignPaths) -> None:
    cut(paths, "b01", "img02", "img04")
    cut(paths, "b02", "img05", propose=False)
    assert " 1 more is labeled, and in no batch: " in status_text(paths, people_params())


def test_the_stage_tells_of_labels_that_are_in_no_batch_any_more(
    paths: CampaignPaths,
) -> None:
    first, second = (artifacts.read_batch(paths.batch(key)).image_ids for key in ("b00", "b01"))
    assert outside.count_labeled(paths, [*first, *second]) == 0
    assert outside.count_labeled(paths, first) == 2
    for path in paths.reviews.iterdir():
        path.unlink()
    assert outside.count_labeled(paths, first) == 2  # DVC still holds them
    change_images(paths, img02="other pixels")
    assert outside.count_labeled(paths, first) == 1
    paths.images.unlink()
    assert outside.count_labeled(paths, first) == 0
    way = "list more iterations"
    assert outside.in_words(4, 0, way, " yet") == f"4 images are in no batch yet: {way}"
    assert outside.in_words(2, 1, way, " yet") == (
        f"2 images are in no batch yet: {way} (1 of them is labeled, and counts in no batch)"
    )


# --- words ----------------------------------------------------------------------------------------


def import_instead(paths: CampaignPaths) -> Corrections:
    """Puts imported labels in the place of b00's: they are of no batch of their own."""
    path = next(paths.reviews.glob("b00-*"))
    made = artifacts.read_corrections(path)
    path.unlink()
    offered: Proposals = replace(made.proposals, batch=GIVEN)
    imported: Corrections = replace(made, proposals=offered)
    submissions.append(paths.reviews, imported, kept=True)
    return imported


def test_the_batch_to_label_anew_is_named_where_it_is_known(paths: CampaignPaths) -> None:
    import_instead(paths)
    change_images(paths, img01="other pixels")
    text = status_text(paths, people_params())
    assert "label it anew ('boxloop review b00'; with --redo" in text
    assert "BATCH" not in text


def test_of_an_image_in_no_batch_no_batch_is_named(paths: CampaignPaths) -> None:
    imported = import_instead(paths)
    cut(paths, "b00", "img00", "img05")
    change_images(paths, img01="other pixels")
    text = status_text(paths, people_params())
    assert "label it anew (once it is in a batch: list more iterations)" in text
    assert "BATCH" not in text
    change_images(paths, img01=imported.digests["img01"])
    other = imported.part(["img01"])
    twin = {"img01": Boxes.build([(1, 1, 5, 5)], ["dog"])}
    artifacts.write_corrections(
        paths.reviews / "given-20240101T120000000000Z-eve.json",
        replace(other, boxes=twin, finished=imported.finished),
    )
    text = status_text(paths, people_params())
    assert "neither counts there: move the wrong one out of that folder\n" in text


def test_the_batch_that_an_image_is_in_today_is_named(paths: CampaignPaths) -> None:
    change_images(paths, img01="other pixels")
    cut(paths, "b00", "img00", "img02")
    cut(paths, "b01", "img01", "img03")
    assert "label it anew ('boxloop review b01'; with --redo" in status_text(paths, people_params())


def test_proposals_for_other_pixels_are_made_anew_before_anybody_reviews(
    paths: CampaignPaths,
) -> None:
    path, now = paths.proposals("b02"), artifacts.read_images(paths.images).by_id()
    made = artifacts.read_proposals(path)
    artifacts.write_proposals(path, made, {i: now[i].digest for i in made.boxes})
    waits = "Next: boxloop review b02   (2 images wait for a person)"
    assert last(status_text(paths, people_params())) == waits
    change_images(paths, img04="0" * 64)
    text = status_text(paths, people_params())
    assert state(text, "b02") == "detector is trained, proposing is next"
    assert "- data/proposals/b02.json is for other pixels than its images have now: 'dvc r" in text
    assert last(text).startswith("Next: dvc repro")


def test_imported_boxes_whose_pixels_are_gone_are_told_again(paths: CampaignPaths) -> None:
    """As the stages said once: nobody is shown these boxes."""
    now = {ref.id: ref.digest for ref in artifacts.read_images(paths.images).images}
    one = Boxes.build([(2, 2, 9, 9)], ["cat"], [0.9])
    labels = {i: replace(one, scores=None) for i in ("img04", "img05")}
    write_json(paths.root / "params.yaml", people_params().model_dump(mode="json"))
    place = paths.root / "params.yaml"
    existing.keep(paths, people_params(), place, "b02", labels, {i: now[i] for i in labels})
    batch = artifacts.read_batch(paths.batch("b02"))
    given.keep(paths, place, batch, dict.fromkeys(labels, one), {i: now[i] for i in labels})
    params = load_params(place)
    listed = params.iterations["b02"].proposals
    artifacts.write_batch(paths.batch("b02"), replace(batch, given=listed))
    assert "Take note" not in status_text(paths, params)
    change_images(paths, img04="0" * 64)
    text = status_text(paths, params)
    [file] = (paths.root / "proposals").glob("labels-*.json")
    assert f"- proposals/{file.name} has labels of image img04 whose pixels are not in the" in text
    assert "- proposals/b02.json has proposals for other pixels than image img04 of b02 has" in text
    assert last(text) == "Next: boxloop review b02   (2 images wait for a person)"
