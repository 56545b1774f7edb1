"""Tiny networks of transformers, made on the spot: nothing is downloaded."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

_SHARED = {
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "decoder_layers": 2,
    "d_model": 32,
    "num_queries": 20,
}
# torch may crash in the backward of a 1x1 convolution of stride 2 with 8 channels in channels_last.
_FOUR_STAGES = {"embedding_size": 16, "hidden_sizes": [16] * 4, "depths": [1, 1, 1, 1]}


def rt_detr_v2(library, **changes):
    body = library.RTDetrResNetConfig(
        **_FOUR_STAGES, layer_type="basic", out_features=["stage2", "stage3", "stage4"]
    )
    return library.RTDetrV2Config(
        backbone_config=body, **_pyramid([16] * 3), **{**_SHARED, **changes}
    )


def d_fine(library, **changes):
    body = library.HGNetV2Config(
        stem_channels=[3, 8, 8],
        hidden_sizes=[8, 16, 16, 16],
        stage_in_channels=[8, 8, 16, 16],
        stage_mid_channels=[8] * 4,
        stage_out_channels=[8, 16, 16, 16],
        stage_num_blocks=[1] * 4,
        stage_numb_of_layers=[1] * 4,
        depths=[1] * 4,
        out_features=["stage2", "stage3", "stage4"],
    )
    return library.DFineConfig(
        backbone_config=body,
        hidden_expansion=0.5,
        **_pyramid([16, 16, 16]),
        **{**_SHARED, **changes},
    )


def detr(library, **changes):
    body = library.ResNetConfig(**_FOUR_STAGES, layer_type="basic", out_features=["stage4"])
    return library.DetrConfig(backbone_config=body, encoder_layers=1, **{**_SHARED, **changes})


def _pyramid(channels):
    return {
        "encoder_hidden_dim": 32,
        "encoder_in_channels": channels,
        "decoder_in_channels": [32] * 3,
        "num_denoising": 4,
    }


def save(config, folder, *, seed=0, processor=True):
    """Write a network of random weights as its library does."""
    import torch
    import transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformers.AutoModelForObjectDetection.from_config(config).save_pretrained(folder)
    if processor:
        kind = (
            transformers.DetrImageProcessor
            if config.model_type == "detr"
            else (transformers.RTDetrImageProcessor)
        )
        kind().save_pretrained(folder)
    return folder


@functools.cache
def tiny(make=rt_detr_v2):
    """A folder with a network of 80 classes, removed when the process ends."""
    import transformers

    folder = Path(tempfile.mkdtemp(prefix="tiny-transformer-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return save(make(transformers, num_labels=80), folder)
