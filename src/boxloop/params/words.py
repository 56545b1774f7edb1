"""Words with a meaning of their own."""

GIVEN = "given"
"""Name of the labels that a dataset came with, where they are trusted."""

LABELS = "labels"
"""What stands for the detector where labels that exist are shown as proposals."""

PLACEHOLDER = "?"
"""The class of a new box until one is chosen; no dataset's."""
