"""What leaves a campaign belongs to the images that are there now, whatever was read anew."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.delivery import read_labels
from boxloop.campaign.export.content import collect_labels, collect_proposals
from boxloop.core.types import Boxes, Corrections, ImageSet, LabeledSet
from boxloop.errors import ArtifactError
from boxloop.review.external.corrections import import_file
from boxloop.review.fiftyone.session_inputs import ReviewRequest, read_assignment
from builders_campaign import build_campaign, small_params

COCO = json.dumps(
    {
        "categories": [{"id": 1, "name": "cat"}],
        "images": [{"id": 1, "file_name": "img02.png", "width": 64, "height": 48}],
        "annotations": [],
    }
)

READERS = (collect_labels, read_labels)
"""What `boxloop export` and `boxloop deliver` begin with."""


def reviewed(root, done=2, through="workload", told=True):
    """A campaign of three batches, whose corrections tell of which pixels they are."""
    params = small_params(3)
    paths = build_campaign(root, params, done=done, annotator="import", through=through)
    digests = {ref.id: ref.digest for ref in artifacts.read_images(paths.images).images}
    for key in list(params.iterations)[:done]:
        made = artifacts.read_corrections(paths.corrections(key))
        own = {i: digests[i] for i in made.boxes} if told else {}
        artifacts.write_corrections(paths.corrections(key), replace(made, digests=own))
    return paths, params


def read_anew(paths, **digests):
    """What ``boxloop dataset`` writes once files have other pixels; None for one that is gone."""
    images = artifacts.read_images(paths.images)
    refs = (replace(ref, digest=digests.get(ref.id, ref.digest)) for ref in images.images)
    kept = tuple(ref for ref in refs if ref.digest is not None)
    artifacts.write_images(paths.images, ImageSet(kept, images.classes))


def swap(paths, one, other):
    found = artifacts.read_images(paths.images).by_id()
    read_anew(paths, **{one: found[other].digest, other: found[one].digest})


def require_refused(read, paths, params, reason):
    with pytest.raises(ArtifactError) as refused:
        read(paths, params)
    said = str(refused.value)
    assert reason in said
    assert "run 'dvc repro' first" in said


@pytest.mark.parametrize("read", READERS)
def test_labels_of_images_that_changed_places_do_not_leave(tmp_path, read):
    paths, params = reviewed(tmp_path)
    read(paths, params)
    swap(paths, "img00", "img01")
    reason = "labels other pixels than image img00 has now"
    require_refused(read, paths, params, f"{paths.corrections('b00')} {reason}")


@pytest.mark.parametrize("read", READERS)
def test_labels_of_replaced_pixels_do_not_leave(tmp_path, read):
    paths, params = reviewed(tmp_path)
    read_anew(paths, img03="0" * 64)
    with pytest.raises(ArtifactError, match=r"b01\.json labels other pixels than image img03 has"):
        read(paths, params)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("read", READERS)
def test_labels_of_an_image_that_is_gone_are_one_sentence(tmp_path, read, told):
    paths, params = reviewed(tmp_path, told=told)
    read_anew(paths, img03=None)
    require_refused(read, paths, params, f"{paths.corrections('b01')} labels image img03")


@pytest.mark.parametrize("read", READERS)
def test_corrections_that_tell_no_pixels_count_by_name(tmp_path, read):
    """As the simulated annotator's do, and those of older versions."""
    paths, params = reviewed(tmp_path, told=False)
    swap(paths, "img00", "img01")
    read(paths, params)


def test_an_image_that_no_batch_of_the_export_labels_may_change(tmp_path):
    paths, params = reviewed(tmp_path)
    read_anew(paths, img04="0" * 64, img05=None)
    assert len(collect_labels(paths, params).images) == 4


def test_a_person_is_named_once(tmp_path):
    """Corrections join the names of all people of their batch."""
    paths, params = reviewed(tmp_path, done=3)
    for key, names in (("b00", "eve"), ("b01", "eve, ann"), ("b02", "bob, ann")):
        made = artifacts.read_corrections(paths.corrections(key))
        artifacts.write_corrections(paths.corrections(key), replace(made, reviewer=names))
    assert collect_labels(paths, params).about.endswith("reviewed by eve, ann, bob")


def submit(paths, key, when, **fields):
    """Puts what is proposed for a batch into the journal, as its labels."""
    offered = artifacts.read_proposals(paths.proposals(key))
    boxes = {i: Boxes(b.xyxy, b.labels, b.ids) for i, b in offered.boxes.items()}
    made = Corrections(
        offered,
        0.5,
        "import",
        boxes,
        finished=f"2024-02-01T12:00:{when:02d}+00:00",
        **fields,
    )
    submissions.append(paths.reviews, made)


def test_proposals_go_by_the_labels_that_count(tmp_path):
    """An image that has other pixels since it was submitted waits, and is shown again."""
    paths, params = reviewed(tmp_path, done=1, through="proposals")
    now = {ref.id: ref.digest for ref in artifacts.read_images(paths.images).images}
    submit(paths, "b01", 1, digests={"img02": now["img02"], "img03": "0" * 64})
    content = collect_proposals(paths, params, "b01")
    assert "1 of these images are labeled already" in content.about
    assert set(content.boxes) == {"img02", "img03"}


def test_people_are_not_shown_proposals_for_other_pixels(tmp_path):
    """In the App, and where proposals are exported or corrections come in."""
    paths, params = reviewed(tmp_path, done=1, through="proposals")
    made = artifacts.read_proposals(paths.proposals("b01"))
    now = {ref.id: ref.digest for ref in artifacts.read_images(paths.images).images}
    artifacts.write_proposals(paths.proposals("b01"), made, {i: now[i] for i in made.boxes})
    params = params.model_copy(
        update={"review": params.review.model_copy(update={"annotator": "fiftyone"})}
    )
    (tmp_path / "back.json").write_text(COCO)
    calls = (
        lambda: collect_proposals(paths, params, "b01"),
        lambda: read_assignment(paths, params, ReviewRequest("b01", "ann")),
        lambda: import_file(paths, params, tmp_path / "back.json"),
    )
    read_anew(paths, img00="0" * 64)
    calls[0](), calls[1]()
    read_anew(paths, img03="0" * 64)
    for call in calls:
        with pytest.raises(ArtifactError) as refused:
            call()
        said = f"{paths.proposals('b01')} has boxes for other pixels than image img03 has now: "
        assert str(refused.value).startswith(f"{said}run 'dvc repro' first")


def test_proposals_leave_out_trusted_labels_that_count_alone(tmp_path):
    paths, params = reviewed(tmp_path, done=1, through="proposals")
    now = {ref.id: ref.digest for ref in artifacts.read_images(paths.images).images}
    digests = {"img02": now["img02"], "img03": "0" * 64}
    submit(paths, "b01", 1, digests=digests, given=("img02", "img03"))
    content = collect_proposals(paths, params, "b01")
    assert set(content.boxes) == {"img03"}
    assert content.about.endswith("not checked by anyone yet")


def test_proposals_know_labels_that_dvc_alone_holds(tmp_path):
    """As 'import-corrections' does, which asks for --redo then."""
    paths, params = reviewed(tmp_path, done=2)
    content = collect_proposals(paths, params, "b01")
    assert "2 of these images are labeled already" in content.about


def cut(paths, params, key):
    """Takes the last batch out, as after ``dvc repro`` with fewer iterations; its labels stay."""
    made = artifacts.read_corrections(paths.corrections(key))
    submissions.append(paths.reviews, made)
    left = {k: turn for k, turn in params.iterations.items() if k != key}
    paths.batch(key).unlink()
    return params.model_copy(update={"iterations": left})


def test_labels_that_are_in_no_batch_are_told(tmp_path):
    paths, params = reviewed(tmp_path, done=3)
    assert "in no batch" not in collect_labels(paths, params).about
    fewer = cut(paths, params, "b02")
    content = collect_labels(paths, fewer)
    assert len(content.images) == 4
    assert content.about.endswith(
        "; 2 labeled images are in no batch, and not in this export: list more iterations"
    )
    read_anew(paths, img05=None)
    assert "; 1 labeled image is in no batch," in collect_labels(paths, fewer).about
    read_anew(paths, img04="0" * 64)  # its labels count no more
    assert "in no batch" not in collect_labels(paths, fewer).about


@pytest.mark.parametrize("read", READERS)
def test_the_datasets_own_boxes_are_those_of_today(tmp_path, read):
    """Simulated corrections tell no pixels; what they hand back is read with the images."""
    params = small_params(3)
    paths = build_campaign(tmp_path, params, done=2)
    read(paths, params)
    truth = artifacts.read_truth(paths.truth)
    truth |= {"img00": truth["img01"], "img01": truth["img00"]}
    artifacts.write_truth(paths.truth, truth)
    with pytest.raises(ArtifactError) as refused:
        read(paths, params)
    said = str(refused.value)
    assert f"{paths.corrections('b00')} has other boxes of image img00 than {paths.truth}" in said
    assert "run 'dvc repro' first" in said
    artifacts.write_truth(paths.truth, None)  # nothing to hold them against
    read(paths, params)


@pytest.mark.parametrize("read", READERS)
def test_trusted_boxes_are_those_of_today(tmp_path, read):
    paths, params = reviewed(tmp_path)
    params = params.model_copy(
        update={"dataset": params.dataset.model_copy(update={"labels": "trusted"})}
    )
    truth = artifacts.read_truth(paths.truth)
    start = paths.labeled("empty")
    given = LabeledSet(("cat", "dog"), ("given",), {"img05": truth["img05"]})
    artifacts.write_labeled(start, given)
    for before, key in (("empty", "b00"), ("b00", "b01")):
        own = artifacts.read_corrections(paths.corrections(key)).boxes
        made = LabeledSet(("cat", "dog"), (key,), own)
        artifacts.write_labeled(paths.labeled(key), made, paths.labeled(before))
    read(paths, params)
    artifacts.write_truth(paths.truth, truth | {"img05": truth["img00"]})
    with pytest.raises(ArtifactError, match=r"empty\.parquet has other boxes of image img05 than"):
        read(paths, params)
