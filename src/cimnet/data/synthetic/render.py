"""One RGB-thermal pair with its truth: describe the scene, let both cameras look at it, work out the offsets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cimnet.data.synthetic.dice import SPLITS, Dice
from cimnet.data.synthetic.draws import LATE, sample_scene
from cimnet.data.synthetic.ground import lay_ground
from cimnet.data.synthetic.raster import Array, Lattice, View
from cimnet.data.synthetic.rgb_camera import expose, paint_surfaces
from cimnet.data.synthetic.shapes import outline
from cimnet.data.synthetic.thermal_camera import register, sense, temperatures
from cimnet.data.synthetic.world import HEIGHT, WIDTH, Scene
from cimnet.errors import ConfigError

_PAD = 14  # native pixels around the view that static offsets may bring into the thermal picture


@dataclass(frozen=True)
class ScenePair:
    """A rendered pair. Everything except ``thermal`` is in the frame of the RGB image.

    Attributes:
        rgb: (H, W, 3) uint8.
        thermal: (H, W) uint8, white is hot.
        label: (H, W) uint8, class ids.
        offset: (2, H, W) float32, (dy, dx) in pixels: what RGB shows at p lies at p + offset(p) in the thermal image.
        moving: (H, W) bool, pixels of things that move.
        id: five digits and D (day) or N (night and dark night), e.g. "00012N".
        scene: "day", "night" or "dark_night".
        flags: those of "rgb_broken", "thermal_broken" and "weakly_aligned" that hold.
    """

    rgb: Array
    thermal: Array
    label: Array
    offset: Array
    moving: Array
    id: str
    scene: str
    flags: frozenset[str]


def render(
    seed: int,
    *,
    split: str = "train",
    index: int = 0,
    size: tuple[int, int] = (512, 640),
    scale: float = 1.0,
    number: int | None = None,
    noise: float = 1.0,
    late: float = LATE,
) -> ScenePair:
    """Render one pair of a synthetic data set; the same arguments give the same pixels on every machine.

    Args:
        seed: seed of the whole data set, at least 0.
        split: "train", "val" or "test".
        index: position of the pair in its split, from 0.
        size: (height, width) of the images, pixels.
        scale: pixels per native pixel. If size / scale is smaller than the native 512 × 640, the view is a crop of the
            scene at a place that belongs to it.
        number: number in the id. None: index + 1.
        noise: factor on the noise of both sensors; 0 for none.
        late: share of pairs, 0 to 1, whose cameras are badly synchronised, so that the fastest thing is displaced by 6
            to 25 native pixels.

    Raises:
        ConfigError: the split is unknown, seed or index is negative, or the view is larger than the scene.
    """
    check_view(seed, size, scale)
    if split not in SPLITS or index < 0:
        raise ConfigError(f"split {split!r}, index {index}: splits are {', '.join(SPLITS)}, indices start at 0")
    scene, dice = sample_scene(seed, split, index, late)
    name = f"{index + 1 if number is None else number:05d}{'D' if scene.climate.scene == 'day' else 'N'}"
    return draw(scene, dice, name, size, scale, noise)


def draw(
    scene: Scene, dice: Dice, name: str, size: tuple[int, int] = (HEIGHT, WIDTH), scale: float = 1.0, noise: float = 1.0
) -> ScenePair:
    """Let both cameras look at a described scene; arguments as for `render`, name is the id."""
    inner, outer, cut = _views(scene, size, scale)
    lattices = [Lattice(dice.generator, cell, WIDTH, HEIGHT, 2 * _PAD) for cell in (34.0, 4.5)]
    textures = [lattice.sample(outer) for lattice in lattices]
    ground = lay_ground(outer, scene, dice, textures[0])
    parts = [outline(outer, thing, textures[1]) for thing in scene.things]
    temp = temperatures(outer, scene, ground, parts, textures)
    surfaces = paint_surfaces(outer, scene, ground, parts, textures)
    rgb = np.ascontiguousarray(expose(surfaces, scene.climate, dice, noise)[cut])
    if "rgb_broken" in scene.flags:
        rgb[:] = 0
    thermal = sense(register(temp, inner, outer, scene.registration), scene, dice, scale, noise)
    label = np.ascontiguousarray(surfaces.label[cut])
    offset, moving = true_offset(scene, inner, surfaces.thing[cut])
    return ScenePair(rgb, thermal, label, offset, moving, name, scene.climate.scene, scene.flags)


def true_offset(scene: Scene, view: View, thing: Array) -> tuple[Array, Array]:
    """The offset field (2, H, W) in pixels of the view, order (dy, dx), and the mask of moving things.

    thing: (H, W) index of the thing at each pixel, -1 for the ground. A thing that has moved by d in the meantime is
    seen at p + d + static(p + d)."""
    a, b, c, d = scene.registration.matrix
    count = len(scene.things)
    motion = np.zeros((2, count + 1), np.float32)  # the last column is the ground's: index -1
    moves = np.zeros(count + 1, np.bool_)
    for k, t in enumerate(scene.things):
        if t.moving:
            moves[k] = True
            dx, dy = scene.registration.dynamic(t)
            motion[:, k] = (dy + c * dx + d * dy) * view.scale, (dx + a * dx + b * dy) * view.scale
    x = view.xs - WIDTH / 2
    y = (view.ys - HEIGHT / 2)[:, None]
    shift_x, shift_y = scene.registration.shift
    offset = np.empty((2, *thing.shape), np.float32)
    offset[0] = (x * c + (y * d + shift_y)) * view.scale
    offset[1] = (x * a + (y * b + shift_x)) * view.scale
    offset += np.take(motion, thing, axis=1)
    return offset, np.take(moves, thing)


def _views(scene: Scene, size: tuple[int, int], scale: float) -> tuple[View, View, tuple[slice, slice]]:
    """The view, the larger one drawn around it, and where the first lies in the second."""
    height, width = size
    x0 = int(scene.crop[0] * max(WIDTH - width / scale, 0.0))
    y0 = int(scene.crop[1] * max(HEIGHT - height / scale, 0.0))
    pad = int(_PAD * scale + 1)
    inner = View(x0, y0, scale, height, width)
    outer = View(x0 - pad / scale, y0 - pad / scale, scale, height + 2 * pad, width + 2 * pad)
    return inner, outer, (slice(pad, pad + height), slice(pad, pad + width))


def check_view(seed: int, size: tuple[int, int], scale: float) -> None:
    """Raises ConfigError for a negative seed, a scale outside 0.1 to 4 or a size that does not fit the canvas."""
    if seed < 0:
        raise ConfigError(f"seed: {seed} is negative; give a whole number from 0")
    if not 0.1 <= scale <= 4.0:
        raise ConfigError(f"scale: {scale} is outside 0.1 to 4 pixels per native pixel")
    if min(size) < 8 or size[0] > HEIGHT * scale + 1e-6 or size[1] > WIDTH * scale + 1e-6:
        raise ConfigError(
            f"size: {size[0]}x{size[1]} (height x width) does not fit; from 8x8 to "
            f"{int(HEIGHT * scale)}x{int(WIDTH * scale)} at scale {scale}"
        )
