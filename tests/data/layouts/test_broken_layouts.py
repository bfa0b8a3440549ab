"""Damage to a data set: a one-line error that names the file, or what was written is read.

Files are read in a few ways, whatever the layout: every damage is tried in each way, and one damage in every layout.
"""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.data import RGBTDataset
from cimnet.errors import DataError
from tests.fakes.known import FAKES, Fake

from . import broken
from .broken import NUMBER, Victim

PARTS = ("rgb", "thermal", "labels")


def make_victim(fake: Fake, root: Path) -> Victim:
    return Victim(root, fake, fake.open(root).pairs)


READERS = ("folder", "folder tiff", "mfnet", "cart")
"""One for each way to read files: 8 bits, 16-bit TIFF, four channels, a table of label values."""
FORMS = ("folder", "folder a pair", "4 channels", "pst900")
"""One for each way to find files: lists, folders of pairs, one file for both images, folders of splits."""


@pytest.fixture(scope="module")
def copies(fresh: Callable[[Fake], Path]) -> Callable[[str], Victim]:
    """By title, one copy for the module; for damage that is mended after the test."""
    return cache(lambda title: make_victim(FAKES[title], fresh(FAKES[title])))


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, fresh: Callable[[Fake], Path]) -> Victim:
    """A copy of its own for each test."""
    return make_victim(FAKES[request.param], fresh(FAKES[request.param]))


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest, copies: Callable[[str], Victim]) -> Victim:
    """To mend."""
    return copies(request.param)


def error_of(victim: Victim) -> str:
    """The message when the split is opened and read."""
    with pytest.raises(DataError) as caught:
        list(victim.fake.open(victim.root))
    message = str(caught.value)
    assert "\n" not in message
    return message


def read_as_written(victim: Victim, name: str | None = None, split: str = "train") -> RGBTDataset:
    """Open, and compare the pair with what was written."""
    dataset = victim.fake.open(victim.root, split)
    index = dataset.ids.index(name or victim.pair.id)
    for got, written in zip(dataset.arrays(index), victim.fake.arrays(NUMBER), strict=True):
        np.testing.assert_array_equal(got, written)
    return dataset


def check_damage(victim: Victim, part: str, damage: broken.Damage, words: list[str]) -> None:
    path = victim.file(part)
    with broken.mended_later(path):
        damage(path)
        message = error_of(victim)
    assert str(path) in message or f"{victim.folder(part)}: no image for {victim.pair.id}" in message, message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("case", broken.FILES)
def test_a_damaged_file(reader: Victim, case: str, part: str) -> None:
    if part == "thermal" and reader.four_channels:
        pytest.skip("in the file of RGB")
    check_damage(reader, part, *broken.FILES[case])


@pytest.mark.parametrize("title", FAKES)
def test_every_layout_names_a_cut_file_and_reads_names_of_any_kind(title: str, fresh: Callable[[Fake], Path]) -> None:
    """Letters with marks may be written in two ways: macOS puts the marks behind."""
    layout = make_victim(FAKES[title], fresh(FAKES[title]))
    for part in PARTS:
        if part != "thermal" or not layout.four_channels:
            check_damage(layout, part, *broken.FILES["half of it"])
    name = layout.rename("Ba\u0308ume [x]{name}, $1$ 二 🌡 a.b (1)_rgb_flip")
    read_as_written(layout, unicodedata.normalize("NFC", name)).plot(0)


@pytest.mark.parametrize("case", broken.LABELS)
def test_a_bad_label(reader: Victim, case: str) -> None:
    check_damage(reader, "labels", *broken.LABELS[case])


@pytest.mark.parametrize("case", sorted(broken.THERMAL.keys() | broken.FOUR_CHANNELS.keys()))
def test_a_bad_thermal_image(reader: Victim, case: str) -> None:
    cases, part = (broken.FOUR_CHANNELS, "rgb") if reader.four_channels else (broken.THERMAL, "thermal")
    if case not in cases:
        pytest.skip("of the other kind of layouts")
    check_damage(reader, part, *cases[case])


def test_no_list_or_split_folder(form: Victim) -> None:
    if form.listed is None:
        shutil.rmtree(form.root / "train")
    else:
        form.listed.unlink()
    for folder in {form.root, *([form.listed.parent] if form.listed else [])}:
        (folder / "README.txt").write_text("Pairs of a street.\nThe lists are train.txt and test.txt.\n")
    message = error_of(form)
    assert "no list train.txt" in message
    assert str(form.root) in message
    found = message.rpartition("splits found: ")[2].split(", ")
    assert "test" in found
    assert "train" not in found
    assert "README" not in found


@pytest.mark.parametrize("part", PARTS)
def test_a_folder_in_another_case(form: Victim, part: str) -> None:
    if part == "thermal" and form.four_channels:
        pytest.skip("in the file of RGB")
    folder = form.folder(part)
    if folder == form.root:
        pytest.skip("no folder of its own")
    other = folder.rename(folder.with_name(folder.name.swapcase()))
    message = error_of(form)
    other.rename(folder)
    assert f"{other.name}/: rename it to {folder.name}/" in message, message


def test_a_split_folder_in_another_case(form: Victim) -> None:
    if form.listed is not None:
        pytest.skip("no split folders")
    train, test = form.root / "train", form.root / "test"
    train.rename(form.root / "Train")
    one = error_of(form)
    test.rename(form.root / "TEST")
    both = error_of(form)
    (form.root / "Train").rename(train)
    (form.root / "TEST").rename(test)
    assert "found Train/: rename it to train/)" in one
    assert "found Train/: rename it to train/; found TEST/: rename it to test/" in both


def test_a_listed_name_in_another_case(form: Victim) -> None:
    if form.listed is None:
        pytest.skip("no lists")
    name = form.rename("Frame 00007x")
    lines = form.listed.read_text().splitlines()
    lines[NUMBER] = lines[NUMBER].replace("Frame 00007x", "fRAME 00007X")
    form.listed.write_text("\n".join(lines))
    message = error_of(form)
    assert name in message
    assert "differs in upper and lower case only" in message, message


def test_labels_as_palette_or_16_bit(reader: Victim) -> None:
    path = reader.file("labels")
    values = broken.values_of(path)
    with broken.mended_later(path):
        broken.resave(path, broken.to_palette(values, broken.RANDOM_COLORS))
        read_as_written(reader)
        broken.resave(path, Image.fromarray(values.astype(np.uint16)))
        read_as_written(reader)


def test_rgb_as_palette(reader: Victim) -> None:
    if reader.four_channels:
        pytest.skip("an error, see above")
    image = Image.fromarray(reader.fake.arrays(NUMBER)[0]).quantize(64)
    with broken.mended_later(reader.file("rgb")):
        broken.resave(reader.file("rgb"), image)
        rgb = reader.fake.open(reader.root).arrays(NUMBER).rgb
    np.testing.assert_array_equal(rgb, np.array(image.convert("RGB")))


def test_thermal_as_grey_palette(reader: Victim) -> None:
    """Palette images hold indices; what counts are the greys that they stand for."""
    if reader.four_channels or reader.fake.deep:
        pytest.skip("no 8-bit thermal files")
    thermal = reader.fake.arrays(NUMBER)[1]
    greys = np.repeat(np.arange(255, -1, -1, dtype=np.uint8)[:, None], 3, axis=1)
    with broken.mended_later(reader.file("thermal")):
        broken.resave(reader.file("thermal"), broken.to_palette(255 - thermal, greys))
        read_as_written(reader)


def test_links_to_folders(form: Victim) -> None:
    folders = {form.folder(part) for part in PARTS if part != "thermal" or not form.four_channels}
    for folder in [*folders - {form.root}, form.root]:
        broken.move_and_link(form.root, folder)
        assert folder.is_symlink()
        read_as_written(form)


def test_folders_that_link_to_those_above_them(form: Victim) -> None:
    for part in ("rgb", "labels"):
        for number, target in enumerate((".", "..", "../..", form.root, form.root.parent)):
            link = form.folder(part) / f"up {number}"
            if not link.is_symlink():
                link.symlink_to(target, target_is_directory=True)
    read_as_written(form)
    read_as_written(form, split="all")


def test_other_files_in_the_folders(form: Victim) -> None:
    before = form.fake.open(form.root, "all").ids
    for part in PARTS:
        folder = form.folder(part) if part != "thermal" or not form.four_channels else form.root
        for name in ("Thumbs.db", ".DS_Store", "._0001.png", "notes.txt", "desktop.ini", "0001.xml"):
            (folder / name).write_bytes(b"\0\1\2")
    assert read_as_written(form, split="all").ids == before


@pytest.mark.parametrize("kind", ["link to itself", "folder"])
def test_something_odd_that_no_list_names(form: Victim, kind: str) -> None:
    """Where a list says what belongs to the split, it does not matter; else it is named."""
    odd = form.file("rgb").with_name(f"z{form.file('rgb').name}")
    odd.mkdir() if kind == "folder" else odd.symlink_to(odd.name)
    try:
        if form.listed is not None:
            read_as_written(form)
        else:
            assert f"no image for {odd.stem}" in error_of(form)
    finally:
        odd.rmdir() if kind == "folder" else odd.unlink()


def test_an_extension_in_capitals(form: Victim) -> None:
    for part in PARTS:
        if part != "thermal" or not form.four_channels:
            path = form.file(part)
            path.rename(path.with_suffix(path.suffix.upper()))
    read_as_written(form)


def test_a_folder_that_may_not_be_listed(reader: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    real, folder = os.scandir, reader.folder("labels")

    def scandir(path: str | Path) -> object:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    message = error_of(reader)
    assert str(folder) in message
    assert "Permission denied" in message


def test_all_is_mended(reader: Victim) -> None:
    """After the tests above."""
    read_as_written(reader)
