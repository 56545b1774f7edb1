"""Render an HTML page: a single file, without network access or scripts."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from boxloop.files import atomic_path
from boxloop.terminal import percent


@dataclass(frozen=True)
class Picture:
    """A picture of a page.

    Attributes:
        name: name of its file.
        content: bytes of its file, SVG or JPEG.
        caption: what it shows, and how to read it.
        alt: its text alternative.
        title: a short heading, where it has one of its own.
    """

    name: str
    content: bytes
    caption: str
    alt: str
    title: str = ""

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return data_uri(self.content, "svg+xml" if self.name.endswith(".svg") else "jpeg")

    def write(self, folder: Path) -> Path:
        """Write the picture's file, and return its path."""
        path = folder / self.name
        with atomic_path(path) as temporary:
            temporary.write_bytes(self.content)
        return path


def data_uri(content: bytes, kind: str) -> str:
    """Return an image as a data URI; ``kind`` is "jpeg" or "svg+xml"."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def render(template: str, **values: Any) -> str:
    """Render a template of the package, such as "report/page.html.j2"."""
    environment = Environment(
        loader=PackageLoader("boxloop", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "data_uri": data_uri}
    return environment.get_template(template).render(**values)
