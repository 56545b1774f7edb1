"""What a terminal shows: numbers as people read them, and the progress of a job."""

from __future__ import annotations

import re
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from typing import Any

Report = Callable[..., None]
"""Called with (done, total), and a note such as ``loss=1.25`` where there is one."""

_SECONDS_BETWEEN_LINES = 5.0

_STEERING = ("Cc", "Cs", "Zl", "Zp")
"""Categories of characters that move the cursor, or are half of one."""

_TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that show what follows them from right to left, or the other way round."""

_LONGEST_WORD, _KEPT_OF_WORD = 400, 150
_LONG_WORD = re.compile(rf"\S{{{_LONGEST_WORD + 1},}}")


def printable(text: str, most: int | None = None, *, lines: bool = True) -> str:
    """Make any text fit for a terminal, a page or a log.

    Control characters, with which a text could steer a terminal, bytes of a file name that are not
    UTF-8 and halves of surrogate pairs become their escapes; a tab and a line break stay. Of a
    single line, a name mostly, everything that has no look of its own becomes its escape, or nobody
    could tell it from its neighbor. A run of characters without a blank that is longer than any
    name, and a text longer than ``most``, lose their middle or their end.

    Args:
        text: whatever a file, a person or another program said.
        most: characters of the whole, if there is a limit.
        lines: whether it may have several lines and columns.
    """
    if most is not None and len(text) > most:
        text = f"{text[:most]}..."
    if len(text) > _LONGEST_WORD:
        text = _LONG_WORD.sub(_shortened, text)
    return _escaped(text, _is_shown if lines else str.isprintable)


def plain_output() -> AbstractContextManager[object]:
    """Escape in all that is printed to standard output what could steer a terminal.

    What files hold is told in many places: a class in a note of ``status``, a key in an error. As
    with :func:`printable`, but nothing is shortened: it may be a path to copy, or a table.
    """
    return redirect_stdout(_Plain(sys.stdout))


class _Plain:
    """A stream of text without what could steer a terminal."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(_escaped(text, _is_shown))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _escaped(text: str, is_shown: Callable[[str], bool]) -> str:
    if text.isprintable():
        return text
    return "".join(char if is_shown(char) else _escape(char) for char in text)


def _is_shown(char: str) -> bool:
    return char in "\n\t" or not (char in _TURNING or unicodedata.category(char) in _STEERING)


def _escape(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte of a file's name that is not UTF-8 (PEP 383)
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")


def _shortened(word: re.Match[str]) -> str:
    return f"{word[0][:_KEPT_OF_WORD]}[...]{word[0][-_KEPT_OF_WORD:]}"


def counted(count: int, noun: str = "image") -> str:
    """Return 1 as "1 image", and 12 as "12 images"; 1,200 boxes are "1,200 boxes"."""
    plural = f"{noun}es" if noun.endswith(("x", "ch")) else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def percent(fraction: float) -> str:
    """Return 0.534 as "53.4 %", and what rounds to zero without a sign."""
    return f"{100 * fraction:z.1f} %"


def saving(fraction: float) -> str:
    """Return 0.534 as "53.4 % saved", and -0.2 as "20.0 % more work"."""
    less = percent(fraction)
    return f"{percent(-fraction)} more work" if less.startswith("-") else f"{less} saved"


def minutes(seconds: float) -> str:
    """Return 2100 as "35.0 min"."""
    return f"{seconds / 60:,.1f} min"


def duration(seconds: float) -> str:
    """Return seconds as "48 s", "3 min 5 s" or "1 h 12 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def reporting(what: str, *, shown: bool = True) -> Iterator[Report]:
    """Shows the progress of one job on standard error.

    Args:
        what: the job in a few words, for example "training b01".
        shown: False reports nothing, for all but one of several processes that work together.
    """
    if not shown:
        yield silent
    elif sys.stderr.isatty():
        with _bar(what) as report:
            yield report
    else:
        yield _lines(what)


@contextmanager
def quiet(what: str) -> Iterator[Report]:
    """Show nothing of a job's progress."""
    yield silent


@contextmanager
def _bar(what: str) -> Iterator[Report]:
    # Rich takes long to import, and most commands show no bar.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    progress = Progress(*columns, console=Console(stderr=True))
    task: TaskID | None = None

    def report(done: int, total: int, **notes: float) -> None:
        nonlocal task
        if task is None:
            # The bar appears when there is something to tell: others may do the work.
            progress.start()
            task = progress.add_task(what, total=None, note="")
        progress.update(task, completed=done, total=total, note=_note(notes))

    try:
        yield report
    finally:
        progress.stop()


def _lines(what: str) -> Report:
    started = last = time.monotonic()

    def report(done: int, total: int, **notes: float) -> None:
        nonlocal last
        now = time.monotonic()
        if done < total and now - last < _SECONDS_BETWEEN_LINES:
            return
        last = now
        note = _note(notes)
        tail = f", {note}" if note else ""
        print(f"{what}: {done}/{total} in {now - started:.0f} s{tail}", file=sys.stderr, flush=True)

    return report


def silent(done: int, total: int, **notes: float) -> None:
    """Report nothing."""


def _note(notes: dict[str, float]) -> str:
    return " ".join(f"{name}={value:.3g}" for name, value in notes.items())
