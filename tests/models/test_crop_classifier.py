"""Classes by the labeled crops most alike."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from boxloop.core.threshold import FITTED_TO_NOTHING
from boxloop.core.types import Boxes, ImageRef, Proposals
from boxloop.datasets.images import read_image
from boxloop.errors import ArtifactError, DatasetError
from boxloop.files import file_digest
from boxloop.models import crop_classifier
from boxloop.models.crop_classifier import CropClassifier, with_crops
from boxloop.models.features import load_network
from boxloop.params import FeaturesParams
from builders_detectors import drawn


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("scenes"), 8, seed=2)


def unnamed(truth, ids, score=0.64):
    """The true places, all called squares."""
    return {i: Boxes(truth[i].xyxy, ["square"] * 2, ["p0", "p1"], np.full(2, score)) for i in ids}


def plain(labeled, refs, boxes, ref):
    """The classes and shares of votes of one image's boxes, by plain loops and torch alone."""
    backbone = load_network(
        FeaturesParams(network="tf_efficientnet_lite0", weights="in1k", input_size=96), None
    ).eval()

    def vector(ref, box):
        pixels = torch.from_numpy(read_image(Path(ref.path))).permute(2, 0, 1)
        margin = 0.1 * max(box[2] - box[0], box[3] - box[1])
        x1, y1 = int(np.floor(box[0] - margin)), int(np.floor(box[1] - margin))
        x2, y2 = int(np.ceil(box[2] + margin)), int(np.ceil(box[3] + margin))
        crop = torch.zeros(3, y2 - y1, x2 - x1, dtype=torch.uint8)
        for y in range(max(0, y1), min(ref.height, y2)):
            for x in range(max(0, x1), min(ref.width, x2)):
                crop[:, y - y1, x - x1] = pixels[:, y, x]
        small = torch.nn.functional.interpolate(
            crop[None], (96, 96), mode="bilinear", antialias=True
        )
        with torch.inference_mode():
            return backbone(small)[0].double().numpy()

    known = [
        (vector(r, b), n)
        for r in refs
        for b, n in zip(labeled[r.id].xyxy, labeled[r.id].labels, strict=True)
    ]
    mean = np.mean([v for v, _ in known], axis=0)
    result = []
    for box in boxes.xyxy:
        own = vector(ref, box) - mean
        similar = [
            (own @ (v - mean) / np.linalg.norm(own) / np.linalg.norm(v - mean), str(n))
            for v, n in known
        ]
        nearest = sorted(similar, reverse=True)[:10]
        votes = {}
        for value, name in nearest:
            votes[name] = votes.get(name, 0) + np.exp((value - nearest[0][0]) / 0.05)
        best = max(votes, key=votes.get)
        result.append((best, votes[best] / sum(votes.values())))
    return result


def test_classes_and_scores_by_plain_loops(scene):
    refs, truth = scene
    known, asked = refs[:5], refs[5:]
    classifier = CropClassifier({r.id: truth[r.id] for r in known}, known, "cpu")
    # One box reaches beyond the border with its margin; another is of no object.
    places = {
        r.id: [(0, 0, 30, 30), (40.5, 3.2, 70, 77), (80, 60, 96, 80), (2, 2, 9, 9)] for r in asked
    }
    boxes = {
        i: Boxes.build(p, ["disc"] * 4, [0.9, 0.5, 0.15, 0.14], prefix="p")
        for i, p in places.items()
    }
    found = classifier.classify(asked, boxes)
    for ref in asked:
        expected = plain(truth, known, boxes[ref.id].select(np.arange(3)), ref)
        assert found[ref.id].labels.tolist() == [*(name for name, _ in expected), "disc"]
        scores = [
            np.sqrt(s * share) for s, (_, share) in zip((0.9, 0.5, 0.15), expected, strict=True)
        ]
        np.testing.assert_allclose(found[ref.id].scores, [*scores, 0.14], atol=2e-4)
        np.testing.assert_array_equal(found[ref.id].xyxy, boxes[ref.id].xyxy)
        assert found[ref.id].ids.tolist() == ["p0", "p1", "p2", "p3"]


def test_true_places_get_their_classes(scene):
    refs, truth = scene
    known, asked = refs[:4], refs[4:]
    told = []
    classifier = CropClassifier({r.id: truth[r.id] for r in known}, known)
    boxes = unnamed(truth, [r.id for r in asked])
    found = classifier.classify(asked, boxes, lambda *step: told.append(step))
    assert {i: b.labels.tolist() for i, b in found.items()} == {
        r.id: truth[r.id].labels.tolist() for r in asked
    }
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_what_an_image_gets_depends_on_no_other(scene):
    refs, truth = scene
    classifier = CropClassifier({r.id: truth[r.id] for r in refs[:4]}, refs[:4])
    boxes = unnamed(truth, [r.id for r in refs[4:]])
    together = classifier.classify(refs[4:], boxes)
    alone = classifier.classify(refs[6:7], {refs[6].id: boxes[refs[6].id]})
    assert together[refs[6].id] == alone[refs[6].id]


def test_what_was_saved_tells_the_same(scene, tmp_path):
    refs, truth = scene
    classifier = CropClassifier({r.id: truth[r.id] for r in refs[:4]}, refs[:4])
    path = tmp_path / "crops.npz"
    classifier.save(path)
    first = path.read_bytes()
    classifier.save(path)
    assert path.read_bytes() == first
    loaded = CropClassifier.load(path, ("square", "disc"))
    boxes = unnamed(truth, [r.id for r in refs[4:]])
    made, again = (c.classify(refs[4:], boxes) for c in (classifier, loaded))
    for image_id in boxes:
        assert made[image_id].labels.tolist() == again[image_id].labels.tolist()
        np.testing.assert_allclose(made[image_id].scores, again[image_id].scores, atol=2e-3)


def test_files_that_hold_something_else_are_told(scene, tmp_path, monkeypatch):
    refs, truth = scene
    path = tmp_path / "crops.npz"
    with pytest.raises(ArtifactError, match=r"crops.npz is missing: 'boxloop deliver' writes"):
        CropClassifier.load(path, ("square", "disc"))
    path.write_bytes(b"not an archive")
    with pytest.raises(ArtifactError, match=r"crops.npz is damaged: 'boxloop deliver' writes"):
        CropClassifier.load(path, ("square", "disc"))
    np.savez(path, vectors=np.zeros((2, 3)))
    with pytest.raises(ArtifactError, match="is damaged"):
        CropClassifier.load(path, ("square", "disc"))
    CropClassifier({r.id: truth[r.id] for r in refs[:4]}, refs[:4]).save(path)
    with pytest.raises(ArtifactError, match="has the class disc, which the model has not"):
        CropClassifier.load(path, ("square",))
    with np.load(path) as content:
        rows = dict(content)
    np.savez(path, **{**rows, "labels": rows["labels"][1:]})
    with pytest.raises(ArtifactError, match="tables that do not fit each other"):
        CropClassifier.load(path, ("square", "disc"))
    np.savez(path, **rows)
    monkeypatch.setattr(crop_classifier, "_MADE_BY", "another network")
    with pytest.raises(ArtifactError, match="where another network is at hand"):
        CropClassifier.load(path, ("square", "disc"))


@pytest.mark.parametrize("score", [0.05, 0.15, 0.3, 0.5, 0.9, 1.0])
def test_no_box_that_could_reach_a_score_is_left_out(score):
    least = crop_classifier.least_score(score)
    for own in np.linspace(0.01, 1.0, 100):
        reached = np.sqrt(own) if own >= crop_classifier.LEAST else own
        if reached >= score:
            assert own >= least - 1e-9


def test_images_without_boxes_are_left_as_they_are(scene):
    refs, truth = scene
    nothing = Boxes.empty(scored=True)
    labeled = {refs[0].id: truth[refs[0].id], refs[1].id: Boxes.empty()}
    classifier = CropClassifier(labeled, refs[:2])
    assert classifier.classify(refs[2:3], {refs[2].id: nothing}) == {refs[2].id: nothing}


def test_of_many_labeled_crops_a_part_of_each_class_is_looked_at(scene, monkeypatch):
    _, truth = scene
    monkeypatch.setattr(crop_classifier, "MOST", 3)
    chosen = crop_classifier._some_of_each_class(truth)
    labels = np.concatenate([boxes.labels for boxes in chosen.values()]).tolist()
    assert sorted(labels) == ["disc"] * 3 + ["square"] * 3
    for image_id, boxes in chosen.items():
        assert set(map(tuple, boxes.xyxy.tolist())) <= set(
            map(tuple, truth[image_id].xyxy.tolist())
        )
    assert chosen == crop_classifier._some_of_each_class(truth)
    monkeypatch.setattr(crop_classifier, "MOST", 8)
    assert crop_classifier._some_of_each_class(truth) == truth


def test_proposals_keep_the_detectors_classes_until_crops_are_chosen(scene):
    refs, truth = scene
    boxes = unnamed(truth, [r.id for r in refs[4:]])
    made = Proposals("b01", "ssd", "", 0.05, boxes)
    known = {r.id: truth[r.id] for r in refs[:4]}
    found = with_crops(made, known, refs[:4], refs[4:])
    assert found.boxes == boxes
    assert (found.crops.used, found.crops.expected_saving) == (False, None)
    assert found.crops.found == FITTED_TO_NOTHING
    assert list(found.crops.other) == list(boxes)
    assert found.crops.other != boxes
    assert with_crops(made, {refs[0].id: Boxes.empty()}, refs[:1], refs[4:]) is made


def test_an_image_that_cannot_be_read_is_named(scene, tmp_path):
    refs, truth = scene
    path = tmp_path / "gone.png"
    Image.new("RGB", (96, 80)).save(path)
    gone = ImageRef("gone", str(path), 96, 80, file_digest(path))
    path.unlink()
    labeled = {refs[0].id: truth[refs[0].id], "gone": truth[refs[1].id]}
    with pytest.raises(DatasetError, match=r"gone\.png does not exist"):
        CropClassifier(labeled, (*refs[:1], gone))
