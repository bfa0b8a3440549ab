"""The gain of a model's parts against steps, from the logs of runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import OpenScript


def write_log(folder: Path, miou: dict[int, float]) -> None:
    """A run of 200 steps an epoch whose evaluations gave this, with epochs between them that were not evaluated."""
    folder.mkdir(parents=True)
    (folder / "data.json").write_text(json.dumps({"train": {f"{k:03d}": "" for k in range(801)}}))
    (folder / "recipe.yaml").write_text("base: small_scenes\ntraining: {batch_size: 2, accumulate: 2}\n")
    epochs = {step // 200: value for step, value in miou.items()}
    rows = [row for epoch, value in epochs.items() for row in ({"epoch": epoch - 1}, {"epoch": epoch, "miou": value})]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_gains_are_of_one_seed_and_one_step(
    tmp_path: Path, open_script: OpenScript, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(tmp_path / "runs" / "none-0", {400: 0.40, 800: 0.50})
    write_log(tmp_path / "runs" / "none-1", {400: 0.20, 800: 0.30})
    write_log(tmp_path / "runs" / "all-0", {400: 0.41, 800: 0.53})
    write_log(tmp_path / "runs" / "all-1", {400: 0.23, 1200: 0.9})
    write_log(tmp_path / "runs" / "lambda_0.3-2", {400: 0.5})  # its seed has nothing to be compared with
    open_script("gain_curve.py")["main"]([str(tmp_path / "runs"), "--figure", str(tmp_path / "gain.png")])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split("|")[1:-1] == [" mIoU on val ", " seeds ", " 400 steps ", " 800 steps "]
    assert printed[2:] == ["| none | 2 | 30.0 ± 14.1 | 40.0 ± 14.1 |", "| all − none | 2 | +2.0 ± 1.4 | +3.0 |"]
    assert (tmp_path / "gain.png").read_bytes().startswith(b"\x89PNG")


def test_without_the_model_that_all_are_compared_with(
    tmp_path: Path, open_script: OpenScript, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(tmp_path / "all-0", {400: 0.41})
    with pytest.raises(SystemExit) as caught:
        open_script("gain_curve.py")["main"]([str(tmp_path)])
    assert caught.value.code == 2
    assert "holds no run none-SEED" in capsys.readouterr().err
