"""The training loop: read it from top to bottom."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator, skip_first_batches
from accelerate.utils import broadcast, set_seed

from cimnet.checkpoint import ModelInfo, save_checkpoint
from cimnet.data import Batch, RGBTDataset
from cimnet.errors import ConfigError, DataError, Stopped
from cimnet.evaluation.evaluate import Evaluation, evaluate
from cimnet.models import RGBTModel
from cimnet.training.guards import LossGuard, explained
from cimnet.training.loss import Loss
from cimnet.training.order import seed_step
from cimnet.training.recipe import Recipe
from cimnet.training.run_folder import RunFolder
from cimnet.training.setup import build_loss, build_model, open_splits
from cimnet.training.trackers import require_trackers, start_trackers
from cimnet.training.trainer import Trainer, TrainerState
from cimnet.utils.signals import StopRequest

Report = Callable[[dict[str, float]], None]
TERMS = ("loss", "cross_entropy", "mutual_information")


def train(recipe: Recipe, out: Path, *, resume: bool = False, report: Report | None = None) -> Path:
    """Train by a recipe, keep the model that scores best on val.

    On SIGTERM or Ctrl-C the run saves its state after the step at hand and ends.

    Args:
        recipe: see :class:`cimnet.training.recipe.Recipe`.
        out: run folder, new or empty unless ``resume``.
        resume: go on with the run in ``out`` from its newest state; where there is none yet, begin.
        report: called after each optimiser step with epoch, step, steps, loss, mutual_information, lambda, rate, and
            after each evaluation with ``miou`` too.

    Returns:
        Path of ``best.safetensors``.

    Raises:
        CimnetError: bad data or recipe, a folder that can't be used, too little memory, or a loss out of bounds.
        Stopped: a signal ended the run; everything is saved.
    """
    require_trackers(recipe.training.trackers)
    accelerator = create_accelerator(recipe)
    train_set, val_set = open_splits(recipe, accelerator.num_processes)
    counts = train_set.check()
    val_set.thermal_dtype = train_set.thermal_dtype
    for dataset, labelled in ((train_set, counts.any()), (val_set, val_set.check().any())):
        if not labelled:
            raise DataError(f"{dataset.root}, split '{dataset.split}': every label pixel is 255 (ignore)")
    run = RunFolder(out)
    if accelerator.is_main_process:
        run.check(resume)
        run.lock()
    accelerator.wait_for_everyone()
    try:
        with StopRequest() as stop, deterministic(recipe.training.deterministic):
            state = run.load_state(recipe) if resume else None
            accelerator.wait_for_everyone()  # all have read what the first one may now change
            set_seed(recipe.training.seed)
            model, info = build_model(recipe, train_set)
            engine = Trainer(accelerator, recipe, model, build_loss(recipe, counts), train_set)
            progress = TrainerState() if state is None else engine.load_state_dict(state)
            _check_length(progress, recipe, run)
            if accelerator.is_main_process:
                run.describe(recipe, progress.step, accelerator.num_processes)
            start_trackers(accelerator, recipe, out, progress.step)
            session = TrainingLoop(recipe, run, engine, progress, stop, report)
            while progress.epoch < recipe.training.epochs:
                session.train_epoch()
                session.end_epoch(val_set, info)
    finally:
        accelerator.end_training()
        run.unlock()
    return run.best


class TrainingLoop:
    """One process's part of a run, from its start or resumption to its end."""

    def __init__(
        self,
        recipe: Recipe,
        run: RunFolder,
        engine: Trainer,
        progress: TrainerState,
        stop: StopRequest,
        report: Report | None,
    ) -> None:
        self.accelerator, self.recipe, self.run = engine.accelerator, recipe, run
        self.engine, self.progress, self.stop = engine, progress, stop
        self.report = report if report is not None else lambda row: None
        self.guard = LossGuard(self.accelerator, run.bad_batch, recipe.training.max_loss)

    def train_epoch(self) -> None:
        """The rest of one pass over the training split."""
        engine, progress, config = self.engine, self.progress, self.recipe.training
        engine.module.train()
        engine.shuffle.epoch = progress.epoch
        begun = time.monotonic() - progress.seconds
        first = progress.batch
        loader = skip_first_batches(engine.loader, first) if first else engine.loader
        with explained(self.recipe, engine.data):
            for number, batch in enumerate(loader, start=first):
                values = self.step(batch, number)
                progress.sums = [total + values[term] for total, term in zip(progress.sums, TERMS, strict=True)]
                progress.batch, progress.seconds = number + 1, time.monotonic() - begun
                if not self.accelerator.sync_gradients:
                    continue
                if values["stop"]:
                    self.save_and_stop()
                if config.save_every and progress.step % config.save_every == 0:
                    self.save()

    def step(self, batch: Batch, number: int) -> dict[str, float]:
        """Batch ``number`` of the epoch; with the last of a group also the optimiser's step, report and log."""
        engine, progress = self.engine, self.progress
        seed_step(self.recipe.training.seed, progress.epoch, number, self.accelerator.process_index)
        with self.accelerator.accumulate(engine.module):
            loss: Loss = engine.module(batch, progress.step / engine.steps)
            engine.backward(loss, number)
        whole_group = self.accelerator.sync_gradients
        norm = engine.gradient_norm() if whole_group else loss.total.new_zeros(())
        values = self.shared(loss, norm)
        self.guard.check(values, batch.ids, progress.step)
        if whole_group:
            progress.step += 1
            engine.update(progress.step)
            progress.row = {term: values[term] for term in TERMS} | {
                "lambda": float(loss.weight),
                "gradient_norm": values["gradient_norm"],
                "rate": engine.schedule.get_last_lr()[0],
            }
            self.accelerator.log({f"train/{key}": value for key, value in progress.row.items()}, step=progress.step)
            self.report({**progress.row, "epoch": progress.epoch + 1, "step": progress.step, "steps": engine.steps})
        return values

    def shared(self, loss: Loss, norm: torch.Tensor) -> dict[str, float]:
        """Loss terms over all processes, the gradient's norm, and whether any process was asked to stop."""
        stop = torch.full_like(loss.total, float(self.stop.signal is not None))
        terms = (loss.total.detach(), loss.cross_entropy, loss.mutual_information, norm.to(loss.total), stop)
        values = self.accelerator.reduce(torch.stack(terms), reduction="mean").double().cpu().tolist()
        return dict(zip((*TERMS, "gradient_norm", "stop"), values, strict=True))

    def end_epoch(self, val_set: RGBTDataset, info: ModelInfo) -> None:
        """Evaluate where it is due, keep the best, save."""
        progress, config = self.progress, self.recipe.training
        means = [total / len(self.engine.loader) for total in progress.sums]
        row = progress.row | dict(zip(TERMS, means, strict=True))
        row |= {"epoch": progress.epoch + 1, "seconds": round(progress.seconds, 1)}
        if (progress.epoch + 1) % config.evaluate_every == 0 or progress.epoch + 1 == config.epochs:
            if self.accelerator.num_processes > 1:
                self.save()  # they do not stop while they evaluate, and a scheduler may not wait that long
            model = self.engine.eval_model()
            scores = evaluate_shared(
                self.accelerator, model, val_set, self.recipe.data.workers, self.stop_evaluating
            ).scores
            row |= {"miou": scores.miou, "pixel_accuracy": scores.pixel_accuracy}
            self.report({**row, "step": progress.step, "steps": self.engine.steps})
            if scores.miou > progress.best:
                progress.best = scores.miou
                info.metrics.update(miou=scores.miou, pixel_accuracy=scores.pixel_accuracy, epoch=progress.epoch + 1)
                if self.accelerator.is_main_process:
                    save_checkpoint(self.run.best, model, info)
        progress.history.append(row)
        progress.begin_epoch()
        self.accelerator.log({f"epoch/{key}": value for key, value in row.items()}, step=progress.step)
        if self.accelerator.is_main_process:
            self.run.log(progress.history)
        self.save()

    def save(self) -> None:
        """Write the state; all processes take part, the first one writes."""
        state = self.engine.state_dict(self.progress)
        if self.accelerator.is_main_process:
            self.run.save_state(state)

    def save_and_stop(self) -> None:
        """End the run in good order."""
        self.save()
        name = self.stop.signal.name if self.stop.signal is not None else "a signal to another process"
        raise Stopped(
            f"stopped by {name} after step {self.progress.step} of {self.engine.steps}; everything is saved in "
            f"{self.run.path}: the same command with --resume goes on",
            self.stop.signal,
        )

    def stop_evaluating(self, done: int) -> None:
        """After an image of an evaluation: a run of one process may stop there; the epoch's steps are done."""
        if self.stop.signal is not None and self.accelerator.num_processes == 1:
            self.save_and_stop()


def create_accelerator(recipe: Recipe) -> Accelerator:
    """Devices and precision of a run. Where there is no CUDA, it runs on the CPU.

    Raises:
        ConfigError: if this machine cannot compute in the precision asked for, or this process already uses another.
    """
    try:
        return Accelerator(
            cpu=not torch.cuda.is_available(),
            mixed_precision=recipe.training.mixed_precision,
            gradient_accumulation_steps=recipe.training.accumulate,
        )
    except ValueError as error:
        raise ConfigError(f"training.mixed_precision '{recipe.training.mixed_precision}': {error}") from error


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Inside, torch uses deterministic kernels where it has them and warns where it has none."""
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)


def evaluate_shared(
    accelerator: Accelerator,
    model: RGBTModel,
    dataset: RGBTDataset,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Evaluate with the images shared out between processes, each image exactly once.

    Batch statistics differ between the processes of a run: those of the first, which are saved, are given to all.
    """
    if accelerator.num_processes > 1:
        for buffer in model.buffers():
            broadcast(buffer)
    mine = list(range(accelerator.process_index, len(dataset), accelerator.num_processes))
    evaluation = evaluate(
        model.predict, dataset, device=accelerator.device, workers=workers, indices=mine, progress=progress
    )
    if accelerator.num_processes > 1:
        matrix = torch.from_numpy(evaluation.matrix).to(accelerator.device)
        evaluation.matrix = accelerator.reduce(matrix).cpu().numpy()
        evaluation.images = len(dataset)
    return evaluation


def _check_length(progress: TrainerState, recipe: Recipe, run: RunFolder) -> None:
    epochs, done = recipe.training.epochs, progress.epoch
    if done > epochs or (done == epochs and not run.best.is_file()):
        raise ConfigError(
            f"--resume: training.epochs is {epochs}, but the run in {run.path} has {done} already; raise it"
        )
