"""Place vehicles, people, traffic facilities, and things that belong to no class."""

from __future__ import annotations

import math
from dataclasses import replace

from cimnet.data.synthetic.class_ids import CAR, FACILITY, HUMAN, MOTORCYCLE, ROAD, TRUCK, UNLABELLED
from cimnet.data.synthetic.climate import rider_temps, surface, vehicle_temps
from cimnet.data.synthetic.raster import Point
from cimnet.data.synthetic.street_plan import Plan, shade, vary
from cimnet.data.synthetic.world import HEIGHT, WIDTH, Color, Decal, Road, Thing

_PAINTS: tuple[Color, ...] = (
    (0.9, 0.9, 0.9), (0.85, 0.86, 0.87), (0.62, 0.63, 0.65), (0.12, 0.12, 0.13), (0.2, 0.21, 0.23),
    (0.55, 0.1, 0.1), (0.12, 0.2, 0.45), (0.75, 0.7, 0.3), (0.35, 0.25, 0.18), (0.2, 0.4, 0.3),
)  # fmt: skip
_SIZES = {  # metres: length from, to, width from, to, height from, to
    "car": (3.9, 5.0, 1.75, 1.95, 1.1, 1.5),
    "truck": (6.5, 11.0, 2.3, 2.6, 2.2, 3.0),
    "bus": (9.0, 12.0, 2.5, 2.6, 2.4, 2.8),
    "motorcycle": (1.8, 2.3, 0.8, 1.0, 1.1, 1.4),
}
_LABELS = {"car": CAR, "truck": TRUCK, "bus": TRUCK, "motorcycle": MOTORCYCLE}
_CLOTHES: tuple[Color, ...] = (
    (0.85, 0.85, 0.85), (0.15, 0.15, 0.2), (0.7, 0.15, 0.15), (0.15, 0.3, 0.6), (0.8, 0.7, 0.2), (0.3, 0.3, 0.3),
)  # fmt: skip


def inside(at: Point, margin: float = 10.0) -> bool:
    """Whether a place lies in the canvas, this far from its edge."""
    return margin < at[0] < WIDTH - margin and margin < at[1] < HEIGHT - margin


def _vehicle(plan: Plan, kind: str, at: Point, heading: Point, state: str, speed: float = 0.0) -> Thing:
    dice, c, m = plan.dice, plan.climate, plan.meter
    l0, l1, w0, w1, h0, h1 = _SIZES[kind]
    paint = vary(dice, dice.pick(_PAINTS), 0.04)
    if kind in ("truck", "bus") and dice.chance(0.4):
        paint = vary(dice, dice.pick(((0.2, 0.35, 0.65), (0.75, 0.3, 0.15), (0.25, 0.5, 0.3))))
    shirt = vary(dice, dice.pick(_CLOTHES))
    colors: dict[str, Color] = {
        "body": paint, "roof": paint, "bonnet": shade(paint, 0.94), "side": shade(paint, 0.55),
        "glass": (0.1, 0.12, 0.15), "tyre": (0.06, 0.06, 0.06), "headlight": (0.85, 0.85, 0.8),
        "taillight": (0.5, 0.05, 0.05), "cab": vary(dice, paint), "box": paint,
        "load": vary(dice, (0.45, 0.38, 0.3), 0.15), "rib": shade(paint, 0.7), "engine": (0.3, 0.3, 0.32),
        "bar": (0.1, 0.1, 0.1), "torso": shirt,
        "head": dice.pick(((0.9, 0.9, 0.9), (0.1, 0.1, 0.1), (0.8, 0.2, 0.1), (0.9, 0.8, 0.2))),
    }  # fmt: skip
    glow: dict[str, Color] = {}
    if c.scene != "day" and state == "moving":
        glow = {"headlight": (3.0, 2.8, 2.4), "taillight": (0.9, 0.05, 0.03)}
    lit = plan.lit(at)
    size = dice.uniform(l0, l1) * m, dice.uniform(w0, w1) * m, dice.uniform(h0, h1) * m * 0.6
    riding = dice.uniform(0, 0.75) if state == "moving" else 0.95
    return Thing(
        kind, _LABELS[kind], at, heading[0], heading[1], *size, colors, vehicle_temps(dice, c, paint, lit, state),
        (heading[0] * speed, heading[1] * speed), lit, glow, riding if kind == "motorcycle" else dice.uniform(0, 1),
    )  # fmt: skip


def drive_vehicles(plan: Plan) -> None:
    """Traffic in the lanes: every lane runs at a pace of its own, and some of it waits."""
    dice, m = plan.dice, plan.meter
    kinds = ["truck"] * dice.integer(1, 2) + ["bus"] * dice.integer(0, 1)
    kinds += ["motorcycle"] * dice.integer(3, 6) + ["car"] * dice.integer(5, 13)
    busy: list[tuple[Point, float]] = []
    paces = {(r, k): dice.uniform(6, 17) * m for r in range(len(plan.roads)) for k in range(-3, 4)}
    for kind in kinds:
        for _ in range(12):
            r = dice.integer(0, len(plan.roads) - 1)
            road = plan.roads[r]
            lane, side = dice.integer(0, road.lanes // 2 - 1), dice.pick((-1, 1))
            width = road.half * 2 / road.lanes
            v = side * (lane + 0.5) * width + dice.around(0, 0.08 * width)
            if kind == "motorcycle" and dice.chance(0.6):
                v = side * (road.half - 0.25 * width)
            u = dice.uniform(-380, 380)
            at, reach = road.point(u, v), 0.5 * _SIZES[kind][1] * m
            clear = all(math.dist(at, p) > reach + q + 4 for p, q in busy)
            if inside(at) and clear:
                busy.append((at, reach))
                moving = dice.chance(0.75)
                speed = paces[(r, side * (lane + 1))] * dice.uniform(0.8, 1.1) if moving else 0.0
                plan.things.append(_vehicle(plan, kind, at, road.heading(u, v), "moving", speed))
                break


def park_vehicles(plan: Plan, bays: list[tuple[Point, float, float]]) -> None:
    """Cars in the bays, some just parked; the places just left are still cool (by day) or warm (by night)."""
    dice, c, m = plan.dice, plan.climate, plan.meter
    patch = -7.0 * c.sun if c.sun > 0.3 else 3.0
    for at, cos, sin in bays:
        if dice.chance(0.55):
            state = "warm" if dice.chance(0.35) else "cold"
            plan.things.append(_vehicle(plan, "car", at, (cos, sin), state))
        elif dice.chance(0.4):
            plan.decals.append(Decal(at, cos, sin, 4.2 * m, 1.8 * m, heat=patch * dice.uniform(0.5, 1.0)))
    road = plan.roads[0]
    for _ in range(dice.integer(1, 4)):  # motorcycles parked in a row on the pavement
        u, side = dice.uniform(-300, 300), dice.pick((-1, 1))
        for k in range(dice.integer(1, 3)):
            at = road.point(u + k * 1.3 * m, side * (road.half + 0.35 * road.pavement))
            if inside(at) and not _on_road(plan, at):
                cos, sin = road.heading(u, 1.0)
                state = "warm" if dice.chance(0.3) else "cold"
                plan.things.append(_vehicle(plan, "motorcycle", at, (-sin, cos), state))


def _on_road(plan: Plan, at: Point) -> bool:
    return any(abs(road.side(at)) < road.half for road in plan.roads)


def place_people(plan: Plan) -> None:
    """People on the pavements, on the crossings and here and there on open ground."""
    dice, c, m = plan.dice, plan.climate, plan.meter
    for _ in range(dice.integer(7, 16)):
        for _ in range(8):
            road = dice.pick(plan.roads)
            side, place = dice.pick((-1, 1)), dice.uniform(0, 1)
            if place < 0.25:
                at = road.point(dice.pick(road.crossings) + dice.around(0, 12), dice.uniform(-1, 1) * road.half)
            elif place < 0.85:
                at = road.point(dice.uniform(-350, 350), side * (road.half + dice.uniform(0.15, 0.8) * road.pavement))
            else:
                at = (dice.uniform(20, WIDTH - 20), dice.uniform(20, HEIGHT - 20))
            if inside(at, 22) and (place < 0.25 or not _on_road(plan, at)) and (place < 0.85 or plan.free(at)):
                break
        else:
            continue
        rise = min(max(dice.uniform(1.5, 1.85) * m * 0.85, 8.5), 19.5)
        top, legs = vary(dice, dice.pick(_CLOTHES)), vary(dice, dice.pick(_CLOTHES[1:]))
        angle, speed = dice.uniform(0, 2 * math.pi), dice.uniform(0.6, 1.6) * m
        velocity = (math.cos(angle) * speed, math.sin(angle) * speed) if dice.chance(0.7) else (0.0, 0.0)
        lit = plan.lit(at)
        colors = {"torso": top, "legs": shade(legs, 0.7), "head": dice.pick(((0.15, 0.1, 0.08), (0.75, 0.55, 0.42)))}
        plan.things.append(
            Thing("human", HUMAN, at, 1.0, 0.0, 0.5 * rise, 0.42 * rise, rise, colors, rider_temps(dice, c, lit),
                  velocity, lit, variant=dice.uniform(0, 1))
        )  # fmt: skip


def place_facilities(plan: Plan) -> None:
    """Lamp posts, signs, signals, barriers and cones along the roads."""
    dice, m = plan.dice, plan.meter
    for road in plan.roads:
        gap, u = dice.uniform(130, 220), -430 + dice.uniform(0, 100)
        side = dice.pick((-1, 1))
        while u < 430:
            _stand(plan, "lamp", road, u, side, (3.2 * m, 2.0, dice.uniform(36, 50)))
            u, side = u + gap, -side
        for _ in range(dice.integer(2, 4)):
            size = dice.uniform(11, 20), dice.uniform(9, 14), dice.uniform(17, 27)
            _stand(plan, "sign", road, dice.uniform(-300, 300), dice.pick((-1, 1)), size)
        for u in road.crossings:
            for side in (-1, 1):
                _stand(plan, "signal", road, u + dice.uniform(8, 16), side, (3.4 * m, 2.0, dice.uniform(28, 38)))
        if road.lanes >= 4 and dice.chance(0.6):
            _fence(plan, road, 0.0)
        elif dice.chance(0.5):
            _fence(plan, road, dice.pick((-1, 1)) * (road.half + 3))
        u, v = dice.uniform(-200, 200), dice.pick((-1, 1)) * (road.half - dice.uniform(4, 16))
        for k in range(dice.integer(0, 5)):
            at = road.point(u + 14 * k, v)
            if inside(at):
                plan.things.append(_facility(plan, "cone", at, (1.0, 0.0), (6.5, 6.5, 8.5)))


def _stand(plan: Plan, kind: str, road: Road, u: float, side: int, size: tuple[float, float, float]) -> None:
    at = road.point(u, side * (road.half + 4))
    others = (other for other in plan.roads if other is not road)
    if inside(at, -10) and not any(abs(other.side(at)) < other.half for other in others):
        thing = _facility(plan, kind, at, (1.0, 0.0), size)
        axis = road.point(u, 0.0)
        plan.things.append(replace(thing, variant=0.25 if axis[0] > at[0] else 0.75))


def _fence(plan: Plan, road: Road, v: float) -> None:
    u = -420.0
    while u < 420:
        length = plan.dice.uniform(50, 90)
        at = road.point(u + length / 2, v)
        others = (other for other in plan.roads if other is not road)
        crossed = any(abs(u + length / 2 - c) < 20 + length / 2 for c in road.crossings)
        if not crossed and not any(abs(other.side(at)) < other.half + length / 2 for other in others):
            thing = _facility(plan, "barrier", at, road.heading(u + length / 2, 1.0), (length, 3.6, 5.0))
            plan.things.append(thing)
        u += length + 2


def _facility(plan: Plan, kind: str, at: Point, heading: Point, size: tuple[float, float, float]) -> Thing:
    dice, c = plan.dice, plan.climate
    steel = dice.uniform(0.2, 0.6)
    cold = surface(c, 0.4, 0.15, 0.7, steel)
    board = dice.pick(((0.1, 0.3, 0.65), (0.1, 0.45, 0.25), (0.8, 0.12, 0.1), (0.9, 0.75, 0.15)))
    if kind == "cone":
        board = (0.95, 0.4, 0.08)
    elif kind == "barrier":
        board = dice.pick(((0.9, 0.9, 0.88), (0.85, 0.75, 0.2), (0.7, 0.72, 0.72)))
    colors: dict[str, Color] = {
        "pole": vary(dice, (0.62, 0.63, 0.64)), "frame": (0.85, 0.86, 0.86) if kind == "sign" else (0.2, 0.2, 0.2),
        "board": board, "text": (0.92, 0.92, 0.9), "bulb": (0.8, 0.8, 0.75), "stripe": (0.85, 0.15, 0.1),
    }  # fmt: skip
    glow: dict[str, Color] = {}
    bulb = cold
    if kind == "lamp" and c.scene != "day" and dice.chance(0.85 if c.scene == "night" else 0.12):
        glow, bulb = {"bulb": dice.pick(((4.0, 2.9, 1.4), (3.4, 3.4, 3.6)))}, c.air + dice.uniform(10, 30)
    elif kind == "signal":
        level = 0.9 if c.scene == "day" else 1.6
        glow, bulb = {"bulb": shade(dice.pick(((1.0, 0.05, 0.03), (0.05, 0.9, 0.4))), level)}, c.air + 8
    temps = {"pole": cold, "frame": cold + dice.around(0, 2), "board": cold + dice.around(-1, 3), "text": cold,
             "stripe": cold, "bulb": bulb}  # fmt: skip
    variant = dice.uniform(0, 1)
    return Thing(kind, FACILITY, at, *heading, *size, colors, temps, light=plan.lit(at), glow=glow, variant=variant)


def scatter_distractors(plan: Plan) -> None:
    """Containers the size of cars, bins, manholes, puddles, oil: what is none of the classes but looks like some."""
    dice, c, m = plan.dice, plan.climate, plan.meter
    for kind, count in (("container", dice.integer(0, 3)), ("bin", dice.integer(1, 5))):
        for _ in range(count):
            at = (dice.uniform(10, WIDTH - 10), dice.uniform(10, HEIGHT - 10))
            big = kind == "container"
            size = (dice.uniform(3.5, 6) * m, 2.3 * m, 1.2 * m) if big else (0.9 * m, 0.9 * m, 0.7 * m)
            cos, sin = plan.roads[0].heading(0.0, 1.0)
            probe = Thing(kind, UNLABELLED, at, cos, sin, *size, {}, {})
            if not plan.claim(probe.corners()):
                continue
            paint = vary(dice, dice.pick(((0.6, 0.25, 0.15), (0.2, 0.35, 0.55), (0.25, 0.45, 0.3), (0.7, 0.7, 0.7))))
            lit = plan.lit(at)
            warm = surface(c, 1 - paint[1], 0.15, lit, dice.uniform(0.0, 0.5)) + dice.uniform(0, 3)
            plan.things.append(
                replace(probe, colors={"roof": paint, "wall": shade(paint, 0.6), "wall_side": shade(paint, 0.5)},
                        temps={"roof": warm, "wall": warm - 2, "wall_side": warm - 3}, light=lit)
            )  # fmt: skip
    for _ in range(dice.integer(3, 9)):
        road = dice.pick(plan.roads)
        at = road.point(dice.uniform(-350, 350), dice.uniform(-0.9, 0.9) * road.half)
        what = dice.uniform(0, 1)
        if what < 0.5:  # a manhole, often warm from the sewer
            plan.decals.append(Decal(at, 1, 0, 7, 6, (0.16, 0.16, 0.16), 0.8, dice.uniform(0, 9), ROAD, True))
        elif what < 0.75:  # a puddle
            long, cool = dice.uniform(12, 40), dice.uniform(-8, -3)
            plan.decals.append(Decal(at, 1, 0, long, long * 0.6, (0.2, 0.22, 0.25), 0.6, cool, None, True))
        else:  # a patch of new asphalt
            cos, sin = road.heading(0.0, 1.0)
            plan.decals.append(
                Decal(at, cos, sin, dice.uniform(20, 60), 22, (0.2, 0.2, 0.21), 0.7, dice.uniform(-1, 4))
            )
