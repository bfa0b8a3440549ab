"""`cimnet data …` through the entry point: what the commands print, write and return."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cimnet.data import LAYOUTS, open_dataset
from tests import ROOT
from tests.fakes.layouts import make_folder, make_kust4k, make_mfnet

Cli = Callable[..., Any]


def test_list_names_every_layout_as_the_docs_do(cli: Cli) -> None:
    out = cli("data", "list").out
    docs = (ROOT / "docs" / "reference" / "layouts.md").read_text(encoding="utf-8")
    for name, layout in LAYOUTS.items():
        assert name[:10] in out
        assert f"| `{name}` |" in docs
        (row,) = [line for line in docs.splitlines() if line.startswith(f"| `{name}` |")]
        assert ", ".join(f"{count} {split}" for split, count in layout.info.sizes.items()) in row
        if layout.info.classes is not None:
            assert f"| {len(layout.info.classes.names)} |" in row


def test_check_of_a_sound_and_of_a_broken_folder(tmp_path: Path, cli: Cli) -> None:
    root = make_kust4k(tmp_path / "a")
    (root / "TIR" / "00004D.png").unlink()
    result = cli("data", "check", root, "--offsets", 0, "--json", tmp_path / "r.json", "--sheet", tmp_path / "s.png")
    assert result.code == 1
    assert "missing-partner" in result.out
    found = json.loads((tmp_path / "r.json").read_text())
    assert any(finding["code"] == "missing-partner" for finding in found["findings"])
    with Image.open(tmp_path / "s.png") as image:
        assert min(image.size) > 100
    assert cli("data", "check", tmp_path / "nowhere").code == 2
    assert cli("data", "check", root, "--json", tmp_path).code == 2


@pytest.mark.filterwarnings("default:.*they are clipped")
def test_convert(tmp_path: Path, cli: Cli) -> None:
    root = make_mfnet(tmp_path / "a")
    assert cli("data", "convert", root, tmp_path / "b", "--to", "kust4k", "--map", "car=car").code == 2
    result = cli("data", "convert", root, tmp_path / "b", "--to", "folder", "--split", "train", "--split", "val=check")
    assert result.code == 0, result.err
    before, after = open_dataset(root, "train"), open_dataset(tmp_path / "b", "train")
    assert after.classes == before.classes
    assert after.ids == before.ids
    np.testing.assert_array_equal(after.arrays(0).thermal, before.arrays(0).thermal)
    assert len(open_dataset(tmp_path / "b", "check")) == len(open_dataset(root, "val"))
    assert "write it as name=value" in cli("data", "convert", root, tmp_path / "c", "--map", "car").err
    arguments = "data", "convert", root, tmp_path / "d", "--range", 1000, 1001, "--force-range"
    assert "--force-range is for --thermal scale" in cli(*arguments).err
    assert "lie outside the thermal range, 1000 to 1001" in cli(*arguments[:-1], "--thermal", "scale").err
    result = cli(*arguments, "--thermal", "scale")
    assert result.code == 0
    assert "they are clipped" in result.out
    assert not (tmp_path / "c").exists()


def test_split(tmp_path: Path, cli: Cli) -> None:
    root = make_folder(tmp_path / "a", n=20)
    refused = cli("data", "split", root, "--part", "train=0.5", "--part", "val=0.5")
    assert refused.code == 2
    assert "--overwrite" in refused.err or "overwrite" in refused.err
    result = cli("data", "split", root, "--part", "train=0.8", "--part", "val=0.2", "--out", tmp_path / "lists")
    assert result.code == 0, result.err
    names = [(tmp_path / "lists" / f"{part}.txt").read_text().split() for part in ("train", "val")]
    assert [len(part) for part in names] == [16, 4]
    assert not set(names[0]) & set(names[1])
    assert "the share must be a number" in cli("data", "split", root, "--part", "train=most").err
    assert "--extend is for lists" in cli("data", "split", root, "--folds", "3", "--extend").err
    assert "give one of them" in cli("data", "split", root, "--overwrite", "--extend").err


def test_download_of_what_only_people_can_fetch(tmp_path: Path, cli: Cli) -> None:
    result = cli("data", "download", "pst900", tmp_path / "p")
    assert result.code == 2
    assert "github.com/ShreyasSkandanS/pst900_thermal_rgb" in result.err
    assert "GPL-3.0" in result.out
    assert not (tmp_path / "p").exists()
    assert "there are" in cli("data", "download", "coco", tmp_path / "p").err


def test_download_from_a_mirror(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []

    def fetch(name: str, out: Path, *, mirror: str | None, keep_partial: bool, report: Callable[..., None]) -> Path:
        calls.append((name, mirror, keep_partial))
        for done in (1, 5, 3, 10):
            report("RGB.zip", done, 10)
        report("list.txt", 4, None)
        return out

    monkeypatch.setattr("cimnet.curation.download.download", fetch)
    result = cli("data", "download", "kust4k", tmp_path / "k", "--mirror", "http://127.0.0.1:1/x", "--keep-partial")
    assert result.code == 0, result.err
    assert calls == [("kust4k", "http://127.0.0.1:1/x", True)]
    assert "CC BY 4.0" in result.out
