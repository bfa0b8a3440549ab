"""The colour camera: albedo and light of every pixel, then exposure and noise. Labels come from the same pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cimnet.data.synthetic.class_ids import FACILITY, HUMAN, ROAD, TREE
from cimnet.data.synthetic.dice import Dice
from cimnet.data.synthetic.ground import Ground
from cimnet.data.synthetic.raster import Array, Patch, Point, View, frame, grain, polygon, sweep
from cimnet.data.synthetic.shapes import Part
from cimnet.data.synthetic.world import Climate, Color, Scene, Thing


@dataclass
class Surfaces:
    """The surfaces that the colour camera sees, before light and sensor."""

    paint: Array  # (4, H, W): linear albedo in red, green and blue, 0..1, and the share of direct sun
    glow: Array  # (3, H, W): light of lamps and headlights on the surface, linear
    emission: Array  # (3, H, W): light given off, linear
    label: Array  # (H, W) uint8
    thing: Array  # (H, W) int16, index of the thing in the scene, -1 for the ground


def _linear(color: Color) -> Array:
    return np.array([[[c * c]] for c in color], np.float32)


def paint_surfaces(
    view: View, scene: Scene, ground: Ground, parts: list[list[Part]], textures: list[Array]
) -> Surfaces:
    """Paint ground, shadows and things, farther things first. parts: the outline of every thing of the scene."""
    shape = (view.height, view.width)
    paint = np.empty((4, *shape), np.float32)
    paint[:3], paint[3] = ground.albedo, 1.0
    glow, emission = np.zeros((2, 3, *shape), np.float32)
    seen = np.full(shape, -1, np.int16)
    if scene.climate.sun > 0:
        for thing in scene.things:
            if thing.kind not in ("cone", "barrier"):  # too low to matter
                cast_shadow(paint[3], view, thing, scene.climate.shadow)
    lamps: list[tuple[int, Patch, Color]] = []
    for index, (thing, outline) in enumerate(zip(scene.things, parts, strict=True)):
        if thing.glow:
            _shine(glow, view, thing)
        for role, patch in outline:
            if role not in thing.colors:
                continue
            r, g, b = thing.colors[role]
            target = paint[:, patch.rows, patch.cols]
            step = np.array([[[r * r]], [[g * g]], [[b * b]], [[thing.light]]], np.float32) - target
            step *= patch.alpha
            target += step
            np.copyto(seen[patch.window], index, where=patch.alpha >= 0.5)
            if role in thing.glow:
                lamps.append((index, patch, thing.glow[role]))
    for index, patch, color in lamps:  # only where nothing nearer hides them
        shown = patch.alpha * (seen[patch.window] == index)
        emission[:, patch.rows, patch.cols] += shown * _linear(color)
    labels = np.array([*(thing.label for thing in scene.things), 0], np.uint8)
    label = np.where(seen < 0, ground.label, np.take(labels, seen))
    paint[:3] *= _mottle(label, textures)
    return Surfaces(paint, glow, emission, label, seen)


def cast_shadow(light: Array, view: View, thing: Thing, shadow: Point) -> None:
    """Darken the light on the ground behind a thing; `shadow` is the displacement for one pixel of rise."""
    (x, y), dx, dy = thing.at, shadow[0] * thing.rise, shadow[1] * thing.rise
    patch: Patch | None
    if thing.kind == "tree":
        local = frame(view, (x + dx, y + dy), 1.0, 0.0, 0.6 * thing.length)
        patch = local.ellipse((0, 0), (0.5 * thing.length, 0.46 * thing.length)) if local else None
    elif thing.label in (HUMAN, FACILITY):  # slender: a strip at right angles to the way
        w = (0.17 * thing.rise if thing.kind == "human" else 0.9) / math.hypot(dx, dy)
        wx, wy = -dy * w, dx * w
        near, far = ((x - wx, y - wy), (x + wx, y + wy)), ((x + wx + dx, y + wy + dy), (x - wx + dx, y - wy + dy))
        patch = polygon(view, [*near, *far])
    else:
        patch = polygon(view, sweep(thing.corners(), dx, dy))
    if patch is not None:
        light[patch.window] *= 1.0 - 0.94 * patch.alpha


def _shine(glow: Array, view: View, thing: Thing) -> None:
    """Light that a street lamp or a pair of headlights throws on the ground."""
    if thing.kind == "lamp" and "bulb" in thing.glow:
        local = frame(view, thing.at, 1.0, 0.0, 120)
        if local:
            arm = thing.length / 2 * (1 if thing.variant < 0.5 else -1)
            u, v = local.u - arm, local.v
            fall = np.maximum(1.0 - (u * u + v * v) * (1 / 115.0**2), 0.0)
            glow[:, local.rows, local.cols] += fall * fall * fall * (_linear(thing.glow["bulb"]) * np.float32(0.05))
    elif "headlight" in thing.glow:
        ahead = (thing.at[0] + thing.cos * 0.9 * thing.length, thing.at[1] + thing.sin * 0.9 * thing.length)
        local = frame(view, ahead, thing.cos, thing.sin, 70)
        if local:
            u = local.u + 0.4 * thing.length
            near = np.minimum(np.maximum(u * 0.12, 0.0), 1.0) * np.maximum(1.0 - u * (1 / 85), 0.0)
            off = local.v / (0.45 * thing.width + 0.22 * np.maximum(u, 0.0))
            beam = near * np.maximum(1.0 - off * off, 0.0)
            glow[:, local.rows, local.cols] += beam * np.array([[[0.5]], [[0.47]], [[0.4]]], np.float32)


def _mottle(label: Array, textures: list[Array]) -> Array:
    """Factor on the albedo: strong in foliage, slight elsewhere."""
    coarse, fine = textures
    rough = np.full(256, 0.28, np.float32)
    rough[TREE], rough[ROAD] = 1.5, 0.2
    mottle = np.take(rough, label) * (fine - 0.5)
    mottle += 0.35 * coarse + 0.825
    return np.maximum(mottle, 0.15, out=mottle)


def expose(surfaces: Surfaces, climate: Climate, dice: Dice, noise: float = 1.0) -> Array:
    """Light the surfaces and take the picture: uint8 (H, W, 3). noise: factor on the sensor's noise."""
    light = np.empty_like(surfaces.glow)
    for channel in range(3):
        sun = climate.sun * climate.sun_color[channel]
        light[channel] = surfaces.paint[3] * sun + climate.ambient[channel]
    light += surfaces.glow
    light *= surfaces.paint[:3]
    light += surfaces.emission
    light *= climate.exposure
    picture = np.sqrt(np.minimum(light, 1.0, out=light), out=light)
    picture *= 255.0
    level = {"day": dice.uniform(1.5, 4), "night": dice.uniform(4, 9), "dark_night": dice.uniform(2, 6)}[climate.scene]
    picture += grain(dice.generator, picture.shape) * np.float32(noise * level)
    picture += 0.5
    np.maximum(picture, 0.0, out=picture)
    np.minimum(picture, 255.0, out=picture)
    return np.ascontiguousarray(np.moveaxis(picture.astype(np.uint8), 0, 2))
