"""A campaign to be damaged, and what must come of it: one sentence, soon, and nothing else."""

import json
import os
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from boxloop import pipeline
from boxloop.campaign.campaign import Campaign
from boxloop.errors import BoxloopError, told
from boxloop.terminal import printable
from builders_campaign import build_campaign, small_params

HUGE = 10**5000
TEXT = "\x1b[31mred"
LONG = "x" * 5000


def build(folder):
    """Two batches: the first done, the second with proposals."""
    return build_campaign(folder, small_params(2), done=1, through="proposals")


def run(stage, *turn):
    """What runs a stage in the folder that a test is in."""

    def act(paths):
        campaign = Campaign(paths, small_params(3), say=lambda _: None)
        getattr(pipeline, stage)(campaign, *turn)

    return act


def edit(path, change):
    """Changes the content of a JSON file, which may then hold what Python's writer would not."""
    content = json.loads(Path(path).read_text())
    change(content)
    text = json.dumps(content, default=str)
    for mark, raw in RAW.items():
        text = text.replace(json.dumps(mark), raw)
    Path(path).write_text(text)


RAW = {"<huge>": "9" * 5000, "<1e999>": "1e999", "<surrogate>": '"\\ud800"', "<nan>": "NaN"}
"""What stands in a file where an edit puts the mark."""


def put(*keys, value):
    """An edit that sets a value at a place."""

    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class LateError(BaseException):
    """No end within the time; nothing that is tested may catch it."""


@contextmanager
def soon(seconds=10):
    """Fails where something takes much longer than it must.

    That is seconds of the processor; by the clock, to which others on the machine add, six times
    as many.
    """

    def late(*_):
        raise LateError(f"no end after {seconds} s")

    signals = (signal.SIGPROF, signal.SIGALRM)
    handlers = [signal.signal(number, late) for number in signals]
    signal.setitimer(signal.ITIMER_PROF, seconds)
    left, _ = signal.setitimer(signal.ITIMER_REAL, 6 * seconds)  # of the whole test's limit
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, left)
        for number, handler in zip(signals, handlers, strict=True):
            signal.signal(number, handler)


def refusal(act, folder=None):
    """The one sentence that an action ends in; the folder stays as it was."""
    before = contents(folder) if folder is not None else None
    with soon(), pytest.raises(BoxloopError) as caught:
        act()
    if folder is not None:
        assert contents(folder) == before
    return told(caught.value)[0]


# --- at random places -----------------------------------------------------------------------------

TIMES = float(os.environ.get("BOXLOOP_FUZZ", "1"))


def often(examples):
    """Settings of a fixed number of examples, the same in each run unless there are more."""
    return settings(
        max_examples=max(1, int(examples * TIMES)),
        derandomize=TIMES == 1,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


BITS = st.sampled_from(
    [
        *(b"\0", b"\xff", b"\n", b'"', b"{", b"}", b"[", b"]", b":", b",", b"&a ", b"*a", b"<<: "),
        *(b"1e999", b"NaN", b"9" * 5000, b"[" * 300, b"\x1b[2J", b"\\ud800", b"!!int ", b"? "),
        *(b"true", b"null", b"-", b"\xe2\x80\xae", b"PK\x03\x04", b"PAR1", b"- " * 200),
    ]
)


@st.composite
def damaged(draw, data):
    """Bytes that were flipped, cut, repeated or filled in at one to three places."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, max(len(data) - 1, 0)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        kind = draw(st.sampled_from(["flip", "cut", "end", "insert", "repeat", "replace"]))
        if kind == "flip" and start < len(data):
            data[start] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[start:end]
        elif kind == "end":
            del data[start:]
        elif kind == "repeat":
            data[start:start] = data[start:end]
        elif kind == "insert":
            data[start:start] = draw(BITS)
        else:
            data[start:end] = draw(BITS)
    return bytes(data)


def read_or_refuse(read, path):
    """What was read; None where it was refused in a sentence."""
    with soon(20):
        try:
            return read(path)
        except BoxloopError as error:
            message = str(error)
            assert message
            assert "Traceback" not in message
            shown = printable(message)
            assert len(shown) < 4000
            return None
