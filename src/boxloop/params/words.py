"""Words with a meaning of their own."""

PLACEHOLDER = "?"
"""The class of a new box until one is chosen; no dataset's."""
