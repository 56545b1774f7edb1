"""Import corrections that were made in other tools."""
