"""Facts about a published network, for ``cimnet models`` and the docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ChannelOrder = Literal["rgb", "bgr"]


@dataclass(frozen=True)
class Score:
    """A published mIoU in per cent.

    Attributes:
        source: where it is printed.
        chosen_on_test: whether the epoch was chosen on the test set. None: not known.
    """

    miou: float
    source: str
    chosen_on_test: bool | None = None


@dataclass(frozen=True)
class Publication:
    """Facts about a published network.

    Attributes:
        network: its name as the authors write it, with the variant.
        paper: authors and venue.
        year: of publication.
        link: DOI or arXiv address of the paper.
        code: address of the original code.
        licence: of the original code. The code here is this package's own.
        checkpoint: where the authors offer weights, as text; nothing is fetched from there.
        channel_order: order of the colour channels that the official weights expect.
        scores: published mIoU by data set: ``mfnet``, ``pst900``, ``kust4k``.
    """

    network: str
    paper: str
    year: int
    link: str
    code: str
    licence: str
    checkpoint: str = ""
    channel_order: ChannelOrder = "rgb"
    scores: Mapping[str, Score] = field(default_factory=dict)
