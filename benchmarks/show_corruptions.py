"""A picture of all corruptions of one pair at severities 1, 3 and 5.

python benchmarks/show_corruptions.py --data DIR --out docs/images/corruptions.jpg

Geometry is shown as the thermal image before in cyan and after in red: grey where both agree.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from cimnet.data import RGBTSample, open_dataset
from cimnet.data.corruptions import CORRUPTIONS, CorruptedDataset

SEVERITIES = (1, 3, 5)
COLUMNS = 3  # corruptions side by side
GAP, TEXT = 6, 22
Picture = npt.NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--id", help="a pair; without it, the first by day that no list flags")
    parser.add_argument("--width", type=int, default=1620)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    data = open_dataset(options.data, options.split)
    sound = [k for k, scene in enumerate(data.scenes) if scene == "day" and not data.flags[k]]
    index = data.ids.index(options.id) if options.id else sound[0]
    sample = data.read(index)
    cell = (options.width - GAP * (COLUMNS + 1)) // COLUMNS // len(SEVERITIES)
    tall = cell * sample.rgb.shape[1] // sample.rgb.shape[2]
    row = TEXT + tall + GAP
    page = Image.new("RGB", (options.width, row * -(-len(CORRUPTIONS) // COLUMNS) + GAP), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 14)
    for place, corruption in enumerate(CORRUPTIONS.values()):
        left, top = GAP + place % COLUMNS * (cell * len(SEVERITIES) + GAP), GAP + place // COLUMNS * row
        levels = " / ".join(f"{corruption.levels[severity - 1]:g}" for severity in SEVERITIES)
        draw.text((left, top), f"{corruption.name}   {levels} {corruption.unit}", "black", font)
        for column, severity in enumerate(SEVERITIES):
            changed = CorruptedDataset(data, corruption.name, severity)[index]
            picture = Image.fromarray(show(sample, changed, corruption.group)).resize((cell - 2, tall))
            page.paste(picture, (left + column * cell, top + TEXT - 2))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    page.save(options.out, quality=66)
    print(f"{options.out}: {sample.id}, {page.width}x{page.height}, {options.out.stat().st_size // 1000} kB")


def show(before: RGBTSample, after: RGBTSample, group: str) -> Picture:
    """What a corruption of this group changed."""
    if group == "rgb":
        return to_bytes(after.rgb.permute(1, 2, 0).numpy())
    if group == "thermal":
        return to_bytes(np.repeat(after.thermal[0].numpy()[..., None], 3, axis=2))
    old, new = before.thermal[0].numpy(), after.thermal[0].numpy()
    return to_bytes(np.stack([new, old, old], axis=2))


def to_bytes(picture: npt.NDArray[np.float32]) -> Picture:
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


if __name__ == "__main__":
    main()
