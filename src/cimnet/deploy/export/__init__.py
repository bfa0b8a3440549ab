"""Trained models for other runtimes: ONNX, OpenVINO, torch.export. See docs/deploy/export.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cimnet.deploy.export.parity import Parity
    from cimnet.deploy.export.write import export

__all__ = ["Parity", "export"]


def __getattr__(name: str) -> Any:  # lazily: cimnet.inference imports this package's runtime
    if name == "export":
        from cimnet.deploy.export.write import export

        return export
    if name == "Parity":
        from cimnet.deploy.export.parity import Parity

        return Parity
    raise AttributeError(f"module 'cimnet.deploy.export' has no attribute '{name}'")
