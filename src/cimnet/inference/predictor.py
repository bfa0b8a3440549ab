"""Use a trained model: images in, class ids out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimnet.checkpoint import ModelInfo
from cimnet.data import RGBTDataset, open_dataset
from cimnet.data.dataset import Broken
from cimnet.errors import CheckpointError, ConfigError
from cimnet.inference.alarms.alarm import Alarm, AlarmModel
from cimnet.inference.alarms.model_features import measure_batch
from cimnet.inference.backends.segmenter import Segmenter
from cimnet.inference.finite import require_finite
from cimnet.inference.hub import push, save_folder
from cimnet.inference.images import ImageLike, cutter, pair_tensors, resize, shrink
from cimnet.inference.prepared import PreparedPair, is_whole, of_one_size
from cimnet.inference.settings import WHOLE, Settings
from cimnet.inference.windows import Block, Read, Windows, stitch_windows
from cimnet.models import RGBTModel
from cimnet.models.base import class_ids, scaled_size
from cimnet.models.folding import FoldedModel


class Predictor:
    """A model with what it needs to read a user's images. :func:`cimnet.load` makes one.

    Args:
        model: a model of this package, or an exported one.
        info: what stands beside the weights, see :class:`cimnet.checkpoint.ModelInfo`.
        device: where the model runs.
        settings: how it is run. None: the defaults of :class:`cimnet.inference.settings.Settings`.

    Attributes:
        model: the model, in evaluation mode on ``device``.
        info, device, settings: as given.

    Raises:
        ConfigError: ``leave_out_broken`` is set, and the model sees one sensor alone.
        CheckpointError: it is set, and the checkpoint has no alarm.
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
            CheckpointError: the model is an exported one, whose weights cannot be reached.
        """
        if not isinstance(self.model, RGBTModel):
            raise self._exported("whose weights cannot be reached")
        return self.model

    @property
    def _fastest(self) -> Segmenter:
        """The model that passes run: a copy of a torch model with folded normalisations, or the exported model
        itself."""
        if not isinstance(self.model, RGBTModel):
            return self.model
        if self._folded is None or self._folded.model is not self.model:
            self._folded = FoldedModel(self.model)
        return self._folded.get()

    @property
    def has_alarm(self) -> bool:
        """Whether :meth:`alarm` works: the checkpoint went through `cimnet calibrate` and was not exported."""
        return self.info.alarm is not None and isinstance(self.model, RGBTModel)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the ids."""
        return self.info.classes

    @property
    def colors(self) -> tuple[tuple[int, int, int], ...]:
        """(red, green, blue) of each class, 0..255."""
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
        """Open a split to score this model on it, with the checkpoint's classes and thermal scaling.

        Args:
            root, split, layout, broken, require_labels: as in :func:`cimnet.open_dataset`. Boxes can also score pairs
                without labels.

        Raises:
            DataError: the data cannot be used, or names other classes than the model was trained on.
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
            rgb: a path, a PIL image, an array (H, W, 3) or a tensor (3, H, W): uint8 in 0..255, or floats in 0..1.
                None: missing.
            thermal: a path, a PIL image, an array (H, W) or a tensor (1, H, W), of the same size and registered to
                ``rgb``. Integers and PIL images hold raw counts, which ``info.scaling`` maps to 0..1; floats are in
                0..1 already. Of a second modality of C channels: (H, W, C) or (C, H, W). The same path as ``rgb`` for a
                4-channel file. None: missing.

        Returns:
            Class ids (H, W), uint8.

        Raises:
            DataError: an image cannot be read or has another shape, type or depth; the sizes differ; or both are
                missing.
        """
        return self.predict_batch([(rgb, thermal)])[0]

    def predict_batch(self, pairs: Iterable[tuple[ImageLike | None, ImageLike | None]]) -> list[npt.NDArray[np.uint8]]:
        """Segment several pairs. Neighbours of one size share passes of up to ``batch_size``.

        Args:
            pairs: (rgb, thermal) of each, as in :meth:`predict`.

        Returns:
            The masks in this order, class ids (H, W) uint8.

        Raises:
            DataError: as :meth:`predict`.
        """
        masks: list[npt.NDArray[np.uint8]] = []
        for group in of_one_size((self.tensors(*pair) for pair in pairs), self.settings.batch_size):
            masks += self.predict_prepared(self.prepare(group))
        return masks

    def prepare(self, pairs: Sequence[tuple[Tensor, Tensor]], judge: Sequence[bool] = ()) -> list[PreparedPair]:
        """Ask the alarms about pairs, and put black for the sensors that are left out.

        Args:
            pairs: (3, H, W) and (C, H, W) in 0..1, all of one size, up to ``batch_size`` of them.
            judge: for each pair, whether to ask the alarms. With ``leave_out_broken``, every pair with both images is
                judged.

        Raises:
            CheckpointError: a pair is to be judged, and the checkpoint has no alarm that works.
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
        """Class ids (H, W) of pairs from :meth:`prepare`. For masks that the alarms' passes gave, the model does not
        run again.
        """
        found = iter(self._masks([(p.rgb, p.thermal) for p in pairs if p.mask is None]))
        return [next(found) if pair.mask is None else pair.mask for pair in pairs]

    def predict_proba(self, rgb: ImageLike | None, thermal: ImageLike | None) -> npt.NDArray[np.float32]:
        """Probabilities of the classes for one pair.

        Args:
            rgb, thermal: as in :meth:`predict`.

        Returns:
            (K, H, W) float32, which sum to 1 over the classes; calibrated if `cimnet calibrate` has fitted a
            temperature. They take 4·K bytes a pixel.

        Raises:
            DataError: as :meth:`predict`.
        """
        return self.proba_of_prepared(self.prepare([self.tensors(rgb, thermal)])[0])

    def proba_of_prepared(self, pair: PreparedPair) -> npt.NDArray[np.float32]:
        """Probabilities (K, H, W) of what `prepare` gave, as in `predict_proba`."""
        windows = self.settings.windows(*pair.rgb.shape[-2:])
        if windows is None:
            return self.probabilities(pair.rgb[None], pair.thermal[None])[0].numpy()
        found = np.empty((len(self.classes), windows.height, windows.width), dtype=np.float32)
        for top, left, block in self.stitch(windows, cutter(pair.rgb, pair.thermal)):
            found[:, top : top + block.shape[1], left : left + block.shape[2]] = block.numpy()
        return found

    def stitch(self, windows: Windows, read: Read, skip: int = 0) -> Iterator[Block]:
        """Run over a large image that is read window by window, and yield its finished blocks, see
        :func:`cimnet.inference.windows.stitch_windows`."""
        return stitch_windows(windows, read, self.probabilities, len(self.classes), self.settings.batch_size, skip)

    @torch.inference_mode()
    def logits(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Images (B, 3, H, W) and (B, C, H, W) in 0..1 to logits (B, K, H, W), float32 on ``device``, in one pass.

        Raises:
            CheckpointError: some are not finite.
        """
        with self._autocast():
            found = self._fastest(rgb.to(self.device), thermal.to(self.device)).logits.float()
        return require_finite(found, self.settings.precision)

    @torch.inference_mode()
    def probabilities(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Images (B, 3, H, W) and (B, C, H, W) in 0..1 to probabilities (B, K, H, W), float32 on the CPU: the mean over
        the sizes and mirror images that the settings name.
        """
        total: Tensor | None = None
        size = (rgb.shape[-2], rgb.shape[-1])
        for scale in self.settings.scales:
            scaled = scaled_size(*size, scale)
            pair = (rgb, thermal) if scaled == size else (resize(rgb, scaled), resize(thermal, scaled))
            for mirrored in (False, True)[: 1 + self.settings.flip]:
                seen = [image.flip(-1) if mirrored else image for image in pair]
                found = (self.logits(*seen) / (self.info.temperature or 1.0)).softmax(1)
                found = resize(found.flip(-1) if mirrored else found, size)
                total = found if total is None else total + found
        assert total is not None  # there is at least one scale
        return (total / (len(self.settings.scales) * (1 + self.settings.flip))).cpu()

    def segment(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Images (B, 3, H, W) and (B, C, H, W) in 0..1 to class ids (B, H, W), int64: as the settings say, but in one
        window.
        """
        if self.settings.averages:
            return class_ids(self.probabilities(rgb, thermal))
        if isinstance(self.model, RGBTModel):
            return class_ids(self.logits(rgb, thermal))
        return self.model.predict(rgb.to(self.device), thermal.to(self.device))  # it may give class ids alone

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
        for top, left, block in self.stitch(windows, read):
            mask[top : top + block.shape[1], left : left + block.shape[2]] = class_ids(block, 0).numpy()
        return mask

    def alarm(self, rgb: ImageLike, thermal: ImageLike) -> Alarm:
        """Ask whether a sensor looks broken or the pair misaligned. This takes three passes of the model over the whole
        pair, which is reduced to 1.3 megapixels if it is larger.

        Args:
            rgb, thermal: as in :meth:`predict`; neither may be missing.

        Returns:
            Probabilities of ``rgb_broken``, ``thermal_broken`` and ``misaligned``, the alarms that are raised, and a
            sentence for each of these.

        Raises:
            CheckpointError: the checkpoint has no alarm, or one of another version.
            DataError: as :meth:`predict`.
        """
        alarm = self.prepare([self.tensors(rgb, thermal)], [True])[0].alarm
        assert alarm is not None  # it was asked for
        return alarm

    def alarm_model(self) -> AlarmModel:
        """Return the model that judges in :meth:`alarm`.

        Raises:
            CheckpointError: the checkpoint has no alarm, or one of another version, or the model is an exported one.
        """
        if not isinstance(self.model, RGBTModel):
            raise self._exported("which raises no alarms")
        if self.info.alarm is None:
            raise CheckpointError("the checkpoint has no alarm; run `cimnet calibrate CHECKPOINT DATASET` first")
        return AlarmModel.from_dict(self.info.alarm, self.info.second.name)

    def _exported(self, lack: str) -> CheckpointError:
        name = getattr(self.model, "path", type(self.model).__name__)
        return CheckpointError(
            f"{name}: an exported model, {lack}; give the checkpoint (.safetensors) it was made from"
        )

    def save(self, folder: str | Path, small: bool = False) -> None:
        """Write a folder to share: weights, JSON, model card. ``cimnet.load(folder)`` opens it.

        Args:
            folder: new or empty.
            small: whether to store matrices in 8 bits, a quarter of the size. Masks change a little, so score the
                result.

        Raises:
            CimnetError: the folder is not empty or cannot be written, or the model is an exported one.
        """
        save_folder(Path(folder), self.network, self.info, small)

    def push_to_hub(self, repository: str, private: bool = True, token: str | None = None, small: bool = False) -> str:
        """Upload the folder of :meth:`save` to the Hugging Face Hub.

        Args:
            repository: ``user/name``; it is made if it does not exist.
            private: whether a new repository is private.
            token: access token. None: the one that `hf auth login` stored, or HF_TOKEN.
            small: as in :meth:`save`.

        Returns:
            Address of the commit.

        Raises:
            CheckpointError: you are not logged in or not allowed, the Hub cannot be reached, or the model is an
                exported one.
        """
        return push(self.network, self.info, repository, private, token, small)

    def tensors(
        self, rgb: ImageLike | None, thermal: ImageLike | None, source: Path | str | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the model's input for one pair: (3, H, W) and (C, H, W), float32 in 0..1. Arguments and errors as in
        :meth:`predict`.

        Args:
            rgb, thermal: the images.
            source: the file or stream that thermal values in memory come from, which messages about them name.
        """
        asked = self.settings
        return pair_tensors(
            rgb,
            thermal,
            self.info,
            force_range=asked.force_range,
            bands=asked.bands,
            unit=asked.thermal_unit,
            source=source,
        )
