"""The three layouts: what is written is what is read, and `open_dataset` recognises each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from cimnet.data import (
    KUST4K_CLASSES,
    MFNET_CLASSES,
    Folder,
    Kust4K,
    MFNet,
    RGBTSample,
    collate,
    open_dataset,
    palette,
    suggest_thermal_range,
    thermal_statistics,
    train_transform,
)
from cimnet.errors import DataError
from tests.fakes.layouts import (
    CLASSES,
    HEIGHT,
    WIDTH,
    make_arrays,
    make_folder,
    make_kust4k,
    make_mfnet,
    write_list,
)


def assert_pair(sample: RGBTSample, index: int, classes: int) -> None:
    rgb, thermal, label = make_arrays(index, classes=classes)
    np.testing.assert_allclose(sample.rgb.permute(1, 2, 0).numpy() * 255, rgb, atol=1e-3)
    np.testing.assert_allclose(sample.thermal[0].numpy() * 255, thermal, atol=1e-3)
    assert sample.label is not None
    np.testing.assert_array_equal(sample.label.numpy(), label)
    assert sample.rgb.dtype == sample.thermal.dtype == torch.float32
    assert sample.label.dtype == torch.int64


def test_folder(tmp_path: Path) -> None:
    dataset = open_dataset(make_folder(tmp_path), "train")
    assert isinstance(dataset, Folder)
    assert dataset.classes == CLASSES
    assert dataset.ids == ["000", "001", "002"]
    assert [len(open_dataset(tmp_path, split)) for split in ("train", "val", "test", "all")] == [3, 1, 2, 6]
    for index in range(3):
        assert_pair(dataset[index], index, len(CLASSES))
    assert dataset[-1].id == "002"
    with pytest.raises(IndexError):
        dataset[3]
    assert [sample.id for sample in dataset] == dataset.ids


@pytest.mark.parametrize(
    ("bit_depth", "ext"), [(8, "png"), (8, "jpg"), (8, "tif"), (8, "bmp"), (16, "png"), (16, "tiff")]
)
def test_folder_file_types(tmp_path: Path, bit_depth: int, ext: str) -> None:
    sample = open_dataset(make_folder(tmp_path, bit_depth=bit_depth, ext=ext), "train", thermal_range=(0, 65535))[0]
    _, thermal, _ = make_arrays(0)
    counts = thermal if bit_depth == 8 else thermal.astype(float) * 20 + 18000
    np.testing.assert_allclose(sample.thermal[0].numpy() * 65535, counts, atol=40 if ext == "jpg" else 0.1)


def test_colours_red_green_blue_through_the_dataset(tmp_path: Path) -> None:
    make_folder(tmp_path)
    Image.new("RGB", (WIDTH, HEIGHT), (255, 0, 51)).save(tmp_path / "rgb" / "000.png")
    assert open_dataset(tmp_path, "train")[0].rgb[:, 0, 0].tolist() == pytest.approx([1.0, 0.0, 0.2])


def test_yaml_with_colours_range_and_ignore_index(tmp_path: Path) -> None:
    make_folder(tmp_path, bit_depth=16)
    (tmp_path / "classes.yaml").write_text(
        "classes:\n  - {name: background, color: [1, 2, 3]}\n  - {name: person, color: '#ff8000'}\n  - car\n"
        "thermal_range: [18000, 22000]\nignore_index: 2\nlicence: CC BY 4.0\n"
    )
    dataset = open_dataset(tmp_path, "train")
    assert dataset.classes == CLASSES
    assert dataset.colors[:2] == ((1, 2, 3), (255, 128, 0))
    assert len(set(dataset.colors)) == 3
    assert dataset.scaling.range == (18000, 22000)
    sample = dataset[0]
    _, thermal, label = make_arrays(0)
    np.testing.assert_allclose(sample.thermal[0].numpy(), thermal / 200.0, atol=1e-4)
    assert sample.label is not None
    np.testing.assert_array_equal(sample.label.numpy() == 255, label == 2)
    assert open_dataset(tmp_path, "train", thermal_range=(0, 100)).scaling.range == (0, 100)


@pytest.mark.parametrize("text", ["labels: [a, b, c]\nlabels_fine: {0: x}\n", "classes: {0: a, 1: b, 2: c}\n"])
def test_other_forms_of_the_yaml(tmp_path: Path, text: str) -> None:
    (make_folder(tmp_path) / "classes.yaml").write_text(text)
    assert open_dataset(tmp_path, "train").classes == ("a", "b", "c")


def test_classes_argument_in_place_of_the_yaml(tmp_path: Path) -> None:
    (make_folder(tmp_path) / "classes.yaml").unlink()
    assert open_dataset(tmp_path, "train", classes=["a", "b", "c"]).classes == ("a", "b", "c")
    assert open_dataset(tmp_path, "train", classes="mfnet").colors == MFNET_CLASSES.colors


def test_names_with_spaces_dots_umlauts_and_a_list_from_windows(tmp_path: Path) -> None:
    names = ["frame 1.left", "Bäume 二", "c"]
    make_folder(tmp_path, names=names)
    lines = ["", "frame 1.left.png", "  Ba\u0308ume 二  ", "rgb/c.PNG", ""]
    (tmp_path / "train.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert open_dataset(tmp_path, "train").ids == names


def test_lists_under_splits_and_free_names(tmp_path: Path) -> None:
    make_folder(tmp_path)
    write_list(tmp_path / "splits" / "week 2.txt", ["005"])
    assert open_dataset(tmp_path, "week 2").ids == ["005"]


def test_everything_without_lists(tmp_path: Path) -> None:
    for path in make_folder(tmp_path).glob("*.txt"):
        path.unlink()
    (tmp_path / "rgb" / "._000.png").write_bytes(b"macOS")
    (tmp_path / "rgb" / "Thumbs.db").write_bytes(b"Windows")
    assert len(open_dataset(tmp_path, "all")) == 6


def test_unlabelled_pairs(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "labels" / "000.png").unlink()
    dataset = open_dataset(tmp_path, "train", require_labels=False)
    assert [sample.label is None for sample in dataset] == [True, False, False]
    with pytest.raises(DataError, match="000"):
        open_dataset(tmp_path, "train")


def test_scenes_from_lists_and_names(tmp_path: Path) -> None:
    make_folder(tmp_path, names=["00001D", "00002N", "00003N", "other"])
    write_list(tmp_path / "dark_night.txt", ["00003N"])
    assert open_dataset(tmp_path, "all").scenes == ["day", "night", "dark_night", ""]
    write_list(tmp_path / "night.txt", ["00003N", "other"])
    assert open_dataset(tmp_path, "all").scenes == ["day", "night", "dark_night", "night"]


def test_mfnet(tmp_path: Path) -> None:
    dataset = open_dataset(make_mfnet(tmp_path), "train")
    assert isinstance(dataset, MFNet)
    assert dataset.classes == MFNET_CLASSES.names
    assert dataset.scenes == ["day", "night", "day"]
    for index in range(3):
        assert_pair(dataset[index], index, 9)
    write_list(tmp_path / "train_night.txt", ["00002D"])
    assert open_dataset(tmp_path, "train").scenes == ["day", "night", "night"]


def test_mfnet_flip_names_serve_the_mirrored_original(tmp_path: Path) -> None:
    make_mfnet(tmp_path)
    write_list(tmp_path / "train.txt", ["00000D", "00001N_flip"])
    dataset = open_dataset(tmp_path, "train")
    original = open_dataset(tmp_path, "all")[1]
    mirrored = dataset[1]
    assert (mirrored.id, mirrored.scene) == ("00001N_flip", "night")
    assert original.label is not None
    assert mirrored.label is not None
    assert torch.equal(mirrored.rgb, original.rgb.flip(2))
    assert torch.equal(mirrored.thermal, original.thermal.flip(2))
    assert torch.equal(mirrored.label, original.label.flip(1))


def test_kust4k(tmp_path: Path) -> None:
    dataset = open_dataset(make_kust4k(tmp_path), "train")
    assert isinstance(dataset, Kust4K)
    assert dataset.classes == KUST4K_CLASSES.names
    assert dataset.scenes == ["day", "night", "day", "dark_night"]
    assert dataset.flags == [{"rgb_broken"}, {"thermal_broken"}, {"thermal_broken"}, {"weakly_aligned"}]
    assert_pair(dataset[3], 3, 9)
    assert dataset[0].flags == {"rgb_broken"}
    truth = dataset.truth(0)
    assert truth is not None
    assert set(truth) == {"offset", "moving"}
    assert truth["offset"].shape == (2, HEIGHT, WIDTH)
    assert dataset.truth(1) is None


def test_kust4k_broken_pairs(tmp_path: Path) -> None:
    make_kust4k(tmp_path)
    assert open_dataset(tmp_path, "train", broken="drop").ids == ["00003N"]
    assert open_dataset(tmp_path, "train", broken="only").ids == ["00000D", "00001N", "00002D"]
    assert len(open_dataset(tmp_path, "test", broken="drop")) == 2
    with pytest.raises(DataError, match="no pairs left"):
        open_dataset(tmp_path, "test", broken="only")
    for path in tmp_path.glob("brok*.txt"):
        path.unlink()
    with pytest.raises(DataError, match=r"broke_RGB\.txt"):
        open_dataset(tmp_path, "train", broken="drop")


def test_layout_by_name_and_unknown(tmp_path: Path) -> None:
    make_folder(tmp_path / "a")
    assert len(open_dataset(tmp_path / "a", "train", layout="folder")) == 3
    with pytest.raises(DataError, match=r"there are auto, .*folder, mfnet, kust4k"):
        open_dataset(tmp_path / "a", "train", layout="voc")
    with pytest.raises(DataError, match="mfnet: images/"):
        open_dataset(tmp_path, "train")
    with pytest.raises(DataError, match="no such folder"):
        open_dataset(tmp_path / "nowhere", "train")


def test_cache_reads_files_once_and_gives_the_same(tmp_path: Path) -> None:
    make_folder(tmp_path, bit_depth=16)
    plain, cached = open_dataset(tmp_path, "train"), open_dataset(tmp_path, "train", cache="ram")
    expected = plain[0]
    cached.check()
    for path in tmp_path.glob("*/*.png"):
        path.unlink()
    for _ in range(2):
        sample = cached[0]
        assert torch.equal(sample.rgb, expected.rgb)
        assert torch.equal(sample.thermal, expected.thermal)
        sample.rgb.zero_()  # a caller that writes into a sample must not reach the cache


def test_check_labels_counts_pixels(tmp_path: Path) -> None:
    dataset = open_dataset(make_folder(tmp_path), "train")
    labels = np.stack([make_arrays(index)[2] for index in range(3)])
    np.testing.assert_array_equal(dataset.check(), np.bincount(labels.ravel(), minlength=3))


def test_thermal_statistics(tmp_path: Path) -> None:
    make_kust4k(tmp_path)
    mean, std = thermal_statistics(open_dataset(tmp_path, "train"))
    values = np.stack([make_arrays(index, classes=9)[1] for index in (0, 3)]) / 255.0  # 1 and 2 are broken
    assert mean == pytest.approx(values.mean(), rel=1e-5)
    assert std == pytest.approx(values.std(), rel=1e-4)


def test_suggested_range_holds_the_counts(tmp_path: Path) -> None:
    low, high = suggest_thermal_range(open_dataset(make_folder(tmp_path, bit_depth=16), "train"), percentiles=(0, 100))
    counts = np.stack([make_arrays(index)[1] for index in range(3)]).astype(float) * 20 + 18000
    assert (low, high) == (counts.min(), counts.max())


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_through_a_loader(tmp_path: Path, workers: int) -> None:
    dataset = open_dataset(make_mfnet(tmp_path), "train", transform=train_transform((24, 24)))
    batch = next(iter(DataLoader(dataset, batch_size=3, collate_fn=collate, num_workers=workers)))
    assert batch.rgb.shape == (3, 3, 24, 24)
    assert batch.thermal.shape == (3, 1, 24, 24)
    assert batch.label.shape == (3, 24, 24)
    assert batch.ids == dataset.ids
    assert batch.scenes == ["day", "night", "day"]
    assert batch.flags == [frozenset()] * 3


def sample_of(height: int, width: int, labelled: bool, name: str) -> RGBTSample:
    label = torch.zeros(height, width, dtype=torch.int64) if labelled else None
    return RGBTSample(torch.zeros(3, height, width), torch.zeros(1, height, width), label, name)


def test_batch_of_different_sizes_or_labels() -> None:
    with pytest.raises(DataError, match=r"a \(8x4\) with b \(8x6\)"):
        collate([sample_of(4, 8, True, "a"), sample_of(6, 8, True, "b")])
    with pytest.raises(DataError, match="a, which has a label, with b"):
        collate([sample_of(4, 8, True, "a"), sample_of(4, 8, False, "b")])
    assert collate([sample_of(4, 8, False, "a")]).label is None


def test_sample_checks_its_shapes() -> None:
    with pytest.raises(DataError, match=r"^x: thermal must have the shape \(C, 4, 8\)"):
        RGBTSample(torch.zeros(3, 4, 8), torch.zeros(1, 4, 9), None, "x")
    with pytest.raises(DataError, match="x: label must have"):
        RGBTSample(torch.zeros(3, 4, 8), torch.zeros(1, 4, 8), torch.zeros(4, 9), "x")
    with pytest.raises(DataError, match="x: rgb must have"):
        RGBTSample(torch.zeros(4, 8, 3), torch.zeros(1, 4, 8), None, "x")


@pytest.mark.parametrize("count", [1, 9, 20, 21, 61, 255])
def test_palette_has_as_many_distinct_colours_as_classes(count: int) -> None:
    colors = palette(count)
    assert len(set(colors)) == count
    assert colors == palette(255)[:count]
    assert all(0 <= value <= 255 for color in colors for value in color)


def test_an_mfnet_flip_whose_label_is_missing_is_the_mirrored_original(tmp_path: Path) -> None:
    root = make_mfnet(tmp_path)
    name = (root / "train.txt").read_text().split()[0]
    (root / "images" / f"{name}_flip.png").write_bytes((root / "images" / f"{name}.png").read_bytes())
    (root / "train.txt").write_text(f"{name}\n{name}_flip\n")
    original, flipped = open_dataset(root, "train")
    assert flipped.id == f"{name}_flip"
    for left, right in (
        (original.rgb, flipped.rgb),
        (original.thermal, flipped.thermal),
        (original.label, flipped.label),
    ):
        assert left is not None
        assert right is not None
        assert torch.equal(left.flip(-1), right)


@pytest.mark.parametrize("part", ["rgb", "thermal"])
def test_a_mask_beside_an_image_makes_another_disk_cache(tmp_path: Path, part: str) -> None:
    root = make_folder(tmp_path / "a")
    options: dict[str, Any] = {"cache": "disk", "cache_folder": tmp_path / "cache"}
    before = open_dataset(root, "train", **options)
    image = next((root / part).glob(f"{before[0].id}.*"))
    with Image.open(image) as opened:
        mask = Image.new("L", opened.size)
    mask.save(image.with_name(f"{image.name}.msk"), "TIFF")
    after = open_dataset(root, "train", **options)
    assert getattr(before[0], part).any()
    assert not getattr(after[0], part).any()
    assert image.with_name(f"{image.name}.msk") in after.files


@pytest.mark.parametrize("end", [".bin", ".json"])
def test_a_damaged_disk_cache_is_made_again(tmp_path: Path, end: str) -> None:
    root, folder = make_folder(tmp_path / "a"), tmp_path / "cache"
    first = open_dataset(root, "train", cache="disk", cache_folder=folder)[0]
    (path,) = folder.glob(f"*{end}")
    path.write_bytes(path.read_bytes()[:100])
    again = open_dataset(root, "train", cache="disk", cache_folder=folder)
    assert torch.equal(again[0].rgb, first.rgb)
    assert torch.equal(again[2].thermal, open_dataset(root, "train")[2].thermal)
