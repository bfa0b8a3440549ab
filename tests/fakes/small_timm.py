"""Networks of timm under their real names, made small: few blocks and narrow, so that tests take seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import timm

VIT = {"depth": 5, "embed_dim": 48, "num_heads": 2}
SWIN = {"embed_dim": 16, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 2, 4)}
HIERA = {"embed_dim": 16, "stages": (1, 2, 2, 1)}
SAM2 = HIERA | {"global_att_blocks": (4,)}
SMALLER = {"vit_": VIT, "eva02": VIT, "deit3": VIT, "swin": SWIN, "hiera": HIERA, "sam2": SAM2}


def arguments(name: str) -> dict[str, Any]:
    """What makes a network small."""
    return next((options for start, options in SMALLER.items() if name.startswith(start)), {})


@contextmanager
def small_networks() -> Iterator[None]:
    """Inside, :func:`timm.create_model` makes small networks."""
    create = timm.create_model

    def smaller(name: str, *args: Any, **options: Any) -> Any:
        return create(name, *args, **{**arguments(name), **options})

    with patch.object(timm, "create_model", smaller):
        yield
