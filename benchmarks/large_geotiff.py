"""Large rasters: memory, resuming, seams.

python benchmarks/large_geotiff.py seams CHECKPOINT            # pixels that change when the window grid moves
python benchmarks/large_geotiff.py pair FOLDER --side 20000    # writes rgb.tif and thermal.tif, window by window
python benchmarks/large_geotiff.py run FOLDER [--checkpoint CHECKPOINT] [--kill=3]
    # classifies the pair of FOLDER, prints seconds and peak memory; by default with a network of one convolution;
    # --kill: first in a process that is killed (SIGKILL) after so many seconds, then on from there
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import torch
from rasterio.transform import from_bounds
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from torch import Tensor

import cimnet
import cimnet.deploy.geo
from cimnet.checkpoint import ModelInfo
from cimnet.data.synthetic import CLASSES, COLORS, render
from cimnet.inference import Predictor
from cimnet.inference.images import cutter
from cimnet.inference.settings import Settings
from cimnet.inference.windows import Windows
from cimnet.models import Output
from cimnet.utils.memory import peak_memory

STRIDE = 32  # of the encoder
FADE = 32  # pixels over which neighbouring scenes of a mosaic run into each other


def mosaic(side: int, scale: float) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """RGB (side, side, 3) and thermal (side, side): scenes by day, side by side, with soft transitions."""
    size = (round(512 * scale), round(640 * scale))
    sums = np.zeros((side + size[0], side + size[1], 5), dtype=np.float32)  # red, green, blue, heat, weight
    ramps = [np.clip((np.minimum(np.arange(n), np.arange(n)[::-1]) + 1) / FADE, 0, 1) for n in size]
    weight = np.outer(*ramps).astype(np.float32)[..., None]
    index = 0
    for top in range(0, side, size[0] - FADE):
        for left in range(0, side, size[1] - FADE):
            pair = render(0, split="test", index=index, size=size, scale=scale)
            while pair.scene != "day" or pair.flags & {"rgb_broken", "thermal_broken"}:
                index += 1
                pair = render(0, split="test", index=index, size=size, scale=scale)
            index += 1
            seen = np.dstack((pair.rgb, pair.thermal, np.ones(size, dtype=np.uint8)))
            sums[top : top + size[0], left : left + size[1]] += weight * seen
    image = (sums[:side, :side, :4] / sums[:side, :side, 4:]).round().astype(np.uint8)
    return np.ascontiguousarray(image[..., :3]), np.ascontiguousarray(image[..., 3])


def seams(checkpoint: Path, side: int, scale: float, off: bool) -> None:
    """A table: share of pixels whose class changes when the inner windows are moved by half of the distance between
    windows. (Half a window would be the same grid where the overlap is a half.)

    Distance and shift are multiples of `STRIDE`, or the encoder samples every window in another phase, which changes
    more pixels than all seams; off: moved by 11 pixels more, to measure that too.
    """
    predictor = cimnet.load(checkpoint, "cpu", batch_size=2)
    images = predictor.tensors(*mosaic(side, scale))
    print(f"{side}×{side} pixels, scenes at scale {scale}\nwindow overlap shift changed seconds")
    for size in (640, 320):
        for wanted in (0.5, 1 / 3, 0.25):
            step = round(size * (1 - wanted) / STRIDE) * STRIDE
            shift = step // 2 // STRIDE * STRIDE
            first: npt.NDArray[np.uint8] | None = None
            for moved in (0, shift, shift + 11)[: 2 + off]:
                started = time.perf_counter()
                windows = Windows(side, side, size, 1 - step / size, moved)
                mask = np.empty((side, side), dtype=np.uint8)
                for top, left, block in predictor.stitch(windows, cutter(*images)):
                    mask[top : top + block.shape[1], left : left + block.shape[2]] = block.argmax(0).numpy()
                first = mask if first is None else first
                if moved:
                    taken = time.perf_counter() - started
                    changed = 100 * (mask != first).mean()
                    print(f"{size:6} {1 - step / size:7.2f} {moved:5} {changed:5.2f} % {taken:7.0f}", flush=True)


class Stub:
    """One convolution: as cheap as a network can be, so that all else can be measured."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(len(CLASSES), 4, 1, 1, generator=generator)

    @torch.inference_mode()
    def __call__(self, rgb: Tensor, thermal: Tensor, /) -> Output:
        return Output(torch.nn.functional.conv2d(torch.cat((rgb, thermal), dim=1) - 0.4, 8 * self.weight))

    def predict(self, rgb: Tensor, thermal: Tensor, /) -> Tensor:
        return self(rgb, thermal).logits.argmax(1)


def write_pair(folder: Path, side: int) -> None:
    """rgb.tif, 5 cm pixels in UTM, and thermal.tif, coarser, in degrees, one window after the other; a corner of 1/8
    of the side is empty."""
    rgb, heat = mosaic(1024, 0.5)
    south, crs = 6_000_000.0, "EPSG:32633"
    west, east, north = 500_000.0, 500_000.0 + 0.05 * side, south + 0.05 * side
    left, bottom, right, top = transform_bounds(crs, "EPSG:4326", west, south, east, north)
    half = side // 2
    for name, image, width, crs_, place in (
        ("rgb.tif", rgb, side, crs, from_bounds(west, south, east, north, side, side)),
        ("thermal.tif", heat[..., None], half, "EPSG:4326", from_bounds(left, bottom, right, top, half, half)),
    ):
        layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "BIGTIFF": "IF_SAFER"}
        profile = {"driver": "GTiff", "dtype": "uint8", "nodata": 0, "count": image.shape[2], "sparse_ok": True}
        wide = np.maximum(np.tile(image, (1, -(-width // 1024), 1))[:, :width], 1)
        with rasterio.open(
            folder / name, "w", height=width, width=width, crs=crs_, transform=place, **layout, **profile
        ) as file:
            for first in range(0, width, 512):
                rows = min(512, width - first)
                skipped = width // 8 if first < width // 8 else 0
                part = wide[first % 1024 : first % 1024 + rows, skipped:]
                file.write(np.moveaxis(part, -1, 0), window=Window(skipped, first, width - skipped, rows))
        print(f"{folder / name}: {width}×{width}, {(folder / name).stat().st_size / 2**20:.0f} MiB")


def run(arguments: argparse.Namespace) -> None:
    """Classify the pair of a folder; prints seconds and peak memory."""
    out = arguments.folder / arguments.out
    if arguments.kill:
        command = [sys.executable, *(word for word in sys.argv if not word.startswith("--kill"))]
        process = subprocess.Popen(command)
        try:
            process.wait(arguments.kill)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        print(f"killed: {process.returncode}; left: {sorted(path.name for path in arguments.folder.iterdir())}")
    if arguments.checkpoint:
        predictor = cimnet.load(arguments.checkpoint, "cpu", overlap=arguments.overlap)
    else:
        info = ModelInfo("stub", {}, tuple(CLASSES), tuple(COLORS), thermal_dtype="uint8")
        predictor = Predictor(Stub(), info, torch.device("cpu"), Settings(overlap=arguments.overlap))
    started, first = time.perf_counter(), []

    def report(done: int, total: int) -> None:
        if not first:
            first.append(done)
            print(f"from block {done} of {total} on", flush=True)
        if done == total:
            print(f"all blocks: {time.perf_counter() - started:.0f} s, peak {peak_memory():.0f} MiB", flush=True)

    rgb, thermal = arguments.folder / "rgb.tif", arguments.folder / "thermal.tif"
    extra = {"areas": out.with_suffix(".csv")} | ({"polygons": out.with_suffix(".gpkg")} if arguments.polygons else {})
    result = cimnet.deploy.geo.predict_geotiff(predictor, rgb, thermal, out, overwrite=True, progress=report, **extra)
    print(f"{out}: {time.perf_counter() - started:.0f} s, peak {peak_memory():.0f} MiB, {result.polygons} polygons")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("seams")
    verb.add_argument("checkpoint", type=Path)
    verb.add_argument("--side", type=int, default=2048)
    verb.add_argument("--scale", type=float, default=0.5)
    verb.add_argument("--off", action="store_true", help="also off the encoder's grid")
    verb = verbs.add_parser("pair")
    verb.add_argument("folder", type=Path)
    verb.add_argument("--side", type=int, default=20_000)
    verb = verbs.add_parser("run")
    verb.add_argument("folder", type=Path)
    verb.add_argument("--checkpoint", type=Path)
    verb.add_argument("--overlap", type=float, default=0.5)
    verb.add_argument("--out", default="classes.tif")
    verb.add_argument("--kill", type=float, help="written as --kill=SECONDS")
    verb.add_argument("--polygons", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    if arguments.verb == "seams":
        seams(arguments.checkpoint, arguments.side, arguments.scale, arguments.off)
    elif arguments.verb == "pair":
        arguments.folder.mkdir(parents=True, exist_ok=True)
        write_pair(arguments.folder, arguments.side)
    else:
        run(arguments)


if __name__ == "__main__":
    main()
