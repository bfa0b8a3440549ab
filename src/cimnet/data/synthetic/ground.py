"""The ground as both cameras see it: colour, temperature and label of roads, markings, pavements and open ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cimnet.data.synthetic.class_ids import ROAD
from cimnet.data.synthetic.climate import surface
from cimnet.data.synthetic.dice import Dice
from cimnet.data.synthetic.raster import Array, Patch, View, coverage, frame, polygon
from cimnet.data.synthetic.world import Color, Decal, Road, Scene, Thing

_OPEN: dict[str, Color] = {"grass": (0.33, 0.42, 0.2), "soil": (0.5, 0.42, 0.31), "paving": (0.55, 0.53, 0.5)}
_WARMTH = {"grass": (0.3, 0.3), "soil": (0.6, 0.45), "paving": (0.55, 0.75), "asphalt": (0.75, 0.9)}


@dataclass
class Ground:
    """albedo (3, H, W) linear, temp (H, W) degrees C in full sun, label (H, W) uint8."""

    albedo: Array
    temp: Array
    label: Array

    def lay(self, alpha: Array, color: Color | None, temp: float | None) -> None:
        """Blend a colour and a temperature into the whole ground by alpha (H, W)."""
        layers = [] if color is None else [(self.albedo[k], color[k] * color[k]) for k in range(3)]
        for layer, value in [*layers, *([] if temp is None else [(self.temp, temp)])]:
            step = value - layer
            step *= alpha
            layer += step


def lay_ground(view: View, scene: Scene, dice: Dice, coarse: Array) -> Ground:
    """The ground with its decals. coarse: (H, W) slow noise that mixes grass and soil."""
    shape = (view.height, view.width)
    ground = Ground(
        np.empty((3, *shape), np.float32), np.empty(shape, np.float32), np.zeros(shape, np.uint8)
    )  # fmt: skip
    second = "soil" if scene.ground == "grass" else "grass"
    for channel in range(3):
        ground.albedo[channel] = _OPEN[scene.ground][channel] ** 2
    ground.temp[:] = _warmth(scene, scene.ground)
    mixed = np.minimum(np.maximum((coarse - 0.55) * 8.0, 0.0), 1.0)
    ground.lay(mixed, _OPEN[second], _warmth(scene, second))
    grids = [road.across(view.xs, view.ys) for road in scene.roads]
    tone = dice.uniform(0.85, 1.1)
    paving = (0.6 * tone, 0.58 * tone, 0.55 * tone)
    sides = [(np.abs(v) - road.half) * view.scale for road, (_, v) in zip(scene.roads, grids, strict=True)]
    pavements = [side - road.pavement * view.scale for road, side in zip(scene.roads, sides, strict=True)]
    ground.lay(_within(pavements), paving, _warmth(scene, "paving"))
    for decal in scene.decals:
        if decal.under:
            _put(ground, view, decal)
    inside = _within(sides)
    ground.lay(_within([side - 1.5 * view.scale for side in sides]), (0.7, 0.69, 0.66), None)  # the kerb
    asphalt = dice.uniform(0.29, 0.42)
    warm = _warmth(scene, "asphalt") + dice.uniform(-4.5, 2.5)
    ground.lay(inside, (asphalt, asphalt, asphalt * 1.02), warm)
    ground.label[inside >= 0.5] = ROAD
    lines, middles = np.zeros((2, *shape), np.float32)
    for k, (road, (u, v)) in enumerate(zip(scene.roads, grids, strict=True)):
        free = sides[k] < 0.0
        for j, other in enumerate(sides):
            if j != k:
                free &= other > 4 * view.scale
        line, middle = _marks(road, u, v, view.scale)
        np.copyto(lines, line, where=free)
        np.copyto(middles, middle, where=free)
        width = 2 * road.half / road.lanes
        track = np.abs(v) * (1 / width)
        track -= np.floor(track)
        ground.temp += (free & (np.abs(np.abs(track - 0.5) - 0.25) < 0.09)) * np.float32(1.0)  # where tyres run
    ground.lay(lines * np.float32(0.85), (0.86, 0.86, 0.84), None)
    ground.lay(middles * np.float32(0.85), (0.85, 0.68, 0.2), None)
    ground.temp -= lines * np.float32(1.2)
    for decal in scene.decals:
        if not decal.under:
            _put(ground, view, decal)
    return ground


def _warmth(scene: Scene, material: str) -> float:
    absorb, heavy = _WARMTH[material]
    return surface(scene.climate, absorb, heavy)


def _within(distances: list[Array]) -> Array:
    """Coverage of the union of regions, from distances to them (pixels, negative inside)."""
    nearest = distances[0] if len(distances) == 1 else np.minimum(distances[0], distances[1])
    alpha: Array = 0.5 - nearest
    np.maximum(alpha, 0.0, out=alpha)
    return np.minimum(alpha, 1.0, out=alpha)


def _marks(road: Road, u: Array, v: Array, scale: float) -> tuple[Array, Array]:
    """Coverage of white paint (lane lines, zebra and stop lines) and of the yellow double line in the middle."""
    width = 2 * road.half / road.lanes
    near = np.abs(v)
    line = coverage(1.1 - np.abs(near - (road.half - 3.0)), scale)
    if road.lanes > 2:
        dash = u * (1 / 46.0)
        dashed = dash - np.floor(dash) < 0.42
        for lane in range(1, road.lanes // 2):
            np.maximum(line, coverage(1.1 - np.abs(near - lane * width), scale) * dashed, out=line)
    middle = coverage(1.0 - np.abs(near - 1.8), scale)
    bars = v * (1 / 8.0)
    bars -= np.floor(bars)
    barred = (bars < 0.5) & (near < road.half - 5)
    for at in road.crossings:
        away = np.abs(u - at)
        clear = away > 24
        line *= clear
        middle *= clear
        np.maximum(line, coverage(14.0 - away, scale) * barred, out=line)
        np.maximum(line, coverage(2.0 - np.abs(away - 21), scale), out=line)
    return line, middle


def _put(ground: Ground, view: View, decal: Decal) -> None:
    if decal.round:
        local = frame(view, decal.at, decal.cos, decal.sin, 0.6 * decal.length + 2)
        patch = local.ellipse((0, 0), (decal.length / 2, decal.width / 2)) if local else None
    else:
        box = Thing("decal", 0, decal.at, decal.cos, decal.sin, decal.length, decal.width, 0.0, {}, {})
        patch = polygon(view, box.corners())
    if patch is not None:
        _blend(ground, patch, decal)


def _blend(ground: Ground, patch: Patch, decal: Decal) -> None:
    if decal.color is not None:
        target = ground.albedo[:, patch.rows, patch.cols]
        color = np.array([[[c * c]] for c in decal.color], np.float32)
        target += patch.alpha * np.float32(decal.strength) * (color - target)
    ground.temp[patch.window] += patch.alpha * np.float32(decal.heat)
    if decal.label is not None:
        ground.label[patch.window][patch.alpha >= 0.5] = decal.label
