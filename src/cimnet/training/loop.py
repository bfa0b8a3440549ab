"""The training loop, to be read from top to bottom: a run, an epoch, a step, the end of an epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import skip_first_batches
from accelerate.utils import set_seed

from cimnet.checkpoint import ModelInfo, save_checkpoint
from cimnet.data import Batch, RGBTDataset
from cimnet.data.class_pixels import check_splits
from cimnet.errors import ConfigError, Stopped
from cimnet.models.complexity import describe_trained
from cimnet.training.data_record import check_record, make_run_id, record_of, write_record
from cimnet.training.evaluate_distributed import evaluate_distributed
from cimnet.training.guards import LossGuard, explain_failures
from cimnet.training.loss import Loss
from cimnet.training.order import seed_step
from cimnet.training.recipe import Recipe
from cimnet.training.resume import check_resumed
from cimnet.training.run_folder import RunFolder, lasting
from cimnet.training.setup import build_loss, build_model, create_accelerator, deterministic, open_splits
from cimnet.training.trackers import require_trackers, start_trackers
from cimnet.training.trainer import Trainer, TrainerState
from cimnet.utils.signals import StopRequest

Report = Callable[[dict[str, float]], None]
Note = Callable[[str], None]
TERMS = ("loss", "cross_entropy", "mutual_information")


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    changed_data: bool = False,
    report: Report | None = None,
    note: Note | None = None,
) -> Path:
    """Train a model by a recipe and keep the weights that score best on the validation split.

    On SIGTERM or Ctrl-C, the run saves its state after the current step and ends.

    Args:
        recipe: from :func:`cimnet.load_recipe`.
        out: run folder for checkpoints, curves and the report; new or empty unless ``resume``.
        resume: whether to continue the run in ``out`` from its newest state; without a state it starts.
        changed_data: whether to resume although pairs were added, removed or changed since the run started. Needs
            ``resume``.
        report: called after each optimiser step with a dictionary: epoch, step, steps (of the whole run), loss,
            cross_entropy, mutual_information (nats), lambda, gradient_norm and rate (the learning rate); after each
            evaluation also miou (0..1).
        note: called before the first step with sentences that a user should know: classes without a pixel, the share of
            ignored pixels, what was taken from ``model.weights``, and how many parameters are trained.

    Returns:
        Path of ``best.safetensors``, which :func:`cimnet.load` opens.

    Raises:
        CimnetError: data or recipe cannot be used, the folder is not empty or belongs to another run, memory is short,
            or the loss left its bounds.
        Stopped: a signal ended the run; everything is saved, and ``resume`` continues it.
    """
    if changed_data and not resume:
        raise ConfigError("--changed-data: is for a run that is resumed; add --resume, or leave it out")
    require_trackers(recipe.training.trackers)
    accelerator = create_accelerator(recipe)
    tell: Note = note if note is not None and accelerator.is_main_process else lambda sentence: None
    train_set, val_set = open_splits(recipe, accelerator.num_processes)
    pixel_counts, sentence = check_splits(train_set, val_set, recipe.data.allow_absent)
    if sentence:
        tell(sentence)
    run = RunFolder(out)
    if accelerator.is_main_process:
        run.check(resume)
        run.lock()
    accelerator.wait_for_everyone()
    try:
        with StopRequest() as stop, deterministic(recipe.training.deterministic):
            saved = run.load_state(recipe) if resume else None
            data = record_of(train_set, val_set)
            changes = None if saved is None else check_record(run.path, data, changed_data)
            accelerator.wait_for_everyone()  # every process has read what the first one may now change
            set_seed(recipe.training.seed)
            model, info, fit = build_model(recipe, train_set, resumed=saved is not None)
            if fit is not None:
                tell(fit.sentence())
            tell(describe_trained(model))
            trainer = Trainer(accelerator, recipe, model, build_loss(recipe, pixel_counts), train_set)
            state = TrainerState() if saved is None else trainer.load_state_dict(saved)
            if changes:
                state.restart_epoch()  # other data make other batches
            check_resumed(state, recipe, run)
            run.id = run.id or make_run_id(lasting(recipe) | ({} if fit is None else {"weights": fit.sha256}), data)
            if accelerator.is_main_process:
                run.describe(recipe, state.step, accelerator.num_processes, changes)
                if fit is not None:
                    run.describe_weights(fit)
                if state.epoch < recipe.training.epochs:
                    write_record(run.path, data, run.id)
            start_trackers(accelerator, recipe, out, state.step)
            loop = TrainingLoop(recipe, run, trainer, state, stop, report)
            while state.epoch < recipe.training.epochs:
                loop.train_epoch()
                loop.end_epoch(val_set, info)
    finally:
        accelerator.end_training()
        run.unlock()
    return run.best


class TrainingLoop:
    """The part of a run that one process does, from its start or resumption to its end."""

    def __init__(
        self,
        recipe: Recipe,
        run: RunFolder,
        trainer: Trainer,
        state: TrainerState,
        stop: StopRequest,
        report: Report | None,
    ) -> None:
        self.accelerator, self.recipe, self.run = trainer.accelerator, recipe, run
        self.trainer, self.state, self.stop = trainer, state, stop
        self.report = report if report is not None else lambda row: None
        self.guard = LossGuard(self.accelerator, run.bad_batch, recipe.training.max_loss)

    def train_epoch(self) -> None:
        """Train on the rest of an epoch: on all of it, or after a resumption on the batches that are left."""
        trainer, state, config = self.trainer, self.state, self.recipe.training
        trainer.module.train()
        trainer.shuffle.epoch = state.epoch
        begun = time.monotonic() - state.seconds
        first = state.batch
        loader = skip_first_batches(trainer.loader, first) if first else trainer.loader
        with explain_failures(self.recipe, trainer.data):
            for number, batch in enumerate(loader, start=first):
                values = self.step(batch, number)
                state.sums = [total + values[term] for total, term in zip(state.sums, TERMS, strict=True)]
                state.batch, state.seconds = number + 1, time.monotonic() - begun
                if not self.accelerator.sync_gradients:
                    continue
                if values["stop"]:
                    self.save_and_stop()
                if config.save_every and state.step % config.save_every == 0:
                    self.save()

    def step(self, batch: Batch, number: int) -> dict[str, float]:
        """Train on batch ``number`` of the epoch; after the last batch of a group, make and report an optimiser step.

        Returns:
            What :meth:`reduce` gives.
        """
        trainer, state = self.trainer, self.state
        seed_step(self.recipe.training.seed, state.epoch, number, self.accelerator.process_index)
        with self.accelerator.accumulate(trainer.module):
            loss: Loss = trainer.module(batch, state.step / trainer.steps)
            trainer.backward(loss, number)
        group_done = self.accelerator.sync_gradients
        norm = trainer.gradient_norm() if group_done else loss.total.new_zeros(())
        values = self.reduce(loss, norm)
        self.guard.check(values, batch.ids, state.step)
        if group_done:
            state.step += 1
            trainer.update(state.step)
            state.row = {term: values[term] for term in TERMS} | {
                "lambda": float(loss.weight),
                "gradient_norm": values["gradient_norm"],
                "rate": trainer.schedule.get_last_lr()[0],
            }
            self.accelerator.log({f"train/{key}": value for key, value in state.row.items()}, step=state.step)
            self.report({**state.row, "epoch": state.epoch + 1, "step": state.step, "steps": trainer.steps})
        return values

    def reduce(self, loss: Loss, norm: torch.Tensor) -> dict[str, float]:
        """Means over all processes: loss terms, gradient norm, and ``stop``, above 0 if a process was asked to stop."""
        stop = torch.full_like(loss.total, float(self.stop.signal is not None))
        terms = (loss.total.detach(), loss.cross_entropy, loss.mutual_information, norm.to(loss.total), stop)
        values = self.accelerator.reduce(torch.stack(terms), reduction="mean").double().cpu().tolist()
        return dict(zip((*TERMS, "gradient_norm", "stop"), values, strict=True))

    def end_epoch(self, val_set: RGBTDataset, info: ModelInfo) -> None:
        """Evaluate if it is due, keep the best model, log the epoch, save the state."""
        state, config = self.state, self.recipe.training
        means = [total / len(self.trainer.loader) for total in state.sums]
        row = state.row | dict(zip(TERMS, means, strict=True))
        row |= {"epoch": state.epoch + 1, "seconds": round(state.seconds, 1)}
        if (state.epoch + 1) % config.evaluate_every == 0 or state.epoch + 1 == config.epochs:
            if self.accelerator.num_processes > 1:
                self.save()  # several processes do not stop while they evaluate, and a scheduler may not wait that long
            model = self.trainer.eval_model()
            scores = evaluate_distributed(
                self.accelerator, model, val_set, self.recipe.data.workers, self.stop_evaluating
            ).scores
            row |= {"miou": scores.miou, "pixel_accuracy": scores.pixel_accuracy}
            self.report({**row, "step": state.step, "steps": self.trainer.steps})
            if scores.miou > state.best:
                state.best = scores.miou
                info.metrics.update(miou=scores.miou, pixel_accuracy=scores.pixel_accuracy, epoch=state.epoch + 1)
                if self.accelerator.is_main_process:
                    save_checkpoint(self.run.best, model, info)
        state.history.append(row)
        state.begin_epoch()
        self.accelerator.log({f"epoch/{key}": value for key, value in row.items()}, step=state.step)
        if self.accelerator.is_main_process:
            self.run.log(state.history)
        self.save()

    def save(self) -> None:
        """Save the state. All processes take part; the first one writes."""
        content = self.trainer.state_dict(self.state)
        if self.accelerator.is_main_process:
            self.run.save_state(content)

    def save_and_stop(self) -> None:
        """Save the state and end the run.

        Raises:
            Stopped: always.
        """
        self.save()
        name = self.stop.signal.name if self.stop.signal is not None else "a signal to another process"
        raise Stopped(
            f"stopped by {name} after step {self.state.step} of {self.trainer.steps}; everything is saved in "
            f"{self.run.path}; run the same command with --resume to resume",
            self.stop.signal,
        )

    def stop_evaluating(self, done: int) -> None:
        """Stop after an image of an evaluation if asked to, in a run of one process; the epoch's steps are done."""
        if self.stop.signal is not None and self.accelerator.num_processes == 1:
            self.save_and_stop()
