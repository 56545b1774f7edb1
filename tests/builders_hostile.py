"""A campaign to be damaged, and what must come of it: one sentence, soon, and nothing else."""

import json
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from boxloop import pipeline
from boxloop.campaign.campaign import Campaign
from boxloop.errors import BoxloopError, told
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
    """Fails where something takes much longer than it must."""

    def late(*_):
        raise LateError(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refusal(act, folder=None):
    """The one sentence that an action ends in; the folder stays as it was."""
    before = contents(folder) if folder is not None else None
    with soon(), pytest.raises(BoxloopError) as caught:
        act()
    if folder is not None:
        assert contents(folder) == before
    return told(caught.value)[0]
