"""The outline of every kind of thing: its parts in drawing order, each a role and the pixels that it covers.

Both cameras draw the same parts; only what they look up by role differs (colour or temperature)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from cimnet.data.synthetic.raster import Array, Frame, Patch, Point, View, coverage, frame, polygon, sweep
from cimnet.data.synthetic.world import Thing

Part = tuple[str, Patch]


def outline(view: View, thing: Thing, foliage: Array, shift: Point = (0.0, 0.0)) -> list[Part]:
    """The parts of a thing, displaced by `shift` (x, y); empty if it lies outside the view.

    foliage: (H, W) noise of the view that frays the edges of crowns."""
    at = (thing.at[0] + shift[0], thing.at[1] + shift[1])
    reach = 0.75 * max(thing.length, thing.width) + 3
    local = frame(view, at, thing.cos, thing.sin, reach, thing.rise)
    if local is None:
        return []
    if thing.kind == "tree":
        return list(_tree(local, thing, foliage))
    if thing.kind in ("building", "container", "bin"):
        return list(_block(view, local, thing))
    return list(_KINDS[thing.kind](local, thing))


def _car(f: Frame, t: Thing) -> Iterator[Part]:
    a, b, up = t.length / 2, t.width / 2, t.rise
    yield "tyre", f.rect((-0.66 * a, -0.38 * a), (-b - 0.6, b + 0.6))
    yield "tyre", f.rect((0.42 * a, 0.7 * a), (-b - 0.6, b + 0.6))
    yield "side", f.rect((-a, a), (-b, b), up * 0.22)
    yield "body", f.rect((-a, a), (-b, b), up * 0.5)
    yield "bonnet", f.rect((0.45 * a, 0.94 * a), (-b * 0.86, b * 0.86), up * 0.52)
    yield "glass", f.rect((-0.8 * a, 0.46 * a), (-b * 0.9, b * 0.9), up * 0.75)
    yield "roof", f.rect((-0.55 * a, 0.14 * a), (-b * 0.84, b * 0.84), up)
    yield from _lights(f, t, up * 0.4)


def _lights(f: Frame, t: Thing, up: float) -> Iterator[Part]:
    if not t.glow:
        return
    a, b = t.length / 2, t.width / 2
    for v in (-0.7 * b, 0.7 * b):
        yield "headlight", f.rect((0.93 * a, a + 0.8), (v - 1.5, v + 1.5), up)
        yield "taillight", f.rect((-a - 0.8, -0.94 * a), (v - 1.5, v + 1.5), up)


def _truck(f: Frame, t: Thing) -> Iterator[Part]:
    a, b, up = t.length / 2, t.width / 2, t.rise
    cab = a - 0.36 * t.width - 0.12 * t.length
    for u in (-0.7 * a, -0.45 * a, 0.7 * a):
        yield "tyre", f.rect((u - 0.09 * a, u + 0.09 * a), (-b - 0.5, b + 0.5))
    for step in (0.15, 0.4):
        yield "side", f.rect((cab, a), (-b * 0.94, b * 0.94), up * step)
    yield "glass", f.rect((cab, a), (-b * 0.94, b * 0.94), up * 0.55)
    yield "cab", f.rect((cab, a - 0.04 * t.length), (-b * 0.92, b * 0.92), up * 0.7)
    for step in (0.15, 0.4, 0.7):
        yield "side", f.rect((-a, cab - 1.5), (-b, b), up * step)
    yield "box", f.rect((-a, cab - 1.5), (-b, b), up)
    if t.variant < 0.4:  # a roof with ribs, or a load
        for k in range(4):
            u = -a + (cab + a) * (k + 0.5) / 4.2
            yield "rib", f.rect((u - 0.8, u + 0.8), (-b * 0.9, b * 0.9), up)
    elif t.variant < 0.7:
        yield "load", f.rect((-a * 0.92, cab - 3), (-b * 0.8, b * 0.8), up)
    yield from _lights(f, t, up * 0.25)


def _bus(f: Frame, t: Thing) -> Iterator[Part]:
    a, b, up = t.length / 2, t.width / 2, t.rise
    for u in (-0.6 * a, 0.6 * a):
        yield "tyre", f.rect((u - 0.09 * a, u + 0.09 * a), (-b - 0.5, b + 0.5))
    for step in (0.15, 0.35):
        yield "side", f.rect((-a, a), (-b, b), up * step)
    for step in (0.5, 0.7):
        yield "glass", f.rect((-a, a), (-b, b), up * step)
    for step in (0.85, 1.0):
        yield "box", f.rect((-a, a), (-b, b), up * step)
    yield "load", f.rect((-0.75 * a, -0.4 * a), (-0.6 * b, 0.6 * b), up)
    yield "rib", f.rect((0.2 * a, 0.5 * a), (-0.5 * b, 0.5 * b), up)
    yield from _lights(f, t, up * 0.25)


def _motorcycle(f: Frame, t: Thing) -> Iterator[Part]:
    a, b, up = t.length / 2, t.width / 2, t.rise
    yield "tyre", f.ellipse((0.0, 0.0), (a, max(0.3 * b, 1.1)), up * 0.12)
    yield "body", f.ellipse((-0.05 * a, 0), (0.8 * a, 0.5 * b), up * 0.35)
    yield "engine", f.ellipse((0.1 * a, 0), (0.3 * a, 0.42 * b), up * 0.3)
    yield "bar", f.rect((0.36 * a, 0.52 * a), (-0.95 * b, 0.95 * b), up * 0.5)
    if t.variant < 0.8:
        yield "torso", f.ellipse((-0.12 * a, 0), (0.4 * a, 0.9 * b), up * 0.62)
        yield "head", f.ellipse((-0.02 * a, 0), (0.22 * a + 0.6, 0.22 * a + 0.6), up * 0.95)
    if not t.glow:
        return
    yield "headlight", f.ellipse((0.85 * a, 0), (1.3, 1.3), up * 0.4)
    yield "taillight", f.ellipse((-0.9 * a, 0), (1.2, 1.2), up * 0.4)


def _human(f: Frame, t: Thing) -> Iterator[Part]:
    h, w = t.rise, t.width / 2
    stride = 0.5 * w * (t.variant - 0.5)
    yield "legs", f.rect((-0.7 * w + stride, 0.7 * w + stride), (-0.46 * h, 0.0))
    yield "torso", f.ellipse((0.0, -0.6 * h), (w, 0.26 * h))
    yield "head", f.ellipse((0.0, -0.87 * h), (max(0.5 * w, 1.1), 0.13 * h))


def _post(f: Frame, t: Thing, half: float) -> Part:
    return "pole", f.rect((-half, half), (-t.rise, 0.5))


def _sign(f: Frame, t: Thing) -> Iterator[Part]:
    a, high = t.length / 2, t.width
    yield _post(f, t, 1.0)
    yield "frame", f.rect((-a, a), (-t.rise - high * 0.5, -t.rise + high * 0.5))
    yield "board", f.rect((-a + 1, a - 1), (-t.rise - high * 0.5 + 1, -t.rise + high * 0.5 - 1))
    yield "text", f.rect((-a * 0.6, a * 0.6), (-t.rise - 0.9, -t.rise + 0.9))


def _lamp(f: Frame, t: Thing) -> Iterator[Part]:
    arm = t.length / 2 * (1 if t.variant < 0.5 else -1)
    left, right = min(0.0, arm), max(0.0, arm)
    yield _post(f, t, 1.3)
    yield "pole", f.rect((left - 1, right + 1), (-t.rise - 1.2, -t.rise + 1.2))
    yield "bulb", f.ellipse((arm, -t.rise), (4.6, 2.2))


def _signal(f: Frame, t: Thing) -> Iterator[Part]:
    arm = t.length / 2 * (1 if t.variant < 0.5 else -1)
    yield _post(f, t, 1.4)
    yield "pole", f.rect((min(0.0, arm) - 1, max(0.0, arm) + 1), (-t.rise - 1.2, -t.rise + 1.2))
    yield "frame", f.rect((arm - 3.2, arm + 3.2), (-t.rise - 8, -t.rise + 6))
    yield "bulb", f.ellipse((arm, -t.rise - 4 + 8 * t.variant), (1.9, 1.9))


def _barrier(f: Frame, t: Thing) -> Iterator[Part]:
    a, b = t.length / 2, t.width / 2
    for step in (0.0, 0.5, 1.0):
        yield "frame" if step < 1 else "board", f.rect((-a, a), (-b, b), t.rise * step)
    if t.variant < 0.6:
        top = f.rect((-a, a), (-b, b), t.rise)
        yield "stripe", f.stripes(top, "u", -a - t.rise * f.sin, 9.0, 0.5)


def _cone(f: Frame, t: Thing) -> Iterator[Part]:
    w = t.width / 2
    yield "frame", f.ellipse((0.0, 0.0), (w, 0.6 * w))
    yield "board", f.rect((-0.62 * w, 0.62 * w), (-0.55 * t.rise, 0.0))
    yield "board", f.rect((-0.34 * w, 0.34 * w), (-t.rise, 0.0))
    yield "stripe", f.rect((-0.55 * w, 0.55 * w), (-0.6 * t.rise, -0.35 * t.rise))


_KINDS: dict[str, Callable[[Frame, Thing], Iterator[Part]]] = {
    "car": _car,
    "truck": _truck,
    "bus": _bus,
    "motorcycle": _motorcycle,
    "human": _human,
    "sign": _sign,
    "lamp": _lamp,
    "signal": _signal,
    "barrier": _barrier,
    "cone": _cone,
}


def _tree(f: Frame, t: Thing, foliage: Array) -> Iterator[Part]:
    radius = t.length / 2
    u, v = f.u, f.v + (t.rise - 0.3 * radius)
    rough = foliage[f.rows, f.cols] - 0.5
    distance = np.sqrt(u * u + v * v * (1.0 + 0.4 * (t.variant - 0.5))) - rough * (0.85 * radius)
    yield "crown", Patch(f.rows, f.cols, coverage(radius - distance, f.scale))
    lit = (0.62 * radius) - distance - (u * 0.3 + v * 0.45)
    yield "crown_top", Patch(f.rows, f.cols, coverage(lit * 0.25, f.scale))


def _block(view: View, f: Frame, t: Thing) -> Iterator[Part]:
    """A box: walls that face the viewer, the roof, and for buildings windows and what stands on the roof."""
    corners = t.corners()
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if bx >= ax:  # corners run clockwise on screen: this wall faces up, away from the viewer
            continue
        wall = polygon(view, sweep([(ax, ay), (bx, by)], 0.0, -t.rise))
        if wall is None:
            continue
        yield "wall" if abs(by - ay) < abs(bx - ax) else "wall_side", wall
        if t.kind == "building":
            yield "window", _windows(view, wall, (bx, by), (ax, ay), t)
    if t.kind == "building":
        yield from _rooftop(f, t)
    else:
        yield "roof", f.rect((-t.length / 2, t.length / 2), (-t.width / 2, t.width / 2), t.rise)


def _windows(view: View, wall: Patch, a: Point, b: Point, t: Thing) -> Patch:
    x, y = view.xs[wall.cols], view.ys[wall.rows][:, None]
    length = math.sqrt((b[0] - a[0]) * (b[0] - a[0]) + (b[1] - a[1]) * (b[1] - a[1]))
    pitch = 9.0 + 5.0 * t.variant
    along = (x - a[0]) * (length / ((b[0] - a[0]) * pitch)) if b[0] - a[0] > 0.05 * length else x * 0.0
    up = ((x - a[0]) * ((b[1] - a[1]) / max(b[0] - a[0], 1e-3)) + a[1] - y) * (1.0 / 11.0)
    hole = (np.abs(along - np.floor(along) - 0.5) < 0.27) & (np.abs(up - np.floor(up) - 0.55) < 0.22)
    return Patch(wall.rows, wall.cols, wall.alpha * hole.astype(np.float32))


def _rooftop(f: Frame, t: Thing) -> Iterator[Part]:
    a, b, up = t.length / 2, t.width / 2, t.rise
    top = f.rect((-a, a), (-b, b), up)
    if "ridge" in t.colors:  # pitched: one half turned away from the sun, in rows of tiles
        yield "roof", top
        yield "ridge", f.rect((-a, a), (0.0, b), up)
        yield "seam", f.stripes(top, "v", -up * f.cos, 4.0, 0.3)
        return
    if "seam" in t.colors:  # sheet metal
        yield "roof", top
        yield "seam", f.stripes(top, "u", -up * f.sin, 6.0, 0.2)
    else:
        yield "parapet", top
        yield "roof", f.rect((-a + 3, a - 3), (-b + 3, b - 3), up)
    count = int(1 + 4 * t.variant)
    for k in range(count):  # air conditioners, tanks and hatches, placed by the thing's own variant
        place = t.variant * 977.0 + k * 0.618034
        u, v = (place - int(place) - 0.5) * 1.5 * a, ((place * 7.31) % 1.0 - 0.5) * 1.4 * b
        role = ("unit", "hatch", "tank")[int(place * 3.7) % 3]
        size = 3.0 + 4.0 * ((place * 3.13) % 1.0)
        yield "furniture_side", f.rect((u - size, u + size), (v - size * 0.7, v + size * 0.7), up)
        if role == "tank":
            yield role, f.ellipse((u, v), (size, size), up + 3)
        else:
            yield role, f.rect((u - size, u + size), (v - size * 0.7, v + size * 0.7), up + 3)
