# %% [markdown]
# # What a shifted camera costs
#
# Two cameras on one mount rarely look at exactly the same place. Labels lie in the frame of the RGB image, so a thermal
# image that is shifted says wrong things about its pixels. This notebook shifts thermal images on purpose, and
# compares five ways to deal with it.

# %%
# %matplotlib inline
from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import cimnet
from cimnet.data.corruptions import corrupt
from cimnet.data.synthetic import synthesize
from cimnet.registration import align_pair
from cimnet.registration.mapping import Mapping

synthesize("scenes", train=0, val=0, test=8, seed=3, size=(256, 320))
SHIFTS = [0, 5, 10, 20, 30]  # pixels, in a direction that differs from pair to pair
starter = cimnet.load("starter", device="cpu")
unaligned = cimnet.load("starter", device="cpu")
unaligned.network.alignment = None  # the same weights, without the alignment before the encoders

# %% [markdown]
# ## Five ways
#
# - **aligned inside**: `starter` as it comes. Before its encoders, it searches for the thermal image's displacement, up
#   to 24 pixels.
# - **nothing done**: the same weights with this search switched off.
# - **registered first**: `align_pair` estimates the displacement of each pair, and the thermal image is moved back. The
#   model is the one without the search. Where the estimate is "unknown", the pair stays as it is.
# - **RGB alone** and **thermal alone**: the other image is left out.


# %%
def register(sample):
    """Move the thermal image to where the estimate says that it belongs."""
    rgb, thermal = sample.rgb.permute(1, 2, 0).numpy(), sample.thermal[0].numpy()
    found = align_pair(rgb, thermal, model="translation", max_offset=0.15)
    if found.matrix is None:
        return sample
    moved, _ = Mapping(found.matrix).apply(thermal, rgb.shape[:2])
    return replace(sample, thermal=torch.from_numpy(moved)[None])


WAYS = {
    "aligned inside": (starter, lambda sample: sample),
    "nothing done": (unaligned, lambda sample: sample),
    "registered first": (unaligned, register),
    "RGB alone": (starter, lambda sample: replace(sample, thermal=torch.zeros_like(sample.thermal))),
    "thermal alone": (starter, lambda sample: replace(sample, rgb=torch.zeros_like(sample.rgb))),
}


def shifted(sample, pixels, then):
    """The pair with a shifted thermal image, and then with one of the ways applied."""
    return then(corrupt(sample, "translation", level=pixels))


miou = {name: [] for name in WAYS}
for name, (predictor, way) in WAYS.items():
    for pixels in SHIFTS:
        pairs = predictor.open_dataset(Path("scenes"), "test", broken="drop")
        pairs.transform = partial(shifted, pixels=pixels, then=way)
        miou[name].append(100 * cimnet.evaluate(predictor.segment, pairs).scores.miou)
    print(f"{name:16s}", *(f"{score:5.1f}" for score in miou[name]))

# %% [markdown]
# ## The cost
#
# "RGB alone" is the line to beat: below it, the thermal image does harm.

# %% alt="Mean IoU by shift of the thermal image, one line for each of the five ways"
COLORS = ["#0072B2", "#D55E00", "#009E73", "#555555", "#CC79A7"]  # of Okabe and Ito: also for colour-blind eyes
_, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
for (name, scores), color, marker in zip(miou.items(), COLORS, "osD^v", strict=True):
    axis.plot(SHIFTS, scores, marker=marker, color=color, label=name)
axis.set(xlabel="shift of the thermal image, pixels of 320", ylabel="mIoU, %", ylim=(0, None))
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
axis.grid(alpha=0.3)
plt.show()

# %% [markdown]
# Eight small scenes show the kind of curve, not its exact place. `cimnet robustness` measures many more defects, in
# five severities, and writes a report: [robustness](../../docs/guides/robustness.md). How to find a displacement and
# mend the files: [the next notebook](4_register_two_cameras.py) and
# [misaligned cameras](../../docs/guides/misaligned-cameras.md).
