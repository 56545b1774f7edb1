"""Read a YAML file of keys with texts, lists and tables of texts; nothing deeper is looked at.

Every value is the text that the file has: ``no`` is "no" and ``1e-3`` is "1e-3". Aliases are not
unfolded and merge keys are refused, so that no file is larger than it looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml import events as e
from ruamel.yaml.error import YAMLError

from boxloop.datasets.file_listing import read_text
from boxloop.errors import DatasetError

_LONGEST = 4_000_000  # characters
_LONG = 50_000  # from here on by the parser in C, which takes a tenth of the time

_DEEPEST = 100

_NULL = ("", "~", "null", "Null", "NULL")


@dataclass(eq=False, slots=True)
class _Node:
    """A text, a list of nodes, or a table: a list of its keys and values in turn."""

    value: Any
    table: bool
    line: int


class FlatYaml:
    """The content of such a file.

    Attributes:
        file: where it is.
        keys: in the file's order.
    """

    def __init__(self, file: Path) -> None:
        """Read a file.

        Raises:
            DatasetError: it cannot be read, is not YAML, or is no table of keys.
        """
        self.file = file
        self._nodes: dict[str, _Node] = self._table(self._compose(read_text(file)))
        self.keys = list(self._nodes)

    def _compose(self, text: str) -> _Node:
        if len(text) > _LONGEST:
            raise DatasetError(f"{self.file} is larger than any list of classes: is it data.yaml?")
        try:
            return _build(YAML(typ="base", pure=len(text) < _LONG).parse(text))
        except (YAMLError, ValueError, RecursionError) as error:
            # The library adds advice for programmers below an empty line.
            reason = " ".join(str(error).partition("\n\n")[0].split())
            raise self._refuse(reason) from None

    def _table(self, node: _Node | None) -> dict[str, _Node]:
        if node is None or not node.table:
            raise DatasetError(f"{self.file} must hold 'names' and 'train', 'val' or 'test'")
        found: dict[str, _Node] = {}
        for key, value in zip(node.value[::2], node.value[1::2], strict=True):
            name, place = _scalar(key), f"(line {key.line})"
            if name is None:
                raise self._refuse(f"a key must be a text {place}")
            if name == "<<":
                raise self._refuse(f"merge keys (<<) are not read: write them out {place}")
            if name in found:
                raise self._refuse(f'found duplicate key "{name}" {place}')
            found[name] = value
        return found

    def _refuse(self, reason: str) -> DatasetError:
        return DatasetError(f"{self.file} is not valid YAML: {reason}")

    def text(self, key: str) -> str | None:
        """Return the text of a key; None where it has none."""
        node = self._nodes.get(key)
        return None if node is None or self.is_empty(key) else _scalar(node)

    def is_empty(self, key: str) -> bool:
        """Return whether a key is absent, null or an empty list."""
        node = self._nodes.get(key)
        return node is None or not node.value or node.value in _NULL

    def items(self, key: str) -> list[str] | None:
        """Return the texts of a key, one or a list; None where it holds anything else."""
        node = self._nodes.get(key)
        items = node.value if node is not None and _is_list(node) else [node]
        texts = [_scalar(item) for item in items]
        return None if None in texts else [text for text in texts if text is not None]

    def pairs(self, key: str) -> dict[str, str | None]:
        """Return a table's texts, or a list's by their numbers from 0 on.

        None stands for what is no text; there are no pairs where the key holds no table or list.
        """
        node = self._nodes.get(key)
        if node is not None and _is_list(node):
            return {str(number): _scalar(item) for number, item in enumerate(node.value)}
        if node is not None and node.table:
            return {name: _scalar(item) for name, item in self._table(node).items()}
        return {}


def _scalar(node: _Node | None) -> str | None:
    return node.value if node is not None and isinstance(node.value, str) else None


def _is_list(node: _Node) -> bool:
    return isinstance(node.value, list) and not node.table


def _build(events: Iterable[Any]) -> _Node:
    """Build the nodes of a document without recursion, which deep nesting would exhaust.

    Raises:
        ValueError: there is no document, there are several, or it is nested too deeply.
    """
    top = _Node([], table=False, line=0)
    stack, anchors = [top], dict[str, _Node]()
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, e.ScalarEvent | e.SequenceStartEvent | e.MappingStartEvent):
            value = event.value if isinstance(event, e.ScalarEvent) else []
            node = _Node(value, isinstance(event, e.MappingStartEvent), line)
            stack[-1].value.append(node)
            if event.anchor:
                anchors[event.anchor] = node
            if not isinstance(event, e.ScalarEvent):
                stack.append(node)
        elif isinstance(event, e.AliasEvent):
            if event.anchor not in anchors:
                raise ValueError(f"found undefined alias {event.anchor!r} (line {line})")
            stack[-1].value.append(anchors[event.anchor])
        elif isinstance(event, e.SequenceEndEvent | e.MappingEndEvent):
            stack.pop()
        if len(stack) > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep (line {line})")
    if len(top.value) != 1:
        raise ValueError(f"it holds {len(top.value)} documents instead of one")
    return top.value[0]  # type: ignore[no-any-return]
