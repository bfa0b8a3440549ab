"""Draw RGB, thermal, prediction (and label) of some pairs side by side: the pictures of the README.

python benchmarks/show_results.py CHECKPOINT DATASET --split test --names 002 009 --out mm5.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import cimnet.data
import cimnet.inference
from cimnet.data.io.readers import read_rgb
from cimnet.inference.overlay import overlay_mask
from cimnet.utils.colors import colorize
from cimnet.utils.legend import draw_legend


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--width", type=int, default=300, help="pixels of one panel")
    options = parser.parse_args()
    predictor = cimnet.load(options.checkpoint)
    data = cimnet.open_dataset(
        options.dataset,
        options.split,
        classes=predictor.classes,
        thermal_range=predictor.info.scaling,
        require_labels=False,
    )
    rows = [row(predictor, data, data.ids.index(name), options.width) for name in options.names]
    sheet = np.concatenate([np.concatenate(panels, axis=1) for panels in rows], axis=0)
    legend = draw_legend(sheet.shape[1], zip(predictor.classes, predictor.colors, strict=True))
    Image.fromarray(np.concatenate([sheet, legend])).save(options.out, quality=88)


def row(
    predictor: cimnet.inference.Predictor, data: cimnet.data.RGBTDataset, index: int, width: int
) -> list[np.ndarray]:
    """Panels (h, width, 3) of one pair: RGB, thermal, prediction over RGB, and the label where there is one."""
    pair, sample = data.pairs[index], data.read(index)
    rgb = read_rgb(pair.rgb)
    mask = predictor.predict(sample.rgb, sample.thermal)
    heat = sample.thermal[0].numpy()
    low, high = np.percentile(heat, (1, 99))
    heat = (255 * ((heat - low) / max(high - low, 1e-6)).clip(0, 1)).astype(np.uint8)
    panels = [rgb, np.repeat(heat[..., None], 3, axis=2), overlay_mask(rgb, mask, predictor.colors, 0.6)]
    if sample.label is not None:
        panels.append(colorize(sample.label.numpy().astype(np.uint8), predictor.colors))
    height = round(width * rgb.shape[0] / rgb.shape[1])
    return [np.asarray(Image.fromarray(panel).resize((width, height), Image.Resampling.LANCZOS)) for panel in panels]


if __name__ == "__main__":
    main()
