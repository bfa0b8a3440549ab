"""Training transforms: geometry shared by RGB, thermal and label, photometric changes by sensor.

All randomness comes from torch's global generator, so that DataLoader workers and seeds behave as usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import Image, Mask

from cimnet.data.sample import IGNORE_INDEX, RGBTSample
from cimnet.errors import ConfigError


@dataclass(frozen=True)
class TrainTransform:
    """Random scale, crop, flips and photometric changes, applied to RGB, thermal and label together.

    Only the region of the source that ends up in the crop is resampled, so the cost follows the crop, not the image.

    Attributes:
        crop, scale, hflip, vflip, color_jitter, thermal_jitter, rare_class_prob, rare_classes: arguments of
            :func:`train_transform`, which makes this transform.
    """

    crop: tuple[int, int]
    scale: tuple[float, float]
    hflip: float
    vflip: float
    color_jitter: tuple[float, float, float, float]
    thermal_jitter: tuple[float, float, float]
    rare_class_prob: float
    rare_classes: tuple[int, ...]

    def __post_init__(self) -> None:
        if min(self.crop) < 1:
            raise ConfigError(f"crop must be (height, width) of at least 1 pixel, not {self.crop}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ConfigError(f"scale must be (low, high) with 0 < low <= high, not {self.scale}")
        for field in ("hflip", "vflip", "rare_class_prob"):
            if not 0 <= getattr(self, field) <= 1:
                raise ConfigError(f"{field} must be a probability in 0..1, not {getattr(self, field)}")
        if min(*self.color_jitter, *self.thermal_jitter) < 0 or self.color_jitter[3] > 0.5:
            raise ConfigError("color_jitter and thermal_jitter must not be negative, hue at most 0.5")
        if any(not 0 <= class_id < IGNORE_INDEX for class_id in self.rare_classes):
            raise ConfigError(f"rare_classes must be class ids in 0..254, not {self.rare_classes}")

    def __call__(self, sample: RGBTSample) -> RGBTSample:
        """A changed copy of a sample, of the size ``crop``. Values stay in 0..1; outside the image they are 0, with
        label 255.
        """
        images = Image(torch.cat([sample.rgb, sample.thermal]))
        label = None if sample.label is None else Mask(sample.label.to(torch.uint8))
        scale = float(torch.empty(()).uniform_(*self.scale))
        window = self._window(images.shape[-2], images.shape[-1], scale, sample.label)
        images, label = self._flip(*_cut(images, label, window))
        values = images.as_subclass(Tensor)
        values = torch.cat([self._jitter_rgb(values[:3]), self._jitter_thermal(values[3:])])
        return self._pad(sample, values, label, window)

    def _window(self, height: int, width: int, scale: float, label: Tensor | None) -> _Window:
        focus = self._rare_pixel(label)
        rows = _place(height, self.crop[0], scale, None if focus is None else focus[0])
        columns = _place(width, self.crop[1], scale, None if focus is None else focus[1])
        return _Window(rows, columns)

    def _rare_pixel(self, label: Tensor | None) -> tuple[int, int] | None:
        """A random pixel of a random rare class of the image, with the probability asked for."""
        if label is None or not self.rare_classes or not _chance(self.rare_class_prob):
            return None
        present = torch.bincount(label.flatten(), minlength=IGNORE_INDEX + 1)
        candidates = [class_id for class_id in self.rare_classes if present[class_id] > 0]
        if not candidates:
            return None
        chosen = candidates[_integer(len(candidates))]
        pixel = int((label.flatten() == chosen).nonzero()[_integer(int(present[chosen]))])
        return pixel // label.shape[1], pixel % label.shape[1]

    def _flip(self, images: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor | None]:
        for probability, flip in ((self.hflip, F.horizontal_flip), (self.vflip, F.vertical_flip)):
            if _chance(probability):
                images, label = flip(images), None if label is None else flip(label)
        return images, label

    def _jitter_rgb(self, rgb: Tensor) -> Tensor:
        if not any(self.color_jitter):
            return rgb
        brightness, contrast, saturation, hue = self.color_jitter
        jitter = v2.ColorJitter(brightness or None, contrast or None, saturation or None, hue or None)
        changed: Tensor = jitter(rgb)
        return changed.clamp_(0, 1)

    def _jitter_thermal(self, thermal: Tensor) -> Tensor:
        if not any(self.thermal_jitter):
            return thermal
        gain, offset, noise = self.thermal_jitter
        mean = thermal.mean((-2, -1), keepdim=True)
        changed = (thermal - mean) * _around(1.0, gain) + mean + _around(0.0, offset)
        if noise:
            changed += torch.randn_like(changed) * (noise * float(torch.rand(())))
        if torch.equal(thermal.amax((-2, -1)), thermal.amin((-2, -1))):
            return thermal  # it shows nothing, which models take for a missing image: noise would make it a present one
        return changed.clamp_(0, 1)

    def _pad(self, sample: RGBTSample, values: Tensor, label: Tensor | None, window: _Window) -> RGBTSample:
        padding = window.padding()
        padded = F.pad(values, padding, fill=0)
        if label is not None:
            label = F.pad(label, padding, fill=IGNORE_INDEX).as_subclass(Tensor).to(torch.int64)
        return replace(sample, rgb=padded[:3], thermal=padded[3:], label=label, offset=None)


def train_transform(
    crop: tuple[int, int],
    scale: tuple[float, float] = (0.5, 2.0),
    hflip: float = 0.5,
    color_jitter: tuple[float, float, float, float] = (0.3, 0.3, 0.3, 0.0),
    thermal_jitter: tuple[float, float, float] = (0.2, 0.05, 0.02),
    vflip: float = 0.0,
    rare_class_prob: float = 0.0,
    rare_classes: Sequence[int] = (),
) -> TrainTransform:
    """Make the random transform for training pairs.

    Images are resampled bilinearly with antialiasing, labels by the nearest pixel. What lies outside the image is 0 in
    the images and 255 in the label.

    Args:
        crop: (height, width) of the result, pixels.
        scale: (low, high) of the random factor on the image's size before the crop.
        hflip, vflip: probability, 0 to 1, of mirroring left-right and up-down.
        color_jitter: strength of brightness, contrast, saturation and hue changes of RGB, as in torchvision's
            ColorJitter; 0 for none, hue at most 0.5. Hue makes the whole transform take three times as long.
        thermal_jitter: changes of the thermal image: largest relative gain about the mean, largest offset, and largest
            standard deviation of noise, the last two as parts of the range 0..1. A crop that shows nothing (one value
            in each channel) stays as it is, so that a missing image stays missing.
        rare_class_prob: probability, 0 to 1, that the crop is centred on a pixel of a rare class, if the pair has one.
        rare_classes: ids of the rare classes.

    Raises:
        ConfigError: a value is out of range.
    """
    return TrainTransform(
        crop=(int(crop[0]), int(crop[1])),
        scale=(float(scale[0]), float(scale[1])),
        hflip=hflip,
        vflip=vflip,
        color_jitter=color_jitter,
        thermal_jitter=thermal_jitter,
        rare_class_prob=rare_class_prob,
        rare_classes=tuple(rare_classes),
    )


@dataclass(frozen=True)
class _Span:
    """One axis: source pixels start..stop become `size` pixels between `before` and `after` of padding."""

    start: int
    stop: int
    size: int
    before: int
    after: int


@dataclass(frozen=True)
class _Window:
    rows: _Span
    columns: _Span

    def padding(self) -> list[int]:
        """Left, top, right, bottom."""
        return [self.columns.before, self.rows.before, self.columns.after, self.rows.after]


def _place(length: int, crop: int, scale: float, focus: int | None) -> _Span:
    """Place a crop along an axis of `length` pixels enlarged by `scale`; centred on `focus` if given."""
    needed = max(1, round(crop / scale))
    if needed >= length:
        size = min(crop, max(1, round(length * scale)))
        before = _integer(crop - size + 1)
        return _Span(0, length, size, before, crop - size - before)
    spare = length - needed
    start = _integer(spare + 1) if focus is None else min(max(focus - needed // 2, 0), spare)
    return _Span(start, start + needed, crop, 0, 0)


def _cut(images: Tensor, label: Tensor | None, window: _Window) -> tuple[Tensor, Tensor | None]:
    rows, columns = window.rows, window.columns
    box = (rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
    size = [rows.size, columns.size]
    images = F.resize(F.crop(images, *box), size, v2.InterpolationMode.BILINEAR, antialias=True)
    if label is None:
        return images, None
    # torchvision resamples a Mask by "nearest", which is up to half a pixel off the images' centres: ask for
    # the centred form on the plain tensor.
    ids = F.crop(label, *box).as_subclass(Tensor)
    return images, Mask(F.resize(ids[None], size, v2.InterpolationMode.NEAREST_EXACT)[0])


def _chance(probability: float) -> bool:
    return probability > 0 and float(torch.rand(())) < probability


def _integer(stop: int) -> int:
    return int(torch.randint(stop, ()))


def _around(centre: float, radius: float) -> float:
    return centre + radius * (2 * float(torch.rand(())) - 1)
