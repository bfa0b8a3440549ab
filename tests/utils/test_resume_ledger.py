"""A ledger resumes with the same settings, and names what differs otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cimnet.errors import CimnetError, ConfigError
from cimnet.utils.ledger import Ledger

REMEDY = "choose another --out"


def ledger(folder: Path, section: str | None = None, **made_with: object) -> Ledger:
    return Ledger(folder / "made.json", made_with, REMEDY, section=section)


def test_the_same_settings_resume(tmp_path: Path) -> None:
    first = ledger(tmp_path, seed=1, sizes=(1, 2))
    assert first.state() == "none"
    assert not first.require_same()
    first.write()
    again = ledger(tmp_path, sizes=[1, 2], seed=1)
    assert again.require_same(filled=True)
    assert again.digest == first.digest
    assert [path.name for path in tmp_path.iterdir()] == ["made.json"]


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (
            {"seed": 2, "window": None},
            r"other settings: seed \(1 then, 2 now\); resume with the same, or choose another --out",
        ),
        ({"seed": 2, "window": 3}, r"other settings: seed \(1 then, 2 now\), window \(None then, 3 now\);"),
        ({"seed": 1}, r"other settings: window; "),  # absent is not None
        ({"seed": 1, "window": None, "new": 5}, r"other settings: new \(None then, 5 now\);"),
        ({"seed": True, "window": "x" * 99}, r"other settings: window \(None then, x{59}… now\);"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path: Path, now: dict[str, object], message: str) -> None:
    ledger(tmp_path, seed=1, window=None).write()
    other = ledger(tmp_path, **now)
    assert other.state() == "other"
    with pytest.raises(ConfigError, match=r"made\.json: made with " + message):
        other.require_same()


def test_later_settings_are_compared_where_the_file_has_them(tmp_path: Path) -> None:
    path, now = tmp_path / "made.json", {"seed": 1, "border": 4}
    later = Ledger(path, now, REMEDY, later=("border",))
    ledger(tmp_path, seed=1).write()
    assert later.require_same()
    ledger(tmp_path, seed=1, border=3).write()
    with pytest.raises(ConfigError, match=r"made with other settings: border \(3 then, 4 now\); "):
        later.require_same()
    with pytest.raises(ConfigError, match=r"made with other settings: border \(3 then, None now\); "):
        Ledger(path, {"seed": 1}, REMEDY, later=("border",)).require_same()


def test_ignored_settings_may_differ(tmp_path: Path) -> None:
    ledger(tmp_path, seed=1, window=None, gone=3).write()
    path, now = tmp_path / "made.json", {"seed": 1, "window": 5, "new": 2}
    assert Ledger(path, now, REMEDY, ignore=("window", "gone", "new")).require_same()
    other = Ledger(path, {**now, "seed": 2}, REMEDY, ignore=("window", "gone"))
    assert other.state() == "other"
    with pytest.raises(
        ConfigError, match=r"made with other settings: new \(None then, 2 now\), seed \(1 then, 2 now\); "
    ):
        other.require_same()


@pytest.mark.parametrize("content", ["", "{", "[1]", "3", "{}", '{"somebody": "else"}', "[" * 100_000, b"\xff"])
@pytest.mark.parametrize("section", [None, "task"])
def test_a_damaged_or_foreign_file_does_not_say(tmp_path: Path, content: str | bytes, section: str | None) -> None:
    (tmp_path / "made.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    found = ledger(tmp_path, section, seed=1)
    assert found.state() == "unknown"
    with pytest.raises(CimnetError, match=r"made\.json: does not say how .* were made; choose another --out"):
        found.require_same()


def test_results_without_a_ledger_and_of_several_settings_do_not_say(tmp_path: Path) -> None:
    found = ledger(tmp_path, seed=1)
    with pytest.raises(ConfigError, match="does not say"):
        found.require_same(filled=True)
    found.write_mixed()
    with pytest.raises(ConfigError, match="does not say"):
        found.require_same()


def test_notes_stand_beside_the_settings(tmp_path: Path) -> None:
    found = ledger(tmp_path, "task", seed=1)
    assert found.notes() == {}
    found.write(done=3)
    assert json.loads((tmp_path / "made.json").read_text()) == {"task": {"seed": 1}, "done": 3}
    assert found.state() == "same"
    assert found.notes() == {"done": 3}
    assert ledger(tmp_path, "task", seed=2).state() == "other"


def test_settings_of_another_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "seed.txt"
    path.write_text("4")
    read = lambda path: {"seed": int(path.read_text())}  # noqa: E731
    assert Ledger(path, {"seed": 4}, REMEDY, read=read).require_same()
    with pytest.raises(ConfigError, match=r"other settings: seed \(4 then, 5 now\)"):
        Ledger(path, {"seed": 5}, REMEDY, read=read).require_same()
