"""Use a trained model: images in, class ids out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimnet.checkpoint import ModelInfo, load_checkpoint
from cimnet.data import RGBTDataset, open_dataset
from cimnet.data.dataset import Broken
from cimnet.errors import CheckpointError, ConfigError
from cimnet.inference.alarms.alarm import Alarm, AlarmModel
from cimnet.inference.alarms.model_features import measure_batch
from cimnet.inference.backends.segmenter import Segmenter
from cimnet.inference.hub import push, save_folder
from cimnet.inference.images import ImageLike, cutter, pair_tensors, resize, shrink
from cimnet.inference.prepared import PreparedPair, is_whole, of_one_size
from cimnet.inference.settings import WHOLE, Settings, choose_device
from cimnet.inference.windows import Block, Read, Windows, stitch_windows
from cimnet.models import RGBTModel
from cimnet.models.base import class_ids
from cimnet.models.folding import FoldedModel
from cimnet.weights.locate import EXPORTED, locate


def load(
    source: str | Path, device: str | torch.device | None = None, *, trust: bool = False, **settings: Any
) -> Predictor:
    """Open a trained model for prediction.

    Args:
        source: run folder, ``.safetensors`` file or folder that `Predictor.save` wrote; exported ``.onnx``, ``.xml``
            (OpenVINO) or ``.pt2`` file; the name of a repository on the Hugging Face Hub, ``user/name``; or
            ``starter``, the checkpoint that comes with the package. A checkpoint of that name in the working folder
            comes first, with a warning.
        device: by default CUDA where there is one, else the CPU.
        trust: open a ``.pt2`` file, too: torch may run code that such a file holds, so do this for your own files only.
            No other kind needs it.
        settings: fields of :class:`Settings`.

    Raises:
        CheckpointError: if the file cannot be used, or needs ``trust``.
        ConfigError: if there is no such device here, or a setting is out of range.
    """
    path = locate(source)
    if path.suffix in EXPORTED:
        from cimnet.inference.backends.runtime import load_exported

        if device is not None and choose_device(device).type != "cpu":
            raise ConfigError(f"device '{device}': exported models run on the CPU; load the checkpoint for another one")
        if settings.get("precision", "float32") != "float32":
            raise ConfigError("precision: of an exported model it is chosen by `cimnet export`; leave it out")
        model, info = load_exported(path, trust)
        return Predictor(model, info, torch.device("cpu"), Settings(**settings))
    return Predictor(*load_checkpoint(path), choose_device(device), Settings(**settings))


class Predictor:
    """A model with what it needs to read a user's images.

    Attributes:
        model: in evaluation mode on ``device``; for exported files what
            :mod:`cimnet.inference.backends.runtime` makes of them.
        info: classes, colours, thermal scaling, scores.
        settings: how the model is run.
    """

    def __init__(
        self, model: Segmenter, info: ModelInfo, device: torch.device, settings: Settings | None = None
    ) -> None:
        if isinstance(model, torch.nn.Module):
            model = model.to(device).eval()
            if device.type in ("cpu", "cuda"):
                model = model.to(memory_format=torch.channels_last)
        self.model = model
        self.info = info
        self.device = device
        self.settings = settings or Settings()
        self._folded: FoldedModel | None = None
        if self.settings.leave_out_broken:
            self.alarm_model()  # whether there is one
            if getattr(self.model, "modality", "stacked") != "stacked":
                raise ConfigError("leave_out_broken: this model sees one sensor alone; leave the setting out")

    @property
    def network(self) -> RGBTModel:
        """The model as a torch module.

        Raises:
            CheckpointError: the model was exported: its weights and inner maps are not available.
        """
        if not isinstance(self.model, RGBTModel):
            raise CheckpointError("this needs the checkpoint (.safetensors), not a model exported from it")
        return self.model

    @property
    def _fastest(self) -> Segmenter:
        """What passes run: a copy of a torch model with its normalisations folded, an exported model as it is."""
        if not isinstance(self.model, RGBTModel):
            return self.model
        if self._folded is None or self._folded.model is not self.model:
            self._folded = FoldedModel(self.model)
        return self._folded.get()

    @property
    def has_alarm(self) -> bool:
        """Whether `alarm` works: the checkpoint went through `cimnet calibrate` and was not exported."""
        return self.info.alarm is not None and isinstance(self.model, RGBTModel)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names by class id."""
        return self.info.classes

    @property
    def colors(self) -> tuple[tuple[int, int, int], ...]:
        """(red, green, blue) by class id."""
        return self.info.colors

    def open_dataset(
        self,
        root: str | Path,
        split: str,
        *,
        layout: str = "auto",
        broken: Broken = "keep",
        require_labels: bool = True,
    ) -> RGBTDataset:
        """Open a split to be scored with this model: its classes and thermal scaling are the checkpoint's.

        `require_labels` False: pairs without a label, too, to be scored by boxes.

        Raises:
            DataError: if the data cannot be used or names other classes than the model was trained on.
        """
        return open_dataset(
            root,
            split,
            layout=layout,
            classes=self.classes,
            thermal_range=self.info.scaling,
            require_labels=require_labels,
            broken=broken,
            thermal_dtype=self.info.thermal_dtype,
            check_range="force" if self.settings.force_range else True,
            second=self.info.second,
        )

    def predict(self, rgb: ImageLike | None, thermal: ImageLike | None) -> npt.NDArray[np.uint8]:
        """Segment one pair of any size.

        Args:
            rgb: path, PIL image, array (H, W, 3) or tensor (3, H, W): uint8 in 0..255 or floats in 0..1; None: missing.
            thermal: path, PIL image, array (H, W) or tensor (1, H, W); of a second modality of several channels
                (H, W, C) or (C, H, W). Integers (and a PIL image of any kind) are raw counts that ``info.scaling``
                maps to 0..1, floats are in 0..1 already. The same path as ``rgb`` for a 4-channel file. None: missing.

        Returns:
            Class ids (H, W), uint8.

        Raises:
            DataError: if an image cannot be read, has another shape, type or depth, the sizes differ, or both are
                missing.
        """
        return self.predict_batch([(rgb, thermal)])[0]

    def predict_batch(self, pairs: Iterable[tuple[ImageLike | None, ImageLike | None]]) -> list[npt.NDArray[np.uint8]]:
        """Segment pairs, of one size or several; neighbours of one size share passes of up to ``batch_size``. Arguments
        and errors as in `predict`."""
        masks: list[npt.NDArray[np.uint8]] = []
        for group in of_one_size((self.tensors(*pair) for pair in pairs), self.settings.batch_size):
            masks += self.predict_prepared(self.prepare(group))
        return masks

    def prepare(self, pairs: Sequence[tuple[Tensor, Tensor]], judge: Sequence[bool] = ()) -> list[PreparedPair]:
        """Ask the alarms about pairs, and put black for the sensors that are left out.

        Args:
            pairs: (3, H, W) and (1, H, W) in 0..1, of one size, up to ``batch_size`` of them.
            judge: of which pairs the alarm is asked for; with ``leave_out_broken`` all that lack no image are judged.

        Raises:
            CheckpointError: as `alarm_model`, if a pair is to be judged.
        """
        prepared = [PreparedPair(*pair) for pair in pairs]
        leave_out = [self.settings.leave_out_broken and is_whole(*pair) for pair in pairs]
        asked = [k for k in range(len(pairs)) if leave_out[k] or (judge and judge[k])]
        if not asked:
            return prepared
        height, width = pairs[0][0].shape[-2:]
        plain = self.settings.one_pass(height, width)
        size = len(asked) if self.settings.windows(height, width) is None else 1
        alarms = self.alarm_model()
        for start in range(0, len(asked), size):
            part = asked[start : start + size]
            small = [shrink(*pairs[k], WHOLE) for k in part]
            for k, measured in zip(part, measure_batch(self.network, small, self.device), strict=True):
                prepared[k] = prepared[k].judged(alarms(measured.numbers), leave_out[k], measured if plain else None)
        return prepared

    def predict_prepared(self, pairs: Sequence[PreparedPair]) -> list[npt.NDArray[np.uint8]]:
        """Class ids (H, W) of what `prepare` gave; the model does not run again for masks that the alarm's passes
        gave."""
        found = iter(self._masks([(p.rgb, p.thermal) for p in pairs if p.mask is None]))
        return [next(found) if pair.mask is None else pair.mask for pair in pairs]

    def predict_proba(self, rgb: ImageLike | None, thermal: ImageLike | None) -> npt.NDArray[np.float32]:
        """Probabilities of the classes for one pair; arguments and errors as in `predict`.

        Returns:
            (K, H, W) float32, summing to 1 over the classes; with the checkpoint's temperature where `cimnet calibrate`
            has fitted one. They take 4·K bytes a pixel.
        """
        return self.proba_of_prepared(self.prepare([self.tensors(rgb, thermal)])[0])

    def proba_of_prepared(self, pair: PreparedPair) -> npt.NDArray[np.float32]:
        """Probabilities (K, H, W) of what `prepare` gave, as in `predict_proba`."""
        windows = self.settings.windows(*pair.rgb.shape[-2:])
        if windows is None:
            return self.probabilities(pair.rgb[None], pair.thermal[None])[0].numpy()
        found = np.empty((len(self.classes), windows.height, windows.width), dtype=np.float32)
        for top, left, block in self.blend(windows, cutter(pair.rgb, pair.thermal)):
            found[:, top : top + block.shape[1], left : left + block.shape[2]] = block.numpy()
        return found

    def blend(self, windows: Windows, read: Read, skip: int = 0) -> Iterator[Block]:
        """Run over a large image that is read window by window, see :func:`cimnet.inference.windows.stitch_windows`."""
        return stitch_windows(windows, read, self.probabilities, len(self.classes), self.settings.batch_size, skip)

    @torch.inference_mode()
    def logits(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1 to (B, K, H, W) float32 on ``device``, in one pass."""
        with self._autocast():
            return self._fastest(rgb.to(self.device), thermal.to(self.device)).logits.float()

    @torch.inference_mode()
    def probabilities(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1 to probabilities (B, K, H, W) float32 on the CPU: the mean over
        the settings' sizes and mirror images."""
        total: Tensor | None = None
        size = (rgb.shape[-2], rgb.shape[-1])
        for scale in self.settings.scales:
            scaled = (max(1, round(scale * size[0])), max(1, round(scale * size[1])))
            pair = (rgb, thermal) if scaled == size else (resize(rgb, scaled), resize(thermal, scaled))
            for mirrored in (False, True)[: 1 + self.settings.flip]:
                seen = [image.flip(-1) if mirrored else image for image in pair]
                found = (self.logits(*seen) / (self.info.temperature or 1.0)).softmax(1)
                found = resize(found.flip(-1) if mirrored else found, size)
                total = found if total is None else total + found
        assert total is not None  # there is at least one scale
        return (total / (len(self.settings.scales) * (1 + self.settings.flip))).cpu()

    def segment(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1 to class ids (B, H, W), int64, by the settings but in one
        window."""
        if self.settings.averages:
            return class_ids(self.probabilities(rgb, thermal))
        with self._autocast():  # predict: exported files may give class ids alone
            return self._fastest.predict(rgb.to(self.device), thermal.to(self.device))

    def _autocast(self) -> torch.autocast:
        precision = self.settings.precision
        return torch.autocast(self.device.type, getattr(torch, precision), enabled=precision != "float32")

    def _masks(self, pairs: list[tuple[Tensor, Tensor]]) -> list[npt.NDArray[np.uint8]]:
        """Masks of pairs of one size."""
        if not pairs:
            return []
        height, width = pairs[0][0].shape[-2:]
        windows = self.settings.windows(height, width)
        if windows is not None:
            return [self._mask(windows, cutter(*pair)) for pair in pairs]
        rgb, thermal = (torch.stack([pair[k] for pair in pairs]) for k in (0, 1))
        return list(self.segment(rgb, thermal).to(torch.uint8).cpu().numpy())

    def _mask(self, windows: Windows, read: Read) -> npt.NDArray[np.uint8]:
        mask = np.empty((windows.height, windows.width), dtype=np.uint8)
        for top, left, block in self.blend(windows, read):
            mask[top : top + block.shape[1], left : left + block.shape[2]] = class_ids(block, 0).numpy()
        return mask

    def alarm(self, rgb: ImageLike, thermal: ImageLike) -> Alarm:
        """Whether a sensor looks broken or the pair misaligned; three passes of the model over the whole pair, reduced
        to `WHOLE` pixels if it is larger. Arguments as in `predict`.

        Raises:
            CheckpointError: the checkpoint has no alarm, or one of another version.
            DataError: as in `predict`.
        """
        alarm = self.prepare([self.tensors(rgb, thermal)], [True])[0].alarm
        assert alarm is not None  # it was asked for
        return alarm

    def alarm_model(self) -> AlarmModel:
        """What judges in `alarm`.

        Raises:
            CheckpointError: the checkpoint has no alarm, one of another version, or the model was exported.
        """
        if not isinstance(self.model, RGBTModel):
            raise CheckpointError("an exported model raises no alarms; use the checkpoint it was made from")
        if self.info.alarm is None:
            raise CheckpointError("the checkpoint has no alarm; run `cimnet calibrate CHECKPOINT DATASET` first")
        return AlarmModel.from_dict(self.info.alarm, self.info.second.name)

    def save(self, folder: str | Path, small: bool = False) -> None:
        """Write a folder to share: weights, JSON, model card. `cimnet.load(folder)` opens it.

        Args:
            small: store matrices in 8 bits, a quarter of the size; masks change a little, so score the result.

        Raises:
            CimnetError: the folder is not empty or cannot be written, or the model was exported.
        """
        save_folder(Path(folder), self.network, self.info, small)

    def push_to_hub(self, repository: str, private: bool = True, token: str | None = None, small: bool = False) -> str:
        """Upload that folder to the Hugging Face Hub, see :func:`cimnet.inference.hub.push`."""
        return push(self.network, self.info, repository, private, token, small)

    def tensors(self, rgb: ImageLike | None, thermal: ImageLike | None) -> tuple[Tensor, Tensor]:
        """What the model gets for one pair, (3, H, W) and (1, H, W) in 0..1; arguments and errors as in predict."""
        settings = self.settings
        return pair_tensors(rgb, thermal, self.info, force_range=settings.force_range, bands=settings.bands)
