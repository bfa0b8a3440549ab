"""What every layout must do. The test class of a layout or form inherits it and says what was written, a `Fake`."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from cimnet.data import LAYOUTS, RGBTDataset, RGBTSample, collate
from cimnet.data.dataset import Cache
from cimnet.errors import DataError
from tests.fakes.known import Fake, N
from tests.fakes.layouts import make_arrays, write_list

_MADE: dict[type, Path] = {}


def assert_same(left: RGBTSample, right: RGBTSample) -> None:
    for ours, theirs in ((left.rgb, right.rgb), (left.thermal, right.thermal), (left.label, right.label)):
        assert ours is not None
        assert theirs is not None
        assert torch.equal(ours, theirs)
    assert (left.id, left.scene, left.flags) == (right.id, right.scene, right.flags)


class LayoutTester:
    """Attributes: what is written; whether the layout is of one published data set."""

    fake: Fake
    published = True

    @pytest.fixture
    def root(self, fresh: Callable[[Fake], Path]) -> Path:
        """A copy that a test may change."""
        return fresh(self.fake)

    @pytest.fixture
    def shared(self, fresh: Callable[[Fake], Path]) -> Path:
        """One copy for the class, for tests that leave it as it is."""
        if type(self) not in _MADE:
            _MADE[type(self)] = fresh(self.fake)
        return _MADE[type(self)]

    def name(self, number: int) -> str:
        return self.fake.name(number)

    def assert_written(self, sample: RGBTSample, number: int) -> None:
        rgb, thermal, ids = self.fake.arrays(number)
        top = 65535.0 if self.fake.deep else 255.0
        np.testing.assert_array_equal(np.rint(sample.rgb.permute(1, 2, 0).numpy() * 255.0), rgb)
        np.testing.assert_array_equal(np.rint(sample.thermal[0].numpy() * top), thermal)
        assert sample.label is not None
        np.testing.assert_array_equal(sample.label.numpy(), ids)
        assert (sample.rgb.dtype, sample.thermal.dtype, sample.label.dtype) == (
            torch.float32,
            torch.float32,
            torch.int64,
        )

    def test_is_recognised_as_itself(self, shared: Path) -> None:
        claims = [name for name, layout in LAYOUTS.items() if layout.recognises(shared)]
        assert claims == list(self.fake.claims or (self.fake.layout,))
        assert type(self.fake.open(shared)) is LAYOUTS[self.fake.layout]

    def test_splits_hold_what_was_written(self, shared: Path) -> None:
        for split, numbers in {**self.fake.splits, "all": sorted(range(N), key=self.name)}.items():
            dataset = self.fake.open(shared, split)
            assert dataset.ids == [self.name(number) for number in numbers]
            for sample in dataset:
                self.assert_written(sample, next(number for number in numbers if self.name(number) == sample.id))

    def test_counts_of_the_classes(self, shared: Path) -> None:
        dataset = self.fake.open(shared, "all")
        ids = np.stack([self.fake.arrays(number)[2] for number in range(N)]).ravel()
        expected = np.bincount(ids[ids != 255], minlength=len(dataset.classes))
        np.testing.assert_array_equal(dataset.check(), expected)

    def test_scenes_by_name_and_by_list(self, root: Path) -> None:
        by_name = {"D": "day", "N": "night"} if self.name(0) == "00000D" else {}
        assert self.fake.open(root).scenes[:3] == [by_name.get(self.name(number)[-1], "") for number in range(3)]
        write_list(root / "night.txt", [self.name(0), self.name(1)])
        write_list(root / "scenes" / "fog.txt", [f"{self.name(1)}.png"])
        assert self.fake.open(root).scenes[:2] == ["night", "fog"]

    def test_lists_may_hold_names_or_paths(self, root: Path) -> None:
        pair = self.fake.open(root).pairs[2]
        for path in (pair.rgb, pair.thermal or pair.rgb):
            inside = path.relative_to(root).as_posix()
            for line in (pair.id, inside, f"./{inside}", inside.replace("/", "\\"), f"/somewhere/else/{inside}"):
                write_list(root / "splits" / "mine.txt", [line])
                dataset = self.fake.open(root, "mine")
                assert dataset.ids == [pair.id], line
                self.assert_written(dataset[0], 2)

    def test_what_is_known_of_it(self, shared: Path) -> None:
        dataset = self.fake.open(shared)
        info = dataset.info
        assert info.title
        assert dataset.expects()
        if not self.published:
            assert info.classes is None
            return
        assert info.classes is not None
        assert (info.classes.names, info.classes.colors) == (dataset.classes, dataset.colors)
        assert len(set(dataset.colors)) == len(dataset.classes)
        for text in (info.citation, info.home, info.licence, *info.traps):
            assert text == text.strip() != ""
        assert info.home.startswith("https://")
        assert info.traps
        assert info.sizes.keys() == self.fake.splits.keys()
        assert info.label_table is None or set(info.label_table.values()) <= {*range(len(dataset.classes)), 255}

    def test_pairs_without_a_label(self, root: Path) -> None:
        whole = self.fake.open(root)
        label = whole.pairs[0].label
        assert label is not None
        label.unlink()
        dataset = self.fake.open(root, require_labels=False, cache="disk", cache_folder=root.parent / "cache")
        assert [sample.label is None for sample in dataset] == [True, *[False] * (len(whole) - 1)]
        for number in range(1, len(whole)):
            assert_same(dataset[number], whole[number])
        assert dataset.check().sum() < whole.arrays(1).rgb[..., 0].size * len(whole)
        with pytest.raises(DataError, match=f"no image for {self.name(0)}.*labels are required"):
            self.fake.open(root)


class ReadingTester(LayoutTester):
    """What does not know the layout: tried once for each way to read files."""

    def test_depth_of_the_thermal_values(self, shared: Path) -> None:
        depth, other = ("uint16", "uint8") if self.fake.deep else ("uint8", "uint16")
        assert self.fake.open(shared).arrays(0).thermal.dtype == depth
        self.fake.open(shared, thermal_dtype=depth).check()
        with pytest.raises(DataError, match=f"type {depth} where {other}"):
            self.fake.open(shared, thermal_dtype=other)[0]

    @pytest.mark.parametrize("cache", ["ram", "disk"])
    def test_caches_change_nothing(self, shared: Path, cache: Cache) -> None:
        plain = self.fake.open(shared)
        cached = self.fake.open(shared, cache=cache, cache_folder=shared.parent / "cache")
        for _ in range(2):
            for left, right in zip(plain, cached, strict=True):
                assert_same(left, right)
                for tensor in (right.rgb, right.thermal, right.label):
                    assert tensor is not None
                    tensor.zero_()  # a caller that writes into a sample must not reach the cache

    def test_the_disk_cache_decodes_once(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        options: dict[str, Any] = {"cache": "disk", "cache_folder": root.parent / "cache"}
        expected = list(self.fake.open(root, **options))
        with monkeypatch.context() as patch:
            patch.setattr(RGBTDataset, "decode", lambda self, pair: pytest.fail(f"{pair.id} is decoded again"))
            again = self.fake.open(root, **options)
            again.arrays(0).rgb[:] = 0
            again.arrays(0).thermal[:] = 0
            again = self.fake.open(root, **options)
            for left, right in zip(expected, again, strict=True):
                assert_same(left, right)
        pair = again.pairs[1]
        for number, path in enumerate({pair.rgb, pair.thermal or pair.rgb, pair.label}, 2):
            assert path is not None
            os.utime(path, ns=(number, number))
            assert_same(self.fake.open(root, **options)[1], expected[1])
            assert len(list((root.parent / "cache").glob("*.bin"))) == number, path

    def test_pickles_and_loads_in_workers(self, shared: Path) -> None:
        dataset = self.fake.open(shared, cache="disk", cache_folder=shared.parent / "cache")
        size = len(pickle.dumps(dataset))
        dataset[0]  # the file is mapped: its bytes do not travel, the copy maps it for itself
        data = pickle.dumps(dataset)
        assert len(data) == size
        copy = pickle.loads(data)
        assert copy.ids == dataset.ids
        assert_same(copy[0], dataset[0])
        (batch,) = DataLoader(dataset, batch_size=len(dataset), num_workers=1, collate_fn=collate)
        assert batch.ids == dataset.ids
        assert torch.equal(batch.thermal, torch.stack([sample.thermal for sample in dataset]))

    def test_plot(self, root: Path) -> None:
        dataset = self.fake.open(root)
        figure = dataset.plot(0)
        assert [axis.get_title() for axis in figure.axes] == ["RGB", "thermal", "label"]
        assert {text.get_text() for text in figure.legends[0].get_texts()} <= {*dataset.classes, "ignored"}
        assert dataset.ids[0] in figure.get_suptitle()
        label = dataset.pairs[0].label
        assert label is not None
        label.unlink()
        assert len(self.fake.open(root, require_labels=False).plot(0).axes) == 2


def test_the_makers_differ_from_pair_to_pair() -> None:
    """Or a shift by one pair would not be seen."""
    for values in (3, 5, 9, 12, 15):
        for arrays in zip(*(make_arrays(number, classes=values) for number in range(N)), strict=True):
            assert len({array.tobytes() for array in arrays}) == N
