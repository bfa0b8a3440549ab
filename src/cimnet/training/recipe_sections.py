"""The sections of a recipe: every field, with its unit and default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from cimnet.data.degrade import SENSOR_DEFECTS
from cimnet.data.io.second_modality import SecondModality
from cimnet.errors import ConfigError


def _yaml_false(word: str) -> BeforeValidator:
    """YAML reads an unquoted ``no`` or ``off`` as false; where that word is a choice, it is meant."""
    return BeforeValidator(lambda value: word if value is False else value)


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError("numbers must ascend")
    return values


def _low_to_high(values: tuple[float, float]) -> tuple[float, float]:
    if not 0 < values[0] <= values[1]:
        raise ValueError("must be (low, high) with 0 < low <= high")
    return values


def _defects(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in SENSOR_DEFECTS:
            raise ValueError(f"'{name}' is no defect of one image; choose from {', '.join(SENSOR_DEFECTS)}")
    return names


Hue = Annotated[float, Field(ge=0, le=0.5)]


class Section(BaseModel):
    """What all sections share: unknown fields are refused, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


PUBLISHED_OPTIONS = frozenset({"channel_order", "head_eps", "gate", "use_se"})
"""Fields of :class:`ModelConfig` that published networks alone have."""


class EncoderConfig(Section):
    """Which part of a pretrained encoder is trained, see :class:`cimnet.models.adapters.EncoderOptions`."""

    freeze: bool = Field(False, description="train none of the pretrained weights")
    adapter: Annotated[Literal["none", "bottleneck", "lora"], _yaml_false("none")] = Field(
        "none", description="with freeze: small modules inside the encoder that are trained"
    )
    adapter_width: PositiveInt = Field(16, description="width of the bottleneck, or rank of the LoRA change")

    @model_validator(mode="after")
    def _adapter_of_frozen(self) -> EncoderConfig:
        if self.adapter != "none" and not self.freeze:
            raise ValueError("adapter needs freeze: true; without it, all weights are trained")
        return self

    def options(self) -> dict[str, Any]:
        """The argument ``encoder_options`` of models."""
        return self.model_dump() | {"adapter": None if self.adapter == "none" else self.adapter}


class ModelConfig(Section):
    """Which model. Options left out keep the defaults of the model's name."""

    name: str = "cimnet_resnet101"
    pretrained: bool = Field(True, description="begin with ImageNet weights; with weights, nothing is fetched")
    weights: str | None = Field(
        None,
        min_length=1,
        description="begin with what fits of these: starter, run folder, .safetensors, hub:USER/NAME, or for a "
        "published network a checkpoint of its original code",
    )
    encoder: EncoderConfig = EncoderConfig()
    input_scale: float | None = Field(
        None, gt=0, le=4, description="resize factor inside the model; logits keep input size"
    )
    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] | None = None
    decoder_channels: PositiveInt | None = None
    dropout: float | None = Field(None, ge=0, lt=1)
    mutual_information: Annotated[Literal["adversarial", "cooperative", "off"] | None, _yaml_false("off")] = Field(
        None, description="the paper's MIR"
    )
    msm: bool | None = Field(None, description="modality shift modelling: first offsets, eq. 10")
    swr: bool | None = Field(None, description="spatial rectification, eq. 11-18")
    cwr: bool | None = Field(None, description="channel rectification, eq. 19-23")
    offset_update: Literal["replace", "residual"] | None = None
    modulation: bool | None = None
    channel_order: Literal["rgb", "bgr"] | None = Field(None, description="of published networks")
    head_eps: float | None = Field(None, gt=0, description="of CMX: its authors train with 1e-3, default 1e-5")
    gate: Literal["image", "batch"] | None = Field(None, description="of EAEFNet: batch is its authors' training")
    use_se: bool | Literal["training"] | None = Field(
        None, description="of EAEFNet: weigh channels in the aggregations, see docs/models/index.md"
    )
    explicit_alignment: bool | None = Field(None, description="align the thermal image first; not in the paper")
    reliability: bool | None = Field(
        None, description="of cimnetx: a gate mixes the predictions from both sensors and from each alone"
    )
    exchange_dropout: float | None = Field(
        None, ge=0, le=1, description="share of training samples whose encoders run without exchange; not in the paper"
    )
    decode_alone: bool | None = Field(
        None,
        description="decode a stream by itself when its partner is missing, and in training also the streams drawn by "
        "exchange_dropout; not in the paper",
    )

    def options(self) -> dict[str, Any]:
        """Arguments for :func:`cimnet.create_model` besides name and classes."""
        options = self.model_dump(exclude={"name", "encoder", "weights"}, exclude_none=True)
        if self.encoder.freeze:
            options["encoder_options"] = self.encoder.options()
        if options.get("mutual_information") == "off":
            options["mutual_information"] = None
        if self.weights is not None:
            options["pretrained"] = False
        return options


class ThermalConfig(Section):
    """How thermal values become 0..1, see :class:`cimnet.data.ThermalScaling`."""

    kind: Literal["range", "kelvin", "gain_control"]
    low: float | None = Field(None, description="counts, kelvin, or a percentile of each image, by kind")
    high: float | None = None
    unit: str = Field("counts", description="of the values, for kelvin: kelvin, celsius, centikelvin or decikelvin")


class SecondConfig(Section):
    """What the second image of a pair is, see :class:`cimnet.data.SecondModality`."""

    name: str = Field(description="its folder, and what messages call it: thermal, nir, depth, sar")
    channels: PositiveInt = Field(1, description="of one image")

    @model_validator(mode="after")
    def _possible(self) -> SecondConfig:
        try:
            self.modality()
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    def modality(self) -> SecondModality:
        """As :func:`cimnet.data.open_dataset` takes it."""
        return SecondModality(self.name, self.channels)


class DataConfig(Section):
    """Where the pairs are and how they are read."""

    root: Path
    layout: str = Field("auto", description="auto or a layout's name, see docs/reference/layouts.md")
    train: str = "train"
    val: str = "val"
    classes: str | tuple[str, ...] | None = Field(None, description="names, or a built-in list: kust4k, mfnet")
    thermal_range: Annotated[tuple[float, float], AfterValidator(_ascending)] | ThermalConfig | None = Field(
        None, description="raw counts that map to 0 and 1, or kind, low, high and unit"
    )
    thermal_percentiles: Annotated[tuple[float, float], AfterValidator(_ascending)] | None = Field(
        None, description="take the range from the training images: these percentiles of their pixels, e.g. [0.1, 99.9]"
    )
    second: SecondConfig | None = Field(
        None, description="another second image than thermal, e.g. {name: nir, channels: 1}; default: by classes.yaml"
    )
    broken: Literal["keep", "drop", "only", "rgb", "thermal"] = Field(
        "keep", description="pairs whose lists say that a sensor is broken"
    )
    allow_absent: bool = Field(False, description="train although a class has no pixel in the training split")
    workers: NonNegativeInt = Field(2, description="dataloader workers")
    cache: Literal["none", "ram", "disk"] = Field("none", description="keep decoded images in memory, or in one file")
    cache_folder: Path = Field(Path("runs/cache"), description="where the files of cache: disk lie")

    def thermal(self) -> tuple[float, float] | dict[str, Any] | None:
        """`thermal_range` as :func:`cimnet.data.open_dataset` takes it."""
        given = self.thermal_range
        return given.model_dump(exclude_none=True) if isinstance(given, ThermalConfig) else given

    @model_validator(mode="after")
    def _one_scaling(self) -> DataConfig:
        if self.thermal_range is not None and self.thermal_percentiles is not None:
            raise ValueError("give thermal_range or thermal_percentiles, not both")
        return self


class AugmentationConfig(Section):
    """Random changes to training samples. Geometry is shared by RGB, thermal and label."""

    crop: tuple[PositiveInt, PositiveInt] = Field((480, 640), description="height, width that the model trains on")
    scale: Annotated[tuple[float, float], AfterValidator(_low_to_high)] = (0.5, 2.0)
    hflip: float = Field(0.5, ge=0, le=1)
    vflip: float = Field(0.0, ge=0, le=1)
    color_jitter: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat, Hue] = Field(
        (0.0, 0.0, 0.0, 0.0), description="RGB: strength of brightness, contrast, saturation and hue changes"
    )
    thermal_jitter: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat] = Field(
        (0.0, 0.0, 0.0), description="thermal: strength of gain, offset and noise"
    )
    rare_class_prob: float = Field(0.0, ge=0, le=1, description="share of crops placed on a pixel of a rare class")
    rare_classes: tuple[str, ...] = ()
    modality_dropout: float = Field(
        0.0, ge=0, le=1, description="share of a batch's pairs that it holds once more with one sensor missing"
    )
    misalignment: NonNegativeFloat = Field(
        0.0, description="largest displacement added to thermal images, pixels of the crop; 0 for none"
    )
    misalignment_prob: float = Field(0.5, ge=0, le=1, description="share of pairs that are displaced so")
    corruption_prob: float = Field(0.0, ge=0, le=1, description="share of pairs with a defect of one sensor")
    corruptions: Annotated[tuple[str, ...], AfterValidator(_defects)] = Field(
        (), description="the defects that corruption_prob draws from; empty: all that need no second pair"
    )


class LossConfig(Section):
    """L = L_ce + λ·L_mi (eq. 24) and optional terms."""

    mutual_information_weight: Literal["balanced", "fixed", "free"] = "balanced"
    initial_weight: float = Field(0.1, gt=0, description="λ at the start")
    class_weights: Literal["none", "inverse_sqrt"] = "none"
    class_weights_end: float = Field(1.0, ge=0, le=1, description="power that class weights fall to; 1 keeps them")
    dice: NonNegativeFloat = 0.0
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    alone: tuple[NonNegativeFloat, NonNegativeFloat] = Field(
        (1.0, 2.0), description="with model.decode_alone: weights of RGB and thermal streams; pairs have 1"
    )
    auxiliary: NonNegativeFloat = Field(
        1.0, description="factor of what further heads of published networks add; 0 leaves them out"
    )


class TrainingConfig(Section):
    """Optimisation. Defaults are the paper's (V-A)."""

    epochs: PositiveInt = 12
    batch_size: PositiveInt = 4
    learning_rate: float = Field(1e-4, gt=0)
    offset_rate: float = Field(1.0, ge=0, description="learning rate of the layers that give offsets, as a share")
    weight_decay: NonNegativeFloat = 0.05
    warmup_iterations: NonNegativeInt = 500
    schedule: Literal["step", "poly", "constant"] = "step"
    milestones: Annotated[tuple[PositiveInt, ...], AfterValidator(_ascending)] = Field(
        (8, 11), description="epochs after which the learning rate is multiplied by gamma"
    )
    gamma: float = Field(0.1, gt=0, le=1)
    accumulate: PositiveInt = Field(1, description="batches per optimiser step")
    clip_norm: NonNegativeFloat = Field(0.0, description="largest gradient norm, 0 for no limit")
    ema_decay: float = Field(0.0, ge=0, lt=1, description="decay of the weight average, 0 for none")
    mixed_precision: Annotated[Literal["no", "fp16", "bf16"], _yaml_false("no")] = "no"
    evaluate_every: PositiveInt = Field(1, description="epochs between evaluations on val")
    save_every: NonNegativeInt = Field(500, description="steps between states for --resume within an epoch, 0 for none")
    max_loss: float = Field(1e4, gt=0, description="a larger loss stops the run")
    batch_norm: Literal["batch", "synchronised"] = Field(
        "batch", description="statistics of each process's batch, or of all processes' (CUDA)"
    )
    sharding: Literal["none", "fsdp"] = Field(
        "none", description="fsdp: weights, gradients and optimiser are sharded over processes"
    )
    channels_last: bool = Field(True, description="memory format of weights and maps")
    gradient_checkpointing: bool = Field(False, description="compute stages twice to save memory")
    deterministic: bool = Field(False, description="deterministic kernels only, where torch has them")
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    seed: int = Field(0, ge=0, lt=2**32)
