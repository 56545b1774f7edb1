"""Read params.yaml and other YAML of sections; name each mistake in plain words.

This is the only module that reads params.yaml.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from boxloop.errors import ParamsError
from boxloop.files import read_text
from boxloop.params.arguments import require_list, require_path, shown
from boxloop.params.registry import hint
from boxloop.params.sections import Params, Section
from boxloop.params.yaml_text import read_long_yaml as read_long_yaml
from boxloop.params.yaml_text import read_yaml as read_yaml

_S = TypeVar("_S", bound=Section)

_MOST_PROBLEMS = 20
"""That one message lists."""


def load_params(path: str | Path, overrides: Sequence[str] = ()) -> Params:
    """Read params.yaml, and apply ``section.key=value`` overrides (values are YAML).

    Args:
        path: the file; where it does not exist, every section takes its defaults.
        overrides: for example ``["order.strategy=similar", "batch.sizes=[10, 20]"]``.

    Raises:
        ParamsError: one sentence per problem, each naming the key.
    """
    require_path("path", path)
    require_list("overrides", overrides, str, "texts")
    path = Path(path)
    content = read_sections(path) if path.exists() else {}
    return check_overridden(content, overrides, str(path))


def read_sections(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file of sections, unchecked.

    Raises:
        ParamsError: the file cannot be read, is not YAML, or holds a plain value.
    """
    try:
        content = read_yaml(read_text(path))
    except FileNotFoundError:
        raise ParamsError(f"{path} does not exist: name a file that does, or make it") from None
    except UnicodeDecodeError:
        raise ParamsError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    except ValueError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from None
    except OSError as error:
        raise ParamsError(f"{path} cannot be read: {error.strerror}") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise ParamsError(f"{path} must hold sections such as 'order:', not a plain value")
    return content


def check(model: type[_S], content: Any, name: str) -> _S:
    """Return content as an object of ``model``; ``name`` is what an error calls its file.

    Raises:
        ParamsError: one sentence per problem, each naming the key.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        details = error.errors()
        places = [detail["loc"] for detail in details]
        # A list whose every value was refused is not too short besides.
        lines = [
            _sentence(detail, model)
            for detail, place in zip(details, places, strict=True)
            if not any(other[: len(place)] == place and other != place for other in places)
        ]
        more = [f"and {len(lines) - _MOST_PROBLEMS} more"] if len(lines) > _MOST_PROBLEMS else []
        raise ParamsError(f"{name}: " + "; ".join([*lines[:_MOST_PROBLEMS], *more])) from None
    except UnicodeEncodeError:  # Pydantic has no words for half of a surrogate pair
        place = ".".join(_no_text(content) or ("something",))
        raise ParamsError(
            f"{name}: {place[:200]!a} holds half of a surrogate pair, which is no text: write"
            " it anew"
        ) from None


def _no_text(content: Any) -> tuple[str, ...] | None:
    """Return the keys that lead to what cannot be written as UTF-8; None where all can."""
    if isinstance(content, str):
        return () if _HALF.search(content) else None
    rows: Iterable[tuple[Any, Any]] = ()
    if isinstance(content, dict):
        rows = content.items()
    elif isinstance(content, list | tuple):
        rows = enumerate(content)
    for key, item in rows:
        below = () if _HALF.search(str(key)) else _no_text(item)
        if below is not None:
            return (str(key), *below)
    return None


_HALF = re.compile("[\ud800-\udfff]")


def check_overridden(content: dict[str, Any], overrides: Sequence[str], name: str) -> Params:
    """Return the content of a params.yaml with overrides as parameters.

    Raises:
        ParamsError: one sentence per problem; where the file alone is right, it names the override
            that is to blame instead.
    """

    def apply(some: Sequence[str]) -> Params:
        changed = copy.deepcopy(content)
        for override in some:
            apply_override(changed, override)
        return check(Params, changed, name)

    try:
        return apply(overrides)
    except ParamsError as error:
        sentence = str(error)
        if not sentence.startswith(f"{name}: ") or not _is_right(apply, ()):
            raise
        culprits = [o for o in overrides if _is_right(apply, [p for p in overrides if p != o])]
        blamed = " ".join(f"--set {override}" for override in culprits or overrides)
        raise ParamsError(f"{blamed}: {sentence.removeprefix(f'{name}: ')}") from None


def _is_right(apply: Callable[[Sequence[str]], Params], overrides: Sequence[str]) -> bool:
    try:
        apply(overrides)
    except ParamsError:
        return False
    return True


def apply_override(content: dict[str, Any], override: str) -> None:
    """Write ``section.key=value`` (the value is YAML) into the content of a params.yaml.

    Raises:
        ParamsError: the override has another shape, or goes through a plain value.
    """
    key, separator, value = override.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ParamsError(f"--set takes section.key=value, got '{override}'")
    node = content
    for part in parts[:-1]:
        if node.get(part) is None:
            node[part] = {}
        node = node[part]
        if not isinstance(node, dict):
            raise ParamsError(f"--set {override}: '{part}' is a value, not a section")
    try:
        node[parts[-1]] = read_yaml(value)
    except ValueError as error:
        raise ParamsError(f"--set {override[:200]}: not valid YAML: {error}") from None


_KINDS = {
    "model_type": "must be a section with keys",
    "dict_type": "must be a section with keys",
    "tuple_type": "must be a list",
    "too_long": "has too many values",
    "too_short": "must list at least one value or be left out",
    "string_too_short": "must not be empty",
}
"""Pydantic's words are about Python."""


def _sentence(detail: ErrorDetails, model: type[Section]) -> str:
    """Return one validation error in plain words."""
    place = ".".join(str(part)[:100] for part in detail["loc"]) or "the file"
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"'{place}' is not a known key{_did_you_mean(detail['loc'], model)}"
    if kind == "literal_error":
        return f"{place} must be {context['expected']}, got {shown(detail['input'])}"
    if kind == "value_error":
        return f"{place}: {context['error']}" if place != "the file" else str(context["error"])
    if kind == "missing":
        return f"{place} is missing"
    value = detail["input"]
    got = "nothing" if value is None else shown(value)
    if kind in _KINDS:
        return f"{place} {_KINDS[kind]}, got {got}"
    message = detail["msg"]
    return f"{place}: {message[0].lower()}{message[1:]}, got {got}"


def _did_you_mean(place: tuple[int | str, ...], root: type[Section]) -> str:
    model: Any = root
    for part in place[:-1]:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        candidates = [annotation, *get_args(annotation)]
        model = next((c for c in candidates if hasattr(c, "model_fields")), None)
        if model is None:
            return ""
    return f" ({hint(str(place[-1]), model.model_fields)})"
