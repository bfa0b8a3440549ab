"""Training steps compared in one run: CIMNet, the parallel-rectification reference (CMX's principle), and the bare two
encoders with a decoder; then the split of CIMNet's step by module.

    OMP_NUM_THREADS=2 python benchmarks/train_step.py [--encoder resnet101] [--size 240 320] [--batch 2] [--rounds 5]

Steps of the models alternate, so that a busy machine slows all alike; the shortest of each counts. A step is forward,
loss, backward and AdamW. With --memory, the peak memory of a process of its own for each, and what autograd keeps for
the backward pass.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from cimnet.models import create_model
from cimnet.models.base import RGBTModel
from cimnet.models.recompute import Checkpointing
from cimnet.training.loss import SegmentationLoss
from cimnet.training.optim import create_optimizer
from cimnet.training.recipe_sections import TrainingConfig
from cimnet.utils.tables import markdown_table

CLASSES = 9
CHECKPOINTING: dict[str, Checkpointing] = {"": False, "light checkpointing": "light", "checkpointing": True}
ROWS = ("bare", "parallel_rectification", *(f"cimnet, {how}".rstrip(", ") for how in CHECKPOINTING))


class Bare(RGBTModel):
    """Both encoders of the addition reference and the decoder on the sum of their last maps' widths: no exchange."""

    def __init__(self, encoder: str) -> None:
        whole = create_model(f"addition_{encoder}", CLASSES, pretrained=False)
        super().__init__(whole.encoder_rgb.mean, whole.encoder_rgb.std)
        self.encoder_rgb, self.encoder_thermal = whole.encoder_rgb, whole.encoder_thermal

    def forward(self, rgb: Tensor, thermal: Tensor) -> list[Tensor]:
        """The eight maps of the encoders."""
        rgb, thermal = self.prepare(rgb, thermal)
        return [*self.encoder_rgb(rgb), *self.encoder_thermal(thermal)]


class TakesMaps(nn.Module):
    """A decoder that takes its maps as arguments of their own: to lists of them hooks are blind."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, *features: Tensor) -> Tensor:
        """The maps, largest first."""
        return self.decoder(features)


class TakesList(nn.Module):
    """What a model calls in place of its decoder, with a list."""

    def __init__(self, inner: TakesMaps) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, features: list[Tensor]) -> Tensor:
        """The maps, largest first."""
        return self.inner(*features)


def build(row: str, encoder: str) -> tuple[nn.Module, nn.Module]:
    """The model of a row and its loss."""
    name, _, switch = row.partition(", ")
    model = Bare(encoder) if name == "bare" else create_model(f"{name}_{encoder}", CLASSES, pretrained=False)
    model.checkpointing = CHECKPOINTING[switch]
    model.train().to(memory_format=torch.channels_last)
    return model, SegmentationLoss()


def stepper(row: str, encoder: str, batch: tuple[Tensor, Tensor, Tensor]) -> Callable[[], None]:
    """A function that takes one training step."""
    model, loss = build(row, encoder)
    optimizer = create_optimizer(nn.ModuleList([model, loss]), TrainingConfig())
    rgb, thermal, label = batch

    def step() -> None:
        output = model(rgb, thermal)
        total = sum(x.mean() for x in output) if isinstance(output, list) else loss(output, label).total
        total.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def random_batch(size: tuple[int, int], count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images and labels without meaning."""
    torch.manual_seed(0)
    return torch.rand(count, 3, *size), torch.rand(count, 1, *size), torch.randint(CLASSES, (count, *size))


def compare(encoder: str, size: tuple[int, int], count: int, rounds: int) -> dict[str, float]:
    """Shortest step of each row, seconds."""
    batch = random_batch(size, count)
    steps = {row: stepper(row, encoder, batch) for row in ROWS}
    for step in steps.values():
        step()
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for row, step in steps.items():
            started = time.perf_counter()
            step()
            times[row].append(time.perf_counter() - started)
    return {row: min(found) for row, found in times.items()}


def split(encoder: str, size: tuple[int, int], count: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Seconds of CIMNet's step by module, forward and backward: hooks note when a module begins and ends."""
    rgb, thermal, label = random_batch(size, count)
    model, loss = build("cimnet", encoder)
    optimizer = create_optimizer(nn.ModuleList([model, loss]), TrainingConfig())
    parts = {"encoders": [*model.encoder_rgb.stages, *model.encoder_thermal.stages], "FFM": [*model.ffm]}
    parts |= {"CIPA": [model.cipa], "SCSFR": [*model.scsfr], "loss": [loss]}
    model.decoder = TakesList(TakesMaps(model.decoder))
    parts["decoder"] = [model.decoder.inner]
    parts["widths in and out"] = [
        *model.project_rgb,
        *model.project_thermal,
        *model.write_back_rgb,
        *model.write_back_thermal,
    ]
    spent: dict[str, list[float]] = {name: [0.0, 0.0] for name in [*parts, "optimiser", "whole"]}

    def watch(name: str, module: nn.Module) -> None:
        begun: list[float] = []
        module.register_forward_pre_hook(lambda *_: begun.append(time.perf_counter()))
        module.register_forward_hook(lambda *_: _add(spent[name], 0, begun.pop()))
        module.register_full_backward_pre_hook(lambda *_: begun.append(time.perf_counter()))
        module.register_full_backward_hook(lambda *_: _add(spent[name], 1, begun.pop()))

    for name, modules in parts.items():
        for module in modules:
            if name not in ("loss",):
                watch(name, module)
    for turn in range(rounds + 1):
        if turn == 1:  # the first warms up
            for value in spent.values():
                value[:] = [0.0, 0.0]
        started = time.perf_counter()
        output = model(rgb, thermal)
        before = time.perf_counter()
        total = loss(output, label).total
        _add(spent["loss"], 0, before)
        _add(spent["whole"], 0, started)
        before = time.perf_counter()
        total.backward()
        _add(spent["whole"], 1, before)
        before = time.perf_counter()
        optimizer.step()
        optimizer.zero_grad()
        _add(spent["optimiser"], 0, before)
    return {name: (forward / rounds, backward / rounds) for name, (forward, backward) in spent.items()}


def _add(entry: list[float], place: int, begun: float) -> None:
    entry[place] += time.perf_counter() - begun


def kept(row: str, encoder: str, size: tuple[int, int], count: int) -> float:
    """What autograd keeps for the backward pass, MiB: distinct storages, weights left out."""
    model, loss = build(row, encoder)
    rgb, thermal, label = random_batch(size, count)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages: dict[int, tuple[int, Tensor]] = {}  # the tensors stay, so that no address comes twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages.setdefault(storage.data_ptr(), (storage.nbytes(), tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(rgb, thermal)
        _ = output if isinstance(output, list) else loss(output, label)
    return sum(size for place, (size, _) in storages.items() if place not in weights) / 2**20


def memory(row: str, encoder: str, size: tuple[int, int], count: int) -> int:
    """Peak memory of a process that takes three steps, MiB."""
    command = [sys.executable, __file__, "--peak", row, "--encoder", encoder, "--batch", str(count)]
    command += ["--size", *map(str, size)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="resnet101")
    parser.add_argument("--size", type=int, nargs=2, default=(240, 320), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="peak memory, too")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = (options.size[0], options.size[1])
    if options.peak:
        step = stepper(options.peak, options.encoder, random_batch(size, options.batch))
        for _ in range(3):
            step()
        from cimnet.utils.memory import peak_memory  # older versions lack it: speed_against.py imports this file there

        print(round(peak_memory()))
        return
    times = compare(options.encoder, size, options.batch, options.rounds)
    print(f"{options.encoder}, {size[0]}×{size[1]}, batch {options.batch}, {torch.get_num_threads()} threads\n")
    print(
        "| step of | relative to the bare encoders | s |"
        + (" peak memory, MiB | kept for backward, MiB |" if options.memory else "")
    )
    print("|---|---:|---:|" + ("---:|---:|" if options.memory else ""))
    for row, seconds in times.items():
        more = ""
        if options.memory:
            more = f" {memory(row, options.encoder, size, options.batch)} |"
            light = row.endswith("light checkpointing")  # what it keeps is not seen by hooks
            more += " |" if light else f" {kept(row, options.encoder, size, options.batch):.0f} |"
        print(f"| {row} | {seconds / times['bare']:.2f} | {seconds:.2f} |{more}", flush=True)
    found = split(options.encoder, size, options.batch, options.rounds)
    whole = sum(found["whole"]) + found["optimiser"][0]
    rows = [
        [name, f"{forward:.3f}", f"{backward:.3f}", f"{100 * (forward + backward) / whole:.0f} %"]
        for name, (forward, backward) in found.items()
    ]
    print("\n" + markdown_table(["module", "forward, s", "backward, s", "share of the step"], rows), end="")


if __name__ == "__main__":
    main()
