"""A registered copy of a data set: thermal on RGB, everything else as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cimnet.curation.convert import convert
from cimnet.curation.register import register_dataset
from cimnet.data import open_dataset
from cimnet.data.synthetic import render
from cimnet.errors import CimnetError, DataError, DataWarning
from cimnet.registration import align_pair
from cimnet.registration.mapping import Mapping
from cimnet.registration.matrices import warp
from tests.fakes import flir
from tests.fakes.layouts import make_folder, make_kust4k, make_mfnet
from tests.fakes.matrices import invert
from tests.registration.test_bands import banded_pair

APPLIED = np.array([[1.0, 0.0, 9.0], [0.0, 1.0, -6.0]])
SHIFT = Mapping(np.array([[1.0, 0, 3], [0, 1, 2]]))


@pytest.fixture(scope="module")
def crooked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes whose thermal camera looks 9 pixels to the left and 6 down; the last is black in RGB."""
    root = tmp_path_factory.mktemp("crooked") / "data"
    for folder in ("rgb", "thermal", "labels"):
        (root / folder).mkdir(parents=True)
    drawn = (render(4, split="test", index=k, size=(256, 320), scale=0.5, late=0.0) for k in range(40))
    sound = (pair for pair in drawn if pair.scene == "day" and not pair.flags & {"rgb_broken", "thermal_broken"})
    for index, pair in zip(range(4), sound, strict=False):
        image = torch.from_numpy(pair.thermal.astype(np.float32))[None, None]
        moved = warp(image, invert(APPLIED), pair.thermal.shape)[0][0, 0].numpy()
        rgb = pair.rgb * 0 if index == 3 else pair.rgb
        Image.fromarray(rgb).save(root / "rgb" / f"{index}.jpg", quality=95)
        Image.fromarray(np.rint(moved).astype(np.uint8)).save(root / "thermal" / f"{index}.jpg", quality=95)
        Image.fromarray(pair.label).save(root / "labels" / f"{index}.png")
    (root / "train.txt").write_text("0\n1\n2\n3\n")
    (root / "classes.yaml").write_text("classes: [a, b, c, d, e, f, g, h, i]\n")
    return root


@pytest.mark.parametrize("per_pair", [False, True])
def test_offsets_are_gone_afterwards(crooked: Path, tmp_path: Path, per_pair: bool) -> None:
    calls: list[tuple[int, int]] = []
    done = register_dataset(
        crooked, tmp_path / "out", per_pair=per_pair, progress=lambda n, total: calls.append((n, total))
    )
    assert done.rig is not None  # one pair is black and needs it, or all do
    assert done.rig.dx == pytest.approx(9, abs=1.5)
    before, after = open_dataset(crooked, "train"), open_dataset(tmp_path / "out", "train")
    assert after.ids == before.ids
    for index in range(3):
        a, b = before.arrays(index), after.arrays(index)
        np.testing.assert_array_equal(a.rgb, b.rgb)
        np.testing.assert_array_equal(a.label, b.label)
        found = align_pair(b.rgb, b.thermal)
        assert found.dx is not None
        assert found.dy is not None
        assert np.hypot(found.dx, found.dy) < (0.7 if per_pair else 4)  # each scene has an offset of its own, too
    content = json.loads((tmp_path / "out" / "alignment.json").read_text())
    assert content["rig"]["status"] == "ok"
    assert content["fallback"] == (["3"] if per_pair else [])
    assert calls[-1] == (4, 4)
    assert (tmp_path / "out" / "thermal" / "0.png").is_file()
    assert not (tmp_path / "out" / "thermal" / "0.jpg").exists()


def test_thermal_pixels_move_by_the_matrix_and_keep_their_type(tmp_path: Path) -> None:
    for name, bit_depth in (("a", 8), ("b", 16)):
        root = make_folder(tmp_path / name, bit_depth=bit_depth)
        register_dataset(root, tmp_path / f"{name}_out", mapping=SHIFT)
        before, after = (open_dataset(folder, "train").arrays(0) for folder in (root, tmp_path / f"{name}_out"))
        assert after.thermal.dtype == before.thermal.dtype
        np.testing.assert_array_equal(after.thermal[:-2, :-3], before.thermal[2:, 3:])
        # the nearest values where the thermal image has nothing: zeros would widen its range
        np.testing.assert_array_equal(after.thermal[-2:, :-3], before.thermal[[-1, -1], 3:])
        np.testing.assert_array_equal(after.thermal[:-2, -3:], np.repeat(before.thermal[2:, -1:], 3, axis=1))


def test_arrays_of_temperatures_stay_arrays(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "a")
    values = np.random.default_rng(0).normal(20, 5, (32, 40))
    for path in (root / "thermal").iterdir():
        path.unlink()
        np.save(path.with_suffix(".npy"), values)
    register_dataset(root, tmp_path / "out", mapping=SHIFT)
    after = np.load(tmp_path / "out" / "thermal" / "000.npy")
    np.testing.assert_allclose(after[:-2, :-3], values[2:, 3:], rtol=1e-5)


def kelvin_folder(root: Path) -> Path:
    """Float TIFFs of 273.15 K and more that say their unit, with missing pixels of 1e4 below zero, in a data set of
    degrees Celsius."""
    make_folder(root, bit_depth=16)
    for path in (root / "thermal").iterdir():
        kelvin = (np.asarray(Image.open(path)).astype(np.float32) - 18000) / 100 + np.float32(273.15)
        kelvin[10:14, 20:26] = -9999
        path.unlink()
        item = '<GDALMetadata><Item name="UNITTYPE" sample="0" role="unittype">K</Item></GDALMetadata>'
        Image.fromarray(kelvin).save(path.with_suffix(".tif"), tiffinfo={42112: item, 42113: "-9999"})
    with (root / "classes.yaml").open("a") as file:
        file.write("thermal_range: {kind: kelvin, low: 273.15, high: 313.15, unit: celsius}\n")
    return root


@pytest.mark.parametrize("crop", [False, True])
def test_units_and_missing_pixels_of_thermal_files_stay(tmp_path: Path, crop: bool) -> None:
    root = kelvin_folder(tmp_path / "a")
    register_dataset(root, tmp_path / "out", mapping=SHIFT, crop=crop)
    before, after = open_dataset(root, "train"), open_dataset(tmp_path / "out", "train")
    a, b = before.arrays(0).thermal, after.arrays(0).thermal
    assert np.ma.getmaskarray(a).sum() == 24
    np.testing.assert_array_equal(np.ma.getmaskarray(b)[:30, :37], np.ma.getmaskarray(a)[2:, 3:])
    np.testing.assert_allclose(np.ma.getdata(b)[:30, :37], np.ma.getdata(a)[2:, 3:], atol=1e-3)
    values = after[0].thermal[0, :30, :37]
    torch.testing.assert_close(values, before[0].thermal[0, 2:, 3:], atol=1e-4, rtol=0)
    assert 0.1 < float(values.mean()) < 0.9
    assert float(values[8, 17]) == 0


def test_flir_files_stay_kelvin(tmp_path: Path) -> None:
    pytest.importorskip("flyr")
    root = make_folder(tmp_path / "a", ext="jpg")
    kelvin = np.linspace(280.0, 300.0, 32 * 40).reshape(32, 40)
    for path in (root / "thermal").iterdir():
        flir.write_flir(path, flir.to_raw(kelvin))
    with (root / "classes.yaml").open("a") as file:
        file.write("thermal_range: {kind: kelvin, low: 273.15, high: 313.15, unit: celsius}\n")
    register_dataset(root, tmp_path / "out", mapping=SHIFT)
    after = open_dataset(tmp_path / "out", "train").arrays(0).thermal
    np.testing.assert_allclose(after[:-2, :-3], kelvin[2:, 3:] - 273.15, atol=0.05)


def test_masks_beside_files_stay(tmp_path: Path) -> None:
    """Of RGB images, which are black there, as of 8-bit thermal images."""
    root = make_folder(tmp_path / "a")
    mask = np.full((32, 40), 255, np.uint8)
    mask[10:14, 20:26] = 0
    for path in [*(root / "rgb").iterdir(), *(root / "thermal").iterdir()]:
        Image.fromarray(mask).save(path.with_name(f"{path.name}.msk"), "TIFF")
    register_dataset(root, tmp_path / "out", mapping=SHIFT)
    before, after = (open_dataset(folder, "train").arrays(0) for folder in (root, tmp_path / "out"))
    np.testing.assert_array_equal(after.rgb, before.rgb)
    assert not after.rgb[10:14, 20:26].any()
    np.testing.assert_array_equal(np.ma.getmaskarray(after.thermal)[:-2, :-3], mask[2:, 3:] == 0)
    assert after.thermal.dtype == np.uint8


def test_missing_pixels_of_four_channel_files_are_refused(tmp_path: Path) -> None:
    root = make_mfnet(tmp_path / "a")
    mask = np.zeros((32, 40), np.uint8)
    mask[:, 4:] = 255
    Image.fromarray(mask).save(root / "images" / "00000D.png.msk", "TIFF")
    with pytest.raises(DataError, match=r"00000D\.png: missing pixels, which the 4-channel files .* data convert"):
        register_dataset(root, tmp_path / "out", mapping=SHIFT)


def test_labels_with_nodata_are_not_cropped(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "a")
    path = root / "labels" / "000.png"
    Image.open(path).save(path.with_suffix(".tif"), tiffinfo={42113: "77"})
    path.unlink()
    register_dataset(root, tmp_path / "whole", mapping=SHIFT)
    with pytest.raises(DataError, match=r"000\.tif: a label with a nodata value"):
        register_dataset(root, tmp_path / "out", mapping=SHIFT, crop=True)


def test_four_channel_files(tmp_path: Path) -> None:
    root = make_mfnet(tmp_path / "a")
    register_dataset(root, tmp_path / "out", mapping=SHIFT)
    before, after = (open_dataset(folder, "train").arrays(0) for folder in (root, tmp_path / "out"))
    np.testing.assert_array_equal(after.rgb, before.rgb)
    np.testing.assert_array_equal(after.thermal[:-2, :-3], before.thermal[2:, 3:])


def test_cropped_to_what_the_thermal_image_covers(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "a", ext="jpg")
    register_dataset(root, tmp_path / "out", mapping=SHIFT, crop=True)
    before, after = (open_dataset(folder, "train").arrays(0) for folder in (root, tmp_path / "out"))
    np.testing.assert_array_equal(after.rgb, before.rgb[:-2, :-3])
    np.testing.assert_array_equal(after.thermal, before.thermal[2:, 3:])
    assert before.label is not None
    np.testing.assert_array_equal(after.label, before.label[:-2, :-3])


def test_boxes_do_not_fit_cropped_images(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "a")
    (root / "split.json").write_text('{"seed": 0}')
    (root / "notes.json").write_text("not JSON")
    boxes = {"images": [{"id": 1, "file_name": "000.png"}], "categories": [{"id": 1, "name": "car"}]}
    boxes["annotations"] = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 9, 9]}]
    (root / "boxes.json").write_text(json.dumps(boxes))
    with pytest.raises(DataError, match=r"boxes\.json: .*not fit cropped images; .*`cimnet data label boxes`.*--crop"):
        register_dataset(root, tmp_path / "out", mapping=SHIFT, crop=True)
    register_dataset(root, tmp_path / "whole", mapping=SHIFT)
    assert (tmp_path / "whole" / "boxes.json").read_text() == (root / "boxes.json").read_text()
    (root / "boxes.json").unlink()
    register_dataset(root, tmp_path / "out", mapping=SHIFT, crop=True)
    assert (tmp_path / "out" / "split.json").is_file()


@pytest.mark.parametrize("folder", ["", "splits"])
def test_the_list_of_weakly_aligned_pairs_is_left_out(tmp_path: Path, folder: str) -> None:
    root = make_kust4k(tmp_path / "a")
    (root / folder).mkdir(exist_ok=True)
    (root / "weakly_aligned.txt").rename(root / folder / "weakly_aligned.txt")
    with pytest.warns(DataWarning, match=r"weakly_aligned\.txt: left out, .* `cimnet data stats .*out --write-lists"):
        register_dataset(root, tmp_path / "out", mapping=SHIFT)
    flags = [set().union(*open_dataset(data, "train").flags) for data in (root, tmp_path / "out")]
    assert flags == [{"rgb_broken", "thermal_broken", "weakly_aligned"}, {"rgb_broken", "thermal_broken"}]


def list_pairs(root: Path, ext: str = "png") -> Path:
    """A data set whose pairs stand in pairs.csv, in folders that no layout has; the split lists are gone."""
    make_folder(root, ext=ext)
    for name in ("rgb", "thermal", "labels"):
        (root / name).rename(root / f"my {name}")
    for path in root.glob("*.txt"):
        path.unlink()
    rows = [f"my rgb/{n:03d}.{ext},my thermal/{n:03d}.{ext},my labels/{n:03d}.png" for n in range(6)]
    splits = ["train"] * 4 + ["test", ""]
    lines = [f"{row},{split},drive/{n},x" for n, (row, split) in enumerate(zip(rows, splits, strict=True))]
    lines[5] = f"{rows[5].rpartition(',')[0]},,,,"
    (root / "pairs.csv").write_text("\n".join(["rgb,thermal,label,split,name,note", *lines]) + "\n")
    return root


@pytest.mark.parametrize("ext", ["png", "jpg"])
@pytest.mark.parametrize("crop", [False, True])
def test_lists_of_pairs_name_the_files_of_the_copy(tmp_path: Path, ext: str, crop: bool) -> None:
    root = list_pairs(tmp_path / "a", ext)
    register_dataset(root, tmp_path / "out", mapping=SHIFT, crop=crop)
    for split in ("train", "test", "all"):
        before, after = (open_dataset(d, split, require_labels=False) for d in (root, tmp_path / "out"))
        assert before.ids == after.ids
        for index in range(len(before)):
            a, b = before.arrays(index), after.arrays(index)
            np.testing.assert_array_equal(b.rgb[:30, :37], a.rgb[:30, :37])
            np.testing.assert_array_equal(b.thermal[:30, :37], a.thermal[2:, 3:])
            assert (a.label is None) == (b.label is None)
            assert b.rgb.shape[:2] == ((30, 37) if crop else (32, 40))
    assert before.ids[:2] == ["drive/0", "drive/1"]
    assert before.ids[5].startswith("my rgb/005")


@pytest.mark.parametrize("crop", [False, True])
def test_four_channel_files_in_a_list_of_pairs(tmp_path: Path, crop: bool) -> None:
    root = make_mfnet(tmp_path / "a")
    row = "images/{0}.png,./images/{0}.png,labels/{0}.png"
    (root / "pairs.csv").write_text("\n".join(["rgb,thermal,label", *map(row.format, ("00000D", "00001N"))]) + "\n")
    (root / "classes.yaml").write_text("classes: [a, b, c, d, e, f, g, h, i]\n")
    register_dataset(root, tmp_path / "out", mapping=SHIFT, crop=crop)
    before, after = (open_dataset(folder, "all").arrays(1) for folder in (root, tmp_path / "out"))
    np.testing.assert_array_equal(after.rgb[:30, :37], before.rgb[:30, :37])
    np.testing.assert_array_equal(after.thermal[:30, :37], before.thermal[2:, 3:])


def test_files_that_the_copy_has_no_place_for_are_refused(tmp_path: Path) -> None:
    root = list_pairs(tmp_path / "a", "jpg")
    (root / "my thermal").rename(tmp_path / "elsewhere")
    table = root / "pairs.csv"
    text = table.read_text()
    table.write_text(text.replace("my thermal", "../elsewhere"))
    with pytest.raises(DataError, match=r"000\.jpg: not named by a path below .*a, so that .* pairs\.csv"):
        register_dataset(root, tmp_path / "out", mapping=SHIFT)
    (tmp_path / "elsewhere").rename(root / "my thermal")
    for path in (root / "my rgb").iterdir():  # x.png and x.jpg: registered, both are x.png
        with Image.open(path) as image:
            image.save(root / "my thermal" / f"{path.stem}.png")
    table.write_text(text.replace("my rgb", "my thermal").replace(".jpg,my th", ".png,my th"))
    with pytest.raises(DataError, match=r"000\.png and .*000\.jpg would both be my thermal/000\.png in the copy"):
        register_dataset(root, tmp_path / "out", mapping=SHIFT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_folds_go_with_the_copy(tmp_path: Path, cli: Callable[..., Any]) -> None:
    root = make_folder(tmp_path / "a", n=12)
    assert cli("data", "split", root, "--folds", "3").code == 0
    register_dataset(root, tmp_path / "out", mapping=SHIFT)
    files = sorted(path.relative_to(root) for path in (root / "folds").rglob("*") if path.is_file())
    assert len(files) == 10
    for file in files:
        assert (tmp_path / "out" / file).read_bytes() == (root / file).read_bytes()
    assert open_dataset(tmp_path / "out", "folds/2/val").ids == open_dataset(root, "folds/2/val").ids


def test_panoptic_files_below_annotations_go_with_the_copy(tmp_path: Path) -> None:
    root = convert(make_folder(tmp_path / "a"), tmp_path / "coco", "coco_panoptic", splits=["train", "val", "test"])
    (root / "annotations").mkdir()
    for path in root.glob("panoptic_*"):
        path.rename(root / "annotations" / path.name)
    register_dataset(root, tmp_path / "out", mapping=SHIFT)
    before, after = (open_dataset(folder, "train").arrays(0) for folder in (root, tmp_path / "out"))
    assert before.label is not None
    np.testing.assert_array_equal(after.label, before.label)
    np.testing.assert_array_equal(after.thermal[:-2, :-3], before.thermal[2:, 3:])


def test_a_copy_that_cannot_be_opened_is_not_written(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "a")
    Image.fromarray(np.zeros((16, 20), np.uint8)).save(root / "labels" / "003.png")
    with pytest.raises(DataError, match=r"a: its copy could not be read: .*out/labels/003\.png is 20x16 but"):
        register_dataset(root, tmp_path / "out", mapping=SHIFT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_positions_in_place_of_a_matrix(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "a")
    y, x = np.mgrid[:32, :40].astype(float)
    register_dataset(root, tmp_path / "out", mapping=Mapping(positions=np.stack([x + 3, y + 2], -1)))
    register_dataset(root, tmp_path / "same", mapping=SHIFT)
    one, two = (open_dataset(tmp_path / name, "train").arrays(0).thermal for name in ("out", "same"))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("by_positions", [False, True])
def test_a_mapping_that_covers_little_or_nothing_is_said(tmp_path: Path, by_positions: bool) -> None:
    root = make_folder(tmp_path / "a")
    y, x = np.mgrid[:32, :40].astype(float)

    def moved(dx: float) -> Mapping:
        if by_positions:
            return Mapping(positions=np.stack([x + dx, y], -1), source="rig.yaml")
        return Mapping(np.array([[1.0, 0, dx], [0, 1, 0]]), source="rig.yaml")

    with pytest.warns(DataWarning, match=r"rig\.yaml: the thermal image covers only 25% of the RGB image"):
        register_dataset(root, tmp_path / "little", mapping=moved(30))
    with pytest.raises(DataError, match=r"000\.png: rig\.yaml: no pixel of the RGB image"):
        register_dataset(root, tmp_path / "nothing", mapping=moved(1000))
    register_dataset(root, tmp_path / "cropped", mapping=moved(30), crop=True)  # a warning would be an error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "cropped", "little"]


def test_pictures_that_tell_nothing(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "a")
    noise = np.random.default_rng(0).integers(0, 255, (6, 32, 40), dtype=np.uint8)
    for path, image in zip(sorted((root / "thermal").iterdir()), noise, strict=True):
        Image.fromarray(image).save(path)
    with pytest.raises(DataError, match=r"do not show .*--points"):
        register_dataset(root, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_nothing_is_left_where_it_fails(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "a")
    (root / "rgb" / "004.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"004\.png"):
        register_dataset(root, tmp_path / "out", mapping=SHIFT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
    with pytest.raises(CimnetError, match="out: exists and is not empty"):
        register_dataset(root, make_folder(tmp_path / "out"), mapping=SHIFT)
    with pytest.raises(CimnetError, match="a: is the input folder"):
        register_dataset(root, root, mapping=SHIFT)
    with pytest.raises(CimnetError, match="lies inside the input folder"):
        register_dataset(root, root / "out", mapping=SHIFT)


def test_cameras_of_different_size_and_field_of_view(crooked: Path, tmp_path: Path) -> None:
    root = tmp_path / "a"
    shutil.copytree(crooked, root)
    for path in (root / "thermal").iterdir():
        with Image.open(path) as image:  # four fifths of the field, at half the size
            image.crop((32, 26, 288, 230)).resize((128, 102), Image.Resampling.BOX).save(path, quality=95)
    for path in root.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    done = register_dataset(root, tmp_path / "out")
    assert done.rig is not None
    assert done.rig.matrix is not None
    # RGB (x, y) → whole thermal (x + 9, y − 6) → cropped → half the size
    np.testing.assert_allclose(done.rig.matrix[:, :2], np.eye(2) / 2, atol=0.02)
    x, y = done.rig.matrix @ [160, 128, 1]
    assert np.hypot(x - ((160 + 9 - 32 + 0.5) / 2 - 0.5), y - ((128 - 6 - 26 + 0.5) / 2 - 0.5)) < 1.5
    assert open_dataset(tmp_path / "out", "train").arrays(0).thermal.shape == (256, 320)


def test_command_for_one_pair(crooked: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    pair = ["--rgb", crooked / "rgb/0.jpg", "--thermal", crooked / "thermal/0.jpg"]
    found = json.loads(cli("data", "align", *pair, "--json", "--figure", tmp_path / "f.png").out)
    assert found["status"] == "ok"
    assert np.shape(found["matrix"]) == (2, 3)
    assert found["dx"] == pytest.approx(9, abs=6)
    assert 0.6 <= found["confidence"] <= 1
    assert (tmp_path / "f.png").is_file()
    with_objects = json.loads(cli("data", "align", *pair, "--json", "--label", crooked / "labels/0.png").out)
    assert all(thing["status"] in ("ok", "unknown") for thing in with_objects["objects"])
    ids = np.array(Image.open(crooked / "labels/0.png"))
    for name, values in (("three.png", np.dstack([ids] * 3)), ("nodata.tif", np.where(ids == 0, 9, ids))):
        Image.fromarray(values).save(tmp_path / name, **({"tiffinfo": {42113: "9"}} if name == "nodata.tif" else {}))
        as_data_sets = json.loads(cli("data", "align", *pair, "--json", "--label", tmp_path / name).out)
        assert as_data_sets["objects"] == with_objects["objects"]
    black = ["--rgb", crooked / "rgb/3.jpg", "--thermal", crooked / "thermal/3.jpg", "--json"]
    unknown = json.loads(cli("data", "align", *black).out)
    assert (unknown["status"], unknown["matrix"], unknown["dx"]) == ("unknown", None, None)


@pytest.mark.parametrize("by_points", [False, True])
def test_the_offset_of_a_smaller_thermal_image_is_in_rgb_pixels(
    crooked: Path, tmp_path: Path, cli: Callable[..., Any], by_points: bool
) -> None:
    thermal = tmp_path / "half.png"
    with Image.open(crooked / "thermal/0.jpg") as image:
        size = image.size
        image.resize((size[0] // 2, size[1] // 2), Image.Resampling.BOX).save(thermal)
    points = tmp_path / "p.csv"  # x + 9, y - 6, in pixels of half the size
    points.write_text("0,0,4.25,-3.25\n100,0,54.25,-3.25\n0,100,4.25,46.75\n90,90,49.25,41.75\n")
    more = ["--points", points] if by_points else []
    found = json.loads(cli("data", "align", "--rgb", crooked / "rgb/0.jpg", "--thermal", thermal, "--json", *more).out)
    close = 1e-6 if by_points else 6
    assert (found["dx"], found["dy"]) == (pytest.approx(9, abs=close), pytest.approx(-6, abs=close))
    said = f"dx, dy: pixels of the RGB image ({size[0]}x{size[1]}); the thermal image has {size[0] // 2}x{size[1] // 2}"
    pair = ["data", "align", "--rgb", crooked / "rgb/0.jpg", "--thermal"]
    assert said in cli(*pair, thermal, *more).out
    assert "pixels of the RGB image" not in cli(*pair, crooked / "thermal/0.jpg").out


def test_command_for_a_data_set(crooked: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    points = tmp_path / "p.csv"
    points.write_text("0,0,9,-6\n100,0,109,-6\n0,100,9,94\n90,90,99,84\n")
    result = cli("data", "align", crooked, tmp_path / "out", "--points", points, "--crop")
    assert result.code == 0, result.err
    assert "residual 0.00 px" in result.out
    size = open_dataset(tmp_path / "out", "train").arrays(0).rgb.shape
    assert size == (250, 311, 3)
    matrix = tmp_path / "m.json"
    matrix.write_text(json.dumps({"matrix": APPLIED.tolist()}))
    assert cli("data", "align", crooked, tmp_path / "by_matrix", "--calibration", matrix).code == 0
    assert np.shape(json.loads((tmp_path / "by_matrix" / "alignment.json").read_text())["matrix"]) == (2, 3)
    for extra in (["--json"], ["--label", points], ["--click", points], ["--figure", tmp_path / "f.png"]):
        refused = cli("data", "align", crooked, tmp_path / "x", *extra)
        assert (refused.code, "is for one pair" in refused.err) == (2, True)
    wrong = cli("data", "align", crooked)
    assert wrong.code == 2
    assert "give --rgb and --thermal" in wrong.err
    assert cli("data", "align", crooked, tmp_path / "x", "--points", points, "--calibration", matrix).code == 2


def test_sizes_that_a_calibration_or_a_crop_cannot_serve(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "a")
    with pytest.raises(DataError, match=r"000\.png: an RGB image of 40x32, but the calibration was read for 30x20"):
        register_dataset(root, tmp_path / "out", mapping=Mapping(positions=np.zeros((20, 30, 2))))
    with (root / "classes.yaml").open("a") as file:
        file.write("border: 2\n")
    with pytest.raises(DataError, match="cannot be cropped"):
        register_dataset(root, tmp_path / "out", mapping=SHIFT, crop=True)


def test_labels_of_few_bits_keep_their_values_when_cropped(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "a")
    for path in (root / "labels").iterdir():
        with Image.open(path) as image:
            ids = image.copy()
        ids.putpalette(range(9))
        ids.save(path, bits=4)
    before = open_dataset(root, "train").arrays(0).label
    register_dataset(root, tmp_path / "out", mapping=SHIFT, crop=True)
    after = open_dataset(tmp_path / "out", "train").arrays(0).label
    assert before is not None
    np.testing.assert_array_equal(after, before[:-2, :-3])


@pytest.mark.parametrize("colors", [2, 200, 256])
def test_pictures_with_a_palette_keep_their_colours_when_cropped(tmp_path: Path, colors: int) -> None:
    root = make_folder(tmp_path / "a")
    for path in (root / "rgb").iterdir():
        Image.open(path).quantize(colors).save(path)
    register_dataset(root, tmp_path / "out", mapping=SHIFT, crop=True)
    for path in (root / "rgb").iterdir():
        before = np.asarray(Image.open(path).convert("RGB"))
        after = np.asarray(Image.open(tmp_path / "out" / "rgb" / path.name).convert("RGB"))
        np.testing.assert_array_equal(after, before[:-2, :-3])


def test_labels_keep_their_palette_when_cropped(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "a")
    palette = [value for k in range(9) for value in (20 * k, 255 - k, k)]
    for path in (root / "labels").iterdir():
        label = Image.fromarray(np.asarray(Image.open(path)))
        label.putpalette(palette)
        label.save(path)
    register_dataset(root, tmp_path / "out", mapping=SHIFT, crop=True)
    for path in (root / "labels").iterdir():
        before, after = Image.open(path), Image.open(tmp_path / "out" / "labels" / path.name)
        assert after.mode == "P"
        np.testing.assert_array_equal(np.asarray(after), np.asarray(before)[:-2, :-3])
        np.testing.assert_array_equal(np.asarray(after.convert("RGB")), np.asarray(before.convert("RGB"))[:-2, :-3])


def test_what_one_matrix_leaves_over_is_said(tmp_path: Path, cli: Callable[..., Any]) -> None:
    """The middle third lies six pixels lower than one matrix can say; with nothing left over, nothing is said."""
    for name, middle in (("deep", 6), ("flat", 0)):
        for number in range(3):
            for kind, image in zip(("rgb", "thermal"), banded_pair(number, middle), strict=True):
                (tmp_path / name / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(tmp_path / name / kind / f"{number}.png")
    ran = cli("data", "align", tmp_path / "deep", tmp_path / "out")
    assert ran.code == 0, ran
    assert "offsets left after registration, px: rows 0 to 31 dx" in ran.out
    content = json.loads((tmp_path / "out" / "alignment.json").read_text())
    rows = [band["dy"] for band in content["left_over"]]
    assert np.mean(rows[2:4]) - np.mean([*rows[:2], *rows[4:]]) == pytest.approx(6, abs=1)
    assert "offsets left" not in cli("data", "align", tmp_path / "flat", tmp_path / "again").out


def test_what_matrices_of_single_pairs_leave_over_is_said_beside_their_median(
    tmp_path: Path, cli: Callable[..., Any]
) -> None:
    for number in range(3):
        for kind, image in zip(("rgb", "thermal"), banded_pair(number, 6), strict=True):
            (tmp_path / "deep" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / "deep" / kind / f"{number}.png")
    ran = cli("data", "align", tmp_path / "deep", tmp_path / "out", "--per-pair")
    assert ran.code == 0, ran
    content = json.loads((tmp_path / "out" / "alignment.json").read_text())
    offsets = [(pair["dx"], pair["dy"]) for pair in content["pairs"].values()]
    assert content["fallback"] == []
    assert content["rig"] is None
    assert content["median"] == pytest.approx(np.median(offsets, axis=0), abs=1e-4)
    assert f"3 pairs with their own matrix (median dx {content['median'][0]:.2f}, dy" in ran.out
    assert "offsets left after registration, px: rows 0 to 31 dx" in ran.out
    rows = [band["dy"] for band in content["left_over"]]
    assert np.mean(rows[2:4]) - np.mean([*rows[:2], *rows[4:]]) == pytest.approx(6, abs=1)


def shrink(root: Path, name: str, size: tuple[int, int]) -> None:
    """The images of a pair at another (width, height)."""
    for kind in ("rgb", "thermal", "labels"):
        path = root / kind / f"{name}.png"
        Image.open(path).resize(size, Image.Resampling.NEAREST).save(path)


def test_pairs_of_another_size_get_the_matrix_in_their_pixels(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "a", 2)
    shrink(root, "001", (80, 64))
    sized = Mapping(SHIFT.matrix, None, (32, 40), (32, 40), "rig.json")
    with pytest.warns(DataWarning, match=r"rig\.json: made for RGB 40x32 .*scaled for 1 pair such as 001"):
        register_dataset(root, tmp_path / "out", mapping=sized)
    before, after = (np.asarray(Image.open(tmp_path / folder / "thermal" / "001.png")) for folder in ("a", "out"))
    np.testing.assert_array_equal(after[:-4, :-6], before[4:, 6:])  # twice the shift
    shrink(root, "001", (32, 40))
    with pytest.raises(DataError, match=r"001\.png: rig\.json: made for thermal images of 40x32; these are 32x40"):
        register_dataset(root, tmp_path / "other", mapping=sized)
    assert not (tmp_path / "other").exists()


def test_a_matrix_of_unknown_sizes_is_refused_for_pairs_of_several(tmp_path: Path, cli: Callable[..., Any]) -> None:
    root = make_folder(tmp_path / "a", 2)
    shrink(root, "001", (80, 64))
    matrix = tmp_path / "m.json"
    matrix.write_text(json.dumps({"matrix": [[1, 0, 3], [0, 1, 2]]}))
    ran = cli("data", "align", root, tmp_path / "out", "--calibration", matrix)
    assert ran.code == 2
    assert "m.json: does not say for which sizes it was made" in ran.err
    assert "000 RGB 40x32 and thermal 40x32, 001 RGB 80x64 and thermal 80x64" in ran.err


def test_the_json_of_a_pair_and_of_a_copy_say_the_sizes(tmp_path: Path, cli: Callable[..., Any]) -> None:
    root = make_folder(tmp_path / "a", 2)
    for name in ("000", "001"):
        path = root / "thermal" / f"{name}.png"
        Image.open(path).resize((20, 16)).save(path)
    points = tmp_path / "p.csv"
    points.write_text("0,0,0,0\n30,0,15,0\n0,30,0,15\n")
    files = ["--rgb", root / "rgb" / "000.png", "--thermal", root / "thermal" / "000.png"]
    for more in (["--points", points], []):  # without points it is unknown: such small images show nothing
        said = json.loads(cli("data", "align", *files, "--json", *more).out)
        assert (said["rgb_size"], said["thermal_size"]) == ([32, 40], [16, 20])
    assert cli("data", "align", root, tmp_path / "out", "--points", points).code == 0
    kept = tmp_path / "out" / "alignment.json"
    content = json.loads(kept.read_text())
    assert (content["rgb_size"], content["thermal_size"]) == ([32, 40], [16, 20])
    again = cli("data", "align", root, tmp_path / "again", "--calibration", kept)
    assert (again.code, "does not say the sizes" in again.out) == (0, False)
    kept.write_text(json.dumps({"matrix": content["matrix"]}))
    again = cli("data", "align", root, tmp_path / "third", "--calibration", kept)
    assert (again.code, "does not say the sizes" in again.out) == (0, True)
