"""Words with a meaning of their own."""

GIVEN = "given"
"""Name of the labels that a dataset came with, where they are trusted."""

PLACEHOLDER = "?"
"""The class of a new box until one is chosen; no dataset's."""
