"""Static quantisation of an ONNX file to 8 bits: ranges come from pairs of a data set."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cimnet.data.flags import BROKEN_FLAGS
from cimnet.deploy.export.sensitive_parts import SENSITIVE, is_sensitive
from cimnet.errors import ConfigError, DataError
from cimnet.inference import Predictor
from cimnet.inference.backends.details import Details, to_metadata
from cimnet.utils.numbers import spread_evenly

PAIRS = 32
"""Pairs that set the ranges, spread over the training split."""
SIDE = 320
"""Pixels along a side of what is cut out of a pair: calibration holds all maps of a pass at once, which took more than
15 GB for MiT-B4 at 480x640."""
KEPT = ("stages.0", *SENSITIVE)
"""Parts that stay in float32: the encoders' first stages (in 8 bits they cost 9 to 13 points of mIoU,
docs/notebook/export-figures.md), and those that any reduced precision leaves out."""
PRODUCTS = ["Conv", "MatMul", "Gemm"]
BETWEEN = ["Add", "Concat", "Relu", "Clip"]
"""Operators that OpenVINO runs in 8 bits, too, so that maps need not become float32 between two products."""


def quantize(file: Path, predictor: Predictor, root: Path, details: Details, *, openvino: bool = False) -> None:
    """Replace a float32 ONNX file by one with 8-bit convolutions and matrix products (QDQ form, one scale per channel).

    ONNX Runtime is fastest with unsigned maps and float32 between the products. OpenVINO is fastest with signed maps
    around zero, because it subtracts any other zero point in a step of its own, and with 8 bits between the products
    (docs/notebook/export-figures.md).

    Args:
        file: with normalisation inside.
        root: folder of a data set with a split ``train``.
        openvino: the file is for OpenVINO.

    Raises:
        ConfigError: normalisation is outside.
        DataError: the data set cannot be used with this model.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    if not details.normalization:
        raise ConfigError("int8 needs normalisation inside the file; leave out --no-normalization")
    pairs = _pairs(predictor, root, details)

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            return next(pairs, None)

    model = onnx.load(file)
    logging.getLogger().disabled, before = True, logging.getLogger().disabled  # it warns about files like ours
    try:
        quantize_static(
            model,
            file,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=PRODUCTS + BETWEEN if openvino else PRODUCTS,
            per_channel=True,
            activation_type=QuantType.QInt8 if openvino else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[node.name for node in model.graph.node if is_sensitive(node, KEPT)],
            extra_options={"ActivationSymmetric": openvino},
        )
    finally:
        logging.getLogger().disabled = before
    quantized = onnx.load(file)
    onnx.helper.set_model_props(quantized, to_metadata(predictor.info, details))
    file.write_bytes(quantized.SerializeToString())


def _pairs(predictor: Predictor, root: Path, details: Details) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    """Yield inputs of the session: a part of each pair, from a different place each time, or the whole pair if the file
    takes only one size; repeated to the batch if the file has a fixed one.

    Raises:
        DataError: the split is empty, cannot be read, or has pairs of another size than the one that the file takes.
    """
    data = predictor.open_dataset(root, "train")
    sound = [index for index, pair in enumerate(data.pairs) if pair.flags.isdisjoint(BROKEN_FLAGS)]
    if not sound:
        raise DataError(f"{root}: its split train has no pairs; calibrate with a data set that has some")
    for number, place in enumerate(spread_evenly(len(sound), PAIRS)):
        sample = data[sound[place]]
        height, width = sample.rgb.shape[1:]
        if details.size not in (None, (height, width)):
            raise DataError(
                f"{root}: pair {sample.id} is {height}x{width}, and --size makes a file for "
                f"{'x'.join(map(str, details.size or ()))} alone; give --calibration of that size, or leave --size out"
            )
        rows, columns = slice(None), slice(None)
        if details.size is None:  # steps of the R2 sequence, whose points fill a square evenly
            rows, columns = _part(height, number * 0.7549 % 1), _part(width, number * 0.5698 % 1)
        times = (details.batch or 1, 1, 1, 1)
        images = {"rgb": sample.rgb, "thermal": sample.thermal}
        yield {name: np.tile(image[:, rows, columns].numpy(), times) for name, image in images.items()}


def _part(length: int, place: float) -> slice:
    """At most :data:`SIDE` pixels of a side, from its beginning (0) to its end (1)."""
    first = int(max(0, length - SIDE) * place)
    return slice(first, first + SIDE)
