"""Optimiser and learning-rate schedule of the paper (V-A)."""

from __future__ import annotations

import torch
from timm.optim import param_groups_weight_decay
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from cimnet.training.recipe_sections import TrainingConfig


def create_optimizer(module: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW with weight decay on weight matrices only: norms, biases and scalars such as λ are left out.

    Layers that give offsets learn at ``offset_rate`` times the learning rate. A step of AdamW moves every weight by
    about the learning rate, and an offset is a sum over thousands of weights: at 0.002 it would move by pixels in each
    step.
    """
    slow: set[int] = set()
    if config.offset_rate != 1:
        slow = {id(parameter) for name, parameter in module.named_parameters() if gives_offsets(name)}
    groups = []
    for group in param_groups_weight_decay(module, config.weight_decay):
        for factor, chosen in ((1.0, False), (config.offset_rate, True)):
            members = [parameter for parameter in group["params"] if (id(parameter) in slow) == chosen]
            if members:
                groups.append({**group, "params": members, "lr": factor * config.learning_rate})
    fused = config.mixed_precision != "fp16"  # with a scaler, a fused step that overflowed would not be noticed
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=fused)


def gives_offsets(name: str) -> bool:
    """Whether a parameter belongs to a layer of offsets: one of its modules has a name that begins with ``offset``."""
    return any(part.startswith("offset") for part in name.split("."))


def learning_rate_factor(step: int, steps_per_epoch: int, config: TrainingConfig) -> float:
    """Factor of the learning rate at an optimiser step: linear warm-up, then the schedule.

    ``step``: times ``gamma`` after each of ``milestones`` (epochs). ``poly``: (1 − step/steps)^0.9. ``constant``: 1.
    """
    warmup = min(1.0, (step + 1) / (config.warmup_iterations + 1))
    if config.schedule == "poly":
        return warmup * max(0.0, 1 - step / (config.epochs * steps_per_epoch)) ** 0.9
    if config.schedule == "step":
        return warmup * config.gamma ** sum(step >= epoch * steps_per_epoch for epoch in config.milestones)
    return warmup


def create_schedule(optimizer: torch.optim.Optimizer, steps_per_epoch: int, config: TrainingConfig) -> LambdaLR:
    """:func:`learning_rate_factor` as a torch scheduler, to be stepped once per optimiser step."""
    return LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps_per_epoch, config))


def set_rates(schedule: LambdaLR) -> None:
    """Set the rates of the schedule's present step: a state that was loaded holds those of the schedule that it was
    saved with, which differ if that was for fewer epochs."""
    rates = [
        base * factor(schedule.last_epoch) for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
    ]
    for group, rate in zip(schedule.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    schedule._last_lr = rates
