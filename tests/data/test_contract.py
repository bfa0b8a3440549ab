"""The common tests for each layout and form."""

from __future__ import annotations

from pathlib import Path

import pytest

from cimnet.data import LAYOUTS
from tests.fakes.known import FAKES

from .tester import LayoutTester, ReadingTester


class FolderTester(LayoutTester):
    published = False


class TestFolder(FolderTester):
    fake = FAKES["folder"]


class TestFolderTIFF(FolderTester, ReadingTester):
    fake = FAKES["folder tiff"]


class TestSuffixes(FolderTester):
    fake = FAKES["suffixes"]


class TestFolderAPair(FolderTester):
    fake = FAKES["folder a pair"]


class TestNested(FolderTester):
    fake = FAKES["nested"]


class TestFourChannels(FolderTester, ReadingTester):
    fake = FAKES["4 channels"]


class TestMFNet(LayoutTester):
    fake = FAKES["mfnet"]


class TestMFNetThermal(LayoutTester):
    fake = FAKES["mfnet Thermal"]


class TestMFNetModal(LayoutTester):
    fake = FAKES["mfnet Modal"]


class TestMFNetTher(LayoutTester):
    fake = FAKES["mfnet ther"]


class TestMFNetSeparatedImages(LayoutTester):
    fake = FAKES["mfnet seperated_images"]


class TestKust4K(ReadingTester):
    fake = FAKES["kust4k"]


class TestMSRS(LayoutTester):
    fake = FAKES["msrs"]


class TestPST900(LayoutTester):
    fake = FAKES["pst900"]


class TestPST900RawBeside8Bit(LayoutTester):
    fake = FAKES["pst900 raw beside"]


class TestPST900Raw(LayoutTester):
    fake = FAKES["pst900 raw"]


class TestFMB(LayoutTester):
    fake = FAKES["fmb"]


class TestCART(ReadingTester):
    fake = FAKES["cart"]


def test_every_form_of_every_layout_is_tested(tmp_path: Path) -> None:
    roots = {name: fake.make(tmp_path / name) for name, fake in FAKES.items()}
    for layout in LAYOUTS.values():
        for form in layout.forms:
            assert [name for name, root in roots.items() if form.recognises(root)], form
    tested = [value.fake for value in globals().values() if isinstance(value, type) and hasattr(value, "fake")]
    assert tested == list(FAKES.values())


IDS = {
    "kust4k": "unlabelled road building motorcycle car truck tree human traffic_facilities",
    "mfnet": "unlabelled car person bike curve car_stop guardrail colour_cone bump",
    "msrs": "unlabelled car person bike curve car_stop guardrail colour_cone bump",
    "pst900": "background fire_extinguisher backpack hand_drill survivor",
    "pst900_raw": "background fire_extinguisher backpack hand_drill survivor",
    "fmb": "unlabelled road sidewalk building lamp sign vegetation sky person car truck bus motorcycle bicycle pole",
    "cart": "bare_ground rocky_terrain developed_structures road shrubs trees sky water vehicles person",
}
"""As the data sets' authors number them, CART's from its value 2."""


@pytest.mark.parametrize("layout", IDS)
def test_ids_of_the_classes(layout: str) -> None:
    classes = LAYOUTS[layout].info.classes
    assert classes is not None
    assert classes.names == tuple(IDS[layout].split())
