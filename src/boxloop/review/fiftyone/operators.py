"""What the App's buttons and panel call: FiftyOne operators around the session's desk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types
from pymongo.errors import PyMongoError

from boxloop.errors import BoxloopError
from boxloop.review.fiftyone.controller import Desk

NAMESPACE = "@boxloop/review"

_desk: Desk | None = None


def serve(desk: Desk) -> None:
    """Has the operators of this process work on a desk."""
    global _desk
    _desk = desk


def _current() -> Desk:
    if _desk is None:
        raise RuntimeError("this server was not started by 'boxloop review'")
    return _desk


class Overview(foo.Operator):
    """Everything that the panel shows."""

    @property
    def config(self) -> Any:
        """Hidden from the App's list of operators."""
        return foo.OperatorConfig(name="overview", label="Review: overview", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Returns :meth:`Desk.overview`."""
        return _told(lambda: _current().overview())


class Mark(foo.Operator):
    """Marks images as reviewed or not."""

    @property
    def config(self) -> Any:
        """Hidden from the App's list of operators."""
        return foo.OperatorConfig(name="mark", label="Review: mark", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Marks ``samples``; returns the overview and the next image that waits."""

        def work() -> dict[str, Any]:
            desk, samples = _current(), ctx.params.get("samples")
            ids = [str(i) for i in samples] if isinstance(samples, list) else []
            desk.mark(ids, reviewed=bool(ctx.params.get("reviewed", True)))
            return {**desk.overview(), "next": desk.following(ids[-1] if ids else None)}

        return _told(work)


class MarkCurrent(foo.Operator):
    """The button above an open image: reviewed, and on to the next one that waits."""

    @property
    def config(self) -> Any:
        """In the App's list of operators."""
        return foo.OperatorConfig(name="reviewed", label="Reviewed, next")

    def resolve_placement(self, ctx: Any) -> Any:
        """Above the open image, in both of its tabs."""
        button = types.Button(label="Reviewed, next", prompt=False)
        return types.Placement(types.Places.SAMPLES_VIEWER_ACTIONS, button)

    def execute(self, ctx: Any) -> None:
        """Marks the open image, and opens the next one in the Annotate tab."""
        desk, sample = _current(), ctx.current_sample
        if sample is None:
            ctx.ops.notify("Open an image first.", variant="warning")
            return
        desk.mark([sample], reviewed=True)
        following = desk.following(sample)
        if following is None:
            ctx.ops.close_sample()
            ctx.ops.reload_dataset()
            ctx.ops.notify("Every image is reviewed: submit the batch.", variant="success")
        else:
            ctx.trigger("open_sample", params={"id": following, "mode": "annotate"})


class Spend(foo.Operator):
    """Adds active seconds."""

    @property
    def config(self) -> Any:
        """Hidden from the App's list of operators."""
        return foo.OperatorConfig(name="spend", label="Review: active time", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Adds ``seconds``, by sample id."""

        def work() -> dict[str, Any]:
            seconds = ctx.params.get("seconds")
            if isinstance(seconds, dict):
                _current().spend(seconds)
            return {}

        return _told(work)


class Submit(foo.Operator):
    """Submits the batch."""

    @property
    def config(self) -> Any:
        """Hidden from the App's list of operators: the panel has the button."""
        return foo.OperatorConfig(name="submit", label="Review: submit batch", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Returns :meth:`Desk.submit`."""
        return _told(lambda: _current().submit())


def _told(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Runs ``work``; what is wrong becomes a sentence for the panel."""
    try:
        return work()
    except (BoxloopError, OSError) as error:
        return {"error": str(error)}
    except PyMongoError:
        return {"error": "the database does not answer; it is started again by itself in a moment"}


def register(plugin: Any) -> None:
    """Called by FiftyOne when it loads the plugin."""
    for operator in (Overview, Mark, MarkCurrent, Spend, Submit):
        plugin.register(operator)
