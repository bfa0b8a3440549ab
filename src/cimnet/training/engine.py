"""What takes part in training: model, loss, data loader, optimiser, schedule, average; one step, and their state."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from timm.utils import ModelEmaV3
from torch import nn
from torch.utils.data import DataLoader

from cimnet.config import Recipe
from cimnet.data import Batch, RGBTDataset, collate
from cimnet.data.spoil import with_missing
from cimnet.errors import ConfigError
from cimnet.losses import Loss, SegmentationLoss
from cimnet.models import RGBTModel
from cimnet.training.optim import create_optimizer, create_schedule
from cimnet.training.run import State


class TrainStep(nn.Module):
    """Model and loss as one module, so that gradients of both are synchronised in distributed runs.

    In training, ``missing`` of a batch's pairs are there once more with one image missing.
    """

    def __init__(self, model: RGBTModel, loss: SegmentationLoss, missing: float = 0.0) -> None:
        super().__init__()
        self.model, self.loss, self.missing = model, loss, missing

    def forward(self, batch: Batch, progress: float) -> Loss:
        """A batch with labels and the share of training done to loss terms."""
        if self.training:
            batch = with_missing(batch, self.missing)
        return self.loss(self.model(batch.rgb, batch.thermal), batch.label, progress)


@dataclass
class Progress:
    """Where a run stands; all of it goes into ``last.pt``."""

    epoch: int = 0
    step: int = 0
    best: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)


class Engine:
    """One run's moving parts, prepared for its devices.

    Attributes:
        module: the :class:`TrainStep`, wrapped for distributed runs.
        loader: batches of the training split, reshuffled by the generator ``shuffle``.
        steps: optimiser steps of the whole run.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        recipe: Recipe,
        model: RGBTModel,
        loss: SegmentationLoss,
        train_set: RGBTDataset,
    ) -> None:
        self.accelerator, self.config, self.model = accelerator, recipe.training, model
        module: Any = TrainStep(model, loss, recipe.augmentation.modality_dropout).to(memory_format=torch.channels_last)
        self.shuffle = torch.Generator()
        loader: Any = DataLoader(
            train_set,
            batch_size=self.config.batch_size,
            shuffle=True,
            generator=self.shuffle,
            num_workers=recipe.data.workers,
            collate_fn=collate,
            drop_last=True,
        )
        optimizer = create_optimizer(module, self.config)
        self.module, self.optimizer, self.loader = accelerator.prepare(module, optimizer, loader)
        steps_per_epoch = math.ceil(len(self.loader) / self.config.accumulate)
        self.steps = self.config.epochs * steps_per_epoch
        self.schedule: Any = create_schedule(self.optimizer, steps_per_epoch, self.config)
        decay = self.config.ema_decay
        self.ema: Any = ModelEmaV3(model, decay=decay, use_warmup=True) if decay else None

    @property
    def scored(self) -> RGBTModel:
        """What is evaluated and saved: the average of the weights where there is one, else the model."""
        return self.model if self.ema is None else self.ema.module

    def step(self, loss: Loss, number: int) -> None:
        """Back-propagate batch ``number`` of an epoch; with the last of a group of ``accumulate``, update weights.

        accelerate divides by ``accumulate``; the last group of an epoch may be smaller.
        """
        accumulate, config = self.config.accumulate, self.config
        group = min(accumulate, len(self.loader) - number // accumulate * accumulate)
        self.accelerator.backward(loss.total * (accumulate / group))
        if config.clip_norm and self.accelerator.sync_gradients:
            self.accelerator.clip_grad_norm_(self.module.parameters(), config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def after_step(self, step: int) -> None:
        """Advance schedule and average, unless float16 gradients overflowed and the weights were left alone."""
        if self.accelerator.optimizer_step_was_skipped:
            return
        self.schedule.step()
        if self.ema is not None:
            self.ema.update(self.model, step=step)

    def collect(self, progress: Progress) -> State:
        """Everything that ``--resume`` needs."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {"progress": asdict(progress)}

    def restore(self, state: State) -> Progress:
        """Put a state of :meth:`collect` back.

        Raises:
            ConfigError: if it is not a state of this model.
        """
        try:
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            return Progress(**state["progress"])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"--resume: the recipe does not describe the run in last.pt: {reason}") from error

    def _parts(self) -> dict[str, Any]:
        parts = {
            "module": self.accelerator.unwrap_model(self.module),
            "ema": None if self.ema is None else self.ema.module,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.accelerator.scaler,
        }
        return {name: part for name, part in parts.items() if part is not None}
