"""Begin with other weights: what of a checkpoint fits a model, by name and shape, and what does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cimnet.checkpoint import INFO_KEY, checkpoint_file, identity, load_checkpoint
from cimnet.errors import CheckpointError, ConfigError
from cimnet.models import RGBTModel, create_model
from cimnet.models.adapters import adapt_encoder
from cimnet.models.outline import Outline, outline_model
from cimnet.models.staged_encoder import StagedEncoder
from cimnet.models.zoo import PUBLICATIONS
from cimnet.models.zoo.network import InputStatistics, ZooNetwork
from cimnet.utils.numbers import pluralize
from cimnet.utils.safetensors_header import read_header
from cimnet.weights.locate import EXPORTED, locate
from cimnet.weights.official_file import read_weights

_STATISTICS = InputStatistics._fields
"""Normalisation of the images: the model's encoders and the training data set it, not other weights."""


@dataclass(frozen=True)
class Source:
    """Weights to begin with.

    Attributes:
        given: as the user named them.
        digest: SHA-256 of the file.
        state: by name. Names of the original's code if ``official``.
        classes: names by id; None: the file does not say.
        options: of the model that they are of; of official weights the order of channels alone.
        official: of a published network's original code.
    """

    given: str
    digest: str
    state: Mapping[str, Tensor]
    classes: tuple[str, ...] | None
    options: dict[str, Any]
    official: bool = False


@dataclass(frozen=True)
class Fit:
    """The part of some weights that a model has taken.

    Attributes:
        weights, sha256: which ones.
        parameters: how many numbers of the model's parameters were loaded, and of how many.
        loaded: names of the tensors that were loaded as a whole.
        classes: names of the classes whose rows of the classifier were loaded by name.
        by_number: whether the classifier was loaded by number, because the weights name no classes: row 0 is class 0,
            whatever either is called.
        random: names of the model's tensors of which nothing was loaded.
        partial: names of those of which some rows were loaded.
        unused: names of the weights' tensors that the model has no place for.
    """

    weights: str
    sha256: str
    parameters: tuple[int, int]
    loaded: tuple[str, ...]
    classes: tuple[str, ...]
    random: tuple[str, ...]
    partial: tuple[str, ...]
    unused: tuple[str, ...]
    by_number: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """Return a sentence for the user: what was loaded, what starts at random, and what was not used."""
        done, of = self.parameters
        parts = [f"weights {self.weights}: loaded {done / 1e6:.2f} M of {of / 1e6:.2f} M parameters"]
        if self.classes:
            parts.append(f"classifier of {', '.join(self.classes)}")
        if self.by_number:
            parts.append("classifier taken by number: the weights name no classes, so check that both lists agree")
        if self.random or self.partial:
            parts.append(f"at random: {_modules([*self.random, *self.partial])}")
        if self.unused:
            parts.append(f"not used: {_modules(self.unused)}")
        return "; ".join(parts)


def open_source(given: str, model: str) -> Source:
    """Read weights to begin with.

    Args:
        given: run folder, ``.safetensors`` file, ``starter``, ``hub:USER/NAME``, or for a published network also a
            checkpoint of its original code.
        model: name of the model that will take them.

    Raises:
        CheckpointError: the weights cannot be found or read, or are not such ones.
    """
    path = checkpoint_file(locate(given))
    if path.suffix in EXPORTED:
        raise CheckpointError(f"model.weights {given}: an exported file; give the checkpoint that it was made from")
    if _is_foreign(path):
        if model not in PUBLICATIONS:
            raise CheckpointError(
                f"model.weights {given}: no checkpoint of cimnet; weights of original code fit published networks "
                f"alone, and '{model}' is none; see `cimnet models`"
            )
        order = {"channel_order": PUBLICATIONS[model].channel_order}
        return Source(given, identity(path), read_weights(path), None, order, official=True)
    network, info = load_checkpoint(path)
    return Source(given, identity(path), network.state_dict(), info.classes, info.options)


def create_from(source: Source, name: str, classes: Sequence[str], **options: Any) -> tuple[RGBTModel, Fit]:
    """A model that begins with what fits of some weights. ImageNet weights are not fetched.

    Rows of the classifier are taken by the names of the classes. Statistics of the images are not taken.

    Args:
        name, options: for :func:`cimnet.create_model`.
        classes: names by id.

    Returns:
        The model, and what it has taken.

    Raises:
        CheckpointError: nothing fits.
        ConfigError: the weights expect the colours in another order, or lack some of an encoder that is frozen; and as
            `create_model`.
    """
    options = {**options, "pretrained": False}
    _require_order(source, options)
    model = create_model(name, len(classes), **options)
    encoder_options = options.get("encoder_options")
    if encoder_options and source.options.get("encoder_options") != encoder_options:
        plain = {key: value for key, value in options.items() if key != "encoder_options"}
        model = create_model(name, len(classes), **plain)  # adapters change names: they are added behind
        fit = load_what_fits(model, source, classes, name, plain)
        for encoder in _encoders(model).values():
            adapt_encoder(encoder, encoder_options)
    else:
        fit = load_what_fits(model, source, classes, name, options)
    _require_frozen(model, fit)
    return model, fit


def load_what_fits(
    model: RGBTModel, source: Source, classes: Sequence[str], name: str, options: Mapping[str, Any]
) -> Fit:
    """Copy weights into a model, in place, by name and shape.

    Args:
        classes: the model's, names by id.
        name, options: what the model was built with.

    Raises:
        CheckpointError: nothing fits, or a weight that does is not finite.
    """
    given = source.state
    if source.official:
        assert isinstance(model, ZooNetwork)
        given = model.own_names(given)
    state = {
        key: value
        for key, value in model.state_dict().items()
        if key.rpartition(".")[2] not in _STATISTICS and not key.startswith(model.fitted_afterwards)
    }
    by_class = _axes_of_classes(name, len(classes), options)
    pairs = _shared_classes(source.classes, classes)
    taken: dict[str, Tensor] = {}
    partial: dict[str, Tensor] = {}
    for key, own in state.items():
        other = given.get(key)
        if other is None or not _is_like(own, other, by_class.get(key)):
            continue
        if key not in by_class or pairs is None:
            if own.shape == other.shape:
                taken[key] = other
        elif rows := _by_name(own, other, by_class[key], pairs, len(source.classes or ()), len(classes)):
            (taken if len(pairs) == len(classes) else partial)[key] = rows[0]
    if not any(key in taken and key not in by_class for key, _ in model.named_parameters()):
        raise CheckpointError(
            f"model.weights {source.given}: no layer below the classifier fits the model by name and shape "
            f"({pluralize(len(given), 'tensor')}, the first is '{next(iter(given), '')}'); give weights of such a model"
        )
    _require_finite(source, {**taken, **partial})
    model.load_state_dict({**model.state_dict(), **taken, **partial})
    whole = {key: value.numel() for key, value in model.named_parameters()}
    share = {key: len(pairs or ()) / len(classes) for key in partial}
    done = sum(int(whole[key] * share.get(key, 1.0)) for key in (*taken, *partial) if key in whole)
    return Fit(
        source.given,
        source.digest,
        (done, sum(whole.values())),
        tuple(taken),
        tuple(classes[own] for own, _ in pairs or ()) if any(key in by_class for key in (*taken, *partial)) else (),
        tuple(key for key in state if key not in taken and key not in partial),
        tuple(partial),
        tuple(key for key in given if key not in state and key.rpartition(".")[2] not in _STATISTICS),
        pairs is None and any(key in by_class for key in taken),
    )


def _is_foreign(path: Path) -> bool:
    """Whether a file is not one of this package; those that cannot be read are left to whoever opens them."""
    try:
        return path.is_file() and (path.suffix != ".safetensors" or INFO_KEY not in read_header(path).metadata)
    except (OSError, ValueError):
        return False


def _axes_of_classes(name: str, num_classes: int, options: Mapping[str, Any]) -> dict[str, int]:
    """Tensors whose size depends on the number of classes, and along which axis."""
    with Outline(10**9, 10**5):
        one, more = (outline_model(name, count, **options).state_dict() for count in (num_classes, num_classes + 1))
    return {
        key: next(axis for axis, side in enumerate(value.shape) if more[key].shape[axis] != side)
        for key, value in one.items()
        if value.shape != more[key].shape
    }


def _shared_classes(theirs: Sequence[str] | None, ours: Sequence[str]) -> list[tuple[int, int]] | None:
    """Pairs (our id, their id) of equal names; None: theirs have no names."""
    if theirs is None:
        return None
    ids = {name.casefold(): number for number, name in enumerate(theirs)}
    return [(number, ids[name.casefold()]) for number, name in enumerate(ours) if name.casefold() in ids]


def _is_like(own: Tensor, other: Tensor, axis: int | None) -> bool:
    """Whether two tensors hold the same kind of numbers and differ in size along the axis of the classes at most."""
    if own.ndim != other.ndim or own.is_floating_point() != other.is_floating_point() or other.is_complex():
        return False
    return all(own.shape[n] == other.shape[n] for n in range(own.ndim) if n != axis)


def _by_name(
    own: Tensor, other: Tensor, axis: int, pairs: list[tuple[int, int]], their_count: int, our_count: int
) -> list[Tensor]:
    """Our tensor with the rows of the classes that both have; [] if there are none, or a class has more than a row."""
    if not pairs or own.shape[axis] != our_count or other.shape[axis] != their_count:
        return []
    ours, theirs = (torch.tensor(ids, device=own.device) for ids in zip(*pairs, strict=True))
    return [own.clone().index_copy(axis, ours, other.to(own).index_select(axis, theirs))]


def _require_order(source: Source, options: Mapping[str, Any]) -> None:
    """Refuse a network that gives the weights colours in another order than they expect. Weights of the original's code
    may be the user's own: an order that the recipe names holds for them."""
    expected, asked = source.options.get("channel_order", "rgb"), options.get("channel_order")
    if (asked or "rgb") != expected and not (source.official and asked):
        raise ConfigError(
            f"model.weights {source.given} expects colours in the order {expected}; add model.channel_order: {expected}"
        )


def _require_finite(source: Source, found: Mapping[str, Tensor]) -> None:
    for key, value in found.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise CheckpointError(f"model.weights {source.given}: '{key}' is NaN or infinite; take another file")


def _encoders(model: RGBTModel) -> dict[str, StagedEncoder]:
    return {name: module for name, module in model.named_modules() if isinstance(module, StagedEncoder)}


def _require_frozen(model: RGBTModel, fit: Fit) -> None:
    """Refuse to freeze an encoder that begins at random: nothing would ever train it."""
    trained = {key for key, value in model.named_parameters() if value.requires_grad}
    for name, encoder in _encoders(model).items():
        missing = [key for key in fit.random if key.startswith(f"{name}.") and key not in trained]
        if encoder.frozen and missing:
            raise ConfigError(
                f"model.encoder.freeze: model.weights {fit.weights} lacks '{missing[0]}' of the encoder that is not "
                "trained; give weights of this encoder, or leave weights out for those of ImageNet"
            )


def _modules(names: Sequence[str]) -> str:
    """The modules that tensors belong to, with how many each."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name.partition(".")[0]] = counts.get(name.partition(".")[0], 0) + 1
    shown = [f"{module} ({pluralize(count, 'tensor')})" for module, count in counts.items()]
    return ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "")
