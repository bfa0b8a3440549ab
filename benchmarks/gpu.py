"""What one GPU should show in eight minutes, in order of value; `benchmarks/gpu.sh` calls it.

    benchmarks/gpu.sh [--minutes 8] [--out runs/gpu.jsonl] [--tiny]

One file holds the figures of one card: what is in it is not measured again.

1. the tests that need a GPU;
2. CIMNet on ResNet-101 (512×640) and on MiT-B4 (480×640), training step and inference: float32, bfloat16, channels
   last;
3. 300 real steps of kust4k_resnet101 on scenes in Kust4K's layout, with the loss of each;
4. the same networks compiled;
5. the published networks beside them.

Each figure is one JSON line: images a second, peak memory, and the share of the card's bfloat16 peak. That is
operations a second (two for each multiply-accumulate, three passes for a training step) by those of the data sheet, and
by those of a large matrix product here. A job that fails or does not fit into the time leaves a line that says so, and
is tried again next time. Images, labels and weights of the speeds are random, so that nothing is fetched.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
CLASSES = 9
PEAKS = {  # 10¹² operations a second, bfloat16, dense, float32 sums, by the makers' data sheets
    "H200": 989,
    "H100": 989,
    "A100": 312,
    "RTX 4090": 165,
    "L40S": 362,
    "L4": 121,
    "RTX 3090": 71,
}


class Size(NamedTuple):
    """What is measured: models with the height and width of their images, batches, rounds, steps of the real run."""

    models: dict[str, tuple[int, int]]
    zoo: tuple[str, ...]
    train_batch: int
    batches: tuple[int, ...]
    rounds: int
    steps: int
    scenes: int
    crop: tuple[int, int]


PAPER = Size(
    {"cimnet_resnet101": (512, 640), "cimnet_mit_b4": (480, 640)},
    (
        "cmx_mit_b4",
        "cmnext_mit_b4",
        "rtfnet_resnet152",
        "eaefnet_resnet152",
        "gmnet_resnet50",
        "feanet_resnet152",
        "cainet_mobilenet_v2",
        "sigma_tiny",
    ),
    4,
    (1, 8),
    10,
    300,
    60,
    (512, 640),
)
TINY = Size({"cimnet_resnet18": (64, 96), "cimnet_mit_b0": (64, 64)}, ("small_cmx_mit_b0",), 2, (1,), 1, 4, 8, (64, 64))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8, help="no job begins later, and none goes on")
    parser.add_argument("--out", type=Path, help="default: runs/gpu.jsonl, with --tiny runs/gpu_tiny.jsonl")
    parser.add_argument("--tiny", action="store_true", help="small networks and sizes, also on a CPU")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.out = options.out or Path("runs") / ("gpu_tiny.jsonl" if options.tiny else "gpu.jsonl")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.job:
        Job(options).run()
        return
    end = time.monotonic() + 60 * options.minutes
    for job in jobs(TINY if options.tiny else PAPER):
        left = end - time.monotonic()
        if left < 5:
            print(f"left for the next time: {job}", flush=True)
        elif (job, "end") not in done(options.out, options.tiny):
            run_job(job, options, left)
    for line in lines(options.out):
        print(json.dumps(line))


def jobs(size: Size) -> list[str]:
    """Names, in order of value."""
    return [
        "tests",
        *(f"speed {name}" for name in size.models),
        "real steps",
        *(f"compiled {name}" for name in size.models),
        *(f"speed {name}" for name in size.zoo),
    ]


def run_job(job: str, options: argparse.Namespace, seconds: float) -> None:
    """One job in a process of its own, which is ended when the time is over."""
    words = [sys.executable, __file__, "--job", job, "--out", str(options.out), *(["--tiny"] if options.tiny else [])]
    print(job, flush=True)
    try:
        ran = subprocess.run(words, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        write(options.out, {"job": job, "what": "cut off", "after_seconds": round(seconds)})
        return
    if ran.returncode:
        write(options.out, {"job": job, "what": "failed", "error": (ran.stderr.strip().splitlines() or [""])[-1][:300]})


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """All figures so far; a line that a kill cut in half is none."""
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            yield json.loads(text)
        except ValueError:
            continue


def done(path: Path, tiny: bool) -> set[tuple[str, str]]:
    """Jobs and what of them was measured, in this size: a trial on the CPU stands for nothing."""
    measured = (line for line in lines(path) if line["what"] not in ("failed", "cut off"))
    return {(line["job"], line["what"]) for line in measured if line.get("tiny") is tiny}


def write(path: Path, line: dict[str, Any]) -> None:
    """Add one line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


class Job:
    """One job, in its own process."""

    def __init__(self, options: argparse.Namespace) -> None:
        import torch

        self.name, self.out, self.tiny = options.job, options.out, options.tiny
        self.size = TINY if options.tiny else PAPER
        if not torch.cuda.is_available() and not options.tiny:
            sys.exit("no CUDA device here; give --tiny to try the script on the CPU")
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        card = torch.cuda.get_device_name() if self.device.type == "cuda" else "CPU"
        self.nominal = next((1e12 * peak for name, peak in PEAKS.items() if name in card), None)
        versions = {"device": card, "torch": torch.__version__, "date": time.strftime("%Y-%m-%d")}
        self.about = {"job": self.name, **versions, "tiny": self.tiny}
        self.done = done(self.out, self.tiny)

    def run(self) -> None:
        """Measure what is missing, then note that the job is at its end."""
        kind, _, model = self.name.partition(" ")
        if kind == "tests":
            self.tests()
        elif kind == "real":
            self.real_steps()
        else:
            self.speeds(model, compiled=kind == "compiled")
        self.note("end")

    def note(self, what: str, **figures: Any) -> None:
        """One line."""
        write(self.out, {**self.about, "what": what, **figures})

    def tests(self) -> None:
        """The tests that are marked gpu."""
        words = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "--no-header"]
        words += ["--collect-only", "tests/ops"] if self.tiny else []
        ran = subprocess.run(words, capture_output=True, text=True, cwd=HERE.parent)
        last = (ran.stdout.strip().splitlines() or [""])[-1]
        self.note("tests", passed=ran.returncode == 0, said=last)

    def speeds(self, name: str, compiled: bool) -> None:
        """Training step and inference of one network."""
        import torch

        from cimnet.models import create_model
        from cimnet.models.complexity import measure_budget

        height, width = self.size.models.get(name, next(iter(self.size.models.values())))
        torch.manual_seed(0)
        model = create_model(name, CLASSES)
        macs = measure_budget(model, (height, width)).macs_run
        peak = self.matrix_peak()
        modes = [("bfloat16", True)] if compiled else [("float32", False), ("bfloat16", False), ("bfloat16", True)]
        for precision, channels_last in modes:
            memory = torch.channels_last if channels_last else torch.contiguous_format
            placed = model.to(self.device).to(memory_format=memory)
            for training, batch in [(True, self.size.train_batch), *((False, b) for b in self.size.batches)]:
                kind = "training step" if training else "inference"
                what = f"{kind}, {precision}{', channels last' if channels_last else ''}, batch {batch}"
                if (self.name, what) in self.done:
                    continue
                step = self.stepper(placed, (height, width), batch, precision, training, compiled)
                self.measure(what, step, batch, macs * (3 if training else 1), peak, [height, width])

    def stepper(
        self,
        model: Any,
        size: tuple[int, int],
        batch: int,
        precision: str,
        training: bool,
        compiled: bool,
    ) -> Callable[[], None]:
        """A function that takes one training step, or gives one batch of masks."""
        import torch
        from torch import nn

        from cimnet.training.loss import SegmentationLoss
        from cimnet.training.optim import create_optimizer
        from cimnet.training.recipe_sections import TrainingConfig

        rgb, thermal = (torch.rand(batch, channels, *size, device=self.device) for channels in (3, 1))
        label = torch.randint(CLASSES, (batch, *size), device=self.device)
        model.train(training)
        call = torch.compile(model, backend="eager" if self.tiny else "inductor") if compiled else model
        cast = torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bfloat16")

        def infer() -> None:
            with torch.inference_mode(), cast:
                call(rgb, thermal).logits.argmax(1)

        if not training:
            return infer
        loss = SegmentationLoss().to(self.device)
        optimizer = create_optimizer(nn.ModuleList([model, loss]), TrainingConfig())

        def step() -> None:
            with cast:
                total = loss(call(rgb, thermal), label).total
            total.backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    def measure(self, what: str, step: Callable[[], None], batch: int, macs: int, peak: float, size: list[int]) -> None:
        """Time a step. One that does not fit into the memory leaves a line that says so."""
        import torch

        cuda = self.device.type == "cuda"
        try:
            for _ in range(1 if self.tiny else 3):
                step()
            if cuda:
                torch.cuda.reset_peak_memory_stats()
            times = [self.seconds(step) for _ in range(self.size.rounds)]
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            self.note(what, size=size, out_of_memory=True)
            return
        seconds = statistics.median(times)
        rate = 2 * macs * batch / seconds
        self.note(
            what,
            size=size,
            images_per_second=round(batch / seconds, 2),
            milliseconds=round(1000 * seconds, 2),
            spread=round((max(times) - min(times)) / seconds, 3),
            gmacs_an_image=round(macs / 1e9, 2),
            peak_memory_mib=round(torch.cuda.max_memory_allocated() / 2**20) if cuda else None,
            share_of_data_sheet=round(rate / self.nominal, 4) if self.nominal else None,
            share_of_matrix_product=round(rate / peak, 4),
        )

    def seconds(self, step: Callable[[], None]) -> float:
        """How long a step takes, with all that it starts on the device."""
        self.wait()
        started = time.perf_counter()
        step()
        self.wait()
        return time.perf_counter() - started

    def wait(self) -> None:
        """Until the device has done everything."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def matrix_peak(self) -> float:
        """Operations a second of a large bfloat16 matrix product here and now."""
        import torch

        side = 256 if self.tiny else 8192
        a, b = (torch.rand(side, side, device=self.device, dtype=torch.bfloat16) for _ in range(2))
        torch.mm(a, b)
        return 2 * side**3 / min(self.seconds(lambda: torch.mm(a, b)) for _ in range(5))

    def real_steps(self) -> None:
        """Steps of the paper's recipe on synthetic scenes in Kust4K's layout, with the loss of each."""
        from cimnet.data.synthetic import synthesize
        from cimnet.training import train
        from cimnet.training.recipe import load_recipe

        with tempfile.TemporaryDirectory() as folder:
            root, height, width = Path(folder), *self.size.crop
            counts = {"train": self.size.scenes, "val": 2, "test": 2}
            synthesize(root / "data", **counts, seed=1, size=(height, width), workers=1 if self.tiny else 8)
            each = self.size.scenes // 4
            epochs = -(-self.size.steps // each)
            overrides = [
                f"data.root={json.dumps(str(root / 'data'))}",
                "data.cache=ram",
                "data.allow_absent=true",
                "model.pretrained=false",
                f"augmentation.crop=[{height},{width}]",
                f"training.epochs={epochs}",
                f"training.evaluate_every={epochs}",
                f"training.milestones=[{max(1, epochs * 2 // 3)},{max(2, epochs * 11 // 12)}]",
                f"training.warmup_iterations={self.size.steps // 6}",
                f"training.mixed_precision={'no' if self.tiny else 'bf16'}",
                "training.save_every=0",
                "training.trackers=[]",
            ]
            if self.tiny:
                overrides += ["model.name=cimnet_resnet18", "data.workers=0"]
            rows: list[dict[str, float]] = []
            started = time.perf_counter()
            train(load_recipe("kust4k_resnet101", overrides), root / "run", report=rows.append)
            seconds = time.perf_counter() - started
        steps = [row for row in rows if "miou" not in row]
        self.note(
            "real steps",
            steps=len(steps),
            seconds=round(seconds, 1),
            loss=[round(row["loss"], 3) for row in steps],
            mutual_information=[round(row["mutual_information"], 4) for row in steps],
            weight=[round(row["lambda"], 4) for row in steps],
            miou_on_val=next((round(row["miou"], 4) for row in reversed(rows) if "miou" in row), None),
        )


if __name__ == "__main__":
    main()
