"""Draw the scenes of the demo set.

They let the whole loop be tried without any data. Everything comes from a seeded generator and
integer drawing, so one seed gives one set of pixels. Half of the scenes (by default) are frames of
a few "shots": the background of a shot stays, its objects move smoothly, so neighbours in time look
alike. The others are stills, each drawn by itself from one of several themes (background, palette,
mixture of classes).

The truth of an object is the box around its *visible* pixels: what a nearer object or the edge of
the image hides does not count. An object of which less than :data:`LEAST_VISIBLE` shows is drawn,
but is not part of the truth.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from boxloop.errors import DatasetError
from boxloop.params import DemoParams

CLASSES = ("cup", "ball", "box", "star")

LEAST_VISIBLE = 0.35
"""Fraction of an object's pixels that must show for it to count."""

SMALLEST_SIDE = 32
"""Pixels; in smaller images the objects could not be told apart."""

_FRAMES_PER_SHOT = 15
_OVERSAMPLING = 4  # shapes are drawn this much larger and averaged down, which smooths their edges

Colour = tuple[int, int, int]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """One drawn image and the truth about it.

    Attributes:
        id: ``shot00_frame003`` or ``still_0042``; the drawing order is the temporal order.
        pixels: (height, width, 3) uint8 RGB.
        xyxy: (n, 4) float64 pixels, exclusive right and lower edges.
        labels: n names out of :data:`CLASSES`.
        place: the kind of place it shows, one of five.
    """

    id: str
    pixels: Pixels
    xyxy: NDArray[np.float64]
    labels: tuple[str, ...]
    place: str


@dataclass(frozen=True)
class _Theme:
    """A kind of place. Colours are RGB, ``mixture`` weighs the classes."""

    texture: str
    light: Colour
    dark: Colour
    clutter: tuple[Colour, ...]
    mixture: tuple[float, float, float, float]


_THEMES = (
    _Theme(
        "planks", (190, 152, 112), (150, 112, 76), ((120, 90, 66), (206, 180, 150)), (6, 1, 2, 1)
    ),
    _Theme(
        "speckles", (120, 160, 96), (72, 116, 64), ((60, 92, 52), (150, 176, 120)), (1, 6, 1, 2)
    ),
    _Theme(
        "tiles", (176, 178, 182), (140, 142, 148), ((104, 106, 112), (208, 208, 210)), (1, 2, 6, 1)
    ),
    _Theme("dots", (44, 48, 78), (16, 18, 36), ((72, 74, 110), (28, 30, 44)), (2, 1, 1, 6)),
    _Theme(
        "bricks", (226, 214, 200), (196, 172, 156), ((160, 140, 128), (240, 234, 224)), (2, 2, 2, 2)
    ),
)

_TYPICAL_HUE = {"cup": 0.50, "ball": 0.00, "box": 0.74, "star": 0.14}


@dataclass(frozen=True)
class _Thing:
    """An object and its straight motion, in pixels and radians per frame."""

    label: str
    colour: Colour
    radius: float
    x: float
    y: float
    angle: float
    mirrored: bool = False
    dx: float = 0.0
    dy: float = 0.0
    turn: float = 0.0
    growth: float = 0.0

    def at(self, frame: int, width: int, height: int) -> _Thing:
        """Return the object ``frame`` frames later; it bounces off the image's edges."""
        return replace(
            self,
            radius=self.radius * (1.0 + self.growth * frame),
            x=_bounce(self.x + self.dx * frame, width),
            y=_bounce(self.y + self.dy * frame, height),
            angle=self.angle + self.turn * frame,
        )


def _bounce(position: float, length: int) -> float:
    """Reflect a straight path into ``[0, length]``."""
    phase = position % (2 * length)
    return phase if phase <= length else 2 * length - phase


def draw_scenes(params: DemoParams) -> Iterator[Scene]:
    """Draw ``params.images`` scenes of ``params.size`` = (height, width), one by one.

    Raises:
        DatasetError: the images asked for are too small.
    """
    height, width = params.size
    if min(height, width) < SMALLEST_SIDE:
        raise DatasetError(
            f"dataset.demo.size must be at least {SMALLEST_SIDE} pixels each way,"
            f" got [{height}, {width}]"
        )
    moving = round(params.images * params.video_fraction)
    shots = max(1, round(moving / _FRAMES_PER_SHOT)) if moving else 0
    for shot in range(shots):
        frames = (shot + 1) * moving // shots - shot * moving // shots
        yield from _draw_shot(params, shot, frames)
    for still in range(params.images - moving):
        rng = np.random.default_rng([params.seed, 1, still])
        theme = _THEMES[int(rng.integers(len(_THEMES)))]
        background = _background(rng, theme, width, height)
        things = _things(rng, theme, width, height, moving=False)
        yield _compose(f"still_{still:04d}", rng, background, things, theme.texture)


def _draw_shot(params: DemoParams, shot: int, frames: int) -> Iterator[Scene]:
    height, width = params.size
    rng = np.random.default_rng([params.seed, 0, shot])
    theme = _THEMES[shot % len(_THEMES)]
    background = _background(rng, theme, width, height)
    things = _things(rng, theme, width, height, moving=True)
    for frame in range(frames):
        now = [thing.at(frame, width, height) for thing in things]
        yield _compose(f"shot{shot:02d}_frame{frame:03d}", rng, background, now, theme.texture)


# --- what is in a scene ---------------------------------------------------------------------------


def _things(
    rng: np.random.Generator, theme: _Theme, width: int, height: int, *, moving: bool
) -> list[_Thing]:
    """Choose two to four objects (rarely one or five), the nearest last."""
    count = int(rng.choice([1, 2, 3, 4, 5], p=[0.05, 0.3, 0.35, 0.25, 0.05]))
    mixture = np.asarray(theme.mixture) / sum(theme.mixture)
    scale = min(width, height) / 128
    placed: list[_Thing] = []
    for _ in range(count):
        label = CLASSES[int(rng.choice(len(CLASSES), p=mixture))]
        radius = float(rng.uniform(11, 26)) * scale
        x, y = _place(rng, placed, radius, width, height)
        upright = label in ("cup", "box")
        speed = 3.0 * scale if moving else 0.0
        placed.append(
            _Thing(
                label,
                _colour(rng, label),
                radius,
                x,
                y,
                float(rng.uniform(-0.25, 0.25) if upright else rng.uniform(-math.pi, math.pi)),
                bool(rng.random() < 0.5),
                float(rng.uniform(-speed, speed)),
                float(rng.uniform(-speed, speed)),
                float(rng.uniform(-0.06, 0.06)) if moving and not upright else 0.0,
                float(rng.uniform(-0.012, 0.012)) if moving else 0.0,
            )
        )
    return placed


def _place(
    rng: np.random.Generator, placed: list[_Thing], radius: float, width: int, height: int
) -> tuple[float, float]:
    """Find a place that other objects leave mostly free, in a few tries."""
    x = y = 0.0
    for _ in range(12):
        x = float(rng.uniform(0.6 * radius, width - 0.6 * radius))
        y = float(rng.uniform(0.6 * radius, height - 0.6 * radius))
        if all(math.hypot(x - p.x, y - p.y) > 0.8 * (radius + p.radius) for p in placed):
            break
    return x, y


def _colour(rng: np.random.Generator, label: str) -> Colour:
    """Choose a colour near the class's hue; one in ten has any."""
    hue = _TYPICAL_HUE[label] + rng.uniform(-0.05, 0.05)
    if rng.random() < 0.1:
        hue = rng.random()
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, rng.uniform(0.6, 0.9), rng.uniform(0.7, 0.95))
    return round(255 * red), round(255 * green), round(255 * blue)


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, round(channel * factor)) for channel in colour)
    return red, green, blue


# --- backgrounds ----------------------------------------------------------------------------------


def _background(rng: np.random.Generator, theme: _Theme, width: int, height: int) -> Pixels:
    """Draw a lit texture (height, width, 3) with clutter unlike any class."""
    light, dark = np.asarray(theme.light, np.float64), np.asarray(theme.dark, np.float64)
    amount = _texture(rng, theme.texture, width, height)[..., None]
    pixels = dark + (light - dark) * amount
    # Light falls in from one side.
    left, right = rng.uniform(0.82, 1.1, 2)
    pixels *= np.linspace(left, right, width)[None, :, None]
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    scale = min(width, height) / 128
    for _ in range(int(rng.integers(2, 7))):
        colour = _shade(theme.clutter[int(rng.integers(len(theme.clutter)))], rng.uniform(0.9, 1.1))
        x, y = int(rng.integers(width)), int(rng.integers(height))
        if rng.random() < 0.6:
            end = (int(rng.integers(width)), int(rng.integers(height)))
            draw.line([(x, y), end], fill=colour, width=max(1, round(rng.uniform(1, 3) * scale)))
        else:
            spread = max(3, round(14 * scale))
            corners = [
                (x + int(rng.integers(-spread, spread)), y + int(rng.integers(-spread, spread)))
                for _ in range(3)
            ]
            draw.polygon(corners, fill=colour)
    return np.asarray(image)


def _texture(rng: np.random.Generator, kind: str, width: int, height: int) -> NDArray[np.float64]:
    """Make a texture (height, width) in [0, 1]."""
    scale = min(width, height) / 128
    rows, columns = np.mgrid[0:height, 0:width]
    rows = rows + int(rng.integers(0, 64))
    columns = columns + int(rng.integers(0, 64))
    if kind == "planks":
        plank = max(4, round(rng.uniform(12, 20) * scale))
        tone = rng.random(rows.max() // plank + 2)[rows // plank]
        gap = rows % plank < max(1, plank // 10)
        return np.asarray(np.where(gap, 0.0, 0.35 + 0.65 * tone), np.float64)
    if kind == "tiles":
        tile = max(4, round(rng.uniform(18, 30) * scale))
        return np.asarray((rows // tile + columns // tile) % 2, np.float64)
    if kind == "bricks":
        brick = max(4, round(rng.uniform(10, 16) * scale))
        shifted = columns + (rows // brick % 2) * brick
        joint = (rows % brick < max(1, brick // 8)) | (shifted % (2 * brick) < max(1, brick // 8))
        return np.where(joint, 0.0, 0.9)
    # "speckles" covers the ground with small spots, "dots" a dark sky with a few.
    cell = max(1, round((3 if kind == "speckles" else 2) * scale))
    spots = rng.random((height // cell + 2, width // cell + 2))
    grown = np.kron(spots, np.ones((cell, cell)))[:height, :width]
    sky = np.linspace(0.1, 0.7, height)[:, None]
    texture = grown if kind == "speckles" else np.where(grown > 0.985, 1.0, sky)
    return np.asarray(texture, np.float64)


# --- from objects to pixels and boxes -------------------------------------------------------------


def _compose(
    id_: str,
    rng: np.random.Generator,
    background: Pixels,
    things: list[_Thing],
    place: str = "",
) -> Scene:
    height, width = background.shape[:2]
    image = Image.fromarray(background)
    nearest = Image.new("L", (width, height), 0)  # which object, counted from 1, shows at a pixel
    drawn_pixels = []
    for number, thing in enumerate(things, start=1):
        layer = _layer(thing)
        solid = layer.getchannel("A").point([0] * 128 + [255] * 128)
        corner = (
            math.floor(thing.x) - layer.width // 2,
            math.floor(thing.y) - layer.height // 2,
        )
        image.paste(layer, corner, layer)
        nearest.paste(number, (*corner, corner[0] + layer.width, corner[1] + layer.height), solid)
        drawn_pixels.append(solid.histogram()[255])
    owner = np.asarray(nearest)
    boxes, labels = [], []
    for number, thing in enumerate(things, start=1):
        rows, columns = np.nonzero(owner == number)
        if len(rows) >= LEAST_VISIBLE * drawn_pixels[number - 1] and len(rows) > 0:
            boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
            labels.append(thing.label)
    noise = rng.integers(-5, 6, size=(height, width, 1))
    pixels = np.clip(np.asarray(image).astype(np.int64) + noise, 0, 255).astype(np.uint8)
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    return Scene(id_, pixels, corners, tuple(labels), place)


def _layer(thing: _Thing) -> Image.Image:
    """Draw the object alone, RGBA, in a square large enough for any rotation."""
    half = math.ceil(thing.radius * 1.25) + 1
    side = 2 * half * _OVERSAMPLING
    # Where nothing is drawn the layer already has the object's colour, so edges do not darken.
    large = Image.new("RGBA", (side, side), (*thing.colour, 0))
    pen = _Pen(ImageDraw.Draw(large), thing, side / 2)
    {"cup": _cup, "ball": _ball, "box": _box, "star": _star}[thing.label](pen, thing.colour)
    return large.reduce(_OVERSAMPLING)


@dataclass(frozen=True)
class _Pen:
    """Draw in the object's own coordinates: radius 1, middle 0, y grows downwards."""

    draw: ImageDraw.ImageDraw
    thing: _Thing
    middle: float

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        cosine, sine = math.cos(self.thing.angle), math.sin(self.thing.angle)
        unit = self.thing.radius * _OVERSAMPLING
        flip = -1 if self.thing.mirrored else 1
        # Whole numbers, so that the last digits of a machine's sine cannot change a pixel.
        corners = [
            (
                round(self.middle + unit * (flip * x * cosine - y * sine)),
                round(self.middle + unit * (flip * x * sine + y * cosine)),
            )
            for x, y in points
        ]
        self.draw.polygon(corners, fill=(*colour, 255))

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        turns = [2 * math.pi * i / 48 for i in range(48)]
        self.polygon([(x + rx * math.cos(t), y + ry * math.sin(t)) for t in turns], colour)


def _cup(pen: _Pen, colour: Colour) -> None:
    outer = [2 * math.pi * i / 24 for i in range(24)]
    handle = [(0.55 + 0.42 * math.cos(t), 0.05 + 0.42 * math.sin(t)) for t in outer]
    hole = [(0.55 + 0.22 * math.cos(t), 0.05 + 0.22 * math.sin(t)) for t in outer]
    pen.polygon(handle, _shade(colour, 0.75))
    pen.polygon(hole, (236, 236, 232))
    pen.polygon([(-0.75, -0.75), (0.55, -0.75), (0.38, 0.85), (-0.58, 0.85)], colour)
    pen.polygon([(-0.75, -0.75), (-0.45, -0.75), (-0.36, 0.85), (-0.58, 0.85)], _shade(colour, 1.2))
    pen.ellipse(-0.10, -0.75, 0.65, 0.2, _shade(colour, 0.45))


def _ball(pen: _Pen, colour: Colour) -> None:
    pen.ellipse(0, 0, 1, 1, _shade(colour, 0.8))
    pen.ellipse(-0.05, -0.05, 0.86, 0.86, colour)
    pen.polygon([(-0.98, -0.15), (0.98, -0.15), (0.98, 0.15), (-0.98, 0.15)], (244, 244, 240))
    pen.ellipse(-0.35, -0.5, 0.22, 0.16, (255, 252, 246))


def _box(pen: _Pen, colour: Colour) -> None:
    pen.polygon([(-0.9, -0.4), (-0.5, -0.85), (0.95, -0.85), (0.6, -0.4)], _shade(colour, 1.25))
    pen.polygon([(0.6, -0.4), (0.95, -0.85), (0.95, 0.45), (0.6, 0.9)], _shade(colour, 0.6))
    pen.polygon([(-0.9, -0.4), (0.6, -0.4), (0.6, 0.9), (-0.9, 0.9)], colour)
    pen.polygon([(-0.27, -0.4), (-0.03, -0.4), (-0.03, 0.9), (-0.27, 0.9)], (226, 214, 176))


def _star(pen: _Pen, colour: Colour) -> None:
    for reach, paint in ((1.0, _shade(colour, 0.7)), (0.8, colour)):
        reaches = [reach if i % 2 == 0 else 0.45 * reach for i in range(10)]
        turns = [math.pi * i / 5 - math.pi / 2 for i in range(10)]
        points = [(r * math.cos(t), r * math.sin(t)) for r, t in zip(reaches, turns, strict=True)]
        pen.polygon(points, paint)
