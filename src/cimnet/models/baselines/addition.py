"""Two streams with addition, a reference point: the principle of RTFNet (Sun et al., RA-L 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from cimnet.models.output import Output
from cimnet.models.projections import input_projections
from cimnet.models.two_stream import Streams, TwoStream


class Addition(TwoStream):
    """After every stage, the thermal map is added to the RGB map, which enters the next stage and the decoder; the
    thermal stream does not change. Arguments are those of :class:`cimnet.models.two_stream.TwoStream`."""

    former_names: ClassVar[Mapping[str, str]] = {"enter": "project_sum"}

    def __init__(self, encoder: str, num_classes: int, **options: Any) -> None:
        super().__init__(encoder, num_classes, **options)
        self.project_sum = input_projections(self.encoder_rgb, self.widths)
        self.add_decoder()

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """Images (B, 3, H, W) and (B, C, H, W) in 0..1, one of them None if it is missing, to
        :class:`cimnet.models.output.Output`."""
        images = self.begin(rgb, thermal)
        maps = Streams(images.rgb, images.thermal)
        features = []
        for n in range(4):
            maps = self.encode(n, maps, images)
            maps = Streams(maps.rgb + maps.thermal, maps.thermal)
            images = images._replace(has_rgb=None)  # from here on, the RGB stream holds the sum
            features.append(self.project_sum[n](maps.rgb))
        return Output(self.restore(self.decoder(features), images.padded, images.size), flow=images.flow)
