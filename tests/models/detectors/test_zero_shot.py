"""Foundation models that find what texts name: whose box is which class, and what is refused."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

import boxloop
from boxloop.core.types import ImageRef
from boxloop.datasets.images import read_image
from boxloop.errors import ParamsError, WeightsError
from boxloop.files import file_digest
from boxloop.models.detectors.transformers import zero_shot
from boxloop.models.detectors.transformers.asking import Answer, grounding_dino
from boxloop.params import FirstParams
from builders_detectors import CLASSES, drawn
from builders_transformers import tiny
from builders_zero_shot import (
    grounding_dino as tiny_grounding_dino,
)
from builders_zero_shot import mm_grounding_dino, omdet_turbo, owlv2, owlvit, save, tiny_zero_shot

transformers = pytest.importorskip("transformers")

PROMPTS = {"square": "a red square", "disc": "a disc"}
PHRASES = list(PROMPTS.values())
KINDS = (
    tiny_grounding_dino,
    pytest.param(mm_grounding_dino, marks=pytest.mark.slow),
    omdet_turbo,
    owlv2,
    owlvit,
)


def load(make=owlv2, classes=CLASSES, **changes):
    given = {"model": str(tiny_zero_shot(make)), "prompts": PROMPTS, **changes}
    return zero_shot.load(FirstParams(**given), classes, "cpu")


def parts(make):
    """The network and its processor, as the library loads them."""
    folder = tiny_zero_shot(make)
    network = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    return network, transformers.AutoProcessor.from_pretrained(folder)


@pytest.mark.parametrize("make", KINDS)
def test_boxes_are_those_of_the_library_and_lie_in_their_image(make, tmp_path):
    """Of its own decoding: every box is there, with its score and the number of its phrase."""
    refs, _ = drawn(tmp_path, 1, (150, 100))
    (found,) = load(make).propose(refs, score_floor=0.01, batch_size=1).values()
    assert len(found) > 0
    assert found.ids.tolist() == [f"p{place}" for place in range(len(found))]
    assert set(found.labels.tolist()) <= set(CLASSES)
    assert (found.xyxy >= 0).all()
    assert (found.xyxy <= [150, 100, 150, 100]).all()
    assert (np.diff(found.scores) <= 0).all()
    assert ((found.scores >= 0.01) & (found.scores <= 1)).all()

    network, processor = parts(make)
    pixels = read_image(refs[0].path)
    asked = processor(images=pixels, text=[PHRASES], return_tensors="pt")
    with torch.inference_mode():
        output = network(**asked)
    texts = {} if "grounding" in network.config.model_type else {"text_labels": [PHRASES]}
    (theirs,) = processor.post_process_grounded_object_detection(
        output, threshold=0.0, target_sizes=[(100, 150)], **texts
    )
    limits = torch.tensor([150.0, 100.0, 150.0, 100.0])
    boxes = torch.minimum(theirs["boxes"].clamp(min=0), limits).numpy()
    for xyxy, score, label in zip(found.xyxy, found.scores, found.labels, strict=True):
        near = np.abs(boxes - xyxy).max(axis=1) < 0.02
        assert near.any()
        scores = theirs["scores"].numpy()[near]
        if texts:
            names = [name for name, one in zip(theirs["text_labels"], near, strict=True) if one]
            assert any(
                name == PROMPTS[label] and abs(its - score) < 1e-4
                for name, its in zip(names, scores, strict=True)
            )
        else:  # the library's is that of the best token, which may be a dot
            assert (scores > score - 1e-4).any()


@pytest.mark.parametrize("make", [tiny_grounding_dino, owlv2])
def test_the_same_again_and_in_batches_of_any_size(make, tmp_path):
    refs, _ = drawn(tmp_path, 3, (96, 80))
    seen = []
    detector = load(make)
    one = detector.propose(refs, score_floor=0.01, batch_size=1, progress=lambda *n: seen.append(n))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert list(one) == [ref.id for ref in refs]
    assert load(make).propose(refs, score_floor=0.01, batch_size=1) == one
    many = detector.propose(refs, score_floor=0.01, batch_size=2)
    for name, boxes in one.items():
        assert many[name].labels.tolist() == boxes.labels.tolist()
        np.testing.assert_allclose(many[name].xyxy, boxes.xyxy, atol=0.05)
        np.testing.assert_allclose(many[name].scores, boxes.scores, atol=1e-3)


@pytest.mark.parametrize(("make", "sides"), [(owlvit, (150, 100)), (owlv2, (150, 150))])
def test_fractions_are_of_the_image_or_of_a_square_around_it(make, sides, tmp_path):
    refs, truth = drawn(tmp_path, 1, (150, 100))
    x1, y1, x2, y2 = torch.tensor(truth["image0"].xyxy, dtype=torch.float32).T
    width, height = sides
    centres = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height]
    answer = transformers.modeling_outputs.ModelOutput()
    answer["pred_boxes"] = torch.stack([*centres, (x2 - x1) / width, (y2 - y1) / height], dim=1)[
        None
    ]
    answer["logits"] = torch.tensor([[[9.0, -9.0], [-9.0, 9.0]]])
    network, processor = parts(make)
    ask = zero_shot.ASKED[network.config.model_type](network, processor, PHRASES)
    network.forward = lambda **_: answer
    detector = zero_shot.ZeroShotDetector("x", CLASSES, ask, torch.device("cpu"))
    (found,) = detector.propose(refs, score_floor=0.5, batch_size=1).values()
    assert found.labels.tolist() == truth["image0"].labels.tolist() == ["square", "disc"]
    np.testing.assert_allclose(found.xyxy, truth["image0"].xyxy, atol=0.02)


def told(network, processor, phrases, rows):
    """What Grounding DINO is understood to say, which answers with logits by word."""
    ask, asked = grounding_dino(network, processor, phrases), []

    def forward(input_ids, **_):
        words = processor.tokenizer.convert_ids_to_tokens(input_ids[0].tolist())
        asked.append(words)
        logits = torch.full((1, len(rows), network.config.max_text_len), -torch.inf)
        for number, row in enumerate(rows):
            phrase = 0
            for place, word in enumerate(words):
                logits[0, number, place] = row.get((phrase, word), row.get(word, -9.0))
                phrase += word == "."
        answer = transformers.modeling_outputs.ModelOutput()
        answer["logits"] = logits
        answer["pred_boxes"] = torch.rand(1, len(rows), 4)
        return answer

    network.forward = forward
    return ask([torch.zeros(3, 64, 64, dtype=torch.uint8)]), asked


@pytest.mark.parametrize("phrases", [["red car", "car"], ["car", "red car"]])
def test_classes_that_share_a_word_are_told_apart(phrases):
    """The first object is a red car, the second a car that is not red."""
    rows = [{"red": 2.0, "car": 2.0, (phrases.index("car"), "car"): 1.0}, {"red": -3.0, "car": 2.0}]
    answer, asked = told(*parts(tiny_grounding_dino), phrases, rows)
    joined = " . ".join(phrases).split()
    assert asked == [["[CLS]", *joined, ".", "[SEP]"]]
    assert [phrases[i] for i in answer.phrases[0].tolist()] == ["red car", "car"]
    np.testing.assert_allclose(answer.scores[0], torch.tensor([2.0, 2.0]).sigmoid())


def test_more_classes_than_the_network_reads_at_once_are_asked_in_turn():
    network, processor = parts(tiny_grounding_dino)
    network.config.max_text_len = 10
    phrases = ["red car", "dog", "a cat", "the car", "disc"]
    best = {"dog": 3.0, "cat": 2.0, "disc": 1.0}
    answer, asked = told(network, processor, phrases, [best])
    assert [" ".join(words[1:-1]) for words in asked] == [
        "red car . dog . a cat .",
        "the car . disc .",
    ]
    assert [phrases[i] for i in answer.phrases[0].tolist()] == ["dog", "disc"]


def test_a_dot_in_a_prompt_ends_no_phrase():
    _, asked = told(*parts(tiny_grounding_dino), ["a. red car?", "Dog"], [{}])
    assert asked == [["[CLS]", "a", "red", "car", ".", "dog", ".", "[SEP]"]]


def test_what_is_not_finite_is_left_out_and_what_repeats_is_shown_once(tmp_path):
    refs, _ = drawn(tmp_path, 1, (100, 100))
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.2]] * 4 + [[2.0, 2.0, 0.1, 0.1]])[None]
    boxes[0, 1, 0] = torch.nan
    boxes[0, 2, 0] = 0.51
    scores = torch.tensor([[0.9, 0.95, 0.8, torch.nan, 0.7]])
    answer = Answer(boxes, scores, torch.tensor([[1, 1, 1, 1, 0]]))
    detector = zero_shot.ZeroShotDetector("x", CLASSES, lambda _: answer, torch.device("cpu"))
    (found,) = detector.propose(refs, score_floor=0.1, batch_size=1).values()
    assert found.xyxy.tolist() == [[40, 40, 60, 60]]
    assert found.scores.tolist() == [0.9]
    assert found.labels.tolist() == ["disc"]


def test_photos_are_seen_upright(tmp_path):
    exif, path, shapes = Image.Exif(), tmp_path / "a.jpg", []
    exif[0x0112] = 6
    Image.new("RGB", (90, 40)).save(path, exif=exif)

    def ask(images):
        shapes.extend(tuple(image.shape) for image in images)
        none = torch.zeros(1, 0)
        return Answer(torch.zeros(1, 0, 4), none, none.long())

    detector = zero_shot.ZeroShotDetector("x", CLASSES, ask, torch.device("cpu"))
    ref = ImageRef("a", str(path), 40, 90, file_digest(path))
    found = detector.propose([ref], score_floor=0.1, batch_size=1)
    assert shapes == [(3, 90, 40)]
    assert len(found["a"]) == 0


def test_a_class_without_a_prompt_is_asked_by_its_name_and_null_leaves_it_out(tmp_path):
    detector = load(classes=("square", "cat", "disc"), prompts={"square": None})
    assert detector.classes == ("cat", "disc")
    refs, _ = drawn(tmp_path, 1)
    (found,) = detector.propose(refs, score_floor=0.0, batch_size=1).values()
    assert set(found.labels.tolist()) <= {"cat", "disc"}


def test_notebooks_load_and_use_it_too(tmp_path):
    refs, _ = drawn(tmp_path, 2)
    model = boxloop.load_zero_shot(str(tiny_zero_shot()), CLASSES, prompts=PROMPTS, device="cpu")
    found = boxloop.propose(model, refs, score_floor=0.1, batch_size=2)
    assert found.detector == "zero-shot owlv2"
    assert found.boxes == load().propose(refs, score_floor=0.1, batch_size=2)


# --- what cannot be used ---


def refused(error, **changes):
    with pytest.raises(error) as raised:
        load(**changes)
    sentence = str(raised.value)
    assert "\n" not in sentence
    return sentence


WAYS_OUT = ("save_pretrained", "IDEA-Research/grounding-dino-tiny", "take propose.first out")


@pytest.mark.parametrize("name", ["none", "nowhere/at/all"])
def test_what_is_neither_a_folder_nor_a_name_of_the_hub(name):
    said = refused(WeightsError, model=name)
    assert said.startswith(f"propose.first.model: '{name}' is not a network of transformers")
    assert all(way in said for way in WAYS_OUT)


def test_a_hub_that_cannot_be_reached(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    said = refused(WeightsError, model="IDEA-Research/grounding-dino-tiny")
    assert "'IDEA-Research/grounding-dino-tiny' is no folder here, and could not be down" in said
    assert all(way in said for way in WAYS_OUT)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    said = refused(ParamsError)
    assert said.startswith("propose.first needs the library transformers: install it with pip")
    assert "pip install 'boxloop[transformers]', or take propose.first out" in said


def test_networks_of_other_kinds(tmp_path):
    said = refused(WeightsError, model=str(tiny()))
    assert "is a rt_detr_v2, which knows the classes that it was trained for and no others" in said
    assert "'train.detector: transformers'" in said
    transformers.ViTConfig().save_pretrained(tmp_path)
    assert "a vit, which finds no objects by text" in refused(WeightsError, model=str(tmp_path))


def test_folders_that_are_not_whole(tmp_path):
    assert "has no config.json" in refused(WeightsError, model=str(tmp_path))
    config, processor = owlv2(transformers)
    config.save_pretrained(tmp_path)
    assert "model.safetensors" in refused(WeightsError, model=str(tmp_path))
    folder = save((config, processor), tmp_path / "whole")
    (folder / "processor_config.json").unlink()
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert "cannot be used" in refused(WeightsError, model=str(folder))
    (folder / "config.json").write_text("{")
    assert "cannot be used" in refused(WeightsError, model=str(folder))


def test_tensors_that_are_missing_are_not_made_up(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save(owlv2(transformers), tmp_path)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    fewer = {name: tensor for name, tensor in tensors.items() if "vision" not in name}
    save_file(fewer, file, metadata={"format": "pt"})
    missing = len(tensors) - len(fewer)
    assert f"lacks {missing} of the" in refused(WeightsError, model=str(folder))


def test_code_beside_the_weights_is_not_executed(tmp_path):
    folder, marker = save(owlv2(transformers), tmp_path / "net"), tmp_path / "executed"
    path = folder / "config.json"
    code = '"auto_map": {"AutoConfig": "evil.C", "AutoProcessor": "evil.P"}, "model_type"'
    path.write_text(path.read_text().replace('"model_type"', code, 1))
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')")
    load(model=str(folder))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("make", "prompts", "said"),
    [
        (owlv2, {"cat": "a cat"}, "names 'cat', which is no class of the campaign: it has square"),
        (owlv2, {"square": None, "disc": None}, "leaves out every class"),
        (owlv2, {"disc": "a" * 40}, "has 42 tokens, and owlv2 reads 16 at most"),
        (tiny_grounding_dino, {"disc": "кошка"}, "grounding-dino knows no word of 'кошка'"),
        (tiny_grounding_dino, {"disc": "car " * 80}, "tokens, and grounding-dino reads 64"),
    ],
)
def test_prompts_that_cannot_be_used(make, prompts, said):
    assert said in refused(ParamsError, make=make, prompts=prompts)
