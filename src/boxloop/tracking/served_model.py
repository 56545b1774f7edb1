"""What MLflow loads of a delivered model: a base64 image in, boxes out.

MLflow keeps a copy of this file with each logged model, and runs it to load one.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel  # type: ignore[attr-defined]

ARTIFACT, IMAGE, THRESHOLD = "model", "image", "threshold"
"""Names of the model's folder, the input's column, and the parameter."""


class ServedModel(PythonModel):
    """A delivered model behind MLflow's interface."""

    def load_context(self, context: Any) -> None:
        """Load the detector."""
        from boxloop import load_model

        self._model = load_model(context.artifacts[ARTIFACT])

    # Without types: MLflow would take them for the signature, which it is given.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Find boxes.

        Args:
            context: MLflow's.
            model_input: a table with a column ``image``: files of images as base64 text, which
                may begin as a data URI.
            params: ``threshold``: "f1", "least-wt" or a number as text.

        Returns:
            A row per image: a list ``boxes`` of ``label``, ``score`` and ``x1``, ``y1``, ``x2``,
            ``y2`` in pixels of the upright image.

        Raises:
            BoxloopError: a text is no image, or there is no such threshold.
        """
        images = decode_all(model_input)
        found = self._model.predict(images, threshold=(params or {}).get(THRESHOLD, "f1"))
        return [{"boxes": rows(boxes)} for boxes in found]


def decode_all(model_input: Any) -> list[bytes]:
    """Return the bytes of all images; in Python, MLflow makes one row of a dict of lists.

    Raises:
        BoxloopError: a text is not base64.
    """
    cells = list(model_input[IMAGE])
    rows = [[cell] if isinstance(cell, str) else list(cell) for cell in cells]
    return [_decode(text) for row in rows for text in row]


def _decode(text: str) -> bytes:
    from boxloop import BoxloopError

    start, _, rest = text.partition(",")
    try:
        return base64.b64decode(rest if start.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError):
        raise BoxloopError("an image must be given as base64 text") from None


def rows(boxes: Any) -> list[dict[str, Any]]:
    """Return boxes as MLflow's signature has them."""
    columns = (boxes.labels.tolist(), boxes.scores.tolist(), boxes.xyxy.tolist())
    return [
        {"label": label, "score": score, "x1": x1, "y1": y1, "x2": x2, "y2": y2}
        for label, score, (x1, y1, x2, y2) in zip(*columns, strict=True)
    ]


set_model(ServedModel())
