"""Train explicit alignment by its self-supervision alone, on the frozen stage-1 features of a trained CIMNet, and
compare the flow that it finds with the true offsets over moving things.

python benchmarks/alignment_alone.py runs/table3/row8_seed0 --data data/late --steps 300
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import cimnet
from cimnet.data.kust4k import Kust4K
from cimnet.evaluation.offsets import offset_agreement
from cimnet.models import CIMNet
from cimnet.models.alignment import ThermalAlignment

CROP = (128, 160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rate", type=float, default=0.003)
    parser.add_argument("--batch", type=int, default=6)
    options = parser.parse_args()
    torch.manual_seed(0)
    model = cimnet.load(options.run).model
    assert isinstance(model, CIMNet)
    align = ThermalAlignment(model.encoder_rgb.channels[0]).to(model.rgb_mean.device).train()
    with torch.no_grad():
        align.sharpness.fill_(10.0)
    optimizer = torch.optim.AdamW(align.parameters(), lr=options.rate)
    data = cimnet.open_dataset(options.data, "train", broken="drop")
    samples = [data.read(index) for index in range(min(200, len(data)))]
    for step in range(options.steps):
        crops = [crop(samples[int(i)]) for i in torch.randint(len(samples), (options.batch,))]
        error = align(*stage1(model, *(torch.stack(x) for x in zip(*crops, strict=True)))).error
        optimizer.zero_grad()
        error.backward()
        for group in optimizer.param_groups:
            group["lr"] = options.rate * min(1, (step + 1) / 20) * (1 - step / options.steps) ** 0.9
        optimizer.step()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}: error {error.item():.2f} px of stage 1", flush=True)
    print(compare(model, align.eval(), options.data))


def crop(sample: cimnet.RGBTSample) -> tuple[torch.Tensor, torch.Tensor]:
    """A random crop of both images."""
    top, left = (int(torch.randint(n - c + 1, ())) for n, c in zip(sample.rgb.shape[-2:], CROP, strict=True))
    window = (slice(None), slice(top, top + CROP[0]), slice(left, left + CROP[1]))
    return sample.rgb[window], sample.thermal[window]


@torch.no_grad()
def stage1(model: CIMNet, rgb: torch.Tensor, thermal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The first stage's maps of both encoders."""
    rgb, thermal = model.prepare(rgb.to(model.rgb_mean.device), thermal.to(model.rgb_mean.device))
    return model.encoder_rgb.forward_stage(0, rgb), model.encoder_thermal.forward_stage(0, thermal)


@torch.no_grad()
def compare(model: CIMNet, align: ThermalAlignment, root: Path) -> object:
    """Agreement over the moving pixels of every second test pair whose sensors work."""
    data = cimnet.open_dataset(root, "test", broken="drop")
    assert isinstance(data, Kust4K)
    found, true = [], []
    for index in range(0, len(data), 2):
        sample, truth = data.read(index), data.truth(index)
        assert truth is not None
        moving = truth["moving"].astype(bool)
        flow = align.find(*stage1(model, sample.rgb[None], sample.thermal[None]))
        found.append(4 * F.interpolate(flow, size=moving.shape, mode="bilinear")[0].cpu().numpy()[:, moving])
        true.append(truth["offset"].astype(np.float32)[:, moving])
    return offset_agreement(np.concatenate(found, axis=1), np.concatenate(true, axis=1))


if __name__ == "__main__":
    main()
