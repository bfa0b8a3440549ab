"""Drawing the description of a scene from its seed: cheap, and enough to know everything about the pair."""

from __future__ import annotations

import math

from cimnet.data.synthetic import actors, street_plan
from cimnet.data.synthetic.climate import sample_climate
from cimnet.data.synthetic.dice import SPLITS, Dice, stratified
from cimnet.data.synthetic.world import HEIGHT, WIDTH, Registration, Scene, Thing

# Kust4K: 2,514 pairs by day, 857 at night, 653 at dark night.
DAY, NIGHT = 2514 / 4024, 857 / 4024
# Pairs with a broken modality, by split, and the share of those whose RGB is black (151 of 242; the rest: thermal).
BROKEN = {"train": 844 / 2814, "val": 120 / 403, "test": 242 / 807}
BROKEN_RGB = 151 / 242
# Static residual (native px): (probability, from, to); and the chance that the cameras were badly synchronised.
STATIC = ((0.52, 0.0, 1.5), (0.26, 1.5, 3.0), (0.22, 3.0, 10.0))
LATE = 0.2
# A pair is weakly aligned if its mean static offset or any vehicle's or person's dynamic offset exceeds (native px):
WEAK_STATIC, WEAK_DYNAMIC = 3.0, 5.0


def sample_scene(seed: int, split: str, index: int, late: float = LATE) -> tuple[Scene, Dice]:
    """The description of one scene, and its random source as it stands for the renderers. late: see `render`."""
    key, dice = SPLITS.index(split), Dice(seed, split, index)
    hour = stratified(seed, index, 0.7548776662466927, key)
    climate = sample_climate(dice, "day" if hour < DAY else "night" if hour < DAY + NIGHT else "dark_night")
    plan = street_plan.Plan(dice, climate, dice.uniform(7.6, 10.8))
    street_plan.lay_roads(plan)
    bays = street_plan.pave_car_park(plan) if dice.chance(0.6) else []
    street_plan.lay_buildings(plan)
    street_plan.plant_trees(plan)
    actors.drive_vehicles(plan)
    actors.park_vehicles(plan, bays)
    actors.place_people(plan)
    actors.place_facilities(plan)
    actors.scatter_distractors(plan)
    registration = _register(dice, plan.things, late)
    flags = {"weakly_aligned"} if weakly_aligned(registration, plan.things) else set()
    fate = stratified(seed, index, 0.5698402909980532, key)
    if fate < BROKEN[split]:
        flags.add("rgb_broken" if fate < BROKEN[split] * BROKEN_RGB else "thermal_broken")
    ground = dice.pick(("grass", "grass", "soil", "paving"))
    things = tuple(sorted(plan.things, key=lambda t: t.depth))
    crop = dice.uniform(0, 1), dice.uniform(0, 1)
    scene = Scene(
        climate, ground, tuple(plan.roads), tuple(plan.decals), things, registration, frozenset(flags), crop
    )  # fmt: skip
    return scene, dice


def _register(dice: Dice, things: list[Thing], late: float) -> Registration:
    bounds = [(low, high) for share, low, high in STATIC for _ in range(round(share * 100))]
    low, high = dice.pick(bounds)
    length = low + (high - low) * dice.uniform(0, 1) * (dice.uniform(0.4, 1) if low >= 3 else 1)
    angle = dice.uniform(0, 2 * math.pi)
    tiny = 0.0015 + 0.0004 * length
    a, b, c, d = (dice.around(0, tiny) for _ in range(4))
    fastest = max((math.hypot(*t.velocity) for t in things), default=0.0)
    reach = dice.uniform(6, 25) if dice.chance(late) else dice.uniform(0, 4)
    return Registration(
        (length * math.cos(angle), length * math.sin(angle)), (a, b, c, d), reach / max(fastest, 30.0)
    )  # fmt: skip


def weakly_aligned(registration: Registration, things: list[Thing]) -> bool:
    """The rule behind the flag: see WEAK_STATIC and WEAK_DYNAMIC."""
    grid = [registration.static((WIDTH * (k + 0.5) / 4, HEIGHT * (j + 0.5) / 4)) for j in range(4) for k in range(4)]
    if sum(math.hypot(*o) for o in grid) / len(grid) > WEAK_STATIC:
        return True
    return any(math.hypot(*registration.dynamic(t)) > WEAK_DYNAMIC for t in things if actors.inside(t.at, 0))
