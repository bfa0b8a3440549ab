"""The training loop: read it from top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, set_seed

from cimnet.checkpoint import save_checkpoint
from cimnet.config import Recipe
from cimnet.data import Batch, RGBTDataset
from cimnet.errors import CimnetError, ConfigError, DataError
from cimnet.evaluation.evaluate import Evaluation, evaluate
from cimnet.losses import Loss
from cimnet.models import RGBTModel
from cimnet.training.engine import Engine, Progress
from cimnet.training.run import RunFolder
from cimnet.training.setup import build_loss, build_model, open_splits

Report = Callable[[dict[str, float]], None]


def train(recipe: Recipe, out: Path, *, resume: bool = False, report: Report | None = None) -> Path:
    """Train by a recipe, keep the model that scores best on val.

    Args:
        recipe: see :class:`cimnet.config.Recipe`.
        out: run folder, new or empty unless ``resume``.
        resume: go on after the last whole epoch of the run in ``out``.
        report: called after each optimiser step with epoch, step, steps, loss, mutual_information, lambda, rate, and
            after each evaluation with ``miou`` too.

    Returns:
        Path of ``best.safetensors``.

    Raises:
        CimnetError: bad data or recipe, a folder that can't be used, or a loss that is no longer finite.
    """
    config = recipe.training
    accelerator = create_accelerator(recipe, out)
    train_set, val_set = open_splits(recipe, accelerator.num_processes)
    counts = train_set.check()
    val_set.thermal_dtype = train_set.thermal_dtype
    for dataset, labelled in ((train_set, counts.any()), (val_set, val_set.check().any())):
        if not labelled:
            raise DataError(f"{dataset.root}, split '{dataset.split}': every label pixel is 255 (ignore)")
    with accelerator.main_process_first():
        run = RunFolder(out, resume)
        state = run.load_state(recipe) if resume else None
    accelerator.wait_for_everyone()  # no process writes into the folder before all have looked at it

    set_seed(config.seed)
    model, info = build_model(recipe, train_set)
    engine = Engine(accelerator, recipe, model, build_loss(recipe, counts), train_set)
    progress = Progress() if state is None else engine.restore(state)
    if progress.epoch > config.epochs or (progress.epoch == config.epochs and not run.best.is_file()):
        raise ConfigError(
            f"--resume: training.epochs is {config.epochs}, but the run in {out} has {progress.epoch} already; raise it"
        )
    if accelerator.is_main_process:
        run.describe(recipe)
    accelerator.init_trackers("tensorboard")

    for epoch in range(progress.epoch, config.epochs):
        started = time.monotonic()
        # Each epoch has its own seed, so a resumed run repeats it exactly; processes shuffle alike and augment unlike.
        seed = (config.seed * 100_003 + epoch) % 2**32
        set_seed(seed, device_specific=True)
        engine.shuffle.manual_seed(seed)
        row = train_epoch(engine, progress, report)
        row |= {"epoch": epoch + 1, "seconds": round(time.monotonic() - started, 1)}
        if (epoch + 1) % config.evaluate_every == 0 or epoch + 1 == config.epochs:
            scores = evaluate_shared(accelerator, engine.scored, val_set, recipe.data.workers).scores
            row |= {"miou": scores.miou, "pixel_accuracy": scores.pixel_accuracy}
            if report is not None:
                report({**row, "step": progress.step, "steps": engine.steps})
            if scores.miou > progress.best:
                progress.best = scores.miou
                info.metrics.update(miou=scores.miou, pixel_accuracy=scores.pixel_accuracy, epoch=epoch + 1)
                if accelerator.is_main_process:
                    save_checkpoint(run.best, engine.scored, info)
        progress.epoch = epoch + 1
        progress.history.append(row)
        accelerator.log({f"epoch/{key}": value for key, value in row.items()}, step=progress.step)
        if accelerator.is_main_process:
            run.log(progress.history)
            run.save_state(engine.collect(progress))
    accelerator.end_training()
    return run.best


def create_accelerator(recipe: Recipe, out: Path) -> Accelerator:
    """Devices, precision and tracking of a run. Where there is no CUDA, it runs on the CPU.

    Raises:
        ConfigError: if this machine cannot compute in the precision asked for, or this process already uses another.
    """
    try:
        return Accelerator(
            cpu=not torch.cuda.is_available(),
            mixed_precision=recipe.training.mixed_precision,
            gradient_accumulation_steps=recipe.training.accumulate,
            log_with="tensorboard",
            project_dir=out,
        )
    except ValueError as error:
        raise ConfigError(f"training.mixed_precision '{recipe.training.mixed_precision}': {error}") from error


def train_epoch(engine: Engine, progress: Progress, report: Report | None) -> dict[str, float]:
    """One pass over the training split; returns the means of the loss's terms, the last λ and the last rate."""
    accelerator = engine.accelerator
    engine.module.train()
    sums = np.zeros(3)
    row: dict[str, float] = {}
    batch: Batch
    for number, batch in enumerate(engine.loader):
        with accelerator.accumulate(engine.module):
            loss: Loss = engine.module(batch, progress.step / engine.steps)
            engine.step(loss, number)
        values = torch.stack((loss.total.detach(), loss.cross_entropy, loss.mutual_information)).double().cpu().numpy()
        if not np.isfinite(values).all():
            raise CimnetError(
                f"the loss is no longer finite at step {progress.step} (pairs {', '.join(batch.ids)}); lower "
                "training.learning_rate or set training.clip_norm"
            )
        sums += values
        if not accelerator.sync_gradients:
            continue
        progress.step += 1
        engine.after_step(progress.step)
        row = {
            "loss": float(values[0]),
            "cross_entropy": float(values[1]),
            "mutual_information": float(values[2]),
            "lambda": float(loss.weight),
            "rate": engine.schedule.get_last_lr()[0],
        }
        accelerator.log({f"train/{key}": value for key, value in row.items()}, step=progress.step)
        if report is not None:
            report({**row, "epoch": progress.epoch + 1, "step": progress.step, "steps": engine.steps})
    means = sums / len(engine.loader)
    return row | dict(zip(("loss", "cross_entropy", "mutual_information"), means.tolist(), strict=True))


def evaluate_shared(accelerator: Accelerator, model: RGBTModel, dataset: RGBTDataset, workers: int = 0) -> Evaluation:
    """Evaluate with the images shared out between processes, each image exactly once.

    Batch statistics differ between the processes of a run: those of the first, which are saved, are given to all.
    """
    if accelerator.num_processes > 1:
        for buffer in model.buffers():
            broadcast(buffer)
    mine = list(range(accelerator.process_index, len(dataset), accelerator.num_processes))
    evaluation = evaluate(model.predict, dataset, device=accelerator.device, workers=workers, indices=mine)
    if accelerator.num_processes > 1:
        matrix = torch.from_numpy(evaluation.matrix).to(accelerator.device)
        evaluation.matrix = accelerator.reduce(matrix).cpu().numpy()
        evaluation.images = len(dataset)
    return evaluation
