"""How fast exported models run on a CPU, and whether they give the same masks. Ratios of one run, repetitions taken in
turn, medians:

    python benchmarks/speed.py parity                        # every family and format: logits and pixels against torch
    python benchmarks/speed.py forward [--model cimnet_resnet101] [--repeats 5] [--calibration DATASET]
    python benchmarks/speed.py forward --checkpoint runs/scenes/best.safetensors --pairs data/scenes
    python benchmarks/speed.py pipeline --pairs data/scenes [--model cimnet_resnet101 or --checkpoint …]
    python benchmarks/speed.py int8 --checkpoint best.safetensors --pairs data/scenes --calibration data/scenes
    python benchmarks/speed.py bfloat16 --checkpoint best.safetensors --pairs data/scenes   # equal pixels alone
    python benchmarks/speed.py float16 --checkpoint best.safetensors --pairs data/scenes    # likewise, ONNX
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import cimnet
from cimnet.checkpoint import ModelInfo, save_checkpoint
from cimnet.data import open_dataset
from cimnet.deploy.export.parity import random_pair, share
from cimnet.deploy.export.write import SUFFIXES, export
from cimnet.evaluation import evaluate
from cimnet.inference import Predictor
from cimnet.inference.backends.runtime import load_exported
from cimnet.models import create_model
from cimnet.utils.tables import markdown_table

CLASSES = 9
FAMILIES: tuple[tuple[str, dict[str, object]], ...] = (
    ("cimnet_efficientnet_lite0", {}),
    ("cimnet_efficientnet_lite0", {"explicit_alignment": True}),
    ("cimnet_mit_b0", {}),
    *((f"{family}_efficientnet_lite0", {}) for family in ("parallel_rectification", "addition", "early_fusion")),
    *((f"{family}_efficientnet_lite0", {}) for family in ("rgb_only", "thermal_only")),
)
Forward = Callable[[Tensor, Tensor], Tensor]


def main(arguments: list[str] | None = None) -> None:
    verbs = {verb.__name__: verb for verb in (parity, forward, pipeline, int8, bfloat16, float16)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=verbs)
    parser.add_argument("--model", default="cimnet_resnet101")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--pairs", type=Path, help="data set with a split test")
    parser.add_argument("--calibration", type=Path, help="data set with a split train, for int8")
    parser.add_argument("--skip-bfloat16", action="store_true", help="for forward, on a processor without it")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--formats", default="onnx,openvino,pt2")
    parser.add_argument("--only", default="", help="part of a family's name, for parity")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        verbs[options.what](options, Path(folder))


def untrained(name: str, folder: Path, data: Path | None = None, **model_options: object) -> Path:
    """A checkpoint with random weights, also where training begins at zero: offsets are not zero then. Its classes are
    those of a data set, if one is given."""
    classes = tuple(f"class {n}" for n in range(CLASSES)) if data is None else open_dataset(data, "train").classes
    model = create_model(name, len(classes), **model_options)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    path = folder / f"{name}.safetensors"
    save_checkpoint(path, model, ModelInfo(name, model_options, classes, ((0, 0, 0),) * len(classes)))
    return path


def parity(options: argparse.Namespace, folder: Path) -> None:
    """One row per family and format."""
    print("| model | format | largest logit difference | largest logit | equal pixels |\n|---|---|---:|---:|---:|")
    for name, extra in FAMILIES:
        if options.only not in name:
            continue
        predictor = cimnet.load(untrained(name, folder, **extra), "cpu")
        with torch.inference_mode():
            largest = predictor.network(*random_pair()).logits.abs().max()
        for format in options.formats.split(","):
            out = folder / f"model{SUFFIXES[format]}"
            found = export(predictor, out, format)
            label = name + (" + explicit alignment" if extra else "")
            print(f"| {label} | {format} | {found.error:.1e} | {largest:.2f} | {100 * found.equal:.3f} % |", flush=True)


def runners(options: argparse.Namespace, folder: Path) -> tuple[Predictor, dict[str, Forward]]:
    """The ways to run one model, by name; the first is what the others are compared with."""
    checkpoint = options.checkpoint or untrained(options.model, folder, options.calibration)
    predictor = cimnet.load(checkpoint, "cpu")
    model = predictor.network
    plain = cimnet.load(checkpoint, "cpu").network.to(memory_format=torch.contiguous_format)

    def autocast(rgb: Tensor, thermal: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return model(rgb, thermal).logits.float()

    found: dict[str, Forward] = {
        "torch float32": lambda rgb, thermal: plain(rgb, thermal).logits,
        "torch float32, channels last": lambda rgb, thermal: model(rgb, thermal).logits,
        "torch bfloat16, channels last": autocast,
    }
    ways: list[tuple[str, str, dict[str, object]]] = [
        ("ONNX Runtime float32", "a.onnx", {"format": "onnx"}),
        ("OpenVINO float32", "a.xml", {"format": "openvino"}),
        ("OpenVINO bfloat16", "b.xml", {"format": "openvino", "precision": "bfloat16"}),
    ]
    if options.skip_bfloat16:  # without bfloat16 in the processor, torch takes minutes for a pass
        found.pop("torch bfloat16, channels last")
        ways.pop()
    if options.calibration:
        eight = {"precision": "int8", "calibration": options.calibration}
        ways += [("ONNX Runtime int8", "c.onnx", eight), ("OpenVINO int8", "d.xml", {"format": "openvino", **eight})]
    for name, file, extra in ways:
        export(predictor, folder / file, **extra)
        exported, _ = load_exported(folder / file)
        found[name] = lambda rgb, thermal, exported=exported: exported(rgb, thermal).logits
    return predictor, found


def alternate(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each call; all take turns, so that a busy machine is busy for all of them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(repeats + 1):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if round_:  # the first one warms up
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


@torch.inference_mode()
def forward(options: argparse.Namespace, folder: Path) -> None:
    """One pass at 480×640, batch 1."""
    predictor, calls = runners(options, folder)
    rgb, thermal = random_pair((3, 480, 640))
    rgb, thermal = rgb[2:], thermal[2:]  # the first two miss an image
    if options.pairs:
        data = predictor.open_dataset(options.pairs, "test")
        rgb, thermal = (torch.stack([getattr(data[k], name) for k in range(8)]) for name in ("rgb", "thermal"))
        resize = {"size": (480, 640), "mode": "bilinear"}
        large = torch.nn.functional.interpolate(rgb, **resize), torch.nn.functional.interpolate(thermal, **resize)
    else:
        large = rgb, thermal
    masks = {name: call(rgb, thermal).argmax(1) for name, call in calls.items()}
    one = large[0][:1], large[1][:1]
    seconds = alternate({name: (lambda call=call: call(*one)) for name, call in calls.items()}, options.repeats)
    first = next(iter(calls))
    print(f"{options.checkpoint or options.model}, 480x640, batch 1, {torch.get_num_threads()} threads")
    rows = [
        [name, f"{seconds[first] / seconds[name]:.2f}", f"{100 * share(masks[first], masks[name]):.2f} %"]
        for name in calls
    ]
    print(markdown_table(["", "times faster", "pixels as in torch float32"], rows), end="")


def pipeline(options: argparse.Namespace, folder: Path) -> None:
    """From two files to a written mask, over the bare pass."""
    source = options.checkpoint or untrained(options.model, folder)
    export(source, folder / "model.xml", "openvino", precision="bfloat16")  # the fastest
    predictor = cimnet.load(folder / "model.xml")
    files = folder / "rgb.png", folder / "thermal.png"
    sample = open_dataset(options.pairs, "test")[0]
    sizes = {"size": (480, 640), "mode": "bilinear"}
    for image, file in zip((sample.rgb, sample.thermal), files, strict=True):
        values = torch.nn.functional.interpolate(image[None], **sizes)[0].mul(255).round().byte()
        Image.fromarray(values.permute(1, 2, 0).squeeze(-1).numpy()).save(file)
    rgb, thermal = (tensor[None] for tensor in predictor.tensors(*files))
    seconds = alternate(
        {
            "pass": lambda: predictor.model(rgb, thermal),
            "files to mask": lambda: Image.fromarray(predictor.predict(*files)).save(folder / "mask.png"),
        },
        options.repeats,
    )
    ratio = seconds["files to mask"] / seconds["pass"]
    print(f"files to mask takes {ratio:.2f} times the bare pass (480x640, OpenVINO, bfloat16)")


def int8(options: argparse.Namespace, folder: Path) -> None:
    """mIoU of the float and the 8-bit files on the test split."""
    predictor = cimnet.load(options.checkpoint, "cpu")
    data = predictor.open_dataset(options.pairs, "test")
    eight = {"precision": "int8", "calibration": options.calibration}
    for name, file, extra in (
        ("float32", "a.onnx", {}),
        ("ONNX Runtime int8", "b.onnx", eight),
        ("OpenVINO int8", "c.xml", {"format": "openvino", **eight}),
    ):
        export(predictor, folder / file, **extra)
        exported, _ = load_exported(folder / file)
        scores = evaluate(exported.predict, data).scores
        size = sum(part.stat().st_size for part in folder.glob(f"{file[0]}.*")) / 1e6
        print(f"{name}: mIoU {100 * scores.miou:.2f}, {size:.1f} MB", flush=True)


def bfloat16(options: argparse.Namespace, folder: Path) -> None:
    """Equal pixels of torch in bfloat16 and in float32 on up to eight test pairs; also on a processor without bfloat16,
    where torch computes it in software."""
    exact, rough = (cimnet.load(options.checkpoint, "cpu", precision=name) for name in ("float32", "bfloat16"))
    _report_equal(exact, rough, options.pairs, 8)


def float16(options: argparse.Namespace, folder: Path) -> None:
    """Equal pixels of a file for TensorRT in float16, run by ONNX Runtime, and of the model in float32, on up to 64
    test pairs."""
    exact = cimnet.load(options.checkpoint, "cpu")
    export(exact, folder / "half.onnx", target="tensorrt", precision="float16")
    rough = cimnet.load(folder / "half.onnx")
    _report_equal(exact, rough, options.pairs, 64)


def _report_equal(exact: Predictor, rough: Predictor, root: Path, most: int) -> None:
    """Pixels that two models predict alike, on up to so many test pairs."""
    data = exact.open_dataset(root, "test")
    pairs = [(data[k].rgb, data[k].thermal) for k in range(min(most, len(data)))]
    percent = [100 * (exact.predict(*pair) == rough.predict(*pair)).mean() for pair in pairs]
    mean, least = statistics.mean(percent), min(percent)
    print(f"equal pixels: {mean:.3f} %, in the least equal of {len(percent)} pairs {least:.3f} %")


if __name__ == "__main__":
    main()
