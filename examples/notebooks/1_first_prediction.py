# %% [markdown]
# # The first prediction
#
# `starter` is a small CIMNet whose weights come with the package. It was trained on synthetic aerial scenes, so this
# notebook draws such a scene and needs no data and no network. On your own photographs it shows how the tools work;
# do not expect good masks there.

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np

import cimnet
from cimnet.data.synthetic import render
from cimnet.inference.overlay import overlay_mask
from cimnet.utils.legend import draw_legend

predictor = cimnet.load("starter", device="cpu")
print(f"{predictor.info.name} knows {len(predictor.classes)} classes: {', '.join(predictor.classes)}")

# %% [markdown]
# ## One pair
#
# `render` draws what two cameras see, and the truth. RGB is an array of (height, width, 3), thermal of (height, width).
# `predict` takes such arrays, or the paths of two files: `predictor.predict("rgb.png", "thermal.png")`. It returns the
# class of each pixel.

# %% alt="A street from above by RGB and thermal camera, the classes that the model predicts, and the true ones"
pair = render(2026, split="test", index=7, size=(256, 320))
mask = predictor.predict(pair.rgb, pair.thermal)
print(f"pair {pair.id}, {pair.scene}: a mask of {mask.shape}, {mask.dtype}")


def show(images, titles):
    """Pictures side by side; grey ones are thermal."""
    _, axes = plt.subplots(1, len(images), figsize=(4 * len(images), 3.5), layout="constrained")
    for axis, image, title in zip(axes, images, titles, strict=True):
        axis.imshow(image, cmap="gray")
        axis.set_title(title)
        axis.set_axis_off()
    plt.show()


def over(mask):
    """A mask over the RGB image, in the colours of the classes."""
    return overlay_mask(pair.rgb, mask, predictor.colors, opacity=0.6)


show([pair.rgb, pair.thermal, over(mask), over(pair.label)], ["RGB", "thermal", "prediction", "truth"])

# %% alt="The colours of the classes in the pair"
found = np.unique(np.concatenate([mask, pair.label]))
entries = [(predictor.classes[k], predictor.colors[k]) for k in found]
_, axis = plt.subplots(figsize=(8, 0.8))
axis.imshow(draw_legend(640, entries))
axis.set_axis_off()

# %% [markdown]
# ## One sensor is missing
#
# Give `None` for an image that you do not have. The share of correct pixels tells what each sensor is worth in this
# pair.

# %% alt="Predictions from both sensors, from RGB alone and from thermal alone"
masks = {
    "both sensors": mask,
    "RGB alone": predictor.predict(pair.rgb, None),
    "thermal alone": predictor.predict(None, pair.thermal),
}
for name, found in masks.items():
    print(f"{name:14s} {100 * (found == pair.label).mean():5.1f} % of the pixels are correct")
show([over(found) for found in masks.values()], masks)

# %% [markdown]
# ## How sure is it?
#
# `predict_proba` returns the probabilities of all classes. The largest one says how sure the model is. It is low along
# edges, and where the model is wrong.

# %% alt="Largest probability of each pixel, and the pixels that are wrong"
sure = predictor.predict_proba(pair.rgb, pair.thermal).max(axis=0)
wrong = mask != pair.label
print(f"mean of the largest probability: {sure[~wrong].mean():.2f} where correct, {sure[wrong].mean():.2f} where wrong")
show([sure, wrong], ["largest probability (black is low)", "wrong pixels (white)"])

# %% [markdown]
# Whole folders and large images: [predicting](../../docs/guides/predict.md). What to do when a sensor fails:
# [a failing sensor](../../docs/guides/failing-sensor.md). Probabilities that keep what they promise, and alarms for
# broken sensors: [confidence](../../docs/guides/confidence.md).
