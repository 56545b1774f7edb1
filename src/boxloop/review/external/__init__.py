"""Import what other tools made: corrections, labels, proposals."""
