"""Pictures of a pair for a labelling tool."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.pixels import first_channel
from cimnet.data.pairs import Pair


@dataclass(frozen=True)
class LabelTask:
    """One pair to be labelled.

    Attributes:
        name: of its files, without extension.
        mask: class ids (H, W) to start from. None: none.
    """

    name: str
    pair: Pair
    dataset: RGBTDataset
    mask: npt.NDArray[np.uint8] | None

    def pictures(self) -> tuple[bytes, bytes, tuple[int, int]]:
        """RGB and thermal as PNG files, and (height, width). Thermal is stretched from its 1st to its 99th percentile:
        it is there to be looked at. Of a second image of several channels it is the first one."""
        arrays = self.dataset.decode(self.pair)
        values = np.nan_to_num(first_channel(arrays.thermal).astype(np.float32))
        low, high = np.percentile(values, (1, 99))
        grey = (np.clip((values - low) / max(float(high - low), 1e-6), 0, 1) * 255).round().astype(np.uint8)
        return png(arrays.rgb), png(grey), (arrays.rgb.shape[0], arrays.rgb.shape[1])


def png(array: npt.NDArray[np.uint8]) -> bytes:
    """An image as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()
