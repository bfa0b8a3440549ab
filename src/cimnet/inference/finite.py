"""Refuse logits that are not finite: of these the class of a pixel would be the first one, whatever it shows."""

from __future__ import annotations

from torch import Tensor

from cimnet.errors import CheckpointError


def require_finite(logits: Tensor, precision: str = "float32") -> Tensor:
    """Return the logits (B, K, H, W), float32, of one pass as they are.

    Args:
        precision: in which the model ran.

    Raises:
        CheckpointError: some are infinite or not a number.
    """
    if logits.sum().isfinite():  # one number, with no mask of the size of the logits
        return logits
    if precision == "float32":
        raise CheckpointError(
            "the model gives values that are not finite: its weights are damaged, its training failed, or values "
            "overflow in the float16 of an export; take another checkpoint, or export it in float32"
        )
    remedy = "use float32" if precision == "bfloat16" else "use bfloat16 or float32"
    raise CheckpointError(f"precision {precision}: values overflow in this model; {remedy}")
