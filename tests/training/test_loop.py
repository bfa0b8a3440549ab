"""The loop: which model is kept, averages, accumulation, resume, what stops a run."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from accelerate.state import AcceleratorState
from torch import Tensor

from cimnet.checkpoint import load_checkpoint
from cimnet.data import Batch, collate, thermal_statistics
from cimnet.data.degrade import Degrade
from cimnet.errors import CheckpointError, CimnetError, ConfigError, DataError
from cimnet.evaluation import Evaluation
from cimnet.training import loop, train
from cimnet.training.loss import Loss
from cimnet.training.optim import learning_rate_factor
from cimnet.training.recipe import Recipe, load_recipe
from cimnet.training.setup import build_loss, build_model, open_splits
from cimnet.training.trainer import Trainer, TrainStep
from tests.conftest import Trained, pixel_recipe
from tests.training.same import same

State = dict[str, Any]


def _state(folder: Path) -> State:
    state: State = torch.load(folder / "last.pt", weights_only=True)
    return state


def _without_times(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


class _Stop(Exception):
    pass


def test_a_resumed_run_is_the_uninterrupted_run_to_the_last_bit(trained: Trained, tmp_path: Path) -> None:
    """Crops, dropout, shuffling, batch statistics, average, λ and its barrier, learning rate: all are restored."""

    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise _Stop

    with pytest.raises(_Stop):
        train(trained.recipe, tmp_path, report=stop)
    assert _state(tmp_path)["progress"]["epoch"] == 1
    rows: list[dict[str, float]] = []
    best = train(trained.recipe, tmp_path, resume=True, report=rows.append)

    assert rows[0]["step"] == 3
    whole, resumed = _state(trained.folder), _state(tmp_path)
    histories = [_without_times(state["progress"].pop("history")) for state in (whole, resumed)]
    assert histories[0] == histories[1]
    assert len(histories[0]) == 3
    for part in ("module", "ema", "optimizer", "schedule", "progress"):
        assert same(whole[part], resumed[part]), part
    assert same(*(safetensors.torch.load_file(path) for path in (trained.best, best)))


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(root: Path, tmp_path: Path, pixel: None) -> None:
    states = []
    for number, seed in enumerate((0, 0, 1)):
        train(pixel_recipe(root, training={"epochs": 1, "seed": seed}), tmp_path / str(number))
        states.append(_state(tmp_path / str(number))["module"])
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


def test_the_memory_format_is_the_recipes(
    root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    formats: list[object] = []
    convert = torch.nn.Module.to

    def watched(module: torch.nn.Module, *args: Any, **options: Any) -> torch.nn.Module:
        formats.append(options.get("memory_format"))
        return convert(module, *args, **options)

    monkeypatch.setattr(torch.nn.Module, "to", watched)
    for wanted in (True, False):
        formats.clear()
        train(pixel_recipe(root, training={"epochs": 1, "channels_last": wanted}), tmp_path / str(wanted))
        assert (torch.channels_last in formats) == wanted


class _Judge:
    """Takes the place of evaluation: gives the scores told, remembers the weights it was shown."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)
        self.weights: list[State] = []
        self.splits: list[str] = []

    def __call__(
        self, accelerator: object, model: torch.nn.Module, dataset: Any, workers: int, progress: object
    ) -> Evaluation:
        self.weights.append(deepcopy(model.state_dict()))
        self.splits.append(dataset.split)
        score = self.scores[len(self.weights) - 1]
        evaluation = Evaluation(dataset.classes)
        hits = round(1000 * score)
        evaluation.matrix[:2, :2] = [[hits, 1000 - hits], [0, 0]]
        evaluation.matrix[2, 2] = 1
        return evaluation


def test_the_best_on_val_is_kept(root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = _Judge(0.2, 0.9, 0.9, 0.5)
    monkeypatch.setattr(loop, "evaluate_distributed", judge)
    best = train(pixel_recipe(root, training={"epochs": 4}), tmp_path / "run")
    model, info = load_checkpoint(best)
    assert judge.splits == ["val"] * 4
    assert info.metrics["epoch"] == 2
    assert info.metrics["miou"] == pytest.approx((0.9 + 0 + 1) / 3)
    assert same(dict(model.state_dict()), dict(judge.weights[1]))
    assert not same(dict(judge.weights[1]), dict(judge.weights[3]))
    assert _state(tmp_path / "run")["progress"]["best"] == info.metrics["miou"]


def test_evaluation_every_so_often_and_after_the_last_epoch(
    root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "evaluate_distributed", _Judge(0.5, 0.4))
    train(pixel_recipe(root, training={"epochs": 3, "evaluate_every": 2}), tmp_path / "run")
    history = _state(tmp_path / "run")["progress"]["history"]
    assert ["miou" in row for row in history] == [False, True, True]


def test_the_average_of_the_weights_is_scored_and_kept(
    root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = _Judge(0.5)
    monkeypatch.setattr(loop, "evaluate_distributed", judge)
    best = train(pixel_recipe(root, training={"epochs": 1, "ema_decay": 0.9}), tmp_path / "run")
    state = _state(tmp_path / "run")
    kept = safetensors.torch.load_file(best)
    assert same(dict(judge.weights[0]), state["ema"])
    assert same(kept, state["ema"])
    assert not torch.equal(kept["classify.weight"], state["module"]["model.classify.weight"])


def _weights_after(recipe: Recipe, folder: Path) -> tuple[Tensor, int]:
    rows: list[dict[str, float]] = []
    train(recipe, folder, report=rows.append)
    return _state(folder)["module"]["model.classify.weight"], int(rows[-1]["step"])


def test_accumulated_batches_equal_one_large_batch(root: Path, tmp_path: Path, pixel: None) -> None:
    """Every pixel is labelled, so the mean over a batch of four is the mean of the means over two of two."""

    def recipe(batch_size: int, accumulate: int) -> Recipe:
        training = {"epochs": 2, "batch_size": batch_size, "accumulate": accumulate}
        return pixel_recipe(
            root, loss={"dice": 0, "class_weights": "none", "mutual_information_weight": "fixed"}, training=training
        )

    for name in ("train", "val"):
        names = [f"{n:03d}" for n in (range(8) if name == "train" else range(8, 12))]
        (root / f"{name}.txt").write_text("\n".join(names))
    large, large_steps = _weights_after(recipe(4, 1), tmp_path / "large")
    summed, summed_steps = _weights_after(recipe(2, 2), tmp_path / "summed")
    small, small_steps = _weights_after(recipe(2, 1), tmp_path / "small")
    assert (large_steps, summed_steps, small_steps) == (4, 4, 8)
    torch.testing.assert_close(summed, large, rtol=1e-4, atol=1e-6)
    assert (small - large).abs().max() > 1e-4


def test_an_incomplete_group_of_batches_is_still_a_step(root: Path, tmp_path: Path, pixel: None) -> None:
    rows: list[dict[str, float]] = []
    train(pixel_recipe(root, training={"epochs": 2, "accumulate": 2}), tmp_path / "run", report=rows.append)
    assert [row["step"] for row in rows if "miou" not in row] == [1, 2, 3, 4]  # 3 batches an epoch
    assert {row["steps"] for row in rows} == {4}


def _by_gradient_descent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps in proportion to the gradient, which AdamW hides."""
    monkeypatch.setattr(
        "cimnet.training.trainer.create_optimizer", lambda module, config: torch.optim.SGD(module.parameters(), lr=1.0)
    )


def test_an_incomplete_group_weighs_as_much_as_its_batches(
    root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three batches of two in a group meant for twelve are one batch of six."""
    _by_gradient_descent(monkeypatch)
    loss = {"dice": 0, "class_weights": "none", "mutual_information_weight": "fixed"}
    recipes = [
        pixel_recipe(root, loss=loss, training={"epochs": 1, **training})
        for training in ({"batch_size": 2, "accumulate": 12}, {"batch_size": 6})
    ]
    group, whole = (_weights_after(recipe, tmp_path / str(n)) for n, recipe in enumerate(recipes))
    assert (group[1], whole[1]) == (1, 1)
    torch.testing.assert_close(group[0], whole[0])


def test_the_gradient_norm_is_limited(root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    _by_gradient_descent(monkeypatch)
    moved = {}
    for limit in (0.0, 1e-3):
        start, end = (
            _weights_after(
                pixel_recipe(root, training={"epochs": 1, "clip_norm": limit, "learning_rate": 1.0, **last}),
                tmp_path / f"{limit}-{len(last)}",
            )[0]
            for last in ({"batch_size": 6, "accumulate": 1}, {"batch_size": 3})
        )
        moved[limit] = (end - start).norm().item()
    assert moved[0.0] > 0.01
    assert moved[1e-3] <= 3.001e-3  # one step in the one run, two in the other


def test_the_average_follows_the_weights(
    root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[Tensor] = []
    update = Trainer.update

    def by_hand(engine: Trainer, step: int) -> None:
        if not expected:
            expected.append(engine.ema.module.classify.weight.clone())
        update(engine, step)
        decay = engine.ema.get_decay(step)
        expected.append(decay * expected[-1] + (1 - decay) * engine.model.get_parameter("classify.weight").detach())

    monkeypatch.setattr(Trainer, "update", by_hand)
    train(pixel_recipe(root, training={"epochs": 1, "ema_decay": 0.6}), tmp_path / "run")
    average = _state(tmp_path / "run")["ema"]["classify.weight"]
    torch.testing.assert_close(average, expected[-1])
    assert len(expected) == 4
    assert (average - expected[0]).abs().max() > 1e-3


def test_the_weight_of_the_mutual_information_is_trained(root: Path, tmp_path: Path, pixel: None) -> None:
    train(pixel_recipe(root, training={"epochs": 2}), tmp_path / "run")
    value = _state(tmp_path / "run")["module"]["loss.mutual_information.value"]
    assert abs(value.item() - np.log(0.1)) > 1e-3


def test_any_seed_that_a_recipe_allows_can_be_used(root: Path, tmp_path: Path, pixel: None) -> None:
    for seed in (20_261_124, 2**32 - 1):
        train(pixel_recipe(root, training={"epochs": 1, "seed": seed}), tmp_path / str(seed))


def test_what_is_reported(trained: Trained) -> None:
    steps = [row for row in trained.rows if "miou" not in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    assert [row["epoch"] for row in steps] == [1, 1, 2, 2, 3, 3]
    assert {row["steps"] for row in trained.rows} == {6}
    config = trained.recipe.training
    for row in steps:
        # the rate that the next step will use; the schedule has moved on
        assert row["rate"] == pytest.approx(config.learning_rate * learning_rate_factor(int(row["step"]), 2, config))
        assert {"loss", "cross_entropy", "mutual_information", "lambda"} <= row.keys()
    assert [row["epoch"] for row in trained.rows if "miou" in row] == [1, 2, 3]


def test_training_lowers_the_loss(root: Path, tmp_path: Path, pixel: None) -> None:
    train(pixel_recipe(root, training={"epochs": 15, "learning_rate": 0.1}), tmp_path / "run")
    history = _state(tmp_path / "run")["progress"]["history"]
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert max(row["miou"] for row in history) > 0.6


def test_thermal_statistics_of_the_training_split_travel_with_the_weights(trained: Trained) -> None:
    model, info = load_checkpoint(trained.best)
    mean, std = thermal_statistics(open_splits(trained.recipe)[0])
    assert (model.thermal_mean.item(), model.thermal_std.item()) == pytest.approx((mean, std))
    assert info.classes == ("background", "person", "car")
    assert info.options["widths"] == [16, 16, 20, 32]


def test_class_weights_by_hand(root: Path) -> None:
    recipe = pixel_recipe(root, loss={"class_weights": "inverse_sqrt"})
    weights = build_loss(recipe, np.array([64, 0, 36])).class_weights
    assert weights is not None
    raw = [1 / 0.8, 1 / 0.6]  # 1/√share; a class without pixels has no weight and no part in the mean
    assert weights.tolist() == pytest.approx([raw[0] / np.mean(raw), 0, raw[1] / np.mean(raw)])
    assert build_loss(pixel_recipe(root, loss={"class_weights": "none"}), np.array([1])).class_weights is None


def test_the_loss_knows_how_much_of_the_training_is_done(
    root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    forward = TrainStep.forward

    def watch(self: TrainStep, batch: Batch, progress: float) -> Loss:
        seen.append(progress)
        return forward(self, batch, progress)

    monkeypatch.setattr(TrainStep, "forward", watch)
    train(pixel_recipe(root, training={"epochs": 2}), tmp_path / "run")
    assert seen == [0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6]


def test_missing_sensors_are_added_to_batches_in_training_alone(
    root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = pixel_recipe(root, augmentation={"modality_dropout": 1.0, "misalignment": 3.0, "corruption_prob": 0.5})
    train_set, _ = open_splits(recipe)
    model, *_ = build_model(recipe, train_set)
    step = TrainStep(model, build_loss(recipe, np.array([1, 1, 1])), 1.0)
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    batch = collate([train_set[0], train_set[1]])
    step.train()(batch, 0.0)
    step.eval()(batch, 0.0)
    assert sizes == [4, 2]
    train(recipe, tmp_path / "run")


def test_a_free_weight_warns(root: Path) -> None:
    with pytest.warns(UserWarning, match="can fall below zero"):
        build_loss(pixel_recipe(root, loss={"mutual_information_weight": "free"}), np.array([1]))


def test_rare_classes_become_ids_and_the_models_scale_goes_into_the_zoom(root: Path) -> None:
    changes = {"rare_classes": ["car"], "rare_class_prob": 0.5, "scale": [0.5, 2.0]}
    train_set, val_set = open_splits(pixel_recipe(root, augmentation=changes, model={"input_scale": 0.5}))
    composed: Any = train_set.transform
    transform, degrade = composed.transforms
    assert degrade == Degrade(moving=frozenset({1, 2}))
    assert transform.rare_classes == (2,)
    assert transform.scale == (0.25, 1.0)
    assert val_set.transform is None
    with pytest.raises(ConfigError, match=r"augmentation\.rare_classes: 'cat' is no class"):
        open_splits(pixel_recipe(root, augmentation={"rare_classes": ["cat"], "rare_class_prob": 0.5}))


def test_a_cache_is_filled_before_the_workers_are_forked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_set, _ = open_splits(pixel_recipe(root, data={"cache": "ram", "workers": 1}))
    train_set.check()

    def read_again(pair: object) -> None:
        raise AssertionError("decoded a second time")

    monkeypatch.setattr(train_set, "decode", read_again)
    assert len([train_set[index] for index in range(len(train_set))]) == 6


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_pairs(
    root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: TrainStep, batch: Batch, progress: float) -> Loss:
        loss: Loss = self.loss(self.model(batch.rgb, batch.thermal), batch.label, progress)
        return loss._replace(total=loss.total * float("nan"))

    monkeypatch.setattr(TrainStep, "forward", forward)
    with pytest.raises(
        CimnetError,
        match=r"no longer finite at step 0 \(pairs 00\d, 00\d\).*bad_batch\.json; start again in another --out",
    ):
        train(pixel_recipe(root), tmp_path / "run")
    assert not (tmp_path / "run" / "last.pt").exists()
    assert not (tmp_path / "run" / "best.safetensors").exists()


@pytest.mark.parametrize("split", ["train", "val"])
def test_labels_that_say_nothing_are_refused(root: Path, tmp_path: Path, pixel: None, split: str) -> None:
    from PIL import Image

    for name in (root / f"{split}.txt").read_text().split():
        Image.fromarray(np.full((32, 40), 255, dtype=np.uint8)).save(root / "labels" / f"{name}.png")
    with pytest.raises(DataError, match=f"split '{split}': every label pixel is 255"):
        train(pixel_recipe(root), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_half_precision_and_a_second_run_in_another(
    root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """accelerate fixes the precision for a process: asking for another later is an error that names the field."""
    monkeypatch.setattr(AcceleratorState, "_shared_state", {})
    seen: set[torch.dtype] = set()

    def forward(self: TrainStep, batch: Batch, progress: float) -> Loss:
        output = self.model(batch.rgb, batch.thermal)
        seen.add(output.logits.dtype)
        loss: Loss = self.loss(output, batch.label, progress)
        return loss

    monkeypatch.setattr(TrainStep, "forward", forward)
    train(pixel_recipe(root, training={"epochs": 1, "mixed_precision": "bf16"}), tmp_path / "run")
    assert seen == {torch.bfloat16}
    assert _state(tmp_path / "run")["module"]["model.classify.weight"].dtype == torch.float32
    with pytest.raises(ConfigError, match=r"training\.mixed_precision 'no'"):
        train(pixel_recipe(root), tmp_path / "second")
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"ema_decay": 0.5}}, r"training\.ema_decay \(0\.0 then, 0\.5 now\)"),
        ({"training": {"learning_rate": 1e-6}}, r"training\.learning_rate \(.* then, 1e-06 now\)"),
        ({"loss": {"mutual_information_weight": "free"}}, r"loss\.mutual_information_weight \(.* then, free now\)"),
        ({"model": {"name": "pixel_plain"}}, r"model\.name \(pixel_mi then, pixel_plain now\)"),
    ],
)
def test_resume_trains_what_was_begun(
    root: Path, tmp_path: Path, pixel: None, changes: dict[str, dict[str, Any]], message: str
) -> None:
    """Optimiser and schedule come from the state, so a recipe that says otherwise would be ignored in silence."""
    train(pixel_recipe(root, training={"epochs": 1}), tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.*")}
    with pytest.raises(ConfigError, match=rf"recipe\.yaml: made with other settings: {message}; resume"):
        train(pixel_recipe(root, **changes), tmp_path / "run", resume=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.*")} == before


def test_a_run_can_be_made_longer_and_its_recipe_says_so(root: Path, tmp_path: Path, pixel: None) -> None:
    train(pixel_recipe(root, training={"epochs": 1}), tmp_path / "run")
    longer = pixel_recipe(root, training={"epochs": 2})
    assert train(longer, tmp_path / "run", resume=True).is_file()
    assert len(_state(tmp_path / "run")["progress"]["history"]) == 2
    assert load_recipe(tmp_path / "run" / "recipe.yaml") == longer


def test_a_run_cannot_be_made_shorter_than_it_is(root: Path, tmp_path: Path, pixel: None) -> None:
    train(pixel_recipe(root, training={"epochs": 2}), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"training\.epochs is 1, but the run in .* has 2 already"):
        train(pixel_recipe(root, training={"epochs": 1}), tmp_path / "run", resume=True)
    assert load_recipe(tmp_path / "run" / "recipe.yaml").training.epochs == 2
    assert train(pixel_recipe(root, training={"epochs": 2}), tmp_path / "run", resume=True).is_file()  # nothing to do


def test_resume_with_a_state_of_other_weights(root: Path, tmp_path: Path, pixel: None) -> None:
    recipe = pixel_recipe(root, training={"epochs": 1})
    train(recipe, tmp_path / "run")
    state = _state(tmp_path / "run")
    del state["module"]["model.classify.weight"]
    torch.save(state, tmp_path / "run" / "last.pt")
    with pytest.raises(ConfigError, match="--resume: the recipe does not describe the run"):
        train(recipe, tmp_path / "run", resume=True)


def test_resume_from_a_damaged_state(root: Path, tmp_path: Path, pixel: None) -> None:
    train(pixel_recipe(root, training={"epochs": 1}), tmp_path / "run")
    last = tmp_path / "run" / "last.pt"
    whole = last.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"something else"):
        last.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"last\.pt: damaged training state"):
            train(pixel_recipe(root), tmp_path / "run", resume=True)


@pytest.mark.parametrize("found", ["recipe.yaml", "last.pt", "previous.pt"])
def test_a_folder_with_a_run_asks_for_resume(root: Path, tmp_path: Path, pixel: None, found: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / found).touch()
    with pytest.raises(CimnetError, match="or pass --resume to continue"):
        train(pixel_recipe(root), tmp_path / "run")


def test_a_folder_with_something_else_is_left_alone(root: Path, tmp_path: Path, pixel: None) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    for resume, remedy in (
        (False, "remove it: it holds no run to resume"),
        (True, "nothing to resume, it holds no run"),
    ):
        with pytest.raises(CimnetError, match=remedy):
            train(pixel_recipe(root), tmp_path / "run", resume=resume)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]
