"""A delivered model as a logged model of MLflow's, and as a version in its registry."""

from __future__ import annotations

import base64
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from boxloop import __version__

NAME = "detector"
"""Of the logged model in its run."""

_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
_SERVED = Path(__file__).with_name("served_model.py")
_NEEDED = ("torch", "torchvision", "timm", "numpy", "pillow", "mlflow")


def log_model(uri: str, run_id: str, folder: Path, example: bytes) -> str:
    """Log a delivered model to a run, with signature, input example and requirements.

    Args:
        uri: of the store.
        run_id: of an open run, which is FINISHED then.
        folder: of the model.
        example: a JPEG.

    Returns:
        The logged model's id.
    """
    import mlflow

    image = base64.b64encode(example).decode()
    # Caught, not filtered: it asks for type hints in place of the signature, by filters of its own.
    with _store(uri), mlflow.start_run(run_id=run_id), warnings.catch_warnings(record=True):
        logged = mlflow.pyfunc.log_model(
            name=NAME,
            python_model=str(_SERVED),
            artifacts={"model": str(folder.resolve())},
            signature=model_signature(),
            input_example=({"image": [image]}, {"threshold": "f1"}),
            pip_requirements=requirements(),
        )
    return str(logged.model_id)


def register(uri: str, model_id: str, name: str) -> str:
    """Make a logged model a version of a registered model, unless it is one.

    Returns:
        The version.
    """
    import mlflow

    client = mlflow.MlflowClient(uri, uri)  # its registry, too, as for what is registered below
    source = f"models:/{model_id}"
    quote = '"' if "'" in name else "'"  # params refuse a name with both
    versions = client.search_model_versions(f"name = {quote}{name}{quote}")
    known = [v for v in versions if getattr(v, "model_id", None) == model_id or v.source == source]
    if known:
        return str(known[0].version)
    with _store(uri):
        return str(mlflow.register_model(source, name).version)


def model_signature() -> Any:
    """Return what a model takes, a base64 image, and gives, its boxes."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, Object, Property

    numbers = ("score", "x1", "y1", "x2", "y2")
    box = Object([Property("label", "string"), *(Property(name, "double") for name in numbers)])
    return ModelSignature(
        inputs=Schema([ColSpec("string", "image")]),
        outputs=Schema([ColSpec(Array(box), "boxes")]),
        params=ParamSchema([ParamSpec("threshold", "string", "f1")]),
    )


def requirements() -> list[str]:
    """Return what serving needs, at the versions at hand."""
    found = [f"boxloop=={__version__}"]
    for name in (*_NEEDED, *(("transformers",) if "transformers" in sys.modules else ())):
        try:
            found.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def _store(uri: str) -> Iterator[None]:
    """Have MLflow's fluent functions use a store, which they know no argument for."""
    import mlflow

    before = (mlflow.get_tracking_uri(), mlflow.get_registry_uri())
    # MLflow writes there what it is told, and from then on it would look like the user's.
    environment = {name: os.environ.get(name) for name in _VARIABLES}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
