"""The method of the paper: pure computations on arrays, without files."""
