"""The parts of the loop in loop.py: model, loss, data loader, optimiser, schedule, weight average, and their state."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from timm.layers import convert_sync_batchnorm
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cimnet.data import Batch, RGBTDataset, collate
from cimnet.data.degrade import with_missing
from cimnet.errors import ConfigError, one_line
from cimnet.models import RGBTModel
from cimnet.training.loss import Loss, SegmentationLoss
from cimnet.training.optim import create_optimizer, create_schedule, set_rates
from cimnet.training.order import SeededDataset, Shuffle
from cimnet.training.recipe import Recipe
from cimnet.training.sharding import gather_state, gather_weights, load_gathered_state, shard
from cimnet.training.states import State
from cimnet.utils.signals import leave_signals_to_parent


class TrainStep(nn.Module):
    """Model and loss as one module, so that gradients of both are synchronised in distributed runs.

    In training, the share ``missing`` of a batch's pairs is there once more, with one image missing.
    """

    def __init__(self, model: RGBTModel, loss: SegmentationLoss, missing: float = 0.0) -> None:
        super().__init__()
        self.model, self.loss, self.missing = model, loss, missing

    def forward(self, batch: Batch, progress: float) -> Loss:
        """Compute the terms of the loss from a batch with labels and the share of training done (0..1)."""
        if self.training:
            batch = with_missing(batch, self.missing)
        return self.loss(self.model(batch.rgb, batch.thermal), batch.label, progress)


@dataclass
class TrainerState:
    """The progress of a run; all of it is stored in ``last.pt``.

    Attributes:
        epoch, batch: finished epochs, and finished batches of the current epoch.
        step: finished optimiser steps.
        best: the best score on val.
        history: a row for each finished epoch.
        sums, row, seconds: of the current epoch: sums of the loss terms, the last report, seconds spent.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    row: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def begin_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch, self.batch, self.sums, self.row, self.seconds = self.epoch + 1, 0, [0.0, 0.0, 0.0], {}, 0.0

    def restart_epoch(self) -> None:
        """The epoch at hand, from its first batch."""
        self.epoch -= 1
        self.begin_epoch()


class Trainer:
    """Everything that a run changes, prepared for its devices.

    Attributes:
        module: the :class:`TrainStep`, wrapped for distributed runs.
        loader: batches of the training split in the order of ``shuffle``.
        steps: optimiser steps of the whole run.

    Raises:
        ConfigError: the recipe asks for what this machine or run cannot do.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        recipe: Recipe,
        model: RGBTModel,
        loss: SegmentationLoss,
        train_set: RGBTDataset,
    ) -> None:
        self.accelerator, self.config = accelerator, recipe.training
        self.sharded = self.config.sharding == "fsdp"
        self._check()
        if self.config.batch_norm == "synchronised" and accelerator.num_processes > 1:
            model = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # untyped in timm
        model.checkpointing = self.config.gradient_checkpointing
        self.model = model
        module: Any = TrainStep(model, loss, recipe.augmentation.modality_dropout)
        module = module.to(accelerator.device)
        self._gathered = deepcopy(model).eval() if self.sharded else None
        if self.sharded:
            shard(module)
        elif self.config.channels_last:
            module = module.to(memory_format=torch.channels_last)
        self.data = SeededDataset(train_set, recipe.data.workers)
        self.shuffle = Shuffle(len(train_set), self.config.seed)
        loader: Any = DataLoader(
            self.data,
            batch_size=self.config.batch_size,
            sampler=self.shuffle,
            num_workers=recipe.data.workers,
            collate_fn=collate,
            worker_init_fn=leave_signals_to_parent,
            drop_last=True,
        )
        optimizer = create_optimizer(module, self.config)
        # evaluation_mode: no wrapping for distributed training; sharding brings its own
        self.module = accelerator.prepare_model(module, evaluation_mode=self.sharded)
        self.optimizer, self.loader = accelerator.prepare(optimizer, loader)
        steps_per_epoch = math.ceil(len(self.loader) / self.config.accumulate)
        self.steps = self.config.epochs * steps_per_epoch
        self.schedule: Any = create_schedule(self.optimizer, steps_per_epoch, self.config)
        decay = self.config.ema_decay
        self.ema: Any = ModelEmaV3(model, decay=decay, use_warmup=True) if decay else None

    def _check(self) -> None:
        config, cpu = self.config, self.accelerator.device.type == "cpu"
        if config.batch_norm == "synchronised" and cpu and self.accelerator.num_processes > 1:
            raise ConfigError("training.batch_norm: synchronised needs CUDA; on CPUs leave it at batch")
        if self.sharded and config.ema_decay:
            raise ConfigError("training.sharding: fsdp keeps no average of the weights; set training.ema_decay=0")
        if self.sharded and config.mixed_precision == "fp16":
            raise ConfigError("training.sharding: fsdp with fp16 is not supported; set training.mixed_precision=bf16")

    def eval_model(self) -> RGBTModel:
        """The model to evaluate and save: the weight average if there is one, else the model itself.

        Sharded weights are gathered in every process, so every process must call this.
        """
        if self._gathered is not None:
            weights = gather_weights(self.module)
            self._gathered.load_state_dict(
                {k.removeprefix("model."): v for k, v in weights.items() if k.startswith("model.")}
            )
            return self._gathered
        return self.model if self.ema is None else self.ema.module

    def backward(self, loss: Loss, number: int) -> None:
        """Back-propagate the loss of batch ``number`` of an epoch.

        accelerate divides by ``accumulate``, and the last group of an epoch may hold fewer batches.
        """
        accumulate = self.config.accumulate
        group = min(accumulate, len(self.loader) - number // accumulate * accumulate)
        self.accelerator.backward(loss.total * (accumulate / group))

    def gradient_norm(self) -> Tensor:
        """Norm of the gradient before it is clipped to ``clip_norm``, if that is set. Call it after the last batch of a
        group."""
        parameters = [p for p in self.module.parameters() if p.grad is not None]
        self.accelerator.unscale_gradients()
        if self.config.clip_norm:
            norm = nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
        else:
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        whole: Tensor = norm.full_tensor() if self.sharded else norm  # type: ignore[attr-defined]  # a DTensor then
        return whole

    def update(self, step: int) -> None:
        """Update weights, learning rate and weight average. If float16 gradients overflowed, nothing changes."""
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.accelerator.optimizer_step_was_skipped:
            return
        self.schedule.step()
        if self.ema is not None:
            self.ema.update(self.model, step=step)

    def state_dict(self, progress: TrainerState) -> State:
        """Everything that ``--resume`` needs. Every process must call this."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        state |= {"progress": asdict(progress), "processes": self.accelerator.num_processes}
        return state | gather_state(self.module, self.optimizer.optimizer) if self.sharded else state

    def load_state_dict(self, state: State) -> TrainerState:
        """Load what :meth:`state_dict` gave.

        Raises:
            ConfigError: it is not a state of this model, or it was saved within an epoch of more or fewer processes.
        """
        processes = self.accelerator.num_processes
        if state["progress"].get("batch") and state.get("processes") != processes:
            raise ConfigError(
                "--resume: the newest state is from within an epoch; its number of processes was "
                f"{state.get('processes')} and is {processes} now; start the same number"
            )
        try:
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            if self.sharded:
                load_gathered_state(self.module, self.optimizer.optimizer, state, self.model.former_names)
            set_rates(self.schedule)
            return TrainerState(**state["progress"])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = one_line(error)
            raise ConfigError(f"--resume: the recipe does not describe the run in last.pt: {reason}") from error

    def _parts(self) -> dict[str, Any]:
        parts = {
            "module": None if self.sharded else self.accelerator.unwrap_model(self.module),
            "ema": None if self.ema is None else self.ema.module,
            "optimizer": None if self.sharded else self.optimizer,
            "schedule": self.schedule,
            "scaler": self.accelerator.scaler,
        }
        return {name: part for name, part in parts.items() if part is not None}
