"""FiftyOne finds the plugin here; what it does is in the package, where it is typed and tested."""

from boxloop.review.fiftyone.operators import register

__all__ = ["register"]
