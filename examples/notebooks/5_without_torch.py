# %% [markdown]
# # Export, and run without torch
#
# A drone or a server needs no training code. This notebook writes a model as an ONNX file, and runs it in a process
# that has numpy and ONNX Runtime only.

# %%
# %matplotlib inline
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import cimnet
from cimnet.data.synthetic import render
from cimnet.deploy.export import export

predictor = cimnet.load("starter", device="cpu")
pair = render(2026, split="test", index=7, size=(256, 320))
Image.fromarray(pair.rgb).save("rgb.png")
Image.fromarray(pair.thermal).save("thermal.png")

# %% [markdown]
# ## The file
#
# `export` traces the network, writes it, runs the file, and compares it with the network. The file comes into being
# only if both give the same classes. `argmax=True` puts the choice of the class into the file. It takes images of any
# size.

# %%
parity = export(predictor, "starter.onnx", argmax=True)
size = Path("starter.onnx").stat().st_size
print(f"starter.onnx: {size / 1e6:.0f} MB; {100 * parity.equal:.2f} % of the pixels of a test pair have the same class")

# %% [markdown]
# ## The program
#
# All that it needs to know stands in the file: classes, colours, and how thermal counts become numbers in 0..1.

# %%
PROGRAM = """
import json, sys, time
import numpy as np, onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("starter.onnx", providers=["CPUExecutionProvider"])
info = json.loads(session.get_modelmeta().custom_metadata_map["cimnet"])
rgb = np.asarray(Image.open("rgb.png"), dtype=np.float32).transpose(2, 0, 1)[None] / 255
thermal = np.asarray(Image.open("thermal.png"), dtype=np.float32)[None, None] / 255
session.run(None, {"rgb": rgb, "thermal": thermal})  # the first run prepares
started = time.perf_counter()
mask = session.run(None, {"rgb": rgb, "thermal": thermal})[0][0].astype(np.uint8)
print(f"{1000 * (time.perf_counter() - started):.0f} ms for a pair of {mask.shape[1]}x{mask.shape[0]}")
for k, count in zip(*np.unique(mask, return_counts=True)):
    print(f"  {info['classes'][k]:20s} {100 * count / mask.size:5.1f} %")
Image.fromarray(mask).save("mask.png")
print("torch is loaded:", "torch" in sys.modules, "- cimnet is loaded:", "cimnet" in sys.modules)
"""
Path("segment.py").write_text(PROGRAM)
print(subprocess.run([sys.executable, "segment.py"], check=True, capture_output=True, text=True).stdout)

# %% [markdown]
# ## The same mask

# %% alt="RGB, and the same mask from torch and from ONNX Runtime"
exported, ours = np.asarray(Image.open("mask.png")), predictor.predict(pair.rgb, pair.thermal)
print(f"{100 * (exported == ours).mean():.2f} % of the pixels have the same class")
colors = np.array(predictor.colors, dtype=np.uint8)
_, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
titles = ["RGB", "with torch", "without torch"]
for axis, picture, title in zip(axes, [pair.rgb, colors[ours], colors[exported]], titles, strict=True):
    axis.imshow(picture)
    axis.set_title(title)
    axis.set_axis_off()
plt.show()

# %% [markdown]
# Other formats (OpenVINO, torch.export), int8 and checks on your data: [export](../../docs/deploy/export.md). Servers,
# live cameras and robots: [deploying](../../docs/deploy/index.md).
