"""Laying out the still world: roads, car parks, buildings and trees."""

from __future__ import annotations

import math

from cimnet.data.synthetic.class_ids import BUILDING, TREE, UNLABELLED
from cimnet.data.synthetic.climate import darkness, surface
from cimnet.data.synthetic.dice import Dice
from cimnet.data.synthetic.raster import Point, View, polygon, sweep
from cimnet.data.synthetic.world import HEIGHT, WIDTH, Climate, Color, Decal, Road, Thing

MARGIN = 48
CELL = 8.0


class Plan:
    """The plan of a scene under construction: what it holds so far, and which ground is still free."""

    def __init__(self, dice: Dice, climate: Climate, meter: float) -> None:
        self.dice, self.climate, self.meter = dice, climate, meter  # meter: native pixels to a metre
        self.roads: list[Road] = []
        self.decals: list[Decal] = []
        self.things: list[Thing] = []
        columns, rows = int((WIDTH + 2 * MARGIN) / CELL), int((HEIGHT + 2 * MARGIN) / CELL)
        self.grid = View(-MARGIN, -MARGIN, 1 / CELL, rows, columns)
        self.taken = self.grid.ys[:, None] * self.grid.xs > math.inf  # all False

    def claim(self, corners: list[Point]) -> bool:
        """Take a convex piece of ground if all of it is free."""
        if any(self.holds(at) for at in corners):
            return False
        patch = polygon(self.grid, corners)
        if patch is None:
            return False
        inside = patch.alpha > 0.3
        if (self.taken[patch.window] & inside).any():
            return False
        self.taken[patch.window] |= inside
        return True

    def holds(self, at: Point) -> bool:
        """Whether a place of the plan is taken."""
        j, i = int((at[0] + MARGIN) / CELL), int((at[1] + MARGIN) / CELL)
        rows, columns = self.taken.shape
        return 0 <= i < rows and 0 <= j < columns and bool(self.taken[i, j])

    def free(self, at: Point) -> bool:
        """Whether a single place is free; outside the plan nothing is."""
        inside = -MARGIN < at[0] < WIDTH + MARGIN and -MARGIN < at[1] < HEIGHT + MARGIN
        return inside and not self.holds(at)

    def lit(self, at: Point) -> float:
        """Share of the sun that reaches a place on the ground: little in a building's shadow."""
        sx, sy = self.climate.shadow
        if self.climate.sun == 0:
            return 1.0
        for b in self.things:
            if b.kind != "building" or math.dist(at, b.at) > b.length + 1.3 * b.rise:
                continue
            # The place is shaded if the way towards the sun passes under the roof's edge.
            for step in (0.15, 0.4, 0.65, 0.9):
                x = at[0] - sx * b.rise * step - b.at[0]
                y = at[1] - sy * b.rise * step - b.at[1]
                if abs(x * b.cos + y * b.sin) < b.length / 2 and abs(y * b.cos - x * b.sin) < b.width / 2:
                    return 0.12
        return 1.0


def shade(color: Color, factor: float) -> Color:
    """A colour made darker or lighter."""
    return color[0] * factor, color[1] * factor, color[2] * factor


def vary(dice: Dice, color: Color, spread: float = 0.05) -> Color:
    """A colour near the given one."""
    level = dice.around(0, spread)
    r, g, b = (min(max(c + level + dice.around(0, spread * 0.6), 0.02), 1.0) for c in color)
    return r, g, b


def lay_roads(plan: Plan) -> None:
    """One main road in any direction, often crossed by a second one."""
    dice = plan.dice
    angle = dice.uniform(0, math.pi)
    lanes = (2, 4, 4, 6)[dice.integer(0, 3)]
    at = (WIDTH / 2 + dice.uniform(-70, 70), HEIGHT / 2 + dice.uniform(-60, 60))
    bend = dice.uniform(-3.5e-4, 3.5e-4) if dice.chance(0.5) else 0.0
    plan.roads.append(_road(plan, at, angle, bend, min(lanes, int(200 / (3.4 * plan.meter)))))
    if dice.chance(0.5):
        main = plan.roads[0]
        u = dice.uniform(-140, 140)
        cos, sin = main.heading(u, 1.0)
        across = math.atan2(sin, cos) + math.pi / 2 + dice.around(0, 0.35)
        plan.roads.append(_road(plan, main.point(u, 0.0), across, 0.0, 2))
    for road in plan.roads:
        _, v = road.across(plan.grid.xs, plan.grid.ys)
        plan.taken |= abs(v) < road.half + 0.5 * road.pavement


def _road(plan: Plan, at: Point, angle: float, bend: float, lanes: int) -> Road:
    dice = plan.dice
    lane = dice.uniform(3.1, 3.6) * plan.meter
    half = lane * max(lanes, 2) / 2 + 0.12 * lane
    crossings = tuple(dice.uniform(-260, 260) for _ in range(dice.integer(1, 2)))
    cos, sin = round(math.cos(angle), 9), round(math.sin(angle), 9)
    return Road(at, cos, sin, bend, half, dice.uniform(16, 30), max(lanes, 2), crossings, (-460.0, 460.0))


def lay_buildings(plan: Plan) -> None:
    """Buildings along the roads, and behind those, until enough of the ground is built on."""
    dice, road = plan.dice, plan.roads[0]
    goal, built = dice.uniform(0.35, 0.6) * WIDTH * HEIGHT, 0.0
    for attempt in range(360):
        at = (dice.uniform(-30, WIDTH + 30), dice.uniform(-20, HEIGHT + 60))
        if plan.holds(at):
            continue
        largest = 190 if attempt < 120 else 95  # what is left are gaps
        length, width = dice.uniform(50, largest), dice.uniform(44, 0.63 * largest)
        u = (at[0] - road.at[0]) * road.cos + (at[1] - road.at[1]) * road.sin
        cos, sin = road.heading(u, 1.0)
        if dice.chance(0.4):
            cos, sin = -sin, cos
        rise = dice.uniform(14, 46) if dice.chance(0.8) else dice.uniform(46, 80)
        probe = Thing("building", BUILDING, at, cos, sin, length + 10, width + 10, rise, {}, {})
        corners = probe.corners()
        if any(plan.holds(p) for p in corners) or not plan.claim(sweep(corners, 0.0, -rise)):
            continue
        plan.decals.append(Decal(at, cos, sin, length + 22, width + 22, (0.5, 0.49, 0.47), 0.8, 1.0, under=True))
        plan.things.append(_building(plan, at, cos, sin, length, width, rise))
        built += length * (width + 0.6 * rise)
        if built > goal:
            break


_WALLS: tuple[Color, ...] = ((0.72, 0.68, 0.6), (0.6, 0.58, 0.56), (0.78, 0.76, 0.72), (0.62, 0.45, 0.38))
_ROOFS: dict[str, tuple[Color, ...]] = {
    "concrete": ((0.58, 0.57, 0.55), (0.48, 0.47, 0.46), (0.68, 0.66, 0.62)),
    "bitumen": ((0.24, 0.24, 0.25), (0.3, 0.29, 0.3)),
    "tile": ((0.6, 0.3, 0.22), (0.5, 0.28, 0.24), (0.38, 0.33, 0.33)),
    "metal": ((0.3, 0.42, 0.62), (0.7, 0.72, 0.74), (0.32, 0.5, 0.44)),
    "green": ((0.3, 0.42, 0.22),),
}
_HEAVY = {"concrete": 0.9, "bitumen": 0.45, "tile": 0.6, "metal": 0.1, "green": 0.5}


def _building(plan: Plan, at: Point, cos: float, sin: float, length: float, width: float, rise: float) -> Thing:
    dice, c = plan.dice, plan.climate
    kind = dice.pick(("concrete", "concrete", "concrete", "bitumen", "tile", "tile", "metal", "metal", "green"))
    roof, wall = vary(dice, dice.pick(_ROOFS[kind])), vary(dice, dice.pick(_WALLS))
    colors: dict[str, Color] = {
        "roof": roof, "wall": wall, "wall_side": shade(wall, 0.75), "window": (0.2, 0.25, 0.3),
        "parapet": vary(dice, (0.66, 0.64, 0.6)), "unit": (0.75, 0.75, 0.74), "hatch": vary(dice, (0.5, 0.42, 0.4)),
        "tank": (0.72, 0.76, 0.8), "furniture_side": shade(roof, 0.5),
    }  # fmt: skip
    if kind == "tile":
        colors |= {"ridge": shade(roof, 0.72), "seam": shade(roof, 0.8)}
    elif kind == "metal":
        colors["seam"] = shade(roof, 0.84)
    heated = dice.uniform(0, 5) if c.air < 18 else dice.uniform(-1, 2)
    metal = dice.uniform(0.3, 0.9) if kind == "metal" else 0.0
    absorb = 0.25 if kind == "green" else darkness(roof)
    top = surface(c, absorb, _HEAVY[kind], 1.0, metal) + 0.3 * heated + dice.around(0, 2)
    front = surface(c, darkness(wall), 0.9, dice.uniform(0.1, 0.7)) + 0.5 * heated
    temps = {
        "roof": top, "ridge": top - 7 * c.sun, "seam": top - 1.5, "parapet": front, "wall": front,
        "wall_side": front + dice.around(0, 3), "window": front + dice.uniform(-4, 3), "hatch": top + dice.around(0, 4),
        "unit": c.air + dice.uniform(4, 18), "tank": c.air + dice.uniform(-3, 12), "furniture_side": top - 2,
    }  # fmt: skip
    glow: dict[str, Color] = {}
    if c.scene != "day" and dice.chance(0.5 if c.scene == "night" else 0.15):
        glow["window"] = shade(dice.pick(((1.0, 0.8, 0.45), (0.8, 0.9, 1.0))), dice.uniform(0.05, 0.35))
    return Thing(
        "building", BUILDING, at, cos, sin, length, width, rise, colors, temps, glow=glow, variant=dice.uniform(0, 1)
    )  # fmt: skip


def plant_trees(plan: Plan) -> None:
    """Avenues along the roads, groves on free ground, and bushes."""
    dice = plan.dice
    for road in plan.roads:
        for side in (-1, 1):
            if dice.chance(0.3):
                continue
            u, gap = -440.0, dice.uniform(38, 90)
            while u < 440:
                at = road.point(u, side * (road.half + road.pavement + dice.uniform(-4, 8)))
                if dice.chance(0.85) and plan.free(at):
                    plan.things.append(_tree(plan, at, dice.uniform(13, 22)))
                u += gap * dice.uniform(0.8, 1.2)
    for _ in range(dice.integer(10, 16)):
        x, y, spread = dice.uniform(0, WIDTH), dice.uniform(0, HEIGHT), dice.uniform(20, 80)
        for _ in range(dice.integer(3, 9)):
            at = (x + dice.around(0, spread), y + dice.around(0, spread))
            if plan.free(at):
                radius = dice.uniform(13, 31) if dice.chance(0.75) else dice.uniform(5, 9)
                plan.things.append(_tree(plan, at, radius))


def _tree(plan: Plan, at: Point, radius: float) -> Thing:
    dice, c = plan.dice, plan.climate
    leaf = dice.pick(((0.2, 0.34, 0.13), (0.27, 0.38, 0.15), (0.16, 0.28, 0.14), (0.36, 0.38, 0.16)))
    leaf = vary(dice, leaf, 0.04)
    leaves = surface(c, 0.22, 0.25) + dice.around(0.8, 1.2)
    return Thing(
        "tree", TREE, at, 1.0, 0.0, 2 * radius, 2 * radius, radius * dice.uniform(0.5, 0.9),
        {"crown": shade(leaf, 0.72), "crown_top": shade(leaf, 1.18)},
        {"crown": leaves - 1.0 * c.sun, "crown_top": leaves + 1.5 * c.sun},
        light=1.0, variant=dice.uniform(0, 1),
    )  # fmt: skip


def pave_car_park(plan: Plan) -> list[tuple[Point, float, float]]:
    """A car park beside the main road, when there is room; returns its bays as (place, cos, sin)."""
    dice, road, m = plan.dice, plan.roads[0], plan.meter
    bay, deep, count = 2.6 * m, 5.2 * m, dice.integer(4, 8)
    for _ in range(12):
        side, u = dice.pick((-1, 1)), dice.uniform(-220, 220)
        at = road.point(u, side * (road.half + road.pavement + 1.6 * deep))
        cos, sin = road.heading(u, 1.0)
        lot = Decal(at, cos, sin, bay * count + 8, 2.9 * deep, vary(dice, (0.46, 0.46, 0.45)), 1.0, 2.0, UNLABELLED)
        corners = Thing("lot", 0, at, cos, sin, lot.length, lot.width, 0, {}, {}).corners()
        if not (40 < at[0] < WIDTH - 40 and 40 < at[1] < HEIGHT - 40) or not plan.claim(corners):
            continue
        plan.decals.append(lot)
        bays = []
        for row in (-1, 1):
            for k in range(count + 1):
                along, off = (k - count / 2) * bay, row * 0.92 * deep
                x, y = at[0] + along * cos - off * sin, at[1] + along * sin + off * cos
                plan.decals.append(Decal((x, y), -sin, cos, deep, 1.2, (0.85, 0.85, 0.82), 0.8))
                if k < count:
                    x, y = x + 0.5 * bay * cos, y + 0.5 * bay * sin
                    bays.append(((x, y), -sin * row, cos * row))
        return bays
    return []
