"""The hour and its weather, and from them the temperature of every surface (degrees C).

A surface is warmed by the sun as far as it is dark and lit, keeps some of that warmth into the night as far as it is
heavy, and loses heat to a clear sky as far as it faces it. Metal hardly emits: the camera sees the cold sky in it."""

from __future__ import annotations

import math

from cimnet.data.synthetic.dice import Dice
from cimnet.data.synthetic.raster import Point
from cimnet.data.synthetic.world import Climate, Color


def sample_climate(dice: Dice, scene: str) -> Climate:
    """Draw the light and the heat of a day, night or dark-night scene."""
    angle = dice.uniform(0, 2 * math.pi)
    if scene == "day":
        sun = dice.uniform(0.05, 0.2) if dice.chance(0.25) else dice.uniform(0.6, 1.0)
        height = dice.uniform(0.35, 1.3)  # length of a shadow per pixel of rise
        warm = dice.uniform(0.0, 1.0) * height / 1.3
        level = dice.uniform(0.9, 1.25)
        sun_color = (1.0, 0.97 - 0.12 * warm, 0.92 - 0.3 * warm)
        ambient = (0.30, 0.34, 0.42) if sun > 0.3 else (0.78, 0.82, 0.86)
        return Climate(
            scene, dice.uniform(8, 33), sun, 0.3, 2.0, _shadow(angle, height), _shadow(angle - 0.25, height * 0.9),
            sun_color, ambient, level,
        )  # fmt: skip
    late = dice.uniform(0.0, 1.0)  # 0: dusk, 1: long after midnight
    dark = scene == "dark_night"
    level = dice.uniform(0.004, 0.02) if dark else dice.uniform(0.03, 0.1)
    tint = dice.uniform(0.7, 1.3)
    ambient = (level * tint, level, level * (2.1 - tint))
    exposure = dice.uniform(0.5, 1.0) if dark else dice.uniform(1.2, 2.0)
    return Climate(
        scene, dice.uniform(2, 26), 0.0, 1.0 - 0.75 * late, dice.uniform(1.0, 6.0), (0.0, 0.0),
        _shadow(angle, 0.9), (1.0, 1.0, 1.0), ambient, exposure,
    )  # fmt: skip


def _shadow(angle: float, length: float) -> Point:
    return length * math.cos(angle), length * math.sin(angle)


def surface(c: Climate, absorb: float, heavy: float, lit: float = 1.0, metal: float = 0.0) -> float:
    """Apparent temperature of an outdoor surface.

    absorb: darkness to sunlight, heavy: heat capacity, lit: share of the sun it gets, metal: share of the cold sky
    that it reflects (all 0..1)."""
    sunny = 27.0 * c.sun * absorb * lit
    stored = 9.0 * c.stored * heavy * (0.6 + 0.4 * lit) if c.scene != "day" else 2.0 * heavy
    return c.air + sunny + stored - c.sky * (0.35 + 0.4 * (1 - heavy)) - metal * (8.0 + 1.5 * c.sky)


def darkness(color: Color) -> float:
    """Return the share of sunlight that a painted colour absorbs, 0..1."""
    return 1.0 - (0.3 * color[0] + 0.5 * color[1] + 0.2 * color[2])


def vehicle_temps(dice: Dice, c: Climate, paint: Color, lit: float, state: str) -> dict[str, float]:
    """Temperatures of a vehicle's parts. state: "moving", "warm" (just parked) or "cold"."""
    metal = dice.uniform(0.1, 0.45)
    body = surface(c, darkness(paint), 0.1, lit, metal)
    engine = {"moving": dice.uniform(10, 26), "warm": dice.uniform(3, 16), "cold": 0.0}[state]
    tyres = {"moving": dice.uniform(7, 18), "warm": dice.uniform(2, 8), "cold": 0.0}[state]
    glass = surface(c, 0.45, 0.1, lit, dice.uniform(0.35, 0.8))
    cabin = dice.uniform(0, 5) if state == "moving" else 0.0
    return {
        "body": body,
        "roof": body + dice.around(0.5, 1.5),
        "bonnet": body + engine,
        "side": surface(c, 0.5, 0.3, 0.4 * lit) + engine * 0.35,
        "glass": glass + cabin,
        "tyre": surface(c, 0.5, 0.5, 0.3 * lit) + tyres,
        "headlight": body + engine * 0.7,
        "taillight": body + engine * 0.2,
        "cab": body + engine * 0.5,
        "box": surface(c, darkness(paint), 0.2, lit, dice.uniform(0.0, 0.8)),
        "load": surface(c, 0.6, 0.3, lit),
        "rib": body - dice.uniform(0, 3),
        "engine": body + engine * 1.4,
        "bar": body - 2.0,
        **rider_temps(dice, c, lit),
    }


def rider_temps(dice: Dice, c: Climate, lit: float) -> dict[str, float]:
    """Skin and clothes of a person: nearer to the air the colder and the thicker the clothes."""
    skin = 33.5 + dice.around(0, 1.5) - 0.12 * max(0.0, 22 - c.air)
    thick = dice.uniform(0.2, 0.65) if c.air < 18 else dice.uniform(0.05, 0.4)
    clothes = skin + (surface(c, 0.5, 0.1, lit) - skin) * thick
    return {"torso": clothes, "legs": clothes - dice.uniform(0, 1.5), "head": skin - dice.uniform(0, 2.5)}
