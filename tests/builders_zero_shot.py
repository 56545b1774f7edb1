"""Tiny foundation models for objects that texts name, of random weights: nothing is downloaded."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

_WORDS = ("a", "b", "the", "car", "cat", "dog", "red", "square", "disc", "circle", "of", "##s")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,-"
_BACKBONE = {
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 2,
    "out_indices": [2, 3, 4],
}


def grounding_dino(library, kind="GroundingDino", **changes):
    """A network and its processor; they read texts in BERT's words."""
    config = getattr(library, f"{kind}Config")(
        backbone_config=library.SwinConfig(image_size=64, **_BACKBONE),
        text_config=library.BertConfig(
            vocab_size=1100,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=64,
        ),
        num_queries=12,
        d_model=32,  # of 32 groups
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        **{"max_text_len": 64, **changes},
    )
    # The network knows its special tokens by BERT's own numbers.
    words = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
    words |= {".": 1012, "?": 1029}
    words |= {word: 200 + number for number, word in enumerate(_WORDS)}
    processor = library.GroundingDinoProcessor(
        library.GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 128}),
        library.BertTokenizer(vocab=words),
    )
    return config, processor


def mm_grounding_dino(library):
    return grounding_dino(library, "MMGroundingDino")


def owlv2(library, kind="Owlv2"):
    text, sight = (
        {
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        }
        for _ in range(2)
    )
    tokenizer = _clip_tokenizer(library, 16)
    numbers = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in _ENDS}
    config = getattr(library, f"{kind}Config")(
        text_config={**text, **numbers, "vocab_size": len(tokenizer)},
        vision_config={**sight, "image_size": 64, "patch_size": 16},
        projection_dim=16,
    )
    sides = {"height": 64, "width": 64}
    images = getattr(library, f"{'OwlViT' if kind == 'OwlViT' else kind}ImageProcessor")(size=sides)
    return config, getattr(library, f"{kind}Processor")(images, tokenizer)


def owlvit(library):
    return owlv2(library, "OwlViT")


def omdet_turbo(library):
    tokenizer = _clip_tokenizer(library, 77)
    numbers = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in _ENDS}
    config = library.OmDetTurboConfig(
        backbone_config=library.SwinConfig(image_size=64, **_BACKBONE),
        text_config=library.CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=77,
            **numbers,
        ),
        apply_layernorm_after_vision_backbone=False,  # which is for backbones of timm
        image_size=64,
        text_projection_in_dim=16,
        text_projection_out_dim=16,
        class_embed_dim=16,  # other than that of the decoder
        task_encoder_hidden_dim=16,
        num_queries=12,
        encoder_hidden_dim=32,
        decoder_hidden_dim=32,
        vision_features_channels=[32, 32, 32],
        encoder_in_channels=[16, 32, 64],
        encoder_dim_feedforward=16,
        encoder_attention_heads=2,
        decoder_num_heads=2,
        decoder_num_layers=2,
        decoder_dim_feedforward=16,
    )
    images = library.DetrImageProcessor(size={"height": 64, "width": 64}, do_pad=False)
    return config, library.OmDetTurboProcessor(images, tokenizer)


_ENDS = ("bos", "eos", "pad")


def _clip_tokenizer(library, length):
    """Letters, each alone and at the end of a word; the end of a text has the highest number."""
    names = ["!", *_LETTERS, *(f"{letter}</w>" for letter in _LETTERS)]
    names += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {name: number for number, name in enumerate(names)}
    return library.CLIPTokenizer(vocab=vocab, merges=[], pad_token="!", model_max_length=length)


def save(made, folder, *, seed=0):
    """Write a network of random weights, and all that reads for it, as its library does."""
    import torch
    import transformers

    config, processor = made
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = transformers.AutoModelForZeroShotObjectDetection.from_config(config)
        network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@functools.cache
def tiny_zero_shot(make=owlv2):
    """A folder with a network, removed when the process ends."""
    import transformers

    folder = Path(tempfile.mkdtemp(prefix="tiny-zero-shot-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return save(make(transformers), folder)
