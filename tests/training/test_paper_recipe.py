"""The paper's run (V-A): the shipped recipe and the defaults, field by field; weights of labelled pixels alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.data import open_dataset
from cimnet.training.recipe import Recipe, load_recipe, parse_recipe
from cimnet.training.recipe_sections import AugmentationConfig
from cimnet.training.setup import augmentation, build_loss
from tests.conftest import tiny_recipe
from tests.fakes.layouts import make_folder

PAPER = {
    "epochs": 12,
    "batch_size": 4,
    "learning_rate": 1e-4,
    "weight_decay": 0.05,
    "warmup_iterations": 500,
    "schedule": "step",
    "milestones": (8, 11),
    "gamma": 0.1,
}


@pytest.mark.parametrize(
    "recipe", [load_recipe("kust4k_resnet101"), parse_recipe({"data": {"root": "x"}}, "x")], ids=["shipped", "defaults"]
)
def test_the_papers_settings(recipe: Recipe) -> None:
    training = recipe.training
    assert {name: getattr(training, name) for name in PAPER} == PAPER
    assert training.accumulate == 1  # a batch is a step
    assert training.ema_decay == 0
    assert recipe.model.name == "cimnet_resnet101"
    assert recipe.model.options() == {"pretrained": True}
    assert (recipe.loss.initial_weight, recipe.loss.dice, recipe.loss.class_weights) == (0.1, 0, "none")
    assert recipe.augmentation.hflip == 0.5  # random flips and crops (V-A)
    assert recipe.augmentation.vflip == 0


def test_the_recipes_flip_reaches_the_transform() -> None:
    recipe = load_recipe("kust4k_resnet101", ["augmentation.hflip=0.25"])
    assert augmentation(recipe, ("a", "b")).transforms[0].hflip == 0.25
    assert AugmentationConfig().hflip == 0.5


def test_unlabelled_pixels_have_no_share_in_class_weights(tmp_path: Path) -> None:
    """Most pixels are 255, the others are class 1 and class 2 in the ratio 1 to 4."""
    root = make_folder(tmp_path)
    for path in (root / "labels").iterdir():
        label = np.full(np.array(Image.open(path)).shape, 255, np.uint8)
        label[0, 0], label[0, 1:5] = 1, 2
        Image.fromarray(label).save(path)
    counts = open_dataset(root, "train").check()
    assert (counts / counts[1]).tolist() == [0, 1, 4]
    weights = build_loss(tiny_recipe(root), counts).class_weights
    assert weights is not None
    assert weights.tolist() == pytest.approx([0, 4 / 3, 2 / 3])
