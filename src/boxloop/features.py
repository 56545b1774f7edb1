"""From images to feature vectors by a classification network (paper, section 3.1)."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision import models

from boxloop import devices, weights
from boxloop.decoding import ahead, read_resized
from boxloop.errors import ParamsError, WeightsError
from boxloop.params import FeaturesParams
from boxloop.types import FeatureTable, ImageRef

Progress = Callable[[int, int], None]
"""Called with the images done and the images in all."""

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

# These two normalise their input themselves, in the way that their pretrained weights need.
_OWN_NORMALISATION = ("googlenet", "inception_v3")


def networks() -> tuple[str, ...]:
    """Names of torchvision's classification networks."""
    return tuple(models.list_models(module=models))


def extract(
    images: Sequence[ImageRef], params: FeaturesParams, progress: Progress | None = None
) -> FeatureTable:
    """One vector per image: what the network's classifying layer is given.

    That layer is the last ``Linear`` that runs, or the last ``Conv2d`` in a network without any
    ``Linear`` (SqueezeNet); a map is averaged over its positions. Every image is squashed to a
    square of ``params.input_size`` pixels and normalised as the weights ask for.

    Args:
        images: at least one.
        params: network, weights, input size, batch size, device; the seed draws the weights
            where they are "none".
        progress: told after every batch.

    Returns:
        Vectors (N, D) in the order of ``images``.

    Raises:
        ParamsError: there is no such network, or it cannot take images of this size.
        WeightsError: the weights cannot be had, do not fit, or give numbers that are not finite.
        DatasetError: an image cannot be read.
    """
    device = devices.pick(params.device)
    network, (mean, std) = _network(params)
    network = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    taken = _Taken(network)
    scale = 255.0 * torch.tensor(std, device=device).view(1, 3, 1, 1)
    shift = 255.0 * torch.tensor(mean, device=device).view(1, 3, 1, 1)
    size = (params.input_size, params.input_size)
    decoded = ahead(lambda image: read_resized(image, size), images, depth=2 * params.batch_size)
    rows: list[np.ndarray[tuple[int, int], np.dtype[np.float32]]] = []
    for start in range(0, len(images), params.batch_size):
        count = min(params.batch_size, len(images) - start)
        batch = torch.stack([next(decoded) for _ in range(count)]).to(device)
        with torch.inference_mode():
            pixels = (batch.float() - shift) / scale
            network(pixels.contiguous(memory_format=torch.channels_last))
            vectors = taken.vectors().float().cpu().numpy()
        bad = ~np.isfinite(vectors).all(axis=1)
        if bad.any():
            name = images[start + int(bad.argmax())].id
            raise WeightsError(
                f"features.weights: {params.network} with '{params.weights}' gives numbers that are"
                f" not finite for image {name}: use other weights"
            )
        rows.append(vectors)
        if progress is not None:
            progress(start + count, len(images))
    return FeatureTable(tuple(image.id for image in images), np.concatenate(rows))


class _Taken:
    """Takes what reaches the classifying layer, whichever that turns out to be."""

    def __init__(self, network: nn.Module) -> None:
        self._last: dict[type[nn.Module], tuple[str, torch.Tensor]] = {}
        self._hooks = [
            module.register_forward_pre_hook(self._hook(name))
            for name, module in network.named_modules()
            if isinstance(module, nn.Linear | nn.Conv2d)
        ]

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def remember(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            kind = nn.Linear if isinstance(module, nn.Linear) else nn.Conv2d
            self._last[kind] = (name, inputs[0])

        return remember

    def layer(self) -> str:
        """Name of the classifying layer, after a forward pass."""
        return self._last[nn.Linear if nn.Linear in self._last else nn.Conv2d][0]

    def vectors(self) -> torch.Tensor:
        """(N, D) of the last forward pass."""
        if nn.Linear in self._last:
            given = self._last[nn.Linear][1]
            # (N, ..., D): transformers keep positions in between.
            return given if given.ndim == 2 else given.flatten(1, -2).mean(dim=1)
        return self._last[nn.Conv2d][1].mean(dim=(2, 3))


def _network(
    params: FeaturesParams,
) -> tuple[nn.Module, tuple[Sequence[float], Sequence[float]]]:
    """The network with its weights, and the mean and deviation of the pixels it was trained on."""
    known = networks()
    if params.network not in known:
        close = difflib.get_close_matches(params.network, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see torchvision.models"
        raise ParamsError(f"features.network: there is no network '{params.network}' ({hint})")
    enum = models.get_model_weights(params.network)
    options: dict[str, bool] = {}
    if params.network in _OWN_NORMALISATION:
        # Their own initialisation takes a minute; torch's default serves as well.
        options = {"init_weights": False, "transform_input": params.weights != weights.NONE}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.seed)
        network: nn.Module = models.get_model(params.network, weights=None, **options)
    layer = _classifying_layer(network, params)
    if params.weights == weights.NONE:
        return network, _IMAGENET
    if params.weights in enum.__members__:
        member = enum[params.weights]
        tensors = weights.download(f"{params.network} {params.weights}", member.url)
        preset = member.transforms()
        normal = (tuple(preset.mean), tuple(preset.std))
    else:
        path = Path(params.weights)
        if not path.exists():
            names = ", ".join(member.name for member in enum)
            raise WeightsError(
                f"features.weights: '{params.weights}' is neither a file nor weights of"
                f" {params.network}; known: {weights.NONE}, {names}"
            )
        tensors, normal = weights.read_state_dict(path), _IMAGENET
    fitted = weights.fit(network, tensors, params.weights)
    # The classifying layer itself may have other classes; auxiliary classifiers are not used.
    missing = [n for n in fitted.left if not n.startswith((f"{layer}.", "aux", "AuxLogits"))]
    if missing:
        raise WeightsError(
            f"features.weights: {params.weights} lacks {len(missing)} of the {fitted.total} tensors"
            f" of {params.network}, such as '{missing[0]}'"
        )
    return network, normal


def _classifying_layer(network: nn.Module, params: FeaturesParams) -> str:
    """Name of the layer whose input is taken; finds out whether the network takes this size."""
    taken = _Taken(network.eval())
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, params.input_size, params.input_size))
    except (RuntimeError, AssertionError, ValueError):
        raise ParamsError(
            f"features.input_size: {params.network} cannot take images of {params.input_size}"
            f" pixels; try 224"
        ) from None
    finally:
        taken.close()
    return taken.layer()
