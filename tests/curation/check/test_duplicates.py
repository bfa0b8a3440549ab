"""The same pixels, or nearly the same picture, twice; what only looks like it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.curation.check.image_stats import thumbnail
from cimnet.curation.check.near_pairs import near_pairs
from cimnet.curation.check.pair_stats import PairStats, RGBStats, ThermalStats
from tests.fakes.layouts import write_list

from .sets import by_code, check, names


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve smooth scenes of 96 by 120 pixels: train 000 to 005, val 006 to 008, test 009 to 011."""
    rng = np.random.default_rng(1)
    for folder in ("rgb", "thermal", "labels"):
        (tmp_path / folder).mkdir()
    for number in range(12):
        coarse = Image.fromarray(rng.integers(30, 220, (8, 10, 3), np.uint8)).resize(
            (120, 96), Image.Resampling.BICUBIC
        )
        warm = Image.fromarray(rng.integers(30, 220, (8, 10), np.uint8)).resize((120, 96), Image.Resampling.BICUBIC)
        noise = rng.integers(0, 3, (96, 120), np.uint8)
        Image.fromarray(np.asarray(coarse) + noise[..., None]).save(tmp_path / f"rgb/{number:03d}.png")
        Image.fromarray(np.asarray(warm) + noise.T.reshape(96, 120)).save(tmp_path / f"thermal/{number:03d}.png")
        Image.fromarray(rng.integers(0, 3, (96, 120), np.uint8)).save(tmp_path / f"labels/{number:03d}.png")
    for split, first, last in (("train", 0, 6), ("val", 6, 9), ("test", 9, 12)):
        write_list(tmp_path / f"{split}.txt", [f"{number:03d}" for number in range(first, last)])
    (tmp_path / "classes.yaml").write_text("classes: [a, b, c]\n")
    return tmp_path


def copy(root: Path, source: str, target: str, *folders: str) -> None:
    for folder in folders or ("rgb", "thermal"):
        shutil.copy(root / folder / f"{source}.png", root / folder / f"{target}.png")


def nearly(root: Path, source: str, target: str, *folders: str) -> None:
    """A copy after JPEG, another size and back, and another gain."""
    for folder in folders or ("rgb", "thermal"):
        image = Image.open(root / folder / f"{source}.png").resize((110, 88)).resize((120, 96))
        image.point(lambda v: 0.9 * v + 8).save(root / "x.jpg", quality=50 + int(target))
        Image.open(root / "x.jpg").save(root / folder / f"{target}.png")
    (root / "x.jpg").unlink()


def test_clean(root: Path) -> None:
    assert not check(root).findings


def test_equal_pairs(root: Path) -> None:
    copy(root, "000", "009")
    copy(root, "001", "002")
    findings = by_code(check(root))
    assert set(findings) == {"duplicate-across-splits", "duplicate"}
    assert findings["duplicate-across-splits"].severity == "error"
    (item,) = findings["duplicate-across-splits"].items
    assert (item.name, item.detail, item.others) == ("000", "in train, equal to 009 (test)", ("009",))
    assert findings["duplicate"].severity == "warning"
    assert names(findings["duplicate"]) == ["001"]


@pytest.mark.parametrize("sensor", ["rgb", "thermal"])
def test_one_image_in_two_pairs(root: Path, sensor: str) -> None:
    copy(root, "000", "009", sensor)
    findings = by_code(check(root))
    assert set(findings) == {f"repeated-{sensor}"}
    assert findings[f"repeated-{sensor}"].items[0].others == ("009",)


def test_nearly_equal_pairs(root: Path) -> None:
    nearly(root, "000", "009")
    nearly(root, "001", "002")
    nearly(root, "001", "010")
    findings = by_code(check(root))
    assert set(findings) == {"near-duplicate-across-splits", "near-duplicate"}
    across, within = findings["near-duplicate-across-splits"], findings["near-duplicate"]
    assert (across.severity, within.severity) == ("warning", "note")
    assert [(item.name, item.others[0]) for item in within.items] == [("002", "001")]
    assert names(across) == ["009", "010"]
    assert across.items[0].others == ("000",)
    assert across.items[1].others[0] in ("001", "002")


def test_one_other_pixel_is_not_equal(root: Path) -> None:
    copy(root, "000", "009")
    for folder in ("rgb", "thermal"):
        values = np.array(Image.open(root / folder / "009.png"))
        values[1, 1] += 1
        Image.fromarray(values).save(root / folder / "009.png")
    assert set(by_code(check(root))) == {"near-duplicate-across-splits"}


def test_only_one_sensor_nearly_equal(root: Path) -> None:
    nearly(root, "000", "009", "rgb")
    nearly(root, "001", "010", "thermal")
    assert not check(root).findings


def test_black_images_say_nothing(root: Path) -> None:
    for name in ("000", "001", "006", "009"):
        Image.new("RGB", (120, 96)).save(root / f"rgb/{name}.png")
    write_list(root / "broke_RGB.txt", ["000", "001", "006", "009"])
    assert set(by_code(check(root))) == {"flagged-broken"}
    copy(root, "000", "009", "thermal")
    assert set(by_code(check(root))) == {"flagged-broken", "duplicate-across-splits"}
    copy(root, "002", "009", "thermal")
    assert set(by_code(check(root))) == {"flagged-broken", "repeated-thermal"}
    nearly(root, "000", "009", "thermal")
    assert set(by_code(check(root))) == {"flagged-broken", "near-duplicate-across-splits"}
    for name in ("000", "009"):
        Image.new("L", (120, 96), 90).save(root / f"thermal/{name}.png")
    assert set(by_code(check(root))) == {"flagged-broken", "thermal-constant"}


def test_a_fixed_camera_sees_other_things(root: Path) -> None:
    for number in range(12):
        for folder in ("rgb", "thermal"):
            values = np.array(Image.open(root / f"{folder}/000.png")).astype(int)
            left = 8 + 9 * number
            values[40:56, left : left + 12] += 60
            Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).save(root / f"{folder}/{number:03d}.png")
    assert not check(root).findings


def test_four_thousand_pairs_take_seconds() -> None:
    rng = np.random.default_rng(0)
    measured = []
    for number in range(4000):
        small = [thumbnail(rng.integers(0, 255, (48, 48), np.uint8)) for _ in range(2)]
        rgb = RGBStats((48, 48), bytes(small[0]), small[0], (0, 0, 0, 0), 200, 200, 0, False)
        thermal = ThermalStats(
            (48, 48), "uint8", bytes(small[1]), small[1], (0, 0, 0, 0), 0, 255, 256, 0, 0, 9, 9, 0
        )  # fmt: skip
        measured.append(PairStats(str(number), rgb=rgb, thermal=thermal))
    measured[3999] = measured[1700]
    start = time.perf_counter()
    ((first, second, difference),) = near_pairs(measured)
    assert time.perf_counter() - start < 20
    assert (first.tolist(), second.tolist(), difference.tolist()) == ([1700], [3999], [0])
