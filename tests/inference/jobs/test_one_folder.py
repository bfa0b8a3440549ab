"""One folder that cameras write both images into, patterns of names, and what is said about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cimnet
from cimnet.data.io.bands import Bands
from cimnet.data.io.thermal_scaling import ThermalScaling
from cimnet.errors import ConfigError, DataError, DataWarning
from cimnet.inference import Predictor
from cimnet.inference.jobs import Job, NameRules, match_pairs, predict_job
from tests.conftest import Result, Trained
from tests.fakes.layouts import HEIGHT, WIDTH, make_folder, make_mfnet, make_one_folder


def drone(folder: Path) -> Path:
    return make_one_folder(
        folder, *((f"DJI_2024013112000{k}_000{k}_V", f"DJI_2024013112000{k + k % 2}_000{k}_T") for k in range(3))
    )


def test_predict_one_folder_is_predict_two_folders(
    trained: Trained, tmp_path: Path, cli: Callable[..., Result]
) -> None:
    both = drone(tmp_path / "DCIM")
    result = cli(
        "predict", trained.folder, "--rgb", both, "--thermal", both, "--out", tmp_path / "a", "--device", "cpu"
    )
    assert result.code == 0, result.err
    assert "3 pairs by name: RGB with v, thermal with t; in 1 pair the times in the names differ, by up to 1 s" in (
        " ".join(result.out.split())
    )
    for word, name in (("V", "rgb"), ("T", "thermal")):
        (tmp_path / name).mkdir()
        for path in both.glob(f"*_{word}.png"):
            path.rename(tmp_path / name / f"{path.stem[-6:-2]}.png")
    again = ("--rgb", tmp_path / "rgb", "--thermal", tmp_path / "thermal", "--out", tmp_path / "b", "--device", "cpu")
    assert cli("predict", trained.folder, *again).code == 0
    masks = sorted((tmp_path / "a" / "masks").iterdir())
    assert [mask.name for mask in masks][:2] == ["DJI_20240131120000_0000.png", "DJI_20240131120001_0001.png"]
    for mask, other in zip(masks, sorted((tmp_path / "b" / "masks").iterdir()), strict=True):
        np.testing.assert_array_equal(np.array(Image.open(mask)), np.array(Image.open(other)))


def test_one_folder_of_4_channel_files_stays_one(tmp_path: Path) -> None:
    folder = make_mfnet(tmp_path) / "images"
    matched = match_pairs(folder, folder)
    assert [rgb == thermal for _, rgb, thermal in matched.pairs] == [True] * 6
    assert matched.taken == ""


def test_a_folder_of_pairs_given_for_rgb_alone_is_said(tmp_path: Path) -> None:
    matched = match_pairs(drone(tmp_path / "d"), None)
    assert len(matched.pairs) == 6
    assert "holds pairs by their names, and all of it counts as RGB; give it for --thermal, too" in matched.taken


def test_patterns_and_the_yaml_of_the_folder(tmp_path: Path) -> None:
    folder = make_one_folder(tmp_path / "d", ("cam1 0001 x", "cam2 0001 y"), ("cam1 0002 xx", "cam2 0003 y"))
    with pytest.raises(DataError, match="say how names differ"):
        match_pairs(folder / "..", folder)
    rules = NameRules("cam1 {name} {*}", "cam2 {name} {*}")
    matched = match_pairs(folder, folder, rules=rules)
    assert [name for name, _, _ in matched.pairs] == ["0001"]
    assert {path.stem for path in matched.unmatched} == {"cam1 0002 xx", "cam2 0003 y"}
    (folder / "classes.yaml").write_text('files: {rgb: "cam1 {name} {*}", thermal: "cam2 {name} {*}"}\n')
    assert match_pairs(folder, folder).pairs == matched.pairs


def test_the_yaml_of_the_folder_says_its_bands(trained: Trained, tmp_path: Path) -> None:
    """As `--rgb-bands` does; an option comes before it."""
    pytest.importorskip("rasterio")
    both, masks = drone(tmp_path / "d"), {}
    given: dict[str, Bands] = {"option": Bands((3, 2, 1)), "yaml": Bands((3, 2, 1)), "other": Bands((1, 2, 3))}
    for name, bands in given.items():
        (both / "classes.yaml").write_text("{}" if name == "option" else "bands: {rgb: [3, 2, 1]}\n")
        settings = {} if name == "yaml" else {"bands": bands}
        job = Job.of(trained.folder, tmp_path / name, rgb=both, thermal=both, device="cpu", settings=settings)
        predict_job(job)
        masks[name] = [path.read_bytes() for path in sorted((tmp_path / name / "overlays").iterdir())]
    assert masks["yaml"] == masks["option"]
    assert masks["yaml"] != masks["other"]


def test_the_yaml_of_the_folder_says_its_second_images(trained: Trained, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", 3)
    (root / "thermal").rename(root / "nir")
    (root / "classes.yaml").write_text("second: {name: nir}\n")
    pairs = match_pairs(root, root).pairs
    assert [(rgb and rgb.parent.name, nir and nir.parent.name) for _, rgb, nir in pairs] == [("rgb", "nir")] * 3
    job = Job.of(trained.folder, tmp_path / "out", rgb=root, thermal=root, device="cpu")
    with pytest.raises(DataError, match=r"its second images are nir \(1 channel\), where thermal .* is asked for"):
        predict_job(job)
    assert not (tmp_path / "out").exists()


def in_celsius(folder: Path, unit: str) -> Path:
    """Two pairs of 15 to 34 degrees Celsius in this unit, which the folder's YAML says."""
    make_one_folder(folder, ("a_V", "a_T"), ("b_V", "b_T"))
    for number, name in enumerate("ab"):
        tenths = np.roll(np.linspace(150, 340, HEIGHT * WIDTH).astype(np.uint16), 99 * number).reshape(HEIGHT, WIDTH)
        Image.fromarray(tenths * {"decicelsius": 1, "centicelsius": 10}[unit]).save(folder / f"{name}_T.png")
    (folder / "classes.yaml").write_text(
        f"thermal_range: {{kind: kelvin, low: 270, high: 330, unit: {unit}}}\n"
        "files: {rgb: '{name}_V', thermal: '{name}_T'}\n"
    )
    return folder


@pytest.fixture
def celsius(trained: Trained, tmp_path: Path) -> Path:
    """A checkpoint for images of 15 to 35 degrees in hundredths of a degree."""
    predictor = cimnet.load(trained.folder, "cpu")
    scaling = ThermalScaling("kelvin", 288.15, 308.15, "centicelsius")
    info = replace(predictor.info, scaling=scaling, thermal_dtype="uint16")
    Predictor(predictor.model, info, predictor.device).save(tmp_path / "celsius")
    return tmp_path / "celsius"


def test_the_yaml_of_the_folder_says_its_unit(celsius: Path, tmp_path: Path) -> None:
    """Images in another unit than in training give the masks of the same temperatures, and are what `eval` sees."""
    masks = {}
    for unit in ("centicelsius", "decicelsius"):
        folder = in_celsius(tmp_path / unit, unit)
        predict_job(Job.of(celsius, tmp_path / f"out {unit}", rgb=folder, thermal=folder, device="cpu"))
        masks[unit] = [path.read_bytes() for path in sorted((tmp_path / f"out {unit}" / "masks").iterdir())]
    assert len(masks["decicelsius"]) == 2
    assert masks["decicelsius"] == masks["centicelsius"]
    seen = cimnet.load(celsius, "cpu").open_dataset(folder, "all", require_labels=False).read(1).thermal
    loaded = cimnet.load(celsius, "cpu", thermal_unit="decicelsius")
    np.testing.assert_array_equal(loaded.tensors(folder / "b_V.png", folder / "b_T.png")[1], seen)
    assert 0.0 <= float(seen.min()) < 0.01 < 0.94 < float(seen.max()) < 0.96
    with pytest.raises(ConfigError, match="thermal_unit is degrees, expected one of kelvin, celsius"):
        cimnet.load(celsius, "cpu", thermal_unit="degrees")


def test_a_record_without_a_unit_is_continued_where_nothing_was_converted(celsius: Path, tmp_path: Path) -> None:
    """Masks that were made of unconverted values stay another prediction."""
    for unit in ("centicelsius", "decicelsius"):
        folder, out = in_celsius(tmp_path / unit, unit), tmp_path / f"out {unit}"
        predict_job(Job.of(celsius, out, rgb=folder, thermal=folder, device="cpu"))
        record = json.loads((out / "prediction.json").read_text())
        assert record.pop("thermal_unit", None) == (None if unit == "centicelsius" else unit)
        (out / "prediction.json").write_text(json.dumps(record))  # as an older version wrote it
        job = Job.of(celsius, out, rgb=folder, thermal=folder, device="cpu", resume=True)
        if unit == "centicelsius":
            predict_job(job)
        else:
            with pytest.raises(ConfigError, match=r"made with other settings: .*thermal_unit"):
                predict_job(job)


def test_a_border_in_the_yaml_of_the_folder_stays_and_is_said(trained: Trained, tmp_path: Path) -> None:
    both = drone(tmp_path / "d")
    (both / "classes.yaml").write_text("border: [4, 0, 0, 2]\n")
    job = Job.of(trained.folder, tmp_path / "out", rgb=both, thermal=both, device="cpu")
    with pytest.warns(DataWarning, match=r"classes\.yaml: the border \[4, 0, 0, 2\] is not cut off: masks have"):
        predict_job(job)
    sizes = {Image.open(path).size for path in (tmp_path / "out" / "masks").iterdir()}
    assert sizes == {(WIDTH, HEIGHT)}


def test_two_folders_by_time_within_a_gap(tmp_path: Path) -> None:
    rgb = make_one_folder(tmp_path / "rgb", ("1706702400.000", "1706702401.000"))
    thermal = make_one_folder(tmp_path / "thermal", ("1706702400.300", "1706702401.300"))
    assert len(match_pairs(rgb, thermal, rules=NameRules(max_gap=0.5)).pairs) == 2
    with pytest.raises(DataError, match="have times near each other"):
        match_pairs(rgb, thermal, rules=NameRules(max_gap=0.1))


def test_a_folder_that_lists_its_pairs_is_not_paired_by_names(tmp_path: Path) -> None:
    both = drone(tmp_path / "DCIM")
    assert match_pairs(both, both).pairs
    (both / "pairs.csv").write_text("rgb,thermal\na.jpg,b.jpg\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"pairs\.csv: the folder lists its pairs; .* --pairs"):
        match_pairs(both, both)


def test_patterns_that_are_none() -> None:
    with pytest.raises(ConfigError, match="belong together; give both"):
        NameRules("{name}_V")
    with pytest.raises(ConfigError, match="--thermal-pattern: pattern 'x': expected"):
        NameRules("{name}_V", "x")
    with pytest.raises(ConfigError, match="--pairs names both images"):
        Job.of("m", "out", pairs="p.csv", names=NameRules())


def test_a_run_does_not_go_on_with_other_patterns_of_the_folder(trained: Trained, tmp_path: Path) -> None:
    """Those in its YAML: the names stay, the files are others."""
    both, out = drone(tmp_path / "DCIM"), tmp_path / "out"
    thermal = [path for path in both.iterdir() if path.stem.endswith("_T")]
    for path in thermal:
        path.with_stem(path.stem.removesuffix("_T") + "_U").write_bytes(path.read_bytes())
    for letter, refused in (("T", False), ("U", True)):
        text = f"files: {{rgb: 'DJI_{{*}}_{{name}}_V', thermal: 'DJI_{{*}}_{{name}}_{letter}'}}\n"
        (both / "classes.yaml").write_text(text)
        job = Job.of(trained.folder, out, rgb=both, thermal=both, device="cpu", resume=True)
        if not refused:
            predict_job(job)
            continue
        with pytest.raises(ConfigError, match="made from other files than are given now: 0000"):
            predict_job(job)


def test_a_run_resumes_with_the_same_patterns_only(
    trained: Trained, tmp_path: Path, cli: Callable[..., Result]
) -> None:
    both = drone(tmp_path / "DCIM")
    base = ("predict", trained.folder, "--rgb", both, "--thermal", both, "--out", tmp_path / "a", "--device", "cpu")
    patterns = ("--rgb-pattern", "DJI_{*}_{name}_V", "--thermal-pattern", "DJI_{*}_{name}_T")
    assert cli(*base, *patterns).code == 0
    assert sorted(path.stem for path in (tmp_path / "a" / "masks").iterdir()) == ["0000", "0001", "0002"]
    assert json.loads((tmp_path / "a" / "prediction.json").read_text())["rgb_pattern"] == "DJI_{*}_{name}_V"
    assert cli(*base, *patterns, "--resume").code == 0
    assert cli(*base, "--resume").code == 2
