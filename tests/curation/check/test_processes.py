"""Pairs looked at in processes of their own, and offsets measured by code from elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.curation.check import check_dataset
from tests.fakes.layouts import make_folder, make_kust4k

from .sets import broken, by_code, change, check, names


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    root = broken(tmp_path)
    calls: list[tuple[int, int]] = []
    alone = check_dataset(root, workers=1, estimate=_offset)
    many = check_dataset(root, workers=2, estimate=_offset, progress=lambda *done: calls.append(done))
    assert many.to_json() == alone.to_json()
    assert many.to_markdown() == alone.to_markdown()
    assert calls == [(number, 12) for number in range(13)]


def test_a_pair_that_kills_its_process(tmp_path: Path) -> None:
    make_folder(tmp_path, n=10)
    Image.new("RGB", (40, 32), (1, 2, 200)).save(tmp_path / "rgb/004.png")
    change(tmp_path / "rgb/004.png", lambda v: v + np.arange(40, dtype=np.uint8)[:, None])
    report = check_dataset(tmp_path, workers=2, estimate=_deadly)
    assert names(by_code(report)["killed"]) == ["004"]
    assert report.exit_code() == 1
    assert report.summary["alignment"]["pairs"] == 9


def test_breaking_off(tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_dataset(make_folder(tmp_path, n=30), workers=2, progress=stop)


def _offset(rgb: np.ndarray, thermal: np.ndarray) -> tuple[float, float] | None:
    """4 pixels to the right; nothing for a third of the pairs."""
    assert rgb.dtype == np.uint8
    assert thermal.dtype == np.float32
    assert (thermal.min(), thermal.max()) == (0, 1)
    return None if int(rgb.sum()) % 3 == 0 else (4.0, 0.0)


def _deadly(rgb: np.ndarray, thermal: np.ndarray) -> None:
    if rgb[0, 0, 2] == 200:
        os._exit(1)


def _failing(rgb: np.ndarray, thermal: np.ndarray) -> None:
    raise ValueError("no\nedges")


def test_offsets(tmp_path: Path) -> None:
    make_folder(tmp_path, n=12)
    report = check(tmp_path, estimate=_offset, estimate_pairs=9)
    (finding,) = report.findings
    alignment = report.summary["alignment"]
    assert (finding.code, finding.severity) == ("misaligned", "warning")
    assert "cimnet data align" in finding.remedy
    assert (alignment["pairs"], alignment["median"], alignment["p90"]) == (9, 4, 4)
    assert alignment["unknown"] == pytest.approx(1 - finding.count / 9)
    assert "median 4.0 px, 90th percentile 4.0 px" in report.to_markdown()


@pytest.mark.parametrize(
    ("registered", "scattered", "advice"),
    [
        (False, False, "register them with `cimnet data align`"),
        (False, True, "one matrix for all pairs does not correct what differs from pair to pair"),
        (True, True, "registered already (alignment.json); one matrix for all pairs does not correct"),
        (True, False, "registered already (alignment.json); register the original anew with matched `--points`"),
    ],
)
def test_offsets_that_one_matrix_does_not_mend(tmp_path: Path, registered: bool, scattered: bool, advice: str) -> None:
    """`data align` with one matrix, as on the first time, would leave them as they are."""
    make_folder(tmp_path, n=12)
    if registered:
        (tmp_path / "alignment.json").write_text("{}")
    sides = iter(range(12))
    report = check(tmp_path, estimate=lambda rgb, thermal: (9.0 * (-1) ** next(sides) if scattered else 9.0, 1.0))
    (finding,) = report.findings
    assert finding.remedy.startswith(advice)
    assert ("--per-pair" in finding.remedy) == (registered or scattered)


def test_small_unknown_and_failed_offsets(tmp_path: Path) -> None:
    make_folder(tmp_path, n=6)
    small = check(tmp_path, estimate=lambda rgb, thermal: (2.0, 1.0))
    assert not small.findings
    assert small.summary["alignment"]["median"] == pytest.approx(5**0.5)
    unknown = check(tmp_path, estimate=lambda rgb, thermal: None)
    assert [(f.severity, f.code) for f in unknown.findings] == [("note", "offset-unknown")]
    assert unknown.summary["alignment"] == {"pairs": 6, "unknown": 1}
    failed = by_code(check(tmp_path, estimate=_failing))
    assert (failed["estimate"].severity, failed["estimate"].count) == ("warning", 6)
    assert failed["estimate"].items[0].detail == "the offset cannot be measured (no edges)"


@pytest.mark.parametrize(("pairs", "black", "said"), [(1, 0, "1 pair"), (2, 0, "2 pairs"), (6, 4, "2 of 6 pairs")])
def test_too_few_offsets_to_judge_are_not_unknown(tmp_path: Path, pairs: int, black: int, said: str) -> None:
    make_folder(tmp_path, n=6)
    calls = iter(range(6))
    report = check(
        tmp_path, estimate=lambda rgb, thermal: None if next(calls) < black else (9.0, 0.0), estimate_pairs=pairs
    )
    (finding,) = report.findings
    assert (finding.severity, finding.code) == ("note", "offset-few")
    assert finding.message == f"the offset of RGB and thermal was measured in only {said}, too few to judge"
    assert ("--offsets" in finding.remedy) == (black == 0)
    assert report.summary["alignment"]["median"] == 9


def test_broken_pairs_are_not_measured(tmp_path: Path) -> None:
    make_kust4k(tmp_path, n=8)
    assert check(tmp_path, estimate=_offset).summary["alignment"]["pairs"] == 6
