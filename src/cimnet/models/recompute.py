"""Compute a module's maps a second time for the gradient instead of keeping them (gradient checkpointing)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

Checkpointing = bool | Literal["light"]
"""False: keep everything that the gradient needs. True: keep the inputs of each module alone. "light": keep the inputs
and the results of all products, so that no product is computed twice."""
_PRODUCTS = ("convolution", "mm", "addmm", "bmm", "baddbmm")
_OF_EXTENSIONS = ("cimnet", "torchvision")
"""Namespaces of operators that are expensive: selective scans, deformable convolutions."""


def recompute(how: Checkpointing, module: nn.Module, *inputs: Any) -> Any:
    """Run a module so that what is not kept is computed once more in the backward pass.

    Args:
        how: True or "light". With "light", normalisations, activations, sums and samples are computed again, and
            activations of the module write new maps from now on: the result of a product must not change in place.

    Returns:
        What the module returns. Gradients and running statistics are those of a plain call.

    Raises:
        RuntimeError: in the backward pass, if the module changed the result of a product in place all the same.
    """

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        if how != "light":
            return nullcontext(), _statistics_kept(module)
        first, again = create_selective_checkpoint_contexts(_keep_products)  # type: ignore[no-untyped-call]
        return first, _within(_statistics_kept(module), again)

    if how == "light":
        for part in module.modules():
            if getattr(part, "inplace", False):
                part.inplace = False  # type: ignore[assignment]
    return checkpoint(module, *inputs, use_reentrant=False, context_fn=contexts)


def _keep_products(_: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    """The policy of "light" for an operator of torch."""
    name = operator.overloadpacket.__name__
    expensive = name in _PRODUCTS or "scaled_dot_product" in name or operator.namespace in _OF_EXTENSIONS
    return CheckpointPolicy.MUST_SAVE if expensive else CheckpointPolicy.MUST_RECOMPUTE


@contextmanager
def _within(outer: AbstractContextManager[Any], inner: AbstractContextManager[Any]) -> Iterator[None]:
    with outer, inner:
        yield


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Context in which batch normalisation does not update its running statistics: the first pass has counted the
    batch."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, (_, count) in zip(norms, before, strict=True):
        norm.momentum = 0.0
        norm.num_batches_tracked = None if count is None else count.clone()  # one to count on
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
