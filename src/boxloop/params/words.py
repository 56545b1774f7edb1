"""Words with a meaning of their own."""

EMPTY = "empty"
"""Name of the labeled set, and of the detector, that the first iteration starts from."""

FILE = "file"
"""What stands for the detector where the proposals were imported."""

GIVEN = "given"
"""Name of the labels that a dataset came with, where they are trusted."""

LABELS = "labels"
"""What stands for the detector where labels that exist are shown as proposals."""

ZERO_SHOT = "zero-shot "
"""What the names of foundation models begin with where a detector's would stand."""

PLACEHOLDER = "?"
"""The class of a new box until one is chosen; no dataset's."""
