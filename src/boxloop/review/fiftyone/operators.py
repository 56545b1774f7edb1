"""Define the FiftyOne operators behind the App's buttons and panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types
from pymongo.errors import PyMongoError

from boxloop.errors import BoxloopError
from boxloop.review.fiftyone import below
from boxloop.review.fiftyone.controller import ReviewController

NAMESPACE = "@boxloop/review"

NEEDED = frozenset(
    f"{namespace}/{name}"
    for namespace, names in (
        (NAMESPACE, ("overview", "set_reviewed", "reviewed", "add_seconds", "below", "submit")),
        ("@voxel51/operators", ("get_label_schemas", "list_workspaces", "load_workspace")),
    )
    for name in names
)
"""The addresses of the operators that a review runs on the server: these, and what the App itself
asks for."""

_controller: ReviewController | None = None


def serve(controller: ReviewController) -> None:
    """Make the operators of this process call a controller."""
    global _controller
    _controller = controller


def _current() -> ReviewController:
    if _controller is None:
        raise RuntimeError("this server was not started by 'boxloop review'")
    return _controller


def _answer(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a call returns; an error becomes a sentence for the panel."""
    try:
        return call()
    except (BoxloopError, OSError) as error:
        return {"error": str(error)}
    except PyMongoError:
        return {"error": "the database does not answer; it is started again by itself in a moment"}


class Overview(foo.Operator):
    """Return everything that the panel shows."""

    @property
    def config(self) -> Any:
        """Hidden from the App's list of operators."""
        return foo.OperatorConfig(name="overview", label="Review: overview", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Return :meth:`ReviewController.overview`."""
        return _answer(lambda: _current().overview())


class SetReviewed(foo.Operator):
    """Set images as reviewed, or as not."""

    @property
    def config(self) -> Any:
        """Hidden from the App's list of operators."""
        return foo.OperatorConfig(name="set_reviewed", label="Review: set reviewed", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Set ``samples``; return the overview and the next image that waits."""

        def call() -> dict[str, Any]:
            controller, samples = _current(), ctx.params.get("samples")
            ids = [str(i) for i in samples] if isinstance(samples, list) else []
            controller.set_reviewed(ids, bool(ctx.params.get("reviewed", True)))
            following = controller.next_waiting(ids[-1] if ids else None)
            return {**controller.overview(), "next": following}

        return _answer(call)


class ReviewedNext(foo.Operator):
    """Set the open image as reviewed, and open the next one that waits."""

    @property
    def config(self) -> Any:
        """In the App's list of operators."""
        return foo.OperatorConfig(name="reviewed", label="Reviewed, next")

    def resolve_placement(self, ctx: Any) -> Any:
        """Put the button above the open image, in both of its tabs."""
        button = types.Button(label="Reviewed, next", prompt=False)
        return types.Placement(types.Places.SAMPLES_VIEWER_ACTIONS, button)

    def execute(self, ctx: Any) -> None:
        """Open the next image in the Annotate tab."""
        controller, sample = _current(), ctx.current_sample
        if sample is None:
            ctx.ops.notify("Open an image first.", variant="warning")
            return
        controller.set_reviewed([sample])
        following = controller.next_waiting(sample)
        if following is None:
            ctx.ops.close_sample()
            ctx.ops.reload_dataset()
            ctx.ops.notify("Every image is reviewed: submit the batch.", variant="success")
        else:
            ctx.trigger("open_sample", params={"id": following, "mode": "annotate"})


class AddSeconds(foo.Operator):
    """Add active seconds."""

    @property
    def config(self) -> Any:
        """Hidden from the App's list of operators."""
        return foo.OperatorConfig(name="add_seconds", label="Review: active time", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Add ``seconds``, by sample id."""

        def call() -> dict[str, Any]:
            seconds = ctx.params.get("seconds")
            if isinstance(seconds, dict):
                _current().add_seconds(seconds)
            return {}

        return _answer(call)


class Below(foo.Operator):
    """Return the proposals of an image that score less than those drawn."""

    @property
    def config(self) -> Any:
        """Hidden from the App's list of operators: the panel has the button."""
        return foo.OperatorConfig(name="below", label="Review: lower scores", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Return those of ``sample``: ``{"rows": [...]}``, see :func:`below.rows`."""
        sample = str(ctx.params.get("sample"))
        return _answer(lambda: {"rows": below.rows(_current().images(), sample)})


class Submit(foo.Operator):
    """Submit the batch."""

    @property
    def config(self) -> Any:
        """Hidden from the App's list of operators: the panel has the button."""
        return foo.OperatorConfig(name="submit", label="Review: submit batch", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Return :meth:`ReviewController.submit`."""
        return _answer(lambda: _current().submit())


def register(plugin: Any) -> None:
    """Register the operators; FiftyOne calls this when it loads the plugin."""
    for operator in (Overview, SetReviewed, ReviewedNext, AddSeconds, Below, Submit):
        plugin.register(operator)
