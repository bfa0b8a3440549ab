"""Which weights decay, and the learning rate step by step."""

from __future__ import annotations

import pytest
import torch

from cimnet.models import create_model
from cimnet.training.loss import SegmentationLoss
from cimnet.training.optim import create_optimizer, create_schedule, learning_rate_factor
from cimnet.training.recipe_sections import TrainingConfig
from cimnet.training.trainer import TrainStep


def test_norms_biases_and_scalars_do_not_decay() -> None:
    model = create_model("cimnet_efficientnet_lite0", 3, widths=[16, 16, 20, 32], decoder_channels=16)
    module = TrainStep(model, SegmentationLoss())
    optimizer = create_optimizer(module, TrainingConfig(learning_rate=3e-4, weight_decay=0.07))
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    groups: dict[float, set[str]] = {}
    for group in optimizer.param_groups:
        members = {names[id(parameter)] for parameter in group["params"]}
        groups[group["weight_decay"]] = groups.get(group["weight_decay"], set()) | members
    assert set(groups) == {0.0, 0.07}
    assert len(groups[0.0]) + len(groups[0.07]) == len(names)
    assert all(parameter.ndim > 1 for name, parameter in module.named_parameters() if name in groups[0.07])
    assert not any(name.endswith("bias") for name in groups[0.07])
    scales = {name for name, parameter in module.named_parameters() if parameter.numel() == 1}
    assert "loss.mutual_information.value" in scales
    assert sum(name.startswith("model.scsfr") for name in scales) >= 8  # λ_s and λ_c of four stages
    assert scales <= groups[0.0]
    norms = {
        f"{name}.weight"
        for name, part in module.named_modules()
        if isinstance(part, torch.nn.BatchNorm2d | torch.nn.LayerNorm)
    }
    assert norms
    assert norms <= groups[0.0]


def test_the_papers_schedule() -> None:
    config = TrainingConfig()
    rate = [learning_rate_factor(step, 700, config) for step in range(12 * 700)]
    assert rate[0] == pytest.approx(1 / 501)
    assert rate[250] == pytest.approx(251 / 501)
    assert rate[500] == rate[8 * 700 - 1] == 1
    assert rate[8 * 700] == rate[11 * 700 - 1] == pytest.approx(0.1)
    assert rate[11 * 700] == rate[-1] == pytest.approx(0.01)


def test_warm_up_goes_on_under_a_milestone() -> None:
    config = TrainingConfig(warmup_iterations=9, milestones=(1,), gamma=0.5)
    assert learning_rate_factor(5, 5, config) == pytest.approx(0.5 * 6 / 10)


def test_poly_falls_to_zero_and_constant_stays() -> None:
    poly = TrainingConfig(schedule="poly", warmup_iterations=0, epochs=10)
    assert learning_rate_factor(0, 10, poly) == 1
    assert learning_rate_factor(50, 10, poly) == pytest.approx(0.5**0.9)
    assert learning_rate_factor(100, 10, poly) == learning_rate_factor(101, 10, poly) == 0
    constant = TrainingConfig(schedule="constant", warmup_iterations=0)
    assert {learning_rate_factor(step, 10, constant) for step in range(200)} == {1}


def test_the_scheduler_sets_every_group() -> None:
    module = torch.nn.Linear(2, 2)
    config = TrainingConfig(learning_rate=0.5, warmup_iterations=1, milestones=(1,), epochs=2)
    optimizer = create_optimizer(module, config)
    schedule = create_schedule(optimizer, 3, config)
    rates = []
    for _ in range(5):
        rates.append({group["lr"] for group in optimizer.param_groups})
        optimizer.step()
        schedule.step()
    assert [pytest.approx(sorted(rate)) for rate in rates] == [[0.25], [0.5], [0.5], [0.05], [0.05]]


def test_layers_of_offsets_learn_slower() -> None:
    """``offset_rate`` times the rate for those that give offsets, the whole rate for all others, decaying as before."""
    model = create_model("cimnet_efficientnet_lite0", 3, widths=[16, 16, 20, 32], decoder_channels=16)
    module = TrainStep(model, SegmentationLoss())
    optimizer = create_optimizer(module, TrainingConfig(learning_rate=4e-3, offset_rate=0.25))
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates.keys() == set(names.values())
    slow = {name for name, rate in rates.items() if rate == pytest.approx(1e-3)}
    assert {rate for name, rate in rates.items() if name not in slow} == {4e-3}
    expected = {f"model.cipa.offset.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")}
    expected |= {f"model.scsfr.{n}.spatial.offset_conv.{kind}" for n in range(4) for kind in ("weight", "bias")}
    assert slow == expected
    decays = {names[id(p)]: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert all((decays[name] == 0) == (name.endswith("bias")) for name in slow)
    schedule = create_schedule(optimizer, 10, TrainingConfig(warmup_iterations=1))
    assert schedule.get_last_lr() == pytest.approx([group["lr"] for group in optimizer.param_groups])
    assert min(schedule.get_last_lr()) == pytest.approx(max(schedule.get_last_lr()) / 4)


def test_at_the_whole_rate_groups_are_those_of_older_runs() -> None:
    """``last.pt`` of a run before ``offset_rate`` holds two groups."""
    module = TrainStep(create_model("cimnet_efficientnet_lite0", 3), SegmentationLoss())
    assert TrainingConfig().offset_rate == 1
    assert len(create_optimizer(module, TrainingConfig()).param_groups) == 2
