"""The results of a campaign: metrics.json, tables for ``dvc plots``, figures and one HTML page."""
