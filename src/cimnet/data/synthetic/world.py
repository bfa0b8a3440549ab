"""The parts of a scene: plain descriptions of climate, roads, things and registration, before anything is drawn.

World coordinates are pixels of the native 640 x 512 canvas: x to the right, y down. The ground is seen from above;
height is drawn upwards in the image (a military projection), so a thing of `rise` 20 reaches 20 px up. A heading is
the unit vector (cos, sin) in the image. Traffic keeps to the right. Temperatures are in degrees Celsius."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from cimnet.data.synthetic.raster import Array, Point

WIDTH, HEIGHT = 640, 512
Color = tuple[float, float, float]


@dataclass(frozen=True)
class Climate:
    """Light and heat of the hour."""

    scene: str  # "day" | "night" | "dark_night"
    air: float  # degrees C
    sun: float  # direct sun, 0 (night) to 1 (clear noon)
    stored: float  # warmth that heavy surfaces kept from the day, 0..1
    sky: float  # degrees by which a clear sky cools what faces it
    shadow: Point  # ground displacement of a shadow for one pixel of rise
    earlier_shadow: Point  # the same some time ago: heat follows the sun late
    sun_color: Color
    ambient: Color
    exposure: float


@dataclass(frozen=True)
class Road:
    """A road along u, bent as a parabola: its axis lies at v = bend * u * u."""

    at: Point
    cos: float
    sin: float
    bend: float
    half: float  # half the width of the carriageway
    pavement: float  # width of the pavement on either side
    lanes: int
    crossings: tuple[float, ...]  # zebra crossings at these u
    reach: Point  # u from .. to

    def point(self, u: float, v: float) -> Point:
        """World position of a place on the road."""
        side = v + self.bend * u * u
        return self.at[0] + u * self.cos - side * self.sin, self.at[1] + u * self.sin + side * self.cos

    def heading(self, u: float, v: float) -> Point:
        """Unit vector of the traffic there: forwards to the right of the axis, backwards to the left."""
        slope = 2 * self.bend * u
        norm = math.sqrt(1 + slope * slope) * (1 if v >= 0 else -1)
        return (self.cos - self.sin * slope) / norm, (self.sin + self.cos * slope) / norm

    def across(self, xs: Array, ys: Array) -> tuple[Array, Array]:
        """Road coordinates (u, v) of a grid of world positions: xs (W,), ys (H,) to two (H, W) arrays."""
        x, y = xs - self.at[0], (ys - self.at[1])[:, None]
        u = x * self.cos + y * self.sin
        return u, y * self.cos - x * self.sin - u * u * self.bend

    def side(self, at: Point) -> float:
        """The coordinate v of one point."""
        x, y = at[0] - self.at[0], at[1] - self.at[1]
        u = x * self.cos + y * self.sin
        return y * self.cos - x * self.sin - u * u * self.bend


@dataclass(frozen=True)
class Decal:
    """Something flat on the ground: paving, a bay's line, a manhole, a puddle, the cool patch under a gone car."""

    at: Point
    cos: float
    sin: float
    length: float
    width: float
    color: Color | None = None  # None: seen by the thermal camera only
    strength: float = 1.0
    heat: float = 0.0  # added to the ground's temperature
    label: int | None = None  # None: the label below stays
    round: bool = False
    under: bool = False  # laid before the roads, so that it ends at their kerb


@dataclass(frozen=True)
class Thing:
    """An object that stands on the ground. Its kind decides its parts (`shapes.outline`); every part has a colour
    and a temperature by its role. `light` is the share of sunlight that reaches it."""

    kind: str
    label: int
    at: Point
    cos: float
    sin: float
    length: float
    width: float
    rise: float
    colors: Mapping[str, Color]
    temps: Mapping[str, float]
    velocity: Point = (0.0, 0.0)  # world pixels a second
    light: float = 1.0
    glow: Mapping[str, Color] = field(default_factory=dict)  # light given off, by role
    variant: float = 0.5  # 0..1, detail that differs between things of a kind

    @property
    def moving(self) -> bool:
        return self.velocity != (0.0, 0.0)

    def corners(self) -> list[Point]:
        """The footprint's four corners."""
        a, b = self.length / 2, self.width / 2
        return [
            (self.at[0] + u * self.cos - v * self.sin, self.at[1] + u * self.sin + v * self.cos)
            for u, v in ((-a, -b), (a, -b), (a, b), (-a, b))
        ]

    @property
    def depth(self) -> float:
        """The lowest image row that it touches: what stands lower is drawn later."""
        return self.at[1] + (abs(self.length * self.sin) + abs(self.width * self.cos)) * 0.5


@dataclass(frozen=True)
class Registration:
    """The position of things in the thermal camera: p -> p + shift + matrix (p - centre), after motion during `lag`
    s."""

    shift: Point  # (x, y)
    matrix: tuple[float, float, float, float]  # row by row, in x and y
    lag: float

    def static(self, at: Point) -> Point:
        """Static offset (dx, dy) in native pixels at a world position."""
        x, y = at[0] - WIDTH / 2, at[1] - HEIGHT / 2
        a, b, c, d = self.matrix
        return self.shift[0] + a * x + b * y, self.shift[1] + c * x + d * y

    def dynamic(self, thing: Thing) -> Point:
        """Return how far (dx, dy) a thing has moved when the thermal camera sees it."""
        return thing.velocity[0] * self.lag, thing.velocity[1] * self.lag


@dataclass(frozen=True)
class Scene:
    """The full description of a pair before it is drawn. Things are sorted by depth."""

    climate: Climate
    ground: str  # "grass" | "soil" | "paving"
    roads: tuple[Road, ...]
    decals: tuple[Decal, ...]
    things: tuple[Thing, ...]
    registration: Registration
    flags: frozenset[str]
    crop: Point  # 0..1, where a smaller view lies in the canvas
