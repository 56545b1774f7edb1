"""The section ``dataset`` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from boxloop.params.registry import FORMATS
from boxloop.params.section import Fraction, Pixels, Section, Seed
from boxloop.params.words import PLACEHOLDER

DatasetFormat = Annotated[str, AfterValidator(FORMATS.check)]


def _annotation_files(value: Any) -> Any:
    names = value if isinstance(value, tuple) else (value,)
    if value is not None and not (names and all(isinstance(n, str) and n for n in names)):
        raise ValueError("must be a file, or a list of files")
    return value


AnnotationFiles = Annotated[str | tuple[str, ...] | None, BeforeValidator(_annotation_files)]


class DemoParams(Section):
    """The scenes that ``dataset.format: demo`` draws; ``size`` is (height, width) in pixels."""

    images: Annotated[int, Field(gt=0, le=1_000_000)] = 300
    video_fraction: Fraction = 0.5
    size: tuple[Pixels, Pixels] = (128, 128)
    seed: Seed = 0


class DatasetParams(Section):
    """Where the images and, in a simulation, the truth come from.

    Attributes:
        format: the layout; its name, or ``module:FORMAT``.
        path: the folder, or a file that describes it.
        split: the part of it to read.
        annotations: the file of annotations, below ``path``.
        images: the folder of images, below ``path``.
        classes: to narrow it to, in this order.
        labels: where people review, what becomes of boxes that the dataset has: "trusted" images
            are in no batch, and the first detector learns from them; "proposed" ones come first,
            with their boxes as proposals to be checked; "ignored" ones are labeled like all others.
        exif: for which pixels the boxes of images are that EXIF data turn: as they are stored
            ("raw") or as they are shown ("upright"); None decides by the declared sizes.
        demo: what the demo draws.
    """

    format: DatasetFormat = "demo"
    path: str = "."
    split: str | None = None
    annotations: AnnotationFiles = None
    images: str | None = None
    classes: tuple[str, ...] | None = None
    labels: Literal["ignored", "trusted", "proposed"] = "ignored"
    exif: Literal["raw", "upright"] | None = None
    demo: DemoParams = DemoParams()

    @property
    def takes_unlabeled(self) -> bool:
        """Whether images that no annotation describes are there to be labeled by people."""
        return self.labels != "ignored"

    @model_validator(mode="after")
    def _folder_needs_classes(self) -> DatasetParams:
        if self.format == "folder" and not self.classes:
            raise ValueError("format 'folder' has no annotations to learn classes from: list them")
        if self.classes is not None and len(set(self.classes)) != len(self.classes):
            raise ValueError("classes must not repeat a name")
        for name in self.classes or ():
            if not name.strip() or name == PLACEHOLDER:
                what = "stands for a class that is not chosen yet" if name.strip() else "is blank"
                raise ValueError(f"classes: the name '{name}' {what}: name another")
        return self
