"""Second images that are not thermal: folder by name, channels, statistics; bands of one file for both images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cimnet.curation.check import check_dataset
from cimnet.data import SecondModality, collate, open_dataset, thermal_statistics, train_transform
from cimnet.data.boxes import boxes_of_pairs, read_boxes
from cimnet.data.corruptions import corrupt
from cimnet.data.io.bands import Bands
from cimnet.data.io.second_modality import THERMAL
from cimnet.data.io.thermal_files import Wanted, read_thermal_counts
from cimnet.errors import DataError
from tests.fakes.bands import CLASSES, HEIGHT, WIDTH, make_second, make_stack, write_bands

rasterio = pytest.importorskip("rasterio")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
NIR = SecondModality("nir", 2)


def stored(root: Path, number: int = 0, folder: str = "nir") -> Any:
    with rasterio.open(root / folder / f"{number}.tif") as file:
        return file.read()


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_the_folder_of_its_name_and_its_channels(tmp_path: Path, channels: int) -> None:
    second = SecondModality("nir", channels)
    dataset = open_dataset(make_second(tmp_path, channels=channels), "train", second=second)
    sample = dataset[0]
    np.testing.assert_allclose(sample.thermal.numpy(), stored(tmp_path).clip(0, 4000) / 4000, atol=1e-6)
    dataset.check()
    assert (dataset.thermal_dtype, dataset.second) == ("uint16", second)
    batch = collate([dataset[0], dataset[1]])
    assert batch.thermal.shape == (2, channels, HEIGHT, WIDTH)


@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_caches_hold_all_channels(tmp_path: Path, cache: Any) -> None:
    root = make_second(tmp_path / "data")
    plain = open_dataset(root, "train", second=NIR)[1]
    dataset = open_dataset(root, "train", second=NIR, cache=cache, cache_folder=tmp_path / "cache")
    for _ in range(2):
        assert dataset[1].thermal.equal(plain.thermal)


def test_the_folder_states_it(tmp_path: Path) -> None:
    root = make_second(tmp_path)
    (root / "classes.yaml").write_text(f"{CLASSES}second: {{name: nir, channels: 2}}\nthermal_range: [0, 4000]\n")
    dataset = open_dataset(root, "train")
    assert dataset.second == NIR
    assert dataset[0].thermal.shape == (2, HEIGHT, WIDTH)
    for other in (THERMAL, SecondModality("nir", 3), SecondModality("sar", 2)):
        with pytest.raises(DataError, match=r"its second images are nir \(2 channels\), where .* is asked for"):
            open_dataset(root, "train", second=other)


def test_its_name_in_files_and_bands(tmp_path: Path) -> None:
    root = make_second(tmp_path, channels=3)
    (root / "nir").rename(root / "infrared")
    lines = (
        f"{CLASSES}second: {{name: nir, channels: 2}}\nfiles: {{nir: 'infrared/{{name}}'}}\nbands: {{nir: [3, 1]}}\n"
    )
    (root / "classes.yaml").write_text(f"{lines}thermal_range: [0, 4000]\n")
    values = stored(root, folder="infrared")[[2, 0]]
    np.testing.assert_allclose(open_dataset(root, "train")[0].thermal.numpy(), values.clip(0, 4000) / 4000, atol=1e-6)
    (root / "classes.yaml").write_text(lines.replace("{nir: [3, 1]}", "{nir: [3, 1], thermal: 2}"))
    with pytest.raises(DataError, match="nir and thermal are both given; they mean the same"):
        open_dataset(root, "train")


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("second: nir", "second must be a mapping such as"),
        ("second: {name: nir, bands: 2}", "second must be a mapping such as"),
        ("second: {name: NIR}", "expected a word in lower case"),
        ("second: {name: rgb}", "other than rgb"),
        ("second: {name: nir, channels: 0}", "expected a number from 1 to 64"),
        ("second: {name: nir, channels: true}", "expected a number from 1 to 64"),
        ("second: {name: ../x}", "expected a word in lower case"),
    ],
)
def test_what_it_may_not_be(tmp_path: Path, yaml: str, words: str) -> None:
    root = make_second(tmp_path)
    (root / "classes.yaml").write_text(f"{CLASSES}{yaml}\n")
    with pytest.raises(DataError, match=rf"classes\.yaml: .*{words}"):
        open_dataset(root, "train")


def test_another_number_of_channels_is_refused(tmp_path: Path) -> None:
    root = make_second(tmp_path, channels=3)
    with pytest.raises(DataError, match=r"nir/0\.tif: 3 bands, where 2 are expected; choose them: --thermal-band 1,2"):
        open_dataset(root, "train", second=NIR).check()
    with pytest.raises(DataError, match=r"nir/0\.tif: 3 bands, and band 4 is asked for"):
        open_dataset(root, "train", second=SecondModality("nir", 4)).check()
    path = root / "nir" / "0.tif"
    with pytest.raises(DataError, match=r"the bands 1, 2, 3 are chosen, where nir \(2 channels\) is expected"):
        read_thermal_counts(path, Wanted(bands=Bands(thermal=(1, 2, 3)), second=NIR))
    np.save(root / "a.npy", np.zeros((4, 5), np.float32))
    with pytest.raises(DataError, match=r"a\.npy: an array \(4, 5\) of float32; expected numbers \(H, W, 2\) of nir"):
        read_thermal_counts(root / "a.npy", Wanted(second=NIR))
    np.save(root / "b.npy", np.ones((4, 5, 2), np.float32))
    assert read_thermal_counts(root / "b.npy", Wanted(second=NIR)).shape == (4, 5, 2)
    with pytest.raises(DataError, match=r"b\.npy: an array \(4, 5, 2\)"):
        read_thermal_counts(root / "b.npy")


def test_boxes_find_their_pairs_where_only_the_caller_names_it(tmp_path: Path) -> None:
    """As with a checkpoint of another second modality, on a folder whose YAML is silent."""
    dataset = open_dataset(make_second(tmp_path), "train", second=NIR)
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(f"image,class,x0,y0,x1,y1\n0.tif,{dataset.classes[0]},1,1,4,4\n")
    assert list(boxes_of_pairs(read_boxes(boxes), dataset).by_pair) == ["0"]


def test_layouts_of_thermal_data_hold_nothing_else(tmp_path: Path) -> None:
    from tests.fakes.layouts import make_kust4k

    with pytest.raises(DataError, match=r"the layout kust4k holds thermal images, not nir \(2 channels\)"):
        open_dataset(make_kust4k(tmp_path), "train", layout="kust4k", second=NIR)


def test_statistics_by_channel(tmp_path: Path) -> None:
    root = make_second(tmp_path)
    mean, std = thermal_statistics(open_dataset(root, "train", second=NIR))
    values = np.stack([stored(root, k) for k in range(4)]).clip(0, 4000) / 4000
    np.testing.assert_allclose(mean, values.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(std, values.std((0, 2, 3)), rtol=1e-4)


def test_missing_pixels_by_channel(tmp_path: Path) -> None:
    """Each band has pixels of its own that are missing: 0 for the model, the nearest value below the mask."""
    values = np.full((2, 6, 8), 7.0, np.float32)
    values[0, 2, 3], values[1, 4, 5] = -9999, -9999
    counts = read_thermal_counts(write_bands(tmp_path / "a.tif", values, nodata=-9999), Wanted(second=NIR))
    assert isinstance(counts, np.ma.MaskedArray)
    np.testing.assert_array_equal(np.argwhere(np.ma.getmaskarray(counts)), [[2, 3, 0], [4, 5, 1]])
    assert (np.ma.getdata(counts) == 7).all()


def test_bands_that_measure_in_different_units_are_refused(tmp_path: Path) -> None:
    path = write_bands(tmp_path / "a.tif", np.ones((2, 6, 8), np.uint16))
    with rasterio.open(path, "r+") as file:
        file.scales = (1.0, 0.1)
    with pytest.raises(DataError, match=r"a\.tif: its bands 1, 2 differ in scale, offset or unit"):
        read_thermal_counts(path, Wanted(second=NIR))


def test_the_transform_keeps_channels_together(tmp_path: Path) -> None:
    dataset = open_dataset(make_second(tmp_path), "train", second=NIR, transform=train_transform((32, 32)))
    assert dataset[0].thermal.shape == (2, 32, 32)


def test_what_is_for_one_channel_says_so(tmp_path: Path) -> None:
    root = make_second(tmp_path)
    sample = open_dataset(root, "train", second=NIR)[0]
    with pytest.raises(DataError, match="thermal_blur is for second images of one channel, and this one has 2"):
        corrupt(sample, "thermal_blur", 1)


def test_samples_of_different_channels_are_no_batch(tmp_path: Path) -> None:
    one = open_dataset(make_second(tmp_path / "a"), "train", second=NIR)[0]
    three = open_dataset(make_second(tmp_path / "b", channels=3), "train", second=SecondModality("nir", 3))[0]
    with pytest.raises(DataError, match="cannot batch 0, whose second image has 2 channels, with 0, which has 3"):
        collate([one, three])


def test_one_file_of_many_bands_serves_both_images(tmp_path: Path) -> None:
    """Six bands, more than Pillow opens: the size comes from the tags, the values from GDAL."""
    root = make_stack(tmp_path)
    dataset = open_dataset(root, "train")
    dataset.check()
    sample = dataset[0]
    with rasterio.open(root / "img" / "IMG_0000.tif") as file:
        values = file.read()
    np.testing.assert_array_equal((sample.rgb * 255).round().numpy(), np.rint(values[[2, 1, 0]] * (255 / 4000)))
    np.testing.assert_allclose(sample.thermal[0].numpy(), (values[5] / 100 - 280) / 30, atol=1e-4)
    report = check_dataset(root)
    assert [finding.code for finding in report.findings if finding.severity == "error"] == ["in-two-splits"]


def test_bands_are_not_guessed(tmp_path: Path) -> None:
    root = make_stack(tmp_path)
    text = (root / "classes.yaml").read_text()
    for old, new, words in (
        ("thermal: 6", "thermal: 7", "6 bands, and band 7 is asked for"),
        ("thermal: 6", "thermal: 0", "expected a number from 1"),
        ("thermal: 6", "thermal: [5, 6]", r"the bands 5, 6 are chosen, where thermal \(1 channel\) is expected"),
        (", rgb_range: [0, 4000]", "", "say which become 0 and 255"),
        ("bands: {rgb: [3, 2, 1], thermal: 6, rgb_range: [0, 4000]}\n", "", "6 bands.*`bands:` in classes.yaml"),
    ):
        (root / "classes.yaml").write_text(text.replace(old, new))
        with pytest.raises(DataError, match=words):
            open_dataset(root, "train").check()


def test_sizes_of_many_bands_are_compared(tmp_path: Path) -> None:
    root = make_stack(tmp_path)
    write_bands(root / "img" / "IMG_0001.tif", np.ones((6, HEIGHT, WIDTH + 2), np.uint16))
    with pytest.raises(DataError, match=r"IMG_0001\.png is 56x40 but .*IMG_0001\.tif is 58x40"):
        open_dataset(root, "train")
