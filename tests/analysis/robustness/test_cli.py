"""The command."""

from __future__ import annotations

import json


def test_levels_of_ones_own(cli, trained, tmp_path) -> None:
    out = tmp_path / "out"
    options = ("--out", out, "--device", "cpu", "--corruption", "translation=0,5", "--corruption", "fog")
    result = cli("robustness", trained.best, trained.root, *options, "--moving", "car", "--seed", 3)
    assert result.code == 0, result.err
    content = json.loads((out / "robustness.json").read_text(encoding="utf-8"))
    assert list(content["corruptions"]) == ["translation", "fog"]
    points = content["corruptions"]["translation"]["points"]
    assert [point["level"] for point in points] == [0, 5]
    assert points[0]["miou"] == content["clean"]["miou"]
    assert (content["moving"], content["seed"], content["split"]) == (["car"], 3, "test")
    assert "robustness.html" in result.out
    assert "translation" in result.out


def test_the_checkpoint_is_loaded_once(cli, trained, tmp_path, monkeypatch) -> None:
    from cimnet.inference import open_model

    loads: list[object] = []
    load = open_model.load_checkpoint
    monkeypatch.setattr(open_model, "load_checkpoint", lambda path: (loads.append(path), load(path))[1])
    options = ("--out", tmp_path / "out", "--device", "cpu", "--corruption", "translation=5")
    result = cli("robustness", trained.best, trained.root, *options)
    assert result.code == 0, result.err
    assert len(loads) == 1


def test_a_preset(cli, trained, tmp_path) -> None:
    out = tmp_path / "out"
    result = cli("robustness", trained.folder, trained.root, "--out", out, "--device", "cpu", "--preset", "failure")
    assert result.code == 0, result.err
    content = json.loads((out / "robustness.json").read_text(encoding="utf-8"))
    assert set(content["corruptions"]) == {"blackout", "low_light", "rgb_dropped", "thermal_blur", "thermal_dropped"}


def test_an_unknown_corruption_is_one_line(cli, trained, tmp_path) -> None:
    result = cli("robustness", trained.best, trained.root, "--out", tmp_path / "out", "--corruption", "fogg")
    assert result.code == 2
    assert result.err.startswith("cimnet: corruption 'fogg' is unknown; choose from")
    assert len(result.err.splitlines()) == 1


def test_help_is_short(cli) -> None:
    result = cli("robustness", "--help")
    assert result.code == 0
    assert len(result.out.splitlines()) < 65
