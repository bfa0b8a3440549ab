"""Files that belong together: after an error at any step all of them are what they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from cimnet.errors import CimnetError
from cimnet.utils.file_sets import write_together


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_all_are_written(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old", encoding="utf-8")
    (tmp_path / "b.txt").write_text("old", encoding="utf-8")
    write_together({tmp_path / "a.txt": "new", tmp_path / "b.txt": None, tmp_path / "c.txt": "new"})
    assert contents(tmp_path) == {"a.txt": "new", "c.txt": "new"}


@pytest.mark.parametrize("failing", range(5))
def test_none_after_an_error_at_any_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """Two files that are there step aside, three new ones take their places: five renames."""
    before = {"a.txt": "old a", "b.txt": "old b"}
    for name, text in before.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    calls = 0
    replace = Path.replace

    def fail_once(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing + 1:
            raise PermissionError(1, "Operation not permitted")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_once)
    with pytest.raises(CimnetError, match=r"[abc]\.txt: cannot be written \(Operation not permitted\), so nothing was"):
        write_together({tmp_path / "a.txt": "new", tmp_path / "b.txt": "new", tmp_path / "c.txt": "new"})
    assert contents(tmp_path) == before


def test_a_folder_in_the_way_is_named_before_anything_changes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old", encoding="utf-8")
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(CimnetError, match=r"b\.txt: cannot be written \(it is a folder\)"):
        write_together({tmp_path / "a.txt": "new", tmp_path / "b.txt": "new"})
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"]
