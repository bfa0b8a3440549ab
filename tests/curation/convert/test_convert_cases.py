"""What converting does to single files, and how it fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from cimnet.curation.convert import _reader, convert
from cimnet.data import LAYOUTS, open_dataset
from cimnet.data.io.thermal_files import thermal_unit
from cimnet.errors import CimnetError, DataError, DataWarning
from tests.fakes import layouts as fakes
from tests.fakes.killer import deadly
from tests.fakes.layouts import HEIGHT, WIDTH, make_arrays, save_array, write_list

from .test_convert import NAMES, assert_same, lists_below, make_source


def test_files_that_do_not_change_are_copied(tmp_path: Path) -> None:
    source = fakes.make_folder(tmp_path / "source", ext="jpg")
    convert(source, tmp_path / "folder", "folder")
    for path in sorted(source.glob("*/*.jpg")):
        assert (tmp_path / "folder" / path.relative_to(source)).read_bytes() == path.read_bytes()
    (source / "classes.yaml").write_text(yaml.safe_dump({"classes": list(LAYOUTS["mfnet"].info.classes.names)}))
    convert(source, tmp_path / "msrs", "msrs")
    assert sorted({path.suffix for path in (tmp_path / "msrs").rglob("*.*") if path.is_file()}) == [".png"]
    assert_same(open_dataset(source, "all"), open_dataset(tmp_path / "msrs", "all"))
    four = fakes.make_mfnet(tmp_path / "four")
    convert(four, tmp_path / "mfnet", "mfnet", splits=["test", "train"])
    for path in sorted((tmp_path / "mfnet" / "images").iterdir()):
        assert path.read_bytes() == (four / "images" / path.name).read_bytes()
    deep = fakes.make_folder(tmp_path / "deep", ext="jpg", bit_depth=16)
    convert(deep, tmp_path / "cart", "cart", class_map={"background": "road", "car": "vehicles"})
    copied = (tmp_path / "cart" / "color" / "000_eo-0.jpg").read_bytes()
    assert copied == (deep / "rgb" / "000.jpg").read_bytes()


def test_a_file_whose_name_lies_gets_the_right_extension(tmp_path: Path) -> None:
    source = fakes.make_folder(tmp_path / "source")
    save_array(source / "rgb" / "000.png", make_arrays(0)[0], "BMP")
    convert(source, tmp_path / "there", "folder")
    assert (tmp_path / "there" / "rgb" / "000.bmp").read_bytes() == (source / "rgb" / "000.png").read_bytes()


def test_photographs_lying_on_their_side_are_set_upright(tmp_path: Path) -> None:
    source = fakes.make_folder(tmp_path / "source")
    exif = Image.Exif()
    exif[0x0112] = 6
    for folder in ("rgb", "thermal", "labels"):
        path = source / folder / "000.png"
        Image.open(path).save(path, exif=exif)
    before = open_dataset(source, "train")
    assert before.arrays(0).rgb.shape == (WIDTH, HEIGHT, 3)
    convert(source, tmp_path / "there", "folder")
    with Image.open(tmp_path / "there" / "rgb" / "000.png") as image:
        assert image.getexif().get(0x0112) is None
    assert_same(before, open_dataset(tmp_path / "there", "train"))


@pytest.mark.parametrize("to", ["folder", "mfnet", "msrs", "coco_panoptic"])
@pytest.mark.parametrize("thermal", ["Thermal", "images"])
def test_mirrored_pairs_are_written_out(tmp_path: Path, thermal: str, to: str) -> None:
    source = tmp_path / "source"
    fakes.make_mfnet(source) if thermal == "images" else fakes.make_mfnet_separate(source, thermal)
    write_list(source / "train.txt", ["00000D", "00001N_flip"])
    write_list(source / "val.txt", ["00002D_flip"])
    there = convert(source, tmp_path / to, to, splits=None if to in ("folder", "mfnet") else ["train", "val"])
    for split in ("train", "val"):
        before, after = open_dataset(source, split), open_dataset(there, split)
        assert_same(before, after)
        assert not any(pair.mirrored for pair in after.pairs)


@pytest.mark.parametrize("to", ["folder", "mfnet", "msrs", "coco_panoptic"])
def test_borders_are_cut_off(tmp_path: Path, to: str) -> None:
    source = fakes.make_msrs(tmp_path / "source")
    (source / "classes.yaml").write_text("border: [1, 2, 3, 4]\n")
    before = open_dataset(source, "train")
    after = open_dataset(convert(source, tmp_path / to, to), "train")
    assert_same(before, after)
    assert after.arrays(0).rgb.shape == (HEIGHT - 4, WIDTH - 6, 3)
    assert after.file.border == (0, 0, 0, 0)


def test_scenes_told_for_one_split(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", "folder")
    (source / "scenes" / "fog.txt").unlink()
    write_list(source / "half_night.txt", [NAMES[4]])
    there = convert(source, tmp_path / "there", "folder")
    assert open_dataset(source, "half").scenes == open_dataset(there, "half").scenes == ["dark_night", "night"]
    assert "half_night.txt" not in lists_below(there)


def test_temperatures_stay_as_they_are(tmp_path: Path) -> None:
    source = fakes.make_folder(tmp_path / "source")
    for path in sorted((source / "thermal").iterdir()):
        path.unlink()
        kelvin = np.random.default_rng(int(path.stem)).normal(300, 9, (HEIGHT, WIDTH))
        if path.stem == "001":
            Image.fromarray(kelvin.astype(np.float32)).save(path.with_suffix(".tif"))
        else:
            np.save(path.with_suffix(".npy"), kelvin)
    scaling = {"kind": "kelvin", "low": 270, "high": 330, "unit": "kelvin"}
    (source / "classes.yaml").write_text(yaml.safe_dump({"classes": list(fakes.CLASSES), "thermal_range": scaling}))
    before = open_dataset(source, "all")
    for to in ("folder", "colors", "coco_panoptic"):
        after = open_dataset(convert(source, tmp_path / to, to), "all")
        assert_same(before, after)
        assert after.scaling == before.scaling
        assert after.arrays(0).thermal.dtype == np.float32
        assert {path.suffix for path in (tmp_path / to / "thermal").iterdir()} == {".tiff"}
    class_map = {"background": "unlabelled"}
    with pytest.raises(DataError, match=r"000.npy: float32 thermal values, but msrs holds uint8"):
        convert(source, tmp_path / "msrs", "msrs", class_map=class_map)
    with pytest.raises(DataError, match=r"000.npy: float32 thermal values, but cart holds uint16"):
        convert(source, tmp_path / "cart", "cart", class_map={"background": "ignore", "car": "vehicles"})
    after = open_dataset(convert(source, tmp_path / "msrs", "msrs", class_map=class_map, thermal="scale"), "all")
    expected = np.clip((before.arrays(0).thermal - 270) / 60, 0, 1) * 255
    assert np.abs(after.arrays(0).thermal - expected).max() <= 0.51
    assert after.scaling.low is None


def test_scaling_16_bits_needs_a_range(tmp_path: Path) -> None:
    source = fakes.make_folder(tmp_path / "source", bit_depth=16)
    with pytest.raises(DataError, match=r"000.png: 16-bit thermal values become 8 bits by a thermal_range"):
        convert(source, tmp_path / "there", "folder", thermal="scale")
    there = convert(source, tmp_path / "there", "folder", thermal="scale", thermal_range=(18000, 23100))
    values = make_arrays(0)[1].astype(float) * 20 / 5100 * 255
    assert np.abs(open_dataset(there, "train").arrays(0).thermal - values).max() <= 0.5001


def test_values_outside_the_range_are_not_clipped_in_silence(tmp_path: Path) -> None:
    source = fakes.make_folder(tmp_path / "source", n=4, bit_depth=16)
    values = open_dataset(source, "all").arrays(0).thermal
    found = f"outside the thermal range, 0 to 255: values {values.min()} to {values.max()}; .*--range.*--force-range"
    with pytest.raises(DataError, match=rf"000.png: 100% of the thermal values lie {found}"):
        convert(source, tmp_path / "there", "folder", thermal="scale", thermal_range=(0, 255))
    low, high = np.percentile(values, [0, 80])
    with pytest.warns(DataWarning, match=r"\d.png: \d+% of the thermal values lie outside the thermal range, "):
        convert(source, tmp_path / "there", "folder", thermal="scale", thermal_range=(low, high))
    with pytest.warns(DataWarning, match="they are clipped"):
        forced = convert(source, tmp_path / "f", "folder", thermal="scale", thermal_range=(0, 255), force_range=True)
    assert (open_dataset(forced, "all").arrays(0).thermal == 255).all()


def test_made_up_scenes_are_not_given_a_licence_of_others(tmp_path: Path) -> None:
    source = fakes.make_kust4k(tmp_path / "source")
    there = open_dataset(convert(source, tmp_path / "a", "folder"), "all")
    assert there.file.about["licence"] == "CC BY 4.0"
    (source / "synth.json").write_text("{}")
    assert open_dataset(convert(source, tmp_path / "b", "folder"), "all").file.about == {}


def test_an_empty_list_is_no_split(tmp_path: Path) -> None:
    source = fakes.make_kust4k(tmp_path / "source")
    write_list(source / "val.txt", [])
    there = convert(source, tmp_path / "there", "folder")
    assert not (there / "val.txt").exists()
    assert len(open_dataset(there, "all")) == 8
    (source / "val.txt").write_bytes(b"\xff\xfe0\x00")
    with pytest.raises(DataError, match=r"val.txt: cannot be read as UTF-8"):
        convert(source, tmp_path / "other", "folder")


def test_broken_pairs_may_be_left_out(tmp_path: Path) -> None:
    source = fakes.make_kust4k(tmp_path / "source")
    there = convert(source, tmp_path / "there", "kust4k", broken="drop")
    assert open_dataset(there, "train").ids == ["00003N"]
    assert open_dataset(there, "all", broken="drop").ids == ["00003N", "00004D", "00005N", "00006D", "00007N"]


@pytest.mark.slow  # two processes that load torch
def test_processes_change_nothing(tmp_path: Path) -> None:
    source = fakes.make_kust4k(tmp_path / "source", n=12)
    steps: list[tuple[int, int]] = []
    convert(source, tmp_path / "one", "coco_panoptic", progress=lambda done, of: steps.append((done, of)))
    assert steps == [(k + 1, 12) for k in range(12)]
    convert(source, tmp_path / "two", "coco_panoptic", workers=2)
    files = [sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*.*")) for n in ("one", "two")]
    assert files[0] == files[1]
    for path in files[0]:
        if (tmp_path / "one" / path).is_file():
            assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


def test_a_killed_process_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cimnet.curation.convert._reader", lambda dataset: deadly(_reader(dataset), "003"))
    source = fakes.make_folder(tmp_path / "source")
    with pytest.raises(CimnetError, match=r"worker process was killed \(out of memory\?\) at .*003.*use fewer workers"):
        convert(source, tmp_path / "there", "folder", workers=2)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError(28, "No space left on device"), DataError("x")])
def test_nothing_is_left_after_a_failure(tmp_path: Path, failure: BaseException | type[BaseException]) -> None:
    source = fakes.make_kust4k(tmp_path / "source")
    (tmp_path / "out").mkdir()

    def stop(done: int, _: int) -> None:
        assert (tmp_path / f".there.{os.getpid()}.part").is_dir()
        if done == 3:
            raise failure

    expected = KeyboardInterrupt if failure is KeyboardInterrupt else CimnetError
    with pytest.raises(expected) as caught:
        convert(source, tmp_path / "there", "folder", progress=stop)
    if isinstance(failure, OSError):
        assert "cannot be written (No space left on device)" in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"source", "out"}


def test_a_damaged_image_stops_it(tmp_path: Path) -> None:
    source = fakes.make_kust4k(tmp_path / "source")
    path = source / "TIR" / "00006D.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"00006D.png: cannot be read"):
        convert(source, tmp_path / "there", "folder")
    assert not (tmp_path / "there").exists()


def test_what_cannot_be_done(tmp_path: Path) -> None:
    source = fakes.make_folder(tmp_path / "source", names=["a", "b", "c_"])
    options: dict[str, Any] = {"class_map": {"background": "ignore", "car": "vehicles"}}
    with pytest.raises(DataError, match=r"no layout 'voc'; there are .*, colors"):
        convert(source, tmp_path / "x", "voc")
    with pytest.raises(DataError, match="thermal is keep or scale"):
        convert(source, tmp_path / "x", "folder", thermal="grey")  # type: ignore[arg-type]
    (tmp_path / "full" / "theirs").mkdir(parents=True)
    with pytest.raises(CimnetError, match="not empty; choose a new folder"):
        convert(source, tmp_path / "full", "folder")
    with pytest.raises(CimnetError, match="source: is the input folder"):
        convert(source, source, "folder")
    with pytest.raises(CimnetError, match=r"out: lies inside the input folder .*source; give an output"):
        convert(source, source / "deep" / "out", "folder")
    with pytest.raises(DataError, match="c_: a name that begins or ends with '_'"):
        convert(source, tmp_path / "x", "cart", **options)
    (source / "classes.yaml").unlink()
    with pytest.raises(DataError, match="no class names"):
        convert(source, tmp_path / "x", "folder")
    convert(source, tmp_path / "x", "folder", classes=["a", "b", "c"])
    assert open_dataset(tmp_path / "x", "all").classes == ("a", "b", "c")


def test_white_thermal_cannot_be_a_fourth_channel(tmp_path: Path) -> None:
    source = fakes.make_folder(tmp_path / "source")
    save_array(source / "thermal" / "004.png", np.full((HEIGHT, WIDTH), 255, np.uint8))
    with pytest.raises(DataError, match=r"004.png: thermal values of 255 everywhere would be read as opacity"):
        convert(source, tmp_path / "x", "mfnet", class_map={"background": "unlabelled"})


def test_missing_pixels_and_units_stay_where_files_are_written_anew(tmp_path: Path) -> None:
    source = fakes.make_folder(tmp_path / "source")
    for path in sorted((source / "thermal").iterdir()):
        path.unlink()
        counts = np.random.default_rng(int(path.stem)).integers(-900, 3000, (HEIGHT, WIDTH)).astype(np.int32)
        counts[10:14, 20:26] = -9999
        item = '<GDALMetadata><Item name="UNITTYPE" sample="0" role="unittype">cK</Item></GDALMetadata>'
        Image.fromarray(counts).save(path.with_suffix(".tif"), tiffinfo={42112: item, 42113: "-9999"})
    names = ", ".join(fakes.CLASSES)
    (source / "classes.yaml").write_text(f"classes: [{names}]\nthermal_range: [-1000, 3000]\nborder: 2\n")
    before = open_dataset(source, "all")
    after = open_dataset(convert(source, tmp_path / "there", "folder"), "all")
    assert_same(before, after)
    assert np.ma.getmaskarray(after.arrays(0).thermal).sum() == 24
    assert thermal_unit(tmp_path / "there" / "thermal" / "000.tiff") == "centikelvin"


def test_files_beside_images_are_copied_with_them(tmp_path: Path) -> None:
    source = fakes.make_folder(tmp_path / "source")
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[10:14, 20:26] = 0
    for folder in ("rgb", "thermal"):
        Image.fromarray(mask).save(source / folder / "000.png.msk", "TIFF")
    before = open_dataset(source, "all")
    after = open_dataset(convert(source, tmp_path / "there", "folder"), "all")
    assert_same(before, after)
    assert np.ma.getmaskarray(after.arrays(0).thermal).sum() == 24
    (source / "classes.yaml").write_text(yaml.safe_dump({"classes": list(LAYOUTS["mfnet"].info.classes.names)}))
    with pytest.raises(DataError, match=r"000\.png: missing pixels, which the 4-channel files of mfnet cannot mark"):
        convert(source, tmp_path / "mfnet", "mfnet")


def test_one_file_for_both_images_in_a_list_of_pairs(tmp_path: Path) -> None:
    source = fakes.make_mfnet(tmp_path / "source")
    name = "00000D"
    (source / "pairs.csv").write_text(
        f"rgb,thermal,label,name\nimages/{name}.png,images/{name}.png,labels/{name}.png,a\n"
    )
    (source / "classes.yaml").write_text(yaml.safe_dump({"classes": list(LAYOUTS["mfnet"].info.classes.names)}))
    before = open_dataset(source, "all")
    after = open_dataset(convert(source, tmp_path / "there", "folder", splits=["all"]), "all")
    assert_same(before, after)
