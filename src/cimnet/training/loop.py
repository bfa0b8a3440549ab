"""The training loop: read it from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cimnet.checkpoint import save_checkpoint
from cimnet.config import Recipe
from cimnet.data import Batch, RGBTDataset, collate
from cimnet.errors import CimnetError, ConfigError, DataError
from cimnet.evaluation.evaluate import Evaluation, evaluate
from cimnet.losses import Loss, SegmentationLoss
from cimnet.models import RGBTModel
from cimnet.training.optim import create_optimizer, create_schedule
from cimnet.training.run import RunFolder, State
from cimnet.training.setup import build_loss, build_model, open_splits

Report = Callable[[dict[str, float]], None]


class TrainStep(nn.Module):
    """Model and loss as one module, so that gradients of both are synchronised in distributed runs."""

    def __init__(self, model: RGBTModel, loss: SegmentationLoss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, rgb: Tensor, thermal: Tensor, label: Tensor) -> Loss:
        return self.loss(self.model(rgb, thermal), label)


@dataclass
class Progress:
    """Where a run stands; all of it goes into ``last.pt``."""

    epoch: int
    step: int
    best: float
    history: list[dict[str, float]]


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
    train_set, val_set = open_splits(recipe)
    counts, val_counts = train_set.check_labels(), val_set.check_labels()
    for dataset, labelled in ((train_set, counts.any()), (val_set, val_counts.any())):
        if not labelled:
            raise DataError(f"{dataset.root}, split '{dataset.split}': every label pixel is 255 (ignore)")
    run = RunFolder(out, resume)
    accelerator.wait_for_everyone()  # no process writes into the folder before all have looked at it
    state = run.load_state() if resume else None

    set_seed(config.seed)
    model, info = build_model(recipe, train_set)
    module: Any = TrainStep(model, build_loss(recipe, counts)).to(memory_format=torch.channels_last)
    optimizer = create_optimizer(module, config)
    shuffle = torch.Generator()
    loader: Any = DataLoader(
        train_set,
        batch_size=config.batch_size,
        shuffle=True,
        generator=shuffle,
        num_workers=recipe.data.workers,
        collate_fn=collate,
        drop_last=True,
        persistent_workers=False,
    )
    module, optimizer, loader = accelerator.prepare(module, optimizer, loader)
    steps_per_epoch = math.ceil(len(loader) / config.accumulate)
    schedule = create_schedule(optimizer, steps_per_epoch, config)
    ema = ModelEmaV3(model, decay=config.ema_decay, use_warmup=True) if config.ema_decay else None
    progress = Progress(epoch=0, step=0, best=-1.0, history=[])
    if state is not None:
        progress = restore(state, accelerator.unwrap_model(module), ema, optimizer, schedule)
    if accelerator.is_main_process and not resume:
        run.describe(recipe)
    accelerator.init_trackers("tensorboard")

    for epoch in range(progress.epoch, config.epochs):
        started = time.monotonic()
        set_seed(config.seed * 100_003 + epoch)  # each epoch has its own seed, so a resumed run repeats it exactly
        shuffle.manual_seed(config.seed * 100_003 + epoch)
        row = train_epoch(accelerator, module, loader, optimizer, schedule, ema, progress, recipe, report)
        row |= {"epoch": epoch + 1, "seconds": round(time.monotonic() - started, 1)}
        if (epoch + 1) % config.evaluate_every == 0 or epoch + 1 == config.epochs:
            scored = ema.module if ema is not None else model
            evaluation = evaluate_shared(accelerator, scored, val_set)
            total = evaluation.scores
            row |= {"miou": total.miou, "pixel_accuracy": total.pixel_accuracy}
            if report is not None:
                report({**row, "step": progress.step, "steps": config.epochs * steps_per_epoch})
            if total.miou > progress.best:
                progress.best = total.miou
                info.metrics.update(miou=total.miou, pixel_accuracy=total.pixel_accuracy, epoch=epoch + 1)
                if accelerator.is_main_process:
                    save_checkpoint(run.best, scored, info)
        progress.epoch = epoch + 1
        progress.history.append(row)
        accelerator.log({f"epoch/{key}": value for key, value in row.items()}, step=progress.step)
        if accelerator.is_main_process:
            run.log(progress.history)
            run.save_state(collect(accelerator.unwrap_model(module), ema, optimizer, schedule, progress))
    accelerator.end_training()
    return run.best


def create_accelerator(recipe: Recipe, out: Path) -> Accelerator:
    """Devices, precision and tracking of a run.

    Raises:
        ConfigError: if this machine cannot compute in the precision asked for, or this process already uses another.
    """
    try:
        return Accelerator(
            mixed_precision=recipe.training.mixed_precision,
            gradient_accumulation_steps=recipe.training.accumulate,
            log_with="tensorboard",
            project_dir=out,
        )
    except ValueError as error:
        raise ConfigError(f"training.mixed_precision '{recipe.training.mixed_precision}': {error}") from error


def train_epoch(
    accelerator: Accelerator,
    module: Any,
    loader: Any,
    optimizer: Any,
    schedule: Any,
    ema: ModelEmaV3 | None,
    progress: Progress,
    recipe: Recipe,
    report: Report | None,
) -> dict[str, float]:
    """One pass over the training split; returns the means of the loss's terms, the last λ and the last rate."""
    config = recipe.training
    module.train()
    sums, batches = np.zeros(3), 0
    steps = config.epochs * math.ceil(len(loader) / config.accumulate)
    row: dict[str, float] = {}
    batch: Batch
    for batch in loader:
        with accelerator.accumulate(module):
            loss: Loss = module(batch.rgb, batch.thermal, batch.label)
            accelerator.backward(loss.total)
            if config.clip_norm and accelerator.sync_gradients:
                accelerator.clip_grad_norm_(module.parameters(), config.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
        values = torch.stack((loss.total.detach(), loss.cross_entropy, loss.mutual_information)).float().cpu().numpy()
        if not np.isfinite(values).all():
            raise CimnetError(
                f"the loss is no longer finite at step {progress.step} (pairs {', '.join(batch.ids)}); lower "
                "training.learning_rate or set training.clip_norm"
            )
        sums, batches = sums + values, batches + 1
        if not accelerator.sync_gradients:
            continue
        schedule.step()
        progress.step += 1
        if ema is not None:
            ema.update(accelerator.unwrap_model(module).model, step=progress.step)
        row = {
            "loss": float(values[0]),
            "cross_entropy": float(values[1]),
            "mutual_information": float(values[2]),
            "lambda": float(loss.weight),
            "rate": schedule.get_last_lr()[0],
        }
        accelerator.log({f"train/{key}": value for key, value in row.items()}, step=progress.step)
        if report is not None:
            report({**row, "epoch": progress.epoch + 1, "step": progress.step, "steps": steps})
    means = sums / max(batches, 1)
    return row | {"loss": float(means[0]), "cross_entropy": float(means[1]), "mutual_information": float(means[2])}


def evaluate_shared(accelerator: Accelerator, model: RGBTModel, dataset: RGBTDataset) -> Evaluation:
    """Evaluate with the images shared out between processes, each image exactly once."""
    mine = list(range(accelerator.process_index, len(dataset), accelerator.num_processes))
    evaluation = evaluate(model.predict, dataset, device=accelerator.device, indices=mine)
    if accelerator.num_processes > 1:
        matrix = torch.from_numpy(evaluation.matrix).to(accelerator.device)
        evaluation.matrix = accelerator.reduce(matrix).cpu().numpy()
        evaluation.images = len(dataset)
    return evaluation


def collect(module: Any, ema: ModelEmaV3 | None, optimizer: Any, schedule: Any, progress: Progress) -> State:
    """Everything that ``--resume`` needs."""
    return {
        "module": module.state_dict(),
        "ema": None if ema is None else ema.module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "progress": vars(progress),
    }


def restore(state: State, module: Any, ema: ModelEmaV3 | None, optimizer: Any, schedule: Any) -> Progress:
    """Put a state of :func:`collect` back.

    Raises:
        ConfigError: if the recipe's model is not the one that was trained.
    """
    try:
        module.load_state_dict(state["module"])
        if ema is not None:
            ema.module.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        return Progress(**state["progress"])
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"--resume: the recipe does not describe the run in last.pt: {reason}") from error
