"""The output contract: the fields that models return, and those that the loss takes."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor


class Alone(NamedTuple):
    """Predictions from streams of one sensor that were decoded by themselves, for the loss.

    Attributes:
        logits: (M, K, H, W); M may be 0.
        pairs: (M,) int64, index in the batch of the pair that each one belongs to.
    """

    logits: Tensor
    pairs: Tensor


class Auxiliary(NamedTuple):
    """Logits of a further head of a published network, for the loss.

    Attributes:
        logits: (B, K, H, W) at the images' size; K = 2 for targets other than ``classes``.
        weight: factor of this head's loss, where the loss of :attr:`Output.logits` has 1.
        target: what the head predicts. ``classes``: the labels. ``foreground``: 1 where the label is not class 0.
            ``boundary``: 1 at the borders between classes.
        class_weights: factors of the K classes in the cross entropy of a target other than ``classes``; None: 1 for
            each. A head for the classes has the weights of the training's loss.
    """

    logits: Tensor
    weight: float = 1.0
    target: Literal["classes", "foreground", "boundary"] = "classes"
    class_weights: tuple[float, ...] | None = None


class Output(NamedTuple):
    """The output of a model.

    Attributes:
        logits: (B, K, H, W) at the size of the images, before softmax.
        mutual_information: estimate of what both streams share, a scalar in nats (paper, eq. 1–5). None outside
            training mode, and for models without that head.
        offsets: of each stage (B, 2·k², h, w), where k is the kernel's size: (dy, dx) of each sampling point of
            the deformable convolution, in pixels of that stage (paper, eq. 13). Empty for models without offsets.
        flow: (B, 2, H/4, W/4), (dy, dx) by which explicit alignment moves the thermal image, in units of four image
            pixels. None without it.
        alone: in training mode, predictions from RGB streams and from thermal streams alone. None if there are none.
        auxiliary: in training mode, further heads of published networks.
        reliability: (B, 3, H/4, W/4), weights that a gate gives to the predictions from the pair, from RGB and from
            thermal; they sum to 1. None without a gate, see :class:`cimnet.models.reliability_gate.ReliabilityGate`.
    """

    logits: Tensor
    mutual_information: Tensor | None = None
    offsets: tuple[Tensor, ...] = ()
    flow: Tensor | None = None
    alone: tuple[Alone, Alone] | None = None
    auxiliary: tuple[Auxiliary, ...] = ()
    reliability: Tensor | None = None
