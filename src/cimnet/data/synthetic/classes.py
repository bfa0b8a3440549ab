"""The nine classes of the world, in the order of Kust4K, and the colours they are drawn in."""

from __future__ import annotations

CLASSES: tuple[str, ...] = (
    "unlabelled",
    "road",
    "building",
    "motorcycle",
    "car",
    "truck",
    "tree",
    "human",
    "traffic_facilities",
)

# After Okabe and Ito's palette (distinct with every common colour vision), plus black, grey and white.
COLORS: tuple[tuple[int, int, int], ...] = (
    (0, 0, 0),
    (128, 128, 128),
    (0, 114, 178),
    (204, 121, 167),
    (230, 159, 0),
    (213, 94, 0),
    (0, 158, 115),
    (255, 255, 255),
    (240, 228, 66),
)

UNLABELLED, ROAD, BUILDING, MOTORCYCLE, CAR, TRUCK, TREE, HUMAN, FACILITY = range(9)
