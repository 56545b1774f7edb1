import io
import sys
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from boxloop import terminal
from boxloop.terminal import printable, reporting, saving


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when the test says so, and for no server of another test."""
    now = [100.0]
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_log_gets_a_line_now_and_then_and_the_last_one(clock, capsys):
    with reporting("reading images") as report:
        for done in range(1, 31):
            clock[0] += 0.5
            report(done, 30)
    assert capsys.readouterr().err.splitlines() == [
        "reading images: 10/30 in 5 s",
        "reading images: 20/30 in 10 s",
        "reading images: 30/30 in 15 s",
    ]


def test_what_is_over_at_once_gets_one_line(clock, capsys):
    with reporting("proposing b01") as report:
        for done in (1, 2):
            report(done, 2)
    assert capsys.readouterr().err == "proposing b01: 2/2 in 0 s\n"


def test_notes_stand_behind_the_count(clock, capsys):
    with reporting("training b01") as report:
        report(4, 4, loss=1.23456)
    assert capsys.readouterr().err == "training b01: 4/4 in 0 s, loss=1.23\n"


def test_nothing_is_printed_on_standard_output(clock, capsys):
    with reporting("x") as report:
        report(1, 1)
    assert capsys.readouterr().out == ""


def test_a_person_at_a_terminal_sees_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with reporting("training b01") as report:
        report(3, 4, loss=0.5)
        report(4, 4, loss=0.25)
    shown = terminal.getvalue()
    assert "training b01" in shown
    assert "4/4" in shown
    assert "loss=0.25" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe 猫 👩\u200d👧\n\tx", "größe 猫 👩\u200d👧\n\tx"),
        ("\x1b[31mred\x07\r", "\\x1b[31mred\\x07\\r"),
        ("\ud800 \u2028 \u202ea", "\\ud800 \\u2028 \\u202ea"),
        ("word " * 500, "word " * 500),
        (f"a {'x' * 401} b", f"a {'x' * 150}[...]{'x' * 150} b"),
    ],
)
def test_any_text_is_made_fit_for_a_terminal(text, shown):
    assert printable(text) == shown
    assert printable(text, 4) == printable(text[:4] + "...")


@given(st.text(max_size=20))
@example("cell\u200b")
@example("\U00018d09")
def test_a_name_shows_all_that_sets_it_apart(name):
    shown = printable(name, lines=False)
    assert shown.isprintable()
    assert shown == name or not name.isprintable()


def test_output_is_escaped_and_never_shortened(capsys):
    path = "/a" * 1000
    with terminal.plain_output():
        print(f"in {path}\n\x1b[31mred\tand \u202eturned")
        assert sys.stdout.isatty() is False  # all else is the stream's own
    assert capsys.readouterr().out == f"in {path}\n\\x1b[31mred\tand \\u202eturned\n"


def test_a_loss_is_called_one():
    found = [saving(value) for value in (0.534, 0, -0.0004, -0.2, -3)]
    assert found == [
        *("53.4 % saved", "0.0 % saved", "0.0 % saved"),
        *("20.0 % more work", "300.0 % more work"),
    ]
