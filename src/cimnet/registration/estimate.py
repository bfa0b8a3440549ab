"""The offset between RGB and thermal images, from the images alone: one affine map, or "don't know"."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cimnet.ops.edges import blur, correlation, orientation
from cimnet.registration.matrices import Matrix, compose, corner_offsets, resize
from cimnet.registration.prepare import COARSE, Images, centre_offset, prepare

Model = Literal["translation", "affine"]
SURE = 0.6
VERY_SURE = 0.98  # for rare cases: an offset of more than NEAR times the width, or one of several fields of view
NEAR = 0.05
_STARTS = 5


class _Stage(NamedTuple):
    """One refinement: at 1/factor of the size, edges of `sigma` pixels, their map blurred by `reach` pixels."""

    factor: int
    sigma: float
    reach: float
    stiffness: float
    steps: int


# Wide and stiff first, fine and loose last. Stiffness holds the map near a translation while little is known.
_STAGES = (
    _Stage(4, 1.0, 3.0, 100, 15),
    _Stage(4, 1.0, 1.5, 100, 15),
    _Stage(2, 1.0, 1.5, 30, 15),
    _Stage(2, 1.0, 0.7, 10, 10),
    _Stage(1, 1.2, 0.7, 10, 8),
)


@dataclass(frozen=True)
class Alignment:
    """The position of the thermal image relative to the RGB image.

    Attributes:
        status: "ok", or "unknown", which has neither matrix nor offset.
        matrix: (2, 3), maps a pixel (x, y) of the RGB image to the pixel (x, y) of the thermal image that shows the
            same.
        dx, dy: offset at the centre of the image, pixels of the RGB image, for the thermal image at its size: what RGB
            shows at x lies at x + dx in the thermal image.
        confidence: 0..1, estimated probability that the mean endpoint error is below 3 pixels. "ok" starts at 0.6, and
            at 0.98 for offsets of more than 5 % of the width or if several zooms were tried.
        similarity: correlation of the edge directions under the matrix, -1..1.
        error: half the distance between the estimates from two halves of the image, at its corners, pixels of the RGB
            image. None: there was nothing to estimate from.
    """

    status: Literal["ok", "unknown"]
    matrix: Matrix | None
    dx: float | None
    dy: float | None
    confidence: float
    similarity: float
    error: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        content = asdict(self)
        content["matrix"] = None if self.matrix is None else self.matrix.round(6).tolist()
        return {key: round(v, 4) if isinstance(v, float) else v for key, v in content.items()}


def align_pair(
    rgb: npt.NDArray[Any],
    thermal: npt.NDArray[Any],
    *,
    model: Model = "affine",
    max_offset: float | None = None,
    zooms: Sequence[float] | None = None,
) -> Alignment:
    """Estimate how the thermal image of one pair is displaced.

    Args:
        rgb: (H, W, 3), any type and range of values.
        thermal: (h, w), any type and range of values. If its size differs, it is taken as resized to the RGB image's.
        model: "translation", or "affine" for shift, rotation, scale and shear.
        max_offset: how far to search, as a share of the width. None: 0.1, or 0.2 if several zooms are tried.
        zooms: factors to try: field of view of the thermal camera over that of the RGB camera. None: 1, or 0.5 to 2 if
            the images differ in size.

    Returns:
        The estimate; its status is "unknown" if there is too little evidence.

    Raises:
        DataError: an image has another shape.
    """
    return align_rig([(rgb, thermal)], model=model, max_offset=max_offset, zooms=zooms)


def align_rig(
    pairs: Iterable[tuple[npt.NDArray[Any], npt.NDArray[Any]]],
    *,
    model: Model = "affine",
    max_offset: float | None = None,
    zooms: Sequence[float] | None = None,
) -> Alignment:
    """Estimate one matrix for pairs that the same two cameras took without being moved, or for a single pair.

    Edge directions of both images are correlated at all translations, summed over the pairs. The best translations
    start a refinement of an affine map by gradient ascent, from coarse to fine. Things that moved between the two
    exposures do not fit the map and count little.

    Args:
        pairs: (rgb, thermal) of each, arrays (H, W, 3) and (h, w) of any type and range; all RGB images of one size,
            all thermal images of one size.
        model, max_offset, zooms: as in :func:`align_pair`.

    Returns:
        The estimate. Its status is "unknown" if there is too little evidence: a black or flat image, a blurred thermal
        image (also one that was enlarged before: give it at its own size), or halves of the image that disagree.

    Raises:
        DataError: images of another shape, or of several sizes.
    """
    return align_prepared(prepare(pairs), model=model, max_offset=max_offset, zooms=zooms)


def align_prepared(
    images: Images | None,
    *,
    model: Model = "affine",
    max_offset: float | None = None,
    zooms: Sequence[float] | None = None,
) -> Alignment:
    """Align like `align_rig`, for pairs from `prepare`."""
    if images is None:
        return Alignment("unknown", None, None, None, 0.0, 0.0, None)
    size, work = images.full, (images.rgb.shape[-2], images.rgb.shape[-1])
    first = _maps(images, _STAGES[0])
    if zooms is None:
        zooms = (1.0,) if images.full == images.thermal_full else [1.1**step for step in range(-7, 8)]
    starts = _search(images, max_offset or (0.1 if len(zooms) == 1 else 0.2), zooms)
    tried = [(_refine(*first, start, _STAGES[0], model, zoom), zoom) for zoom, start in starts]
    (matrix, similarity), zoom = max(tried, key=lambda item: item[0][1])
    for stage in _STAGES[1:]:
        matrix, similarity = _refine(*_maps(images, stage), matrix, stage, model, zoom)
    error = _disagreement(images, matrix, model, zoom)
    scale = max(size) / max(work)
    at_size = compose(compose(resize(work, size), matrix), resize(size, work))  # thermal at the RGB image's size
    found = compose(images.back, at_size)
    dx, dy = centre_offset(found, size, images.thermal_full)
    confidence = _confidence(similarity, error)
    plain = len(zooms) == 1 and math.hypot(dx, dy) < NEAR * size[1]
    if confidence < (SURE if plain else VERY_SURE):
        return Alignment("unknown", None, None, None, confidence, similarity, error * scale)
    return Alignment("ok", found, dx, dy, confidence, similarity, error * scale)


def pair_offset(rgb: npt.NDArray[Any], thermal: npt.NDArray[Any]) -> tuple[float, float] | None:
    """Estimate the offset of one pair on one thread: for worker processes.

    Args:
        rgb, thermal: arrays, as in :func:`align_pair`.

    Returns:
        (dx, dy) in pixels of the RGB image. None: unknown.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = align_pair(rgb, thermal)
    finally:
        torch.set_num_threads(threads)
    return None if found.dx is None or found.dy is None else (found.dx, found.dy)


def _maps(images: Images, stage: _Stage) -> tuple[Tensor, Tensor]:
    small = [F.avg_pool2d(image, stage.factor) for image in (images.rgb, images.thermal)]
    rgb, thermal = (orientation(image, stage.sigma) for image in small)
    return blur(rgb, stage.reach), blur(thermal * F.avg_pool2d(images.inside, stage.factor), stage.reach)


def _search(images: Images, max_offset: float, zooms: Sequence[float]) -> list[tuple[float, Matrix]]:
    """Zooms and matrices of the best translations at the coarse level."""
    small = [F.avg_pool2d(image, COARSE) for image in (images.rgb, images.thermal)]
    size = (small[0].shape[-2], small[0].shape[-1])
    reach = max(1, min(round(max_offset * size[1]), min(size) // 2))
    found: list[tuple[float, float, Matrix]] = []
    for zoom in zooms:
        thermal, inside = _zoomed(small[1], zoom), _zoomed(F.avg_pool2d(images.inside, COARSE), zoom)
        scores = sum(
            correlation(blur(orientation(small[0], s), 1.5), blur(orientation(thermal, s) * inside, 1.5), reach)
            for s in (1.0, 2.0)
        )
        assert isinstance(scores, Tensor)
        for _ in range(_STARTS):
            dy, dx = divmod(int(scores.argmax()), 2 * reach + 1)
            found.append((float(scores[dy, dx]), zoom, _start(dx - reach, dy - reach, zoom, size)))
            scores[max(0, dy - 4) : dy + 5, max(0, dx - 4) : dx + 5] = -2
    best = sorted(found, key=lambda item: -item[0])[: _STARTS * min(len(zooms), 2)]
    return [(zoom, matrix) for _, zoom, matrix in best]


def _zoomed(thermal: Tensor, zoom: float) -> Tensor:
    """The thermal image as it would be if both cameras had one field of view."""
    if zoom == 1.0:
        return thermal
    theta = torch.tensor([[[1 / zoom, 0.0, 0.0], [0.0, 1 / zoom, 0.0]]]).expand(len(thermal), -1, -1)
    grid = F.affine_grid(theta, list(thermal.shape), align_corners=False)
    return F.grid_sample(thermal, grid, padding_mode="border", align_corners=False)


def _start(dx: int, dy: int, zoom: float, size: tuple[int, int]) -> Matrix:
    """A translation at the coarse level, and a zoom about the centre, in pixels of the working size."""
    cx, cy = (size[1] * COARSE - 1) / 2, (size[0] * COARSE - 1) / 2
    s = 1 / zoom
    return np.array([[s, 0, cx + s * (dx * COARSE - cx)], [0, s, cy + s * (dy * COARSE - cy)]])


def _refine(
    rgb: Tensor,
    thermal: Tensor,
    matrix: Matrix,
    stage: _Stage,
    model: Model,
    zoom: float,
    mask: Tensor | None = None,
) -> tuple[Matrix, float]:
    """Climb from a matrix to the nearest peak of the correlation of orientation maps; with the correlation there.

    The unknowns are the offsets at three corners, in pixels of the level; the stage's stiffness holds them near those
    of the zoom and a translation.
    """
    height, width = rgb.shape[-2:]
    factor = stage.factor
    level = ((height, width), (height * factor, width * factor))
    start = torch.as_tensor(compose(compose(resize(level[1], level[0]), matrix), resize(*level)), dtype=torch.float32)
    corners = torch.tensor([[0.0, width - 1, 0], [0, 0, height - 1], [1, 1, 1]])
    solve = torch.linalg.inv(corners)
    y, x = torch.meshgrid(torch.arange(height) * 1.0, torch.arange(width) * 1.0, indexing="ij")
    pixels = torch.stack([x.flatten(), y.flatten(), torch.ones(height * width)])
    energy = (rgb**2).sum((0, 1)) if mask is None else (rgb**2).sum((0, 1)) * mask
    weight = torch.ones(()) if mask is None else mask
    free = torch.zeros((2, 1) if model == "translation" else (2, 3), requires_grad=True)
    base = (start - torch.eye(2, 3) / zoom) @ corners

    def score() -> Tensor:
        u, v = (start + free.expand(2, 3) @ solve) @ pixels
        grid = torch.stack(((2 * u + 1) / width - 1, (2 * v + 1) / height - 1), dim=-1).view(1, height, width, 2)
        moved = F.grid_sample(thermal, grid.expand(len(rgb), -1, -1, -1), align_corners=False)
        inside = ((u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)).view(height, width)
        norm = (energy * inside).sum() * ((moved**2).sum((0, 1)) * weight).sum()
        return ((rgb * moved).sum((0, 1)) * weight).sum() / (norm + 1e-9).sqrt()

    def loss() -> Tensor:
        optimiser.zero_grad()
        bent = base + free
        bent = (bent - bent.mean(1, keepdim=True)) / width
        value = 1000 * (stage.stiffness * bent.square().mean() - score())  # a scale at which first steps are pixels
        torch.autograd.backward(value)
        return value

    optimiser = torch.optim.LBFGS([free], max_iter=stage.steps, line_search_fn="strong_wolfe", tolerance_change=1e-3)
    optimiser.step(loss)  # type: ignore[no-untyped-call]  # untyped in torch
    with torch.no_grad():
        final = start + free.expand(2, 3) @ solve
        similarity = float(score())
    found = compose(compose(resize(*level), final.double().numpy()), resize(level[1], level[0]))
    return found, similarity


def _disagreement(images: Images, matrix: Matrix, model: Model, zoom: float) -> float:
    """Half the mean distance, at the corners, of estimates from two halves of the image that interleave as on a
    chess board, in working pixels."""
    stage = _STAGES[2]._replace(steps=8)
    maps = _maps(images, stage)
    height, width = maps[0].shape[-2:]
    cell = max(height, width) // 10
    board = (torch.arange(height)[:, None] // cell + torch.arange(width)[None] // cell) % 2
    halves = [_refine(*maps, matrix, stage, model, zoom, (board == part).float())[0] for part in (0, 1)]
    size = (height * stage.factor, width * stage.factor)
    apart = corner_offsets(halves[0], size) - corner_offsets(halves[1], size)
    return float(np.hypot(*apart.T).mean()) / 2


def _confidence(similarity: float, error: float) -> float:
    """Probability that the endpoint error is below 3 pixels: a logistic regression on 289 pairs (synthetic scenes,
    sound and broken; real pairs shifted by known maps; images of different scenes), see docs/notebook/alignment.md."""
    return 1 / (1 + math.exp(1.14 - 23.9 * similarity + 2.23 * math.log(max(error, 0.1))))
