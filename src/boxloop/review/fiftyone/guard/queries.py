"""Read a GraphQL document: the fields of the server that it asks for, and the values it holds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from graphql import GraphQLError, parse, value_from_ast_untyped
from graphql.language import ast

_MOST_TOKENS = 20_000

QUERIES = frozenset(
    {
        *("__typename", "aggregations", "colorscale", "config", "context", "dataset"),
        *("datasets", "dev", "doNotTrack", "estimatedDatasetCount", "lightning", "sample"),
        *("samples", "savedViews", "schemaForViewStages", "stageDefinitions", "uid"),
        "version",
    }
)
MUTATIONS = frozenset(
    {
        *("__typename", "searchSelectFields", "setDataset", "setFieldVisibilityStage"),
        *("setGroupSlice", "setLabelSelectionStyle", "setSample"),
        *("setSampleSelectionStyle", "setSelected", "setSelectedLabels"),
        *("setSelectedSamples", "setSidebarGroups", "setSpaces", "setView"),
    }
)
"""What the App tells its server while somebody reviews; nothing here changes a saved view."""


class NotAllowed(ValueError):
    """A document asks for what a review has no use for, or is none."""


@lru_cache(maxsize=256)
def read(text: str) -> tuple[Any, ...]:
    """Return all literal arguments and defaults of a document; check the fields that it asks for.

    Raises:
        NotAllowed: one is not among :data:`QUERIES` or :data:`MUTATIONS`, or it is no document.
    """
    try:
        document = parse(text, max_tokens=_MOST_TOKENS)
        values = tuple(value_from_ast_untyped(node) for node in _values(document))
    except (GraphQLError, RecursionError) as error:
        raise NotAllowed(f"that is no GraphQL document ({type(error).__name__})") from None
    fragments = {
        node.name.value: node
        for node in document.definitions
        if isinstance(node, ast.FragmentDefinitionNode)
    }
    for node in document.definitions:
        if isinstance(node, ast.FragmentDefinitionNode):
            continue
        if not isinstance(node, ast.OperationDefinitionNode):
            raise NotAllowed("a request holds queries and mutations only")
        allowed = {"query": QUERIES, "mutation": MUTATIONS}.get(node.operation.value, frozenset())
        for name in _root_fields(node.selection_set, fragments, set()):
            if name not in allowed:
                raise NotAllowed(f"a review does not need {node.operation.value} {name}")
    return values


def _root_fields(
    selections: ast.SelectionSetNode,
    fragments: dict[str, ast.FragmentDefinitionNode],
    seen: set[str],
) -> Iterator[str]:
    for node in selections.selections:
        if isinstance(node, ast.FieldNode):
            yield node.name.value
        elif isinstance(node, ast.InlineFragmentNode):
            yield from _root_fields(node.selection_set, fragments, seen)
        elif isinstance(node, ast.FragmentSpreadNode):
            name = node.name.value
            if name in fragments and name not in seen:
                seen.add(name)
                yield from _root_fields(fragments[name].selection_set, fragments, seen)


def _values(document: ast.DocumentNode) -> Iterator[ast.ValueNode]:
    """Return the values of a document that hold others, or text, at any depth."""
    waiting: list[Any] = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ListValueNode | ast.ObjectValueNode | ast.StringValueNode):
            yield node
        elif isinstance(node, ast.Node):
            waiting += [getattr(node, key) for key in node.keys if key != "loc"]
        elif isinstance(node, list | tuple):
            waiting += node
