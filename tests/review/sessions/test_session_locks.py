"""No image is open in two sessions, and no session that is gone keeps one closed."""

import json
import subprocess
import sys

import pytest

from boxloop.errors import SessionError
from boxloop.review.fiftyone.session_registry import Session, claim, open_sessions

HOLDER = """
import sys
from pathlib import Path
from boxloop.review.fiftyone.session_registry import Session, claim
with claim(Path(sys.argv[1]), Session("b00", None, "bob", None, ("a", "b"))):
    print("held", flush=True)
    sys.stdin.read()
"""


def session(*images, batch="b00", part=None, reviewer="ann"):
    return Session(batch, part, reviewer, None, images)


def thirds(images):
    """What names a part that can be opened: of so many, none of whose images is taken."""

    def free(of, taken):
        parts = {f"{i + 1}/{of}": image for i, image in enumerate(images)}
        found = next((part for part, image in parts.items() if image not in taken), None)
        return found and f"boxloop review b00 --part {found}"

    return free


@pytest.fixture
def holder(tmp_path):
    """Another process that holds images a and b of b00."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "locks"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_images_are_for_one_session(tmp_path, holder):
    folder = tmp_path / "locks"
    with (
        pytest.raises(SessionError, match="bob is reviewing batch b00: 1 of the 2 images that you"),
        claim(folder, session("b", "c")),
    ):
        pass
    with claim(folder, session("c", "d")):
        assert {s.reviewer for s in open_sessions(folder)} == {"bob", "ann"}
    assert [s.reviewer for s in open_sessions(folder)] == ["bob"]


def test_a_session_that_was_killed_holds_nothing(tmp_path, holder):
    folder = tmp_path / "locks"
    holder.kill()
    holder.wait()
    with claim(folder, session("a", "b")):
        assert [s.reviewer for s in open_sessions(folder)] == ["ann"]
    assert not list(folder.glob("b00-*"))


def test_the_second_one_is_told_who_and_where_and_what_to_do(tmp_path):
    folder = tmp_path / "locks"
    with claim(folder, session("a", part="1/3")) as publish:
        with pytest.raises(SessionError, match="ann is reviewing part 1/3 of batch b00: "):
            claim(folder, session("a", part="1/3"), thirds("abc")).__enter__()
        publish("http://127.0.0.1:5151/datasets/b00")
        with pytest.raises(
            SessionError, match=r"at http://127.0.0.1:5151/datasets/b00: .* b00 --part 2/3\)"
        ):
            claim(folder, session("a", part="1/3"), thirds("abc")).__enter__()
    with (
        claim(folder, session("c", part="3/3")),
        pytest.raises(SessionError, match=r"b00 --part 1/3\)"),
    ):
        claim(folder, session("c", part="3/3"), thirds("abc")).__enter__()
    with (
        claim(folder, session("a")),
        pytest.raises(
            SessionError, match="one opens it with --part 1/2, the other with --part 2/2"
        ),
    ):
        claim(folder, session("a")).__enter__()


def test_no_part_is_named_that_is_taken_too(tmp_path):
    folder = tmp_path / "locks"
    with claim(folder, session("a", part="1/2")), claim(folder, session("b", part="2/2")):
        for wanted in (session("b", part="2/2"), session("a", "b")):
            with pytest.raises(SessionError, match="no other part of it is free$") as refused:
                claim(folder, wanted, thirds("ab")).__enter__()
            assert "--part" not in str(refused.value)
    with claim(folder, session("a", part="1/3")), claim(folder, session("b", part="2/3")):
        for wanted in (session("a", part="1/3"), session("b", "c")):
            with pytest.raises(SessionError, match=r"part \(boxloop review b00 --part 3/3\)$"):
                claim(folder, wanted, thirds("abc")).__enter__()


def test_an_image_that_another_order_moved_is_still_the_same_image(tmp_path):
    folder = tmp_path / "locks"
    with (
        claim(folder, session("a", "b")),
        pytest.raises(SessionError, match="ann is reviewing batch b00: 1 of the 2 images"),
    ):
        claim(folder, session("b", "c", batch="b01")).__enter__()


def test_a_lock_file_that_makes_no_sense_does_not_stop_anybody(tmp_path, holder):
    folder = tmp_path / "locks"
    (folder / "b00-left.json").write_text("{")
    (folder / "b00-over.json").write_text(json.dumps({"batch": 7}))
    (mine,) = [p for p in folder.glob("*.json") if "left" not in p.name and "over" not in p.name]
    mine.write_text("{}")  # of a session that lives
    assert open_sessions(folder) == []
    with claim(folder, session("x")):
        assert [s.reviewer for s in open_sessions(folder)] == ["ann"]
