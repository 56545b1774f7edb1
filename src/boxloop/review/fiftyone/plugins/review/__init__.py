"""Let FiftyOne find the plugin, whose operators lie in the package, typed and tested."""

from boxloop.review.fiftyone.operators import register

__all__ = ["register"]
