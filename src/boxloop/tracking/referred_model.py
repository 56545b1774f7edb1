"""What MLflow loads of a turn's detector: a base64 image in, boxes out.

Its checkpoint lies in the logged model where ``track.models`` is ``full``. Else it is where the
reference says: among the artifacts of the turn's run, or in the campaign's folder, which is the one
that this runs in.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

from boxloop.errors import ArtifactError
from boxloop.files import file_digest, temporary_folder, writing_temporary
from boxloop.tracking.served_model import THRESHOLD, decode_all, rows
from boxloop.tracking.turn_model import CHECKPOINT, DESCRIPTION, REFERENCE


class ReferredModel:
    """A turn's detector behind MLflow's interface."""

    def __init__(self, model: Any) -> None:
        """Take over a loaded :class:`boxloop.Model`."""
        self._model = model

    # Without types: MLflow would take them for the signature, which it is given.
    def predict(self, model_input, params=None):  # type: ignore[no-untyped-def]
        """Find boxes, as :meth:`boxloop.tracking.served_model.ServedModel.predict` does.

        "f1" and "least-wt" are the score from which the turn's proposals were shown.
        """
        images = decode_all(model_input)
        found = self._model.predict(images, threshold=(params or {}).get(THRESHOLD, "f1"))
        return [{"boxes": rows(boxes)} for boxes in found]


def _load_pyfunc(path: str) -> ReferredModel:
    """Load a model's data; MLflow calls it.

    Raises:
        ArtifactError: the checkpoint is nowhere to be found.
        UserError: there is no room for temporary files.
    """
    from boxloop import load_model

    folder = Path(path)
    if (folder / CHECKPOINT).exists():
        return ReferredModel(load_model(folder))
    with temporary_folder() as whole:
        with writing_temporary():
            shutil.copyfile(folder / DESCRIPTION, whole / DESCRIPTION)
        about = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        reference = json.loads((folder / REFERENCE).read_text(encoding="utf-8"))
        checkpoint = _find(reference, about["checkpoint"], whole)
        with writing_temporary():
            shutil.copyfile(checkpoint, whole / CHECKPOINT)
        return ReferredModel(load_model(whole))


def _find(reference: dict[str, Any], digest: str, folder: Path) -> Path:
    """Return a file with the checkpoint, from MLflow or from here."""
    reason = "MLflow holds no checkpoints (track.checkpoints)"
    if reference["run"] is not None:
        import mlflow
        from mlflow.exceptions import MlflowException

        target = folder / "download"
        with writing_temporary():
            target.mkdir()
        try:
            return Path(
                mlflow.artifacts.download_artifacts(
                    run_id=reference["run"],
                    artifact_path=reference["artifact"],
                    dst_path=str(target),
                )
            )
        except (MlflowException, OSError) as error:
            full = os.strerror(errno.ENOSPC)
            if full in str(error):  # MLflow may have put the system's words into its own
                with writing_temporary():
                    raise OSError(errno.ENOSPC, full) from None
            reason = f"run {reference['run']} has none: {str(error).splitlines()[0][:200]}"
    here = Path(reference["dvc"])
    if here.exists() and file_digest(here) == digest:
        return here
    raise ArtifactError(
        f"the checkpoint {digest[:12]} of this model is neither in MLflow nor at {here}: load it in"
        f" the campaign's folder, after 'dvc pull {here}', or have models hold their own"
        f" (track.models: full) ({reason})"
    )
