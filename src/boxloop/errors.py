"""Every error that boxloop raises on purpose.

The command line prints the message of a :class:`BoxloopError` as one sentence and exits with
its ``exit_code``; anything else is a bug and keeps its traceback.

BoxloopError
├── UserError               something the caller can put right
│   ├── ParamsError         params.yaml, or an override, says something that cannot be done
│   ├── DatasetError        a dataset cannot be used
│   ├── ArtifactError       a file that boxloop wrote, or should have, is missing or damaged
│   │   └── NewerFormatError   a newer boxloop wrote it, and only that can read it
│   ├── WeightsError        initial weights cannot be had or do not fit
│   ├── DetectorError       a detector's code does not do what detectors promise
│   ├── DatabaseError       there is no database for the review App, or it does not work
│   ├── SessionError        a review session cannot be opened, or broke off
│   ├── ProtectedLabelsError   the command would replace labels that a person made
│   └── IncompleteError     no labeled image was reviewed for all classes of today
├── ProcessError            one of several processes that work together failed
├── TrackingError           MLflow cannot be written to
├── ReviewPending           a person has not finished a batch yet: not a fault, but not done
├── StudyError              some cells of a study failed; what is done is kept
│   └── StudyStopped        it was stopped from outside
└── TrainingError           training went wrong, and nothing was written
    └── DivergedError       the loss became NaN or infinite
"""

from __future__ import annotations

import errno
import os
import tempfile

_AWAY = "get access to it (chmod, chown), or use another place"
_WAYS = {
    errno.ENOSPC: "free some, then try again",
    errno.EDQUOT: "free some of your own, then try again",
    errno.EROFS: "make it writable, or use another place",
    errno.EACCES: _AWAY,
    errno.EPERM: _AWAY,
}
"""What helps against what a system may say of a file or folder."""

SET_TMPDIR = "or set TMPDIR to a folder with more room"
"""Ends what is told of temporary files, as a part of the sentence."""


class BoxloopError(Exception):
    """Base of all of them; the message is one clear sentence for the person at the terminal."""

    exit_code = 1


class UserError(BoxloopError):
    """Something the caller can put right."""

    exit_code = 2


class ParamsError(UserError):
    """params.yaml, or an override on the command line, says something that cannot be done."""


class DatasetError(UserError):
    """A dataset cannot be used: names the file, the place in it and the way out."""


class ArtifactError(UserError):
    """A file that boxloop wrote, or should have written, is missing or damaged."""


class NewerFormatError(ArtifactError):
    """A file is of a format that a newer boxloop wrote: that version reads it."""


class MergeConflictError(ArtifactError):
    """A merge left a conflict in a file: one side of it has to be kept."""


class WeightsError(UserError):
    """Initial weights cannot be downloaded, read, or fitted to the architecture."""


class DetectorError(UserError):
    """A detector's code does not do what detectors promise; names the detector and the method."""


class DatabaseError(UserError):
    """There is no database for the review App, or it cannot be started or reached."""


class SessionError(UserError):
    """A review session cannot be opened, or broke off; what was saved in it is kept."""


class ProtectedLabelsError(UserError):
    """The command would replace labels that a person made."""


class IncompleteError(UserError):
    """A detector needs images that were reviewed for all classes, and there is none."""


class ProcessError(BoxloopError):
    """One of several processes that work together failed; nothing was written."""


class TrackingError(BoxloopError):
    """MLflow cannot be written to: the server does not answer, or the store is unusable."""


class ReviewPending(BoxloopError):
    """A person has not finished a batch yet."""

    exit_code = 3


class StudyError(BoxloopError):
    """Some cells of a study failed, or it was stopped; what is done is kept."""


class StudyStopped(StudyError):
    """A person, or the system, stopped a study."""

    exit_code = 130


class TrainingError(BoxloopError):
    """Training went wrong, and no checkpoint was written."""


class DivergedError(TrainingError):
    """The loss became NaN or infinite."""


def told(error: BoxloopError | OSError) -> tuple[str, int]:
    """What the terminal is told of an error, and the exit code."""
    if isinstance(error, BoxloopError):
        return str(error), error.exit_code
    place = written(error)
    return f"{f'{place}: ' if place else ''}{why(error)}", UserError.exit_code


def written(error: OSError) -> str | None:
    """The file that an error is of, where it tells: of a copy the new one, which may lack room."""
    place = error.filename
    if place is None or isinstance(place, int):
        return None
    # Where the old one is there, the fault is the new one's.
    if error.filename2 is not None and os.path.lexists(place):
        place = error.filename2
    return os.fsdecode(place)


def why(error: OSError) -> str:
    """What the system says of a file or folder, and what helps where that is known."""
    said, way = error.strerror or str(error), _WAYS.get(error.errno or 0)
    return said if way is None else f"{said}: {way}"


def temporary_place() -> str:
    """Where temporary files go; where no place takes one, where they should."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # no place takes a file
        return os.environ.get("TMPDIR") or "/tmp"


def temporary_refused(error: OSError) -> UserError:
    """What is told where the system takes no temporary file."""
    said = f"{temporary_place()}, where temporary files go, cannot be written: {why(error)}"
    return UserError(f"{said}; {SET_TMPDIR}")
