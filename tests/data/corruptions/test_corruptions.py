"""Every corruption: the contract, the seeds, and its formula."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from cimnet.data import RGBTSample, open_dataset
from cimnet.data.classes import moving_ids
from cimnet.data.corruptions import CORRUPTIONS, CorruptedDataset, corrupt, rgb
from cimnet.errors import ConfigError, DataError
from tests.fakes.layouts import CLASSES, make_folder

HEIGHT, WIDTH = 48, 64
CAR = 2
SEEDLESS = {"over_exposure", "jpeg", "thermal_blur", "low_resolution", "inversion", "rgb_dropped", "thermal_dropped"}
ALL = pytest.mark.parametrize("name", CORRUPTIONS)
Array = npt.NDArray[np.float64]


def pair(name: str = "a", seed: int = 0) -> RGBTSample:
    """Coarse texture in 8-bit steps, and a label of ground, a tree and two cars."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0.1, 0.9, (1, 4, HEIGHT // 4, WIDTH // 4)))
    image = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic")[0].clamp(0, 1)
    image = torch.round(image * 255).to(torch.float32) / 255
    label = torch.zeros(HEIGHT, WIDTH, dtype=torch.int64)
    label[4:14, 6:20], label[20:28, 24:36], label[34:42, 44:56] = 1, CAR, CAR
    return RGBTSample(image[:3], image[3:], label, name, "day", frozenset({"weakly_aligned"}))


def even(
    rgb: float = 0.5, thermal: float = 0.5, size: tuple[int, int] = (HEIGHT, WIDTH), name: str = "a"
) -> RGBTSample:
    """One grey all over."""
    return RGBTSample(torch.full((3, *size), rgb), torch.full((1, *size), thermal), None, name)


def other(places: int) -> RGBTSample:
    """The first is almost the pair itself; the farther the less like it."""
    now, then = pair(), pair(seed=1)
    far = places / 16
    return replace(now, rgb=torch.lerp(now.rgb, then.rgb, far), thermal=torch.lerp(now.thermal, then.thermal, far))


def corrupted(name: str, severity: int | None = None, sample: RGBTSample | None = None, **more: object) -> RGBTSample:
    return corrupt(sample or pair(), name, severity, moving=[CAR], other=other, **more)  # type: ignore[arg-type]


def linear(rgb: torch.Tensor) -> Array:
    values = rgb.numpy().astype(np.float64)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def changed(sample: RGBTSample) -> float:
    before = pair()
    return float((sample.rgb - before.rgb).abs().sum() + (sample.thermal - before.thermal).abs().sum())


def same(one: RGBTSample, two: RGBTSample) -> bool:
    return torch.equal(one.rgb, two.rgb) and torch.equal(one.thermal, two.thermal)


@ALL
@pytest.mark.parametrize("severity", [1, 5])
def test_contract(name: str, severity: int) -> None:
    sample, before = pair(), pair()
    result = corrupted(name, severity, sample)
    assert same(sample, before)
    assert torch.equal(sample.label, before.label)  # type: ignore[arg-type]
    assert sample.offset is None
    assert result.label is sample.label
    assert (result.id, result.scene, result.flags) == (sample.id, sample.scene, sample.flags)
    for image, old in ((result.rgb, sample.rgb), (result.thermal, sample.thermal)):
        assert image.dtype == torch.float32
        assert image.shape == old.shape
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
    group = CORRUPTIONS[name].group
    assert torch.equal(result.rgb, sample.rgb) == (group != "rgb")
    assert torch.equal(result.thermal, sample.thermal) == (group == "rgb")
    assert (result.offset is None) == (group != "geometry")
    if result.offset is not None:
        assert result.offset.dtype == torch.float32
        assert result.offset.shape == (2, HEIGHT, WIDTH)
    level = CORRUPTIONS[name].levels[severity - 1]
    assert same(result, corrupted(name, level=level))


@ALL
def test_seed_and_id(name: str) -> None:
    first = corrupted(name, 3)
    corrupted(name, 5, pair("b"), seed=1)
    assert same(corrupted(name, 3, seed=0), first)
    by_id = [corrupted(name, 3, pair(str(k))) for k in range(12)]
    by_seed = [corrupted(name, 3, seed=k) for k in range(12)]
    assert all(same(result, first) for result in by_id) == (name in SEEDLESS or name == "fixed_pattern")
    assert all(same(result, first) for result in by_seed) == (name in SEEDLESS)


@ALL
def test_severity_5_is_worse(name: str) -> None:
    assert changed(corrupted(name, 5)) > changed(corrupted(name, 1)) > 0


@pytest.mark.parametrize("name", ["thermal_noise", "fixed_pattern", "stripes", "rgb_noise"])
def test_a_severity_is_more_of_the_same_defect(name: str) -> None:
    weak, strong = corrupted(name, 1, even()), corrupted(name, 3, even())
    parts = ("thermal", weak.thermal, strong.thermal) if name != "rgb_noise" else ("rgb", weak.rgb, strong.rgb)
    first, second = (part.numpy().ravel() - 0.5 for part in parts[1:])  # type: ignore[union-attr]
    assert np.corrcoef(first, second)[0, 1] > 0.98


def test_errors() -> None:
    with pytest.raises(ConfigError, match="'snow' is unknown; choose from translation"):
        corrupt(pair(), "snow", 1)
    for severity in (0, 6):
        with pytest.raises(ConfigError, match="fog: give a severity from 1 to 5"):
            corrupt(pair(), "fog", severity)
    with pytest.raises(ConfigError, match="level in % transmission"):
        corrupt(pair(), "fog")
    with pytest.raises(ConfigError, match="level in % transmission"):
        corrupt(pair(), "fog", 1, level=20)
    for name, level, expected in (
        *(
            ("fog", level, "a number from 0 to 100 in % transmission")
            for level in (-1, 101, float("nan"), float("inf"))
        ),
        ("translation", -1, "a number from 0 in px, not -1"),
        ("blackout", 150, "a number from 0 to 100 in % of rows, not 150"),
        ("rain", 1e9, r"a number from 0 to 1e\+06 in streaks/Mpx, not 1e\+09"),
        ("jpeg", 0, "a whole number from 1 to 100 in quality, not 0"),
        ("rgb_dropped", 0.4, "a whole number from 0 in pairs, not 0.4"),
        ("low_resolution", 0.2, "a number from 1 in times, not 0.2"),
        ("inversion", -300, "a number from -100 to 100 in % contrast, not -300"),
    ):
        with pytest.raises(ConfigError, match=f"{name}: the level must be {expected}"):
            corrupt(pair(), name, level=level)
    for name in ("rgb_dropped", "thermal_dropped"):
        with pytest.raises(DataError, match=f"a: {name} needs an earlier pair"):
            corrupt(pair(), name, 1)


@ALL
@pytest.mark.parametrize("share", [0, 0.003, 1])
def test_every_level_within_the_limits_can_be_given(name: str, share: float) -> None:
    least, most = CORRUPTIONS[name].limits
    level = least + share * (min(most, 1000) - least)
    result = corrupted(name, level=round(level) if CORRUPTIONS[name].whole else level)
    for image in (result.rgb, result.thermal):
        assert bool(torch.isfinite(image).all())
        assert 0 <= float(image.min()) <= float(image.max()) <= 1


# RGB


def test_blackout() -> None:
    lost = [(corrupted("blackout", level=share, sample=even()).rgb == 0).numpy() for share in (25, 50, 100)]
    assert [mask.mean() for mask in lost] == [0.25, 0.5, 1]
    assert (lost[0] <= lost[1]).all()
    assert (lost[0] == lost[0][:1, :, :1]).all()
    assert np.abs(np.diff(lost[1][0, :, 0].astype(int))).sum() < 16  # bands, not single rows (about 24)


@pytest.mark.parametrize("stops", [1, 2])
def test_low_light(stops: int) -> None:
    sample = even(size=(200, 200))
    light = linear(corrupted("low_light", level=stops, sample=sample).rgb)
    mean = linear(sample.rgb).mean() / 2**stops
    assert light.mean() == pytest.approx(mean, rel=0.01)
    steps = (1 / 255) ** 2 / 12 * 0.2  # 8 bits, in linear light
    assert light.var() == pytest.approx(mean / 4000 + (3 / 4000) ** 2 + steps, rel=0.1)


def test_low_light_is_poisson_where_light_is_scarce() -> None:
    dark = even(rgb=20 / 255, size=(200, 200))
    light = linear(corrupted("low_light", level=5, sample=dark).rgb)
    assert light.mean() == pytest.approx(linear(dark.rgb).mean() / 32, abs=3e-4)


def test_over_exposure() -> None:
    light = linear(corrupted("over_exposure", level=1).rgb)
    np.testing.assert_allclose(light, np.minimum(2 * linear(pair().rgb), 1), atol=0.005)


def test_glare() -> None:
    dark = even(rgb=0, size=(96, 128))
    veil = linear(corrupted("glare", level=2, sample=dark).rgb).mean(0)
    assert veil.mean() == pytest.approx(0.02, rel=0.02)
    y, x = np.unravel_index(veil.argmax(), veil.shape)
    rows, columns = np.mgrid[:96, :128]
    far = (rows - y) ** 2 + (columns - x) ** 2
    ring = veil[np.abs(far - 50**2) < 50].mean() / veil[np.abs(far - 25**2) < 50].mean()
    assert ring == pytest.approx((12.8**2 + 25**2) / (12.8**2 + 50**2), rel=0.1)


def test_motion_blur() -> None:
    dot = even(rgb=0, size=(61, 61))
    dot.rgb[:, 30, 30] = 1
    light = linear(corrupted("motion_blur", level=12, sample=dot).rgb)[0]
    assert light.sum() == pytest.approx(1, abs=0.05)
    y, x = np.mgrid[:61, :61] - 30
    assert abs((light * y).sum()) < 0.1
    assert abs((light * x).sum()) < 0.1
    assert (light * (y**2 + x**2)).sum() == pytest.approx(12**2 / 12 + 1 / 3, abs=0.5)  # a line's, and the splatting's
    moments = np.array([[(light * a * b).sum() for a in (y, x)] for b in (y, x)])
    assert np.linalg.eigvalsh(moments)[0] < 0.5
    assert torch.equal(corrupted("motion_blur", level=9, sample=even(rgb=128 / 255)).rgb, even(rgb=128 / 255).rgb)


def test_rgb_noise() -> None:
    noise = corrupted("rgb_noise", level=20, sample=even(size=(100, 100))).rgb.numpy() * 255
    assert noise.std() == pytest.approx(20, rel=0.05)
    assert noise.mean() == pytest.approx(127.5, abs=0.5)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("transmission", [80, 40])
def test_fog(transmission: float) -> None:
    board = even(size=(96, 96))
    board.rgb[:] = torch.from_numpy(np.indices((96, 96)).sum(0) % 2) * 0.6 + 0.2
    before, after = (linear(rgb)[0] for rgb in (board.rgb, corrupted("fog", level=transmission, sample=board).rgb))
    contrast = np.abs(np.diff(after)) / np.abs(np.diff(before))
    assert contrast.mean() == pytest.approx(transmission / 100, rel=0.05)
    assert contrast.max() > contrast.min() * 1.05
    bright = before > 0.5  # as bright as the airlight: stays
    np.testing.assert_allclose(after[bright], before[bright], atol=0.01)
    assert same(corrupted("fog", level=100), pair())


def test_rain() -> None:
    ground = even(rgb=0.2, size=(96, 128))
    ground.rgb[:, :2] = 0.9
    few, many = (corrupted("rain", level=level, sample=ground).rgb.numpy() for level in (2000, 8000))
    old = ground.rgb.numpy()
    assert (few >= old - 1 / 255).all()
    assert (many >= few - 1 / 255).all()  # the first drops stay
    wet = [float((linear(torch.from_numpy(rgb)) - linear(ground.rgb)).sum()) for rgb in (few, many)]
    assert wet[1] / wet[0] == pytest.approx(4, rel=0.35)
    assert same(corrupted("rain", level=0), pair())


def test_jpeg() -> None:
    errors = [float((corrupted("jpeg", level=quality).rgb - pair().rgb).abs().mean()) for quality in (95, 40, 5)]
    assert errors == sorted(errors)
    assert errors[0] < 0.03


def test_dropped() -> None:
    sizes = []

    def earlier(places: int) -> RGBTSample:
        sizes.append(places)
        return even(rgb=0.1, thermal=0.9, size=(24, 30))

    rgb = corrupt(pair(), "rgb_dropped", 3, other=earlier)
    thermal = corrupt(pair(), "thermal_dropped", 5, other=earlier)
    assert sizes == [4, 16]
    torch.testing.assert_close(rgb.rgb, even(rgb=0.1).rgb)
    torch.testing.assert_close(thermal.thermal, even(thermal=0.9).thermal)
    assert torch.equal(corrupt(pair(), "rgb_dropped", 1, other=other).rgb, other(1).rgb)


# thermal


def test_thermal_blur() -> None:
    dot = even(thermal=0, size=(61, 61))
    dot.thermal[0, 30, 30] = 1
    spot = corrupted("thermal_blur", level=3, sample=dot).thermal[0].numpy()
    y, x = np.mgrid[:61, :61] - 30
    assert (spot * y**2).sum() == pytest.approx(9, rel=0.02)
    assert (spot * x**2).sum() == pytest.approx(9, rel=0.02)


def test_thermal_noise() -> None:
    noise = [
        corrupted("thermal_noise", level=5, sample=even(size=(100, 100), name=name)).thermal.numpy() for name in "ab"
    ]
    assert noise[0].std() == pytest.approx(0.05, rel=0.05)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_fixed_pattern() -> None:
    def pattern(thermal: float, name: str) -> Array:
        sample = even(thermal=thermal, size=(100, 100), name=name)
        return corrupted("fixed_pattern", level=2, sample=sample).thermal[0].numpy().astype(np.float64) - thermal

    assert np.array_equal(pattern(0.4, "a"), pattern(0.4, "b"))
    offset, gain = 2 * pattern(0.4, "a") - pattern(0.8, "b"), (pattern(0.8, "a") - pattern(0.4, "a")) / 0.4
    assert offset.std() == pytest.approx(0.02, rel=0.05)
    assert gain.std() == pytest.approx(0.02, rel=0.05)
    assert abs(np.corrcoef(offset.ravel(), gain.ravel())[0, 1]) < 0.05


def test_saturation() -> None:
    ramp = even(size=(100, 100))
    ramp.thermal[0] = torch.linspace(0.2, 0.7, 10000).reshape(100, 100)
    shares = []
    for k in range(6):
        result = corrupted("saturation", level=30, sample=replace(ramp, id=str(k))).thermal[0].numpy()
        assert ((result == 0) | (result == 1)).mean() == pytest.approx(0.3, abs=0.002)
        shares.append((result == 0).mean())
        inside = (result > 0) & (result < 1)
        assert np.ptp(np.diff(result[inside])) < 1e-5  # evenly stretched
    assert np.ptp(shares) > 0.02


def test_gain_jump() -> None:
    ramp = even()
    ramp.thermal[0] = torch.linspace(0.4, 0.6, WIDTH)
    found = set()
    for k in range(30):
        row = corrupted("gain_jump", level=100, sample=replace(ramp, id=str(k))).thermal[0, 0].numpy()
        gain, middle = np.ptp(row) / 0.2, (row[0] + row[-1]) / 2
        found.add((round(float(gain), 3), round(float(middle), 3)))
    assert found == {(2, 0.4), (2, 0.6), (0.5, 0.4), (0.5, 0.6)}


def test_stripes() -> None:
    seen = set()
    for k in range(12):
        image = corrupted("stripes", level=5, sample=even(size=(400, 500), name=str(k))).thermal[0].numpy()
        by_column = bool((image == image[:1]).all())
        assert by_column != bool((image == image[:, :1]).all())
        seen.add(by_column)
        assert image.std() == pytest.approx(0.05, rel=0.15)
    assert seen == {True, False}


def test_low_resolution() -> None:
    fine, coarse = even(), even()
    fine.thermal[0] = torch.from_numpy(np.arange(WIDTH) % 4 / 3)
    np.testing.assert_allclose(corrupted("low_resolution", level=4, sample=fine).thermal, 0.5, atol=1e-6)
    coarse.thermal[0] = torch.linspace(0, 1, WIDTH)
    result = corrupted("low_resolution", level=4, sample=coarse).thermal[0]
    torch.testing.assert_close(result[:, 2:-2], coarse.thermal[0][:, 2:-2])  # a slope stays where it is
    assert torch.equal(corrupted("low_resolution", level=1).thermal, pair().thermal)
    assert float(corrupted("low_resolution", level=100).thermal.std()) < 1e-6


def test_inversion() -> None:
    thermal = 0.35 + 0.3 * pair().thermal
    sample, mean = replace(pair(), thermal=thermal), thermal.mean()
    torch.testing.assert_close(corrupted("inversion", level=-100, sample=sample).thermal, 2 * mean - thermal)
    torch.testing.assert_close(corrupted("inversion", level=50, sample=sample).thermal, (mean + thermal) / 2)


# data sets


def test_data_set(tmp_path: Path) -> None:
    data = open_dataset(make_folder(tmp_path), "all")
    noisy = CorruptedDataset(data, "thermal_noise", 3, seed=5)
    assert len(noisy) == len(data) == 6
    for index in (4, 0):
        assert same(noisy[index], corrupt(data.read(index), "thermal_noise", 3, seed=5))
    assert [sample.id for sample in (noisy[k] for k in range(6))] == data.ids
    assert torch.equal(CorruptedDataset(data, "rgb_dropped", 2)[3].rgb, data.read(1).rgb)
    assert torch.equal(CorruptedDataset(data, "thermal_dropped", 2)[1].thermal, data.read(5).thermal)
    lagging = CorruptedDataset(data, "time_lag", level=3)
    assert lagging.moving == {1, 2} == moving_ids(CLASSES)
    label, offset = lagging[0].label, lagging[0].offset
    assert label is not None
    assert offset is not None
    assert torch.equal(offset.abs().sum(0) > 0, label > 0)
    assert not bool(CorruptedDataset(data, "time_lag", 3, moving=[1])[0].offset[:, label == 2].any())  # type: ignore[index]


@pytest.mark.parametrize("name", ["rgb_dropped", "thermal_dropped"])
def test_a_dropped_frame_is_never_replaced_by_itself(name: str, tmp_path: Path) -> None:
    """Also where the set has as few pairs as the level says, or fewer."""
    data = open_dataset(make_folder(tmp_path / "few", names=("a", "b", "c")), "all")
    sensor = name.removesuffix("_dropped")
    for level, expected in ((0, "abc"), (1, "cab"), (2, "bca"), (3, "cab"), (4, "bca"), (16, "bca")):
        corrupted_set = CorruptedDataset(data, name, level=level)
        for index, earlier in enumerate(expected):
            own = getattr(data.read(data.ids.index(earlier)), sensor)
            assert torch.equal(getattr(corrupted_set[index], sensor), own)
    one = open_dataset(make_folder(tmp_path / "one", names=("a",)), "all")
    with pytest.raises(DataError, match="needs two pairs, and there is one; leave dropped frames out"):
        CorruptedDataset(one, name, 1)[0]


def test_rain_is_drawn_in_parts_that_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = corrupted("rain", level=50_000).rgb
    monkeypatch.setattr(rgb, "_POINTS_AT_ONCE", 70)
    assert float((corrupted("rain", level=50_000).rgb - whole).abs().max()) <= 1.01 / 255


def test_data_set_errors(tmp_path: Path) -> None:
    data = open_dataset(make_folder(tmp_path), "all")
    with pytest.raises(ConfigError, match="unknown"):
        CorruptedDataset(data, "snow", 1)
    with pytest.raises(ConfigError, match="severity from 1 to 5"):
        CorruptedDataset(data, "fog", 6)
    with pytest.raises(ConfigError, match="severity from 1 to 5"):
        CorruptedDataset(data, "fog")
