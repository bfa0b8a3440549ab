"""Checkpoints of the original code of published networks, in the networks of :mod:`cimnet.models.zoo`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cimnet.checkpoint import ModelInfo, save_checkpoint
from cimnet.data.classes import ClassList
from cimnet.errors import CheckpointError, CimnetError, ConfigError, one_line
from cimnet.models import RGBTModel, create_model
from cimnet.models.outline import Outline, outline_model
from cimnet.models.zoo import PUBLICATIONS
from cimnet.models.zoo.network import ZooNetwork
from cimnet.models.zoo.official_names import to_ours
from cimnet.models.zoo.publication import ChannelOrder
from cimnet.utils.files import refuse_inputs_as_outputs, require_writable_file
from cimnet.utils.numbers import pluralize
from cimnet.weights.official_file import read_weights, take_weights

_ANY_CLASSES = 9
_LIKE = 0.5  # share of the weights that must fit for "they look like"
Shape = tuple[int, ...]


def from_official(
    name: str,
    source: str | Path | Mapping[str, Any],
    num_classes: int | None = None,
    channel_order: ChannelOrder | None = None,
    **options: Any,
) -> RGBTModel:
    """Build a published network and load weights that its original code wrote.

    Args:
        name: a published network of :func:`cimnet.list_models`, such as ``cmx_mit_b2``.
        source: a checkpoint file of the original code (opened with ``weights_only``) or a safetensors file, or a state
            dict.
        num_classes: K that you expect. None: as many as the weights have.
        channel_order: ``rgb`` or ``bgr``, the order in which the weights expect the colours. None: that of the official
            weights. You still give the model RGB images.
        options: further ones of the network for :func:`cimnet.create_model`, where the original's evaluation and its
            training differ, such as ``head_eps``. What is not given has the value that gives the published numbers.

    Returns:
        The model in evaluation mode on the CPU: in float64 if all weights are, otherwise in float32.

    Raises:
        ConfigError: no published network has this name, or an option is not one of the network or is out of range.
        CheckpointError: the source cannot be used, or its weights belong to another network or to other classes.
    """
    options = official_options(name, channel_order, options)
    place = str(source) if isinstance(source, str | Path) else "the state dict"
    weights = read_weights(source) if isinstance(source, str | Path) else take_weights(source, place)
    found = _count_classes(name, options, weights) or num_classes or _ANY_CLASSES
    if num_classes not in (None, found):
        raise CheckpointError(
            f"{place}: its weights are for {found} classes, not {num_classes}; give as many class names"
        )
    _require_fit(name, options, found, weights, place)
    model = create_model(name, found, **options)
    assert isinstance(model, ZooNetwork)
    if all(value.dtype == torch.float64 for value in weights.values() if value.is_floating_point()):
        model.double()  # first, or loading would round the weights
    model.load_state_dict({**model.state_dict(), **_known(model, weights)})
    _require_finite(model, place)
    return model.eval()


def official_options(
    name: str, channel_order: ChannelOrder | None = None, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Options of :func:`cimnet.create_model` for a network with official weights, and ``options`` of the user.

    Raises:
        ConfigError: no published network has this name, or an option has no place beside given weights or no plain
            value.
    """
    if name not in PUBLICATIONS:
        near = difflib.get_close_matches(name, PUBLICATIONS, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "see `cimnet models`"
        raise ConfigError(f"'{name}' is not a published network whose official weights can be loaded: {hint}")
    options = dict(options or {})
    for key in ("name", "source", "num_classes", "channel_order", "pretrained"):
        if key in options:
            raise ConfigError(f"{key} has no place among the further options of {name}; leave it out")
    try:
        json.dumps(options)  # as a checkpoint keeps them
    except (TypeError, ValueError) as error:
        raise ConfigError(f"options of {name} are not plain values: {one_line(error)}") from error
    return {"channel_order": channel_order or PUBLICATIONS[name].channel_order, **options}


def official_model(
    name: str,
    source: str | Path,
    classes: ClassList,
    channel_order: ChannelOrder | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[RGBTModel, ModelInfo]:
    """The model of :func:`from_official` in float32, and its description.

    The data sets of the published networks have thermal images of 8 bits, of which the whole range becomes 0..1.

    Args:
        classes: their names and colours in the order of the weights' ids.
        options: further ones of the network.

    Raises:
        ConfigError, CheckpointError: as :func:`from_official`.
    """
    options = official_options(name, channel_order, options)
    model = from_official(name, source, len(classes.names), **options).float()
    _require_finite(model, str(source))
    return model, ModelInfo(name, options, classes.names, classes.colors, thermal_dtype="uint8")


def import_official(
    name: str,
    source: Path,
    classes: ClassList,
    out: Path,
    channel_order: ChannelOrder | None = None,
    overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
) -> RGBTModel:
    """Write official weights as a checkpoint of this package.

    Args:
        name, source, classes, channel_order, options: see :func:`official_model`.
        out: ``.safetensors`` file.
        overwrite: replace ``out`` where it exists.

    Raises:
        CimnetError: as :func:`from_official`; ``out`` exists, is ``source``, or cannot be written.
    """
    if out.suffix != ".safetensors":
        raise ConfigError(f"{out}: the name of a checkpoint ends in .safetensors")
    require_writable_file(out)
    refuse_inputs_as_outputs([out], [source])
    if out.exists() and not overwrite:
        raise CimnetError(f"{out}: exists; choose another --out, or --overwrite to replace it")
    model, info = official_model(name, source, classes, channel_order, options)
    save_checkpoint(out, model, info)
    return model


@lru_cache(64)
def _outline(name: str, num_classes: int, options: str = "{}") -> tuple[ZooNetwork, dict[str, Shape]]:
    """A network without its numbers, and the shapes of its weights by their names in the original's files.

    Args:
        options: of the network, as JSON.
    """
    with Outline(10**9, 10**5):
        model = outline_model(name, num_classes, **json.loads(options))
    assert isinstance(model, ZooNetwork)
    return model, {key: tuple(value.shape) for key, value in model.official_state().items()}


def _count_classes(name: str, options: Mapping[str, Any], weights: Mapping[str, Tensor]) -> int | None:
    """K by the first weight whose size depends on it; None where the file has none of them."""
    shapes, more = (_outline(name, count, json.dumps(options))[1] for count in (_ANY_CLASSES, _ANY_CLASSES + 1))
    for key, shape in shapes.items():
        if more[key] == shape or key not in weights or weights[key].ndim != len(shape):
            continue
        for side, other, found in zip(shape, more[key], weights[key].shape, strict=True):
            if side != other and (found - side) % (other - side) == 0:
                count = _ANY_CLASSES + (found - side) // (other - side)
                return count if count >= 2 else None
    return None


def _require_fit(
    name: str, options: Mapping[str, Any], num_classes: int, weights: Mapping[str, Tensor], place: str
) -> None:
    """Refuse weights that are not exactly those of a network.

    Raises:
        CheckpointError: naming the first ones, and the network that they look like.
    """
    model, shapes = _outline(name, num_classes, json.dumps(options))
    missing = [key for key in shapes if key not in weights and not _may_be_missing(model, key)]
    unknown = [] if getattr(model, "extra_allowed", False) else [key for key in weights if key not in shapes]
    wrong = [key for key, shape in shapes.items() if key in weights and tuple(weights[key].shape) != shape]
    odd = [key for key in shapes if key in weights and not _is_plain(key, weights[key])]
    faults = [
        *(f"{_first(keys)} {what}" for keys, what in ((missing, "missing"), (unknown, "unknown")) if keys),
        *([f"{_sizes(wrong[0], weights, shapes)}{_rest(wrong)}"] if wrong else []),
    ]
    if faults:
        raise CheckpointError(f"{place}: does not fit {name}: {'; '.join(faults)}. {_advice(name, weights)}")
    if odd:
        value = weights[odd[0]]
        kind = f"{str(value.dtype).removeprefix('torch.')}, {str(value.layout).removeprefix('torch.')}, {value.device}"
        raise CheckpointError(
            f"{place}: '{odd[0]}'{_rest(odd)} does not hold plain floating-point numbers ({kind}); give the weights as "
            "training wrote them, not quantised or compressed"
        )


def _is_plain(key: str, value: Tensor) -> bool:
    """Whether a weight holds real numbers, all of them. Counters of batches are whole numbers."""
    right_kind = value.is_floating_point() or (key.endswith("num_batches_tracked") and not value.is_complex())
    return right_kind and value.layout == torch.strided and not value.is_meta


def _require_finite(model: RGBTModel, place: str) -> None:
    """Refuse NaN, infinite numbers and numbers that float32 cannot hold.

    Raises:
        CheckpointError: naming the first weight, as the file has it.
    """
    assert isinstance(model, ZooNetwork)
    for key, value in model.official_state().items():
        if not value.isfinite().all():
            raise CheckpointError(f"{place}: weights of '{key}' are NaN or infinite; take another file")


def _may_be_missing(model: ZooNetwork, key: str) -> bool:
    return key.endswith("num_batches_tracked") or to_ours(key, model.renames).startswith(tuple(model.unused))


def _known(model: ZooNetwork, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = model.own_names(weights)
    return {key: own[key] for key in model.state_dict() if key in own}


def _first(keys: list[str], most: int = 3) -> str:
    return f"{', '.join(keys[:most])}{_rest(keys, most)}"


def _rest(keys: list[str], most: int = 1) -> str:
    return f" and {len(keys) - most} more" if len(keys) > most else ""


def _sizes(key: str, weights: Mapping[str, Tensor], shapes: Mapping[str, Shape]) -> str:
    here, there = ("×".join(map(str, shape)) or "one number" for shape in (weights[key].shape, shapes[key]))
    return f"{key} is {here}, not {there}"


def _advice(name: str, weights: Mapping[str, Tensor]) -> str:
    """Name the network that the weights belong to. Building all outlines takes seconds, so only a failure calls
    this."""
    shares = {}
    for other in (name, *(key for key in PUBLICATIONS if key != name)):
        shapes = _outline(other, _ANY_CLASSES)[1]
        equal = sum(tuple(value.shape) == shapes.get(key) for key, value in weights.items())
        shares[other] = equal / max(len(shapes), len(weights))
        if shares[other] > 0.98:
            break
    best = max(shares, key=shares.__getitem__)
    if shares[best] < _LIKE:
        return "The weights look like none of the networks here: see `cimnet models`"
    if best == name:
        return "Most weights fit: the file is not complete, or of a changed network; take the official one"
    return f"The weights look like {best}: give that name ({pluralize(len(weights), 'weight')})"
