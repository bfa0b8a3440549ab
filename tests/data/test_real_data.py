"""Real files, read in place; skipped where they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cimnet.data import open_dataset, read_rgbt, suggest_thermal_range
from cimnet.data.dataset import RGBTDataset
from tests import ROOT

SHARED = ROOT.parent / "shared" / "data"


def real(name: str) -> Path:
    root = SHARED / name
    if not root.is_dir():
        pytest.skip(f"real data not on this machine: {root}")
    return root


def test_mm5() -> None:
    root = real("mm5")
    splits: dict[str, RGBTDataset] = {name: open_dataset(root, name) for name in ("train", "val", "test")}
    assert [len(split) for split in splits.values()] == [206, 34, 43]
    ids = [set(split.ids) for split in splits.values()]
    assert not ids[0] & ids[1]
    assert not ids[0] & ids[2]
    assert not ids[1] & ids[2]
    train = splits["train"]
    assert train.classes[:3] == ("background", "fresh", "spoiled")
    assert len(train.classes) == len(train.colors) == 8
    assert train.arrays(0).thermal.dtype == np.uint16
    low, high = suggest_thermal_range(train)
    assert 17_900 < low < high < 22_400
    sample = open_dataset(root, "train", thermal_range=(low, high))[0]
    assert sample.rgb.shape == (3, 480, 640)
    assert sample.thermal.std() > 0.01
    counts = splits["val"].check()
    assert counts.sum() == 34 * 480 * 640
    assert counts.argmax() == 0


def test_msrs_real() -> None:
    root = real("msrs-real")
    train = open_dataset(root, "train", classes="mfnet")
    unlabelled = open_dataset(root, "unlabelled", classes="mfnet", require_labels=False)
    assert (len(train), len(unlabelled)) == (45, 150)
    assert set(train.scenes) | set(unlabelled.scenes) == {"day", "night"}
    assert unlabelled[0].label is None
    assert train.check().shape == (9,)


def test_mfnet_original_files(tmp_path: Path) -> None:
    files = sorted((real("msrs-real") / "mfnet-original").glob("*.png"))
    (tmp_path / "images").mkdir()
    for path in files:
        (tmp_path / "images" / path.name).symlink_to(path)
    dataset = open_dataset(tmp_path, "all", require_labels=False)
    assert dataset.ids == ["01234N", "01477D"]
    assert dataset.scenes == ["night", "day"]
    for path, sample in zip(files, dataset, strict=True):
        rgb, thermal = read_rgbt(path)
        assert rgb.shape == (480, 640, 3)
        np.testing.assert_allclose(sample.thermal[0].numpy() * 255, thermal, atol=1e-3)
        assert sample.label is None
