"""The families of models: which names belong to each page of ``docs/models``, and the schematic that it shows."""

from __future__ import annotations

from dataclasses import dataclass

from diagram import Diagram, Step


@dataclass(frozen=True)
class Family:
    """Networks of one paper, or the baselines.

    Attributes:
        patterns: shell patterns of the names that belong to it.
        code: the file that holds it, below ``src/cimnet/models``.
        diagram: None where the page has a figure of its own, or none.
    """

    patterns: tuple[str, ...]
    code: str
    diagram: Diagram | None = None


def _steps(scales: str, exchange: str, goes_on: str, decoded: str = "yes") -> tuple[Step, ...]:
    """The same exchange after every stage."""
    return tuple(Step(scale, exchange, goes_on, decoded) for scale in scales.split())


STAGES = "1/4 1/8 1/16 1/32"
_UP = "five stages of residual upsampling, from the last map alone"


def _into_rgb(exchange: str) -> Diagram:
    """RTFNet and its offspring: what thermal adds goes on in the RGB stream, and the last map alone is decoded."""
    steps = (*_steps("1/2 1/4 1/8 1/16", exchange, "rgb", "no"), Step("1/32", exchange))
    return Diagram("ResNet", "ResNet", steps, _UP)


FAMILIES = {
    "cimnet": Family(("cimnet_*",), "cimnet.py"),
    "cimnetx": Family(("cimnetx_*",), "cimnetx.py"),
    "rtfnet": Family(("rtfnet_*",), "zoo/rtfnet.py", _into_rgb("sum")),
    "feanet": Family(("feanet_*",), "zoo/feanet.py", _into_rgb("attention, sum")),
    "gmnet": Family(
        ("gmnet_*",),
        "zoo/gmnet.py",
        Diagram(
            "ResNet",
            "ResNet",
            (*_steps("1/2 1/4", "detail", "own", "training"), *_steps("1/8 1/16 1/32", "sum + product", "own")),
            "context at three scales, decoder; heads for foreground and borders in training",
        ),
    ),
    "cmx": Family(
        ("cmx_*",),
        "zoo/cmx.py",
        Diagram("MiT", "MiT", _steps(STAGES, "FRM, FFM", "both"), "MLP decoder over four fused maps"),
    ),
    "cmnext": Family(
        ("cmnext_*",),
        "zoo/cmnext.py",
        Diagram("MiT", "pooling", _steps(STAGES, "FRM, FFM", "both"), "MLP decoder over four fused maps"),
    ),
    "eaefnet": Family(
        ("eaefnet_*",),
        "zoo/eaefnet.py",
        Diagram("ResNet", "ResNet", _steps(f"stem {STAGES}", "gate", "both"), "two heads: coarse maps, all maps"),
    ),
    "cainet": Family(
        ("cainet_*",),
        "zoo/cainet.py",
        Diagram(
            "MobileNet",
            "MobileNet",
            (*_steps("1/4 1/8", "detail", "own"), *_steps("1/16 1/16 1/16", "graph", "own")),
            "refinement from level to level, with the global context",
        ),
    ),
    "sigma": Family(
        ("sigma_*",),
        "zoo/sigma.py",
        Diagram("Mamba", "Mamba", _steps(STAGES, "cross, concat", "own"), "Mamba decoder with channel attention", True),
    ),
    "baselines": Family(
        ("addition_*", "parallel_rectification_*", "early_fusion_*", "rgb_only_*", "thermal_only_*"), "baselines/"
    ),
}
