"""Thermal values to 0..1 in exact numbers, and how the scaling is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cimnet.data import ThermalScaling, open_dataset
from cimnet.data.io.thermal_scaling import parse_thermal
from cimnet.data.io.units import UNITS
from cimnet.errors import DataError
from tests.fakes.layouts import CLASSES, make_arrays, make_folder, to_16_bit


def scale(scaling: ThermalScaling, values: list[float], dtype: str = "uint16") -> list[float]:
    counts = np.array([values], dtype=dtype)
    before = counts.copy()
    scaled = scaling(counts)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(counts, before)
    return scaled[0].tolist()


def test_a_range_of_counts() -> None:
    scaling = ThermalScaling("range", 1000, 3000)
    assert scale(scaling, [0, 1000, 1500, 2000, 3000, 65535]) == [0, 0, 0.25, 0.5, 1, 1]
    assert scale(scaling, [-1e9, 1750.0, 1e9], "float32") == pytest.approx([0, 0.375, 1], abs=1e-6)
    assert scale(ThermalScaling("range", 50, 150), [49, 75, 151], "uint8") == [0, 0.25, 1]
    assert scale(ThermalScaling("range", -10, 30), [-20, -10, 10, 40], "float32") == [0, 0, 0.5, 1]


def test_the_whole_range_of_the_bit_depth() -> None:
    assert scale(ThermalScaling(), [0, 51, 255], "uint8") == pytest.approx([0, 0.2, 1])
    assert scale(ThermalScaling(), [0, 13107, 65535]) == pytest.approx([0, 0.2, 1])
    with pytest.raises(DataError, match=r"x\.tif: float thermal values need a thermal_range"):
        ThermalScaling()(np.zeros((2, 2), np.float32), "x.tif")


@pytest.mark.parametrize(
    ("unit", "values", "dtype"),
    [
        ("kelvin", [260.0, 270.0, 285.0, 300.0, 330.0, 400.0], "float32"),
        ("celsius", [-13.15, -3.15, 11.85, 26.85, 56.85, 126.85], "float32"),
        ("centikelvin", [26000, 27000, 28500, 30000, 33000, 40000], "uint16"),
        ("decikelvin", [2600, 2700, 2850, 3000, 3300, 4000], "uint16"),
        ("fahrenheit", [8.33, 26.33, 53.33, 80.33, 134.33, 260.33], "float32"),
        ("centicelsius", [-1315, -315, 1185, 2685, 5685, 12685], "int16"),
        ("decicelsius", [-131.5, -31.5, 118.5, 268.5, 568.5, 1268.5], "float32"),
        ("tlinear_0.04", [6500, 6750, 7125, 7500, 8250, 10000], "uint16"),
        ("tlinear_0.4", [650, 675, 712.5, 750, 825, 1000], "float32"),
    ],
)
def test_kelvin_of_values_in_each_unit(unit: str, values: list[float], dtype: str) -> None:
    """The same temperatures give the same, whichever unit the file has."""
    scaling = ThermalScaling("kelvin", 270, 330, unit)
    assert scale(scaling, values, dtype) == pytest.approx([0, 0, 0.25, 0.5, 1, 1], abs=1e-6)


def test_every_unit_is_tested() -> None:
    tested = {mark.args[1][k][0] for mark in test_kelvin_of_values_in_each_unit.pytestmark for k in range(9)}
    assert set(UNITS) == tested


def test_gain_control_by_percentiles_of_each_image() -> None:
    ramp = np.arange(101, dtype=np.uint16)[None]
    scaling = ThermalScaling("gain_control", 10, 90)
    expected = np.clip((np.arange(101) - 10) / 80, 0, 1)
    np.testing.assert_allclose(scaling(ramp)[0], expected, atol=1e-6)
    np.testing.assert_allclose(scaling(ramp * 7 + 20000)[0], expected, atol=1e-5)  # of another camera
    np.testing.assert_allclose(scaling((ramp / 50 - 3).astype(np.float32))[0], expected, atol=1e-5)
    assert scale(ThermalScaling("gain_control", 0, 100), [5, 10, 15], "uint8") == [0, 0.5, 1]


@pytest.mark.parametrize(("dtype", "value"), [("uint8", 0), ("uint16", 65535), ("float32", 301.7)])
def test_gain_control_of_an_image_of_one_value(dtype: str, value: float) -> None:
    assert scale(ThermalScaling("gain_control", 1, 99), [value] * 5, dtype) == [0] * 5


@pytest.mark.parametrize("kind", ["range", "kelvin", "gain_control"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(kind: Any, value: float) -> None:
    counts = np.full((2, 2), 300.0, np.float32)
    counts[1, 1] = value
    with pytest.raises(DataError, match=r"a/b\.npy: thermal values that are not finite .* fill them first"):
        ThermalScaling(kind, 1, 99, "kelvin")(counts, Path("a/b.npy"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("range", 5.0, None), "thermal range: give both low and high"),
        (("range", None, 5.0), "thermal range: give both low and high"),
        (("kelvin", None, None, "kelvin"), "thermal kelvin: give both low and high"),
        (("gain_control",), "thermal gain_control: give both low and high"),
        (("range", 5.0, 5.0), "low must be less than high, not 5 and 5"),
        (("range", float("nan"), 5.0), "low must be less than high, not nan and 5"),
        (("range", 0.0, float("inf")), "low must be less than high, not 0 and inf"),
        (("gain_control", -1.0, 99.0), r"percentiles in 0\.\.100, not -1 and 99"),
        (("gain_control", 1.0, 101.0), r"percentiles in 0\.\.100, not 1 and 101"),
        (("kelvin", 270.0, 330.0), "unit 'counts'; give one of kelvin, celsius, fahrenheit, centikelvin"),
        (("kelvin", 270.0, 330.0, "rankine"), "unit 'rankine'; give one of"),
    ],
)
def test_scalings_that_cannot_be(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        ThermalScaling(*arguments)


def test_in_words() -> None:
    assert str(ThermalScaling()) == "the whole range of the bit depth"
    assert str(ThermalScaling("range", 1000, 2000.5)) == "1000 to 2000.5"
    assert str(ThermalScaling("kelvin", 270, 330, "celsius")) == "270 K to 330 K (celsius)"
    assert str(ThermalScaling("gain_control", 1, 99)) == "percentiles 1 to 99 of each image"
    assert ThermalScaling("range", 1, 2).range == (1, 2)
    assert ThermalScaling().range is None
    assert ThermalScaling("kelvin", 270, 330, "celsius").range is None


@pytest.mark.parametrize(
    ("value", "scaling"),
    [
        (None, None),
        (ThermalScaling("range", 1, 2), ThermalScaling("range", 1, 2)),
        ([1, 2], ThermalScaling("range", 1.0, 2.0)),
        ((1.5, 2), ThermalScaling("range", 1.5, 2.0)),
        ({"low": 1, "high": 2}, ThermalScaling("range", 1.0, 2.0)),
        ({"kind": "range", "low": "1e3", "high": "2e3"}, ThermalScaling("range", 1000.0, 2000.0)),
        ({"kind": "range", "low": None, "high": None}, ThermalScaling()),
        ({"kind": "gain_control"}, ThermalScaling("gain_control", 1.0, 99.0)),
        ({"kind": "gain_control", "high": 98}, ThermalScaling("gain_control", 1.0, 98.0)),
        (
            {"kind": "kelvin", "low": 270, "high": 330, "unit": "celsius"},
            ThermalScaling("kelvin", 270.0, 330.0, "celsius"),
        ),
    ],
)
def test_forms_that_are_understood(value: Any, scaling: ThermalScaling | None) -> None:
    assert parse_thermal(value, "here") == scaling


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5, "thermal_range must be"),
        ("auto", "thermal_range must be"),
        ("19", "thermal_range must be"),  # not 1 to 9
        ([1], "thermal_range must be"),
        ([1, 2, 3], "thermal_range must be"),
        (["a", "b"], "thermal_range must be"),
        ([2, 1], "low must be less than high"),
        ({"low": 1}, "give both low and high"),
        ({"kind": "kelvin", "unit": "celsius"}, "give both low and high"),
        ({"kind": "minmax"}, "kind 'minmax': there are range, kelvin and gain_control"),
        ({"kind": None, "low": 1, "high": 2}, "there are range, kelvin and gain_control"),
        ({"kind": ["range"], "low": 1, "high": 2}, "there are range, kelvin and gain_control"),
        ({"low": 1, "hihg": 2}, "thermal_range must be"),
        ({"low": [1], "high": 2}, "thermal_range must be"),
        ({"low": "cold", "high": "hot"}, "thermal_range must be"),
        ({"kind": "kelvin", "low": 270, "high": 330}, "unit 'counts'"),
        ({"kind": "kelvin", "low": 270, "high": 330, "unit": ["celsius"]}, "thermal_range must be"),
        ({"kind": "gain_control", "low": 99, "high": 1}, "low must be less than high"),
    ],
)
def test_forms_that_are_not(tmp_path: Path, value: Any, words: str) -> None:
    with pytest.raises(DataError, match=f"^here: .*{words}") as caught:
        parse_thermal(value, "here")
    assert "\n" not in str(caught.value)
    text = yaml.safe_dump({"classes": list(CLASSES), "thermal_range": value})
    (make_folder(tmp_path) / "classes.yaml").write_text(text)
    with pytest.raises(DataError, match=rf"classes\.yaml: .*{words}"):
        open_dataset(tmp_path, "train")


@pytest.mark.parametrize(
    ("yaml_value", "low", "high"),
    [
        ("{kind: range, low: 18000, high: 23000}", 18000, 23000),
        ("{kind: kelvin, low: 180, high: 230, unit: centikelvin}", 18000, 23000),
        ("{kind: kelvin, low: 1800, high: 2300, unit: decikelvin}", 18000, 23000),
        ("[18000, 23000]", 18000, 23000),
        ("{low: 18000, high: 23000}", 18000, 23000),
    ],
)
def test_yaml_of_a_data_set(tmp_path: Path, yaml_value: str, low: float, high: float) -> None:
    text = f"classes: [{', '.join(CLASSES)}]\nthermal_range: {yaml_value}\n"
    (make_folder(tmp_path, bit_depth=16, ext="tiff") / "classes.yaml").write_text(text)
    counts = to_16_bit(make_arrays(1)[1]).astype(float)
    dataset = open_dataset(tmp_path, "train")
    np.testing.assert_allclose(dataset[1].thermal[0].numpy(), (counts - low) / (high - low), atol=1e-6)
    asked = open_dataset(tmp_path, "train", thermal_range={"low": 0, "high": 50000})  # before what the YAML says
    np.testing.assert_allclose(asked[1].thermal[0].numpy(), counts / 50000, atol=1e-6)


def test_gain_control_of_a_data_set(tmp_path: Path) -> None:
    text = f"classes: [{', '.join(CLASSES)}]\nthermal_range: {{kind: gain_control, low: 5, high: 95}}\n"
    (make_folder(tmp_path, bit_depth=16) / "classes.yaml").write_text(text)
    for number, sample in enumerate(open_dataset(tmp_path, "train")):
        counts = to_16_bit(make_arrays(number)[1]).astype(float)
        low, high = np.percentile(counts, [5, 95])
        np.testing.assert_allclose(sample.thermal[0].numpy(), np.clip((counts - low) / (high - low), 0, 1), atol=1e-5)


def test_a_unit_needs_the_kind_kelvin() -> None:
    with pytest.raises(DataError, match="unit 'celsius' is for kind: kelvin"):
        parse_thermal({"low": 270, "high": 330, "unit": "celsius"}, "here")


@pytest.mark.parametrize(("high", "refused"), [(18500, True), (19000, False)])
def test_a_range_that_clips_half_of_a_split_is_refused(tmp_path: Path, high: int, refused: bool) -> None:
    """Before training, as `predict` refuses such an image: the values would all be 0 or 1."""
    root = make_folder(tmp_path, bit_depth=16)
    dataset = open_dataset(root, "train", thermal_range=(18000, high))
    counts = np.concatenate([dataset.arrays(index).thermal.ravel() for index in range(len(dataset))])
    share = 100 * np.mean(counts > high)
    assert (share >= 50) == refused
    if not refused:
        assert dataset.check().sum() == counts.size
        return
    with pytest.raises(
        DataError, match=rf"split 'train': {share:.0f}% of .* outside the thermal_range 18000 to {high}"
    ):
        dataset.check()
