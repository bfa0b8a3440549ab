"""Tracing of a model to a graph of torch operators whose batch and size stay free.

Symbolic sizes are the hard part: padded to a multiple of 32, or padded by what TensorFlow's rule asks for, they become
expressions that take torch minutes to compare. So the graph takes the padded pair cut into tiles of 32×32, the
stride of most models: its sizes are 32·h, 16·h, 8·h … of one free number h. Padding before it and cropping after it are
added in each format. Published networks of a smaller stride have smaller tiles where the format allows it, down to one
pixel, and a graph of one size has one tile.
"""

from __future__ import annotations

import copy
import warnings

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from cimnet.errors import ConfigError, one_line
from cimnet.inference.backends.details import Details
from cimnet.models import RGBTModel
from cimnet.models.folding import fold_for_inference
from cimnet.ops.deformable import use_implementation

SMALLEST_TILE = 16
"""Side of the smallest tiles of any number of which torch.export makes a graph."""
EXAMPLE = (43, 75)
"""Height and width to trace a graph of any size with: so odd that no size inside happens to be that of another one."""


class TiledModel(nn.Module):
    """A model on tiles (B, 3 + C, h, T, w, U) of RGB and thermal, to logits (B, K, T·h, U·w).

    Args:
        model: is copied; scaling (``input_scale``) and padding are left to whoever cuts the tiles.
        details: the tiles' size (T, U), and whether the images are normalised already.
    """

    def __init__(self, model: RGBTModel, details: Details) -> None:
        super().__init__()
        self.tile = details.tile
        self.model = copy.deepcopy(fold_for_inference(model)).requires_grad_(False)
        self.model.input_scale, self.model.stride, self.model.least = 1.0, 1, 1
        _fix_padding(self.model)
        if not details.normalization:
            self.model.black_levels = self.model.find_black()
            for mean, std in (
                (self.model.rgb_mean, self.model.rgb_std),
                (self.model.thermal_mean, self.model.thermal_std),
            ):
                mean.zero_()
                std.fill_(1.0)

    def forward(self, tiles: Tensor) -> Tensor:
        """See the class."""
        batch, channels, rows, _, columns, _ = tiles.shape
        pair = tiles.reshape(batch, channels, rows * self.tile[0], columns * self.tile[1])
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


def trace(model: RGBTModel, details: Details) -> ExportedProgram:
    """The graph of :class:`TiledModel`, float32, on the CPU; the mutual-information head is not in it. Its batch and
    size are free where ``details`` fix none.

    Deformable convolutions are torchvision's operator.

    Raises:
        ConfigError: if the model cannot be traced with free sizes.
    """
    free = dict.fromkeys(free_axes(details), Dim.DYNAMIC)
    try:
        with torch.no_grad(), use_implementation("torchvision"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tiled, tiles = TiledModel(model, details), example(details)
            program = torch.export.export(tiled, (tiles,), dynamic_shapes=(free,), strict=False)
    except Exception as error:  # torch.export has no common class for what it cannot do
        raise ConfigError(
            f"this model cannot be exported to pt2 by torch {torch.__version__}: {one_line(error)}; try onnx"
        ) from error
    if getattr(program, "_guards_code", None):  # such a file would be refused when it is opened
        raise ConfigError(
            f"this model cannot be exported to pt2 by torch {torch.__version__}: its graph would hold only under "
            "conditions on the image's size; export it to onnx, or for one --size"
        )
    return program


def free_axes(details: Details) -> dict[int, str]:
    """The tiles' axes that are not fixed, and what they count."""
    sizes = {} if details.size else {2: "rows", 4: "columns"}
    return sizes if details.batch else {0: "batch", **sizes}


def example(details: Details) -> Tensor:
    """Tiles to trace with."""
    rows, columns = details.tiles_along(details.inner_size(*details.size) if details.size else EXAMPLE)
    height, width = details.tile
    shape = (details.batch or 2, 3 + details.thermal_channels, rows, height, columns, width)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))
