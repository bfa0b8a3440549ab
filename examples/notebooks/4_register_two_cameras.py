# %% [markdown]
# # Register two cameras
#
# `align_pair` finds how the thermal image of a pair lies relative to the RGB image, from the edges in both. Here, pairs
# are drawn, and their thermal images are moved by a known map. So the estimate can be compared with the truth.

# %%
# %matplotlib inline
import numpy as np

from cimnet.data.synthetic import render
from cimnet.registration import align_pair
from cimnet.registration.before_after import plot_pair
from cimnet.registration.mapping import Mapping
from cimnet.registration.matrices import square

HEIGHT, WIDTH = 256, 320
CENTRE = (WIDTH - 1) / 2, (HEIGHT - 1) / 2


def camera(turn, zoom, dx, dy):
    """The map of a camera: turned by degrees and zoomed about the centre, shifted by pixels."""
    c, s = zoom * np.cos(np.deg2rad(turn)), zoom * np.sin(np.deg2rad(turn))
    x, y = CENTRE
    return np.array([[c, -s, x - c * x + s * y + dx], [s, c, y - s * x - c * y + dy]])


def seen_at(matrix, x, y):
    """Where a map puts pixels: (2, height, width)."""
    return np.tensordot(matrix, np.stack([x, y, np.ones_like(x)]), 1)


# %% [markdown]
# ## Five pairs, five cameras
#
# A map is a matrix of 2×3. It says in which pixel of the thermal image a pixel of the RGB image is seen. The drawn
# pairs have small displacements of their own, so the truth is the drawn one, followed by the map. Cars and people move
# between the two exposures; only what stands still is compared.

# %%
CAMERAS = {  # the index of a drawn pair: its camera
    0: (0, 1.0, 9, -5),
    2: (1.5, 1.0, -6, 4),
    3: (0, 1.03, 8, 8),
    4: (-1.0, 0.98, -12, 0),
    5: (0.5, 1.01, 4, -10),
}
rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(float)
here = np.stack([columns, rows])
examples = []
print("pair      true dx, dy    estimated dx, dy   mean error before, after   confidence")
for index, (turn, zoom, dx, dy) in CAMERAS.items():
    pair = render(21, index=index, size=(HEIGHT, WIDTH), late=0)
    move = camera(turn, zoom, dx, dy)
    thermal, _ = Mapping(np.linalg.inv(square(move))[:2]).apply(pair.thermal, (HEIGHT, WIDTH))
    truth = seen_at(move, columns + pair.offset[1], rows + pair.offset[0])
    found = align_pair(pair.rgb, thermal, max_offset=0.1)
    examples.append((pair, thermal, found))
    still = ~pair.moving
    x, y = (truth - here)[:, still].mean(axis=1)
    before = np.hypot(*(truth - here))[still].mean()
    if found.matrix is None:
        print(f"{pair.id}  {x:6.1f} {y:6.1f}   unknown {before:26.1f} {'':10s} {found.confidence:12.2f}")
        continue
    estimate = seen_at(found.matrix, columns, rows)
    u, v = (estimate - here)[:, still].mean(axis=1)
    after = np.hypot(*(truth - estimate))[still].mean()
    print(f"{pair.id}  {x:6.1f} {y:6.1f}   {u:8.1f} {v:6.1f}   {before:13.1f} {after:8.1f} {found.confidence:16.2f}")

# %% [markdown]
# ## Before and after
#
# The edges of the thermal image, in orange, over the RGB image in grey. On the right, each edge lies on the thing that
# it belongs to.

# %% alt="Edges of the thermal image over the RGB image, displaced before the alignment and in place after it"
pair, thermal, found = examples[0]
plot_pair(pair.rgb, thermal, found.matrix)

# %% [markdown]
# `Mapping` brings the thermal image into the frame of the RGB image. Labels, which lie in that frame, fit it then.

# %%
aligned, inside = Mapping(found.matrix).apply(thermal, (HEIGHT, WIDTH))
print(f"{100 * inside.mean():.0f} % of the pixels have a thermal value of their own; the others repeat the nearest")

# %% [markdown]
# ## When there is nothing to find
#
# An image without edges, or of another place, gives "unknown" instead of a wrong map. The confidence is the estimated
# probability that the error is below 3 pixels. It must reach 0.6, and 0.98 for a displacement of more than 5 % of the
# width.

# %%
black = np.zeros_like(pair.rgb)
other = examples[1][1]
for name, rgb, heat in (("black RGB image", black, thermal), ("thermal image of another scene", pair.rgb, other)):
    nothing = align_pair(rgb, heat, max_offset=0.1)
    print(f"{name}: {nothing.status}, confidence {nothing.confidence:.2f}")

# %% [markdown]
# Real flights have one map for all pairs of a rig: `cimnet data align FOLDER OUT` estimates it from many pairs, and
# writes the aligned data set: [misaligned cameras](../../docs/guides/misaligned-cameras.md).
