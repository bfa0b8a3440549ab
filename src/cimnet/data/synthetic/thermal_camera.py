"""The thermal camera: a field of temperatures, seen from elsewhere and a moment later, through optics and sensor."""

from __future__ import annotations

import numpy as np

from cimnet.data.synthetic.class_ids import BUILDING, TREE
from cimnet.data.synthetic.dice import Dice
from cimnet.data.synthetic.ground import Ground
from cimnet.data.synthetic.raster import Array, View, bilinear, box_blur, grain, soften
from cimnet.data.synthetic.rgb_camera import cast_shadow
from cimnet.data.synthetic.shapes import Part, outline
from cimnet.data.synthetic.world import HEIGHT, WIDTH, Registration, Scene


def temperatures(view: View, scene: Scene, ground: Ground, parts: list[list[Part]], textures: list[Array]) -> Array:
    """Temperature (degrees C, float32 (H, W)) of what is in view when the thermal camera looks.

    Moving things lie where they have got to by then; the static residual is not applied yet (`register`)."""
    coarse, fine = textures
    temp = ground.temp
    climate = scene.climate
    kept = np.ones_like(temp)
    for thing in scene.things:  # only what has stood for long and is large leaves a cool place
        if thing.label == BUILDING or (thing.label == TREE and climate.sun > 0):
            cast_shadow(kept, view, thing, climate.earlier_shadow)
    loss = 17.0 * climate.sun if climate.sun > 0 else 2.5 * climate.stored
    temp = temp - loss * (1.0 - soften(kept, 2))
    temp += (coarse - 0.5) * 3.0 + (fine - 0.5) * 1.6
    uneven = fine - 0.5
    for thing, drawn in zip(scene.things, parts, strict=True):
        shift = scene.registration.dynamic(thing)
        if shift != (0.0, 0.0):
            drawn = outline(view, thing, fine, shift)
        for role, patch in drawn:
            if role in thing.temps:
                target = temp[patch.window]
                step = uneven[patch.window] * (4.0 if thing.label == TREE else 1.2)
                step += thing.temps[role]
                step -= target
                step *= patch.alpha
                target += step
    return temp


def register(temp: Array, inner: View, outer: View, registration: Registration) -> Array:
    """The view `inner` as the thermal camera frames it, from temperatures over the larger view `outer`.

    Pixel q of the result shows the world position p with q = p + shift + matrix (p - centre)."""
    a, b, c, d = registration.matrix
    centre = (WIDTH / 2, HEIGHT / 2)
    det = (1 + a) * (1 + d) - b * c
    x = inner.xs - (centre[0] + registration.shift[0])
    y = (inner.ys - (centre[1] + registration.shift[1]))[:, None]
    k, u0, v0 = outer.scale / det, (centre[0] - outer.x0) * outer.scale, (centre[1] - outer.y0) * outer.scale
    cols = x * ((1 + d) * k) - (y * (b * k) - (u0 - 0.5))
    rows = (y * ((1 + a) * k) + (v0 - 0.5)) - x * (c * k)
    return bilinear(temp, rows, cols)


def sense(temp: Array, scene: Scene, dice: Dice, scale: float, noise: float = 1.0) -> Array:
    """The camera's picture, uint8 (H, W): optics, detector noise, column pattern, gain control to 8 bit.

    noise: factor on detector noise and fixed pattern. A pair flagged "thermal_broken" is heavily blurred."""
    passes = max(1, int(dice.uniform(1.5, 4.0) * scale * scale + 0.5))
    picture = soften(temp, passes)
    height, width = picture.shape
    level = dice.uniform(0.12, 0.4)
    picture += grain(dice.generator, (height, width)) * np.float32(noise * level)
    picture += grain(dice.generator, (1, width)) * np.float32(noise * level * 0.7)
    eight = gain_control(picture, dice.uniform(0.002, 0.01), dice.uniform(8.0, 12.0))
    if "thermal_broken" in scene.flags:
        eight = box_blur(eight, max(2, int(dice.uniform(9, 15) * scale))).astype(np.uint8)
    return eight


def gain_control(picture: Array, tail: float, least: float) -> Array:
    """Map temperatures to 8 bit: a share `tail` of the pixels is clipped at either end, and no fewer than `least`
    degrees are spread over the range. White is hot."""
    steps = np.minimum(np.maximum(picture * 20.0 + 2000.0, 0.0), 8191.0).astype(np.int64)
    counts = np.cumsum(np.bincount(steps.reshape(-1), minlength=8192))
    total = int(counts[-1])
    low = int(np.searchsorted(counts, int(total * tail) + 1))
    high = int(np.searchsorted(counts, total - int(total * tail)))
    if high - low < least * 20:
        low, high = int((low + high) / 2 - least * 10), int((low + high) / 2 + least * 10)
    scaled = (picture - np.float32((low - 2000) / 20)) * np.float32(255 * 20 / (high - low))
    result: Array = np.minimum(np.maximum(scaled + 0.5, 0.0), 255.0).astype(np.uint8)
    return result
