"""Make docs/api.md from the docstrings: python docs/make_api_docs.py > docs/api.md."""

from __future__ import annotations

import inspect
import itertools
import re
import textwrap
from typing import Any

import boxloop

HEAD = """# The API

What `import boxloop` offers to notebooks and scripts; [quickstart.ipynb](quickstart.ipynb) shows
it at work. Each name is imported when it is first used. `boxloop.pipeline` has the stages of
`dvc.yaml` as functions, for campaigns on disk, with their turns and files; `Corrections` are what
its `review` returns. What is not listed here may change without notice.

`progress` is called with how much is done, and how much there is in all; by `train_detector` also
with `loss=...`, and by `simulate` first with what is being done. An argument of another kind than
is said here is a `ValueError` with one sentence, or the `ParamsError` of a parameter.

Made from the docstrings by `docs/make_api_docs.py`.
"""

FUNCTIONS = (
    "load_dataset",
    "extract_features",
    "order",
    "plan_batches",
    "train_detector",
    "propose",
    "compare",
    "account",
    "workload",
    "simulate",
    "load_model",
    "load_zero_shot",
    "load_params",
)


def api_docs() -> str:
    """Return the page."""
    types = [name for name in boxloop.__all__ if name not in FUNCTIONS]
    parts = [HEAD, "## Functions\n", *map(_function, FUNCTIONS), "## Types\n", *map(_type, types)]
    return "\n".join(parts)


def _function(name: str) -> str:
    function = getattr(boxloop, name)
    return f"### `{name}`\n\n```python\n{_signature(name, function)}\n```\n\n{_prose(function)}\n"


def _type(name: str) -> str:
    kind = getattr(boxloop, name)
    bases = [base for base in kind.__mro__[1:] if base.__module__.startswith("boxloop")]
    prose = _prose(kind)
    lines = [f"### `{name}`\n", prose]
    for base in bases:
        if inherited := _prose(base).partition("*Attributes*\n")[2].lstrip():
            lines.append(inherited if "*Attributes*" in prose else f"*Attributes*\n\n{inherited}")
    for method, value in itertools.chain(*(vars(part).items() for part in (kind, *bases))):
        plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if method.startswith("_") or method.startswith("model_"):
            continue
        if isinstance(value, property) or inspect.isfunction(plain):
            summary = (inspect.getdoc(plain) or "").partition("\n\n")[0].replace("\n", " ")
            call = "" if isinstance(value, property) else "()"
            lines.append(f"- `.{method}{call}`: {summary}")
    return "\n".join(lines) + "\n"


def _signature(name: str, function: Any) -> str:
    text = str(inspect.signature(function)).replace("'", "")
    text = re.sub(r"<function (\w+) at 0x\w+>", r"\1", text)
    flat = f"{name}{text}"
    if len(flat) <= 96:
        return flat
    inside, _, result = text[1:].rpartition(") -> ")
    arguments = re.split(r", (?![^\[\(]*[\]\)])", inside)
    return f"{name}(\n" + "".join(f"    {a},\n" for a in arguments) + f") -> {result}"


def _prose(thing: Any) -> str:
    """Turn a Google-style docstring into Markdown."""
    out, section = [], None
    for block in re.split(r"\n\n", inspect.getdoc(thing) or ""):
        title, _, rest = block.partition("\n")
        if title in ("Args:", "Attributes:", "Raises:", "Returns:"):
            section, body = title[:-1], textwrap.dedent(rest)
            out.append(f"*{section}*\n")
            if section == "Returns":
                out.append(body.replace("\n", " ") + "\n")
                continue
            items = re.split(r"\n(?=\S)", body)
            rows = [re.sub(r"\s*\n\s+", " ", item).partition(": ") for item in items]
            out.append("\n".join(f"- `{key}`: {text}" for key, _, text in rows) + "\n")
        else:
            out.append(block.replace("\n", " ") + "\n" if "::" not in block else block + "\n")
    text = "\n".join(out)
    text = re.sub(r":(?:func|class|meth|mod|data):`~?([\w.]+)`", r"`\1`", text)
    return text.replace("``", "`")


if __name__ == "__main__":
    print(api_docs(), end="")
