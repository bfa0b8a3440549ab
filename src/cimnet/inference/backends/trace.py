"""Tracing of a model to a graph of torch operators whose batch and size stay free.

Symbolic sizes are the hard part: padded to a multiple of 32, or padded by what TensorFlow's rule asks for, they become
expressions that take torch minutes to compare. So the graph takes the padded pair cut into `TILE`×`TILE` tiles: its
sizes are 32·h, 16·h, 8·h … of one free number h. Padding before it and cropping after it are added in each format.
"""

from __future__ import annotations

import copy
import warnings

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from cimnet.errors import ConfigError, one_line
from cimnet.models import RGBTModel
from cimnet.models.folding import fold_for_inference
from cimnet.ops.deformable import use_implementation

TILE = RGBTModel.stride


class TiledModel(nn.Module):
    """A model on tiles (B, 3 + C, h, 32, w, 32) of RGB and thermal, to logits (B, K, 32·h, 32·w).

    Args:
        model: is copied; scaling (``input_scale``) is left to whoever cuts the tiles.
        normalization: False: the images are normalised already.
    """

    def __init__(self, model: RGBTModel, normalization: bool = True) -> None:
        super().__init__()
        self.model = copy.deepcopy(fold_for_inference(model)).requires_grad_(False)
        self.model.input_scale = 1.0
        _fix_padding(self.model)
        if not normalization:
            for mean, std in (
                (self.model.rgb_mean, self.model.rgb_std),
                (self.model.thermal_mean, self.model.thermal_std),
            ):
                mean.zero_()
                std.fill_(1.0)

    def forward(self, tiles: Tensor) -> Tensor:
        """See the class."""
        batch, channels, rows, _, columns, _ = tiles.shape
        pair = tiles.reshape(batch, channels, rows * TILE, columns * TILE)
        return self.model(pair[:, :3], pair[:, 3:]).logits


def _fix_padding(network: nn.Module) -> None:
    """Give convolutions with TensorFlow's padding, which depends on the image's size, the padding that it comes to for
    every size that a stride divides, as it does everywhere in here."""
    from timm.layers import Conv2dSame

    for parent in list(network.modules()):
        for name, conv in parent.named_children():
            if isinstance(conv, Conv2dSame):
                totals = [
                    max((kernel - 1) * dilation + 1 - stride, 0)
                    for kernel, dilation, stride in zip(conv.kernel_size, conv.dilation, conv.stride, strict=True)
                ]
                (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
                plain = nn.Conv2d(1, 1, 1)
                plain.__dict__.update(conv.__dict__)
                setattr(parent, name, nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), plain))


def trace(model: RGBTModel, normalization: bool) -> ExportedProgram:
    """The graph of :class:`TiledModel`, float32, on the CPU; the mutual-information head is not in it.

    Deformable convolutions are torchvision's operator.

    Raises:
        ConfigError: if the model cannot be traced with free sizes.
    """
    free = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 4: Dim.DYNAMIC}
    try:
        with torch.no_grad(), use_implementation("torchvision"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tiled = TiledModel(model, normalization)
            tiles = example(model.thermal_channels)
            program = torch.export.export(tiled, (tiles,), dynamic_shapes=(free,), strict=False)
    except Exception as error:  # torch.export has no common class for what it cannot do
        raise ConfigError(
            f"this model cannot be exported to pt2 by torch {torch.__version__}: {one_line(error)}; try onnx"
        ) from error
    if getattr(program, "_guards_code", None):  # such a file would be refused when it is opened
        raise ConfigError(
            f"this model cannot be exported to pt2 by torch {torch.__version__}: its graph would hold only under "
            "conditions on the image's size; export it to onnx"
        )
    return program


def example(thermal_channels: int) -> Tensor:
    """Tiles to trace with."""
    return torch.rand(2, 3 + thermal_channels, 2, TILE, 3, TILE, generator=torch.Generator().manual_seed(0))
