"""What the files are called that describe a YOLO set: recognized and read by the same names."""

from __future__ import annotations

import re

YAML_SUFFIXES = (".yaml", ".yml")

YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")

CLASS_LISTS = ("classes.txt", "_darknet.labels", "obj.names", "predefined_classes.txt")
"""What files are called that have a class on each line."""

DARKNET_KEYS = re.compile(r"^\s*(names|train)\s*=", re.MULTILINE)
"""The lines that a ``.data`` file has to have."""
