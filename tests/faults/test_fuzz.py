"""Random input to every target, a few cases each, the same every time; benchmarks/fuzz.py does many."""

from __future__ import annotations

import random
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("tifffile", reason="needs the extra dev")

from cimnet.errors import CimnetError
from tests.faults import seeds
from tests.faults.mutate import mutate
from tests.faults.targets import FILES, VALUES

FEW = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


NEEDS = {
    "onnx": [pytest.mark.skipif(find_spec("onnx") is None, reason="needs the extra export")],
    "flir jpeg": [pytest.mark.skipif(find_spec("flyr") is None, reason="needs the extra thermal")],
}
each_file = pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDS.get(name, [])) for name in FILES])


@pytest.mark.filterwarnings("ignore")  # Pillow's and torch's, of damaged files
@each_file
def test_mutated_files(name: str, tmp_path: Path) -> None:
    target = FILES[name]
    if target.setup is not None:
        target.setup(tmp_path)
    files = target.files()

    @FEW
    @given(st.sampled_from(files), st.integers(0, 2**32))
    def case(file: tuple[str, bytes], number: int) -> None:
        path = tmp_path / file[0]
        for step in target.steps:
            path.write_bytes(mutate(random.Random(number), [file[1]]))
            with suppress(CimnetError):
                step(path)

    with seeds.pixel_models():
        case()


@pytest.mark.filterwarnings("ignore")
@each_file
def test_sound_files(name: str, tmp_path: Path) -> None:
    """A target that refuses everything would pass above: at least one of the sound files is read."""
    target, read = FILES[name], 0
    if target.setup is not None:
        target.setup(tmp_path)
    with seeds.pixel_models():
        for file_name, content in target.files():
            path = tmp_path / file_name
            path.write_bytes(content)
            with suppress(CimnetError):
                target.steps[0](path)
                read += 1
    assert read


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str, tmp_path: Path) -> None:
    target = VALUES[name]

    @FEW
    @given(target.values())
    def case(value: Any) -> None:
        with suppress(CimnetError):
            target.step(value, tmp_path)

    with seeds.pixel_models():
        case()


@pytest.mark.parametrize("name", ["a.png", "l.bmp", "n.tif", "w.npy"])
def test_the_same_number_gives_the_same_bytes(name: str) -> None:
    contents = [content for file_name, content in seeds.images().values() if file_name == name]
    assert mutate(random.Random(3), contents) == mutate(random.Random(3), contents)
    assert len({mutate(random.Random(number), contents) for number in range(20)}) > 15
