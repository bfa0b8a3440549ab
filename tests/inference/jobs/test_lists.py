"""Lists of pairs as CSV and Parquet: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cimnet.errors import DataError
from cimnet.inference.jobs import Files, read_list
from cimnet.inference.jobs.pair_lists import check_names
from tests.inference.jobs.conftest import write_parquet


def _list(folder: Path, content: str | bytes) -> Path:
    path = folder / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_csv_with_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    text = '\ufeffRGB, thermal ,name\r\na/1.png,b/1.tif,flight 1/één\r\n,b/2.tif,\r\n\r\n"a/3,4.png",,\r\n'
    assert read_list(_list(tmp_path, text)) == [
        Files(
            (
                ("flight 1/één", tmp_path / "a/1.png", tmp_path / "b/1.tif"),
                ("2", None, tmp_path / "b/2.tif"),
                ("3,4", tmp_path / "a/3,4.png", None),
            )
        )
    ]


def test_columns_in_any_order_and_absolute_paths(tmp_path: Path) -> None:
    (part,) = read_list(_list(tmp_path, "camera,thermal,rgb\nx,/data/t.png,r.png\n"))
    assert part == Files((("r", tmp_path / "r.png", Path("/data/t.png")),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found 'nothing'; expected the columns rgb,thermal"),
        ("rgb;thermal\na;b\n", "found 'rgb;thermal'.*with commas between"),
        ("rgb,thermal,rgb\na,b,c\n", "expected the columns"),
        ("rgb,thermal\n", "no pairs in it"),
        ("rgb,thermal\na.png,b.png\na.png\n", "row 3: 1 cell where the first line has 2"),
        ("rgb,thermal\na.png,b.png,c\n", "row 2: 3 cells"),
        (b"rgb,thermal\n\xff,b\n", "cannot be read as CSV in UTF-8"),
        ("rgb,thermal\nx/a.png,\ny/a.jpg,\n", "name 'a': there twice; give each pair a name of its own"),
    ],
)
def test_a_csv_that_cannot_be_used(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"list.csv: .*{message}"):
        read_list(_list(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "empty"),
        ("/etc/a", "absolute"),
        ("C:a", "absolute"),
        ("../a", "'..'"),
        ("a/../../b", "'..'"),
        ("a/./b", "'.'"),
        ("a//b", "empty ones"),
        ("a/", "empty ones"),
        ("a\\b", "backslash"),
        ("a\nb", "control"),
        ("a" * 201, "longer than 200 bytes"),
    ],
)
def test_names_that_lead_elsewhere(name: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"here: name .*{message}"):
        check_names(["fine", "12:30/..fine", name], "here")


def test_names_that_are_one_file_on_some_systems() -> None:
    check_names(["a", "b/a", "a.b"], "here")
    with pytest.raises(DataError, match="'B/STRASSE': also there as 'b/straße'"):
        check_names(["b/straße", "B/STRASSE"], "here")
    with pytest.raises(DataError, match="also there as"):
        check_names(["\u00e9", "e\u0301"], "here")


def test_paths_that_are_no_list(tmp_path: Path) -> None:
    (tmp_path / "x.txt").touch()
    for path, message in (("gone.csv", "no such file"), ("x.txt", "expected a .csv"), (".", "no .parquet files")):
        with pytest.raises(DataError, match=message):
            read_list(tmp_path / path)


def test_parquet_of_several_files_and_groups(tmp_path: Path) -> None:
    write_parquet(tmp_path / "b.parquet", [("x/1", b"1", None), ("x/2", None, b"2"), ("3", b"", b"")], group=2)
    write_parquet(tmp_path / "a.parquet", [("0", b"0", b"0")])
    (tmp_path / ".c.parquet").write_bytes(b"a file that is being written")
    (tmp_path / "_SUCCESS").touch()
    assert [(part.names, getattr(part, "label", None)) for part in read_list(tmp_path)] == [
        (("0",), str(tmp_path / "a.parquet")),
        (("x/1", "x/2"), str(tmp_path / "b.parquet")),
        (("3",), str(tmp_path / "b.parquet")),
    ]
    write_parquet(tmp_path / "z.parquet", [("X/1", b"1", None)])
    with pytest.raises(DataError, match="'X/1': also there as 'x/1'"):
        read_list(tmp_path)


def test_parquet_that_cannot_be_used(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    data = pyarrow.array([b"1"], pyarrow.binary())
    for columns, message in (
        ({"name": ["1"], "rgb": data}, "no column thermal"),
        ({"name": [1], "rgb": data, "thermal": data}, "column name: type int64, expected string"),
        ({"name": ["1"], "rgb": ["a.png"], "thermal": data}, "column rgb: type string, expected binary"),
        (
            {"name": pyarrow.array([None], pyarrow.string()), "rgb": data, "thermal": data},
            "column name: a row without a name",
        ),
    ):
        parquet.write_table(pyarrow.table(columns), path)
        with pytest.raises(DataError, match=f"a.parquet: {message}"):
            read_list(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet"):
        read_list(path)


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from cimnet.errors import ConfigError

    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").touch()
    with pytest.raises(ConfigError, match=r'Parquet files: .*; pip install "cimnet\[cluster\]"'):
        read_list(tmp_path / "a.parquet")
