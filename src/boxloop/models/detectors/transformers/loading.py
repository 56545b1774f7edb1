"""Where networks of transformers come from: a local folder, the hub, or a checkpoint."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from boxloop.errors import ParamsError, WeightsError
from boxloop.files import parse_json, read_bytes, temporary_folder, writing_temporary
from boxloop.models.detectors.transformers.settings import check_settings
from boxloop.models.weights import LoadedTensors, load_matching, require_finite

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_SMALL_FILES = ["config.json", "preprocessor_config.json"]
_WAYS_OUT = (
    "name a folder with config.json and model.safetensors (from another machine, or written by"
    " save_pretrained), or a network on the Hugging Face hub, such as PekingU/rtdetr_v2_r18vd, or"
    " choose another train.detector"
)


@dataclass(frozen=True)
class Wanted:
    """Which network is looked for, and how to go on without it.

    Attributes:
        key: of params.yaml, which names it.
        files: patterns of the small files beside its weights.
        ways_out: ends each sentence that refuses one.
    """

    key: str
    files: Sequence[str]
    ways_out: str


DETECTOR = Wanted("train.weights", _SMALL_FILES, _WAYS_OUT)


@dataclass(frozen=True)
class Plan:
    """What a network is built from, as the library stores it.

    Attributes:
        config: content of config.json.
        processor: content of preprocessor_config.json; None takes the architecture's usual one.
    """

    config: Mapping[str, Any]
    processor: Mapping[str, Any] | None


def library(
    need: str = "train.detector: transformers needs the library of this name",
    instead: str = "choose another detector",
) -> Any:
    """Import transformers, and keep it from talking.

    Args:
        need: what of params.yaml needs it, in words.
        instead: what to do where it is not to be installed.

    Raises:
        ParamsError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise ParamsError(
            f"{need}: install it with pip install 'boxloop[transformers]', or {instead}"
        ) from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def find_folder(name: str, wanted: Wanted = DETECTOR) -> Path:
    """Return the folder of a network, downloading it where ``name`` is one on the hub.

    Raises:
        WeightsError: there is no such folder and no such network, or it cannot be downloaded.
    """
    if (folder := local_folder(name, wanted)) is not None:
        return folder
    key, ways_out = wanted.key, wanted.ways_out
    from huggingface_hub import snapshot_download

    try:
        files = [*wanted.files, "model*.safetensors", "model.safetensors.index.json"]
        found = Path(snapshot_download(name, allow_patterns=files, etag_timeout=10))
        if not any(found.glob("model*.safetensors")):
            files = [*wanted.files, "pytorch_model*.bin*"]
            found = Path(snapshot_download(name, allow_patterns=files, etag_timeout=10))
    except Exception as error:  # the hub's, the network's, the disk's
        reason = " ".join(str(error).split()).partition(" An error happened")[0]
        raise WeightsError(
            f"{key}: '{name}' is no folder here, and could not be downloaded"
            f" ({reason[:200]}): {ways_out}"
        ) from None
    return found


def local_folder(name: str, wanted: Wanted = DETECTOR) -> Path | None:
    """Return the folder of a network on this machine; None where it would have to be downloaded.

    Raises:
        WeightsError: there is no such folder, and ``name`` cannot be one of the hub's.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise WeightsError(f"{wanted.key}: {folder} has no config.json: {wanted.ways_out}")
        return folder
    if not _HUB_NAME.fullmatch(name):
        raise WeightsError(
            f"{wanted.key}: '{name}' is not a network of transformers: {wanted.ways_out}"
        )
    return None


def read_plan(folder: Path) -> Plan:
    """Read what a folder's network is built from.

    Raises:
        WeightsError: a file is damaged.
    """
    read: list[dict[str, Any] | None] = []
    for name in _SMALL_FILES:
        path = folder / name
        try:
            content = parse_json(read_bytes(path)) if path.exists() else None
            if not isinstance(content, dict | None):
                raise ValueError(content)
        except (OSError, ValueError):
            raise WeightsError(f"train.weights: {path} is not a JSON object: {_WAYS_OUT}") from None
        read.append(content)
    return Plan(read[0] or {}, read[1])


def open_plan(plan: Plan, classes: Sequence[str], origin: str) -> tuple[Any, Any, bool]:
    """Return config and image processor for these classes, and whether they are its own.

    Raises:
        WeightsError: this is not an object detection network that the library knows.
    """
    transformers = library()
    files = zip(_SMALL_FILES, (plan.config, plan.processor), strict=True)
    with temporary_folder() as folder:
        for name, content in files:
            if content is not None:
                # "auto_map" names code beside the weights, which is never executed.
                plain = {key: value for key, value in content.items() if key != "auto_map"}
                with writing_temporary():
                    (folder / name).write_text(json.dumps(plain), encoding="utf-8")
        try:
            config = transformers.AutoConfig.from_pretrained(folder)
            if type(config) not in transformers.MODEL_FOR_OBJECT_DETECTION_MAPPING:
                raise ValueError(f"a {config.model_type} detects no objects")
            processor = _processor(transformers, folder, config, plan.processor is not None)
            check_settings(config, processor)
        except Exception as error:  # whatever the library makes of a foreign file
            reason = " ".join(str(error).split())[:200]
            raise WeightsError(
                f"train.weights: {origin} cannot be used ({reason}): {_WAYS_OUT}"
            ) from None
    names = tuple(config.id2label[number] for number in sorted(config.id2label))
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: number for number, name in enumerate(classes)}
    for fixed in ("eval_size", "anchor_image_size"):  # would tie the network to one input size
        if getattr(config, fixed, None) is not None:
            setattr(config, fixed, None)
    return config, processor, names == tuple(classes)


def build(config: Any) -> nn.Module:
    """Build a network with random weights."""
    network: nn.Module = library().AutoModelForObjectDetection.from_config(
        config, dtype=torch.float32
    )
    return network


def load_network(folder: Path, config: Any) -> tuple[nn.Module, LoadedTensors]:
    """Build a network with the tensors of a folder that fit it.

    Raises:
        WeightsError: there are none, one is not finite, or the file is damaged.
    """
    transformers = library()
    try:
        network, told = transformers.AutoModelForObjectDetection.from_pretrained(
            str(folder),
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # whatever the library makes of a foreign file
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"train.weights: {folder} cannot be used ({reason}): {_WAYS_OUT}"
        ) from None
    mismatched = {item[0] if isinstance(item, tuple) else item for item in told["mismatched_keys"]}
    counted = [n for n in network.state_dict() if not n.endswith("num_batches_tracked")]
    left = tuple(n for n in counted if n in mismatched or n in set(told["missing_keys"]))
    if len(left) == len(counted):
        raise WeightsError(
            f"train.weights: no tensor of {folder} fits a {config.model_type}: {_WAYS_OUT}"
        )
    own = network.state_dict()
    require_finite({name: own[name] for name in counted if name not in left}, str(folder))
    return network, LoadedTensors(len(counted), left)


def renew_heads(network: nn.Module, config: Any) -> tuple[str, ...]:
    """Give everything whose shape depends on the number of classes new random weights.

    Returns:
        The names of the tensors.
    """
    more = copy.deepcopy(config)
    more.id2label = dict(enumerate(map(str, range(len(config.id2label) + 1))))
    more.label2id = {name: number for number, name in more.id2label.items()}
    with torch.device("meta"):
        larger = build(more).state_dict()
    new = {
        name: tensor
        for name, tensor in build(config).state_dict().items()
        if larger[name].shape != tensor.shape
    }
    network.load_state_dict(new, strict=False)
    return tuple(new)


def load_state(
    config: Any, state: Mapping[str, torch.Tensor], origin: str
) -> tuple[nn.Module, LoadedTensors]:
    """Build a network with the tensors of a checkpoint that fit it."""
    network = build(config)
    return network, load_matching(network, state, origin)


def _processor(transformers: Any, folder: Path, config: Any, stored: bool) -> Any:
    if stored:
        processor = transformers.AutoImageProcessor.from_pretrained(folder)
    else:
        # Most of the networks have the image processor of RT-DETR, and only their files say so.
        known = transformers.IMAGE_PROCESSOR_MAPPING
        kinds = known.get(type(config), None)
        first = kinds.get("torchvision") if isinstance(kinds, dict) else None
        processor = (first or transformers.RTDetrImageProcessor)()
    if not hasattr(processor, "post_process_object_detection"):
        raise ValueError(f"its image processor, a {type(processor).__name__}, finds no boxes")
    return processor
