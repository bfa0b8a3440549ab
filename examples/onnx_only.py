"""Segment one pair with an exported file. This needs numpy, pillow and onnxruntime, but neither torch nor cimnet.

cimnet export runs/scenes --out model.onnx
python examples/onnx_only.py model.onnx rgb.png thermal.png mask.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image


def main(model: str, rgb_file: str, thermal_file: str, out: str) -> None:
    """Write a coloured mask and print the share of each class."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    info = json.loads(session.get_modelmeta().custom_metadata_map["cimnet"])
    rgb = np.asarray(Image.open(rgb_file).convert("RGB"), dtype=np.float32).transpose(2, 0, 1)[None] / 255
    counts = np.asarray(Image.open(thermal_file))  # 8 or 16 bits, one channel
    scaling = info["scaling"]
    if scaling["kind"] != "range":
        sys.exit(f"this example scales thermal images only by a fixed range; the model needs {scaling['kind']}")
    low, high = (0, np.iinfo(counts.dtype).max) if scaling["low"] is None else (scaling["low"], scaling["high"])
    thermal = np.clip((counts.astype(np.float32) - low) / (high - low), 0, 1)[None, None]
    (found,) = session.run(None, {"rgb": rgb, "thermal": thermal})
    mask = found[0] if found.ndim == 3 else found[0].argmax(0)  # --argmax or --logits
    Image.fromarray(np.array(info["colors"], dtype=np.uint8)[mask]).save(out)
    for number, count in zip(*np.unique(mask, return_counts=True), strict=True):
        print(f"{info['classes'][number]}: {100 * count / mask.size:.1f} %")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: onnx_only.py MODEL.onnx RGB THERMAL OUT.png")
    main(*sys.argv[1:])
