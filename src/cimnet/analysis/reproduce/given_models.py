"""Trained models that a table scores in place of training: by path, or as NAME=FILE also by official weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cimnet.checkpoint import INFO_KEY
from cimnet.data.classes import BUILT_IN
from cimnet.errors import CheckpointError, ConfigError
from cimnet.inference import Predictor, load
from cimnet.inference.settings import Settings, choose_device
from cimnet.models.zoo import PUBLICATIONS
from cimnet.utils.safetensors_header import read_header
from cimnet.weights.locate import EXPORTED, identity_of
from cimnet.weights.official import official_model

CLASSES = {"table2": "kust4k", "table6": "mfnet"}
"""Class list of the data set that a table shows, for official weights, which name no classes."""


def open_given(table: str, checkpoints: Sequence[str | Path], trust: bool = False) -> dict[str, list[Predictor]]:
    """Open models, grouped by their names; several of one name are its seeds.

    Args:
        checkpoints: paths of what :func:`cimnet.load` opens, or ``NAME=FILE``, where FILE may also be a checkpoint of
            a published network's original code.
        trust: of these models, see :func:`cimnet.load`.

    Raises:
        ConfigError: paths without names are of different models, a name is not that of the model in the file, or a
            model is given twice.
        CheckpointError: a file that cannot be used.
    """
    opened: dict[str, list[Predictor]] = {}
    unnamed: set[str] = set()
    known: dict[str, str | Path] = {}
    for given in checkpoints:
        name, path = _split(given)
        mark = identity_of(path)
        if mark in known:
            raise ConfigError(f"--checkpoint {given}: the same model as {known[mark]}, not another run; give it once")
        known[mark] = given
        predictor = load(path, trust=trust) if name is None else _open_named(table, name, path, trust)
        if name not in (None, predictor.info.name):
            raise ConfigError(f"--checkpoint {given}: holds a {predictor.info.name}; give that name")
        if name is None:
            unnamed.add(predictor.info.name)
        opened.setdefault(predictor.info.name, []).append(predictor)
    if len(unnamed) > 1:
        raise ConfigError(
            f"the checkpoints are of different models ({', '.join(sorted(unnamed))}); give one kind, or NAME=FILE for "
            "each to compare them"
        )
    if table not in CLASSES and len(opened) > 1:
        raise ConfigError(f"{table}: shows one model, not {', '.join(opened)}; give checkpoints of one")
    return opened


def _split(given: str | Path) -> tuple[str | None, Path]:
    name, equals, path = str(given).partition("=")
    if isinstance(given, Path) or not equals or "/" in name or Path(given).exists():
        return None, Path(given)
    return name, Path(path)


def _open_named(table: str, name: str, path: Path, trust: bool) -> Predictor:
    if name not in PUBLICATIONS or path.is_dir() or path.suffix in EXPORTED or _is_cimnet(path):
        return load(path, trust=trust)
    if table not in CLASSES:
        raise ConfigError(f"{table}: {path} holds official weights; give a checkpoint that `cimnet import` wrote")
    model, info = official_model(name, path, BUILT_IN[CLASSES[table]])
    return Predictor(model, info, choose_device(None), Settings())


def _is_cimnet(path: Path) -> bool:
    if path.suffix != ".safetensors":
        return False
    try:
        return INFO_KEY in read_header(path).metadata
    except (OSError, ValueError) as error:
        raise CheckpointError(f"checkpoint {path}: damaged or not a safetensors file ({error})") from error
