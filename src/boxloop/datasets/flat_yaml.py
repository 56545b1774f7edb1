"""Read a YAML file of keys with texts, lists and tables of texts; nothing deeper is looked at.

Every value is the text that the file has: ``no`` is "no" and ``1e-3`` is "1e-3". Aliases are not
unfolded and merge keys are refused, so that no file is larger than it looks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from boxloop.datasets.file_listing import read_text
from boxloop.errors import DatasetError

_LONGEST = 4_000_000  # characters
_LONG = 50_000  # from here on by the parser in C, which takes a tenth of the time

_NULL = ("", "~", "null", "Null", "NULL")


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
        self._nodes = self._table(self._compose(read_text(file)))
        self.keys = list(self._nodes)

    def _compose(self, text: str) -> Any:
        if len(text) > _LONGEST:
            raise DatasetError(f"{self.file} is larger than any list of classes: is it data.yaml?")
        try:
            return YAML(typ="base", pure=len(text) < _LONG).compose(text)
        except (YAMLError, ValueError, RecursionError) as error:
            # The library adds advice for programmers below an empty line.
            reason = " ".join(str(error).partition("\n\n")[0].split())
            raise self._refuse(reason or "it is nested too deeply") from None

    def _table(self, node: Any) -> dict[str, Any]:
        if not isinstance(node, MappingNode):
            raise DatasetError(f"{self.file} must hold 'names' and 'train', 'val' or 'test'")
        found: dict[str, Any] = {}
        for key, value in node.value:
            place = f"(line {key.start_mark.line + 1})"
            if not isinstance(key, ScalarNode):
                raise self._refuse(f"a key must be a text {place}")
            if key.value == "<<":
                raise self._refuse(f"merge keys (<<) are not read: write them out {place}")
            if key.value in found:
                raise self._refuse(f'found duplicate key "{key.value}" {place}')
            found[key.value] = value
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
        if isinstance(node, ScalarNode):
            return node.value in _NULL
        return node is None or not node.value

    def items(self, key: str) -> list[str] | None:
        """Return the texts of a key, one or a list; None where it holds anything else."""
        node = self._nodes.get(key)
        if isinstance(node, SequenceNode):
            texts = [_scalar(item) for item in node.value]
        else:
            texts = [_scalar(node)]
        return None if None in texts else [text for text in texts if text is not None]

    def pairs(self, key: str) -> dict[str, str | None]:
        """Return a table's texts, or a list's by their numbers from 0 on.

        None stands for what is no text; there are no pairs where the key holds no table or list.
        """
        node = self._nodes.get(key)
        if isinstance(node, SequenceNode):
            return {str(number): _scalar(item) for number, item in enumerate(node.value)}
        if isinstance(node, MappingNode):
            return {name: _scalar(item) for name, item in self._table(node).items()}
        return {}


def _scalar(node: Any) -> str | None:
    return str(node.value) if isinstance(node, ScalarNode) else None
