"""An ONNX graph of one fixed size, without what that size settles: no ``Shape``, no arithmetic on sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cimnet.errors import ConfigError, one_line
from cimnet.utils.extras import require


def fold(model: Any, folder: Path) -> Any:
    """ONNX Runtime's basic optimisations, which give operators of ONNX alone and keep the names of modules.

    Args:
        model: ``onnx.ModelProto``.
        folder: an empty file name in it, ``folded.onnx``, is used for a moment.

    Raises:
        ConfigError: without the extra ``export``, or if ONNX Runtime cannot read the graph.
    """
    onnxruntime = require("onnxruntime", "export", "a file of one size")
    import onnx

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    file = folder / "folded.onnx"
    options.optimized_model_filepath = str(file)
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise ConfigError(f"ONNX Runtime cannot read this graph: {one_line(error)}; leave --size out") from error
    folded = onnx.load(file)
    file.unlink()
    del folded.opset_import[:]
    folded.opset_import.extend(model.opset_import)  # it names domains of which nothing is used
    folded.producer_name, folded.producer_version = model.producer_name, model.producer_version
    onnx.checker.check_model(folded)
    return folded
