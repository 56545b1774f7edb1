"""Which images of today are meant by a file that was made for earlier ones."""

from boxloop.campaign.by_pixels import names_today
from boxloop.core.types import ImageRef


def today(**digests):
    return [ImageRef(name, f"{name}.png", 64, 48, digest) for name, digest in digests.items()]


def test_images_keep_their_names_follow_their_pixels_or_are_gone():
    then = {"a": "1", "b": "2", "c": "3"}
    assert names_today("abc", then, today(a="1", b="2", c="3")) == {"a": "a", "b": "b", "c": "c"}
    assert names_today("abc", then, today(a="2", b="1", d="3")) == {"a": "b", "b": "a", "c": "d"}
    # Numbered anew, from one photo that was put before them.
    moved = names_today("abc", then, today(a="0", b="1", c="2", d="3"))
    assert moved == {"a": "b", "b": "c", "c": "d"}
    assert names_today("abc", then, today(a="1", b="9")) == {"a": "a"}


def test_of_images_with_the_same_pixels_each_is_meant_once():
    then = {"a": "1", "b": "1"}
    assert names_today("ab", then, today(a="1", b="1", c="1")) == {"a": "a", "b": "b"}
    assert names_today("ab", then, today(b="1", c="1")) == {"b": "b", "a": "c"}
    assert names_today("ab", then, today(b="1")) == {"b": "b"}


def test_an_older_file_goes_by_name():
    assert names_today("ab", None, today(a="1", c="2")) == {"a": "a"}
