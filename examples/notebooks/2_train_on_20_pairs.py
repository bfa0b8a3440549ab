# %% [markdown]
# # Train on your own 20 pairs
#
# You need a folder with `rgb/`, `thermal/` and `labels/`, lists of the names in each split, and the names of the
# classes. Here, 20 drawn pairs stand in for yours. A small model learns from 16 of them and is scored on the other 4.

# %%
# %matplotlib inline
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import cimnet
from cimnet.data.synthetic import render
from cimnet.training.recipe import load_recipe

# %% [markdown]
# ## The folder
#
# Labels are PNG files with one class id for each pixel; 255 is ignored. Five classes are enough for this flight, so the
# nine of the drawn scenes become five.

# %%
CLASSES = {"other": "#000000", "road": "#808080", "building": "#0072b2", "vehicle": "#e69f00", "tree": "#009e73"}
OURS = np.array([0, 1, 2, 3, 3, 3, 4, 0, 0], dtype=np.uint8)  # the class here, by class id of the drawn scenes
root = Path("my_flight")
for name in ("rgb", "thermal", "labels"):
    (root / name).mkdir(parents=True, exist_ok=True)
drawn = (render(5, index=index, size=(256, 320)) for index in range(30))
pairs = [pair for pair in drawn if not {"rgb_broken", "thermal_broken"} & pair.flags][:20]  # both cameras work
for pair in pairs:
    for folder, image in (("rgb", pair.rgb), ("thermal", pair.thermal), ("labels", OURS[pair.label])):
        Image.fromarray(image).save(root / folder / f"{pair.id}.png")
for split, some in (("train", pairs[:16]), ("val", pairs[16:])):
    (root / f"{split}.txt").write_text("\n".join(pair.id for pair in some))
(root / "classes.yaml").write_text(json.dumps({"classes": [{"name": k, "color": v} for k, v in CLASSES.items()]}))
print(f"{root} holds", *sorted(path.name for path in root.iterdir()))

# %% [markdown]
# Look at the data before you train. `cimnet data check my_flight` finds what pictures hide: missing partners, sizes
# that differ, ids without a class.

# %% alt="A pair of the training set: RGB, thermal and label in five classes"
train_set = cimnet.open_dataset(root, "train")
train_set.plot(1)

# %% [markdown]
# ## The recipe
#
# `own` is the recipe for small data sets of your own. Crops are made smaller here, and the run shorter, so that it
# ends within a minute or two on two cores. On a command line, `cimnet train own --out run --set data.root=my_flight`
# does the same, with a `--set` for each line below.

# %%
recipe = load_recipe(
    "own",
    [
        "data.root=my_flight",
        "data.workers=0",
        "augmentation.crop=[128, 160]",
        "augmentation.vflip=0.5",  # seen from above, up is no direction
        "training.epochs=20",
        "training.learning_rate=0.002",
        "training.warmup_iterations=10",
        "training.ema_decay=0.95",
        "training.evaluate_every=5",
    ],
)
best = cimnet.train(recipe, Path("run"))
history = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]

# %% alt="Loss by epoch, and mean IoU on the four other pairs by epoch"
_, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.plot([row["epoch"] for row in history], [row["loss"] for row in history], color="#0072B2")
left.set(xlabel="epoch", ylabel="loss on the training pairs", ylim=(0, None))
scored = [row for row in history if "miou" in row]
right.plot([row["epoch"] for row in scored], [100 * row["miou"] for row in scored], "o-", color="#D55E00")
right.set(xlabel="epoch", ylabel="mIoU on the 4 other pairs, %", ylim=(0, 100))
plt.show()

# %% [markdown]
# ## What it learned
#
# The best model of the run is scored on the 4 pairs that it has not learned from. They also chose the best epoch, which
# flatters the score a little; keep a third list of pairs for figures that you publish.

# %%
predictor = cimnet.load(best, device="cpu")
val_set = predictor.open_dataset(root, "val")
print(cimnet.evaluate(predictor.segment, val_set).to_markdown())

# %% alt="RGB, thermal, prediction and truth of a pair that the model has not learned from"
sample = val_set[0]
_, axes = plt.subplots(1, 4, figsize=(14, 3.2), layout="constrained")
colors = np.array(predictor.colors, dtype=np.uint8)
masks = [predictor.predict(sample.rgb, sample.thermal), sample.label]
pictures = [sample.rgb.permute(1, 2, 0), sample.thermal[0], *(colors[mask] for mask in masks)]
for axis, picture, title in zip(axes, pictures, ["RGB", "thermal", "prediction", "truth"], strict=True):
    axis.imshow(picture, cmap="gray")
    axis.set_title(title)
    axis.set_axis_off()
plt.show()

# %% [markdown]
# Four pairs are too few to trust the figure above, and a minute is too short to learn rare things. Train longer
# ([training](../../docs/guides/training.md)), and let each pair be scored once
# ([small data sets](../../docs/guides/small-data-sets.md)).
