"""The sections of a recipe: every field, with its unit and default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

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
    """The base of all sections: unknown fields are refused, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)
    needs: ClassVar[dict[str, str]] = {}
    """Fields without effect where another one is left out, and that one. To switch the other off is a choice."""

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> Self:
        for name, other in self.needs.items():
            changed = getattr(self, name) != type(self).model_fields[name].default
            if changed and other not in self.model_fields_set:
                raise ValueError(f"{name} has no effect without {other}; give {other} as well, or remove {name}")
        return self


PUBLISHED_OPTIONS = frozenset({"channel_order", "head_eps", "gate", "use_se", "heads"})
"""Fields of :class:`ModelConfig` that published networks alone have."""


class EncoderConfig(Section):
    """The part of a pretrained encoder that is trained, see :class:`cimnet.models.adapters.EncoderOptions`."""

    freeze: bool = Field(False, description="train none of the encoders' pretrained weights")
    adapter: Annotated[Literal["none", "bottleneck", "lora"], _yaml_false("none")] = Field(
        "none", description="with freeze: train small modules inside the encoder, Houlsby's bottlenecks or LoRA"
    )
    adapter_width: PositiveInt = Field(16, description="channels of a bottleneck, or rank of the LoRA change")
    needs = {"adapter_width": "adapter"}

    @model_validator(mode="after")
    def _adapter_of_frozen(self) -> EncoderConfig:
        if self.adapter != "none" and not self.freeze:
            raise ValueError("adapter needs freeze: true; without it, all weights are trained")
        return self

    def options(self) -> dict[str, Any]:
        """The argument ``encoder_options`` of models."""
        return self.model_dump() | {"adapter": None if self.adapter == "none" else self.adapter}


class ModelConfig(Section):
    """The model. Options left out keep the defaults of the model's name."""

    name: str = Field("cimnet_resnet101", description="a name that `cimnet models` lists, or FAMILY_ENCODER")
    pretrained: bool = Field(
        True, description="start the encoders with ImageNet weights, downloaded on first use unless weights is given"
    )
    weights: str | None = Field(
        None,
        min_length=1,
        description="start with what fits of these weights: starter, a run folder, a .safetensors file, hub:USER/NAME, "
        "or for a published network a checkpoint of its original code",
    )
    encoder: EncoderConfig = EncoderConfig()
    input_scale: float | None = Field(
        None,
        gt=0,
        le=4,
        description="factor on height and width in evaluation; logits keep the images' size; 1 for none",
    )
    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] | None = Field(
        None, description="channels of the four stages between encoders and decoder; the paper's: [64, 128, 320, 512]"
    )
    decoder_channels: PositiveInt | None = Field(None, description="channels inside the decoder; the paper's: 512")
    dropout: float | None = Field(None, ge=0, lt=1, description="share of channels dropped before the classifier")
    mutual_information: Annotated[Literal["adversarial", "cooperative", "off"] | None, _yaml_false("off")] = Field(
        None, description="the paper's MIR: head that measures what both streams share, eq. 1-5; off: no head"
    )
    msm: bool | None = Field(None, description="the paper's MSM: predict the first offsets, eq. 10")
    swr: bool | None = Field(None, description="exchange features by spatial weights, eq. 11-18")
    cwr: bool | None = Field(None, description="exchange features by channel weights, eq. 19-23")
    offset_update: Literal["replace", "residual"] | None = Field(
        None, description="new offsets replace those of the stage before (eq. 13 to the letter), or are added to them"
    )
    modulation: bool | None = Field(
        None, description="weigh the sampling points of the deformable convolution, as DCN v2; not in eq. 12"
    )
    channel_order: Literal["rgb", "bgr"] | None = Field(
        None, description="published networks: order in which their weights expect the colours; you give RGB"
    )
    head_eps: float | None = Field(
        None, gt=0, description="CMX: epsilon of the decoder's normalisation; its authors train with 1e-3, default 1e-5"
    )
    gate: Literal["image", "batch"] | None = Field(
        None, description="EAEFNet: gates of each image alone, or of the whole batch as its authors train"
    )
    use_se: bool | Literal["training"] | None = Field(
        None, description="EAEFNet: weigh channels in the aggregations, see docs/models/index.md"
    )
    heads: Literal["second", "sum"] | None = Field(
        None, description="EAEFNet for PST900: evaluate its second head alone, or the sum of both"
    )
    explicit_alignment: bool | None = Field(
        None, description="register the thermal image to RGB before the encoders; not in the paper"
    )
    reliability: bool | None = Field(
        None, description="cimnetx: a gate mixes the predictions from both sensors and from each alone"
    )
    exchange_dropout: float | None = Field(
        None, ge=0, le=1, description="share of training streams that get nothing from the other one; not in the paper"
    )
    decode_alone: bool | None = Field(
        None,
        description="decode a stream by itself if its partner is missing, and in training also the streams that "
        "exchange_dropout chose; not in the paper",
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
    """The scaling of thermal values to 0..1, see :class:`cimnet.data.ThermalScaling`."""

    kind: Literal["range", "kelvin", "gain_control"]
    low: float | None = Field(None, description="value that becomes 0: counts, kelvin or a percentile, by kind")
    high: float | None = Field(None, description="value that becomes 1")
    unit: str = Field("counts", description="unit of the files' values, for kelvin: kelvin, celsius, centikelvin …")


class SecondConfig(Section):
    """The kind of the second image of a pair, see :class:`cimnet.data.SecondModality`."""

    name: str = Field(description="name of its folder and in messages: thermal, nir, depth, sar")
    channels: PositiveInt = Field(1, description="channels of one image")

    @model_validator(mode="after")
    def _possible(self) -> SecondConfig:
        try:
            self.modality()
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    def modality(self) -> SecondModality:
        """Return the form that :func:`cimnet.data.open_dataset` takes."""
        return SecondModality(self.name, self.channels)


class DataConfig(Section):
    """The location of the pairs and how they are read."""

    root: Path = Field(description="folder of the data set")
    layout: str = Field("auto", description="auto, or a layout's name, see docs/reference/layouts.md")
    train: str = Field("train", description="split to train on: a list or folder of this name")
    val: str = Field("val", description="split that chooses the best weights")
    classes: str | tuple[str, ...] | None = Field(
        None, description="names in the order of the ids, or a built-in list (kust4k, mfnet); default: the data set's"
    )
    thermal_range: Annotated[tuple[float, float], AfterValidator(_ascending)] | ThermalConfig | None = Field(
        None,
        description="raw values that become 0 and 1, or kind, low, high and unit; default: the data set's, otherwise "
        "the whole range of the bit depth",
    )
    thermal_percentiles: Annotated[tuple[float, float], AfterValidator(_ascending)] | None = Field(
        None, description="take the range from the training images: these percentiles of their pixels, e.g. [0.1, 99.9]"
    )
    second: SecondConfig | None = Field(
        None, description="another second image than thermal, e.g. {name: nir, channels: 1}; default: by classes.yaml"
    )
    broken: Literal["keep", "drop", "only", "rgb", "thermal"] = Field(
        "keep", description="pairs with a broken sensor, by the data set's lists: keep or drop them, or take only those"
    )
    allow_absent: bool = Field(False, description="train although a class has no pixel in train")
    workers: NonNegativeInt = Field(2, description="dataloader workers; 0: read in the main process")
    cache: Literal["none", "ram", "disk"] = Field("none", description="keep decoded images in memory or in one file")
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
    scale: Annotated[tuple[float, float], AfterValidator(_low_to_high)] = Field(
        (0.5, 2.0), description="smallest and largest random factor on the size before the crop"
    )
    hflip: float = Field(0.5, ge=0, le=1, description="share of pairs mirrored left-right")
    vflip: float = Field(0.0, ge=0, le=1, description="share of pairs mirrored up-down")
    color_jitter: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat, Hue] = Field(
        (0.0, 0.0, 0.0, 0.0), description="RGB: strength of brightness, contrast, saturation and hue changes"
    )
    thermal_jitter: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat] = Field(
        (0.0, 0.0, 0.0), description="thermal: largest relative gain, offset and noise, parts of the range 0..1"
    )
    rare_class_prob: float = Field(0.0, ge=0, le=1, description="share of crops placed on a pixel of a rare class")
    rare_classes: tuple[str, ...] = Field((), description="their names")
    modality_dropout: float = Field(
        0.0, ge=0, le=1, description="share of a batch's pairs that are added to it again with one sensor missing"
    )
    misalignment: NonNegativeFloat = Field(
        0.0, description="largest displacement added to thermal images, pixels of the crop; 0 for none"
    )
    misalignment_prob: float = Field(0.5, ge=0, le=1, description="share of pairs that misalignment displaces")
    corruption_prob: float = Field(0.0, ge=0, le=1, description="share of pairs that get a defect of one sensor")
    corruptions: Annotated[tuple[str, ...], AfterValidator(_defects)] = Field(
        (), description="defects to draw from, by name; empty: all that need no second pair"
    )
    needs = {
        "rare_class_prob": "rare_classes",
        "rare_classes": "rare_class_prob",
        "misalignment_prob": "misalignment",
        "corruptions": "corruption_prob",
    }


class LossConfig(Section):
    """L = L_ce + λ·L_mi (eq. 24) and optional terms."""

    mutual_information_weight: Literal["balanced", "fixed", "free"] = Field(
        "balanced", description="λ: learned but kept positive, constant, or a plain parameter that falls below 0"
    )
    initial_weight: float = Field(0.1, gt=0, description="λ at the start")
    class_weights: Literal["none", "inverse_sqrt"] = Field(
        "none", description="weigh classes in the cross entropy by one over the root of their share of pixels"
    )
    class_weights_end: float = Field(
        1.0,
        ge=0,
        le=1,
        description="power to which class weights have fallen at the end; 1 keeps them, 0 ends them",
    )
    dice: NonNegativeFloat = Field(0.0, description="factor of the Dice loss; 0 for none, as in the paper")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="label smoothing of the cross entropy")
    alone: tuple[NonNegativeFloat, NonNegativeFloat] = Field(
        (1.0, 2.0), description="with model.decode_alone: loss weights of RGB streams and thermal streams; pairs have 1"
    )
    auxiliary: NonNegativeFloat = Field(
        1.0, description="factor of the loss of published networks' further heads; 0 leaves them out"
    )
    needs = {"class_weights_end": "class_weights"}


class TrainingConfig(Section):
    """Optimisation. Defaults are the paper's (V-A)."""

    epochs: PositiveInt = Field(12, description="passes over the training split")
    batch_size: PositiveInt = Field(4, description="pairs in a batch of one process")
    learning_rate: float = Field(1e-4, gt=0, description="learning rate of AdamW after the warm-up")
    offset_rate: float = Field(1.0, ge=0, description="factor on the learning rate of layers that predict offsets")
    weight_decay: NonNegativeFloat = Field(0.05, description="weight decay of AdamW")
    warmup_iterations: NonNegativeInt = Field(500, description="steps in which the learning rate rises from 0")
    schedule: Literal["step", "poly", "constant"] = Field(
        "step", description="how the learning rate falls: at milestones, polynomially to 0, or not"
    )
    milestones: Annotated[tuple[PositiveInt, ...], AfterValidator(_ascending)] = Field(
        (8, 11), description="schedule step: epochs after which the learning rate is multiplied by gamma"
    )
    gamma: float = Field(0.1, gt=0, le=1, description="schedule step: factor on the learning rate at each milestone")
    accumulate: PositiveInt = Field(1, description="batches per optimiser step")
    clip_norm: NonNegativeFloat = Field(0.0, description="largest norm of the gradient; 0 for no limit")
    ema_decay: float = Field(0.0, ge=0, lt=1, description="decay of a moving average of the weights; 0 for none")
    mixed_precision: Annotated[Literal["no", "fp16", "bf16"], _yaml_false("no")] = Field(
        "no", description="run the model in 16 bits under autocast"
    )
    evaluate_every: PositiveInt = Field(1, description="epochs between evaluations on val")
    save_every: NonNegativeInt = Field(
        500, description="steps between saved states within an epoch, for --resume; 0: one after each epoch"
    )
    max_loss: float = Field(1e4, gt=0, description="a larger loss, or one that is not finite, stops the run")
    batch_norm: Literal["batch", "synchronised"] = Field(
        "batch", description="normalise by the batch of each process, or by those of all processes (CUDA)"
    )
    sharding: Literal["none", "fsdp"] = Field(
        "none", description="fsdp: weights, gradients and optimiser are sharded over processes"
    )
    channels_last: bool = Field(True, description="keep weights and maps in the memory format channels last")
    gradient_checkpointing: bool | Literal["light"] = Field(
        False,
        description="true: compute the stages twice, which saves memory; light: all but convolutions and matrix "
        "products, which saves less and costs less time",
    )
    deterministic: bool = Field(False, description="deterministic kernels only, where torch has them")
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        ("tensorboard",), description="where curves are sent besides the run folder"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of weights, order, augmentation and dropout")
