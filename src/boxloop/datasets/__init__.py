"""Importers: one module per format, each of which hands back a ``Dataset``."""
