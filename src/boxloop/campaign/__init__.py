"""A campaign on disk: where its files are, what is in them, and what becomes of it."""
