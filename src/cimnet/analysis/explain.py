"""A view inside CIMNet for one pair: the panels of the paper's Fig. 3 and 14, offsets, weights and errors.

One PNG figure with all panels, and one HTML page with the same panels and what they mean. Features and weights are
drawn in cividis and errors in one dark tone, which read alike in grey print and for people who confuse red and green.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from cimnet.analysis import report_figures as pictures
from cimnet.analysis.offset_agreement import offset_fields
from cimnet.analysis.report_page import Panel, render_report
from cimnet.data.labels import label_lookup, read_class_ids
from cimnet.errors import ConfigError, DataError
from cimnet.inference import Predictor
from cimnet.inference.images import shrink
from cimnet.inference.overlay import overlay_mask, to_grey, to_rgb, with_legend
from cimnet.inference.settings import WHOLE
from cimnet.models import CIMNet
from cimnet.models.base import class_ids
from cimnet.models.scsfr import SCSFR
from cimnet.utils.colors import Color, Image8
from cimnet.utils.figures import save_figure
from cimnet.utils.files import refuse_inputs_as_outputs, write_text

WRONG: Color = (150, 40, 0)
Size = tuple[int, int]


class Drawn(NamedTuple):
    """A title and a picture (H, W, 3)."""

    title: str
    image: Image8


class Section(NamedTuple):
    """Panels that belong together, with an explanation."""

    title: str
    note: str
    panels: list[Drawn]


@contextmanager
def record(model: CIMNet) -> Iterator[dict[str, Any]]:
    """Inputs and output of CIMNet and of its modules during one forward pass, by name."""
    seen: dict[str, Any] = {}
    modules: dict[str, nn.Module] = {"model": model, "cipa": model.cipa}
    modules |= {f"scsfr{n}": module for n, module in enumerate(model.scsfr, start=1)}
    modules |= {f"ffm{n}": module for n, module in enumerate(model.ffm, start=1)}
    for n, stage in enumerate(model.scsfr, start=1):
        if isinstance(stage, SCSFR) and stage.spatial is not None:
            modules[f"spatial{n}"] = stage.spatial.weights
        if isinstance(stage, SCSFR) and stage.channel is not None:
            modules[f"channel{n}"] = stage.channel.mlp

    def keep(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            seen[name] = (inputs, output)

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def write_explanation(predictor: Predictor, rgb: Path, thermal: Path, out: Path, label: Path | None = None) -> Path:
    """Write ``out/explain.png`` and ``out/explain.html`` for one pair; returns the page.

    The model runs over the pair once, as a whole, whatever the settings of ``predictor`` say of windows, sizes and
    mirror images; a pair of more pixels than it predicts in one window is reduced first, and the page says so.

    Args:
        rgb, thermal: image files; the same path for a 4-channel file. Of a second image of several channels the first
            one is drawn.
        label: class ids, for the error map; read as by a data set without a label table.

    Raises:
        ConfigError: if the model is not a CIMNet, or an input would be overwritten.
        DataError: if a file cannot be read, the sizes differ, or the label is not one of the model's classes.
    """
    model = predictor.network
    if not isinstance(model, CIMNet):
        raise ConfigError(f"explain shows the inside of CIMNet, but the checkpoint is a '{predictor.info.name}'")
    whole = predictor.tensors(rgb, thermal)
    ready_rgb, ready_thermal = shrink(*whole, WHOLE)
    image, grey = to_rgb(ready_rgb), to_grey(ready_thermal)
    inputs = [path for path in (rgb, thermal, label) if path is not None]
    refuse_inputs_as_outputs([out / "explain.png", out / "explain.html"], inputs)
    full = (whole[0].shape[1], whole[0].shape[2])
    truth = None if label is None else _resize_truth(_read_truth(predictor, label, full), grey.shape)
    with record(model) as seen:
        prediction = class_ids(predictor.logits(ready_rgb[None], ready_thermal[None]))[0].cpu().numpy()
    sections = [
        _images(predictor, image, grey, prediction, truth),
        *_features(model, seen, grey.shape),
        *_weights(model, seen, grey.shape),
        _offsets(model, seen, grey, grey.shape[1] / full[1]),
    ]
    sections = [section for section in sections if section.panels]
    save_figure(draw(sections, grey.shape), out / "explain.png")
    page = out / "explain.html"
    if full != grey.shape:
        first = sections[0]
        sizes = f"{full[1]}x{full[0]} to {grey.shape[1]}x{grey.shape[0]} pixels"
        reduced = f"Reduced from {sizes}; `cimnet predict` cuts the whole image into windows, so its mask differs."
        sections[0] = first._replace(note=f"{first.note} {reduced}")
    given = f"--rgb {rgb} --thermal {thermal}" + ("" if label is None else f" --label {label}")
    write_text(page, _page(predictor, sections, rgb.name, f"cimnet explain CHECKPOINT {given} --out {out}"))
    return page


def _read_truth(predictor: Predictor, path: Path, size: Size) -> npt.NDArray[np.uint8]:
    """The label as data sets read it, by the checkpoint's classes and colours."""
    lookup = label_lookup(None, len(predictor.classes))
    truth = read_class_ids(path, lookup, predictor.colors, by_colour=True)
    if truth.shape != size:
        raise DataError(f"{path}: is {truth.shape[1]}x{truth.shape[0]}, the images are {size[1]}x{size[0]}")
    return truth


def _resize_truth(truth: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    """The label at another size (height, width), by the nearest pixel."""
    if truth.shape == size:
        return truth
    return np.asarray(Image.fromarray(truth).resize(size[::-1], Image.Resampling.NEAREST))


def _images(predictor: Predictor, image: Image8, grey: Image8, prediction: Any, truth: Any | None) -> Section:
    over = with_legend(
        overlay_mask(image, prediction, predictor.colors, 0.6), prediction, predictor.classes, predictor.colors
    )
    channels = predictor.info.second.channels
    shown = "thermal" if channels == 1 else f"{predictor.info.second.name}, the first of {channels} channels"
    panels = [
        Drawn("RGB", image),
        Drawn(shown, np.repeat(grey[..., None], 3, axis=2)),
        Drawn("prediction", np.asarray(over)),
    ]
    if truth is not None:
        wrong = float((prediction != truth)[truth != 255].mean()) if (truth != 255).any() else math.nan
        errors = pictures.paint_errors(truth, prediction, [WRONG] * len(predictor.classes))
        panels.append(Drawn(f"errors, {100 * wrong:.1f} % of pixels", errors))
    note = "Input and output. In the error map, wrong pixels are dark and lines are the outlines of the label."
    return Section("The pair", note, panels)


def _features(model: CIMNet, seen: dict[str, Any], size: Size) -> list[Section]:
    """Stage 1 as in Fig. 14: before CIPA, after it, after SCSFR; and the fused maps of all stages."""
    before, after, rectified = seen["cipa"][0], seen["cipa"][1], seen["scsfr1"][1]
    panels = [
        Drawn(f"{name} {when}", heat(model, x, 1, size))
        for when, maps in (
            ("before CIPA", {"RGB": before[0], "thermal": before[1]}),
            ("after CIPA", {"RGB": after.rgb, "thermal": after.thermal}),
            ("after SCSFR", {"RGB": rectified.rgb, "thermal": rectified.thermal}),
        )
        for name, x in maps.items()
    ]
    fused = [Drawn(f"fused, stage {n}", heat(model, seen[f"ffm{n}"][1], n, size)) for n in (1, 2, 3, 4)]
    note = "Mean size of the features over channels, each panel from its own 1st to 99th percentile; bright is large."
    return [
        Section("Stage 1 through CIPA", note, panels[:4]),
        Section("Stage 1 after SCSFR", "The same after the two streams have exchanged features.", panels[4:]),
        Section("Fused features", "The maps that FFM makes of the two streams, the input of the decoder.", fused),
    ]


def _weights(model: CIMNet, seen: dict[str, Any], size: Size) -> list[Section]:
    """Spatial weights (eq. 14) as maps and channel weights (eq. 19) as sorted curves, by stage."""
    spatial: dict[str, list[Drawn]] = {"RGB": [], "thermal": []}
    channel = []
    for n, stage in enumerate(model.scsfr, start=1):
        assert isinstance(stage, SCSFR)
        if stage.spatial is not None:
            both = torch.sigmoid(seen[f"spatial{n}"][1].float())
            for name, x in zip(spatial, both.chunk(2, dim=1), strict=True):
                title = f"w of {name}, stage {n}: mean {x.mean():.2f}, λ {stage.spatial.scale.item():.2f}"
                spatial[name].append(Drawn(title, heat(model, x, n, size, (0.0, 1.0))))
        if stage.channel is not None:
            rgb, thermal = torch.sigmoid(seen[f"channel{n}"][1].float())[0].cpu().chunk(2)
            title = f"channel weights, stage {n}, λ {stage.channel.scale.item():.2f}"
            channel.append(Drawn(title, _curves(rgb, thermal, size)))
    note = (
        "The share of a stream, times λ, that is added to the other one at each position (eq. 14–18): 0 dark, 1 bright."
    )
    return [
        *(Section(f"Spatial weights of {name}", note, panels) for name, panels in spatial.items()),
        Section("Channel weights", "The same by channel (eq. 19–23), sorted from the largest weight.", channel),
    ]


def _offsets(model: CIMNet, seen: dict[str, Any], grey: Image8, scale: float) -> Section:
    """Offsets over what the model saw, which is ``scale`` times the size of the given pair."""
    panels = []
    for name, field in offset_fields(model, seen["model"][1], grey.shape).items():
        figure, factor = pictures.plot_arrows(grey, field, np.zeros(grey.shape, dtype=bool))
        title = f"{name}: mean {np.hypot(*field).mean() / scale:.1f} px, arrows × {factor:g}"
        panels.append(Drawn(title, pictures.rasterize(figure)))
    return Section(
        "Offsets", "Averaged over the nine taps, in pixels of the given images, over the thermal image.", panels
    )


def heat(model: CIMNet, x: Tensor, stage: int, size: Size, limits: tuple[float, float] | None = None) -> Image8:
    """A map (1, C, h, w) of a stage as a cividis image (H, W, 3): the mean of absolute values over channels.

    Args:
        limits: values drawn darkest and brightest; None: the map's own 1st and 99th percentile.
    """
    mean = x.float().abs().mean(1, keepdim=True)
    stride = 4 * 2 ** (stage - 1)
    padded = (stride * mean.shape[-2], stride * mean.shape[-1])
    full = model.restore(mean, padded, size)[0, 0].cpu().numpy()
    low, high = limits or tuple(np.percentile(full, (1, 99)))
    scaled = np.clip((full - low) / max(high - low, 1e-12), 0, 1)
    painted: Image8 = (255 * matplotlib.colormaps["cividis"](scaled)[..., :3]).round().astype(np.uint8)
    return painted


def _curves(rgb: Tensor, thermal: Tensor, size: Size) -> Image8:
    figure = Figure(figsize=(4.8, 4.8 * size[0] / size[1]), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for name, values, color, style in (("RGB", rgb, "#0072b2", "-"), ("thermal", thermal, "#e69f00", "--")):
        ordered = values.sort(descending=True).values.numpy()
        axes.plot(np.linspace(0, 1, len(ordered)), ordered, color=color, linestyle=style, label=name)
    axes.set(ylim=(0, 1), xlabel="share of channels")
    axes.legend()
    axes.grid(alpha=0.3)
    return pictures.rasterize(figure)


def draw(sections: list[Section], size: Size) -> Figure:
    """Draw all sections as rows of one figure; ``size`` (H, W) of the images gives the rows' height."""
    columns = max(len(section.panels) for section in sections)
    figure = Figure(figsize=(3 * columns, len(sections) * (3 * size[0] / size[1] + 0.35)), layout="constrained")
    axes = figure.subplots(len(sections), columns, squeeze=False)
    for row, section in zip(axes, sections, strict=True):
        for place in row:
            place.axis("off")
        for place, panel in zip(row, section.panels, strict=False):
            place.set_title(panel.title, fontsize=8)
            place.imshow(panel.image)
    return figure


def _page(predictor: Predictor, sections: list[Section], name: str, command: str) -> str:
    shown = [
        {**section._asdict(), "panels": [Panel(p.title, pictures.photo(p.image, p.title)) for p in section.panels]}
        for section in sections
    ]
    return render_report(
        "explain.html",
        tiles=[],
        facts=[("model", predictor.info.name), ("classes", str(len(predictor.classes)))],
        command=command,
        pair=name,
        sections=shown,
    )
