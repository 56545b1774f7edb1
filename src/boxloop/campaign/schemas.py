"""Check what a file holds when it is read, place by place.

A file of boxes has a model here. Every other one holds the fields of its dataclass. Types are
strict: no text and no boolean passes for a number, and no number for a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import SchemaValidator

from boxloop.campaign.box_rows import BoxTable
from boxloop.core.evidence import Evidence
from boxloop.core.names import require_classes, require_ids
from boxloop.core.types import FittedThreshold, Neighbour, PlantedError
from boxloop.errors import ArtifactError, NewerFormatError
from boxloop.files import BRING_BACK, collection_paused, read_json

Count = Annotated[int, Field(ge=0, le=2**53)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
"""A billion are thirty years."""


def _plain(text: str) -> str:
    """Refuse what is no line of text."""
    if text:
        require_ids((text,))
    return text


def _ids(names: tuple[str, ...]) -> tuple[str, ...]:
    require_ids(names)
    return names


def _classes(names: tuple[str, ...]) -> tuple[str, ...]:
    require_classes(names)
    if len(set(names)) < len(names):
        raise ValueError("must be unique")
    return names


def _planted(table: dict[str, tuple[PlantedError, ...]]) -> dict[str, tuple[PlantedError, ...]]:
    errors = [error for image in table.values() for error in image]
    require_ids(name for e in errors for name in (e.box, e.shown, e.reviewer) if name)
    require_classes({error.label for error in errors})
    return table


Text = Annotated[str, AfterValidator(_plain)]
_Names = Annotated[tuple[str, ...], AfterValidator(_ids)]


class Record(BaseModel):
    """What holds nothing but its fields, and no number that is not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TruthFile(Record):
    """``truth.json``, and imported labels."""

    boxes: BoxTable | None
    # Only of labels that were imported; not in older files.
    changes: Count | _Names | None = None
    digests: dict[Text, Text] | None = None


class BatchFile(Record):
    """One file of ``batches/``."""

    id: str
    image_ids: tuple[str, ...]
    given: str | None = None
    # Only where images have labels that are shown as proposals.
    labels: BoxTable | None = None
    # Only where images are near to others that are labeled before them.
    neighbours: dict[Text, Neighbour] = {}


class _Choice(Record):
    expected_saving: float | None
    found: Text


class _NeighboursFile(_Choice):
    limit: Annotated[float, Field(ge=0)]
    images: dict[Text, Neighbour]
    confirmed: Count
    own: BoxTable


class _CropsFile(_Choice):
    used: bool
    other: BoxTable


class ProposalsFile(Record):
    """One file of ``proposals/``; also a part of corrections."""

    batch: Text
    detector: Text
    checkpoint: Text
    score_floor: Fraction
    boxes: BoxTable
    # Only where the threshold was fitted.
    thresholds: tuple[FittedThreshold, ...] = ()
    # Only where labels of other images changed them.
    neighbours: _NeighboursFile | None = None
    # Only where classes of labeled crops were looked at.
    crops: _CropsFile | None = None
    # Only where they were imported; not in older files.
    changes: Count | _Names | None = None
    digests: dict[Text, Text] | None = None


class SeenFile(Record):
    """What a training had seen of the last batch."""

    batch: Text
    images: tuple[Text, ...]
    of: Count


class TrainingFile(Record):
    """One file of ``training/``."""

    steps: Count
    epochs: Annotated[float, Field(ge=0)]
    images: Count
    losses: tuple[dict[str, float], ...]
    seconds: Seconds
    images_per_second: Annotated[float, Field(ge=0)]
    wait_fraction: Annotated[float, Field(ge=0)]
    preparing_seconds: Seconds
    device: Text
    initial_weights: Text
    boxes: Count
    batch_size: Count
    parameters: Count
    # Only where images were held out, to fit a threshold by.
    held_out: ProposalsFile | None = None
    # Not in files of 0.1.0.
    made_of: dict[Text, Text] = {}
    # Only where it began before all of the last batch was labeled.
    seen: SeenFile | None = None
    # Only where images were enlarged.
    zoom: Annotated[float, Field(ge=1)] = 1.0


class _Counts(Record):
    kept: Count
    moved: Count
    relabeled: Count
    removed: Count
    added: Count


class RecheckFile(Record):
    """Second looks, a part of corrections: what the review had ended with, and who looked."""

    before: BoxTable
    reviewer: dict[Text, Text | None]
    by: dict[Text, Text]
    seconds: dict[Text, Seconds]


class _DecidedImage(Record):
    reviewer: Text
    first_reviewer: Text | None
    looks: tuple[Text, Text]
    seconds: Seconds | None


class DecidedFile(Record):
    """A part of corrections: how third looks came to their boxes."""

    images: dict[Text, _DecidedImage]
    first: BoxTable
    shown: BoxTable


class _ImageEdits(_Counts):
    kept_below: Count = 0  # of the added, those taken from proposals below the threshold


class CorrectionsFile(Record):
    """One file of ``corrections/``."""

    batch: Text
    annotator: Text
    reviewer: Text | None
    finished: Text | None
    versions: dict[Text, Text]
    score_threshold: Fraction
    boxes: BoxTable
    seconds: dict[str, Seconds]
    proposals: ProposalsFile
    # Of people's corrections only; the edits are for other programs, and never read back.
    submitted: dict[str, Text] = {}
    revision: Annotated[int, Field(ge=1, le=10**9)] = 1
    edits: dict[str, _ImageEdits] | None = None
    # Not in files of 0.1.0.
    digests: dict[str, Text] = {}
    classes: _Names = ()
    # Only where labels were imported and trusted.
    given: _Names = ()
    # Only where images were shown without proposals, or errors were planted among them.
    blind: _Names = ()
    planted: Annotated[dict[str, tuple[PlantedError, ...]], AfterValidator(_planted)] = {}
    # Only where classes were added, renamed or merged in between.
    offered: dict[str, _Names] = {}
    changes: Count | _Names = 0
    # Of format 2 only: what is no label, and labels of which a part counts elsewhere.
    look: Literal["second"] | None = None
    decided: DecidedFile | None = None
    # Only where images had a second look.
    rechecked: RecheckFile | None = None


class LabeledFile(Record):
    """The metadata of one file of ``labeled/``: what it holds, and the file before it."""

    classes: Annotated[tuple[str, ...], AfterValidator(_classes)]
    batches: _Names
    # Only where a class was added after images were reviewed.
    incomplete: dict[str, tuple[str, ...]] = {}
    previous: str | None = None
    previous_sha256: str | None = None


class _Ledger(_Counts):
    score_threshold: Fraction
    iou_threshold: Fraction


class WorkloadFile(Record):
    """One file of ``workload/``."""

    batch: Text
    annotator: Text
    detector: Text
    images: Count
    objects: Count
    score_threshold: Fraction
    # By name; -1 where a class has no box.
    average_precision: dict[Text, Annotated[float, Field(ge=-1, le=1)]]
    seconds: Seconds | None
    ledgers: list[_Ledger]
    timed_images: Count | None = None
    edits: _Counts | None = None
    reviewer: Text | None = None
    revision: Annotated[int, Field(ge=1, le=10**9)] = 1
    thresholds: tuple[FittedThreshold, ...] = ()
    # Only where labels were imported and trusted.
    given_images: Count = 0
    given_objects: Count = 0


class EvidenceFile(Record):
    """One file of ``evidence/``: of all batches up to its own, the oldest first."""

    batches: tuple[Evidence, ...]


SECOND_FORMAT = "boxloop/corrections@2"
"""Of second looks, and of labels that a third look decided: no older version must take them."""

_T = TypeVar("_T")


class _Content(Record, Generic[_T]):
    """Anything to be checked: a dataclass, too, is checked by the rules of its record."""

    content: _T


@cache
def _validator_of(type_: Any) -> SchemaValidator:
    model: Any = _Content[type_]
    schema = _with_strict_values(model.__pydantic_core_schema__)
    # Else those that the models within were made with would be taken, which are not strict.
    return SchemaValidator(schema, _use_prebuilt=False)


def _with_strict_values(schema: Any) -> Any:
    """Return a schema that takes lists for tuples and tables for dataclasses, as JSON needs it.

    Pydantic's own strictness would refuse these, too.
    """
    if isinstance(schema, dict):
        inner = {key: _with_strict_values(value) for key, value in schema.items()}
        return inner | {"strict": True} if inner.get("type") in _VALUES else inner
    if isinstance(schema, list | tuple):
        return type(schema)(map(_with_strict_values, schema))
    return schema


_VALUES = ("int", "float", "str", "bool")


def parse(path: Path, kind: str, type_: type[_T]) -> _T:
    """Read a JSON file of the format ``boxloop/<kind>@1`` into a model or a dataclass.

    Corrections may be of format 2, which older versions refuse.

    Raises:
        ArtifactError: it is of another format, or something in it is wrong; names the first place.
    """
    with collection_paused():
        return check_content(path, read_content(path, kind), type_)


def read_content(path: Path, kind: str) -> dict[str, Any]:
    """Read a JSON file of the format ``boxloop/<kind>@1``, whatever else it holds.

    Raises:
        NewerFormatError: it is of a later version of that format.
        ArtifactError: it is of another format.
    """
    content: Any = read_json(path)
    wanted = f"boxloop/{kind}@1"
    present = content.pop("format", None) if isinstance(content, dict) else None
    if kind == "corrections" and present == SECOND_FORMAT:
        present = wanted
    if isinstance(present, str) and re.fullmatch(rf"boxloop/{kind}@[2-9][0-9]{{0,5}}", present):
        raise NewerFormatError(
            f"{path} is of format {present}, which a newer boxloop wrote: install that version"
        )
    if present != wanted:
        what = f"a file of format {present}" if isinstance(present, str) else "another kind of file"
        raise ArtifactError(
            f"{path} is {what}, where one of format {wanted} is needed{_NAME_ANOTHER}"
        )
    return dict(content)


def check_content(path: Path, content: dict[str, Any], type_: type[_T]) -> _T:
    """Make a model or a dataclass of a file's content.

    Raises:
        ArtifactError: something in it is wrong; names the first place.
    """
    try:
        found: _T = _validator_of(cast(Any, type_)).validate_python({"content": content}).content
        return found
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        names = [str(part) for part in first["loc"][1:] if part not in _STEPS]
        place = f"{path}, at {'.'.join(names)}" if names else str(path)
        if first["type"] == "value_error":  # an invariant of a dataclass, or of a text
            raise ArtifactError(f"{place}: {first['ctx']['error']}{MEND}") from None
        odd = first["type"] == "unexpected_keyword_argument"
        message = "Extra inputs are not permitted" if odd else first["msg"]
        more = error.error_count() - 1
        tail = f" (and {more} more)" if more else ""
        raise ArtifactError(f"{place}: {message}{tail}{MEND}") from None


_STEPS = ("function-wrap[_check()]", "function-after[_plain(), str]")
"""What Pydantic puts among the names of a place."""

MEND = "; put it right, bring the file back, or run the stage that makes it again"
"""Ends what is said of a damaged file."""

_NAME_ANOTHER = ": name another file, or run the stage that makes it again"


def fault_of(error: Exception) -> str:
    """Return what is said of a damaged file without the usual way out, where there is another."""
    return str(error).removesuffix(MEND).removesuffix(BRING_BACK).removesuffix(_NAME_ANOTHER)


@contextmanager
def name_file(path: Path) -> Iterator[None]:
    """Turn a broken invariant of a type into an error that names the file."""
    try:
        yield
    except ValueError as error:
        raise ArtifactError(f"{path}: {error}{MEND}") from None
