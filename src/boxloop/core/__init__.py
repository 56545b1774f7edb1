"""The method of the paper, and what follows from its numbers: types and computations, no files."""
