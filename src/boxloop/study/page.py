"""Render the page of a study: a single file, without network access or scripts."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from boxloop.study.tables import TextTable


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        name: name of its file.
        content: bytes of its file, SVG or JPEG.
        caption: what it shows.
        alt: its text alternative.
    """

    name: str
    content: bytes
    caption: str
    alt: str

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        kind = "svg+xml" if self.name.endswith(".svg") else "jpeg"
        return f"data:image/{kind};base64,{base64.b64encode(self.content).decode()}"


@dataclass(frozen=True)
class Chapter:
    """Pictures under one heading."""

    title: str
    text: str
    pictures: Sequence[Picture]


def render(
    title: str,
    facts: Sequence[tuple[str, str]],
    caveats: Sequence[str],
    tables: Sequence[TextTable],
    chapters: Sequence[Chapter],
    failed: Sequence[tuple[str, str]],
) -> str:
    """Return the page as HTML.

    Args:
        title: of the study.
        facts: names and values, for the top.
        caveats: caveats, shown first.
        tables: in their order.
        chapters: pictures below the tables.
        failed: names of failed cells, with their error messages.
    """
    environment = Environment(
        loader=PackageLoader("boxloop.study", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        title=title, facts=facts, caveats=caveats, tables=tables, chapters=chapters, failed=failed
    )
