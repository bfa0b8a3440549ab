"""Measure how robust your own model is. It must be callable: rgb and thermal in 0..1 as input, logits as output.

    python examples/robustness_of_your_model.py FOLDER [--split test] [--out runs/robustness_mine]

FOLDER contains rgb/, thermal/, labels/, test.txt and classes.yaml, or has another layout of `cimnet data list`.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

from cimnet.analysis.robustness import measure_robustness, preset
from cimnet.data import open_dataset


class YourModel(nn.Module):
    """A stand-in for any model that takes four normalised channels; it uses nothing of cimnet."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(4, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, num_classes, 1)
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.layers(x)}  # a dict, as torchvision's segmentation models return


MEAN = torch.tensor([0.485, 0.456, 0.406, 0.5]).view(1, 4, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225, 0.25]).view(1, 4, 1, 1)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", default="runs/robustness_mine")
    options = parser.parse_args(arguments)

    dataset = open_dataset(options.folder, options.split)
    torch.manual_seed(0)
    model = YourModel(len(dataset.classes)).eval()  # here: model.load_state_dict(torch.load("yours.pt"))

    def call(rgb: Tensor, thermal: Tensor) -> Tensor:
        """(B, 3, H, W) and (B, 1, H, W) in 0..1 to logits (B, K, H, W), in the order of `dataset.classes`."""
        return model((torch.cat([rgb, thermal], dim=1) - MEAN) / STD)["out"]

    report = measure_robustness(call, dataset, options.out, conditions=preset("quick"), name="your model")
    print(report.to_markdown(brief=True))


if __name__ == "__main__":
    main()
