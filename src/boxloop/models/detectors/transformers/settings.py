"""What a network's image processor and configuration say, where anybody may have written them."""

from __future__ import annotations

import math
from typing import Any

from boxloop.params.section import MOST_PIXELS

_CHANNELS = 3
_FILE = "preprocessor_config.json"


def check_settings(config: Any, processor: Any) -> None:
    """Refuse settings that no network can be used with.

    Raises:
        ValueError: one cannot be; names the file and the key.
    """
    read_normalisation(processor)
    read_size(processor)
    for key in ("num_queries", "num_detection_tokens"):
        count = getattr(config, key, None)
        if isinstance(count, int) and count < 1:
            raise ValueError(f"{key} in config.json must be at least 1, and is {count}")


def read_normalisation(processor: Any) -> tuple[list[float], list[float], float]:
    """Return means and standard deviations of each colour, and the byte that stands for 1.

    As in the library, a number, or a list of one, is that of all colours.

    Raises:
        ValueError: they cannot be; names the key.
    """
    full = 1.0
    if processor.do_rescale:
        factor = processor.rescale_factor
        if not _is_number(factor) or factor <= 0 or not math.isfinite(1 / factor):
            raise _odd("rescale_factor", "a number above 0", factor)
        full = 1.0 / factor
    if not processor.do_normalize:
        return [0.0] * _CHANNELS, [1.0] * _CHANNELS, full
    means = _by_colour("image_mean", processor.image_mean)
    deviations = _by_colour("image_std", processor.image_std)
    if min(deviations) <= 0:
        raise _odd("image_std", "above 0", processor.image_std)
    return means, deviations, full


def read_size(processor: Any) -> tuple[int, int] | None:
    """Return the (height, width) that images are brought to; None where nothing is said.

    Raises:
        ValueError: it cannot be; names the key.
    """
    said = dict(processor.to_dict().get("size") or {})
    ways = (("height", "width"), ("max_height", "max_width"), ("shortest_edge",), ("longest_edge",))
    keys = next((keys for keys in ways if all(said.get(key) is not None for key in keys)), ())
    for key in keys:
        side = said[key]
        if isinstance(side, bool) or not isinstance(side, int) or not 0 < side <= MOST_PIXELS:
            raise _odd(f"size, {key}", f"from 1 to {MOST_PIXELS:,} pixels", side)
    return (said[keys[0]], said[keys[-1]]) if keys else None


def _by_colour(key: str, value: Any) -> list[float]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    if len(values) not in (1, _CHANNELS) or not all(map(_is_number, values)):
        raise _odd(key, "a number, or three", value)
    return [float(each) for each in values] * (_CHANNELS // len(values))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _odd(key: str, wanted: str, value: Any) -> ValueError:
    return ValueError(f"{key} in {_FILE} must be {wanted}, and is {str(value)[:60]!r}")
