"""The gain of a model's parts against steps, from the logs of runs."""

from __future__ import annotations

import json
from collections.abc import Callable
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


@pytest.fixture
def draw(tmp_path: Path, open_script: OpenScript) -> Callable[..., None]:
    main = open_script("gain_curve.py")["main"]
    return lambda *words: main([*map(str, words), "--json", str(tmp_path / "gain.json")])


def test_gains_are_of_one_seed_and_one_step(
    tmp_path: Path, draw: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(tmp_path / "runs" / "none-0", {400: 0.40, 800: 0.50})
    write_log(tmp_path / "runs" / "none-1", {400: 0.20, 800: 0.30})
    write_log(tmp_path / "runs" / "all-0", {400: 0.41, 800: 0.53})
    write_log(tmp_path / "runs" / "all-1", {400: 0.23, 1200: 0.9})
    write_log(tmp_path / "runs" / "lambda_0.3-2", {400: 0.5})  # its seed has nothing to be compared with
    draw(tmp_path / "runs", "--figure", tmp_path / "gain.png")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split("|")[1:-1] == [" mIoU on val ", " seeds ", " 400 steps ", " 800 steps "]
    assert printed[2:4] == ["| none | 2 | 30.0 ± 14.1 | 40.0 ± 14.1 |", "| all − none | 2 | +2.0 ± 1.4 | +3.0 |"]
    assert (tmp_path / "gain.png").read_bytes().startswith(b"\x89PNG")


def test_runs_of_another_machine_add_up(
    tmp_path: Path, draw: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    for machine, seed, miou in (("first", 0, 0.5), ("second", 1, 0.6)):
        for variant, more in (("none", 0.0), ("all", 0.01 + 0.02 * seed)):
            write_log(tmp_path / machine / f"{variant}-{seed}", {400: miou + more})
            (tmp_path / machine / f"{variant}-{seed}" / "test.json").write_text(json.dumps({"miou": miou + more}))
        draw(tmp_path / machine)
    write_log(tmp_path / "third" / "none-2", {400: 0.5})  # not scored on test yet
    draw(tmp_path / "third")
    capsys.readouterr()
    draw()
    printed = capsys.readouterr().out.splitlines()
    assert "| none | 3 | 53.3 ± 5.8 |" in printed
    assert "| all − none | 2 | +2.0 ± 1.4 |" in printed
    assert "| none | 2 | 55.0 ± 7.1 |  |" in printed
    assert "| all | 2 | 57.0 ± 8.5 | +2.0 ± 1.4 |" in printed


def test_without_the_model_that_all_are_compared_with(
    tmp_path: Path, draw: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(tmp_path / "all-0", {400: 0.41})
    with pytest.raises(SystemExit) as caught:
        draw(tmp_path)
    assert caught.value.code == 2
    assert "no run none-SEED" in capsys.readouterr().err
