"""Draw a pair for a person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cimnet.data.sample import IGNORE_INDEX, RGBTSample
from cimnet.utils.colors import Color, colorize, hex_color

_IGNORED: Color = (224, 224, 224)


def plot_sample(
    sample: RGBTSample, classes: Sequence[str], colors: Sequence[Color], title: str | None = None
) -> Figure:
    """RGB, thermal and label (where there is one) side by side, with a legend of the classes in the label.

    `title` stands in place of the pair's id, scene and flags. The figure is not attached to a window.
    """
    panels = 2 if sample.label is None else 3
    height, width = sample.rgb.shape[1:]
    figure = Figure(figsize=(4 * panels, 4 * height / width + 0.9), layout="constrained")
    axes = figure.subplots(1, panels)
    axes[0].imshow(sample.rgb.permute(1, 2, 0).numpy())
    axes[1].imshow(sample.thermal[0].numpy(), cmap="gray", vmin=0, vmax=1)
    for axis, name in zip(axes, ("RGB", "thermal", "label"), strict=False):
        axis.set_title(name, fontsize=9)
        axis.set_axis_off()
    if sample.label is not None:
        ids = sample.label.numpy().astype(np.uint8)
        axes[2].imshow(colorize(ids, colors, _IGNORED))
        present = [int(i) for i in np.unique(ids)]
        named = [("ignored", _IGNORED) if i == IGNORE_INDEX else (classes[i], colors[i]) for i in present]
        patches = [Patch(facecolor=hex_color(color), edgecolor="0.4", label=name) for name, color in named]
        figure.legend(handles=patches, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    figure.suptitle(title or " · ".join([sample.id, sample.scene, *sorted(sample.flags)]).replace(" ·  ·", " ·"))
    return figure
