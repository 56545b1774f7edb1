"""Ask networks of transformers for what phrases name, each in the way of its architecture.

They read texts differently, and tell differently which text a box is of: Grounding DINO reads all
phrases as one text and answers for each of its tokens, the others answer for each phrase. All of
them end up as boxes with the number of a phrase. That the library's own decoding gives back texts
is of no use: of "red car" and "car" it may say "car car", or "red".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from boxloop.errors import ParamsError


class Answer(NamedTuple):
    """Candidates for each of B images.

    Attributes:
        boxes: (B, Q, 4) centre and size, in fractions of the image's sides.
        scores: (B, Q) in [0, 1], of the likeliest phrase.
        phrases: (B, Q) its number.
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    phrases: torch.Tensor


Ask = Callable[[list[torch.Tensor]], Answer]
"""Takes B images, (3, h, w) uint8 RGB of any sizes, on the network's device."""


def grounding_dino(network: Any, processor: Any, phrases: Sequence[str]) -> Ask:
    """Ask Grounding DINO, whose text is "a car. a dog.": as many phrases at once as it can read."""
    tokenizer, config = processor.tokenizer, network.config
    most = min(config.max_text_len, config.text_config.max_position_embeddings)
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    end = tokenizer.convert_tokens_to_ids(".")
    texts: list[list[int]] = []
    spans: list[list[slice]] = []
    for phrase in phrases:
        # A dot or a question mark would end the phrase for it.
        plain = phrase.lower().replace(".", " ").replace("?", " ")
        tokens = tokenizer(plain, add_special_tokens=False)["input_ids"]
        if set(tokens) <= {tokenizer.unk_token_id}:
            raise ParamsError(
                f"propose.first.prompts: {config.model_type} knows no word of '{phrase}': describe"
                " it in other words, in English"
            )
        _require_short(phrase, len(tokens) + 3, most, config)
        if not texts or len(texts[-1]) + len(tokens) + 2 > most:
            texts.append([first])
            spans.append([])
        begin = len(texts[-1])
        texts[-1] += [*tokens, end]
        spans[-1].append(slice(begin, begin + len(tokens)))
    device = network.device
    read = [torch.tensor([[*text, last]], device=device) for text in texts]

    def ask(images: list[torch.Tensor]) -> Answer:
        pixels = processor.image_processor(images, return_tensors="pt").to(device)
        answers, before = [], 0
        for text, places in zip(read, spans, strict=True):
            ids = text.expand(len(images), -1)
            output = network(
                input_ids=ids,
                token_type_ids=torch.zeros_like(ids),
                attention_mask=torch.ones_like(ids),
                pixel_values=pixels["pixel_values"],
                pixel_mask=pixels["pixel_mask"],
            )
            tokens = output.logits.sigmoid()
            parts = [tokens[..., place] for place in places]
            # Of phrases that share a word, all of which has a say, the one that fits as a whole is
            # meant; its score is that of its best word, as its usual thresholds have it.
            phrase = torch.stack([part.mean(-1) for part in parts], -1).argmax(-1)
            best = torch.stack([part.amax(-1) for part in parts], -1)
            scores = best.gather(-1, phrase[..., None])[..., 0]
            answers.append(Answer(output.pred_boxes, scores, phrase + before))
            before += len(places)
        return Answer(*(torch.cat(part, dim=1) for part in zip(*answers, strict=True)))

    return ask


def owl(network: Any, processor: Any, phrases: Sequence[str]) -> Ask:
    """Ask OWL-ViT or OWLv2, which reads each phrase by itself."""
    config = network.config
    read = _read(processor.tokenizer, phrases, config.text_config, config).to(network.device)
    in_a_square = config.model_type == "owlv2"

    def ask(images: list[torch.Tensor]) -> Answer:
        pixels = processor.image_processor(images, return_tensors="pt").to(network.device)
        repeated = {name: ids.repeat(len(images), 1) for name, ids in read.items()}
        output = network(pixel_values=pixels["pixel_values"], **repeated)
        boxes = output.pred_boxes
        if in_a_square:
            # Fractions of the longer side: the image lies at the top left of a square.
            sides = torch.tensor([[i.shape[-1], i.shape[-2]] for i in images]).to(boxes)
            boxes = boxes * (sides.amax(1, keepdim=True) / sides).repeat(1, 2)[:, None]
        return Answer(boxes, *output.logits.sigmoid().max(-1))

    return ask


def omdet_turbo(network: Any, processor: Any, phrases: Sequence[str]) -> Ask:
    """Ask OmDet-Turbo, which reads each phrase by itself, and all of them as its task."""
    config, device = network.config, network.device
    text = config.text_config
    names = _read(processor.tokenizer, phrases, text, config).to(device)
    # A task that is too long is cut off, as its processor does it.
    job = [f"Detect {', '.join(phrases)}."]
    task = _tokens(processor.tokenizer, job, text.max_position_embeddings).to(device)

    def ask(images: list[torch.Tensor]) -> Answer:
        count = len(images)
        pixels = processor.image_processor(images, return_tensors="pt").to(device)
        output = network(
            pixel_values=pixels["pixel_values"],
            classes_structure=torch.full((count,), len(phrases), device=device),
            **{f"classes_{name}": ids.repeat(count, 1) for name, ids in names.items()},
            **{f"tasks_{name}": ids.repeat(count, 1) for name, ids in task.items()},
        )
        scores = output.decoder_class_logits.sigmoid()
        return Answer(output.decoder_coord_logits, *scores.max(-1))

    return ask


ASKED: Mapping[str, Callable[[Any, Any, Sequence[str]], Ask]] = {
    "grounding-dino": grounding_dino,
    "mm-grounding-dino": grounding_dino,
    "omdet-turbo": omdet_turbo,
    "owlv2": owl,
    "owlvit": owl,
}
"""How to ask, by architecture."""


def _read(tokenizer: Any, phrases: Sequence[str], text: Any, config: Any) -> Any:
    most = text.max_position_embeddings
    for phrase in phrases:
        _require_short(phrase, len(tokenizer(phrase)["input_ids"]), most, config)
    return _tokens(tokenizer, list(phrases), most)


def _tokens(tokenizer: Any, texts: list[str], length: int) -> Any:
    return tokenizer(
        texts,
        padding="max_length",
        truncation=True,
        max_length=length,
        return_token_type_ids=False,
        return_tensors="pt",
    )


def _require_short(phrase: str, tokens: int, most: int, config: Any) -> None:
    if tokens > most:
        raise ParamsError(
            f"propose.first.prompts: '{phrase[:100]}' has {tokens} tokens, and {config.model_type}"
            f" reads {most} at most: describe it in fewer words"
        )
