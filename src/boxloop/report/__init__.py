"""Report a campaign: metrics.json, tables for ``dvc plots``, figures, an HTML page."""
